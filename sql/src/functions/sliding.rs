//! Aggregates over window frames that lose rows at their beginning, which DataFusion's of these names cannot: the rows of
//! the frame are kept, and computed anew for each.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

/// The function in a form that a window can slide; `None` when it does by itself.
pub(crate) fn sliding(function: &Arc<AggregateUDF>) -> Option<AggregateUDF> {
    let kind = match function.name() {
        "bool_and" => Kind::And,
        "bool_or" => Kind::Or,
        "string_agg" => Kind::Text,
        "array_agg" => Kind::Array,
        _ => return None,
    };
    let inner = function.clone();
    Some(AggregateUDF::from(Sliding { kind, inner }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    And,
    Or,
    Text,
    Array,
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

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
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
