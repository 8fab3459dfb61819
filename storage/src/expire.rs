//! Expiry of STREAM rows: they leave the disk some time after reads stopped showing them.

use crate::catalog::{TableDef, TableKind};
use crate::commit::{CommitQueue, Expired, Request, Shared};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{seq_of, version_key};
use crate::record::{self, RowReader};
use crate::snapshot::{PartitionSet, Snapshot};
use crate::transaction::RowKeys;

/// Rows that one commit removes.
const EXPIRED_ROWS_MAX: usize = 4096;

/// Removes every expired row of every STREAM table; returns how many.
pub(crate) async fn run(
    shared: &std::sync::Arc<Shared>,
    queue: &CommitQueue,
) -> Result<u64, StorageError> {
    let mut removed = 0;
    let streams: Vec<_> = {
        let view = shared.view();
        view.tables
            .values()
            .filter(|table| table.kind == TableKind::Stream)
            .cloned()
            .collect()
    };
    for table in streams {
        loop {
            let (shared, of) = (shared.clone(), table.clone());
            let find = move || find_expired(&shared.snapshot(), &of);
            let rows = tokio::task::spawn_blocking(find)
                .await
                .map_err(|_| StorageError::Closed)??;
            let count = rows.len();
            if count == 0 {
                break;
            }
            let (reply, answer) = tokio::sync::oneshot::channel();
            queue
                .send(Request::Expired {
                    table: table.id,
                    rows,
                    reply,
                })
                .await?;
            match answer.await.map_err(|_| StorageError::Closed)? {
                Err(StorageError::NoTable(_)) => break,
                answer => answer?,
            }
            removed += count as u64;
            if count < EXPIRED_ROWS_MAX {
                break;
            }
        }
    }
    Ok(removed)
}

fn find_expired(
    snapshot: &Snapshot,
    table: &std::sync::Arc<TableDef>,
) -> Result<Vec<Expired>, StorageError> {
    let bound = snapshot.oldest(table)?;
    let mut rows = Vec::new();
    let mut rows_of = RowReader::whole(table.clone());
    for (partition, state) in snapshot.states(table.id, &PartitionSet::All)? {
        if state.watermark.advance(1) >= bound {
            continue;
        }
        let from = version_key(table.id, &partition, state.watermark.advance(1));
        let mut records = snapshot.view.hot.iterate(
            Family::Stream,
            &from,
            version_key(table.id, &partition, bound),
        );
        while let Some((key, value)) = records.item() {
            if rows.len() == EXPIRED_ROWS_MAX {
                return Ok(rows);
            }
            let record = record::parse(value)?;
            let row = rows_of.row(record.schema_version, record.row)?;
            rows.push(Expired {
                partition: partition.clone(),
                seq: seq_of(key)?,
                keys: RowKeys::of(table, &partition, &row),
                bytes: value.len() as u64,
            });
            records.next();
        }
        records.status()?;
    }
    Ok(rows)
}
