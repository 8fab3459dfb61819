//! What the manifest tells of the files before any of them is opened.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, ScalarValue, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use tidelog_storage::cold::ColdFile;
use tidelog_storage::cold::bounds::{self, Bounds};
use tidelog_storage::{ColumnDef, ColumnType, Datum, TableDef, datum};

use crate::numbers;
use crate::provider::{SEQ, USER};

/// The files that may hold rows which the filters let through, with what is known of their columns.
pub(super) fn files(
    table: &Arc<TableDef>,
    files: Vec<ColdFile>,
    state: &dyn Session,
    filters: &[Expr],
) -> Result<Vec<(ColdFile, Bounds)>> {
    let bounds = bounds::of_files(table, &files)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    let files: Vec<_> = files.into_iter().zip(bounds).collect();
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(files);
    };
    let schema = schema_of(table);
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
    let filter = match numbers::of_bytes(&filter) {
        Some(bytes) => Arc::new(BinaryExpr::new(filter, Operator::And, bytes)),
        None => filter,
    };
    let builder = PruningPredicateBuilder::new()
        .with_file_schema(schema)
        .with_max_in_list_size(state.config_options().execution.parquet.max_in_list_size);
    let Some(predicate) = builder.build(filter) else {
        return Ok(files);
    };
    // What cannot be judged here is read: the filter itself says then what is wrong with it.
    let Ok(kept) = predicate.prune(&Manifest {
        table,
        files: &files,
    }) else {
        return Ok(files);
    };
    let kept = files.into_iter().zip(kept).filter(|(_, kept)| *kept);
    Ok(kept.map(|(file, _)| file).collect())
}

/// What filters say of the bytes of numerics without a precision, over the table's columns.
pub(super) fn of_bytes(
    table: &TableDef,
    state: &dyn Session,
    filters: &[Expr],
) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let any = |column: &ColumnDef| column.ty == ColumnType::Numeric(None);
    if !table.columns.iter().any(any) {
        return Ok(Vec::new());
    }
    let schema = DFSchema::try_from(schema_of(table))?;
    let bytes = filters.iter().filter_map(|filter| {
        let filter = state.create_physical_expr(filter.clone(), &schema);
        filter.map(|filter| numbers::of_bytes(&filter)).transpose()
    });
    bytes.collect()
}

/// The columns that filters are over.
fn schema_of(table: &TableDef) -> SchemaRef {
    let mut fields: Vec<Field> = (table.columns.iter())
        .map(|column| Field::new(&column.name, column.ty.arrow(), true))
        .collect();
    fields.push(Field::new(SEQ, DataType::Int64, true));
    fields.push(Field::new(USER, DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

/// The bounds of a file's columns, for filters that are known only while the query runs.
pub(super) fn statistics(
    table: &TableDef,
    held: &[(usize, ColumnType)],
    file: &ColdFile,
    bounds: &Bounds,
) -> Result<Statistics> {
    // DataFusion judges by exact ones only. Counts of NULLs are not told, so that no column is taken for a constant.
    let precise = |at: usize, value: &Datum| -> Result<Precision<ScalarValue>> {
        if value.is_null() {
            return Ok(Precision::Absent);
        }
        let mut builder = datum::ColumnBuilder::new(table.columns[at].ty);
        builder.append(value.as_ref());
        let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
        Ok(Precision::Exact(value))
    };
    let mut columns = Vec::with_capacity(held.len() + 1);
    for (at, ty) in held {
        // Files have the type that the column had then, bounds the one that it has.
        if ty.arrow() != table.columns[*at].ty.arrow() {
            columns.push(ColumnStatistics::new_unknown());
            continue;
        }
        columns.push(
            ColumnStatistics::new_unknown()
                .with_min_value(precise(*at, &bounds.low[*at])?)
                .with_max_value(precise(*at, &bounds.high[*at])?),
        );
    }
    let seq = |seq: tidelog_storage::Seq| Precision::Exact(ScalarValue::Int64(Some(seq.as_i64())));
    columns.push(
        ColumnStatistics::new_unknown()
            .with_min_value(seq(file.first_seq))
            .with_max_value(seq(file.last_seq)),
    );
    let rows = usize::try_from(file.rows).unwrap_or(usize::MAX);
    Ok(Statistics {
        num_rows: Precision::Inexact(rows),
        total_byte_size: Precision::Absent,
        column_statistics: columns,
    })
}

/// The files' bounds, column by column.
struct Manifest<'a> {
    table: &'a TableDef,
    files: &'a [(ColdFile, Bounds)],
}

impl Manifest<'_> {
    fn values(&self, column: &Column, low: bool) -> Option<ArrayRef> {
        let files = self.files.iter();
        if column.name == SEQ {
            let seqs = files.map(|(file, _)| if low { file.first_seq } else { file.last_seq });
            return Some(Arc::new(Int64Array::from_iter_values(
                seqs.map(|seq| seq.as_i64()),
            )));
        }
        if column.name == USER {
            let users = files.map(|(file, _)| file.partition.as_str());
            return Some(Arc::new(StringArray::from_iter_values(users)));
        }
        let at = self.table.column_index(&column.name)?;
        let mut builder = datum::ColumnBuilder::new(self.table.columns[at].ty);
        for (_, bounds) in files {
            builder.append((if low { &bounds.low } else { &bounds.high })[at].as_ref());
        }
        Some(builder.finish())
    }
}

impl PruningStatistics for Manifest<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, true)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, false)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.files.iter().map(|(file, _)| file.rows);
        Some(Arc::new(UInt64Array::from_iter_values(rows)))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
