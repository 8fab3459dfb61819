use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidelog_storage::catalog::TableOptions;
use tidelog_storage::{
    CatalogChange, ChangeOp, ColumnDef, ColumnId, ColumnType, Datum, Partition, PartitionSet, Row,
    RowVersion, StoreOptions, TableDef, TableId, TableKind, Transaction, key, seq,
};

use super::*;
use crate::lens::{Asked, Seen};
use crate::share::reads_max;

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
            large_bytes: tidelog_storage::commit::LARGE_BYTES,
        };
        let store = Store::open(options).expect("opens");
        let catalog = store.catalog();
        let column = |id, name: &str, not_null| ColumnDef {
            id: ColumnId::new(id),
            name: name.to_string(),
            stored_name: name.to_string(),
            ty: ColumnType::Int8,
            not_null,
            once_null: false,
            default: None,
            missing: Datum::Null,
            sequence: None,
            identity: None,
            generated: None,
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

    fn following(&self) -> Following {
        let scope = FeedScope {
            table: self.table.id,
            partitions: PartitionSet::All,
        };
        Following::all(scope, self.store.catalog().version)
    }

    /// A reader that shares nothing.
    fn tail(&self) -> Tail {
        self.tail_of(&Hub::default(), self.following())
    }

    fn tail_of(&self, hub: &Hub, following: Following) -> Tail {
        Tail::new(&self.store, hub, following, self.store.visible())
    }

    /// A reader of the rows that the lens shows.
    fn through(&self, hub: &Hub, lens: impl Lens + 'static, identity: u8) -> Tail {
        let following = Following {
            lens: Some(Box::new(lens)),
            identity: Some([identity; 16]),
            ..self.following()
        };
        self.tail_of(hub, following)
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
    assert!(
        tail.committed(bench.store.visible())
            .await
            .expect("reads")
            .is_none()
    );
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
async fn who_has_read_all_of_its_scope_knows_how_far_it_is_without_a_read() {
    let bench = Bench::new().await;
    let hub = Hub::default();
    let elsewhere = Following {
        scope: FeedScope {
            table: bench.table.id,
            partitions: PartitionSet::One(Partition::user("nobody")),
        },
        ..bench.following()
    };
    let mut tail = bench.tail_of(&hub, elsewhere);
    let mut concerned = bench.tail_of(&hub, bench.following());
    bench.insert(0..100).await;
    let visible = bench.store.visible();
    // Nobody can read so much.
    let places = hub.reads.acquire_many(reads_max() as u32).await;
    let at_tip = tokio::time::timeout(Duration::from_secs(10), tail.committed(visible)).await;
    assert!(at_tip.expect("no read").expect("reads").is_none());
    assert_eq!(tail.position(), visible);
    let reads = tokio::time::timeout(Duration::from_millis(50), concerned.committed(visible)).await;
    assert!(reads.is_err(), "what was committed is not passed over");
    drop(places);
    let read = concerned.committed(visible).await.expect("reads");
    assert_eq!(read.map(|stretch| stretch.changes().len()), Some(100));
    // A few changes need no place.
    let places = hub.reads.acquire_many(reads_max() as u32).await;
    bench.insert(100..103).await;
    assert_eq!(next_ids(&mut concerned).await.len(), 3);
    drop(places);
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
    assert_eq!(table.id, bench.table.id);
    let mut waiting = bench.tail();
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
    let hub = Hub::default();
    let mut readers = Vec::new();
    for n in 0..12_u32 {
        let following = Following {
            // Some of them are alone, some stand apart.
            identity: (n % 4 != 3).then_some([1; 16]),
            batch_changes: if n % 4 == 2 { 7 } else { 100 },
            ..bench.following()
        };
        let mut tail = bench.tail_of(&hub, following);
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

/// Shows the rows whose `id` is a multiple of the number.
struct Multiples(i64);

impl Lens for Multiples {
    fn look(&self, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError> {
        let look = |(_, _, row): &(Seq, &Partition, &Row)| match row[0] {
            Datum::Int8(id) if id % self.0 == 0 => Seen::Whole,
            _ => Seen::Nothing,
        };
        Ok(versions.rows().iter().map(look).collect())
    }
}

/// Ids of what comes next.
async fn next_ids(tail: &mut Tail) -> Vec<Datum> {
    let stretch = tail.next().await.expect("reads");
    let changes = stretch.changes().iter();
    changes.map(|change| change.row[0].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_see_nothing_of_a_commit_have_no_turn() {
    let bench = Bench::new().await;
    let hub = Hub::default();
    let mut tails: Vec<Tail> = (0..4)
        .map(|n| bench.through(&hub, Multiples(1000 + n % 2), (n % 2) as u8))
        .collect();
    let turns = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = tails
        .drain(..)
        .map(|mut tail| {
            let turns = turns.clone();
            tokio::spawn(async move {
                let mut next = std::pin::pin!(next_ids(&mut tail));
                std::future::poll_fn(|context| {
                    turns.fetch_add(1, Ordering::Relaxed);
                    next.as_mut().poll(context)
                })
                .await
            })
        })
        .collect();
    // Until someone looks for all of them, each is woken by each commit.
    for id in 1..100 {
        bench.insert(id..id + 1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = turns.load(Ordering::Relaxed);
    for id in 100..900 {
        bench.insert(id..id + 1).await;
    }
    // One who was behind may come to the tip meanwhile.
    let after = turns.load(Ordering::Relaxed);
    assert!(
        after - before < 40,
        "{} turns for 800 commits",
        after - before
    );
    bench.insert(1000..1002).await;
    for (n, reader) in readers.into_iter().enumerate() {
        let ids = reader.await.expect("does not panic");
        assert_eq!(ids, [Datum::Int8(1000 + n as i64 % 2)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_nothing_for_longer_than_the_window_has_missed_nothing() {
    let bench = Bench::new().await;
    let hub = Hub::default();
    let mut quiet = bench.through(&hub, Multiples(1000), 1);
    let mut other = bench.through(&hub, Multiples(1), 2);
    // Both are at the tip and wait.
    for id in 1..20 {
        bench.insert(id..id + 1).await;
        next_ids(&mut other).await;
        let waits = tokio::time::timeout(Duration::from_millis(5), quiet.next()).await;
        assert!(waits.is_err());
    }
    let newest = bench.insert(20..21).await;
    next_ids(&mut other).await;
    bench.store.flush(bench.table.id).await.expect("flushes");
    let scope = bench.following().scope;
    while bench
        .store
        .read_changes(&scope, newest.previous(), 1)
        .is_ok()
    {
        bench.store.trim().await.expect("trims");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // More than is kept for one who has not had a turn.
    let expected: Vec<i64> = (1..=20).map(|n| n * 1000).collect();
    for id in &expected {
        bench.insert(*id..id + 1).await;
        next_ids(&mut other).await;
    }
    let mut ids = Vec::new();
    while ids.len() < expected.len() {
        ids.extend(next_ids(&mut quiet).await);
    }
    assert!(ids.into_iter().eq(expected.into_iter().map(Datum::Int8)));
    assert!(quiet.position() > newest);
}

/// Fails, panics or takes long at the row whose `id` is 5.
enum Odd {
    Fails,
    Panics,
    PanicsAndIsHeavy,
    TakesLong,
}

impl Lens for Odd {
    fn is_light(&self) -> bool {
        !matches!(self, Odd::PanicsAndIsHeavy | Odd::TakesLong)
    }

    fn look(&self, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError> {
        let five = |(_, _, row): &(Seq, &Partition, &Row)| row[0] == Datum::Int8(5);
        if versions.rows().iter().any(five) {
            match self {
                Odd::Fails => return Err("five".into()),
                Odd::Panics | Odd::PanicsAndIsHeavy => panic!("five"),
                Odd::TakesLong => std::thread::sleep(Duration::from_millis(300)),
            }
        }
        Ok(versions.rows().iter().map(|_| Seen::Whole).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_or_takes_long_is_its_own_readers_affair() {
    let bench = Bench::new().await;
    let read = |mut tail: Tail| {
        tokio::spawn(async move {
            let mut seen = 0;
            while seen < 20 {
                seen += tail.next().await?.changes().len();
            }
            Ok::<_, SubscriptionError>(seen)
        })
    };
    // Among light ones it is looked at in the tasks themselves, else on another thread.
    let [light, heavy] = [Hub::default(), Hub::default()];
    let fails = read(bench.through(&light, Odd::Fails, 3));
    let panics = [
        read(bench.through(&light, Odd::Panics, 4)),
        read(bench.through(&heavy, Odd::PanicsAndIsHeavy, 4)),
    ];
    let takes_long = read(bench.through(&heavy, Odd::TakesLong, 5));
    let others = [&light, &light, &heavy];
    let others = others.map(|hub| read(bench.through(hub, Multiples(1), 1)));
    for id in 0..20 {
        bench.insert(id..id + 1).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let result = |reader: JoinHandle<_>| async { reader.await.expect("the reader lives") };
    assert!(matches!(
        result(fails).await,
        Err(SubscriptionError::Lens(_))
    ));
    for panics in panics {
        assert!(matches!(
            result(panics).await,
            Err(SubscriptionError::Reader(message)) if message.contains("five")
        ));
    }
    assert!(matches!(result(takes_long).await, Ok(20)));
    for other in others {
        assert!(matches!(result(other).await, Ok(20)));
    }
}

/// Shows the rows whose `n` is the number, and counts its looks.
struct Only {
    n: i64,
    looks: Arc<AtomicUsize>,
}

impl Lens for Only {
    fn asked(&self) -> Option<Asked> {
        let (column, ty) = (1, ColumnType::Int8);
        let value = key::sortable(ty, Datum::Int8(self.n).as_ref())?;
        Some(Asked {
            column,
            ty,
            values: vec![value],
        })
    }

    fn look(&self, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let look = |(_, _, row): &(Seq, &Partition, &Row)| match row[1] == Datum::Int8(self.n) {
            true => Seen::Whole,
            false => Seen::Nothing,
        };
        Ok(versions.rows().iter().map(look).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_other_values_is_not_looked_for() {
    let bench = Bench::new().await;
    let hub = Hub::default();
    let looks = Arc::new(AtomicUsize::new(0));
    let only = |n| Only {
        n,
        looks: looks.clone(),
    };
    let mut tails: Vec<Tail> = (0..50)
        .map(|n| bench.through(&hub, only(n), n as u8))
        .collect();
    let newest = bench.insert(1000..1001).await;
    // All are at the tip and wait.
    for tail in &mut tails {
        while tail.position() < newest {
            let waits = tokio::time::timeout(Duration::from_millis(1), tail.next()).await;
            assert!(waits.is_err());
        }
        let waits = tokio::time::timeout(Duration::from_millis(1), tail.next()).await;
        assert!(waits.is_err());
    }
    let before = looks.load(Ordering::Relaxed);
    for n in 0..50 {
        bench.insert(n..n + 1).await;
    }
    // A transaction of more than one read: all that hold a change of it are looked for until its end.
    let end = bench.insert(7000..10_000).await;
    for (n, tail) in tails.iter_mut().enumerate() {
        assert_eq!(next_ids(tail).await, [Datum::Int8(n as i64)]);
    }
    let looked = looks.load(Ordering::Relaxed) - before;
    assert!(looked < 500, "{looked} looks of 50 readers for 51 commits");
    // What did not concern them has moved them, too, and is no news.
    let watcher = &mut tails[0];
    while watcher.position() < end {
        let waits = tokio::time::timeout(Duration::from_millis(20), watcher.next()).await;
        assert!(waits.is_err());
    }
}
