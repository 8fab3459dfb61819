//! A random history against a `BTreeMap`: scans, lookups, old snapshots and feed replay must agree with it.

use super::*;

struct Random(u64);

impl Random {
    /// A number below `n` (splitmix64).
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

type Rows = BTreeMap<(String, Seq), Row>;

fn replay(changes: Vec<Change>) -> BTreeMap<String, Vec<Row>> {
    let mut state: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for change in changes {
        let rows = state
            .entry(change.partition.as_str().to_string())
            .or_default();
        let gone = match change.op {
            ChangeOp::Insert => None,
            ChangeOp::Update => change.old,
            ChangeOp::Delete => Some(change.row.clone()),
        };
        if let Some(gone) = gone {
            let at = rows
                .iter()
                .position(|row| *row == gone)
                .expect("what goes was there");
            rows.swap_remove(at);
        }
        if change.op != ChangeOp::Delete {
            rows.push(change.row);
        }
    }
    state.retain(|_, rows| !rows.is_empty());
    state
        .values_mut()
        .for_each(|rows| rows.sort_by_key(|row| format!("{row:?}")));
    state
}

fn grouped(rows: &Rows) -> BTreeMap<String, Vec<Row>> {
    let mut state: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for ((partition, _), row) in rows {
        state
            .entry(partition.clone())
            .or_default()
            .push(row.clone());
    }
    state
        .values_mut()
        .for_each(|rows| rows.sort_by_key(|row| format!("{row:?}")));
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn agrees_with_a_map() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            now.as_nanos() as u64
        });
    println!("SEED={seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let tables = [
        put_table(&store, notes(1, "keyed", true)).await,
        put_table(&store, notes(2, "keyless", false)).await,
    ];
    let partitions = ["", "a", "a\0b", "é%/.."].map(user);
    let mut model: [Rows; 2] = Default::default();
    let mut snapshots: Vec<(Arc<Snapshot>, [Rows; 2])> = Vec::new();
    for step in 0..1500 {
        match random.below(100) {
            0..=2 => {
                let table = &tables[random.below(2) as usize];
                store.flush(table.id).await.unwrap();
            }
            3 if step % 7 == 0 => {
                snapshots.clear();
                store.close().await;
                drop(store);
                store = open(dir.path());
            }
            4..=6 => {
                if snapshots.len() > 3 {
                    let at = random.below(4) as usize;
                    snapshots.swap_remove(at);
                }
                snapshots.push((store.snapshot(), model.clone()));
            }
            7..=10 => {
                for at in 0..2 {
                    assert_eq!(
                        scan(dir.path(), &store.snapshot(), &tables[at], None),
                        model[at],
                        "step {step}"
                    );
                    for (snapshot, then) in &snapshots {
                        assert_eq!(
                            scan(dir.path(), snapshot, &tables[at], None),
                            then[at],
                            "old, step {step}"
                        );
                    }
                }
            }
            _ => {
                let at = random.below(2) as usize;
                transact(
                    &mut random,
                    dir.path(),
                    &store,
                    &tables[at],
                    &partitions,
                    &mut model[at],
                )
                .await;
            }
        }
    }
    for (at, table) in tables.iter().enumerate() {
        assert_eq!(scan(dir.path(), &store.snapshot(), table, None), model[at]);
        for limit in [3, 10_000] {
            assert_eq!(
                replay(feed(&store, table, PartitionSet::All, limit)),
                grouped(&model[at])
            );
        }
        for partition in &partitions {
            let one = replay(feed(
                &store,
                table,
                PartitionSet::One(partition.clone()),
                100,
            ));
            let of = |state: BTreeMap<String, Vec<Row>>| state.get(partition.as_str()).cloned();
            assert_eq!(of(one), of(grouped(&model[at])));
        }
    }
    for partition in &partitions {
        for id in 0..30 {
            let found =
                find(&store, &tables[0], partition, id).map(|version| (version.seq, version.row));
            let expected = (model[0].iter())
                .find(|((of, _), row)| of == partition.as_str() && row[0] == Datum::Int8(id))
                .map(|((_, seq), row)| (*seq, row.clone()));
            assert_eq!(found, expected);
        }
    }
}

/// A transaction of a few changes, on the model's rows and its own, sometimes partly rolled back.
async fn transact(
    random: &mut Random,
    dir: &Path,
    store: &Store,
    table: &Arc<TableDef>,
    partitions: &[Partition],
    model: &mut Rows,
) {
    let keyed = !table.primary_key.is_empty();
    let mut transaction = Transaction::new();
    let mut rows = model.clone();
    let mut clashes = false;
    let mut mark = None;
    for _ in 0..1 + random.below(6) {
        let partition = &partitions[random.below(partitions.len() as u64) as usize];
        let name = partition.as_str().to_string();
        let new = row(
            random.below(30) as i64,
            &format!("n{}", random.below(1_000_000)),
        );
        let mine: Vec<Seq> = rows
            .keys()
            .filter(|(of, _)| *of == name)
            .map(|(_, seq)| *seq)
            .collect();
        let taken = |rows: &Rows, but: Option<Seq>| {
            keyed
                && rows
                    .iter()
                    .any(|((of, seq), row)| *of == name && row[0] == new[0] && Some(*seq) != but)
        };
        let victim = (!mine.is_empty()).then(|| mine[random.below(mine.len() as u64) as usize]);
        match (random.below(4), victim) {
            (0, Some(seq)) => {
                let old = rows.remove(&(name, seq)).unwrap();
                transaction.delete(table, partition, &RowVersion { seq, row: old });
            }
            (1, Some(seq)) => {
                clashes |= taken(&rows, Some(seq));
                let old = rows.remove(&(name.clone(), seq)).unwrap();
                let pending =
                    transaction.update(table, partition, &RowVersion { seq, row: old }, &new);
                rows.insert((name, pending), new);
            }
            _ => {
                clashes |= taken(&rows, None);
                let pending = transaction.insert(table, partition, &new);
                rows.insert((name, pending), new);
            }
        }
        if random.below(8) == 0 {
            mark = Some((transaction.len(), rows.clone(), clashes));
        }
        if random.below(8) == 0
            && let Some((len, then, clashed)) = mark.take()
        {
            transaction.rollback_to(len);
            (rows, clashes) = (then, clashed);
        }
    }
    if random.below(10) == 0 {
        assert_eq!(
            scan(dir, &store.snapshot(), table, Some(&transaction)),
            rows
        );
    }
    let count = transaction.len() as u64;
    let result = store.commit(transaction).await;
    if clashes {
        assert!(
            matches!(result, Err(CommitError::UniqueViolation { .. })),
            "{result:?}"
        );
        return;
    }
    let last = result.unwrap();
    // The run's first Seq is the one from which `count - 1` steps lead to the last.
    let first = (store.snapshot().seq() == last).then(|| first_of(store, table, last, count));
    *model = rows
        .into_iter()
        .map(|((name, seq), row)| {
            let seq = seq.as_pending().map_or(seq, |n| {
                first.expect("nobody else commits").advance(n.into())
            });
            ((name, seq), row)
        })
        .collect();
}

fn first_of(store: &Store, table: &TableDef, last: Seq, count: u64) -> Seq {
    let before = Seq::from_i64(last.as_i64() - (1 << 30)).unwrap_or(Seq::ZERO);
    let scope = FeedScope {
        table: table.id,
        partitions: PartitionSet::All,
    };
    let changes = store
        .read_changes(&scope, before, usize::MAX)
        .unwrap()
        .changes;
    changes[changes.len() - count as usize].seq
}
