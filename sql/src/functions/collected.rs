//! Aggregates that see all their values at once: `array_agg` and `string_agg` with ORDER BY or DISTINCT, `mode`,
//! `percentile_disc`, `percentile_cont`, and `min` and `max` of types that do not sort as their Arrow types do. Each has
//! an order of its own, so that any of them stand beside each other.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
};

use tidelog_storage::ColumnType;
use tidelog_storage::datum::{ColumnBuilder, datum_at, elements_type, shaped_of};

use super::array::dimensions::accumulated;
use crate::error::{ErrorKind, SqlError};
use crate::output;
use crate::precision::unlimited;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Array,
    Text,
    Mode,
    Discrete,
    Continuous,
    /// The first in the order.
    First,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collected {
    name: String,
    kind: Kind,
    /// How many arguments come before the sort keys.
    width: usize,
    /// The order of each sort key: descending, NULLs first.
    order: Vec<(bool, bool)>,
    distinct: bool,
    signature: Signature,
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "array_agg" => Kind::Array,
        "string_agg" => Kind::Text,
        "mode" => Kind::Mode,
        "percentile_disc" => Kind::Discrete,
        "percentile_cont" => Kind::Continuous,
        "min" | "max" => Kind::First,
        _ => return None,
    })
}

fn made(
    name: &str,
    kind: Kind,
    width: usize,
    order: Vec<(bool, bool)>,
    distinct: bool,
) -> Collected {
    Collected {
        name: name.to_string(),
        kind,
        width,
        order,
        distinct,
        signature: Signature::user_defined(Volatility::Immutable),
    }
}

/// The functions that a statement calls WITHIN GROUP.
pub(crate) fn ordered_sets() -> impl Iterator<Item = AggregateUDF> {
    let sets = [
        ("mode", Kind::Mode),
        ("percentile_disc", Kind::Discrete),
        ("percentile_cont", Kind::Continuous),
    ];
    sets.into_iter().map(|(name, kind)| {
        let width = if kind == Kind::Mode { 1 } else { 2 };
        AggregateUDF::from(made(name, kind, width, Vec::new(), false))
    })
}

/// `array_agg`, which tells of what type its array is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayAgg {
    plain: Arc<AggregateUDF>,
}

/// DataFusion's `array_agg`, whose arrays have the types of their elements.
pub(crate) fn array_agg() -> AggregateUDF {
    AggregateUDF::from(ArrayAgg {
        plain: array_agg_udaf(),
    })
}

/// The field with the type of an array of this field's type.
fn array_field(field: Field, element: &Field) -> Field {
    let ty = output::column_type(element)
        .ok()
        .map(unlimited)
        .and_then(ColumnType::array);
    let tagged = ty.map(|ty| ty.field("", true));
    match tagged.filter(|tagged| tagged.data_type() == field.data_type()) {
        Some(tagged) => field.with_metadata(tagged.metadata().clone()),
        None => field,
    }
}

impl AggregateUDFImpl for ArrayAgg {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn signature(&self) -> &Signature {
        self.plain.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.plain.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let plain = self.plain.return_field(fields)?;
        Ok(Arc::new(array_field(plain.as_ref().clone(), &fields[0])))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.plain.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.plain.accumulator(args)
    }
}

/// A call that must collect its values, or is told to, as one that does, with its sort keys as arguments; `None` for
/// other calls.
pub(crate) fn collecting(
    call: &AggregateFunction,
    told: bool,
) -> Result<Option<AggregateFunction>> {
    let AggregateFunctionParams {
        args,
        distinct,
        filter,
        order_by,
        ..
    } = &call.params;
    let Some(kind) = kind(call.func.name()).filter(|kind| *kind != Kind::First) else {
        return Ok(None);
    };
    if call
        .func
        .inner()
        .downcast_ref::<Collected>()
        .is_some_and(|c| !c.order.is_empty())
    {
        return Ok(None);
    }
    if order_by.is_empty() && !distinct && !told && matches!(kind, Kind::Array | Kind::Text) {
        return Ok(None);
    }
    let order = order_by.iter().map(|key| (!key.asc, key.nulls_first));
    let function = made(
        call.func.name(),
        kind,
        args.len(),
        order.collect(),
        *distinct,
    );
    let keys = order_by.iter().map(|key| key.expr.clone());
    let args = args.iter().cloned().chain(keys).collect();
    Ok(Some(AggregateFunction::new_udf(
        Arc::new(AggregateUDF::from(function)),
        args,
        false,
        filter.clone(),
        Vec::new(),
        None,
    )))
}

/// `min` or `max` of what sorts as a second argument says.
pub(crate) fn extreme_by_key(name: &str) -> Arc<AggregateUDF> {
    let order = vec![(name == "max", false)];
    let function = made(name, Kind::First, 1, order, false);
    Arc::new(AggregateUDF::from(function))
}

/// `min` or `max` of what sorts as `key`.
pub(crate) fn extreme(call: AggregateFunction, key: Expr) -> AggregateFunction {
    let mut args = call.params.args;
    args.push(key);
    AggregateFunction::new_udf(
        extreme_by_key(call.func.name()),
        args,
        false,
        call.params.filter,
        Vec::new(),
        None,
    )
}

/// Numerics with scales of their own.
const NUMBER: DataType = DataType::LargeBinary;

impl AggregateUDFImpl for Collected {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ordered_set = matches!(self.kind, Kind::Mode | Kind::Discrete | Kind::Continuous);
        if ordered_set && types.len() < self.width {
            return Err(super::undefined(&self.name, types));
        }
        let mut types = types.to_vec();
        match (self.kind, types.as_mut_slice()) {
            (Kind::Text, [value, delimiter, ..]) => {
                for ty in [value, delimiter] {
                    if ty.is_null() {
                        *ty = DataType::Utf8;
                    }
                }
            }
            (Kind::Discrete | Kind::Continuous, [value, fraction, ..]) => {
                // Numerics are cast to floats once types are known (`plan::calls`).
                if *fraction == NUMBER {
                } else if fraction.is_numeric() || fraction.is_null() {
                    *fraction = DataType::Float64;
                } else if let DataType::List(item) = fraction
                    && *item.data_type() == NUMBER
                {
                } else if let DataType::List(_) = fraction {
                    let item = Field::new_list_field(DataType::Float64, true);
                    *fraction = DataType::List(Arc::new(item));
                } else {
                    return Err(super::undefined(
                        &self.name,
                        &[fraction.clone(), value.clone()],
                    ));
                }
                if self.kind == Kind::Continuous {
                    if *value == NUMBER {
                    } else if value.is_numeric() || value.is_null() {
                        *value = DataType::Float64;
                    } else if matches!(value, DataType::Interval(_)) {
                        let what = "percentile_cont() of intervals";
                        let error = SqlError::unsupported(what);
                        return Err(DataFusionError::External(Box::new(error)));
                    } else {
                        return Err(super::undefined(
                            &self.name,
                            &[fraction.clone(), value.clone()],
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let list =
            |ty: &DataType| DataType::List(Arc::new(Field::new_list_field(ty.clone(), true)));
        if self.kind == Kind::Continuous && types[0] == NUMBER {
            return Ok(match types.get(1) {
                Some(DataType::List(_)) => list(&DataType::Float64),
                _ => DataType::Float64,
            });
        }
        Ok(match self.kind {
            Kind::Array => shaped_of(&types[0]).unwrap_or_else(|| list(&types[0])),
            Kind::Discrete | Kind::Continuous
                if matches!(types.get(1), Some(DataType::List(_))) =>
            {
                list(&types[0])
            }
            _ => types[0].clone(),
        })
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        let ty = self.return_type(&types)?;
        if elements_type(&ty).is_some() && self.kind == Kind::Array {
            let array = output::column_type(&fields[0]);
            let array = array.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let shaped = array.elements().map_or(array, ColumnType::Shaped);
            return Ok(Arc::new(unlimited(shaped).field(self.name(), true)));
        }
        let metadata = match output::column_type(&fields[0]) {
            Ok(ty) if self.kind == Kind::Text && ty != ColumnType::Bytea => {
                ColumnType::Text.field("", true).metadata().clone()
            }
            // How many spaces stand behind a char(n) is told by its type alone.
            Ok(ty) if unlimited(ty) != ty && !matches!(ty, ColumnType::Bpchar(_)) => {
                unlimited(ty).field("", true).metadata().clone()
            }
            _ => fields[0].metadata().clone(),
        };
        let field = match &ty {
            // An array's element type is told by the metadata of its item.
            DataType::List(_) if ty != types[0] => {
                let item = Field::new_list_field(types[0].clone(), true).with_metadata(metadata);
                Field::new(self.name(), DataType::List(Arc::new(item)), true)
            }
            _ => Field::new(self.name(), ty, true).with_metadata(metadata),
        };
        Ok(Arc::new(field))
    }

    fn supports_within_group_clause(&self) -> bool {
        matches!(self.kind, Kind::Mode | Kind::Discrete | Kind::Continuous)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = args.input_fields.iter().enumerate();
        Ok(fields
            .map(|(n, field)| {
                let item = Field::new_list_field(field.data_type().clone(), true);
                let list = DataType::List(Arc::new(item));
                Arc::new(Field::new(format!("{} {n}", args.name), list, true))
            })
            .collect())
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let types = args
            .expr_fields
            .iter()
            .map(|field| field.data_type().clone());
        Ok(Box::new(Rows {
            name: self.name.clone(),
            kind: self.kind,
            width: self.width,
            order: self.order.clone(),
            distinct: self.distinct,
            result: args.return_field.data_type().clone(),
            types: types.collect(),
            chunks: Vec::new(),
        }))
    }
}

/// The rows so far: each chunk has an array for each argument.
#[derive(Debug)]
struct Rows {
    name: String,
    kind: Kind,
    width: usize,
    order: Vec<(bool, bool)>,
    distinct: bool,
    result: DataType,
    types: Vec<DataType>,
    chunks: Vec<Vec<ArrayRef>>,
}

impl Rows {
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let column = |n: usize| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> = self.chunks.iter().map(|c| c[n].as_ref()).collect();
            match parts.is_empty() {
                true => Ok(arrow::array::new_empty_array(&self.types[n])),
                false => Ok(concat(&parts)?),
            }
        };
        (0..self.types.len()).map(column).collect()
    }

    /// The rows in their order, without what does not count.
    fn indices(&self, columns: &[ArrayRef]) -> Result<Vec<u32>> {
        let rows = u32::try_from(columns[0].len()).map_err(|_| {
            let message = "an aggregate of more than 2^32 rows";
            let error = SqlError::new(ErrorKind::ProgramLimitExceeded, message);
            DataFusionError::External(Box::new(error))
        })?;
        let mut indices: Vec<u32> = (0..rows).collect();
        if self.kind != Kind::Array {
            indices.retain(|row| columns[0].is_valid(*row as usize));
        }
        let mut keys: Vec<(usize, SortOptions)> = Vec::new();
        for (n, (descending, nulls_first)) in self.order.iter().enumerate() {
            let options = SortOptions::new(*descending, *nulls_first);
            keys.push((self.width + n, options));
        }
        if !keys.is_empty() {
            let rows = sort_rows(columns, &keys)?;
            indices.sort_by(|a, b| rows[*a as usize].cmp(&rows[*b as usize]));
            if self.distinct {
                // Each argument is a sort key, so that equal rows stand together.
                indices.dedup_by(|a, b| rows[*a as usize] == rows[*b as usize]);
            }
        }
        Ok(indices)
    }

    fn array(&self, columns: &[ArrayRef], indices: Vec<u32>) -> Result<ScalarValue> {
        if indices.is_empty() {
            return ScalarValue::try_from(&self.result);
        }
        let values = take(&columns[0], &UInt32Array::from(indices), None)?;
        if elements_type(&self.result).is_some() {
            return stacked(&values);
        }
        let mut made = ScalarValue::try_from(&self.result)?;
        if let (ScalarValue::List(list), DataType::List(item)) = (&mut made, &self.result) {
            *list = Arc::new(arrow::array::ListArray::new(
                item.clone(),
                arrow::buffer::OffsetBuffer::from_lengths([values.len()]),
                values,
                None,
            ));
        }
        Ok(made)
    }

    fn text(&self, columns: &[ArrayRef], indices: &[u32]) -> Result<ScalarValue> {
        if indices.is_empty() {
            return ScalarValue::try_from(&self.result);
        }
        let bytes = |n: usize, row: u32| -> Result<Option<Vec<u8>>> {
            let array = arrow::compute::cast(&columns[n], &DataType::Binary)?;
            let array = array.as_binary::<i32>();
            let row = row as usize;
            Ok(array.is_valid(row).then(|| array.value(row).to_vec()))
        };
        let mut all = Vec::new();
        for (n, row) in indices.iter().enumerate() {
            if n > 0 {
                all.extend(bytes(1, *row)?.unwrap_or_default());
            }
            all.extend(bytes(0, *row)?.unwrap_or_default());
        }
        let made = ScalarValue::Binary(Some(all));
        made.cast_to(&self.result)
    }

    fn mode(&self, columns: &[ArrayRef], indices: &[u32]) -> Result<ScalarValue> {
        // Values are equal where their sort key is.
        let rows = sort_rows(columns, &[(self.width, SortOptions::new(false, false))])?;
        let mut best: Option<(usize, u32)> = None;
        let equal = |a: &u32, b: &u32| rows[*a as usize] == rows[*b as usize];
        for group in indices.chunk_by(equal) {
            if best.is_none_or(|(count, _)| group.len() > count) {
                best = Some((group.len(), group[0]));
            }
        }
        match best {
            Some((_, row)) => ScalarValue::try_from_array(&columns[0], row as usize),
            None => ScalarValue::try_from(&self.result),
        }
    }

    fn percentiles(&self, columns: &[ArrayRef], indices: &[u32]) -> Result<ScalarValue> {
        let null = || ScalarValue::try_from(&self.result);
        // The fraction is the same in every row.
        if indices.is_empty() || columns[1].is_null(0) {
            return null();
        }
        let DataType::List(item) = &self.result else {
            let fraction = columns[1].as_primitive::<Float64Type>().value(0);
            return self.percentile(&columns[0], indices, fraction);
        };
        if !matches!(columns[1].data_type(), DataType::List(_)) {
            let fraction = columns[1].as_primitive::<Float64Type>().value(0);
            return self.percentile(&columns[0], indices, fraction);
        }
        let fractions = columns[1].as_list::<i32>().value(0);
        let fractions = fractions.as_primitive::<Float64Type>();
        let each = fractions.iter().map(|fraction| match fraction {
            Some(fraction) => self.percentile(&columns[0], indices, fraction),
            None => ScalarValue::try_from(item.data_type()),
        });
        let each = each.collect::<Result<Vec<_>>>()?;
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(
            &each,
            item.data_type(),
        )))
    }

    fn percentile(&self, values: &ArrayRef, indices: &[u32], fraction: f64) -> Result<ScalarValue> {
        if !(0.0..=1.0).contains(&fraction) {
            let message = format!("percentile value {fraction} is not between 0 and 1");
            let error = SqlError::new(ErrorKind::NumericValueOutOfRange, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        let count = indices.len() as f64;
        let value = |at: f64| indices[at as usize] as usize;
        if self.kind == Kind::Discrete {
            let at = (fraction * count).ceil().max(1.0) - 1.0;
            return ScalarValue::try_from_array(values, value(at));
        }
        let at = fraction * (count - 1.0);
        let floats = values.as_primitive::<Float64Type>();
        let (low, high) = (
            floats.value(value(at.floor())),
            floats.value(value(at.ceil())),
        );
        let between = match at.floor() == at.ceil() {
            true => low,
            false => low + (at - at.floor()) * (high - low),
        };
        Ok(ScalarValue::Float64(Some(between)))
    }
}

/// Arrays as one array of one more dimension.
fn stacked(arrays: &ArrayRef) -> Result<ScalarValue> {
    let external = |error| DataFusionError::External(Box::new(error));
    let array = Field::new("", arrays.data_type().clone(), true);
    let array = output::column_type(&array).map_err(external)?;
    let shaped = array.elements().map_or(array, ColumnType::Shaped);
    let arrays = output::conform(arrays, shaped).map_err(external)?;
    let values = (0..arrays.len()).filter_map(|row| datum_at(&arrays, row));
    let made = accumulated(values).map_err(external)?;
    let mut builder = ColumnBuilder::new(shaped);
    builder.append(made.as_ref());
    ScalarValue::try_from_array(&builder.finish(), 0)
}

/// The `array_agg` of arrays.
pub(crate) fn array_agg_of_arrays() -> Arc<AggregateUDF> {
    let function = made("array_agg", Kind::Array, 1, Vec::new(), false);
    Arc::new(AggregateUDF::from(function))
}

/// The same, of a column by the order of another.
pub(crate) fn ordered_array_agg_of_arrays(value: Expr, order: Expr) -> Expr {
    let function = made("array_agg", Kind::Array, 1, vec![(false, false)], false);
    let function = Arc::new(AggregateUDF::from(function));
    let args = vec![value, order];
    let call = AggregateFunction::new_udf(function, args, false, None, Vec::new(), None);
    Expr::AggregateFunction(call)
}

/// Whether a function is one of these.
pub(crate) fn is_one(function: &AggregateUDF) -> bool {
    function.inner().downcast_ref::<Collected>().is_some()
}

fn sort_rows(columns: &[ArrayRef], keys: &[(usize, SortOptions)]) -> Result<Vec<OwnedRow>> {
    let fields = keys
        .iter()
        .map(|(n, options)| SortField::new_with_options(columns[*n].data_type().clone(), *options));
    let converter = RowConverter::new(fields.collect())?;
    let keys: Vec<ArrayRef> = keys.iter().map(|(n, _)| columns[*n].clone()).collect();
    let rows = converter.convert_columns(&keys)?;
    Ok(rows.iter().map(|row| row.owned()).collect())
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if !values[0].is_empty() {
            self.chunks.push(values.to_vec());
        }
        Ok(())
    }

    /// The rows that leave a frame are those that came first.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut gone = values[0].len();
        while gone > 0
            && let Some(first) = self.chunks.first_mut()
        {
            let rows = first[0].len();
            if rows <= gone {
                self.chunks.remove(0);
                gone -= rows;
                continue;
            }
            for column in first {
                *column = column.slice(gone, rows - gone);
            }
            gone = 0;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self.columns()?;
        let indices = self.indices(&columns)?;
        match self.kind {
            Kind::Array => self.array(&columns, indices),
            Kind::Text => self.text(&columns, &indices),
            Kind::Mode => self.mode(&columns, &indices),
            Kind::Discrete | Kind::Continuous => self.percentiles(&columns, &indices),
            Kind::First => match indices.first() {
                Some(row) => ScalarValue::try_from_array(&columns[0], *row as usize),
                None => ScalarValue::try_from(&self.result),
            },
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.columns()?.into_iter();
        Ok(columns
            .map(|values| {
                let item = Field::new_list_field(values.data_type().clone(), true);
                ScalarValue::List(Arc::new(arrow::array::ListArray::new(
                    Arc::new(item),
                    arrow::buffer::OffsetBuffer::from_lengths([values.len()]),
                    values,
                    None,
                )))
            })
            .collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let chunk: Vec<ArrayRef> = states
                .iter()
                .map(|state| state.as_list::<i32>().value(row))
                .collect();
            if !chunk[0].is_empty() {
                self.chunks.push(chunk);
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let chunks = self.chunks.iter().flatten();
        let held: usize = chunks.map(|array| array.get_array_memory_size()).sum();
        size_of_val(self) + self.name.len() + held
    }
}
