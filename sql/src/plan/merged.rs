//! `JOIN … USING` and `NATURAL JOIN` as joins with conditions: the columns that they merge are written out wherever they are
//! meant, as PostgreSQL's parser does it. (DataFusion knows of one join at a time, and a merged column as the left one.)
//!
//! Does not: know the columns of every relation before it is planned. A select over one that is not known is left as it is.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, GroupByExpr, JoinConstraint, JoinOperator, ObjectName, Query,
    SelectItem, SetExpr, TableFactor, TableWithJoins,
};

use super::dialect::call;
use super::relations::{Relations, all_differ, constraint, constraint_mut, factors, merges};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::quoted;
use crate::parse::walk::WalkMut;

/// Writes the merged columns of a query out, whose subqueries have been seen to. What cannot be written out is refused where
/// DataFusion would get it wrong.
pub(super) fn write_out(relations: &Relations<'_>, query: &mut Query) -> Result<(), SqlError> {
    let order_by = match &*query.body {
        SetExpr::Select(_) => query.order_by.as_mut(),
        _ => None,
    };
    in_body(relations, &mut query.body, order_by)
}

/// A column that one side of a join shows.
#[derive(Clone)]
struct Shown {
    name: String,
    value: Expr,
    is_merged: bool,
}

/// What one side of a join shows, in the order of `*`; `None` where that is not known.
type Side = Option<Vec<Shown>>;

fn in_body(
    relations: &Relations<'_>,
    body: &mut SetExpr,
    order_by: Option<&mut ast::OrderBy>,
) -> Result<(), SqlError> {
    match body {
        SetExpr::Select(select) => Merging(relations).in_select(select, order_by),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(relations, left, None)?;
            in_body(relations, right, None)
        }
        _ => Ok(()),
    }
}

struct Merging<'a>(&'a Relations<'a>);

impl Merging<'_> {
    fn in_select(
        &self,
        select: &mut ast::Select,
        order_by: Option<&mut ast::OrderBy>,
    ) -> Result<(), SqlError> {
        if !select.from.iter().any(merges) {
            return Ok(());
        }
        let mut from = select.from.clone();
        let sides = from.iter_mut().map(|from| self.joined(from));
        let sides = sides.collect::<Result<Vec<Side>, SqlError>>()?;
        let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
        let has_star = select.projection.iter().any(is_star);
        let merges = select.from.iter().map(merges);
        let is_needed = sides
            .iter()
            .zip(merges)
            .map(|(side, merges)| (side, merges || has_star));
        if is_needed
            .into_iter()
            .any(|(side, needed)| needed && side.is_none())
        {
            return select.from.iter().try_for_each(refuse);
        }
        select.from = from;
        let shown: Vec<Shown> = sides.into_iter().flatten().flatten().collect();
        let names = Names::of(self.0, &shown);
        let items = std::mem::take(&mut select.projection).into_iter();
        select.projection = items
            .flat_map(|item| match item {
                SelectItem::Wildcard(_) => shown.iter().map(Shown::item).collect(),
                item => vec![names.in_item(item)],
            })
            .collect();
        if let Some(ast::Distinct::On(exprs)) = &mut select.distinct {
            names.replace(exprs);
        }
        if let Some(selection) = &mut select.selection {
            names.replace(selection);
        }
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            names.replace(exprs);
        }
        if let Some(having) = &mut select.having {
            names.replace(having);
        }
        names.replace(&mut select.named_window);
        if let Some(ast::OrderBy {
            kind: ast::OrderByKind::Expressions(keys),
            ..
        }) = order_by
        {
            for key in keys {
                // A name alone is first a column of the result.
                let is_result = |item: &SelectItem| match (item, &key.expr) {
                    (SelectItem::ExprWithAlias { alias, .. }, Expr::Identifier(ident)) => {
                        ddl::fold(alias) == ddl::fold(ident)
                    }
                    _ => false,
                };
                if !select.projection.iter().any(is_result) {
                    names.replace(&mut key.expr);
                }
            }
        }
        Ok(())
    }

    /// What a FROM item shows, with conditions in the place of what merged columns.
    fn joined(&self, from: &mut TableWithJoins) -> Result<Side, SqlError> {
        let mut left = self.side(&mut from.relation)?;
        for join in &mut from.joins {
            if let Some(left) = &left {
                Names::of(self.0, left).replace(&mut join.relation);
            }
            let right = self.side(&mut join.relation)?;
            let natural = matches!(
                constraint(&join.join_operator),
                Some(JoinConstraint::Natural)
            );
            let (Some(ours), Some(theirs)) = (left, right) else {
                if merged_names(join).is_some() {
                    return Ok(None);
                }
                left = None;
                continue;
            };
            let names = match merged_names(join) {
                Some(names) => names?,
                None => Vec::new(),
            };
            let names = match natural {
                true => (ours.iter())
                    .filter(|our| theirs.iter().any(|their| their.name == our.name))
                    .map(|our| our.name.clone())
                    .collect(),
                false => names,
            };
            left = Some(self.merged(join, ours, theirs, names)?);
        }
        Ok(left)
    }

    /// What a join shows; its constraint becomes a condition.
    fn merged(
        &self,
        join: &mut ast::Join,
        ours: Vec<Shown>,
        theirs: Vec<Shown>,
        names: Vec<String>,
    ) -> Result<Vec<Shown>, SqlError> {
        let merges = merged_names(join).is_some();
        let operator = &mut join.join_operator;
        let (right_is_kept, both) = match operator {
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (false, true),
            _ => (false, false),
        };
        if !merges {
            let shown: Vec<Shown> = ours.into_iter().chain(theirs).collect();
            if let Some(JoinConstraint::On(condition)) = constraint_mut(operator) {
                Names::of(self.0, &shown).replace(condition);
            }
            return Ok(shown);
        }
        let mut all = Vec::new();
        let mut condition = None;
        for name in &names {
            let (our, their) = (
                the_one(&ours, name, "left")?,
                the_one(&theirs, name, "right")?,
            );
            let equal = Expr::BinaryOp {
                left: Box::new(our.clone()),
                op: BinaryOperator::Eq,
                right: Box::new(their.clone()),
            };
            condition = Some(match condition {
                None => equal,
                Some(before) => Expr::BinaryOp {
                    left: Box::new(before),
                    op: BinaryOperator::And,
                    right: Box::new(equal),
                },
            });
            all.push(Shown {
                name: name.clone(),
                value: match (right_is_kept, both) {
                    (true, _) => their,
                    (_, true) => call("coalesce", vec![our, their]),
                    _ => our,
                },
                is_merged: true,
            });
        }
        let others = ours.into_iter().chain(theirs);
        all.extend(others.filter(|shown| !names.contains(&shown.name)));
        let condition = condition.unwrap_or(Expr::Value(ast::Value::Boolean(true).into()));
        if let Some(constraint) = constraint_mut(operator) {
            *constraint = JoinConstraint::On(condition);
        }
        Ok(all)
    }

    /// The columns of a relation.
    fn side(&self, factor: &mut TableFactor) -> Result<Side, SqlError> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = factor
        {
            return self.joined(table_with_joins);
        }
        let known = self.0.relation(factor);
        let Some((relation, columns)) = known.and_then(|known| Some((known.name, known.columns?)))
        else {
            return Ok(None);
        };
        if !all_differ(&columns) {
            return Ok(None);
        }
        let qualifier = match factor {
            TableFactor::Table {
                name, alias: None, ..
            } => name
                .0
                .iter()
                .filter_map(|part| part.as_ident().cloned())
                .collect(),
            _ => vec![quoted(&relation)],
        };
        let shown = columns.into_iter().map(|name| Shown {
            value: Expr::CompoundIdentifier([qualifier.clone(), vec![quoted(&name)]].concat()),
            name,
            is_merged: false,
        });
        Ok(Some(shown.collect()))
    }
}

impl Shown {
    fn item(&self) -> SelectItem {
        match self.is_merged {
            true => SelectItem::ExprWithAlias {
                expr: self.value.clone(),
                alias: quoted(&self.name),
            },
            false => SelectItem::UnnamedExpr(self.value.clone()),
        }
    }
}

/// The only column of a side that has this name.
fn the_one(side: &[Shown], name: &str, which: &str) -> Result<Expr, SqlError> {
    let mut found = side.iter().filter(|shown| shown.name == name);
    match (found.next(), found.next()) {
        (Some(shown), None) => Ok(shown.value.clone()),
        (None, _) => {
            let message = format!(
                "column \"{name}\" specified in USING clause does not exist in {which} table"
            );
            Err(SqlError::new(ErrorKind::UndefinedColumn, message))
        }
        _ => {
            let message =
                format!("common column name \"{name}\" appears more than once in {which} table");
            Err(SqlError::new(ErrorKind::AmbiguousColumn, message))
        }
    }
}

/// The columns that a join says it merges, of which NATURAL names none; `None` when it merges none.
fn merged_names(join: &ast::Join) -> Option<Result<Vec<String>, SqlError>> {
    let name = |name: &ObjectName| match name.0.as_slice() {
        [part] if part.as_ident().is_some() => {
            Ok(part.as_ident().map(ddl::fold).unwrap_or_default())
        }
        _ => Err(SqlError::unsupported("USING of qualified names")),
    };
    match constraint(&join.join_operator)? {
        JoinConstraint::Using(names) => Some(names.iter().map(name).collect()),
        JoinConstraint::Natural => Some(Ok(Vec::new())),
        _ => None,
    }
}

/// 0A000 for a join of relations whose columns are not known that merges other columns than the left ones.
fn refuse(from: &TableWithJoins) -> Result<(), SqlError> {
    for join in &from.joins {
        let kind = match &join.join_operator {
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => "RIGHT JOIN",
            JoinOperator::FullOuter(_) => "FULL JOIN",
            _ => continue,
        };
        if merged_names(join).is_some() {
            let what = format!("USING in a {kind} with this relation");
            return Err(SqlError::unsupported(what));
        }
    }
    let joined = from.joins.iter().map(|join| &join.relation);
    for factor in std::iter::once(&from.relation).chain(joined) {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
        {
            refuse(table_with_joins)?;
        }
    }
    Ok(())
}

/// Names that mean merged columns, with what they mean.
struct Names<'a> {
    relations: &'a Relations<'a>,
    values: HashMap<String, Expr>,
}

impl<'a> Names<'a> {
    /// Those that mean only one column.
    fn of(relations: &'a Relations<'a>, shown: &[Shown]) -> Names<'a> {
        let times = |name: &str| shown.iter().filter(|shown| shown.name == name).count();
        let merged = shown
            .iter()
            .filter(|shown| shown.is_merged && times(&shown.name) == 1);
        Names {
            relations,
            values: merged
                .map(|shown| (shown.name.clone(), shown.value.clone()))
                .collect(),
        }
    }

    /// Puts the columns in the place of their names.
    fn replace<T: WalkMut>(&self, part: &mut T) {
        if !self.values.is_empty() {
            let _ = part.walk_mut(&mut Replace {
                names: self,
                inner: Vec::new(),
            });
        }
    }

    fn in_item(&self, item: SelectItem) -> SelectItem {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                match self.values.get(&ddl::fold(&ident)) {
                    Some(value) => SelectItem::ExprWithAlias {
                        expr: value.clone(),
                        alias: ident,
                    },
                    None => SelectItem::UnnamedExpr(Expr::Identifier(ident)),
                }
            }
            mut item => {
                self.replace(&mut item);
                item
            }
        }
    }
}

struct Replace<'a> {
    names: &'a Names<'a>,
    /// The names that mean something else in each of the queries inside that are being looked at; `None` where that may be
    /// any name.
    inner: Vec<Option<HashSet<String>>>,
}

impl Replace<'_> {
    /// What a name may mean in a query by itself.
    fn own(&self, query: &Query) -> Option<HashSet<String>> {
        let SetExpr::Select(select) = &*query.body else {
            return None;
        };
        let mut own = HashSet::new();
        for factor in select.from.iter().flat_map(factors) {
            own.extend(self.names.relations.relation(factor)?.columns?);
        }
        own.extend(select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(ddl::fold(alias)),
            _ => None,
        }));
        Some(own)
    }
}

impl ast::VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.inner.push(self.own(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inner.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr {
            let name = ddl::fold(ident);
            let hides =
                |own: &Option<HashSet<String>>| own.as_ref().is_none_or(|own| own.contains(&name));
            if let Some(value) = self.names.values.get(&name)
                && !self.inner.iter().any(hides)
            {
                *expr = value.clone();
            }
        }
        ControlFlow::Continue(())
    }
}
