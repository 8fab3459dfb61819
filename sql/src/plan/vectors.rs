//! Vectors of the catalog beside each other: there they are arrays with a mark, elsewhere (`'25'::oidvector`) their texts.

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, ElementType, PrintedType};

use super::calls;
use super::operators::{is_open, known_type};
use crate::output;
use crate::text::Style;
use crate::text::printed::is_vector;

/// The operands of `=` or `<>`: what the catalog has is text beside what is text, or is to be read.
pub(super) fn beside_vector(
    op: &BinaryOperator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Expr)> {
    if !tests_equality(op) {
        return Ok((left, right));
    }
    let as_text = |expr: Expr, other: &Expr| match marked(&expr, schema) {
        Some(vector) if is_open(other) || known_type(other, schema) == Some(vector) => {
            calls::cast(expr, vector, schema, style)
        }
        _ => Ok(expr),
    };
    let left = as_text(left, &right)?;
    let right = as_text(right, &left)?;
    Ok((left, right))
}

/// Whether an operator tells equal vectors from others. Their texts do not tell more.
pub(super) fn compares(op: &BinaryOperator, ty: ColumnType) -> bool {
    tests_equality(op) && matches!(ty, ColumnType::Printed(of) if is_vector(of))
}

fn tests_equality(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq)
}

/// The type of a vector of the catalog.
fn marked(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    let field = output::field_of(expr, schema).ok()?;
    if !field.metadata().contains_key(output::VECTOR) {
        return None;
    }
    match known_type(expr, schema)? {
        ColumnType::Array(ElementType::Oid) => Some(ColumnType::Printed(PrintedType::Oidvector)),
        ColumnType::Array(ElementType::Int2) => Some(ColumnType::Printed(PrintedType::Int2vector)),
        _ => None,
    }
}
