//! `generate_series`, as an array whose elements become rows.

use super::call::dsl::*;
use super::time::moved_by;

pub(super) const FUNCTIONS: &[Function] = &[
    f("generate_series", &[INT4, INT4], T::Int4, integers).set(),
    f("generate_series", &[INT4, INT4, INT4], T::Int4, integers).set(),
    f("generate_series", &[INT8, INT8], T::Int8, integers).set(),
    f("generate_series", &[INT8, INT8, INT8], T::Int8, integers).set(),
    f("generate_series", &[NUMERIC, NUMERIC], DECIMAL, decimals).set(),
    f(
        "generate_series",
        &[NUMERIC, NUMERIC, NUMERIC],
        DECIMAL,
        decimals,
    )
    .set(),
    f(
        "generate_series",
        &[TIMESTAMP, TIMESTAMP, INTERVAL],
        T::Timestamp(None),
        moments,
    )
    .set(),
    f(
        "generate_series",
        &[TIMESTAMPTZ, TIMESTAMPTZ, INTERVAL],
        T::TimestampTz(None),
        moments,
    )
    .set()
    .stable(),
    // The places of the longest of some arrays, for WITH ORDINALITY.
    f("pg_ordinals", &[ANY], T::Int8, |_, args| {
        let length = |value: &DatumRef<'_>| match value {
            DatumRef::Array(elements) => elements.len() as i64,
            _ => 0,
        };
        let longest = args.iter().map(length).max().unwrap_or(0);
        Ok(Datum::Array((1..=longest).map(Datum::Int8).collect()))
    })
    .variadic()
    .called_on_null()
    .set(),
];

/// Values that one series may have: it is made as a whole.
const LENGTH_MAX: usize = 10_000_000;

fn step_zero() -> SqlError {
    refused("step size cannot equal zero")
}

fn push(values: &mut Vec<Datum>, value: Datum) -> Result<(), SqlError> {
    if values.len() == LENGTH_MAX {
        return Err(SqlError::new(
            ErrorKind::ProgramLimitExceeded,
            format!("a series of more than {LENGTH_MAX} values is not supported here"),
        ));
    }
    values.push(value);
    Ok(())
}

fn integers(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let is_small = matches!(args[0], DatumRef::Int4(_));
    let (start, stop) = (int(args[0]), int(args[1]));
    let step = args.get(2).map_or(1, |step| int(*step));
    if step == 0 {
        return Err(step_zero());
    }
    let mut values = Vec::new();
    let mut at = Some(start);
    while let Some(value) = at.filter(|at| if step > 0 { *at <= stop } else { *at >= stop }) {
        push(
            &mut values,
            match is_small {
                true => Datum::Int4(value as i32),
                false => Datum::Int8(value),
            },
        )?;
        at = value.checked_add(step);
    }
    Ok(Datum::Array(values))
}

fn decimals(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (mut at, stop) = (decimal(args[0]), decimal(args[1]));
    let step = args.get(2).map_or(Decimal::from(1), |step| decimal(*step));
    if step.is_zero() {
        return Err(step_zero());
    }
    let mut values = Vec::new();
    let goes_on = |at: &Decimal| match step.is_negative() {
        true => *at >= stop,
        false => *at <= stop,
    };
    while goes_on(&at) {
        push(&mut values, number(&at)?)?;
        at = at.plus(&step);
    }
    Ok(Datum::Array(values))
}

fn moments(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let DatumRef::Interval(step) = args[2] else {
        unreachable!("its parameter is an interval");
    };
    let place = |value: DatumRef<'_>| match value {
        DatumRef::Timestamp(at) | DatumRef::TimestampTz(at) => at,
        other => unreachable!("{other:?} is no moment: its parameter is"),
    };
    let sign = step.span().signum();
    if sign == 0 {
        return Err(step_zero());
    }
    let stop = place(args[1]);
    let mut values = Vec::new();
    let mut at = args[0].to_owned();
    loop {
        let here = place(at.as_ref());
        let behind = if sign > 0 { here > stop } else { here < stop };
        if behind {
            break;
        }
        let next = moved_by(at.as_ref(), step, env.style)?;
        let stays = next == at;
        push(&mut values, at)?;
        // An infinite start never ends.
        if stays {
            return Err(SqlError::unsupported("an infinite series"));
        }
        at = next;
    }
    Ok(Datum::Array(values))
}
