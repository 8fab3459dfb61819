//! Reading cold files. Small ones are fetched whole and many at a time: a table of many users has many, and
//! waiting for each by itself would cost more than reading it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tidelog_storage::cold::{ColdReader, Sealed, of_file};
use tidelog_storage::{StorageError, Store};
use tokio::sync::OnceCell;

/// Files up to this size are fetched whole.
const SMALL_BYTES: u64 = 64 << 10;
/// Small files that are fetched together.
const BATCH_FILES: usize = 64;

/// Readers of the files of one scan.
pub(super) struct ColdReaders {
    store: Arc<Store>,
    small: HashMap<Path, Arc<Batch>>,
}

impl ColdReaders {
    /// `files` in the order in which they will be read.
    pub(super) fn new<'a>(
        store: Arc<Store>,
        files: impl Iterator<Item = &'a PartitionedFile>,
    ) -> ColdReaders {
        let small: Vec<Sealed> = files
            .filter(|file| file.object_meta.size <= SMALL_BYTES)
            .filter_map(|file| file.extensions.get::<Sealed>().cloned())
            .collect();
        let mut batches = HashMap::with_capacity(small.len());
        for files in small.chunks(BATCH_FILES) {
            let batch = Arc::new(Batch {
                files: files.to_vec(),
                fetched: OnceCell::new(),
            });
            let paths = files.iter().map(|file| file.path().clone());
            batches.extend(paths.map(|path| (path, batch.clone())));
        }
        ColdReaders {
            store,
            small: batches,
        }
    }
}

impl std::fmt::Debug for ColdReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdReaders").finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for ColdReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let sealed = file.extensions.get::<Sealed>().ok_or_else(|| {
            let path = &file.object_meta.location;
            DataFusionError::Internal(format!("{path} came without its checksums"))
        })?;
        let Some(batch) = self.small.get(sealed.path()) else {
            return Ok(Box::new(LargeFile {
                metrics: ParquetFileMetrics::new(partition, sealed.path().as_ref(), metrics),
                size: file.object_meta.size,
                reader: self.store.cold_reader(sealed.clone()),
            }));
        };
        Ok(Box::new(SmallFile {
            store: self.store.clone(),
            file: sealed.clone(),
            batch: batch.clone(),
            bytes: None,
            scanned: MetricBuilder::new(metrics).counter("bytes_scanned", partition),
        }))
    }
}

/// Files that are fetched together, when the first of them is asked for.
#[derive(Debug)]
struct Batch {
    files: Vec<Sealed>,
    fetched: OnceCell<Mutex<HashMap<Path, Bytes>>>,
}

impl Batch {
    /// Gives a file's bytes once, so that a long scan does not hold what it has read.
    async fn take(&self, store: &Store, path: &Path) -> ParquetResult<Option<Bytes>> {
        let fetch = || async {
            let bytes = store.read_files(self.files.clone()).await;
            let paths = self.files.iter().map(|file| file.path().clone());
            let files = paths.zip(bytes.map_err(external)?).collect();
            Ok::<_, ParquetError>(Mutex::new(files))
        };
        let fetched = self.fetched.get_or_try_init(fetch).await?;
        Ok(fetched.lock().remove(path))
    }
}

struct SmallFile {
    store: Arc<Store>,
    file: Sealed,
    batch: Arc<Batch>,
    bytes: Option<Bytes>,
    scanned: Count,
}

impl SmallFile {
    async fn bytes(&mut self) -> ParquetResult<&Bytes> {
        let bytes = match self.bytes.take() {
            Some(bytes) => bytes,
            None => match self.batch.take(&self.store, self.file.path()).await? {
                Some(bytes) => bytes,
                None => {
                    let files = self.store.read_files(vec![self.file.clone()]).await;
                    files.map_err(external)?.pop().unwrap_or_default()
                }
            },
        };
        Ok(self.bytes.insert(bytes))
    }
}

impl AsyncFileReader for SmallFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let read = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
            self.scanned.add(read);
            let bytes = self.bytes().await?;
            let (start, end) = (range.start as usize, range.end as usize);
            if start > end || end > bytes.len() {
                let message = format!("{start}..{end} of a file of {} bytes", bytes.len());
                let error = ParquetError::EOF(message);
                return Err(of_file(self.file.path().as_ref(), error));
            }
            Ok(bytes.slice(start..end))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let mut reader = ParquetMetaDataReader::new();
            if let Some(options) = options {
                reader = reader
                    .with_column_index_policy(options.column_index_policy())
                    .with_offset_index_policy(options.offset_index_policy());
            }
            let footer = reader.parse_and_finish(self.bytes().await?);
            let named = |error| of_file(self.file.path().as_ref(), error);
            Ok(Arc::new(footer.map_err(named)?))
        }
        .boxed()
    }
}

/// A file that is read in parts, and counts them as DataFusion's own reader does.
struct LargeFile {
    reader: ColdReader,
    size: u64,
    metrics: ParquetFileMetrics,
}

impl LargeFile {
    fn count(&self, ranges: &[Range<u64>]) {
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.metrics
            .bytes_scanned
            .add(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}

impl AsyncFileReader for LargeFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.count(std::slice::from_ref(&range));
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.count(&ranges);
        self.reader.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.reader.get_metadata(options)
    }
}

impl Drop for LargeFile {
    fn drop(&mut self) {
        let efficiency = &self.metrics.scan_efficiency_ratio;
        efficiency.add_part(self.metrics.bytes_scanned.value());
        efficiency.set_total(usize::try_from(self.size).unwrap_or(usize::MAX));
    }
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
