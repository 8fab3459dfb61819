//! Reading cold files. Small ones are fetched whole and many at a time: a table of many users has many, and
//! waiting for each by itself would cost more than reading it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tidelog_storage::cold::ColdFile;
use tidelog_storage::{StorageError, Store};
use tokio::sync::OnceCell;

/// Files up to this size are fetched whole.
const SMALL_BYTES: u64 = 64 << 10;
/// Small files that are fetched together.
const BATCH_FILES: usize = 64;

/// Readers of the files of one scan.
pub(super) struct ColdReaders {
    store: Arc<Store>,
    large: DefaultParquetFileReaderFactory,
    small: HashMap<Path, Arc<Batch>>,
}

impl ColdReaders {
    /// `files` in the order in which they will be read.
    pub(super) fn new<'a>(
        store: Arc<Store>,
        files: impl Iterator<Item = &'a ColdFile>,
    ) -> ColdReaders {
        let small: Vec<_> = files
            .filter(|file| file.bytes <= SMALL_BYTES)
            .map(|file| Path::from(file.path.as_str()))
            .collect();
        let mut batches = HashMap::with_capacity(small.len());
        for files in small.chunks(BATCH_FILES) {
            let batch = Arc::new(Batch {
                files: files.to_vec(),
                fetched: OnceCell::new(),
            });
            batches.extend(files.iter().map(|path| (path.clone(), batch.clone())));
        }
        ColdReaders {
            large: DefaultParquetFileReaderFactory::new(store.object_store()),
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
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(batch) = self.small.get(&file.object_meta.location) else {
            return self
                .large
                .create_reader(partition, file, metadata_size_hint, metrics);
        };
        Ok(Box::new(SmallFile {
            store: self.store.clone(),
            path: file.object_meta.location,
            batch: batch.clone(),
            bytes: None,
            scanned: MetricBuilder::new(metrics).counter("bytes_scanned", partition),
        }))
    }
}

/// Files that are fetched together, when the first of them is asked for.
#[derive(Debug)]
struct Batch {
    files: Vec<Path>,
    fetched: OnceCell<Mutex<HashMap<Path, Bytes>>>,
}

impl Batch {
    /// Gives a file's bytes once, so that a long scan does not hold what it has read.
    async fn take(&self, store: &Store, path: &Path) -> ParquetResult<Option<Bytes>> {
        let fetch = || async {
            let paths = self.files.iter().map(ToString::to_string).collect();
            let bytes = store.read_files(paths).await.map_err(external)?;
            let files = self.files.iter().cloned().zip(bytes).collect();
            Ok::<_, ParquetError>(Mutex::new(files))
        };
        let fetched = self.fetched.get_or_try_init(fetch).await?;
        Ok(fetched.lock().remove(path))
    }
}

struct SmallFile {
    store: Arc<Store>,
    path: Path,
    batch: Arc<Batch>,
    bytes: Option<Bytes>,
    scanned: Count,
}

impl SmallFile {
    async fn bytes(&mut self) -> ParquetResult<&Bytes> {
        let bytes = match self.bytes.take() {
            Some(bytes) => bytes,
            None => match self.batch.take(&self.store, &self.path).await? {
                Some(bytes) => bytes,
                None => {
                    let path = vec![self.path.to_string()];
                    let mut files = self.store.read_files(path).await.map_err(external)?;
                    files.pop().unwrap_or_default()
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
                return Err(ParquetError::EOF(message));
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
            Ok(Arc::new(reader.parse_and_finish(self.bytes().await?)?))
        }
        .boxed()
    }
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
