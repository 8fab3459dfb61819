//! Object stores: what lies where, whose it is, and what happens when a store fails.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::*;
use crate::cold::{ColdOptions, StoreAt};
use crate::seq::system_clock;
use crate::store::StoreOptions;

/// A store in memory that can be switched off, or made to do what it then says it did not.
#[derive(Debug, Default)]
pub(super) struct Switched {
    pub(super) inner: InMemory,
    pub(super) down: AtomicBool,
    lies: AtomicBool,
    /// How many bodies it gives as they are, and how many after them with a byte changed.
    pub(super) sound: AtomicUsize,
    pub(super) wrong: AtomicUsize,
    /// How long it takes to put an object, in milliseconds; how many were on their way at the same time.
    put_ms: AtomicU64,
    putting: AtomicUsize,
    putting_most: AtomicUsize,
}

impl Switched {
    fn check(&self) -> object_store::Result<()> {
        if self.down.load(Ordering::SeqCst) {
            return Err(broken("nobody listens"));
        }
        Ok(())
    }

    /// What is answered of these bytes.
    fn body(&self, bytes: Bytes) -> Bytes {
        let take = |left: &AtomicUsize| {
            let less = |left: usize| left.checked_sub(1);
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        };
        let of = self.wrong.load(Ordering::SeqCst);
        if bytes.is_empty() || of == 0 || take(&self.sound).is_ok() || take(&self.wrong).is_err() {
            return bytes;
        }
        let mut bytes = bytes.to_vec();
        let at = of.wrapping_mul(7919) % bytes.len();
        bytes[at] ^= 0x10;
        bytes.into()
    }

    fn answer<T>(&self, done: T) -> object_store::Result<T> {
        if self.lies.load(Ordering::SeqCst) {
            return Err(broken("the connection was lost"));
        }
        Ok(done)
    }

    pub(super) async fn paths(&self) -> Vec<String> {
        let listed = self.inner.list(None);
        let mut paths: Vec<String> = listed
            .map(|meta| meta.unwrap().location.to_string())
            .collect()
            .await;
        paths.retain(|path| path != "tidelog.json");
        paths.sort();
        paths
    }
}

fn broken(why: &str) -> object_store::Error {
    object_store::Error::Generic {
        store: "Switched",
        source: why.into(),
    }
}

impl std::fmt::Display for Switched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("switched://")
    }
}

#[async_trait]
impl ObjectStore for Switched {
    async fn put_opts(
        &self,
        path: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.check()?;
        let putting = self.putting.fetch_add(1, Ordering::SeqCst) + 1;
        self.putting_most.fetch_max(putting, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(self.put_ms.load(Ordering::SeqCst))).await;
        let done = self.inner.put_opts(path, payload, options).await;
        self.putting.fetch_sub(1, Ordering::SeqCst);
        let done = done?;
        self.answer(done)
    }

    async fn put_multipart_opts(
        &self,
        path: &ObjectPath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(
        &self,
        path: &ObjectPath,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.check()?;
        let got = self.inner.get_opts(path, options).await?;
        let (meta, range) = (got.meta.clone(), got.range.clone());
        let attributes = got.attributes.clone();
        let body = self.body(got.bytes().await?);
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::iter([Ok(body)]).boxed()),
            meta,
            range,
            attributes,
        })
    }

    async fn get_ranges(
        &self,
        path: &ObjectPath,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        self.check()?;
        let parts = self.inner.get_ranges(path, ranges).await?;
        Ok(parts.into_iter().map(|part| self.body(part)).collect())
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        match self.check() {
            Ok(()) => self.inner.delete_stream(paths),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &ObjectPath,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

pub(super) fn options(dir: &Path, cold: ColdOptions) -> StoreOptions {
    StoreOptions {
        dir: dir.to_path_buf(),
        node: 1,
        clock: system_clock(),
        background: false,
        cold,
        failpoints: Arc::default(),
        large_bytes: crate::commit::LARGE_BYTES,
    }
}

/// A database whose default store is this one and, if given, whose store `archive` is the other.
pub(super) fn remote(objects: &Arc<Switched>, archive: Option<&Arc<Switched>>) -> ColdOptions {
    let at = |store: &Arc<Switched>| StoreAt::Open(store.clone());
    ColdOptions {
        default: at(objects),
        named: archive
            .map(|store| ("archive".to_string(), at(store)))
            .into_iter()
            .collect(),
        sweep_age: Duration::ZERO,
        ..ColdOptions::default()
    }
}

pub(super) fn files(store: &Store, table: &TableDef) -> Vec<crate::cold::ColdFile> {
    store
        .snapshot()
        .cold_files(table, &PartitionSet::All)
        .unwrap()
}

async fn archived(store: &Store, table: &TableDef, storage: Option<&str>) -> Arc<TableDef> {
    let mut table = table.clone();
    table.options.storage = storage.map(str::to_string);
    put_table(store, table).await
}

pub(super) async fn reopen(store: Arc<Store>, dir: &Path, cold: ColdOptions) -> Arc<Store> {
    store.close().await;
    drop(store);
    Store::open(options(dir, cold)).unwrap()
}

/// Every row by its cold file, where it has one.
fn cold_rows(
    store: &Store,
    table: &Arc<TableDef>,
    partition: &Partition,
    seqs: &[Seq],
) -> Vec<Row> {
    let snapshot = store.snapshot();
    let read = |seq: &Seq| {
        store
            .read_cold(&snapshot, table, partition, *seq)
            .map(|version| version.row)
    };
    seqs.iter().map(read).collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_live_in_an_object_store_through_everything() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    let mut seqs = Vec::new();
    for id in 1..=4 {
        seqs.push(insert(&store, &table, &alice, id, &format!("n{id}")).await);
        store.flush(table.id).await.unwrap();
    }
    let all: Vec<Row> = (1..=4).map(|id| row(id, &format!("n{id}"))).collect();
    assert_eq!(cold_rows(&store, &table, &alice, &seqs), all);
    let held: Vec<String> = files(&store, &table)
        .into_iter()
        .map(|file| file.path)
        .collect();
    assert_eq!(objects.paths().await.len(), 4);
    assert!(
        std::fs::read_dir(dir.path())
            .unwrap()
            .all(|entry| entry.unwrap().file_name() != "cold")
    );

    let old = store.snapshot();
    store.compact(table.id).await.unwrap();
    assert_eq!(files(&store, &table).len(), 1);
    // The old snapshot still reads the files that were merged.
    let read = store.read_cold(&old, &table, &alice, seqs[0]).unwrap();
    assert_eq!(read.row, all[0]);
    drop(old);
    for _ in 0..500 {
        if objects.paths().await.len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let now = objects.paths().await;
    assert!(now.len() == 1 && !held.contains(&now[0]), "{now:?}");
    // What was kept of removed files in memory is gone, too.
    assert!(
        objects
            .inner
            .head(&ObjectPath::from(held[0].as_str()))
            .await
            .is_err()
    );
    let gone = store
        .object_store()
        .get_range(&ObjectPath::from(held[0].as_str()), 0..4)
        .await;
    assert!(gone.is_err(), "{gone:?}");

    let store = reopen(store, dir.path(), remote(&objects, None)).await;
    assert_eq!(cold_rows(&store, &table, &alice, &seqs), all);
    let change = CatalogChange::DropTable {
        schema: table.schema.clone(),
        name: table.name.clone(),
    };
    store
        .change_catalog(store.catalog().version, vec![change])
        .await
        .unwrap();
    for _ in 0..500 {
        if objects.paths().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never removed: {:?}", objects.paths().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_moves_to_another_store_with_its_new_files() {
    let dir = tempfile::tempdir().unwrap();
    let (objects, archive) = (Arc::new(Switched::default()), Arc::new(Switched::default()));
    let cold = || remote(&objects, Some(&archive));
    let store = Store::open(options(dir.path(), cold())).unwrap();
    let names: Vec<String> = store.catalog().storages.iter().cloned().collect();
    assert_eq!(names, ["archive", "default"]);
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    let one = insert(&store, &table, &alice, 1, "one").await;
    store.flush(table.id).await.unwrap();
    let table = archived(&store, &table, Some("archive")).await;
    let two = insert(&store, &table, &alice, 2, "two").await;
    store.flush(table.id).await.unwrap();
    let held = files(&store, &table);
    let storages: Vec<&str> = held.iter().map(|file| file.storage()).collect();
    assert_eq!(storages, ["default", "archive"]);
    assert!(
        held[1].path.starts_with("archive:public/t-1/alice/"),
        "{}",
        held[1].path
    );
    assert_eq!(
        (objects.paths().await.len(), archive.paths().await.len()),
        (1, 1)
    );
    let both = [row(1, "one"), row(2, "two")];
    assert_eq!(cold_rows(&store, &table, &alice, &[one, two]), both);
    let store = reopen(store, dir.path(), cold()).await;
    store.compact(table.id).await.unwrap();
    assert_eq!(cold_rows(&store, &table, &alice, &[one, two]), both);
    until("the merged file to be all there is", || {
        futures::executor::block_on(objects.paths()).is_empty()
            && futures::executor::block_on(archive.paths()).len() == 1
    })
    .await;
    // Without the store that its files are in, the database does not start.
    store.close().await;
    drop(store);
    let refused = Store::open(options(dir.path(), remote(&objects, None)));
    let error = refused.err().unwrap().to_string();
    assert!(
        error.contains("\"archive\"") && error.contains("no storage of that name"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_read_by_key_is_kept_with_those_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path(), ColdOptions::default())).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    // A row has a text that is not worth decoding with another's.
    let text = |id: i64| match id {
        9_000 => "long ".repeat(1 << 19),
        id => format!("n{id}"),
    };
    let mut transaction = Transaction::new();
    for id in 0..10_000 {
        transaction.insert(&table, &alice, &row(id, &text(id)));
    }
    store.commit(transaction).await.unwrap();
    let snapshot = store.snapshot();
    let seq = |id: i64| match snapshot.lookup(&table, &alice, &[Datum::Int8(id)], None) {
        Ok(Lookup::Hot(version)) => version.seq,
        other => panic!("{other:?}"),
    };
    store.flush(table.id).await.unwrap();
    let kept = || store.flusher.cold.stores.cache.as_ref().unwrap().len();
    let read = |ids: &[i64]| {
        let seqs: Vec<Seq> = ids.iter().map(|id| seq(*id)).collect();
        let rows: Vec<Row> = ids.iter().map(|id| row(*id, &text(*id))).collect();
        assert_eq!(cold_rows(&store, &table, &alice, &seqs), rows);
        kept()
    };
    let first = read(&[100]);
    assert_eq!(read(&[0, 99, 101, 2047]), first);
    // The page's Seqs, and its rows.
    assert_eq!(read(&[2048]), first + 2);
    let ends = read(&[8_192]);
    assert_eq!(read(&[9_000]), ends + 1);
    assert!(read(&(0..10_000).rev().collect::<Vec<_>>()) > ends + 4);
    let files: Vec<String> = (files(&store, &table).into_iter())
        .map(|file| file.path)
        .collect();
    store
        .flusher
        .cold
        .stores
        .cache
        .as_ref()
        .unwrap()
        .forget(&files);
    assert_eq!(kept(), 0);
}

/// Flush and compaction of many small partitions wait for a store that is far away at the same time; of large ones, for few.
#[tokio::test(flavor = "multi_thread")]
async fn small_files_go_to_a_slow_store_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    let fill = async |round: i64, users: i64, note: &str| {
        let mut transaction = Transaction::new();
        for id in 0..users {
            let alone = user(&format!("user{id}"));
            transaction.insert(&table, &alone, &row(round, note));
        }
        store.commit(transaction).await.unwrap();
        objects.putting_most.store(0, Ordering::SeqCst);
        store.flush(table.id).await.unwrap();
        objects.putting_most.swap(0, Ordering::SeqCst)
    };
    objects.put_ms.store(30, Ordering::SeqCst);
    let at_once = fill(1, 100, "short").await;
    assert!((32..=64).contains(&at_once), "{at_once}");
    let at_once = fill(2, 20, &"long".repeat(1 << 20)).await;
    assert!((4..=8).contains(&at_once), "{at_once}");
    fill(3, 100, "short").await;
    store.compact(table.id).await.unwrap();
    let at_once = objects.putting_most.load(Ordering::SeqCst);
    assert!((24..=64).contains(&at_once), "{at_once}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_belongs_to_one_database() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let objects = Arc::new(Switched::default());
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    insert(&store, &table, &user("alice"), 1, "mine").await;
    store.flush(table.id).await.unwrap();
    let refused = Store::open(options(other.path(), remote(&objects, None)));
    let error = refused.err().unwrap().to_string();
    assert!(
        error.contains("switched://") && error.contains("another database"),
        "{error}"
    );

    // A database that could not ask at its start asks before it writes or sweeps.
    objects.down.store(true, Ordering::SeqCst);
    let late = Store::open(options(other.path(), remote(&objects, None))).unwrap();
    objects.down.store(false, Ordering::SeqCst);
    let theirs = put_table(&late, notes(1, "t", true)).await;
    insert(&late, &theirs, &user("alice"), 1, "theirs").await;
    for error in [
        late.flush(theirs.id).await.unwrap_err(),
        late.sweep().await.unwrap_err(),
    ] {
        assert!(matches!(error, StorageError::ColdStore { .. }), "{error}");
    }
    assert_eq!(objects.paths().await.len(), 1);

    // Two storages of one database cannot share a place either.
    let fresh = tempfile::tempdir().unwrap();
    let shared = Arc::new(Switched::default());
    let refused = Store::open(options(fresh.path(), remote(&shared, Some(&shared))));
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("storage \"default\""), "{error}");

    // Nor does it start where its files are not.
    store.close().await;
    drop(store);
    let elsewhere = Arc::new(Switched::default());
    for cold in [remote(&elsewhere, None), ColdOptions::default()] {
        let error = Store::open(options(dir.path(), cold))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("lacks this database's files"), "{error}");
    }
    Store::open(options(dir.path(), remote(&objects, None))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_delays_files_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let mut cold = remote(&objects, None);
    cold.cache_bytes = 0;
    objects.down.store(true, Ordering::SeqCst);
    let store = Store::open(options(dir.path(), cold)).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    let first = insert(&store, &table, &alice, 1, "one").await;
    let error = store.flush(table.id).await.unwrap_err();
    assert!(matches!(error, StorageError::Store(_)), "{error:?}");
    assert!(
        error.to_string().contains("switched://") && error.to_string().contains("nobody listens")
    );
    assert_eq!(files(&store, &table), []);
    assert_eq!(find(&store, &table, &alice, 1).unwrap().row, row(1, "one"));

    objects.down.store(false, Ordering::SeqCst);
    store.flush(table.id).await.unwrap();
    assert_eq!(cold_rows(&store, &table, &alice, &[first]), [row(1, "one")]);
    objects.down.store(true, Ordering::SeqCst);
    let read = store.read_cold(&store.snapshot(), &table, &alice, first);
    assert!(matches!(read, Err(StorageError::Store(_))), "{read:?}");
    // Writes and hot reads know nothing of it.
    insert(&store, &table, &alice, 2, "two").await;
    assert_eq!(find(&store, &table, &alice, 2).unwrap().row, row(2, "two"));
    assert!(
        store
            .compact(table.id)
            .await
            .is_ok_and(|report| report.files_merged == 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn done_but_reported_as_failed_leaves_an_orphan_that_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    let seq = insert(&store, &table, &alice, 1, "one").await;
    objects.lies.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        store.flush(table.id).await.unwrap_err();
    }
    objects.lies.store(false, Ordering::SeqCst);
    store.flush(table.id).await.unwrap();
    let held = files(&store, &table);
    assert_eq!((held.len(), held[0].rows), (1, 1));
    // What the failed attempts left is removed beside, or is swept.
    let stray = ObjectPath::from("public/t-1/alice/1-2-3.parquet");
    objects
        .inner
        .put(&stray, PutPayload::from_static(b"torn"))
        .await
        .unwrap();
    store.sweep().await.unwrap();
    until("the orphans to be gone", || {
        futures::executor::block_on(objects.paths()) == [held[0].path.clone()]
    })
    .await;
    assert_eq!(cold_rows(&store, &table, &alice, &[seq]), [row(1, "one")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_beside_flushes_and_compactions_takes_nothing_that_lives() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    let sweeping = {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                store.sweep().await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let mut rows = BTreeMap::new();
    for id in 0..60 {
        let seq = insert(&store, &table, &alice, id, &format!("n{id}")).await;
        rows.insert(seq, row(id, &format!("n{id}")));
        store.flush(table.id).await.unwrap();
        if id % 7 == 6 {
            store.compact(table.id).await.unwrap();
        }
        let seqs: Vec<Seq> = rows.keys().copied().collect();
        let held: Vec<Row> = rows.values().cloned().collect();
        assert_eq!(cold_rows(&store, &table, &alice, &seqs), held);
    }
    sweeping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_database_that_is_elsewhere_are_left_alone() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hot, cold) = (dir.path().join("hot"), dir.path().join("cold"));
    let own = || ColdOptions {
        sweep_age: Duration::ZERO,
        ..ColdOptions::default()
    };
    let elsewhere = || ColdOptions {
        default: StoreAt::Url {
            url: format!("file://{}", cold.display()),
            options: BTreeMap::new(),
        },
        ..own()
    };
    let files = || {
        let files = crate::cold::sweep::local_files(&cold).unwrap();
        let mut files: Vec<String> = files.into_iter().map(|(path, _)| path).collect();
        files.sort();
        files
    };
    let store = Store::open(options(dir.path(), own())).unwrap();
    let table = put_table(&store, notes(1, "t", true)).await;
    insert(&store, &table, &user("alice"), 1, "mine").await;
    store.flush(table.id).await.unwrap();
    let refused = |at: &std::path::Path, cold: ColdOptions, why: &str| {
        let before = files();
        assert!(before.iter().any(|path| path.ends_with(".parquet")));
        let error = Store::open(options(at, cold)).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(files(), before);
    };
    // Another one's data directory, which is in use.
    refused(other.path(), elsewhere(), "another database");
    store.close().await;
    drop(store);
    // The same without its marker, and a data directory that lacks its database.
    std::fs::remove_file(cold.join("tidelog.json")).unwrap();
    refused(other.path(), elsewhere(), "no tidelog.json");
    let away = dir.path().join("away");
    std::fs::rename(&hot, &away).unwrap();
    refused(dir.path(), own(), "no hot/CURRENT");
    assert!(!hot.exists());
    // It goes on once it is whole again, with or without a marker.
    std::fs::rename(&away, &hot).unwrap();
    let store = Store::open(options(dir.path(), own())).unwrap();
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert!(files().contains(&"tidelog.json".to_string()));
    store.close().await;
}
