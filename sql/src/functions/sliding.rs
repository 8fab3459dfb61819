//! Aggregates over window frames that lose rows at their beginning, which DataFusion's of these names cannot, or not without
//! leaving something of these rows behind: the rows of the frame are kept, and computed anew for each. Others are DataFusion's
//! own, but for the order that it sees in what they give: it forgets that they give NULL as long as no row has a value, and
//! that what leaves a frame may have been its greatest.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use super::collected;

/// The function in a form that a window can slide; `None` when it does by itself.
pub(crate) fn sliding(function: &Arc<AggregateUDF>) -> Option<AggregateUDF> {
    if collected::is_one(function) {
        return None;
    }
    let kind = match function.name() {
        "bool_and" => Kind::And,
        "bool_or" => Kind::Or,
        "string_agg" => Kind::Text,
        "array_agg" => Kind::Array,
        // What floats add to a sum does not go away again by taking it off.
        "sum" | "avg" | "corr" => Kind::Floats,
        "count" | "max" | "min" => Kind::Own,
        name if FLOATS.iter().any(|prefix| name.starts_with(prefix)) => Kind::Floats,
        _ => return None,
    };
    let inner = function.clone();
    Some(AggregateUDF::from(Sliding { kind, inner }))
}

/// How the names of other aggregates begin that add up floats.
const FLOATS: [&str; 5] = ["var_", "variance", "stddev", "covar_", "regr_"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    And,
    Or,
    Text,
    Array,
    Floats,
    /// As the function itself does it.
    Own,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sliding {
    kind: Kind,
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Sliding {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(ty)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if self.kind == Kind::Floats {
            let is_float = |field: &FieldRef| field.data_type().is_floating();
            return match args.expr_fields.iter().any(is_float) {
                true => Ok(Box::new(Anew::new(self.inner.clone(), &args))),
                false => self.inner.create_sliding_accumulator(args),
            };
        }
        if self.kind == Kind::Own {
            return self.inner.create_sliding_accumulator(args);
        }
        Ok(Box::new(Frame {
            kind: self.kind,
            ty: args.return_field.data_type().clone(),
            rows: VecDeque::new(),
        }))
    }
}

/// The arguments of each row of a frame.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    ty: DataType,
    rows: VecDeque<Vec<ScalarValue>>,
}

impl Accumulator for Frame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            let args = values
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row));
            self.rows.push_back(args.collect::<Result<_>>()?);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.drain(..values[0].len().min(self.rows.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let bools = self.rows.iter().filter_map(|args| match &args[0] {
            ScalarValue::Boolean(value) => *value,
            _ => None,
        });
        Ok(match self.kind {
            Kind::And => ScalarValue::Boolean(bools.reduce(|all, value| all && value)),
            Kind::Or => ScalarValue::Boolean(bools.reduce(|some, value| some || value)),
            Kind::Text => {
                let mut joined: Option<String> = None;
                for args in &self.rows {
                    let Some(Some(text)) = args[0].try_as_str() else {
                        continue;
                    };
                    match &mut joined {
                        None => joined = Some(text.to_string()),
                        Some(joined) => {
                            let delimiter = args.get(1).and_then(|arg| arg.try_as_str());
                            joined.push_str(delimiter.flatten().unwrap_or_default());
                            joined.push_str(text);
                        }
                    }
                }
                ScalarValue::Utf8(joined).cast_to(&self.ty)?
            }
            Kind::Array => match &self.ty {
                DataType::List(item) if !self.rows.is_empty() => {
                    let values: Vec<ScalarValue> =
                        self.rows.iter().map(|args| args[0].clone()).collect();
                    let list = ScalarValue::new_list_nullable(&values, item.data_type());
                    ScalarValue::List(list)
                }
                ty => ScalarValue::try_from(ty)?,
            },
            Kind::Floats | Kind::Own => {
                return datafusion::common::internal_err!("they are computed by their function");
            }
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        datafusion::common::internal_err!("a window's frame is not merged")
    }

    fn size(&self) -> usize {
        let rows = self.rows.iter().flatten();
        size_of_val(self) + rows.map(ScalarValue::size).sum::<usize>()
    }
}

/// A function and what its accumulators are made by, with the arguments of the frame's rows.
#[derive(Debug)]
struct Anew {
    function: Arc<AggregateUDF>,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
    /// A column for each argument.
    rows: Option<Vec<ArrayRef>>,
}

impl Anew {
    fn new(function: Arc<AggregateUDF>, args: &AccumulatorArgs) -> Anew {
        Anew {
            function,
            return_field: args.return_field.clone(),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys.to_vec(),
            is_reversed: args.is_reversed,
            name: args.name.to_string(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
            rows: None,
        }
    }

    /// The function over the frame's rows.
    fn computed(&self) -> Result<Box<dyn Accumulator>> {
        let mut made = self.function.accumulator(AccumulatorArgs {
            return_field: self.return_field.clone(),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })?;
        if let Some(rows) = &self.rows {
            made.update_batch(rows)?;
        }
        Ok(made)
    }
}

impl Accumulator for Anew {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows = Some(match self.rows.take() {
            None => values.to_vec(),
            Some(rows) => {
                let longer = rows
                    .iter()
                    .zip(values)
                    .map(|(rows, more)| concat(&[rows.as_ref(), more.as_ref()]));
                longer.collect::<std::result::Result<_, _>>()?
            }
        });
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for column in self.rows.iter_mut().flatten() {
            let gone = values[0].len().min(column.len());
            *column = column.slice(gone, column.len() - gone);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.computed()?.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.computed()?.state()
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        datafusion::common::internal_err!("a window's frame is not merged")
    }

    fn size(&self) -> usize {
        let columns = self.rows.iter().flatten();
        let columns = columns.map(|column| column.get_array_memory_size());
        size_of_val(self) + columns.sum::<usize>()
    }
}
