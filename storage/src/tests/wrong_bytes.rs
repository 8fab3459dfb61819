//! Bytes that a store, a network or a disk changed: they are read again, or told of, and nobody is handed them.

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use parquet::arrow::ParquetRecordBatchStreamBuilder;

use super::objects::{Switched, files, options, remote, reopen};
use super::*;
use crate::cold::blocks::SPAN_BYTES;
use crate::cold::{ColdOptions, StoreAt};
use crate::testing::assert_sound;

const WRONG: &str = "does not have the bytes that were written";

/// A file of more than two spans, and a small one; the Seqs of some rows of both.
async fn filled(store: &Store) -> (Arc<TableDef>, Vec<Seq>) {
    let table = put_table(store, notes(1, "t", true)).await;
    for ids in [0..24_000, 24_000..24_100] {
        let mut transaction = Transaction::new();
        let mut text = 1_u64;
        for id in ids {
            // Nothing that a compression makes much smaller.
            text = text.wrapping_mul(6364136223846793005).wrapping_add(id);
            let note = format!(
                "{text:x}{:x}",
                text.rotate_left(17).wrapping_mul(77_777_777)
            );
            transaction.insert(&table, &user("alice"), &row(id as i64, &note));
        }
        store.commit(transaction).await.unwrap();
        store.flush(table.id).await.unwrap();
    }
    let held = files(store, &table);
    let sizes: Vec<u64> = held.iter().map(|file| file.bytes).collect();
    assert!(
        sizes[0] > 2 * SPAN_BYTES && sizes[1] < SPAN_BYTES / 4,
        "{sizes:?}"
    );
    assert!(held[0].sealed().unwrap().body_blocks() > 0);
    (
        table,
        vec![held[0].first_seq, held[0].last_seq, held[1].first_seq],
    )
}

/// What the cold files hold, as scans read them: in parts, and the last, small one as a whole, too.
async fn scanned(store: &Store, table: &TableDef) -> Result<Vec<RecordBatch>, StorageError> {
    let (held, mut batches) = (files(store, table), Vec::new());
    for file in &held {
        let reader = store.cold_reader(file.sealed()?);
        let reader = ParquetRecordBatchStreamBuilder::new(reader).await?;
        batches.extend(reader.build()?.try_collect::<Vec<_>>().await?);
    }
    let whole = store
        .read_files(vec![held[held.len() - 1].sealed()?])
        .await?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(whole[0].clone())?;
    for batch in reader.build()? {
        batches.push(batch?);
    }
    Ok(batches)
}

/// Some rows, each read by its Seq.
fn found(store: &Store, table: &TableDef, seqs: &[Seq]) -> Result<Vec<Row>, StorageError> {
    let (snapshot, alice) = (store.snapshot(), user("alice"));
    let read = |seq: &Seq| {
        store
            .read_cold(&snapshot, table, &alice, *seq)
            .map(|version| version.row)
    };
    seqs.iter().map(read).collect()
}

/// What is read once wrongly is read again, whichever request it was, and what stays wrong is told; with a cache or without.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_handed_a_wrong_byte() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let cold = |cache_bytes| ColdOptions {
        cache_bytes,
        ..remote(&objects, None)
    };
    let mut store = Store::open(options(dir.path(), cold(0))).unwrap();
    let (table, seqs) = filled(&store).await;
    let right = scanned(&store, &table).await.unwrap();
    let rows = found(&store, &table, &seqs).unwrap();
    for (cache_bytes, by_key) in [(0, false), (0, true), (64 << 20, false), (64 << 20, true)] {
        for request in 0.. {
            let mut reached = false;
            for times in [1, usize::MAX / 2] {
                store = reopen(store, dir.path(), cold(cache_bytes)).await;
                objects.sound.store(request, Ordering::SeqCst);
                objects.wrong.store(times, Ordering::SeqCst);
                let read = match by_key {
                    false => scanned(&store, &table).await.map(|read| read == right),
                    true => found(&store, &table, &seqs).map(|read| read == rows),
                };
                reached = objects.wrong.swap(0, Ordering::SeqCst) < times;
                match read {
                    Ok(is_right) => assert!(is_right && (times == 1 || !reached), "{request}"),
                    Err(StorageError::Corrupt(what)) => {
                        assert!(times > 1 && what.contains(WRONG), "{request}: {what}");
                        assert!(what.starts_with("public/t-1/alice/"), "{what}");
                    }
                    Err(error) => panic!("{request}, {times} times: {error}"),
                }
                // Nothing wrong was kept.
                assert!(scanned(&store, &table).await.unwrap() == right);
                assert!(found(&store, &table, &seqs).unwrap() == rows);
            }
            if !reached {
                assert!(request > 2, "{request}");
                break;
            }
        }
    }
}

/// A file that was cut off is told of as wrong bytes are, whatever a store says of a range that it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_off_has_wrong_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path(), ColdOptions::default())).unwrap();
    let (table, seqs) = filled(&store).await;
    let folder = dir.path().join("cold");
    let paths = files(&store, &table).into_iter().map(|file| file.path);
    let paths: Vec<_> = paths.map(|path| folder.join(path)).collect();
    store.close().await;
    drop(store);
    for is_remote in [false, true] {
        for (path, seq) in paths.iter().zip([seqs[0], seqs[2]]) {
            let whole = std::fs::read(path).unwrap();
            for left in [0, 1000, whole.len() / 2, whole.len() - 1] {
                std::fs::write(path, &whole[..left]).unwrap();
                let objects = LocalFileSystem::new_with_prefix(&folder).unwrap();
                let cold = match is_remote {
                    true => ColdOptions {
                        default: StoreAt::Open(Arc::new(objects)),
                        ..ColdOptions::default()
                    },
                    false => ColdOptions::default(),
                };
                let store = Store::open(options(dir.path(), cold)).unwrap();
                let scan = scanned(&store, &table).await.map(drop);
                for read in [scan, found(&store, &table, &[seq]).map(drop)] {
                    match read {
                        Err(StorageError::Corrupt(what)) => assert!(what.contains(WRONG), "{what}"),
                        other => panic!("{left} bytes, remote: {is_remote}: {other:?}"),
                    }
                }
                store.close().await;
            }
            std::fs::write(path, &whole).unwrap();
        }
    }
}

/// The rows of the cold files.
async fn notes_held(store: &Store, table: &TableDef) -> BTreeMap<i64, String> {
    let mut notes = BTreeMap::new();
    for batch in scanned(store, table).await.unwrap() {
        for at in 0..batch.num_rows() {
            let value = |column: usize| datum_at(batch.column(column), at).unwrap().to_owned();
            let (Datum::Int8(id), Datum::Text(note)) = (value(0), value(1)) else {
                panic!("{batch:?}");
            };
            notes.insert(id, note);
        }
    }
    notes
}

/// Nor does a compaction or a flush take it for the table's.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_not_made_of_wrong_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Switched::default());
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let (table, _) = filled(&store).await;
    let (alice, before) = (user("alice"), files(&store, &table));
    let refused = |done: StorageError| {
        let StorageError::Corrupt(what) = done else {
            panic!("{done}");
        };
        assert!(what.contains(WRONG), "{what}");
    };
    objects.wrong.store(usize::MAX / 2, Ordering::SeqCst);
    refused(store.compact(table.id).await.unwrap_err());
    insert(&store, &table, &alice, 99_999, "one more").await;
    // A store that does not give back what it took has failed; it may do better later.
    let error = store.flush(table.id).await.unwrap_err();
    assert!(
        error.is_of_store() && error.to_string().contains(WRONG),
        "{error}"
    );
    objects.wrong.store(0, Ordering::SeqCst);
    assert_eq!(files(&store, &table), before);
    store.flush(table.id).await.unwrap();
    let mut notes = notes_held(&store, &table).await;
    assert_eq!(notes.len(), 24_101);
    // Once wrong costs nothing, whichever request it was: of a compaction, and of reading back what it wrote.
    for request in 0.. {
        objects.sound.store(request, Ordering::SeqCst);
        objects.wrong.store(1, Ordering::SeqCst);
        store.compact(table.id).await.unwrap();
        let reached = objects.wrong.swap(0, Ordering::SeqCst) == 0;
        let held = files(&store, &table);
        assert_eq!(held.len(), 1);
        assert!(notes_held(&store, &table).await == notes, "{request}");
        let bounds = crate::cold::bounds::of_files(&table, &held).unwrap();
        let ids = (&bounds[0].low[0], &bounds[0].high[0]);
        assert_eq!(ids, (&Datum::Int8(0), &Datum::Int8(99_999)));
        if !reached {
            assert!(request > 3, "{request}");
            break;
        }
        // Something for the next one to merge.
        let id = 50_000 + request as i64;
        insert(&store, &table, &alice, id, "again").await;
        store.flush(table.id).await.unwrap();
        notes.insert(id, "again".to_string());
    }
    assert_sound(&store.check().await.unwrap());
}
