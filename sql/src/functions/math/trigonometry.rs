//! Functions of angles; those in degrees are exact where PostgreSQL's are.

use std::f64::consts::PI;

use crate::functions::call::dsl::*;

pub(crate) const FUNCTIONS: &[Function] = &[
    f("pi", &[], T::Float8, |_, _| real(PI)),
    f("degrees", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]) / RADIANS_PER_DEGREE)
    }),
    f("radians", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]) * RADIANS_PER_DEGREE)
    }),
    f("sin", &[FLOAT8], T::Float8, |_, args| {
        real(angle(args)?.sin())
    }),
    f("cos", &[FLOAT8], T::Float8, |_, args| {
        real(angle(args)?.cos())
    }),
    f("tan", &[FLOAT8], T::Float8, |_, args| {
        real(angle(args)?.tan())
    }),
    f("cot", &[FLOAT8], T::Float8, |_, args| {
        real(1.0 / angle(args)?.tan())
    }),
    f("asin", &[FLOAT8], T::Float8, |_, args| {
        real(ratio(args)?.asin())
    }),
    f("acos", &[FLOAT8], T::Float8, |_, args| {
        real(ratio(args)?.acos())
    }),
    f("atan", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).atan())
    }),
    f("atan2", &[FLOAT8, FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).atan2(float(args[1])))
    }),
    f("sinh", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).sinh())
    }),
    f("cosh", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).cosh())
    }),
    f("tanh", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).tanh())
    }),
    f("asinh", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).asinh())
    }),
    f("acosh", &[FLOAT8], T::Float8, |_, args| {
        match float(args[0]) {
            value if value < 1.0 => Err(outside()),
            value => real(value.acosh()),
        }
    }),
    f("atanh", &[FLOAT8], T::Float8, |_, args| {
        match float(args[0]) {
            value if !(-1.0..=1.0).contains(&value) && !value.is_nan() => Err(outside()),
            value => real(value.atanh()),
        }
    }),
    f("sind", &[FLOAT8], T::Float8, |_, args| {
        real(sine(angle(args)?))
    }),
    f("cosd", &[FLOAT8], T::Float8, |_, args| {
        real(cosine(angle(args)?))
    }),
    f("tand", &[FLOAT8], T::Float8, |_, args| {
        real(quotient(angle(args)?, |x| sine_q1(x) / cosine_q1(x), 45.0))
    }),
    f("cotd", &[FLOAT8], T::Float8, |_, args| {
        real(quotient(angle(args)?, |x| cosine_q1(x) / sine_q1(x), 45.0))
    }),
    f("asind", &[FLOAT8], T::Float8, |_, args| {
        let value = ratio(args)?;
        real(match value < 0.0 {
            true => -arc_sine_q1(-value),
            false => arc_sine_q1(value),
        })
    }),
    f("acosd", &[FLOAT8], T::Float8, |_, args| {
        let value = ratio(args)?;
        real(match value < 0.0 {
            true => 90.0 + arc_sine_q1(-value),
            false => arc_cosine_q1(value),
        })
    }),
    f("atand", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).atan() / 1_f64.atan() * 45.0)
    }),
    f("atan2d", &[FLOAT8, FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).atan2(float(args[1])) / 1_f64.atan() * 45.0)
    }),
];

const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

fn real(value: f64) -> Outcome {
    Ok(Datum::Float8(value))
}

fn outside() -> SqlError {
    SqlError::new(ErrorKind::NumericValueOutOfRange, "input is out of range")
}

fn angle(args: &[DatumRef<'_>]) -> Result<f64, SqlError> {
    match float(args[0]) {
        value if value.is_infinite() => Err(outside()),
        value => Ok(value),
    }
}

fn ratio(args: &[DatumRef<'_>]) -> Result<f64, SqlError> {
    match float(args[0]) {
        value if !(-1.0..=1.0).contains(&value) && !value.is_nan() => Err(outside()),
        value => Ok(value),
    }
}

// After the functions of these names in PostgreSQL's float.c: scaled so that the angles at which the result is
// rational give it exactly.

fn sine_to_30(degrees: f64) -> f64 {
    (degrees * RADIANS_PER_DEGREE).sin() / (30.0 * RADIANS_PER_DEGREE).sin() / 2.0
}

fn cosine_to_60(degrees: f64) -> f64 {
    let numerator = 1.0 - (degrees * RADIANS_PER_DEGREE).cos();
    1.0 - numerator / (1.0 - (60.0 * RADIANS_PER_DEGREE).cos()) / 2.0
}

fn sine_q1(degrees: f64) -> f64 {
    match degrees <= 30.0 {
        true => sine_to_30(degrees),
        false => cosine_to_60(90.0 - degrees),
    }
}

fn cosine_q1(degrees: f64) -> f64 {
    match degrees <= 60.0 {
        true => cosine_to_60(degrees),
        false => sine_to_30(90.0 - degrees),
    }
}

fn arc_sine_q1(value: f64) -> f64 {
    match value <= 0.5 {
        true => value.asin() / 0.5_f64.asin() * 30.0,
        false => 90.0 - value.acos() / 0.5_f64.acos() * 60.0,
    }
}

fn arc_cosine_q1(value: f64) -> f64 {
    match value <= 0.5 {
        true => 90.0 - value.asin() / 0.5_f64.asin() * 30.0,
        false => value.acos() / 0.5_f64.acos() * 60.0,
    }
}

fn sine(degrees: f64) -> f64 {
    let mut x = degrees % 360.0;
    let mut sign = 1.0;
    if x < 0.0 {
        x = -x;
        sign = -sign;
    }
    if x > 180.0 {
        x = 360.0 - x;
        sign = -sign;
    }
    if x > 90.0 {
        x = 180.0 - x;
    }
    sign * sine_q1(x)
}

fn cosine(degrees: f64) -> f64 {
    let mut x = (degrees % 360.0).abs();
    let mut sign = 1.0;
    if x > 180.0 {
        x = 360.0 - x;
    }
    if x > 90.0 {
        x = 180.0 - x;
        sign = -sign;
    }
    sign * cosine_q1(x)
}

/// The tangent or the cotangent: odd, and of the period 180.
fn quotient(degrees: f64, of: fn(f64) -> f64, unit: f64) -> f64 {
    let mut x = degrees % 360.0;
    let mut sign = 1.0;
    if x < 0.0 {
        x = -x;
        sign = -sign;
    }
    if x > 180.0 {
        x = 360.0 - x;
        sign = -sign;
    }
    if x > 90.0 {
        x = 180.0 - x;
        sign = -sign;
    }
    // Adding it makes a zero positive.
    sign * (of(x) / of(unit)) + 0.0
}
