//! Subscripts: of arrays, which are integers, and of jsonb, `value['key']`, `value[index]`; and assignments to what they name.

use std::sync::Arc;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, lit};
use tidelog_storage::ColumnType;

use super::comparable::class;
use super::operators::{external, literal_of, plain_type, type_of, type_parameter, written_type};
use crate::error::{ErrorKind, SqlError};
use crate::text::Style;
use crate::{casts, functions, types};

/// Whether a call is a subscript of a jsonb.
pub(super) fn is_of_json(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let of = call.args.first();
    call.name() == "pg_element" && of.and_then(|of| type_of(of, schema)) == Some(ColumnType::Jsonb)
}

/// Such a subscript, as a path.
pub(super) fn element(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    for subscript in call.args.iter_mut().skip(1) {
        *subscript = step(std::mem::take(subscript), schema, style)?;
    }
    if let Some(path) = functions::json::function("jsonb_extract_path", style) {
        call.func = path;
    }
    Ok(Expr::ScalarFunction(call))
}

/// Whether a call is a subscript or a slice of an array, or of a name, which is one of characters.
pub(super) fn is_of_array(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let of = call.args.first().and_then(|of| type_of(of, schema));
    matches!(call.name(), "pg_element" | "pg_slice")
        && of.is_some_and(|ty| ty.elements().is_some() || ty == ColumnType::Name)
}

/// Such a call, with integers as subscripts.
pub(super) fn of_array(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let of_slice = call.name() == "pg_slice";
    for subscript in call.args.iter_mut().skip(1) {
        // Where a bound is left out, this stands for it.
        if !(of_slice && matches!(subscript, Expr::Literal(ScalarValue::Boolean(_), _))) {
            *subscript = index(std::mem::take(subscript), schema, style)?;
        }
    }
    Ok(Expr::ScalarFunction(call))
}

/// A subscript as the integer that an assignment would make of it.
fn index(subscript: Expr, schema: &DFSchema, style: Style) -> Result<Expr> {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric, Oid};
    let subscript = literal_of(type_parameter(subscript, Int4), Int4, style)?;
    match written_type(&subscript, schema) {
        None | Some(Int2 | Int4) => Ok(subscript),
        Some(Int8 | Float4 | Float8 | Numeric(_) | Oid) => {
            let int4 = Arc::new(Int4.field("", true));
            let cast = Cast::new_from_field(Box::new(subscript), int4);
            Ok(casts::rewrite(cast, schema, style)?.data)
        }
        Some(_) => {
            let message = "array subscript must have type integer";
            Err(external(SqlError::new(
                ErrorKind::DatatypeMismatch,
                message,
            )))
        }
    }
}

/// A subscript as a step of a path.
fn step(subscript: Expr, schema: &DFSchema, style: Style) -> Result<Expr> {
    use ColumnType::{Bpchar, Char, Int2, Int4, Name, Text, Varchar};
    match written_type(&subscript, schema) {
        None => Ok(type_parameter(subscript, Text)),
        Some(Text | Varchar(_) | Bpchar(_) | Name | Char) => Ok(subscript),
        Some(Int2 | Int4) => {
            let text = Arc::new(Text.field("", true));
            let cast = Cast::new_from_field(Box::new(subscript), text);
            Ok(casts::rewrite(cast, schema, style)?.data)
        }
        Some(other) => {
            let name = types::name(plain_type(other));
            let message = format!("subscript type {name} is not supported");
            let hint = "jsonb subscript must be coercible to either integer or text.";
            let error = SqlError::new(ErrorKind::DatatypeMismatch, message);
            Err(external(error.hint(hint)))
        }
    }
}

/// What an assignment to an element of a column gives the column.
pub(super) fn assigned(call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let mismatch = |message: String| SqlError::new(ErrorKind::DatatypeMismatch, message);
    let mut args = call.args.into_iter();
    let (Some(column), Some(value)) = (args.next(), args.next()) else {
        return Err(external(SqlError::unsupported("an assignment to nothing")));
    };
    let ty = type_of(&column, schema).unwrap_or(ColumnType::Text);
    let element = match ty {
        ColumnType::Jsonb => ty,
        ColumnType::Array(element) | ColumnType::Shaped(element) => element.into(),
        ty => {
            let name = types::name(ty);
            let message =
                format!("cannot subscript type {name} because it does not support subscripting");
            return Err(external(mismatch(message)));
        }
    };
    let of_slice = call.func.name() == functions::SLICE_ASSIGNED;
    if of_slice && ty == ColumnType::Jsonb {
        return Err(external(mismatch(
            "jsonb subscript does not support slices".to_string(),
        )));
    }
    // A slice is assigned an array.
    let wanted = match of_slice {
        true => ty,
        false => element,
    };
    let is_assignable = |own: &ColumnType| match wanted {
        ColumnType::Jsonb => *own == wanted,
        // What is assigned to a text may be of any type.
        ColumnType::Text | ColumnType::Varchar(_) => true,
        _ => class(*own) == class(wanted),
    };
    if let Some(own) = written_type(&value, schema).filter(|own| !is_assignable(own)) {
        let name = match &column {
            Expr::Column(column) => column.name.as_str(),
            _ => "?column?",
        };
        let (wanted, own) = (types::name(wanted), types::name(own));
        let message = format!(
            "subscripted assignment to \"{name}\" requires type {wanted} but expression is of type {own}"
        );
        let hint = "You will need to rewrite or cast the expression.";
        return Err(external(mismatch(message).hint(hint)));
    }
    if ty.elements().is_some() {
        let value = literal_of(type_parameter(value, wanted), wanted, style)?;
        let field = Arc::new(wanted.field("", true));
        let cast = Cast::new_from_field(Box::new(value), field);
        let value = casts::rewrite(cast, schema, style)?.data;
        let subscripts = args.map(|of| match of {
            Expr::Literal(ScalarValue::Boolean(_), _) if of_slice => Ok(of),
            of => index(of, schema, style),
        });
        let mut args = vec![column, value];
        args.extend(subscripts.collect::<Result<Vec<_>>>()?);
        let name = match of_slice {
            true => functions::array::SLICE_ASSIGNED,
            false => functions::array::ARRAY_ASSIGNED,
        };
        let func = functions::array::function(name);
        let func = func.ok_or_else(|| external(SqlError::unsupported("this assignment")))?;
        return Ok(Expr::ScalarFunction(ScalarFunction { func, args }));
    }
    let value = literal_of(type_parameter(value, ty), ty, style)?;
    let subscripts: Vec<Expr> = args.collect();
    let first = subscripts
        .first()
        .and_then(|first| written_type(first, schema));
    let of_array = matches!(first, Some(ColumnType::Int2 | ColumnType::Int4));
    let steps = subscripts.into_iter().map(|of| step(of, schema, style));
    let mut args = vec![column, value, lit(of_array)];
    args.extend(steps.collect::<Result<Vec<_>>>()?);
    let func = call.func;
    Ok(Expr::ScalarFunction(ScalarFunction { func, args }))
}
