//! Reading a cold file as Parquet: its parts through the object store, its footer once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::stores::Stores;
use crate::error::StorageError;

/// What is read from the end of a file at first: most footers, with their page indexes, are smaller.
const FOOTER_BYTES: u64 = 64 << 10;

/// One cold file.
pub struct ColdReader {
    stores: Arc<Stores>,
    path: Path,
    bytes: u64,
}

impl ColdReader {
    /// The file of this path and size.
    pub(crate) fn new(
        stores: Arc<Stores>,
        path: &str,
        bytes: u64,
    ) -> Result<ColdReader, StorageError> {
        let path = Path::parse(path).map_err(object_store::Error::from)?;
        Ok(ColdReader {
            stores,
            path,
            bytes,
        })
    }

    /// Its footer with the page index.
    pub(crate) async fn footer(&mut self) -> Result<Arc<ParquetMetaData>> {
        let cache = self.stores.cache.clone();
        let path = self.path.to_string();
        match cache {
            Some(cache) => cache.footer(&path, self.load_footer()).await,
            None => self.load_footer().await,
        }
        .map_err(|error| of_file(&path, error))
    }

    async fn load_footer(&mut self) -> Result<Arc<ParquetMetaData>> {
        let (bytes, hint) = (self.bytes, FOOTER_BYTES.min(self.bytes) as usize);
        let reader = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .with_prefetch_hint(Some(hint));
        Ok(Arc::new(reader.load_and_finish(&mut *self, bytes).await?))
    }
}

/// What is wrong with the file of this path; what its store failed with says so by itself.
pub fn of_file(path: &str, error: ParquetError) -> ParquetError {
    let what = match error {
        ParquetError::External(_) => return error,
        ParquetError::General(what) | ParquetError::EOF(what) => what,
        other => other.to_string(),
    };
    ParquetError::General(format!("{path} cannot be read: {what}"))
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ColdReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let wanted = range.end.saturating_sub(range.start);
            let parts = self.get_byte_ranges(vec![range]).await?;
            let bytes = parts.into_iter().next().unwrap_or_default();
            if bytes.len() as u64 != wanted {
                let message = format!("{} is shorter than it should be", self.path);
                return Err(ParquetError::EOF(message));
            }
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            self.stores
                .get_ranges(&self.path, &ranges)
                .await
                .map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        self.footer().boxed()
    }
}
