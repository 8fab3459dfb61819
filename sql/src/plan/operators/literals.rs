//! Literals and parameters whose type is still open: the types that they get beside others.

use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};

use super::*;
use crate::system::pg_proc;

/// Whether an operand's type is left open: a bare string or an untyped parameter.
pub(in crate::plan) fn is_open(expr: &Expr) -> bool {
    is_bare_string(expr) || matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }))
}

/// Whether an operand is a bare NULL.
pub(in crate::plan) fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Null, _))
}

/// A NULL of this type.
pub(in crate::plan) fn null(ty: ColumnType) -> Result<Expr> {
    let field = ty.field("", true);
    let metadata = FieldMetadata::from(field.metadata().clone());
    let value = ScalarValue::try_from(field.data_type())?;
    Ok(Expr::Literal(value, Some(metadata)))
}

pub(in crate::plan) fn is_integer_literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(ScalarValue::Int64(Some(_)) | ScalarValue::Int32(Some(_)), _)
    )
}

/// Operands with a parameter without a type beside a number, as one of the number's type.
pub(in crate::plan) fn beside_number(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let number = |expr: &Expr| {
        let ty = written_type(expr, schema).filter(|ty| is_number(*ty));
        ty.map(plain_type)
    };
    match (number(&left), number(&right)) {
        (Some(ty), None) => (left, type_parameter(right, ty)),
        (None, Some(ty)) => (type_parameter(left, ty), right),
        _ => (left, right),
    }
}

/// A parameter without a type becomes one of this type.
pub(in crate::plan) fn type_parameter(expr: Expr, ty: ColumnType) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => Expr::Placeholder(
            Placeholder::new_with_field(id, Some(Arc::new(ty.field("", true)))),
        ),
        other => other,
    }
}

/// A parameter without a type becomes one of the type of what is beside it.
pub(in crate::plan) fn parameter_beside(expr: Expr, other: &Expr, schema: &DFSchema) -> Expr {
    match written_type(other, schema) {
        Some(ColumnType::Shaped(element)) => type_parameter(expr, ColumnType::Array(element)),
        Some(ty) if !reg::is_named(ty) => type_parameter(expr, plain_type(ty)),
        _ => expr,
    }
}

/// Types the parameters of a call by what all of PostgreSQL's functions of its name and number of arguments take there.
pub(in crate::plan) fn type_arguments(call: &mut ScalarFunction) {
    let is_untyped = |expr: &Expr| matches!(expr, Expr::Placeholder(of) if of.field.is_none());
    if !call.args.iter().any(is_untyped) {
        return;
    }
    let count = call.args.len();
    let of_name = pg_proc::functions(call.func.name()).into_iter();
    let of_name = of_name.filter(|of| of.argument_types.len() == count);
    let overloads: Vec<&[i64]> = of_name.map(|of| of.argument_types.as_slice()).collect();
    let Some(first) = overloads.first() else {
        return;
    };
    for (at, arg) in call.args.iter_mut().enumerate() {
        let alike = overloads.iter().all(|of| of[at] == first[at]);
        let ty = u32::try_from(first[at]).ok().and_then(types::built_in);
        if let Some(ty) = ty.filter(|_| alike) {
            *arg = type_parameter(std::mem::take(arg), ty);
        }
    }
}

/// A parameter's type has no modifier, though DataFusion gives it that of a column which it is compared with.
/// `plain` is what PostgreSQL takes the column's type for there.
pub(in crate::plan) fn unmodified(expr: Expr, plain: fn(ColumnType) -> ColumnType) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder {
            id,
            field: Some(field),
        }) => {
            let field = match output::column_type(&field) {
                Ok(ty) if plain(ty) != ty => Arc::new(plain(ty).field("", true)),
                _ => field,
            };
            Expr::Placeholder(Placeholder::new_with_field(id, Some(field)))
        }
        other => other,
    }
}

/// Operands with a parameter without a type beside one whose type has a modifier: PostgreSQL's operators know of none.
pub(in crate::plan) fn beside_modified(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let is_modified = |expr| known_type(expr, schema).is_some_and(|ty| plain_type(ty) != ty);
    match (is_modified(&left), is_modified(&right)) {
        (true, false) => {
            let right = parameter_beside(right, &left, schema);
            (left, right)
        }
        (false, true) => (parameter_beside(left, &right, schema), right),
        _ => (left, right),
    }
}

/// A parameter that LIKE is given is a text, though DataFusion gives it the type of the column beside it.
pub(in crate::plan) fn text_parameter(expr: &mut Expr) {
    use ColumnType::{Bpchar, Char, Name, Varchar};
    if let Expr::Placeholder(Placeholder {
        field: Some(field), ..
    }) = expr
        && let Ok(Varchar(_) | Bpchar(_) | Name | Char) = output::column_type(field)
    {
        *field = Arc::new(ColumnType::Text.field("", true));
    }
}

/// A bare string becomes a literal of this type.
pub(in crate::plan) fn literal_of(expr: Expr, ty: ColumnType, style: Style) -> Result<Expr> {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &expr else {
        return Ok(expr);
    };
    if reg::is_named(ty) {
        return Ok(casts::read(expr, ty, style));
    }
    let ty = with_shape(ty, literal);
    let value = text::parse_in(ty, literal, style).map_err(external)?;
    let mut builder = ColumnBuilder::new(ty);
    builder.append(value.as_ref());
    let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
    let metadata = FieldMetadata::from(ty.field("", true).metadata().clone());
    Ok(Expr::Literal(value, Some(metadata)))
}

/// The type of a literal's value: arrays of any shape are of a type of their own.
pub(in crate::plan) fn with_shape(ty: ColumnType, literal: &str) -> ColumnType {
    match ty {
        ColumnType::Array(element) if text::array::may_be_shaped(literal) => {
            ColumnType::Shaped(element)
        }
        ty => ty,
    }
}

/// An integer literal that PostgreSQL reads as an int4.
pub(in crate::plan) fn small_literal(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => i32::try_from(*value).ok(),
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some(*value),
        _ => None,
    }
}

/// An integer literal as the int4 that it is for PostgreSQL.
pub(in crate::plan) fn as_written(expr: Expr) -> Expr {
    small_literal(&expr).map_or(expr, int4)
}

/// The same for the arguments of an aggregate that gives one of them.
pub(in crate::plan) fn arguments_as_written(call: &mut AggregateFunction) {
    if !matches!(
        call.func.name(),
        "bit_and" | "bit_or" | "bit_xor" | "mode" | "percentile_disc"
    ) {
        return;
    }
    let keys = call.params.order_by.iter_mut().map(|key| &mut key.expr);
    for arg in call.params.args.iter_mut().chain(keys) {
        *arg = as_written(std::mem::take(arg));
    }
}

pub(in crate::plan) fn int4(value: i32) -> Expr {
    Expr::Literal(ScalarValue::Int32(Some(value)), None)
}

pub(in crate::plan) fn is_bare_string(expr: &Expr) -> bool {
    // With metadata it has a type by now.
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), None))
}

/// A bare string literal beside an operand of another type than text becomes a literal of that type.
pub(in crate::plan) fn type_literal(
    expr: Expr,
    other: &Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &expr else {
        return Ok(expr);
    };
    use ColumnType::{Char, Name, Text, Varchar};
    let ty = match written_type(other, schema) {
        None | Some(Text | Varchar(_) | Name | Char) => return Ok(expr),
        Some(ty) => ty,
    };
    let ty = match ty {
        // It keeps the digits it has, whatever those of the column.
        ColumnType::Numeric(Some(_)) => numerics::shape_of(literal).map_err(external)?,
        // However long.
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        // It is compared as the number that it is.
        ColumnType::Regproc | ColumnType::Reg(_) => ColumnType::Oid,
        ColumnType::Array(ElementType::Varchar(_)) => ColumnType::Array(ElementType::Text),
        ColumnType::Array(ElementType::Bpchar(_)) => ColumnType::Array(ElementType::Bpchar(None)),
        ty => plain(ty),
    };
    let ty = with_shape(ty, literal);
    let value = text::parse_in(ty, literal, style).map_err(external)?;
    let mut builder = ColumnBuilder::new(ty);
    builder.append(value.as_ref());
    let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
    // Of what the elements are, Arrow's type does not tell.
    let tag = matches!(ty, ColumnType::Array(_)).then(|| ty.field("", true));
    let tag = tag.filter(|field| !field.metadata().is_empty());
    let tag = tag.map(|field| FieldMetadata::from(field.metadata().clone()));
    Ok(Expr::Literal(value, tag))
}
