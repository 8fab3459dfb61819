//! A sequence as a relation of one row: where it stands.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidelog_storage::{SequenceDef, SequenceError, StorageError};

use crate::provider::{Scope, blocking};

/// The relation that a sequence is.
#[derive(Debug)]
pub(crate) struct SequenceRelation {
    sequence: Arc<SequenceDef>,
    schema: SchemaRef,
}

impl SequenceRelation {
    pub(crate) fn new(sequence: Arc<SequenceDef>) -> SequenceRelation {
        let fields = vec![
            Field::new("last_value", DataType::Int64, false),
            Field::new("log_cnt", DataType::Int64, false),
            Field::new("is_called", DataType::Boolean, false),
        ];
        SequenceRelation {
            sequence,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

#[async_trait]
impl TableProvider for SequenceRelation {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = state.config().get_extension::<Scope>().ok_or_else(|| {
            DataFusionError::Internal(
                "a scan was planned without the scope of a statement".to_string(),
            )
        })?;
        let sequence = self.sequence.clone();
        // As in PostgreSQL, no snapshot tells of another moment than the present one.
        let stands = blocking(move || {
            (scope.store.sequence_state(&sequence)).map_err(|error| match error {
                SequenceError::Storage(error) => error,
                other => StorageError::Corrupt(other.to_string()),
            })
        })
        .await?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![stands.value])),
            Arc::new(Int64Array::from(vec![0])),
            Arc::new(BooleanArray::from(vec![stands.called])),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        let schema = self.schema.clone();
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?;
        Ok(plan)
    }
}
