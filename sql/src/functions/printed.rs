//! Functions of types that are kept as their texts, and what their values are sorted by.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidelog_storage::PrintedType;

use super::call::dsl::*;
use crate::text::printed;

const INET: Param = Param::Of(T::Printed(PrintedType::Inet));
const TID: Param = Param::Of(T::Printed(PrintedType::Tid));
const POINT: Param = Param::Of(T::Printed(PrintedType::Point));

/// The function that gives the `ctid` of a row with a Seq.
pub(crate) const PLACE_OF_SEQ: &str = "pg_place_of_seq";

/// The function that gives the Seq of a row with a `ctid`.
pub(crate) const SEQ_OF_PLACE: &str = "pg_seq_of_place";

pub(super) const FUNCTIONS: &[Function] = &[
    f("host", &[INET], T::Text, |_, args| {
        string(printed::shown_address(address(args)?.0))
    }),
    f("family", &[INET], T::Int4, |_, args| {
        Ok(Datum::Int4(if address(args)?.0.is_ipv6() { 6 } else { 4 }))
    }),
    f("masklen", &[INET], T::Int4, |_, args| {
        Ok(Datum::Int4(address(args)?.1.into()))
    }),
    f(
        "network",
        &[INET],
        T::Printed(PrintedType::Cidr),
        |_, args| {
            let (address, bits) = address(args)?;
            string(format!(
                "{}/{bits}",
                printed::shown_address(printed::network(address, bits))
            ))
        },
    ),
    f(
        PLACE_OF_SEQ,
        &[INT8],
        T::Printed(PrintedType::Tid),
        |_, args| {
            let seq = int(args[0]).cast_unsigned();
            string(printed::shown_tid(seq >> 16, seq as u16))
        },
    ),
    f(SEQ_OF_PLACE, &[TID], T::Int8, |_, args| {
        let place = printed::tid(text(args[0]));
        let seq = place.map(|(block, offset)| block << 16 | u64::from(offset));
        Ok(seq.map_or(Datum::Null, |seq| Datum::Int8(seq.cast_signed())))
    }),
    f(
        "point",
        &[FLOAT8, FLOAT8],
        T::Printed(PrintedType::Point),
        |_, args| string(printed::shown_point((float(args[0]), float(args[1])))),
    ),
    f(
        "box",
        &[POINT, POINT],
        T::Printed(PrintedType::Box),
        |_, args| string(printed::shown_box(corner(args[0])?, corner(args[1])?)),
    ),
];

fn address(args: &[DatumRef<'_>]) -> std::result::Result<(std::net::IpAddr, u8), SqlError> {
    printed::inet(text(args[0])).ok_or_else(|| refused("no address"))
}

fn corner(value: DatumRef<'_>) -> std::result::Result<(f64, f64), SqlError> {
    let points = printed::points(text(value)).map(|(_, points)| points);
    let point = points.and_then(|points| points.first().copied());
    point.ok_or_else(|| refused("no point"))
}

/// The function that gives what the values of a type are sorted by.
pub(crate) fn order(of: PrintedType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Order {
        of,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    of: PrintedType,
    signature: Signature,
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &str {
        "printed_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let texts = arrow::compute::cast(&array, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter();
        let keys = texts.map(|text| text.and_then(|text| printed::key(self.of, text)));
        let keys: BinaryArray = keys.collect();
        Ok(match &args.args[0] {
            ColumnarValue::Scalar(_) if keys.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&keys, 0)?)
            }
            _ => ColumnarValue::Array(Arc::new(keys)),
        })
    }
}
