//! `corr`, `covar_…` and `regr_…` of pairs of floating-point numbers, as PostgreSQL computes them: by Youngs and Cramer's
//! method (float8_regr_accum and its like).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use crate::arithmetic::one_nan;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Correlation,
    CovarianceOfPopulation,
    CovarianceOfSample,
    Slope,
    Intercept,
    Determination,
    AverageX,
    AverageY,
    SquaresX,
    SquaresY,
    Products,
}

const KINDS: [(&str, Kind); 11] = [
    ("corr", Kind::Correlation),
    ("covar_pop", Kind::CovarianceOfPopulation),
    ("covar_samp", Kind::CovarianceOfSample),
    ("regr_slope", Kind::Slope),
    ("regr_intercept", Kind::Intercept),
    ("regr_r2", Kind::Determination),
    ("regr_avgx", Kind::AverageX),
    ("regr_avgy", Kind::AverageY),
    ("regr_sxx", Kind::SquaresX),
    ("regr_syy", Kind::SquaresY),
    ("regr_sxy", Kind::Products),
];

/// The aggregate functions.
pub(crate) fn pairs() -> impl Iterator<Item = AggregateUDF> {
    KINDS.into_iter().map(|(name, kind)| {
        AggregateUDF::from(OfPairs {
            name,
            kind,
            signature: Signature::exact(
                vec![DataType::Float64, DataType::Float64],
                Volatility::Immutable,
            ),
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfPairs {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl AggregateUDFImpl for OfPairs {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("DISTINCT in {}", self.name);
        }
        Ok(Box::new(State {
            kind: self.kind,
            sums: Sums::default(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |what| Field::new(format!("{} {what}", args.name), DataType::Float64, true);
        let names = ["count", "x", "xx", "y", "yy", "xy"];
        Ok(names.map(field).map(Arc::new).to_vec())
    }
}

/// Sums of the values, and of squares and products of what they are off their averages.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    x: f64,
    xx: f64,
    y: f64,
    yy: f64,
    xy: f64,
}

impl Sums {
    fn add(&mut self, y: f64, x: f64) -> Result<()> {
        let before = *self;
        self.count += 1.0;
        self.x += x;
        self.y += y;
        if before.count > 0.0 {
            let (off_x, off_y) = (x * self.count - self.x, y * self.count - self.y);
            let scale = 1.0 / (self.count * before.count);
            self.xx += off_x * off_x * scale;
            self.yy += off_y * off_y * scale;
            self.xy += off_x * off_y * scale;
            self.check(&before, x, y)
        } else {
            // What is not finite makes what is computed of it NaN.
            if !x.is_finite() {
                (self.xx, self.xy) = (f64::NAN, f64::NAN);
            }
            if !y.is_finite() {
                (self.yy, self.xy) = (f64::NAN, f64::NAN);
            }
            Ok(())
        }
    }

    fn merge(&mut self, other: Sums) -> Result<()> {
        if self.count == 0.0 {
            *self = other;
            return Ok(());
        }
        if other.count == 0.0 {
            return Ok(());
        }
        let own = *self;
        self.count += other.count;
        self.x += other.x;
        self.y += other.y;
        let off_x = own.x / own.count - other.x / other.count;
        let off_y = own.y / own.count - other.y / other.count;
        let weight = own.count * other.count;
        self.xx = own.xx + other.xx + weight * off_x * off_x / self.count;
        self.yy = own.yy + other.yy + weight * off_y * off_y / self.count;
        self.xy = own.xy + other.xy + weight * off_x * off_y / self.count;
        let overflows = self.x.is_infinite() && own.x.is_finite() && other.x.is_finite()
            || self.y.is_infinite() && own.y.is_finite() && other.y.is_finite()
            || self.xx.is_infinite() && own.xx.is_finite() && other.xx.is_finite()
            || self.yy.is_infinite() && own.yy.is_finite() && other.yy.is_finite()
            || self.xy.is_infinite() && own.xy.is_finite() && other.xy.is_finite();
        match overflows {
            true => Err(super::sum::overflow()),
            false => Ok(()),
        }
    }

    /// Refuses what became too large, but takes what was infinite before for NaN.
    fn check(&mut self, before: &Sums, x: f64, y: f64) -> Result<()> {
        let all = [self.x, self.xx, self.y, self.yy, self.xy];
        if !all.into_iter().any(f64::is_infinite) {
            return Ok(());
        }
        let is_new = |of: f64, before: f64, value: f64| {
            of.is_infinite() && !before.is_infinite() && !value.is_infinite()
        };
        let (new_x, new_y) = (is_new(self.x, before.x, x), is_new(self.y, before.y, y));
        let new_xx = is_new(self.xx, before.x, x);
        let new_yy = is_new(self.yy, before.y, y);
        let new_xy = is_new(self.xy, before.x, x) && is_new(self.xy, before.y, y);
        if new_x || new_y || new_xx || new_yy || new_xy {
            return Err(super::sum::overflow());
        }
        for sum in [&mut self.xx, &mut self.yy, &mut self.xy] {
            if sum.is_infinite() {
                *sum = f64::NAN;
            }
        }
        Ok(())
    }

    fn result(&self, kind: Kind) -> Option<f64> {
        let Sums {
            count,
            x,
            xx,
            y,
            yy,
            xy,
        } = *self;
        if count < 1.0 {
            return None;
        }
        match kind {
            Kind::Correlation => (xx != 0.0 && yy != 0.0).then(|| xy / (xx * yy).sqrt()),
            Kind::CovarianceOfPopulation => Some(xy / count),
            Kind::CovarianceOfSample => (count >= 2.0).then(|| xy / (count - 1.0)),
            Kind::Slope => (xx != 0.0).then(|| xy / xx),
            Kind::Intercept => (xx != 0.0).then(|| (y - x * xy / xx) / count),
            Kind::Determination if xx == 0.0 => None,
            // All on one level.
            Kind::Determination if yy == 0.0 => Some(1.0),
            Kind::Determination => Some((xy * xy) / (xx * yy)),
            Kind::AverageX => Some(x / count),
            Kind::AverageY => Some(y / count),
            Kind::SquaresX => Some(xx),
            Kind::SquaresY => Some(yy),
            Kind::Products => Some(xy),
        }
    }
}

#[derive(Debug)]
struct State {
    kind: Kind,
    sums: Sums,
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (ys, xs) = (
            values[0].as_primitive::<Float64Type>(),
            values[1].as_primitive::<Float64Type>(),
        );
        let pairs = ys.iter().zip(xs).filter_map(|(y, x)| y.zip(x));
        for (y, x) in pairs {
            self.sums.add(y, x)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let result = self.sums.result(self.kind);
        Ok(ScalarValue::Float64(result.map(one_nan)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let of = self.sums;
        let sums = [of.count, of.x, of.xx, of.y, of.yy, of.xy];
        Ok(sums.map(|sum| ScalarValue::Float64(Some(sum))).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let column = |at: usize| states[at].as_primitive::<Float64Type>();
        for row in 0..states[0].len() {
            self.sums.merge(Sums {
                count: column(0).value(row),
                x: column(1).value(row),
                xx: column(2).value(row),
                y: column(3).value(row),
                yy: column(4).value(row),
                xy: column(5).value(row),
            })?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
