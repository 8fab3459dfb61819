//! `JOIN … USING (a, b) AS j`: `j.a` is the merged column.
//!
//! Does not: give `j` as a whole row, nor tell its columns from others of their names that the join does not merge.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, JoinConstraint, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableWithJoins,
};

use super::relations::constraint_mut;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::forms::USING_ALIAS;
use crate::parse::quoted;
use crate::parse::walk::WalkMut;

/// Writes the merged columns of a query's joins by their own names.
pub(super) fn resolve(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.walk_mut(&mut Joins) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Joins;

impl ast::VisitorMut for Joins {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        let mut aliases = HashMap::new();
        if let SetExpr::Select(select) = &mut *query.body {
            for from in &mut select.from {
                take(from, &mut aliases);
            }
            if !aliases.is_empty() {
                stars(select, &aliases);
            }
        }
        match aliases.is_empty() {
            true => ControlFlow::Continue(()),
            false => query.walk_mut(&mut Columns(aliases)),
        }
    }
}

/// The merged columns by the name of their join.
type Aliases = HashMap<String, Vec<Ident>>;

fn take(from: &mut TableWithJoins, aliases: &mut Aliases) {
    if let ast::TableFactor::NestedJoin {
        table_with_joins, ..
    } = &mut from.relation
    {
        take(table_with_joins, aliases);
    }
    for join in &mut from.joins {
        if let ast::TableFactor::NestedJoin {
            table_with_joins, ..
        } = &mut join.relation
        {
            take(table_with_joins, aliases);
        }
        let Some(JoinConstraint::Using(names)) = constraint_mut(&mut join.join_operator) else {
            continue;
        };
        let last = names.last().and_then(|name| name.0.last()?.as_ident());
        let alias = last.and_then(|last| last.value.strip_prefix(USING_ALIAS));
        let Some(alias) = alias.map(str::to_string) else {
            continue;
        };
        names.pop();
        let columns = names.iter().filter_map(|name| name.0.last()?.as_ident());
        aliases.insert(alias, columns.cloned().collect());
    }
}

/// `j.*`
fn stars(select: &mut ast::Select, aliases: &Aliases) {
    let items = std::mem::take(&mut select.projection).into_iter();
    select.projection = items
        .flat_map(|item| {
            let merged = match &item {
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => match name.0.as_slice() {
                    [only] => only
                        .as_ident()
                        .and_then(|name| aliases.get(&ddl::fold(name))),
                    _ => None,
                },
                _ => None,
            };
            match merged {
                Some(columns) => {
                    let column =
                        |name: &Ident| SelectItem::UnnamedExpr(Expr::Identifier(name.clone()));
                    columns.iter().map(column).collect()
                }
                None => vec![item],
            }
        })
        .collect();
}

struct Columns(Aliases);

impl ast::VisitorMut for Columns {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::CompoundIdentifier(parts) = expr else {
            return ControlFlow::Continue(());
        };
        let [join, column] = parts.as_slice() else {
            return ControlFlow::Continue(());
        };
        let Some(columns) = self.0.get(&ddl::fold(join)) else {
            return ControlFlow::Continue(());
        };
        let name = ddl::fold(column);
        if !columns.iter().any(|column| ddl::fold(column) == name) {
            let message = format!("column {}.{name} does not exist", ddl::fold(join));
            let error = SqlError::new(ErrorKind::UndefinedColumn, message);
            return ControlFlow::Break(error);
        }
        *expr = Expr::Identifier(quoted(&name));
        ControlFlow::Continue(())
    }
}
