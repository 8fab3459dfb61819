//! INTERSECT and EXCEPT by groups of equal rows of both sides. DataFusion makes joins of them by the names of the columns,
//! which two may share; its joins take the left side's types, and for ALL do not count.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{bool_and, bool_or};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Projection, Union, lit,
};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, SelectItem, SetExpr, SetOperator,
    SetQuantifier, TableFactor,
};

use super::operators::external;
use crate::error::{ErrorKind, SqlError};
use crate::parse::parse_query;
use crate::parse::walk::{Walk, WalkMut};

/// Writes INTERSECT and EXCEPT as relations of their own, which [`SetOperations`] plans.
pub(super) fn as_relations(query: &mut Query) {
    let _ = query.walk_mut(&mut Bodies);
}

struct Bodies;

impl ast::VisitorMut for Bodies {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        rewrite(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn rewrite(body: &mut SetExpr) {
    let SetExpr::SetOperation {
        op,
        set_quantifier,
        left,
        right,
    } = body
    else {
        return;
    };
    rewrite(left);
    rewrite(right);
    let all = matches!(set_quantifier, SetQuantifier::All);
    let Some(operation) = Operation::ALL
        .iter()
        .find(|of| of.op == *op && of.all == all)
    else {
        return;
    };
    let side = |body: &mut Box<SetExpr>| {
        let mut query = selected();
        std::mem::swap(&mut query.body, body);
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Subquery(Box::new(query))))
    };
    let relation = TableFactor::Function {
        lateral: false,
        name: ObjectName::from(vec![Ident::with_quote('"', operation.name)]),
        args: vec![side(left), side(right)],
        with_ordinality: false,
        alias: None,
    };
    let mut query = selected();
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection = vec![SelectItem::Wildcard(Default::default())];
        select.from = vec![ast::TableWithJoins {
            relation,
            joins: Vec::new(),
        }];
    }
    // A query inside: ORDER BY outside sees the result's columns alone.
    *body = SetExpr::Query(Box::new(query));
}

/// The same query with each VALUES of several rows as a UNION ALL of them, which finds the type that they have together;
/// `None` without any.
pub(super) fn values_as_unions(query: &Query) -> Option<Query> {
    let mut query = query.clone();
    let mut any = false;
    let _ = query.walk_mut(&mut Lists(&mut any));
    any.then_some(query)
}

/// Whether there are VALUES of several rows, one of which is cast to a type with a length or precision: DataFusion would cast the
/// others to it, too.
pub(super) fn lists_modified_types(query: &Query) -> bool {
    struct Modified;
    impl ast::Visitor for Modified {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let SetExpr::Values(list) = &*query.body else {
                return ControlFlow::Continue(());
            };
            let is_modified = |expr: &ast::Expr| matches!(expr, ast::Expr::Cast { data_type, .. } if data_type.to_string().contains('('));
            let few = (2..=VALUES_MAX).contains(&list.rows.len());
            match few
                && list
                    .rows
                    .iter()
                    .any(|row| row.content.has_expr(is_modified))
            {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    query.walk(&mut Modified).is_break()
}

/// More rows of VALUES than these do not become a UNION.
const VALUES_MAX: usize = 500;

struct Lists<'a>(&'a mut bool);

impl ast::VisitorMut for Lists<'_> {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.unite(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl Lists<'_> {
    fn unite(&mut self, body: &mut SetExpr) {
        if let SetExpr::SetOperation { left, right, .. } = body {
            self.unite(left);
            self.unite(right);
        }
        let SetExpr::Values(list) = body else {
            return;
        };
        let rows = std::mem::take(&mut list.rows).into_iter();
        let selects = rows.map(|row| {
            let mut query = selected();
            if let SetExpr::Select(select) = &mut *query.body {
                let items = row.content.into_iter().enumerate();
                let items = items.map(|(at, expr)| SelectItem::ExprWithAlias {
                    expr,
                    alias: Ident::new(format!("column{}", at + 1)),
                });
                select.projection = items.collect();
            }
            *query.body
        });
        let all = selects.reduce(|left, right| SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            left: Box::new(left),
            right: Box::new(right),
        });
        if let Some(all) = all {
            *self.0 |= matches!(all, SetExpr::SetOperation { .. });
            *body = all;
        }
    }
}

/// A query to put something else into.
fn selected() -> Query {
    parse_query("SELECT 1").expect("a query of ours is one")
}

struct Operation {
    op: SetOperator,
    all: bool,
    /// What its relation is called; no function has such a name.
    name: &'static str,
}

impl Operation {
    const ALL: [Operation; 4] = [
        Operation {
            op: SetOperator::Intersect,
            all: false,
            name: "INTERSECT (",
        },
        Operation {
            op: SetOperator::Intersect,
            all: true,
            name: "INTERSECT ALL (",
        },
        Operation {
            op: SetOperator::Except,
            all: false,
            name: "EXCEPT (",
        },
        Operation {
            op: SetOperator::Except,
            all: true,
            name: "EXCEPT ALL (",
        },
    ];
}

/// Plans the relations that INTERSECT and EXCEPT are written as.
#[derive(Debug)]
pub(crate) struct SetOperations;

impl RelationPlanner for SetOperations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (operation, args) = match &relation {
            TableFactor::Function { name, args, .. } => {
                let name = name.0.first().and_then(|part| part.as_ident());
                let named = |of: &&Operation| name.is_some_and(|name| name.value == of.name);
                (Operation::ALL.iter().find(named), args.as_slice())
            }
            _ => (None, [].as_slice()),
        };
        let (
            Some(operation),
            [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Subquery(left))),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Subquery(right))),
            ],
        ) = (operation, args)
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let mut side = |query: &Query| {
            context.plan(TableFactor::Derived {
                lateral: false,
                subquery: Box::new(query.clone()),
                alias: None,
                sample: None,
            })
        };
        let plan = combined(operation, side(left)?, side(right)?)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
            plan, None,
        ))))
    }
}

/// The rows of both sides with the side they are of, and of them the groups that the operation wants. With ALL equal rows
/// of one side are numbered, and the n-th of the one is equal to the n-th of the other.
fn combined(operation: &Operation, left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
    let wanted = left.schema().clone();
    let width = wanted.fields().len();
    if right.schema().fields().len() != width {
        let op = operation.op;
        let message = format!("each {op} query must have the same number of columns");
        return Err(external(SqlError::new(ErrorKind::SyntaxError, message)));
    }
    // Its type is checked as that of a UNION, once it is known; the name says what it is part of.
    let left_side = format!("{}{SIDE}", operation.op);
    let sides = vec![
        Arc::new(marked(left, lit(true).alias(&left_side))?),
        Arc::new(marked(right, lit(false).alias(&left_side))?),
    ];
    let mut both = LogicalPlan::Union(Union::try_new_with_loose_types(sides)?);
    let is_left = Expr::Column(both.schema().columns().remove(width));
    if operation.all {
        let number = row_number()
            .partition_by(columns(&both))
            .build()?
            .alias("number");
        both = LogicalPlanBuilder::from(both).window([number])?.build()?;
    }
    let mut keys = columns(&both);
    keys.remove(width);
    let (every, some) = ("only left", "some left");
    let of_sides = [
        bool_and(is_left.clone()).alias(every),
        bool_or(is_left).alias(some),
    ];
    let groups = LogicalPlanBuilder::from(both).aggregate(keys, of_sides)?;
    let (every, some) = (bare(every), bare(some));
    let condition = match operation.op {
        SetOperator::Intersect => some.and(Expr::Not(Box::new(every))),
        _ => every,
    };
    let chosen = groups.filter(condition)?.build()?;
    let result = columns(&chosen).into_iter().zip(wanted.iter());
    let result = result.map(|(column, (qualifier, field))| {
        Expr::Alias(Alias::new(column, qualifier.cloned(), field.name()))
    });
    Projection::try_new(result.collect(), Arc::new(chosen)).map(LogicalPlan::Projection)
}

/// What stands behind the name of an operation in that of the column which tells its sides apart.
const SIDE: &str = " (left";

/// The operation that a UNION of both sides is part of; `None` for a UNION of the statement's.
pub(super) fn operation_of(union: &Union) -> Option<&str> {
    let last = union.schema.fields().last()?;
    last.name().strip_suffix(SIDE)
}

fn bare(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::from_name(name))
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    let columns = plan.schema().columns();
    columns.into_iter().map(Expr::Column).collect()
}

/// A side's columns under names of their own, and behind them which side it is. A bare string stays one, which takes the
/// other side's type.
fn marked(plan: LogicalPlan, side: Expr) -> Result<LogicalPlan> {
    let (exprs, input) = match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => (expr, input),
        plan => (columns(&plan), Arc::new(plan)),
    };
    let named = exprs.into_iter().enumerate().map(|(n, expr)| match expr {
        Expr::Alias(Alias { expr, metadata, .. }) => {
            expr.alias_with_metadata(format!("column {n}"), metadata)
        }
        expr => expr.alias(format!("column {n}")),
    });
    let all = named.chain([side]);
    Projection::try_new(all.collect(), input).map(LogicalPlan::Projection)
}
