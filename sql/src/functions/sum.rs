//! `sum`, which gives a numeric for bigints as PostgreSQL's does; DataFusion's wraps around.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};

/// What an int8 is summed as: 10^19 of the largest fit the sum's 38 digits.
const BIGINT: DataType = DataType::Decimal128(28, 0);

#[derive(Debug, PartialEq, Eq, Hash)]
struct PostgresSum {
    sum: Sum,
    signature: Signature,
}

/// The aggregate function `sum`.
pub(crate) fn sum() -> AggregateUDF {
    AggregateUDF::from(PostgresSum {
        sum: Sum::new(),
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

impl AggregateUDFImpl for PostgresSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [ty] = types else {
            return exec_err!("sum takes one argument");
        };
        Ok(vec![match ty {
            DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
            DataType::UInt8 | DataType::UInt16 => DataType::Int64,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => BIGINT,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Null => DataType::Float64,
            ty if ty.is_decimal() => ty.clone(),
            _ => return exec_err!("function sum({ty}) does not exist"),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.sum.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.sum.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.sum.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.sum.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.sum.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.sum.create_sliding_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
