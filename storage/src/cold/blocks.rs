//! Cold files block by block: each has a CRC32C, made while the file is written and compared whenever it is read.
//!
//! Guarantees: no reader of a cold file gets a byte that was not written, whatever a store, a network or a disk made of it;
//! what is wrong once is read again, what stays wrong is `Corrupt`. Parquet's own checksums would not do: its writer makes
//! none, and they leave out footers, page indexes and Bloom filters. Does not: tell what the bytes mean.

use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::ColdFile;
use super::stores::{ColdStore, Stores, split};
use crate::error::StorageError;
use crate::flush::blocking;

/// Bytes of a block; the last one of a file may have fewer. Smaller ones were no faster: a page of a column, which is what a point
/// read wants of it, is some kilobytes.
const BLOCK_BYTES: u64 = 16 << 10;
/// Whole blocks that a remote store is asked for, and that are kept in memory, together: small enough for a point read, large
/// enough that a scan does not drown in them.
pub(crate) const SPAN_BYTES: u64 = 256 << 10;
/// Small files that are fetched from a remote store at the same time.
const FETCHES: usize = 16;

/// The checksums of a file that is being written.
#[derive(Default)]
pub(crate) struct Checksums {
    /// Those of whole blocks.
    blocks: Vec<u32>,
    /// That of the block that has begun.
    begun: u32,
    bytes: u64,
}

impl Checksums {
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (BLOCK_BYTES - self.bytes % BLOCK_BYTES) as usize;
            let (here, rest) = bytes.split_at(room.min(bytes.len()));
            self.begun = crc32c::crc32c_append(self.begun, here);
            self.bytes += here.len() as u64;
            if self.bytes.is_multiple_of(BLOCK_BYTES) {
                self.blocks.push(std::mem::take(&mut self.begun));
            }
            bytes = rest;
        }
    }

    /// Takes out those of the spans that are complete: the file's footer has them, the manifest only what follows.
    pub(crate) fn take_body(&mut self) -> Vec<u32> {
        let spans = self.bytes / SPAN_BYTES;
        let body = (spans * (SPAN_BYTES / BLOCK_BYTES)) as usize;
        self.blocks.drain(..body).collect()
    }

    /// The others, to the end of the file.
    pub(crate) fn end(mut self) -> Vec<u32> {
        if !self.bytes.is_multiple_of(BLOCK_BYTES) {
            self.blocks.push(self.begun);
        }
        self.blocks
    }
}

/// A cold file as its manifest entry describes its bytes: what it takes to read it.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub(crate) path: Path,
    pub(crate) bytes: u64,
    /// The checksums of its last blocks.
    tail: Vec<u32>,
}

impl ColdFile {
    /// What it takes to read it.
    ///
    /// # Errors
    /// Its path is none.
    pub fn sealed(&self) -> Result<Sealed, StorageError> {
        Ok(Sealed {
            path: Path::parse(&self.path).map_err(object_store::Error::from)?,
            bytes: self.bytes,
            tail: self.checksums.clone(),
        })
    }
}

impl Sealed {
    /// Its path in `Store::object_store`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the part begins whose checksums the manifest has: the footer and what belongs to it, or a small file as a whole.
    pub(crate) fn tail(&self) -> Range<u64> {
        let blocks = self.bytes.div_ceil(BLOCK_BYTES);
        let before = blocks.saturating_sub(self.tail.len() as u64);
        (before * BLOCK_BYTES).min(self.bytes)..self.bytes
    }

    /// Its blocks, given the checksums of those before the tail; none as long as the footer was not read.
    pub(crate) fn blocks<'a>(&'a self, body: &'a [u32]) -> Blocks<'a> {
        Blocks { file: self, body }
    }

    /// Of how many blocks the footer has the checksums.
    pub(crate) fn body_blocks(&self) -> usize {
        (self.tail().start / BLOCK_BYTES) as usize
    }
}

/// A file's bytes with their checksums.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    file: &'a Sealed,
    body: &'a [u32],
}

impl Blocks<'_> {
    fn checksum(&self, block: usize) -> Option<u32> {
        match block.checked_sub(self.file.body_blocks()) {
            None => self.body.get(block).copied(),
            Some(at) => self.file.tail.get(at).copied(),
        }
    }

    /// Whether these are the file's bytes; `range` is one of `cover`.
    fn hold(&self, range: &Range<u64>, bytes: &[u8]) -> bool {
        let first = (range.start / BLOCK_BYTES) as usize;
        let mut blocks = bytes.chunks(BLOCK_BYTES as usize).zip(first..);
        bytes.len() as u64 == range.end - range.start
            && blocks.all(|(bytes, block)| self.checksum(block) == Some(crc32c::crc32c(bytes)))
    }

    /// The fewest ranges of whole blocks that have all of these in them, ascending.
    fn cover(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let widened = |range: &Range<u64>| {
            let start = range.start / BLOCK_BYTES * BLOCK_BYTES;
            let end = range.end.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
            start..end.min(self.file.bytes)
        };
        let mut wide: Vec<_> = ranges.iter().map(widened).collect();
        wide.retain(|range| range.start < range.end);
        wide.sort_unstable_by_key(|range| range.start);
        let mut cover: Vec<Range<u64>> = Vec::with_capacity(wide.len());
        for range in wide {
            match cover.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => cover.push(range),
            }
        }
        cover
    }

    fn wrong(&self) -> StorageError {
        let path = &self.file.path;
        tracing::error!(%path, "a cold file does not have the bytes that were written");
        StorageError::Corrupt(format!("{path} does not have the bytes that were written"))
    }

    fn wrong_once(&self) {
        let path = &self.file.path;
        tracing::warn!(%path, "a cold file was not read as it was written; reading it again");
    }
}

/// The part of a range that lies in one of these, which are of `cover`; less where the file ends.
fn part(cover: &[Range<u64>], parts: &[Bytes], range: &Range<u64>) -> Bytes {
    let at = cover.partition_point(|covered| covered.end <= range.start);
    match cover.get(at) {
        Some(covered) if covered.start <= range.start && range.start < range.end => {
            let from = (range.start - covered.start) as usize;
            let to = (range.end.min(covered.end) - covered.start) as usize;
            parts[at].slice(from..to)
        }
        _ => Bytes::new(),
    }
}

impl Stores {
    /// Parts of a file; of a range that goes past its end, what there is.
    ///
    /// # Errors
    /// `Corrupt` when a store twice gave other bytes than were written.
    pub(crate) async fn read(
        &self,
        blocks: Blocks<'_>,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let path = &blocks.file.path;
        let (store, inside) = self.route(path)?;
        match &self.cache {
            // A local file is in the operating system's cache.
            Some(cache) if store.folder.is_none() && cache.takes(ranges) => {
                let fetch = |span: Range<u64>| {
                    let (inside, cover) = (&inside, blocks.cover(&[span]));
                    async move {
                        let mut parts = store.fetch(blocks, inside, &cover).await?;
                        Ok::<_, StorageError>(parts.pop().unwrap_or_default())
                    }
                };
                cache.ranges(path.as_ref(), ranges, fetch).await
            }
            _ => {
                let cover = blocks.cover(ranges);
                let parts = store.fetch(blocks, &inside, &cover).await?;
                let part = |range| part(&cover, &parts, range);
                Ok(ranges.iter().map(part).collect())
            }
        }
    }

    /// The whole contents of files, in their order; meant for small ones, which are all tail.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) async fn read_whole(&self, files: Vec<Sealed>) -> Result<Vec<Bytes>, StorageError> {
        let mut local = Vec::with_capacity(files.len());
        for file in &files {
            let folder = self.of(file.path.as_ref())?.folder.as_ref();
            local.extend(folder.map(|folder| folder.join(split(file.path.as_ref()).1)));
        }
        if local.len() == files.len() {
            // One trip to a thread that may block serves them all.
            let read = move || local.iter().zip(&files).map(read_local).collect();
            return blocking(read).await;
        }
        let read = |file: Sealed| async move {
            let whole = 0..file.bytes;
            let parts = self.read(file.blocks(&[]), std::slice::from_ref(&whole));
            Ok::<_, StorageError>(parts.await?.pop().unwrap_or_default())
        };
        stream::iter(files)
            .map(read)
            .buffered(FETCHES)
            .try_collect()
            .await
    }
}

/// A whole file of this machine. Blocking.
fn read_local((at, file): (&PathBuf, &Sealed)) -> Result<Bytes, StorageError> {
    let read = || {
        std::fs::read(at).map_err(|error| {
            let message = format!("could not read \"{}\": {error}", at.display());
            std::io::Error::new(error.kind(), message)
        })
    };
    let (blocks, whole) = (file.blocks(&[]), 0..file.bytes);
    let mut bytes = read()?;
    if !blocks.hold(&whole, &bytes) {
        blocks.wrong_once();
        bytes = read()?;
    }
    match blocks.hold(&whole, &bytes) {
        true => Ok(bytes.into()),
        false => Err(blocks.wrong()),
    }
}

impl ColdStore {
    /// Ranges of whole blocks, compared with their checksums; what is wrong is read once more.
    async fn fetch(
        &self,
        blocks: Blocks<'_>,
        inside: &Path,
        cover: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let mut parts = match self.objects.get_ranges(inside, cover).await {
            Ok(parts) => parts,
            Err(error) => return Err(self.failed_read(blocks, inside, error).await),
        };
        for (range, part) in cover.iter().zip(&mut parts) {
            if blocks.hold(range, part) {
                continue;
            }
            blocks.wrong_once();
            *part = match self.objects.get_range(inside, range.clone()).await {
                Ok(part) => part,
                Err(error) => return Err(self.failed_read(blocks, inside, error).await),
            };
            if !blocks.hold(range, part) {
                return Err(blocks.wrong());
            }
        }
        Ok(parts)
    }

    /// Why a read failed: a file that was cut off may lack the range.
    async fn failed_read(
        &self,
        blocks: Blocks<'_>,
        inside: &Path,
        error: object_store::Error,
    ) -> StorageError {
        match self.objects.head(inside).await {
            Ok(found) if found.size < blocks.file.bytes => blocks.wrong(),
            _ => self.named_read(inside, error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(bytes: &[u8], chunk: usize, footer: usize) -> (Sealed, Vec<u32>) {
        let mut checksums = Checksums::default();
        let (body, rest) = bytes.split_at(bytes.len() - footer);
        body.chunks(chunk).for_each(|chunk| checksums.add(chunk));
        let known = checksums.take_body();
        rest.chunks(chunk).for_each(|chunk| checksums.add(chunk));
        let file = Sealed {
            path: Path::from("a"),
            bytes: bytes.len() as u64,
            tail: checksums.end(),
        };
        (file, known)
    }

    #[test]
    fn each_block_is_compared() {
        let bytes: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
        for (length, chunk, footer, tail) in [
            (700_001, 1, 50_000, 524_288),
            (700_001, 70_000, 300_000, 262_144),
            (524_288, 524_288, 1, 262_144),
            (524_288, 99, 0, 524_288),
            (32_768, 5, 10, 0),
            (7, 7, 7, 0),
            (0, 1, 0, 0),
        ] {
            let bytes = &bytes[..length];
            let (file, body) = sealed(bytes, chunk, footer);
            assert_eq!(file.tail(), tail..length as u64);
            assert_eq!(file.body_blocks(), body.len());
            let blocks = file.blocks(&body);
            for range in [0..length as u64, tail..length as u64, 65_536..98_304] {
                if range.end > length as u64 {
                    continue;
                }
                let mut held = bytes[range.start as usize..range.end as usize].to_vec();
                assert!(blocks.hold(&range, &held));
                assert!(range.start < tail || file.blocks(&[]).hold(&range, &held));
                assert!(range.start >= tail || !file.blocks(&[]).hold(&range, &held));
                for at in [0, held.len() / 3, held.len().saturating_sub(1)] {
                    if let Some(byte) = held.get_mut(at) {
                        *byte ^= 1;
                        assert!(!blocks.hold(&range, &held));
                        held[at] ^= 1;
                    }
                }
                assert!(held.is_empty() || !blocks.hold(&range, &held[1..]));
            }
        }
    }

    #[test]
    fn ranges_are_cut_out_of_whole_blocks() {
        let bytes: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
        let (file, body) = sealed(&bytes, 1000, 10);
        let blocks = file.blocks(&body);
        let ranges = [
            700_000..700_001,
            40_000..40_010,
            5..5,
            0..1,
            32_767..32_769,
            300_000..500_000,
            699_000..900_000,
            800_000..900_000,
        ];
        let cover = blocks.cover(&ranges);
        assert_eq!(cover, [0..49_152, 294_912..507_904, 688_128..700_001]);
        let parts: Vec<Bytes> = (cover.iter())
            .map(|range| Bytes::copy_from_slice(&bytes[range.start as usize..range.end as usize]))
            .collect();
        for range in &ranges {
            let end = (range.end as usize).min(bytes.len());
            let start = (range.start as usize).min(end);
            assert_eq!(part(&cover, &parts, range), &bytes[start..end], "{range:?}");
        }
    }
}
