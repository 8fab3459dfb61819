//! Correlated subqueries of every kind, in every place, as joins.
//!
//! DataFusion takes apart the plain ones: EXISTS and IN as conditions of a WHERE, and aggregates without GROUP BY whose
//! correlation is by equalities. These stay as they are. The others are rewritten as in Neumann and Kemper,
//! "Unnesting Arbitrary Queries" (BTW 2015): the distinct values of the outer columns that a subquery uses are its
//! domain; the subquery is computed once for all of the domain, by pushing the domain through its plan
//! (`push`), and its result is joined to the outer rows by these columns (`expressions`).

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchema, DFSchemaRef, JoinType, NullEquality, ScalarValue, TableReference,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder,
    Projection, Sort, Subquery, SubqueryAlias, Union, lit,
};

use crate::error::{ErrorKind, SqlError};
use crate::evaluated_once;
use crate::text::Style;

mod expressions;
mod push;
mod shape;

/// Rewrites the subqueries of a plan that DataFusion does not take.
pub(super) fn flatten(plan: LogicalPlan, style: Style) -> Result<LogicalPlan> {
    if !has_work(&plan)? {
        return Ok(plan);
    }
    let flatten = Flatten {
        style,
        made: Cell::new(0),
    };
    let plan = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Sort(sort) => sees_input(sort).map(Transformed::yes),
        plan => Ok(Transformed::no(plan)),
    })?;
    let plan = flatten.plan(plan.data)?;
    refuse_outer(&plan)?;
    Ok(plan)
}

/// Whether there is a subquery, or what needs the rows' places.
fn has_work(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|plan| {
        Ok(match plan {
            LogicalPlan::Subquery(_) => true,
            LogicalPlan::Limit(limit) if push::has_ties(limit) => true,
            LogicalPlan::Aggregate(aggregate) if push::collects_in_order(aggregate) => true,
            plan => plan.expressions().iter().any(shape::has_any_subquery),
        })
    })
}

/// A sort whose subqueries find the columns of FROM that are not in the select list, as DataFusion sees to it for columns
/// outside of subqueries.
fn sees_input(sort: Sort) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = &*sort.input else {
        return Ok(LogicalPlan::Sort(sort));
    };
    let mut missing = Vec::new();
    for key in &sort.expr {
        key.expr.apply(|expr| {
            if let Some(subquery) = shape::subquery_of(expr) {
                let of_from = projection.input.schema();
                let columns = shape::outer_columns(&subquery.subquery, of_from)?;
                let is_new = |column: &Column| !missing.contains(column);
                let columns: Vec<Column> = columns.into_iter().filter(is_new).collect();
                missing.extend(columns);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    missing.retain(|column| !projection.schema.has_column(column));
    if missing.is_empty() {
        return Ok(LogicalPlan::Sort(sort));
    }
    let shown = projection.schema.clone();
    let more = missing.into_iter().map(Expr::Column);
    let all = projection.expr.iter().cloned().chain(more).collect();
    let input = project(projection.input.as_ref().clone(), all)?;
    let sorted = LogicalPlan::Sort(Sort {
        input: Arc::new(input),
        ..sort
    });
    pick(sorted, &shown)
}

/// What the two sides of a join are compared by.
type Pairs = Vec<(Expr, Expr)>;

struct Flatten {
    style: Style,
    /// How many relations were made so far, which makes their names unique.
    made: Cell<usize>,
}

/// The outer columns that a subquery uses, and a relation of their values.
struct Domain {
    relation: LogicalPlan,
    /// The outer columns, in the order of the relation's.
    columns: Vec<Column>,
    /// In a recursive query the rows of the round before, which have the domain's columns as their last.
    rounds: Vec<(String, LogicalPlan)>,
}

/// Whether a column of a recursive query is one of the query around it, whose values stay apart by what they look like.
pub(crate) fn is_outer(column: &str) -> bool {
    let number = |part: &str| part.parse::<usize>().is_ok();
    let place = column
        .strip_prefix("outer ")
        .and_then(|place| place.split_once('.'));
    place.is_some_and(|(query, at)| number(query) && number(at))
}

impl Flatten {
    fn plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        plan.transform_up(|plan| {
            let plan =
                plan.map_subqueries(|subquery| Ok(Transformed::yes(self.plan(subquery)?)))?;
            let plan = match plan.data {
                LogicalPlan::Join(join) if is_lateral(&join)? => self.lateral(join)?,
                plan => self.expressions(plan)?,
            };
            // What it reads may have changed whether a column can be NULL.
            let plan = match plan {
                LogicalPlan::Union(union) => {
                    Union::try_new_with_loose_types(union.inputs).map(LogicalPlan::Union)
                }
                plan => plan.recompute_schema(),
            };
            plan.map(Transformed::yes)
        })
        .map(|plan| plan.data)
    }

    fn name(&self, what: &str) -> String {
        let number = self.made.get() + 1;
        self.made.set(number);
        format!("{what} {number}")
    }

    fn relation_name(&self, what: &str) -> TableReference {
        TableReference::bare(self.name(what))
    }

    /// The distinct values of columns of a plan.
    fn domain(&self, input: &LogicalPlan, columns: Vec<Column>) -> Result<Domain> {
        refuse_volatile(input)?;
        let name = self.name("outer");
        let values = columns
            .iter()
            .enumerate()
            .map(|(n, column)| Expr::Column(column.clone()).alias(format!("{name}.{n}")));
        let values = Projection::try_new(values.collect(), Arc::new(input.clone()))?;
        let distinct = Distinct::All(Arc::new(LogicalPlan::Projection(values)));
        Ok(Domain {
            relation: alias(LogicalPlan::Distinct(distinct), TableReference::bare(name))?,
            columns,
            rounds: Vec::new(),
        })
    }

    /// A join by pairs of which NULL equals NULL, and a condition.
    fn join_on(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        pairs: Pairs,
        condition: Option<Expr>,
        join_type: JoinType,
    ) -> Result<LogicalPlan> {
        let columns: Vec<Expr> = columns(&left).chain(columns(&right)).collect();
        let has_keys = !pairs.is_empty();
        let (left, right, on) = self.keyed(left, right, pairs)?;
        let joined = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            condition,
            join_type,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        match has_keys {
            true => project(LogicalPlan::Join(joined), columns),
            false => Ok(LogicalPlan::Join(joined)),
        }
    }

    /// The sides of a join with keys that are equal where these pairs are equal or both NULL. DataFusion has joins of
    /// which NULL equals NULL, but unites them with others, as if NULL equalled NULL there, too. The keys are columns,
    /// since it takes two joins by one expression for one.
    fn keyed(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        pairs: Pairs,
    ) -> Result<(LogicalPlan, LogicalPlan, Pairs)> {
        if pairs.is_empty() {
            return Ok((left, right, Vec::new()));
        }
        let (mut of_left, mut of_right): (Vec<_>, Vec<_>) =
            (columns(&left).collect(), columns(&right).collect());
        let mut on = Vec::with_capacity(2 * pairs.len());
        let mut key = |l: Expr, r: Expr| {
            let (left_name, right_name) = (self.name("key"), self.name("key"));
            of_left.push(l.alias(&left_name));
            of_right.push(r.alias(&right_name));
            let column = |name: String| Expr::Column(Column::from_name(name));
            on.push((column(left_name), column(right_name)));
        };
        for (l, r) in pairs {
            if !l.nullable(left.schema())? || !r.nullable(right.schema())? {
                key(l, r);
                continue;
            }
            let some = lit(some_value(l.get_type(left.schema())?)?);
            key(l.clone().is_null(), r.clone().is_null());
            let or_some = |expr: Expr| coalesce(vec![expr, some.clone()]);
            key(or_some(l), or_some(r));
        }
        Ok((project(left, of_left)?, project(right, of_right)?, on))
    }

    /// `left JOIN LATERAL right`.
    fn lateral(&self, join: Join) -> Result<LogicalPlan> {
        let (subquery, named) = match lateral(&join.right) {
            Some((subquery, named)) => (subquery.subquery.as_ref().clone(), named),
            None => (join.right.as_ref().clone(), None),
        };
        let outer = shape::outer_columns(&subquery, join.left.schema())?;
        let left = join.left.as_ref().clone();
        let inner = join.join_type == JoinType::Inner;
        if !inner && join.join_type != JoinType::Left {
            let message = "invalid reference to FROM-clause entry in a LATERAL subquery";
            let detail = "The combining JOIN type must be INNER or LEFT for a LATERAL reference.";
            let error = SqlError::new(ErrorKind::InvalidColumnReference, message).detail(detail);
            return Err(external(error));
        }
        let on = join.on.into_iter().map(|(left, right)| left.eq(right));
        let condition = on.chain(join.filter).reduce(Expr::and);
        let always = condition.as_ref().is_none_or(|c| *c == lit(true));
        if outer.is_empty() {
            // It is a plain join, but for columns from further out.
            let right = named.map_or(Ok(subquery.clone()), |name| {
                alias(subquery.clone(), name.clone())
            })?;
            return self.join_on(left, right, Vec::new(), condition, join.join_type);
        }
        // Rows that are computed from the outer row alone need no domain.
        if (inner || always && shape::is_one_row(&subquery)) && shape::is_local(&subquery) {
            let joined = self.beside(left, &subquery, named)?;
            return match condition {
                Some(condition) if !always => filter(joined, condition),
                _ => Ok(joined),
            };
        }
        let wanted = join.schema.clone();
        let domain = self.domain(&left, outer)?;
        let mut right = self.push(&subquery, &domain, 0)?;
        if let Some(name) = named {
            right = alias(right, name.clone())?;
        }
        let pairs = pairs(&domain, &right);
        let joined = self.join_on(left, right, pairs, condition, join.join_type)?;
        pick(joined, &wanted)
    }

    /// Each row of `left` beside what the subquery makes of it.
    fn beside(
        &self,
        left: LogicalPlan,
        subquery: &LogicalPlan,
        named: Option<&TableReference>,
    ) -> Result<LogicalPlan> {
        let name = self.name("outer");
        let columns = left.schema().columns();
        let fields: Vec<_> = left
            .schema()
            .iter()
            .map(|(q, f)| (q.cloned(), f.name().clone()))
            .collect();
        let values = columns
            .iter()
            .enumerate()
            .map(|(n, column)| Expr::Column(column.clone()).alias(format!("{name}.{n}")));
        let values = Projection::try_new(values.collect(), Arc::new(left))?;
        let domain = Domain {
            relation: LogicalPlan::Projection(values),
            columns,
            rounds: Vec::new(),
        };
        let pushed = self.push(subquery, &domain, 0)?;
        let width = subquery.schema().fields().len();
        let made = pushed.schema().columns();
        let mut all: Vec<Expr> = made[width..]
            .iter()
            .zip(fields)
            .map(|(column, (qualifier, name))| {
                Expr::Alias(Alias::new(Expr::Column(column.clone()), qualifier, name))
            })
            .collect();
        all.extend(made[..width].iter().map(|column| {
            let qualifier = named.cloned().or(column.relation.clone());
            Expr::Alias(Alias::new(
                Expr::Column(column.clone()),
                qualifier,
                column.name.clone(),
            ))
        }));
        project(pushed, all)
    }
}

/// Whether a join's right side uses columns of the left one. DataFusion marks it only where it does so itself, not by its
/// own subqueries, which are joins by now.
fn is_lateral(join: &Join) -> Result<bool> {
    Ok(lateral(&join.right).is_some()
        || !shape::outer_columns(&join.right, join.left.schema())?.is_empty())
}

/// The subquery of a join's right side that may use columns of the left one.
fn lateral(plan: &LogicalPlan) -> Option<(&Subquery, Option<&TableReference>)> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match &**input {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(alias))),
            _ => None,
        },
        _ => None,
    }
}

/// The domain's columns in a plan that it was pushed through: its last ones.
fn domain_columns(domain: &Domain, plan: &LogicalPlan) -> Vec<Column> {
    let columns = plan.schema().columns();
    columns[columns.len() - domain.columns.len()..].to_vec()
}

/// Outer columns beside the domain's.
fn pairs(domain: &Domain, plan: &LogicalPlan) -> Pairs {
    let inner = domain_columns(domain, plan).into_iter().map(Expr::Column);
    let outer = domain.columns.iter().cloned().map(Expr::Column);
    outer.zip(inner).collect()
}

/// What stands for NULL among the values of a type, beside a column that tells it from them.
fn some_value(ty: DataType) -> Result<ScalarValue> {
    match ty {
        DataType::FixedSizeBinary(width) => {
            let zeros = usize::try_from(width).map_or_else(|_| Vec::new(), |n| vec![0; n]);
            Ok(ScalarValue::FixedSizeBinary(width, Some(zeros)))
        }
        ty => ScalarValue::new_default(&ty),
    }
}

fn alias(plan: LogicalPlan, name: TableReference) -> Result<LogicalPlan> {
    SubqueryAlias::try_new(Arc::new(plan), name).map(LogicalPlan::SubqueryAlias)
}

fn filter(plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).filter(condition)?.build()
}

fn project(plan: LogicalPlan, columns: Vec<Expr>) -> Result<LogicalPlan> {
    Projection::try_new(columns, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// The columns of a schema, and no others, of a plan that has them.
fn pick(plan: LogicalPlan, wanted: &DFSchemaRef) -> Result<LogicalPlan> {
    let columns = wanted.columns().into_iter().map(Expr::Column);
    project(plan, columns.collect())
}

fn columns(plan: &LogicalPlan) -> impl Iterator<Item = Expr> + use<> {
    plan.schema().columns().into_iter().map(Expr::Column)
}

/// An expression under the name that another had.
fn named(expr: Expr, schema: &DFSchema, at: usize) -> Expr {
    let (qualifier, field) = schema.qualified_field(at);
    match expr {
        Expr::Column(column)
            if column.relation.as_ref() == qualifier && column.name == *field.name() =>
        {
            Expr::Column(column)
        }
        // Of a window's functions DataFusion looks behind one alias only.
        Expr::Alias(alias) => Expr::Alias(Alias {
            relation: qualifier.cloned(),
            name: field.name().clone(),
            ..alias
        }),
        expr => Expr::Alias(Alias::new(expr, qualifier.cloned(), field.name())),
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn unsupported(what: &str) -> DataFusionError {
    external(SqlError::unsupported(what))
}

/// What is computed twice must be the same both times.
fn refuse_volatile(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|plan| {
        if let LogicalPlan::SubqueryAlias(relation) = plan
            && evaluated_once::is_marked(relation)
        {
            return Ok(TreeNodeRecursion::Jump);
        }
        plan.apply_expressions(|expr| match expr.is_volatile() {
            true => Err(unsupported("a correlated subquery over volatile functions")),
            false => Ok(TreeNodeRecursion::Continue),
        })?;
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

/// An outer column that no level has by now was there before the grouping only.
fn refuse_outer(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|plan| {
        let schemas = plan
            .inputs()
            .into_iter()
            .map(|input| input.schema().clone());
        let schemas: Vec<_> = schemas.collect();
        plan.apply_subqueries(|subquery| {
            let LogicalPlan::Subquery(subquery) = subquery else {
                return Ok(TreeNodeRecursion::Continue);
            };
            for outer in subquery.subquery.all_out_ref_exprs() {
                if let Expr::OuterReferenceColumn(_, column) = outer
                    && !schemas.iter().any(|schema| schema.has_column(&column))
                {
                    return Err(external(ungrouped(&column)));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        plan.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::OuterReferenceColumn(_, column) => Err(external(ungrouped(column))),
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })
    .map(|_| ())
}

fn ungrouped(column: &Column) -> SqlError {
    let name = match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    };
    let message = format!("subquery uses ungrouped column \"{name}\" from outer query");
    SqlError::new(ErrorKind::GroupingError, message)
}
