//! `Constant`: a literal of a subscription's condition, which is held as long as that. DataFusion's holds a whole field beside its
//! value, four times as much.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant(ScalarValue);

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PhysicalExpr for Constant {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.0.data_type())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(self.0.is_null())
    }

    fn evaluate(&self, _: &RecordBatch) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.0.clone()))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same condition, with such constants beside its signs.
pub(super) fn with_constants(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Ok(Arc::new(Constant(literal.value().clone())));
    }
    if expr.downcast_ref::<BinaryExpr>().is_none() {
        return Ok(expr);
    }
    let operands = expr.children().into_iter().cloned().map(with_constants);
    let operands = operands.collect::<Result<_>>()?;
    expr.with_new_children(operands)
}

/// The value, if an expression is no more than one.
pub(super) fn value_of(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    let literal = expr.downcast_ref::<Literal>().map(Literal::value);
    literal.or_else(|| Some(&expr.downcast_ref::<Constant>()?.0))
}
