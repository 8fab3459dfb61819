//! `row_number`, `rank`, `dense_rank` and `ntile` with PostgreSQL's types: DataFusion's are unsigned, which no column is.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_window::ntile::ntile_udwf;
use datafusion::functions_window::rank::{dense_rank_udwf, rank_udwf};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{
    LimitEffect, PartitionEvaluator, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

/// The functions.
pub(crate) fn ranks() -> [Arc<WindowUDF>; 4] {
    [
        (row_number_udwf(), DataType::Int64),
        (rank_udwf(), DataType::Int64),
        (dense_rank_udwf(), DataType::Int64),
        (ntile_udwf(), DataType::Int32),
    ]
    .map(|(unsigned, ty)| Arc::new(WindowUDF::from(Signed { unsigned, ty })))
}

/// A function of DataFusion's with its results as another type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Signed {
    unsigned: Arc<WindowUDF>,
    ty: DataType,
}

impl WindowUDFImpl for Signed {
    fn name(&self) -> &str {
        self.unsigned.name()
    }

    fn signature(&self) -> &Signature {
        self.unsigned.signature()
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.unsigned.expressions(args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            unsigned: self.unsigned.partition_evaluator_factory(args)?,
            ty: self.ty.clone(),
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let field = Arc::unwrap_or_clone(self.unsigned.field(args)?);
        Ok(Arc::new(field.with_data_type(self.ty.clone())))
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.unsigned.sort_options()
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.unsigned.inner().limit_effect(args)
    }
}

#[derive(Debug)]
struct Evaluator {
    unsigned: Box<dyn PartitionEvaluator>,
    ty: DataType,
}

impl PartitionEvaluator for Evaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.unsigned.memoize(state)
    }

    fn get_range(&self, at: usize, rows: usize) -> Result<Range<usize>> {
        self.unsigned.get_range(at, rows)
    }

    fn is_causal(&self) -> bool {
        self.unsigned.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let all = self.unsigned.evaluate_all(values, rows)?;
        Ok(cast(&all, &self.ty)?)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.unsigned.evaluate(values, range)?.cast_to(&self.ty)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        let all = self.unsigned.evaluate_all_with_rank(rows, ranks)?;
        Ok(cast(&all, &self.ty)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.unsigned.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.unsigned.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.unsigned.include_rank()
    }
}
