//! Columns of one name in a relation inside a query: the relation may have them as long as nobody asks for one by it. They
//! get names of their own, which are shown as the same. So nothing finds them by the name, and DataFusion, which lets the
//! first have it, names none.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    self, SelectItem, SetExpr, TableAliasColumnDef, TableFactor,
};

use super::names::again;
use super::relations::Relations;
use super::shown;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::quoted;

/// Gives all columns of a query inside another one that share their names with others names of their own.
pub(super) fn rename(relations: &Relations<'_>, body: &mut SetExpr) {
    let Some(columns) = relations.columns_of(body) else {
        return;
    };
    let mut times: HashMap<&str, usize> = HashMap::new();
    for column in &columns {
        *times.entry(shown(column)).or_default() += 1;
    }
    let is_repeated = |name: &str| shown(name) == name && times.get(name) > Some(&1);
    if !columns.iter().any(|name| is_repeated(name)) {
        return;
    }
    let Some(select) = first_select(body) else {
        return;
    };
    let Some(items) = relations.spelled_out(select) else {
        return;
    };
    select.projection = items;
    for (at, item) in select.projection.iter_mut().enumerate() {
        let name = match &*item {
            SelectItem::UnnamedExpr(expr) => {
                let name = super::names::name_of(expr);
                name.map_or("?column?".to_string(), |(name, _)| name)
            }
            SelectItem::ExprWithAlias { alias, .. } => ddl::fold(alias),
            _ => continue,
        };
        if !is_repeated(&name) {
            continue;
        }
        let own = quoted(&format!("{}of {at}", again(&name)));
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let expr = super::dialect::take(expr);
                *item = SelectItem::ExprWithAlias { expr, alias: own };
            }
            SelectItem::ExprWithAlias { alias, .. } => *alias = own,
            _ => {}
        }
    }
}

/// Names the columns that an alias with columns leaves out; 42P10 where it names more than there are.
pub(super) fn name_left_out(
    relations: &Relations<'_>,
    factor: &mut TableFactor,
) -> Result<(), SqlError> {
    let columns = match factor {
        // A function that is not there as one of FROM is refused by its name.
        TableFactor::Derived { subquery, .. } if !is_call(&subquery.body) => {
            relations.columns_of(&subquery.body)
        }
        TableFactor::Table {
            name, args: None, ..
        } => relations.columns_of_table(name),
        _ => None,
    };
    match (factor, columns) {
        (
            TableFactor::Derived {
                alias: Some(alias), ..
            }
            | TableFactor::Table {
                alias: Some(alias), ..
            },
            Some(columns),
        ) => complete(alias, columns, "table"),
        _ => Ok(()),
    }
}

/// Whether a query is a function in FROM by now.
fn is_call(body: &SetExpr) -> bool {
    let SetExpr::Select(select) = body else {
        return false;
    };
    let item = match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => expr,
        _ => return false,
    };
    select.from.is_empty() && matches!(item, ast::Expr::Function(_))
}

/// Does the same for a relation's alias; `what` the relation is.
pub(super) fn complete(
    alias: &mut ast::TableAlias,
    columns: Vec<String>,
    what: &str,
) -> Result<(), SqlError> {
    let (given, available) = (alias.columns.len(), columns.len());
    if given > available {
        let name = ddl::fold(&alias.name);
        let message = format!(
            "{what} \"{name}\" has {available} columns available but {given} columns specified"
        );
        return Err(SqlError::new(ErrorKind::InvalidColumnReference, message));
    }
    if given == 0 {
        return Ok(());
    }
    let named = alias.columns.iter().map(|column| ddl::fold(&column.name));
    let left_out = columns.into_iter().skip(given);
    let all: Vec<String> = named.chain(left_out).collect();
    for name in &all[given..] {
        // What was renamed because of a column that has another name here.
        let plain = shown(name);
        let alone = all.iter().filter(|other| shown(other) == plain).count() == 1;
        alias.columns.push(TableAliasColumnDef {
            name: quoted(if alone { plain } else { name }),
            data_type: None,
        });
    }
    Ok(())
}

/// The select whose columns a query's are.
fn first_select(body: &mut SetExpr) -> Option<&mut ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}
