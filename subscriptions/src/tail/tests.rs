use std::time::Duration;

use tidelog_storage::catalog::TableOptions;
use tidelog_storage::{
    CatalogChange, ChangeOp, ColumnDef, ColumnId, ColumnType, Datum, Partition, PartitionSet, Row,
    RowVersion, StoreOptions, TableDef, TableId, TableKind, Transaction, seq,
};

use super::*;

struct Bench {
    store: Arc<Store>,
    table: Arc<TableDef>,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().expect("a directory");
        let options = StoreOptions {
            dir: dir.path().to_path_buf(),
            node: 0,
            clock: seq::system_clock(),
            background: false,
            cold: Default::default(),
            failpoints: Arc::default(),
        };
        let store = Store::open(options).expect("opens");
        let catalog = store.catalog();
        let column = |id, name: &str, not_null| ColumnDef {
            id: ColumnId::new(id),
            name: name.to_string(),
            stored_name: name.to_string(),
            ty: ColumnType::Int8,
            not_null,
            default: None,
            missing: Datum::Null,
            sequence: None,
            identity: None,
        };
        let options = TableOptions {
            resume_window_ms: 1000,
            ..TableOptions::default()
        };
        let (id, columns) = (
            TableId::new(catalog.next_table_id),
            vec![column(1, "id", true), column(2, "n", false)],
        );
        let table = TableDef {
            primary_key: vec![ColumnId::new(1)],
            primary_key_name: "t_pkey".to_string(),
            ..TableDef::new(id, ("chat", "t"), TableKind::Shared, columns, options)
        };
        let mut changes = vec![CatalogChange::PutTable(Box::new(table.clone()))];
        if !catalog.schemas.contains("chat") {
            changes.insert(0, CatalogChange::CreateSchema("chat".to_string()));
        }
        store
            .change_catalog(catalog.version, changes)
            .await
            .expect("creates the table");
        let table = store
            .catalog()
            .table("chat", "t")
            .expect("was created")
            .clone();
        Bench {
            store,
            table,
            _dir: dir,
        }
    }

    fn tail(&self) -> Tail {
        let scope = FeedScope {
            table: self.table.id,
            partitions: PartitionSet::All,
        };
        let version = self.store.catalog().version;
        let following = Following::all(scope, version);
        Tail::new(
            self.store.clone(),
            &Hub::default(),
            following,
            self.store.visible(),
        )
    }

    async fn insert(&self, ids: std::ops::Range<i64>) -> Seq {
        let mut transaction = Transaction::new();
        for id in ids {
            transaction.insert(&self.table, &Partition::shared(), &row(id, id));
        }
        self.store.commit(transaction).await.expect("commits")
    }

    async fn change_catalog(&self, change: CatalogChange) {
        let version = self.store.catalog().version;
        self.store
            .change_catalog(version, vec![change])
            .await
            .expect("changes the catalog");
    }
}

fn row(id: i64, n: i64) -> Row {
    vec![Datum::Int8(id), Datum::Int8(n)]
}

#[tokio::test(flavor = "multi_thread")]
async fn delivers_each_change_once_in_commit_order_also_when_next_is_dropped() {
    let bench = Bench::new().await;
    let mut tail = bench.tail();
    let writes = 2500;
    let write = async {
        for id in 0..50 {
            bench.insert(id * 50..(id + 1) * 50).await;
        }
    };
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < writes {
            // Most waits are given up: what was read must come with the next.
            match tokio::time::timeout(Duration::from_micros(300), tail.next()).await {
                Ok(stretch) => seen.extend(stretch.expect("reads").into_changes()),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(write, read);
    assert!(seen.is_sorted_by(|a, b| a.seq < b.seq));
    let ids: Vec<Datum> = seen.iter().map(|change| change.row[0].clone()).collect();
    assert_eq!(ids, (0..2500).map(Datum::Int8).collect::<Vec<_>>());
    assert!(tail.committed().await.expect("reads").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_carry_the_row_before_and_deletes_the_row_that_went() {
    let bench = Bench::new().await;
    let mut tail = bench.tail();
    let seq = bench.insert(1..2).await;
    let mut transaction = Transaction::new();
    let old = RowVersion {
        seq,
        row: row(1, 1),
    };
    let pending = transaction.update(&bench.table, &Partition::shared(), &old, &row(1, 2));
    let old = RowVersion {
        seq: pending,
        row: row(1, 2),
    };
    transaction.delete(&bench.table, &Partition::shared(), &old);
    bench.store.commit(transaction).await.expect("commits");
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|change: &Change| change.op != ChangeOp::Delete)
    {
        seen.extend(tail.next().await.expect("reads").into_changes());
    }
    let insert = &seen[0];
    assert_eq!(
        (insert.op, &insert.row, &insert.old),
        (ChangeOp::Insert, &row(1, 1), &None)
    );
    let delete = seen.last().expect("was waited for");
    // A transaction may pass the row's state between over.
    assert!([row(1, 1), row(1, 2)].contains(&delete.row));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_fell_out_of_the_window_is_told_so() {
    let bench = Bench::new().await;
    let mut stalled = bench.tail();
    let last = bench.insert(0..3).await;
    let mut reader = bench.tail();
    bench.store.flush(bench.table.id).await.expect("flushes");
    // The table's window is a second of the wall clock.
    while bench.store.trim().await.expect("trims").partitions == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = stalled.next().await;
    assert!(
        matches!(told, Err(SubscriptionError::Trimmed { oldest }) if oldest == last),
        "{told:?}"
    );
    bench.insert(3..4).await;
    assert_eq!(
        reader.next().await.expect("reads").changes()[0].row,
        row(3, 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_tail_is_told_of_drop_and_alter() {
    let bench = Bench::new().await;
    let mut waiting = bench.tail();
    let before = bench.store.visible();
    let alter = async {
        let mut table = (*bench.table).clone();
        table.columns.pop();
        table.bump_schema_version();
        bench
            .change_catalog(CatalogChange::PutTable(Box::new(table)))
            .await;
        bench.insert_narrow().await;
    };
    let (result, ()) = tokio::join!(waiting.next(), alter);
    match result {
        Err(SubscriptionError::CatalogChanged { resume_after }) => assert!(resume_after >= before),
        other => panic!("{other:?}"),
    }

    let table = bench
        .store
        .catalog()
        .table("chat", "t")
        .expect("exists")
        .clone();
    let scope = FeedScope {
        table: table.id,
        partitions: PartitionSet::All,
    };
    let visible = bench.store.visible();
    let following = Following::all(scope, bench.store.catalog().version);
    let mut waiting = Tail::new(bench.store.clone(), &Hub::default(), following, visible);
    let drop = CatalogChange::DropTable {
        schema: "chat".to_string(),
        name: "t".to_string(),
    };
    let (result, ()) = tokio::join!(waiting.next(), bench.change_catalog(drop));
    assert!(
        matches!(result, Err(SubscriptionError::TableGone)),
        "{result:?}"
    );
}

impl Bench {
    /// One row into the table as it is now, without its second column.
    async fn insert_narrow(&self) {
        let table = self
            .store
            .catalog()
            .table("chat", "t")
            .expect("exists")
            .clone();
        let mut transaction = Transaction::new();
        transaction.insert(&table, &Partition::shared(), &vec![Datum::Int8(9)]);
        self.store.commit(transaction).await.expect("commits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_share_get_each_change_once_whenever_they_read() {
    let bench = Bench::new().await;
    let hub = Arc::new(Hub::default());
    let scope = FeedScope {
        table: bench.table.id,
        partitions: PartitionSet::All,
    };
    let mut readers = Vec::new();
    for n in 0..12_u32 {
        let following = Following {
            // Some of them are alone, some stand apart.
            identity: (n % 4 != 3).then(|| "same".into()),
            batch_changes: if n % 4 == 2 { 7 } else { 100 },
            ..Following::all(scope.clone(), bench.store.catalog().version)
        };
        let mut tail = Tail::new(bench.store.clone(), &hub, following, bench.store.visible());
        readers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < 3000 {
                match tokio::time::timeout(Duration::from_micros(500), tail.next()).await {
                    Ok(stretch) => {
                        let stretch = stretch.expect("reads");
                        let bytes = stretch.encoded("ids", |changes| {
                            Ok::<_, ()>(
                                changes
                                    .iter()
                                    .map(|change| change.seq.as_i64() as u8)
                                    .collect(),
                            )
                        });
                        assert_eq!(bytes.map(|bytes| bytes.len()), Ok(stretch.changes().len()));
                        seen.extend(stretch.into_changes());
                    }
                    Err(_) if n % 5 == 0 => tokio::time::sleep(Duration::from_millis(2)).await,
                    Err(_) => {}
                }
            }
            seen
        }));
    }
    for id in 0..300 {
        bench.insert(id * 10..(id + 1) * 10).await;
    }
    for reader in readers {
        let seen = reader.await.expect("does not panic");
        assert!(seen.is_sorted_by(|a, b| a.seq < b.seq));
        let ids: Vec<Datum> = seen.iter().map(|change| change.row[0].clone()).collect();
        assert_eq!(ids, (0..3000).map(Datum::Int8).collect::<Vec<_>>());
        let ends = seen.iter().filter(|change| change.ends_transaction).count();
        assert_eq!(ends, 300);
    }
}
