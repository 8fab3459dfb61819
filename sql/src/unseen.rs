//! UNION in WITH RECURSIVE of values that look different where they are equal (`1` and `1.0` of numeric): a row counts as seen
//! by what its values are compared by. DataFusion goes by what they look like.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use crate::output;
use crate::plan::{is_outer, looks_vary, sorted_by};
use crate::provider::properties;

/// Makes recursive queries of distinct rows go by the values of these, where looks do not tell.
pub(crate) fn distinct_by_value(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let query = node.downcast_ref::<RecursiveQueryExec>();
        let Some(query) = query.filter(|query| query.is_distinct()) else {
            return Ok(Transformed::no(node));
        };
        let schema = query.schema();
        let Some(keys) = keys(&schema)? else {
            return Ok(Transformed::no(node));
        };
        let seen = Arc::new(Mutex::new(None));
        let unseen = |input: &Arc<dyn ExecutionPlan>, is_first| {
            Arc::new(UnseenExec {
                input: input.clone(),
                is_first,
                keys: keys.clone(),
                seen: Arc::clone(&seen),
                properties: properties(input.schema(), 1),
            })
        };
        let query = RecursiveQueryExec::try_new(
            query.name().to_string(),
            schema,
            unseen(query.static_term(), true),
            unseen(query.recursive_term(), false),
            false,
        )?;
        Ok(Transformed::yes(Arc::new(query)))
    })
    .data()
}

type Keys = Arc<[Arc<dyn PhysicalExpr>]>;

/// What the rows' values are compared by; `None` where that is how they look.
fn keys(schema: &SchemaRef) -> Result<Option<Keys>> {
    let mut any = false;
    let keys = schema.fields().iter().enumerate().map(|(at, field)| {
        let column = Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>;
        let ty = output::column_type(field).ok();
        let ty = ty.filter(|ty| looks_vary(*ty) && !is_outer(field.name()));
        let Some(ty) = ty else { return Ok(column) };
        any = true;
        match sorted_by(Expr::Column(field.name().as_str().into()), ty) {
            Expr::ScalarFunction(call) => {
                let config = Arc::new(ConfigOptions::default());
                let key = ScalarFunctionExpr::try_new(call.func, vec![column], schema, config)?;
                Ok(Arc::new(key) as Arc<dyn PhysicalExpr>)
            }
            _ => Ok(column),
        }
    });
    let keys: Keys = keys.collect::<Result<Vec<_>>>()?.into();
    Ok(any.then_some(keys))
}

/// The rows of its input that were not seen yet, in this term of a recursive query or the other.
#[derive(Debug)]
pub(crate) struct UnseenExec {
    input: Arc<dyn ExecutionPlan>,
    /// Whether it is the term that is run first, once.
    is_first: bool,
    keys: Keys,
    seen: Arc<Mutex<Option<Seen>>>,
    properties: Arc<PlanProperties>,
}

struct Seen {
    rows: Box<dyn GroupValues>,
    reservation: MemoryReservation,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seen({} rows)", self.rows.len())
    }
}

impl Seen {
    fn new(keys: &Keys, schema: &Schema, context: &TaskContext) -> Result<Seen> {
        let fields = keys
            .iter()
            .enumerate()
            .map(|(at, key)| Ok(Field::new(at.to_string(), key.data_type(schema)?, true)));
        let fields: Vec<Field> = fields.collect::<Result<_>>()?;
        Ok(Seen {
            rows: new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?,
            reservation: MemoryConsumer::new("rows of WITH RECURSIVE")
                .register(context.memory_pool()),
        })
    }

    /// Those rows of a batch that were not seen yet.
    fn unseen(&mut self, batch: &RecordBatch, keys: &Keys) -> Result<RecordBatch> {
        let keys = keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(batch.num_rows()));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_>>()?;
        let (mut next, mut numbers) = (self.rows.len(), Vec::new());
        self.rows.intern(&keys, &mut numbers)?;
        // A new row has the number after the highest.
        let is_new = numbers.into_iter().map(|number| {
            let is_new = number >= next;
            next = next.max(number + 1);
            is_new
        });
        let is_new: Vec<bool> = is_new.collect();
        self.reservation.try_resize(self.rows.size())?;
        Ok(filter_record_batch(batch, &BooleanArray::from(is_new))?)
    }
}

impl DisplayAs for UnseenExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnseenExec")
    }
}

impl ExecutionPlan for UnseenExec {
    fn name(&self) -> &str {
        "UnseenExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut keys = self.keys.iter();
        keys.try_fold(TreeNodeRecursion::Continue, |_, key| visit(key))
    }

    /// With what was seen: DataFusion makes the recursive term anew for each of its rounds.
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else {
            return Ok(self);
        };
        Ok(Arc::new(UnseenExec {
            properties: properties(input.schema(), 1),
            input,
            is_first: self.is_first,
            keys: self.keys.clone(),
            seen: Arc::clone(&self.seen),
        }))
    }

    fn execute(&self, at: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (keys, seen) = (self.keys.clone(), Arc::clone(&self.seen));
        if self.is_first {
            let none = Seen::new(&keys, &self.schema(), &context)?;
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(none);
        }
        let rows = self.input.execute(at, context)?.map(move |batch| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *seen {
                Some(seen) => seen.unseen(&batch?, &keys),
                None => batch,
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
