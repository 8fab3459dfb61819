//! The `tidelog` schema: what the storage of tables looks like.

use tidelog_storage::jobs::{JobRecord, JobState};
use tidelog_storage::{ColumnId, Datum, StorageError, TableDef, TableKind};

use super::{Named, text};
use crate::ddl::table::options::{shown_cluster_by, shown_duration};
use crate::parse::identifier;
use crate::provider::{SEQ, Scope};

/// As in `relations.txt`.
pub(super) const RELATIONS: &str = "\
tidelog.tables 12001 v schema_name:text table_name:text type:text partitions:int8 cold_files:int8 cold_rows:int8 cold_bytes:int8 log_bytes:int8 history_from:int8 flush_rows:int8 flush_bytes:int8 flush_interval:text resume_window:text resume_bytes:int8 history_window:text cluster_by:text
tidelog.files 12002 v schema_name:text table_name:text partition:text storage:text path:text first_seq:int8 last_seq:int8 rows:int8 bytes:int8 schema_version:int4 sorted_by:text
tidelog.partitions 12003 v schema_name:text table_name:text partition:text last_seq:int8 flushed_seq:int8 unflushed_rows:int8 unflushed_bytes:int8
tidelog.jobs 12004 v id:int8 kind:text schema_name:text table_name:text started:timestamptz ended:timestamptz state:text rows:int8 bytes:int8 error:text";

fn int8(value: u64) -> Datum {
    Datum::Int8(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The columns that a file is sorted by; `_seq` where no others come first.
fn sorted_by(table: &TableDef, order: &[ColumnId]) -> String {
    let name = |id: &ColumnId| match table.index_of(*id) {
        Some(at) => identifier(&table.columns[at].name),
        None => format!("dropped column {}", id.get()),
    };
    let names: Vec<String> = order.iter().map(name).chain([SEQ.to_string()]).collect();
    names.join(", ")
}

pub(super) fn rows(name: &str, scope: &Scope) -> Result<Vec<Named>, StorageError> {
    let mut rows = Vec::new();
    if name == "jobs" {
        // They are of all partitions.
        return Ok(match scope.access.all {
            true => scope.store.jobs().iter().map(job).collect(),
            false => rows,
        });
    }
    for table in scope.snapshot.catalog().tables.values() {
        // An ordinary role sees what concerns its own partition.
        let partitions = &scope.access.partitions(table);
        let of = || {
            vec![
                ("schema_name", text(&table.schema)),
                ("table_name", text(&table.name)),
            ]
        };
        match name {
            "tables" => {
                let files = scope.snapshot.cold_files(table, partitions)?;
                let states = scope.snapshot.states(table.id, partitions)?;
                let mut row = of();
                row.extend([
                    ("type", text(super::pg_catalog::kind_name(table.kind))),
                    ("partitions", int8(states.len() as u64)),
                    ("cold_files", int8(files.len() as u64)),
                    ("cold_rows", int8(files.iter().map(|file| file.rows).sum())),
                    (
                        "cold_bytes",
                        int8(files.iter().map(|file| file.bytes).sum()),
                    ),
                    (
                        "log_bytes",
                        int8(states.iter().map(|(_, state)| state.log_bytes).sum()),
                    ),
                ]);
                if table.kind != TableKind::Stream {
                    let history = scope.snapshot.history(table.id)?;
                    let options = &table.options;
                    let duration = |ms| text(shown_duration(ms));
                    row.extend([
                        (
                            "history_from",
                            history.map_or(Datum::Null, |history| {
                                Datum::Int8(history.complete_from.as_i64())
                            }),
                        ),
                        ("flush_rows", int8(options.flush_rows)),
                        ("flush_bytes", int8(options.flush_bytes)),
                        ("flush_interval", duration(options.flush_interval_ms)),
                        ("resume_window", duration(options.resume_window_ms)),
                        (
                            "resume_bytes",
                            options.resume_bytes.map_or(Datum::Null, int8),
                        ),
                        ("history_window", duration(options.history_window_ms)),
                        ("cluster_by", text(shown_cluster_by(table))),
                    ]);
                }
                rows.push(row);
            }
            "files" => {
                for file in scope.snapshot.cold_files(table, partitions)? {
                    let mut row = of();
                    row.extend([
                        ("partition", text(file.partition.as_str())),
                        ("storage", text(file.storage())),
                        ("path", text(&file.path)),
                        ("first_seq", Datum::Int8(file.first_seq.as_i64())),
                        ("last_seq", Datum::Int8(file.last_seq.as_i64())),
                        ("rows", int8(file.rows)),
                        ("bytes", int8(file.bytes)),
                        (
                            "schema_version",
                            Datum::Int4(i32::try_from(file.schema_version).unwrap_or(i32::MAX)),
                        ),
                        ("sorted_by", text(sorted_by(table, &file.order))),
                    ]);
                    rows.push(row);
                }
            }
            _ => {
                for (partition, state) in scope.snapshot.states(table.id, partitions)? {
                    let mut row = of();
                    row.extend([
                        ("partition", text(partition.as_str())),
                        ("last_seq", Datum::Int8(state.last_seq.as_i64())),
                        ("flushed_seq", Datum::Int8(state.watermark.as_i64())),
                        ("unflushed_rows", int8(state.unflushed_rows)),
                        ("unflushed_bytes", int8(state.unflushed_bytes)),
                    ]);
                    rows.push(row);
                }
            }
        }
    }
    Ok(rows)
}

fn job(job: &JobRecord) -> Named {
    let time = |ms: i64| Datum::TimestampTz(ms.saturating_mul(1000));
    let (state, error) = match &job.state {
        JobState::Running => ("running", None),
        JobState::Done => ("done", None),
        JobState::Failed(error) => ("failed", Some(error)),
    };
    let mut row = vec![
        ("id", int8(job.id)),
        ("kind", text(job.kind.name())),
        ("started", time(job.started_ms)),
        ("state", text(state)),
        ("rows", int8(job.rows)),
        ("bytes", int8(job.bytes)),
    ];
    row.extend(job.ended_ms.map(|ms| ("ended", time(ms))));
    row.extend(error.map(|error| ("error", text(error))));
    if let Some((schema, table)) = &job.table {
        row.extend([("schema_name", text(schema)), ("table_name", text(table))]);
    }
    row
}
