//! Sequences: their rows in the catalogs, and each as a relation of one row: where it stands.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidelog_storage::{
    Catalog, ColumnType, Datum, SequenceDef, SequenceError, SequenceState, StorageError, Store,
};

use super::pg_catalog::{attribute, oid, plain_class, with, yes};
use super::{Named, object_oid, text, type_facts};
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

/// Its columns as a relation.
const COLUMNS: [(&str, ColumnType); 3] = [
    ("last_value", ColumnType::Int8),
    ("log_cnt", ColumnType::Int8),
    ("is_called", ColumnType::Bool),
];

fn sequences(catalog: &Catalog) -> impl Iterator<Item = &SequenceDef> {
    catalog.sequences.values().map(|sequence| &**sequence)
}

/// Their rows of pg_class.
pub(super) fn classes(catalog: &Catalog) -> impl Iterator<Item = Named> {
    sequences(catalog).map(|of| {
        let class = object_oid(of.id);
        plain_class(class, &of.name, &of.schema, "S", COLUMNS.len())
    })
}

/// Their rows of pg_attribute.
pub(super) fn attributes(catalog: &Catalog) -> impl Iterator<Item = Named> {
    sequences(catalog).flat_map(|of| {
        let columns = COLUMNS.into_iter().enumerate();
        columns.map(|(at, (name, ty))| {
            let row = attribute(object_oid(of.id), at + 1, name, ty);
            with(row, [("attnotnull", yes(true))])
        })
    })
}

pub(super) fn pg_sequence(catalog: &Catalog) -> Vec<Named> {
    let row = |of: &SequenceDef| {
        vec![
            ("seqrelid", oid(object_oid(of.id))),
            ("seqtypid", oid(type_facts(of.ty).0)),
            ("seqstart", Datum::Int8(of.start)),
            ("seqincrement", Datum::Int8(of.increment)),
            ("seqmax", Datum::Int8(of.max)),
            ("seqmin", Datum::Int8(of.min)),
            ("seqcache", Datum::Int8(of.cache)),
            ("seqcycle", yes(of.cycle)),
        ]
    };
    sequences(catalog).map(row).collect()
}

pub(super) fn pg_sequences(catalog: &Catalog) -> Vec<Named> {
    let row = |of: &SequenceDef| {
        vec![
            ("schemaname", text(&of.schema)),
            ("sequencename", text(&of.name)),
            ("sequenceowner", text("postgres")),
            ("data_type", oid(type_facts(of.ty).0)),
            ("start_value", Datum::Int8(of.start)),
            ("min_value", Datum::Int8(of.min)),
            ("max_value", Datum::Int8(of.max)),
            ("increment_by", Datum::Int8(of.increment)),
            ("cycle", yes(of.cycle)),
            ("cache_size", Datum::Int8(of.cache)),
        ]
    };
    sequences(catalog).map(row).collect()
}

/// Where a sequence stands.
pub(super) fn stands(store: &Store, sequence: &SequenceDef) -> Result<SequenceState, StorageError> {
    store.sequence_state(sequence).map_err(|error| match error {
        SequenceError::Storage(error) => error,
        other => StorageError::Corrupt(other.to_string()),
    })
}

/// The rows of pg_sequences with the values that the sequences gave last, if they gave any.
pub(super) fn with_last_values(
    mut rows: Vec<Named>,
    scope: &Scope,
) -> Result<Vec<Named>, StorageError> {
    let sequences = scope.snapshot.catalog().sequences.values();
    for (row, sequence) in rows.iter_mut().zip(sequences) {
        let stands = self::stands(&scope.store, sequence)?;
        let last = stands.called.then_some(stands.value);
        row.extend(last.map(|value| ("last_value", Datum::Int8(value))));
    }
    Ok(rows)
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
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let scope = state.config().get_extension::<Scope>().ok_or_else(|| {
            DataFusionError::Internal(
                "a scan was planned without the scope of a statement".to_string(),
            )
        })?;
        let sequence = self.sequence.clone();
        // As in PostgreSQL, no snapshot tells of another moment than the present one.
        let stands = blocking(move || self::stands(&scope.store, &sequence)).await?;
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
