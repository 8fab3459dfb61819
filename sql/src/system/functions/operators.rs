//! `regoper` and `regoperator`: the names of pg_operator's rows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use tidelog_storage::Datum;

use super::{Known, error, oid, pg_catalog, regtype_in, string, text, type_name};
use crate::error::ErrorKind;

/// A name and the types of what it stands between; 0 where there is nothing before it.
struct Operator {
    name: String,
    left: i64,
    right: i64,
}

static OPERATORS: LazyLock<BTreeMap<i64, Operator>> = LazyLock::new(|| {
    let rows = pg_catalog::embedded("pg_operator").into_iter();
    let operator = |row: super::super::Named| {
        let row: BTreeMap<&str, Datum> = row.into_iter().collect();
        let number = |column: &str| match row.get(column) {
            Some(Datum::Int8(oid)) => Some(*oid),
            _ => None,
        };
        let Some(Datum::Text(name)) = row.get("oprname") else {
            return None;
        };
        let operator = Operator {
            name: name.clone(),
            left: number("oprleft")?,
            right: number("oprright")?,
        };
        Some((number("oid")?, operator))
    };
    rows.filter_map(operator).collect()
});

fn named(name: &str) -> Vec<i64> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let of_name = |(_, operator): &(&i64, &Operator)| operator.name == name;
    OPERATORS
        .iter()
        .filter(of_name)
        .map(|(oid, _)| *oid)
        .collect()
}

/// The text form of a `regoper`: a name that several have says where it is.
pub(super) fn regoper_out(_: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let shown = |of: i64| match OPERATORS.get(&of) {
        Some(Operator { name, .. }) if named(name).len() == 1 => name.clone(),
        Some(Operator { name, .. }) => format!("pg_catalog.{name}"),
        None => of.to_string(),
    };
    Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |of| text(shown(of))))
}

/// The text form of a `regoperator`: `<(integer,bigint)`.
pub(super) fn regoperator_out(_: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let ty = |ty: i64| match ty {
        0 => "NONE".to_string(),
        ty => type_name(ty, None),
    };
    let shown = |of: i64| match OPERATORS.get(&of) {
        Some(operator) => {
            let (left, right) = (ty(operator.left), ty(operator.right));
            format!("{}({left},{right})", operator.name)
        }
        None => of.to_string(),
    };
    Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |of| text(shown(of))))
}

/// The only operator of a name.
pub(super) fn regoper_in(_: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    match named(written.trim()).as_slice() {
        [only] => Ok(ScalarValue::Int64(Some(*only))),
        [] => Err(missing(&written)),
        _ => {
            let message = format!("more than one operator named {written}");
            Err(error(ErrorKind::AmbiguousFunction, message))
        }
    }
}

/// The operator of a name and the types of its operands.
pub(super) fn regoperator_in(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    let invalid = |message: &str| error(ErrorKind::InvalidTextRepresentation, message.to_string());
    let (name, types) = written
        .split_once('(')
        .ok_or_else(|| invalid("expected a left parenthesis"))?;
    let types = types
        .trim_end()
        .strip_suffix(')')
        .ok_or_else(|| invalid("expected a right parenthesis"))?;
    let types = types.split(',').map(|ty| match ty.trim() {
        none if none.eq_ignore_ascii_case("none") => Ok(Some(0)),
        ty => regtype_in(known, &[text(ty)]).map(|ty| oid(&[ty], 0)),
    });
    let types: Option<Vec<i64>> = types.collect::<Result<_>>()?;
    let Some([left, right]) = types.as_deref() else {
        let message = "Provide two argument types for operator.".to_string();
        return Err(error(ErrorKind::UndefinedFunction, message));
    };
    let found = named(name.trim()).into_iter().find(|of| {
        let operator = &OPERATORS[of];
        (operator.left, operator.right) == (*left, *right)
    });
    match found {
        Some(operator) => Ok(ScalarValue::Int64(Some(operator))),
        None => Err(missing(&written)),
    }
}

fn missing(written: &str) -> datafusion::error::DataFusionError {
    let message = format!("operator does not exist: {written}");
    error(ErrorKind::UndefinedFunction, message)
}
