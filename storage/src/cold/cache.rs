//! What is kept of cold files in memory: their footers, rows that were read by key with those beside them, and spans of
//! files that lie far away.
//!
//! Guarantees: it never takes more than its bytes. A cold file never changes, so an entry is never stale; entries of
//! removed files go. Does not: keep spans of local files, which the operating system does.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::blocks::SPAN_BYTES;
use super::reader::Footer;

/// Neighbouring spans that one request fetches.
const RUN_SPANS: u64 = 32;
/// Requests for one read at the same time.
const FETCHES: usize = 8;
/// What an entry costs beside its value.
const ENTRY_BYTES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    path: Arc<str>,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Footer,
    Span(u64),
    Rows(RowsAt),
}

/// Which decoded rows of a file: a cold file never changes, so where they begin tells where they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowsAt {
    /// The row group.
    pub(crate) group: usize,
    /// The first of them in it.
    pub(crate) first: usize,
    /// Whether they are all columns, or `_seq` alone.
    pub(crate) whole: bool,
}

#[derive(Clone)]
enum Entry {
    Footer(Arc<Footer>),
    Span(Bytes),
    Rows(RecordBatch),
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Key, Entry> for Bytewise {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let value = match entry {
            Entry::Footer(footer) => footer.memory_size(),
            Entry::Span(bytes) => bytes.len(),
            Entry::Rows(rows) => rows.get_array_memory_size(),
        };
        (value + key.path.len() + ENTRY_BYTES) as u64
    }
}

/// Footers, rows and spans by path.
pub(crate) struct ColdCache {
    entries: Cache<Key, Entry, Bytewise>,
    bytes: u64,
}

impl std::fmt::Debug for ColdCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdCache")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl ColdCache {
    pub(crate) fn new(bytes: u64) -> ColdCache {
        let entries = usize::try_from(bytes / SPAN_BYTES)
            .unwrap_or(usize::MAX)
            .max(16);
        ColdCache {
            entries: Cache::with_weighter(entries, bytes, Bytewise),
            bytes,
        }
    }

    /// Whether a read of these ranges is worth keeping: one that would push everything else out is not.
    pub(crate) fn takes(&self, ranges: &[Range<u64>]) -> bool {
        let bytes = ranges.iter().fold(0_u64, |sum, range| {
            sum.saturating_add(range.end.saturating_sub(range.start))
        });
        bytes <= self.bytes / 4
    }

    /// The file's footer, read by `load` when it is not here.
    pub(crate) async fn footer<E>(
        &self,
        path: &str,
        load: impl Future<Output = Result<Arc<Footer>, E>>,
    ) -> Result<Arc<Footer>, E> {
        let key = Key {
            path: path.into(),
            part: Part::Footer,
        };
        if let Some(Entry::Footer(footer)) = self.entries.get(&key) {
            return Ok(footer);
        }
        let footer = load.await?;
        self.entries.insert(key, Entry::Footer(footer.clone()));
        Ok(footer)
    }

    /// Decoded rows of the file, read by `load` when they are not here.
    pub(crate) async fn rows<E>(
        &self,
        path: &str,
        at: RowsAt,
        load: impl Future<Output = Result<RecordBatch, E>>,
    ) -> Result<RecordBatch, E> {
        let key = Key {
            path: path.into(),
            part: Part::Rows(at),
        };
        if let Some(Entry::Rows(rows)) = self.entries.get(&key) {
            return Ok(rows);
        }
        let rows = load.await?;
        self.entries.insert(key, Entry::Rows(rows.clone()));
        Ok(rows)
    }

    /// Parts of a file; what is not here is fetched in whole spans. As with `get_range` of a store, a range that
    /// goes past the file's end gives what there is.
    pub(crate) async fn ranges<E, F: Future<Output = Result<Bytes, E>>>(
        &self,
        path: &str,
        ranges: &[Range<u64>],
        fetch: impl Fn(Range<u64>) -> F,
    ) -> Result<Vec<Bytes>, E> {
        let path: Arc<str> = path.into();
        let key = |span: u64| Key {
            path: path.clone(),
            part: Part::Span(span),
        };
        let wanted: BTreeSet<u64> = (ranges.iter().filter(|range| range.start < range.end))
            .flat_map(|range| range.start / SPAN_BYTES..=(range.end - 1) / SPAN_BYTES)
            .collect();
        let mut spans: BTreeMap<u64, Bytes> = BTreeMap::new();
        let mut missing: Vec<Range<u64>> = Vec::new();
        for span in wanted {
            if let Some(Entry::Span(bytes)) = self.entries.get(&key(span)) {
                spans.insert(span, bytes);
                continue;
            }
            match missing.last_mut() {
                Some(run) if run.end == span && run.end - run.start < RUN_SPANS => run.end += 1,
                _ => missing.push(span..span + 1),
            }
        }
        let fetched: Vec<(Range<u64>, Bytes)> = stream::iter(missing)
            .map(|run| {
                let bytes = fetch(run.start * SPAN_BYTES..run.end * SPAN_BYTES);
                async move { Ok::<_, E>((run, bytes.await?)) }
            })
            .buffered(FETCHES)
            .try_collect()
            .await?;
        for (run, bytes) in fetched {
            for (at, span) in run.enumerate() {
                let from = (at as u64 * SPAN_BYTES).min(bytes.len() as u64) as usize;
                let to = (from + SPAN_BYTES as usize).min(bytes.len());
                // A copy: a slice would keep the whole run in memory for as long as one of its spans is here.
                let bytes = Bytes::copy_from_slice(&bytes[from..to]);
                self.entries.insert(key(span), Entry::Span(bytes.clone()));
                spans.insert(span, bytes);
            }
        }
        Ok(ranges.iter().map(|range| assemble(&spans, range)).collect())
    }

    /// Drops what is kept of these files.
    pub(crate) fn forget(&self, paths: &[String]) {
        let paths: HashSet<&str> = paths.iter().map(String::as_str).collect();
        self.entries.retain(|key, _| !paths.contains(&*key.path));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn assemble(spans: &BTreeMap<u64, Bytes>, range: &Range<u64>) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let part = |span: u64| {
        let bytes = spans.get(&span).cloned().unwrap_or_default();
        let start = span * SPAN_BYTES;
        let from = (range.start.saturating_sub(start) as usize).min(bytes.len());
        let to = (range.end.saturating_sub(start).min(SPAN_BYTES) as usize).min(bytes.len());
        bytes.slice(from..to.max(from))
    };
    let (first, last) = (range.start / SPAN_BYTES, (range.end - 1) / SPAN_BYTES);
    if first == last {
        return part(first);
    }
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    for span in first..=last {
        bytes.extend_from_slice(&part(span));
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn parts_come_from_blocks_that_are_fetched_once() {
        let file: Vec<u8> = (0..2_000_003_u32).map(|n| (n % 251) as u8).collect();
        let cache = ColdCache::new(64 << 20);
        let fetched = AtomicU64::new(0);
        let fetch = |range: Range<u64>| {
            let end = (range.end as usize).min(file.len());
            let bytes = Bytes::copy_from_slice(&file[range.start as usize..end]);
            fetched.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            async move { Ok::<_, std::convert::Infallible>(bytes) }
        };
        let ranges = [
            0..10,
            262_140..262_150,
            1_000_000..1_900_000,
            5..5,
            1_999_990..2_000_003,
            1_999_990..9_000_000,
        ];
        for _ in 0..2 {
            let parts = cache
                .ranges("a", &ranges, fetch)
                .await
                .expect("it cannot fail");
            for (range, part) in ranges.iter().zip(parts) {
                let end = (range.end as usize).min(file.len());
                assert_eq!(part, &file[range.start as usize..end], "{range:?}");
            }
        }
        let (first, spans) = (fetched.load(Ordering::SeqCst), cache.len());
        assert!(first <= file.len() as u64 && spans > 2, "{first}, {spans}");
        cache.forget(&["b".to_string()]);
        assert_eq!(cache.len(), spans);
        cache.forget(&["a".to_string()]);
        assert_eq!(cache.len(), 0);
    }

    #[tokio::test]
    async fn it_stays_inside_its_bytes() {
        let cache = ColdCache::new(8 << 20);
        let fetch = |range: Range<u64>| async move {
            let bytes = Bytes::from(vec![1; (range.end - range.start) as usize]);
            Ok::<_, std::convert::Infallible>(bytes)
        };
        for n in 0..64 {
            let range = n * (1 << 20)..(n + 1) * (1 << 20);
            cache
                .ranges("a", &[range], fetch)
                .await
                .expect("it cannot fail");
            assert!(cache.entries.weight() <= 8 << 20);
        }
        assert!(cache.len() > 8);
        let takes = |bytes: u64| cache.takes(std::slice::from_ref(&(0..bytes)));
        assert!(takes(1 << 20) && !takes(3 << 20));
    }
}
