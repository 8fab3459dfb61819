//! The cold files of a partition.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::partition::{Scope, log_floor};
use super::{Checker, Invariant};
use crate::catalog::TableKind;
use crate::cold::ColdFile;
use crate::datum::{Row, datum_at};
use crate::error::StorageError;
use crate::flush::file::seq;
use crate::hot::Family;
use crate::key::{read_seq, seq_of};
use crate::record::{self, RowReader};
use crate::seq::Seq;
use crate::snapshot::DeadEntry;
use crate::transaction::RowKeys;

const BATCH_ROWS: usize = 4096;

/// An object as a Parquet file.
struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let read = self.objects.get_range(&self.path, range).await;
            read.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let metadata = ParquetMetaDataReader::new().load_and_finish(self, bytes);
            Ok(Arc::new(metadata.await?))
        }
        .boxed()
    }
}

/// A version that is dead, whether it is marked unfiled, and whether its file has it.
struct Dead {
    seq: Seq,
    unfiled: bool,
    held: bool,
}

impl Checker<'_> {
    /// Every file holds what the manifest and the dead set say, and every version that lives up to the watermark is in one.
    pub(super) fn files(&mut self, scope: &mut Scope) -> Result<(), StorageError> {
        let mut upto = log_floor(&scope.table, &scope.state);
        for file in scope.files.clone() {
            let held = match self.file(scope, &file) {
                Ok(held) => held,
                Err(StorageError::Object(object_store::Error::NotFound { .. })) => {
                    let what = format!("{} is not there", file.path);
                    self.report.find(Invariant::FilesExist, scope.place(), what);
                    None
                }
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", file.path);
                    self.report.find(Invariant::FilesAgree, scope.place(), what);
                    None
                }
            };
            let flushed = file.last_seq.min(scope.state.watermark);
            self.filed(scope, upto, flushed, held.as_deref())?;
            upto = upto.max(file.last_seq);
        }
        if scope.table.kind != TableKind::Stream {
            self.filed(scope, upto, scope.state.watermark, Some(&[]))?;
        }
        Ok(())
    }

    /// Reads a file to its end; its Seqs, ascending, or `None` when it is not the file that the manifest means.
    fn file(
        &mut self,
        scope: &mut Scope,
        file: &ColdFile,
    ) -> Result<Option<Vec<Seq>>, StorageError> {
        let path = Path::parse(&file.path).map_err(object_store::Error::from)?;
        let bytes = self.runtime.block_on(self.objects.head(&path))?.size;
        if bytes != file.bytes {
            let what = format!("{} has {bytes} bytes and not {}", file.path, file.bytes);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
            return Ok(None);
        }
        let reader = ObjectReader {
            objects: self.objects.clone(),
            path,
            bytes,
        };
        let builder = self
            .runtime
            .block_on(ParquetRecordBatchStreamBuilder::new(reader))?;
        let rows = builder.metadata().file_metadata().num_rows();
        let mut lacks = Vec::new();
        match scope.table.layouts.get(&file.schema_version) {
            None => lacks.push(format!("schema version {}", file.schema_version)),
            Some(layout) => {
                let present = layout
                    .iter()
                    .filter_map(|(id, _)| scope.table.index_of(*id));
                let names = present.map(|at| scope.table.columns[at].stored_name.as_str());
                let schema = builder.schema();
                let absent = names
                    .chain(["_seq"])
                    .filter(|name| schema.index_of(name).is_err());
                lacks.extend(absent.map(|name| format!("column {name}")));
            }
        }
        for lack in &lacks {
            let what = format!("{} lacks {lack}", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        if !lacks.is_empty() {
            return Ok(None);
        }
        let mut dead = self.dead_of(scope, file)?;
        let mut batches = builder.with_batch_size(BATCH_ROWS).build()?;
        let mut seqs: Vec<Seq> = Vec::new();
        while let Some(batch) = self.runtime.block_on(batches.next()) {
            let batch = batch?;
            let values = (scope.table.columns.iter())
                .map(|column| {
                    (
                        batch.column_by_name(&column.stored_name),
                        column.missing.clone(),
                    )
                })
                .collect::<Vec<_>>();
            let versions = batch.column_by_name("_seq").and_then(|array| {
                use arrow::array::AsArray;
                array.as_primitive_opt::<arrow::datatypes::Int64Type>()
            });
            let versions =
                versions.ok_or_else(|| StorageError::Corrupt("_seq is no bigint".to_string()))?;
            for at in 0..batch.num_rows() {
                let version = seq(versions.value(at))?;
                if seqs.last().is_some_and(|last| *last >= version) {
                    let what = format!("{} holds {version} out of order", file.path);
                    self.report.find(Invariant::FilesAgree, scope.place(), what);
                    return Ok(None);
                }
                seqs.push(version);
                if let Ok(at) = dead.binary_search_by_key(&version, |dead| dead.seq) {
                    dead[at].held = true;
                    continue;
                }
                let row: Option<Row> = (values.iter())
                    .map(|(array, missing)| match array {
                        Some(array) => Some(datum_at(array, at)?.to_owned()),
                        None => Some(missing.clone()),
                    })
                    .collect();
                let row =
                    row.ok_or_else(|| StorageError::Corrupt("a column's type".to_string()))?;
                self.live_row(scope, version, &row)?;
            }
        }
        let held = (
            seqs.first().copied(),
            seqs.last().copied(),
            seqs.len() as u64,
        );
        let claimed = (Some(file.first_seq), Some(file.last_seq), file.rows);
        if held != claimed || i64::try_from(file.rows) != Ok(rows) {
            let what = format!("{} holds {held:?} and not {claimed:?}", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        for dead in dead.iter().filter(|dead| dead.held == dead.unfiled) {
            let what = match dead.held {
                true => format!("{} is marked unfiled, and {} holds it", dead.seq, file.path),
                false => format!("{} is dead, and {} does not hold it", dead.seq, file.path),
            };
            self.report.find(Invariant::DeadAgree, scope.place(), what);
        }
        Ok(Some(seqs))
    }

    fn dead_of(&self, scope: &Scope, file: &ColdFile) -> Result<Vec<Dead>, StorageError> {
        let mut found = Vec::new();
        let (from, to) = (
            scope.version(file.first_seq),
            scope.version(file.last_seq.next()),
        );
        let mut dead = self.hot.iterate(Family::Dead, &from, to);
        while let Some((key, value)) = dead.item() {
            found.push(Dead {
                seq: seq_of(key)?,
                unfiled: DeadEntry::decode(value)?.unfiled,
                held: false,
            });
            dead.next();
        }
        dead.status()?;
        Ok(found)
    }

    /// The versions of the log in a stretch that was flushed are among `held`, if they live.
    fn filed(
        &mut self,
        scope: &Scope,
        after: Seq,
        last: Seq,
        held: Option<&[Seq]>,
    ) -> Result<(), StorageError> {
        let Some(held) = held.filter(|_| after < last) else {
            return Ok(());
        };
        let mut rows = RowReader::whole(scope.table.clone());
        let (from, to) = (scope.version(after.next()), scope.version(last.next()));
        let mut records = self.hot.iterate(Family::Log, &from, to);
        while let Some((key, value)) = records.item() {
            let seq = seq_of(key)?;
            if record::is_version(value)
                && held.binary_search(&seq).is_err()
                && self.lived_at_flush(scope, &mut rows, seq, value)?
            {
                let what = format!("{seq} lives and was flushed, and no file holds it");
                self.report
                    .find(Invariant::FlushedIsFiled, scope.place(), what);
            }
            records.next();
        }
        Ok(records.status()?)
    }

    /// Whether a flushed version lives, told without its file: by its primary key or, where there is none, by
    /// its dead entry, which stays.
    fn lived_at_flush(
        &self,
        scope: &Scope,
        rows: &mut RowReader,
        seq: Seq,
        value: &[u8],
    ) -> Result<bool, StorageError> {
        let dead = self.hot.get(Family::Dead, &scope.version(seq))?;
        if !scope.is_keyed() || dead.is_some() {
            return Ok(dead.is_none());
        }
        let record = record::parse(value)?;
        let row = rows.row(record.schema_version, record.row)?;
        let keys = RowKeys::checked(&scope.table, &scope.partition, &row);
        let Some((_, primary)) = keys.and_then(|keys| keys.unique.into_iter().next()) else {
            return Ok(false);
        };
        let holder = self.hot.get(Family::Key, &primary)?;
        Ok(match holder {
            Some(holder) => read_seq(&holder)? == seq,
            None => false,
        })
    }
}
