//! Values beside each other, as PostgreSQL's types compare them.

use std::cmp::Ordering;

use tidelog_storage::datum;
use tidelog_storage::{ColumnType, DatumRef};

/// How two values of one type, of which neither is NULL, stand to each other; `None` for values of different types.
pub(crate) fn compare(a: DatumRef<'_>, b: DatumRef<'_>) -> Option<Ordering> {
    use DatumRef::*;
    let integer = |value| match value {
        Int2(v) => Some(i64::from(v)),
        Int4(v) => Some(i64::from(v)),
        Int8(v) => Some(v),
        _ => None,
    };
    // NaN is above all others and equal to itself.
    let floats = |a: f64, b: f64| {
        a.partial_cmp(&b)
            .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    };
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return Some(a.cmp(&b));
    }
    Some(match (a, b) {
        (Float4(a), Float4(b)) => floats(a.into(), b.into()),
        (Float8(a), Float8(b)) => floats(a, b),
        (Numeric(a), Numeric(b)) if a.scale == b.scale => a.unscaled.cmp(&b.unscaled),
        (Number(a), Number(b)) => a.key().cmp(b.key()),
        (Numeric(_) | Number(_), Numeric(_) | Number(_)) => {
            let shown = |value| {
                let mut shown = String::new();
                let style = crate::text::Style::default();
                crate::text::write(value, ColumnType::Numeric(None), style, &mut shown);
                crate::text::parse(ColumnType::Numeric(None), &shown).ok()
            };
            let (a, b) = (shown(a)?, shown(b)?);
            return compare(a.as_ref(), b.as_ref());
        }
        (Text(a), Text(b)) => a.cmp(b),
        (Bool(a), Bool(b)) => a.cmp(&b),
        (Bytea(a), Bytea(b)) => a.cmp(b),
        (Uuid(a), Uuid(b)) => a.cmp(b),
        (Date(a), Date(b)) => a.cmp(&b),
        (Time(a), Time(b)) | (Timestamp(a), Timestamp(b)) | (TimestampTz(a), TimestampTz(b)) => {
            a.cmp(&b)
        }
        (TimeTz(a), TimeTz(b)) => a.to_bytes().cmp(&b.to_bytes()),
        (Interval(a), Interval(b)) => a.span().cmp(&b.span()),
        (Array(first) | Shaped(_, first), Array(second) | Shaped(_, second)) => {
            for (a, b) in first.to_vec().iter().zip(&second.to_vec()) {
                let order = match (a.is_null(), b.is_null()) {
                    (false, false) => compare(a.as_ref(), b.as_ref())?,
                    (a, b) => a.cmp(&b),
                };
                if order.is_ne() {
                    return Some(order);
                }
            }
            let order = first.len().cmp(&second.len());
            order.then_with(|| datum::compare_shapes(&a.dimensions(), &b.dimensions()))
        }
        _ => return None,
    })
}

/// Equal, or both NULL.
pub(super) fn same(a: DatumRef<'_>, b: DatumRef<'_>) -> bool {
    match (a, b) {
        (DatumRef::Null, DatumRef::Null) => true,
        (DatumRef::Null, _) | (_, DatumRef::Null) => false,
        (a, b) => compare(a, b).is_some_and(Ordering::is_eq),
    }
}
