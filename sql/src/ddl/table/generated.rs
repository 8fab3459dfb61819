//! Stored generated columns in a definition: which columns their expressions are over, and what becomes of them when
//! those change.
//!
//! Does not: compute values, or know the types and functions of an expression (`constraints::generated`).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Value, VisitorMut};
use tidelog_storage::{ColumnType, TableDef};

use super::column::{SYSTEM_COLUMNS, drop_column};
use super::like::written_type;
use crate::ddl::constraint::columns_of;
use crate::ddl::enums::texts;
use crate::ddl::{DdlPlan, Scope, fold};
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::WalkMut;
use crate::parse::{identifier, parse_expression};

/// What errors call the place of the expression.
const PLACE: &str = "column generation expression";

/// The expression as it is kept: columns without the table's name, which may change, and types with their schemas.
pub(in crate::ddl) fn written(
    scope: Scope<'_>,
    table: &str,
    expr: &Expr,
    ty: ColumnType,
) -> Result<String, SqlError> {
    struct Unqualify<'a>(&'a str);
    impl VisitorMut for Unqualify<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = expr
                && let [table, column] = parts.as_slice()
                && fold(table) == self.0
            {
                *expr = Expr::Identifier(column.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut expr = expr.clone();
    let _ = expr.walk_mut(&mut Unqualify(table));
    texts::qualify(&mut expr, scope);
    let mut bare = &expr;
    while let Expr::Nested(inner) = bare {
        bare = inner;
    }
    // A literal that says no type has the column's.
    if let Expr::Value(value) = bare
        && matches!(
            value.value,
            Value::Null
                | Value::SingleQuotedString(_)
                | Value::EscapedStringLiteral(_)
                | Value::DollarQuotedString(_)
        )
    {
        return Ok(format!("CAST({bare} AS {})", written_type(ty)));
    }
    Ok(expr.to_string())
}

/// The expression of an index as it is kept; an error when it is over what it must not be.
pub(in crate::ddl) fn written_in(
    scope: Scope<'_>,
    table: &TableDef,
    expr: &Expr,
    place: &str,
) -> Result<String, SqlError> {
    let written = written(scope, &table.name, expr, ColumnType::Text)?;
    columns_of(table, &parse_expression(&written)?, place)?;
    Ok(written)
}

/// Checks the columns that the table's generated columns are over.
pub(super) fn check(table: &TableDef) -> Result<(), SqlError> {
    for column in &table.columns {
        let Some(expression) = &column.generated else {
            continue;
        };
        let expr = parse_expression(expression)?;
        for name in named(table, &expr)? {
            let Some(at) = table.column_index(&name) else {
                continue;
            };
            if table.columns[at].generated.is_some() {
                let message = format!("cannot use generated column \"{name}\" in {PLACE}");
                return Err(SqlError::new(ErrorKind::InvalidObjectDefinition, message)
                    .detail("A generated column cannot reference another generated column."));
            }
        }
    }
    Ok(())
}

/// The columns that an expression is over, by name.
fn named(table: &TableDef, expr: &Expr) -> Result<Vec<String>, SqlError> {
    columns_of(table, expr, PLACE).map_err(|error| {
        let is = |name: &str| error.message == format!("column \"{name}\" does not exist");
        if is("default") {
            let message = "DEFAULT is not allowed in this context";
            return SqlError::new(ErrorKind::SyntaxError, message);
        }
        if is("tableoid") {
            return SqlError::unsupported(format!("tableoid in a {PLACE}"));
        }
        if let Some(name) = SYSTEM_COLUMNS.iter().find(|name| is(name)) {
            let message = format!("cannot use system column \"{name}\" in {PLACE}");
            return SqlError::new(ErrorKind::InvalidColumnReference, message);
        }
        if is(&table.name) {
            let message = format!("cannot use whole-row variable in {PLACE}");
            return SqlError::new(ErrorKind::InvalidObjectDefinition, message)
                .detail("This would cause the generated column to depend on its own value.");
        }
        error
    })
}

/// The generated columns whose expressions are over the column, by name.
fn generated_from(table: &TableDef, column: &str) -> Vec<String> {
    let over = |expression: &String| {
        let names = parse_expression(expression).and_then(|expr| named(table, &expr));
        names.is_ok_and(|names| names.iter().any(|name| name == column))
    };
    let columns = table.columns.iter();
    columns
        .filter(|column| column.generated.as_ref().is_some_and(over))
        .map(|column| column.name.clone())
        .collect()
}

/// The columns that a generated column's expression is over.
pub(crate) fn bases<'t>(
    table: &'t TableDef,
    expression: &str,
) -> impl Iterator<Item = &'t tidelog_storage::ColumnDef> {
    let names = parse_expression(expression).and_then(|expr| named(table, &expr));
    let names = names.unwrap_or_default();
    table
        .columns
        .iter()
        .filter(move |column| names.contains(&column.name))
}

/// 0A000 for another type of a column that others are generated from.
pub(super) fn check_type_change(table: &TableDef, name: &str) -> Result<(), SqlError> {
    let Some(generated) = generated_from(table, name).into_iter().next() else {
        return Ok(());
    };
    let message = "cannot alter type of a column used by a generated column";
    Err(
        SqlError::new(ErrorKind::FeatureNotSupported, message).detail(format!(
            "Column \"{name}\" is used by generated column \"{generated}\"."
        )),
    )
}

/// Lets a column go that others may be generated from: refused, or they go with it.
pub(super) fn release(
    scope: Scope<'_>,
    table: &mut TableDef,
    name: &str,
    cascades: bool,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let generated = generated_from(table, name);
    if generated.is_empty() {
        return Ok(());
    }
    let lines = |line: &dyn Fn(String) -> String| {
        let of_table = identifier(&table.name);
        let called = |column: &String| line(format!("column {column} of table {of_table}"));
        generated.iter().map(called).collect::<Vec<_>>()
    };
    if !cascades {
        let of = format!("column {name} of table {}", identifier(&table.name));
        let message = format!("cannot drop {of} because other objects depend on it");
        let depend = lines(&|column| format!("{column} depends on {of}"));
        return Err(
            SqlError::new(ErrorKind::DependentObjectsStillExist, message)
                .detail(depend.join("\n"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."),
        );
    }
    for dropped in lines(&|column| format!("drop cascades to {column}")) {
        let kind = ErrorKind::DependentObjectsStillExist;
        plan.notices.push(SqlError::new(kind, dropped));
    }
    for column in &generated {
        drop_column(scope, table, column, (false, true), plan)?;
    }
    Ok(())
}
