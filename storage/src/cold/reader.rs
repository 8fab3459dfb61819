//! Reading a cold file as Parquet: its parts through the object store, its footer once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    FileMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataBuilder,
    ParquetMetaDataReader,
};

use super::blocks::Sealed;
use super::stores::Stores;
use crate::error::StorageError;

/// The key under which a footer has the checksums of the file's blocks, but for those that the manifest has.
const CHECKSUMS: &str = "tidelog.crc32c";

/// What is kept of a file's end.
pub(crate) struct Footer {
    /// The footer with the page index, without our own entry.
    pub(crate) parquet: Arc<ParquetMetaData>,
    /// The checksums of the blocks before the tail.
    body: Vec<u32>,
}

impl Footer {
    /// Bytes in memory.
    pub(crate) fn memory_size(&self) -> usize {
        self.parquet.memory_size() + size_of_val(self.body.as_slice())
    }

    /// The footer in the tail of a file.
    fn parse(tail: &Bytes, file: &Sealed) -> Result<Footer> {
        let mut reader =
            ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        reader.try_parse_sized(tail, file.bytes)?;
        let parquet = reader.finish()?;
        if file.body_blocks() == 0 {
            let (parquet, body) = (Arc::new(parquet), Vec::new());
            return Ok(Footer { parquet, body });
        }
        let entries = parquet.file_metadata().key_value_metadata();
        let listed = (entries.into_iter().flatten())
            .find(|entry| entry.key == CHECKSUMS)
            .and_then(|entry| from_digits(entry.value.as_deref()?))
            .filter(|body| body.len() == file.body_blocks());
        let body = listed.ok_or_else(|| {
            let what = "its footer lacks the checksums of its blocks";
            ParquetError::General(what.to_string())
        })?;
        let parquet = Arc::new(without_checksums(parquet));
        Ok(Footer { parquet, body })
    }
}

/// What a footer says of the checksums before it; nothing when there are none.
pub(crate) fn entry(body: &[u32]) -> Option<KeyValue> {
    let digits = || body.iter().map(|checksum| format!("{checksum:08x}"));
    (!body.is_empty()).then(|| KeyValue::new(CHECKSUMS.to_string(), digits().collect::<String>()))
}

fn from_digits(digits: &str) -> Option<Vec<u32>> {
    let checksum = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    digits.as_bytes().chunks(8).map(checksum).collect()
}

/// The same footer without the checksums, which each schema made of it would copy.
fn without_checksums(footer: ParquetMetaData) -> ParquetMetaData {
    let about = footer.file_metadata();
    let entries = about.key_value_metadata().cloned().map(|mut entries| {
        entries.retain(|entry| entry.key != CHECKSUMS);
        entries
    });
    let about = FileMetaData::new(
        about.version(),
        about.num_rows(),
        about.created_by().map(str::to_string),
        entries,
        about.schema_descr_ptr(),
        about.column_orders().cloned(),
    );
    let mut parts = footer.into_builder();
    ParquetMetaDataBuilder::new(about)
        .set_row_groups(parts.take_row_groups())
        .set_column_index(parts.take_column_index())
        .set_offset_index(parts.take_offset_index())
        .build()
}

/// One cold file.
pub struct ColdReader {
    stores: Arc<Stores>,
    file: Sealed,
    footer: Option<Arc<Footer>>,
    /// The whole of a small file, if its footer was not kept from before.
    whole: Option<Bytes>,
}

impl ColdReader {
    /// A reader of this file.
    pub(crate) fn new(stores: Arc<Stores>, file: Sealed) -> ColdReader {
        ColdReader {
            stores,
            file,
            footer: None,
            whole: None,
        }
    }

    /// A reader of this file, whose footer was read.
    pub(crate) fn with_footer(
        stores: Arc<Stores>,
        file: Sealed,
        footer: Arc<Footer>,
    ) -> ColdReader {
        ColdReader {
            footer: Some(footer),
            ..ColdReader::new(stores, file)
        }
    }

    /// Its footer with the page index.
    pub(crate) async fn footer(&mut self) -> Result<Arc<Footer>> {
        if let Some(footer) = &self.footer {
            return Ok(footer.clone());
        }
        let cache = self.stores.cache.clone();
        let path = self.file.path.to_string();
        let footer = match cache {
            Some(cache) => cache.footer(&path, self.load_footer()).await,
            None => self.load_footer().await,
        };
        let footer = footer.map_err(|error| of_file(&path, error))?;
        Ok(self.footer.insert(footer).clone())
    }

    async fn load_footer(&mut self) -> Result<Arc<Footer>> {
        let range = self.file.tail();
        let parts = (self.stores)
            .read(self.file.blocks(&[]), std::slice::from_ref(&range))
            .await;
        let tail = parts.map_err(external)?.pop().unwrap_or_default();
        let footer = Arc::new(Footer::parse(&tail, &self.file)?);
        self.whole = (range.start == 0).then_some(tail);
        Ok(footer)
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

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ColdReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let parts = self.get_byte_ranges(vec![range]).await?;
            Ok(parts.into_iter().next().unwrap_or_default())
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            let inside =
                |range: &Range<u64>| range.start <= range.end && range.end <= self.file.bytes;
            if !ranges.iter().all(inside) {
                let message = format!("{} is shorter than it should be", self.file.path);
                return Err(ParquetError::EOF(message));
            }
            let footer = self.footer().await?;
            if let Some(whole) = &self.whole {
                let part =
                    |range: Range<u64>| whole.slice(range.start as usize..range.end as usize);
                return Ok(ranges.into_iter().map(part).collect());
            }
            let blocks = self.file.blocks(&footer.body);
            self.stores.read(blocks, &ranges).await.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move { Ok(self.footer().await?.parquet.clone()) }.boxed()
    }
}
