//! Clustering: files sorted by columns prune by them, and everything that goes by Seq goes on.

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::*;
use crate::catalog::ColumnId;
use crate::cold::ColdFile;

const ROOMS: i64 = 100;

fn room(id: i64) -> String {
    format!("room {:02}", id * 7919 % ROOMS)
}

fn files(store: &Store, table: &TableDef) -> Vec<ColdFile> {
    (store.snapshot())
        .cold_files(table, &PartitionSet::All)
        .unwrap()
}

/// How many of a file's pages may hold a room by their statistics, and how many there are.
fn pages(dir: &Path, file: &ColdFile, room: &str) -> (usize, usize) {
    let opened = std::fs::File::open(dir.join("cold").join(&file.path)).unwrap();
    let options = ArrowReaderOptions::new()
        .with_column_index_policy(PageIndexPolicy::Required)
        .with_offset_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&opened, options).unwrap();
    let (mut may_hold, mut all) = (0, 0);
    for group in metadata.metadata().column_index().unwrap() {
        let ColumnIndexMetaData::BYTE_ARRAY(index) = &group[1] else {
            panic!("rooms are text")
        };
        for (min, max) in index.min_values_iter().zip(index.max_values_iter()) {
            let room = room.as_bytes();
            may_hold += usize::from(min.unwrap() <= room && room <= max.unwrap());
            all += 1;
        }
    }
    (may_hold, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clustered_file_prunes_by_its_columns_and_reads_by_seq_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000));
    let store = open_at(dir.path(), &time);
    let mut def = notes(1, "t", true);
    def.options.history_window_ms = 1_000_000;
    def.options.cluster_by = vec![ColumnId::new(2), ColumnId::new(1)];
    let table = put_table(&store, def).await;
    let (alice, rows) = (user("alice"), 100_000);
    for part in 0..4 {
        let mut transaction = Transaction::new();
        for id in (0..rows).filter(|id| id % 4 == part) {
            transaction.insert(&table, &alice, &row(id, &room(id)));
        }
        store.commit(transaction).await.unwrap();
        store.flush(table.id).await.unwrap();
        time.fetch_add(1000, Ordering::SeqCst);
    }
    let then = store.snapshot();
    let everything = scan(dir.path(), &then, &table, None);
    let before: Vec<(usize, usize)> = (files(&store, &table).iter())
        .map(|file| pages(dir.path(), file, "room 50"))
        .collect();
    assert!(before.iter().all(|(may_hold, all)| may_hold == all));

    let mut transaction = Transaction::new();
    for id in [0, 1, 50_000, rows - 1] {
        let old = find(&store, &table, &alice, id).unwrap();
        transaction.delete(&table, &alice, &old);
    }
    store.commit(transaction).await.unwrap();
    let report = store.compact(table.id).await.unwrap();
    assert_eq!(
        (report.files_merged, report.files, report.dropped),
        (4, 1, 0)
    );
    let file = files(&store, &table).pop().unwrap();
    assert_eq!(file.order, table.options.cluster_by);
    let (may_hold, all) = pages(dir.path(), &file, "room 50");
    assert!(may_hold <= 2 && all >= 5, "{may_hold} of {all} pages");

    // The dead are hidden, the past shows them, rows are found by their Seqs.
    let now = scan(dir.path(), &store.snapshot(), &table, None);
    assert_eq!(now.len(), everything.len() - 4);
    let past = store.snapshot().as_of(then.seq()).unwrap();
    assert!(scan(dir.path(), &past, &table, None) == everything);
    let snapshot = store.snapshot();
    for id in [2, 77, 49_999, rows - 2] {
        let hot = find(&store, &table, &alice, id).unwrap();
        let cold = store.read_cold(&snapshot, &table, &alice, hot.seq);
        assert_eq!(cold.unwrap(), hot);
    }

    // Merged with a younger file it stays sorted; without the option it goes back to the order of Seqs.
    insert(&store, &table, &alice, rows, "room 50").await;
    store.flush(table.id).await.unwrap();
    time.fetch_add(10_000_000, Ordering::SeqCst);
    let report = store.compact(table.id).await.unwrap();
    assert_eq!((report.files_merged, report.dropped), (2, 4));
    assert_eq!(store.compact(table.id).await.unwrap().files, 0);
    let file = files(&store, &table).pop().unwrap();
    assert!(pages(dir.path(), &file, "room 50").0 <= 2);
    let mut def = TableDef::clone(&table);
    def.options.cluster_by = Vec::new();
    let table = put_table(&store, def).await;
    assert_eq!(store.compact(table.id).await.unwrap().files_merged, 1);
    assert_eq!(files(&store, &table)[0].order, []);
    assert_eq!(
        scan(dir.path(), &store.snapshot(), &table, None).len(),
        now.len() + 1
    );
    assert!(
        !dir.path().join("scratch").exists()
            || std::fs::read_dir(dir.path().join("scratch"))
                .unwrap()
                .count()
                == 0
    );
}
