//! INSERT … VALUES of one row with a function that returns a set: each row of the set is one to insert.

use datafusion::sql::sqlparser::ast::{Expr, SetExpr, Statement};

use super::walk::Walk;
use super::{item, parse_query};
use crate::error::SqlError;
use crate::plan::gives_set;
use crate::row::is_default;

/// Makes such a row a SELECT.
pub(super) fn of_sets(mut statement: Statement) -> Result<Statement, SqlError> {
    let Statement::Insert(insert) = &mut statement else {
        return Ok(statement);
    };
    let Some(SetExpr::Values(values)) = insert.source.as_mut().map(|source| &mut *source.body)
    else {
        return Ok(statement);
    };
    let is_set = |expr: &Expr| matches!(expr, Expr::Function(call) if gives_set(&call.name));
    let mut row = match values.rows.as_mut_slice() {
        [row] if row.iter().any(|expr| expr.has_expr(is_set)) => std::mem::take(&mut row.content),
        _ => return Ok(statement),
    };
    if row.iter().any(is_default) {
        if insert.columns.len() != row.len() {
            return Err(SqlError::unsupported(
                "DEFAULT beside a function that returns a set, without a list of columns",
            ));
        }
        // A column that is not named has its default, too.
        let mut defaults = row.iter().map(is_default).collect::<Vec<_>>().into_iter();
        insert.columns.retain(|_| defaults.next() == Some(false));
        row.retain(|expr| !is_default(expr));
    }
    let mut query = parse_query("SELECT 1")?;
    if let (SetExpr::Select(select), Some(source)) = (&mut *query.body, &mut insert.source) {
        select.projection = row.into_iter().map(item).collect();
        source.body = query.body;
    }
    Ok(statement)
}
