//! A random history against maps: scans, lookups, old snapshots, reads of the past, refusals and feeds resumed anywhere
//! must agree with them over flushes, trims, compactions, changes of columns and options, and restarts, also while
//! these fail at failpoints, or because the object store fails: before it did what it was asked for, or after. `SEED=n`
//! repeats a failure, `OPERATIONS=n` sets the length.

mod trial;

use super::*;
use crate::catalog::ColumnId;
use crate::datum::{ColumnType, Numeric};
use crate::failpoint::Action;
use crate::testing::{assert_sound, column};
use trial::{STEPS, Trial, is_told};

#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `n` (splitmix64).
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

type Rows = BTreeMap<(String, Seq), Row>;

/// What a table must hold and have held. Rows have the table's present columns, also those from before a change of them.
struct Model {
    table: Arc<TableDef>,
    partitions: Vec<Partition>,
    rows: Rows,
    /// Every change there ever was.
    history: Vec<Change>,
    /// Every version that was superseded, and the Seq that did it.
    dead: Vec<(Partition, RowVersion, Seq)>,
    /// From here on the past must be readable: the latest that any history window has begun.
    floor: Seq,
    /// Before here the feed may be trimmed.
    trimmable: Seq,
}

impl Model {
    fn keyed(&self) -> bool {
        !self.table.primary_key.is_empty()
    }

    /// The end of the last transaction up to a Seq.
    fn boundary(&self, seq: Seq) -> Seq {
        let before = self.history.partition_point(|change| change.seq <= seq);
        let mut changes = self.history[..before].iter().rev();
        let end = changes.find(|change| change.ends_transaction);
        end.map_or(Seq::ZERO, |change| change.seq)
    }

    /// The rows as they stood at a Seq.
    fn past(&self, seq: Seq) -> Rows {
        let seq = self.boundary(seq);
        let live = self.rows.iter().filter(|((_, born), _)| *born <= seq);
        let mut rows: Rows = live.map(|(key, row)| (key.clone(), row.clone())).collect();
        let died = self
            .dead
            .iter()
            .filter(|(_, old, by)| old.seq <= seq && *by > seq);
        rows.extend(died.map(|(of, old, _)| ((of.as_str().to_string(), old.seq), old.row.clone())));
        rows
    }

    fn new_row(&self, random: &mut Random, id: i64) -> Row {
        let mut row = row(id, &format!("n{}", random.below(1_000_000)));
        for column in &self.table.columns[2..] {
            row.push(value(random, column.ty));
        }
        row
    }

    /// Changes every row there ever was.
    fn edit(&mut self, edit: &dyn Fn(&mut Row)) {
        self.rows.values_mut().for_each(edit);
        self.dead
            .iter_mut()
            .for_each(|(_, old, _)| edit(&mut old.row));
        for change in &mut self.history {
            edit(&mut change.row);
            change.old.iter_mut().for_each(edit);
        }
    }
}

/// The types that columns are added with, and those that each is widened to, one after the other.
const TYPES: [&[ColumnType]; 4] = [
    &[
        ColumnType::Int2,
        ColumnType::Int4,
        ColumnType::Int8,
        ColumnType::Numeric(None),
    ],
    &[ColumnType::Float4, ColumnType::Float8],
    &[
        ColumnType::Varchar(Some(5)),
        ColumnType::Varchar(Some(9)),
        ColumnType::Text,
    ],
    &[
        ColumnType::Numeric(Some((4, 2))),
        ColumnType::Numeric(Some((30, 2))),
        ColumnType::Numeric(None),
    ],
];

/// A value of one of these types.
fn value(random: &mut Random, ty: ColumnType) -> Datum {
    let number = random.below(2000) as i64 - 1000;
    match ty {
        _ if random.below(5) == 0 => Datum::Null,
        ColumnType::Int2 => Datum::Int2(number as i16),
        ColumnType::Int4 => Datum::Int4(number as i32 * 1_000_000),
        ColumnType::Int8 => Datum::Int8(number << 40),
        ColumnType::Float4 => Datum::Float4(number as f32 / 7.0),
        ColumnType::Float8 => Datum::Float8(number as f64 / 7.0),
        ColumnType::Numeric(shape) => {
            let numeric = Numeric {
                unscaled: arrow::datatypes::i256::from_i128(number.into()),
                scale: shape.map_or(random.below(9) as i8, |(_, scale)| scale),
            };
            widen::owned(DatumRef::Numeric(numeric), ty)
        }
        _ => Datum::Text(format!("{number}")),
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn agrees_with_a_map() {
    run(from_environment("OPERATIONS").unwrap_or(10_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: scripts/test --long"]
async fn agrees_with_a_map_for_long() {
    run(from_environment("OPERATIONS").unwrap_or(500_000)).await;
}

async fn run(operations: u64) {
    let seed = from_environment("SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        now.as_nanos() as u64
    });
    println!("SEED={seed}");
    let mut random = Random(seed);
    let mut trial = Trial::start(seed);
    let users: Vec<Partition> = ["", "a", "a\0b", "é%/.."].map(user).to_vec();
    let mut models = Vec::new();
    for (id, name, keyed, kind, window_ms) in [
        (1, "keyed", true, TableKind::User, 400),
        (2, "keyless", false, TableKind::User, 0),
        (3, "shared", true, TableKind::Shared, 60),
    ] {
        let mut def = notes(id, name, keyed);
        def.kind = kind;
        def.options.resume_window_ms = window_ms;
        models.push(Model {
            table: put_table(trial.store(), def).await,
            partitions: match kind {
                TableKind::User => users.clone(),
                _ => vec![Partition::shared()],
            },
            rows: Rows::new(),
            history: Vec::new(),
            dead: Vec::new(),
            floor: Seq::ZERO,
            trimmable: Seq::ZERO,
        });
    }
    let (mut done, mut told_trimmed, mut resumed, mut merged) = (0, 0, 0, 0);
    let (mut looked_back, mut told_gone, mut altered) = (0, 0, 0);
    while done < operations {
        done += 1;
        let newest = trial.store().visible();
        trial.time.committed(newest);
        for model in &mut models {
            let options = &model.table.options;
            let begin = match options.history_window_ms {
                0 => newest,
                window_ms => trial.time.before(window_ms).0,
            };
            model.floor = model.floor.max(begin);
            let (_, kept) = trial.time.before(options.resume_window_ms);
            model.trimmable = model.trimmable.max(kept);
        }
        let at = random.below(models.len() as u64) as usize;
        match random.below(200) {
            0..=5 | 94..=99 => {
                let flushed = trial.store().flush(models[at].table.id).await;
                trial.done(flushed).await;
            }
            6..=8 | 90..=93 => {
                let report = trial.store().compact(models[at].table.id).await;
                merged += trial
                    .done(report)
                    .await
                    .map_or(0, |report| report.files_merged);
            }
            9..=10 => {
                let compacted = trial.store().flusher.compact_by_policy().await;
                trial.done(compacted).await;
            }
            11..=14 => {
                let trimmed = trial.store().trim().await;
                trial.done(trimmed).await;
            }
            15..=24 => trial.time.pass(random.below(60) as i64),
            25 => trial.time.pass(random.below(2000) as i64),
            26 => trial.time.pass(-(random.below(300) as i64)),
            27..=29 => match random.below(8) {
                0 => trial.reopen().await,
                1 => trial.failpoints.clear(),
                2..=3 => drop(trial.objects.fail_one_in(*random.pick(&[0, 3, 10, 30]))),
                _ => {
                    let nth = 1 + random.below(2) as u32;
                    trial
                        .failpoints
                        .set(*random.pick(&STEPS), Action::Fail, nth);
                }
            },
            30..=33 => {
                if trial.snapshots.len() > 3 {
                    let at = random.below(4) as usize;
                    trial.snapshots.swap_remove(at);
                }
                let then = models.iter().map(|model| model.rows.clone()).collect();
                let snapshot = trial.store().snapshot();
                trial.snapshots.push((snapshot, then));
            }
            34..=36 => {
                let model = &models[at];
                let now = scan(trial.dir(), &trial.store().snapshot(), &model.table, None);
                assert_same(&now, &model.rows, "the present");
                if random.below(8) == 0 {
                    trial.check().await;
                }
                if !trial.snapshots.is_empty() {
                    let (snapshot, then) = random.pick(&trial.snapshots);
                    let seen = scan(trial.dir(), snapshot, &model.table, None);
                    assert_same(&seen, &then[at], "an old snapshot");
                }
            }
            37..=56 => match resume(&mut random, trial.store(), &models[at]) {
                true => resumed += 1,
                false => told_trimmed += 1,
            },
            57..=76 if models[at].keyed() => look_up(&mut random, trial.store(), &models[at]),
            77..=86 if !models[at].dead.is_empty() => {
                let (table, new) = (&models[at].table, models[at].new_row(&mut random, 1000));
                let (partition, version, by) = random.pick(&models[at].dead);
                let mut late = Transaction::new();
                late.reads_since(*random.pick(&[version.seq, by.previous()]));
                match random.below(2) {
                    0 => late.delete(table, partition, version),
                    _ => drop(late.update(table, partition, version, &new)),
                }
                let refused = trial.store().commit(late).await;
                assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
            }
            // The model goes through all there ever was for these: less and less often.
            87..=89 if random.below(1 + done / 20_000) == 0 => {
                alter(&mut random, &mut trial, &mut models, at).await;
                altered += 1;
            }
            90..=105 if random.below(1 + done / 20_000) == 0 => {
                let snapshot = match trial.snapshots.is_empty() || random.below(3) > 0 {
                    true => trial.store().snapshot(),
                    false => random.pick(&trial.snapshots).0.clone(),
                };
                match look_back(&mut random, trial.dir(), &snapshot, &models[at]) {
                    true => looked_back += 1,
                    false => told_gone += 1,
                }
            }
            _ => {
                done += transact(&mut random, &mut trial, &mut models[at]).await;
            }
        }
    }
    // Unless all of this happened, the agreement says little.
    assert!(
        operations < 10_000
            || [
                told_trimmed,
                resumed,
                merged,
                looked_back,
                told_gone,
                altered,
                21 * trial.crashes,
                trial.objects.failed()
            ]
            .iter()
            .all(|n| *n > 20),
        "{told_trimmed} {resumed} {merged} {looked_back} {told_gone} {altered} {} {}",
        trial.crashes,
        trial.objects.failed()
    );
    trial.objects.fail_one_in(0);
    trial.reopen().await;
    trial.time.pass(1_000_000);
    let store = trial.store();
    for model in &models {
        let seen = scan(trial.dir(), &store.snapshot(), &model.table, None);
        assert_same(&seen, &model.rows, "at the end");
        store.flush(model.table.id).await.unwrap();
        store.compact(model.table.id).await.unwrap();
        let snapshot = store.snapshot();
        let seen = scan(trial.dir(), &snapshot, &model.table, None);
        assert_same(&seen, &model.rows, "compacted");
        for file in (snapshot.cold_files(&model.table, &PartitionSet::All)).unwrap() {
            assert_eq!(snapshot.dead_in(model.table.id, &file).unwrap(), []);
        }
    }
    store.trim().await.unwrap();
    for model in &models {
        assert_eq!(count(store, Family::Log, &model.table), 0);
        assert_eq!(count(store, Family::Dead, &model.table), 0);
        let states = store
            .snapshot()
            .states(model.table.id, &PartitionSet::All)
            .unwrap();
        assert!(states.iter().all(|(_, state)| state.log_bytes == 0));
    }
    trial.check().await;
    trial.sweep(&models).await;
    trial.close().await;
    let cold = trial.cold();
    assert_sound(
        &crate::testing::check_closed(trial.dir(), cold)
            .await
            .unwrap(),
    );
}

/// Compares whole tables, but shows only where they part.
#[track_caller]
fn assert_same(seen: &Rows, expected: &Rows, what: &str) {
    let differs = |key: &&(String, Seq)| seen.get(*key) != expected.get(*key);
    if let Some(key) = seen.keys().chain(expected.keys()).find(differs) {
        let (seen, expected) = (seen.get(key), expected.get(key));
        panic!("{what}: {key:?} is {seen:?} and not {expected:?}");
    }
}

/// Changes a column or an option of a table.
async fn alter(random: &mut Random, trial: &mut Trial, models: &mut [Model], at: usize) {
    let model = &mut models[at];
    let mut def = TableDef::clone(&model.table);
    let columns = def.columns.len();
    let chosen = 2 + random.below(columns.max(3) as u64 - 2) as usize;
    let mut edit: Box<dyn Fn(&mut Row)> = Box::new(|_| {});
    match random.below(5) {
        0 if columns < 7 => {
            let (id, ty) = (def.next_column_id, random.pick(&TYPES)[0]);
            let mut added = column(id.get(), &format!("c{}", id.get()), ty);
            added.missing = value(random, ty);
            let missing = added.missing.clone();
            edit = Box::new(move |row: &mut Row| row.push(missing.clone()));
            def.columns.push(added);
            def.next_column_id = ColumnId::new(id.get() + 1);
            def.bump_schema_version();
        }
        1 if columns > 2 => {
            def.columns.remove(chosen);
            edit = Box::new(move |row: &mut Row| drop(row.remove(chosen)));
            def.bump_schema_version();
        }
        2 if columns > 2 => {
            let ty = def.columns[chosen].ty;
            let wider = TYPES.iter().find_map(|types| {
                let at = types[..types.len() - 1]
                    .iter()
                    .position(|step| *step == ty)?;
                Some(types[at + 1])
            });
            if let Some(ty) = wider {
                let widened = move |old: &Datum| widen::owned(old.as_ref(), ty);
                def.columns[chosen].missing = widened(&def.columns[chosen].missing);
                def.columns[chosen].ty = ty;
                edit = Box::new(move |row: &mut Row| row[chosen] = widened(&row[chosen]));
                def.bump_schema_version();
            }
        }
        3 => def.options.history_window_ms = *random.pick(&[0, 50, 500]),
        _ => {
            let by = |at: usize| def.columns[at].id;
            def.options.cluster_by = match random.below(3) {
                0 => Vec::new(),
                1 => vec![by(1)],
                _ => vec![by(columns - 1), by(0)],
            };
        }
    }
    model.edit(&*edit);
    for (_, then) in &mut trial.snapshots {
        then[at].values_mut().for_each(&*edit);
    }
    trial.failpoints.clear();
    model.table = put_table(trial.store(), def).await;
}

/// Reads the past at a random Seq: `true` when it was exact, `false` when it was gone, and might be.
fn look_back(random: &mut Random, dir: &Path, snapshot: &Snapshot, model: &Model) -> bool {
    let known = snapshot.history(model.table.id).unwrap().unwrap();
    assert!(known.created <= known.complete_from);
    let history = &model.history;
    let seq = match random.below(8) {
        0 => known.complete_from,
        1 => snapshot.seq(),
        _ if history.is_empty() => snapshot.seq(),
        way => {
            let back = 1 + random.below(history.len() as u64) as usize / way as usize;
            let seq = history[history.len() - back.min(history.len())].seq;
            *random.pick(&[seq, seq.next(), seq.previous()])
        }
    };
    let past = snapshot.as_of(seq.min(snapshot.seq())).unwrap();
    if past.seq() < known.complete_from {
        assert!(
            past.seq() < model.floor.max(known.created),
            "{seq} is inside the window"
        );
        return false;
    }
    assert_same(
        &scan(dir, &past, &model.table, None),
        &model.past(past.seq()),
        "the past",
    );
    true
}

/// Reads the feed after a random Seq: `true` when it was exact, `false` when it was told that changes are gone.
fn resume(random: &mut Random, store: &Store, model: &Model) -> bool {
    let history = &model.history;
    let after = match random.below(8) {
        0 => Seq::ZERO,
        1 => store.visible(),
        _ if history.is_empty() => Seq::ZERO,
        way => {
            // More often near the end, as readers are.
            let back = 1 + random.below(history.len() as u64) as usize / way as usize;
            let seq = history[history.len() - back.min(history.len())].seq;
            *random.pick(&[seq, seq.next(), seq.previous()])
        }
    };
    let scope = FeedScope {
        table: model.table.id,
        partitions: match random.below(2) {
            0 => PartitionSet::All,
            _ => PartitionSet::One(random.pick(&model.partitions).clone()),
        },
    };
    let limit = *random.pick(&[1, 7, 100, 100_000]);
    match store.read_changes(&scope, after, limit) {
        Ok(_) => {
            follow(store, model, &scope, after, limit);
            true
        }
        Err(StorageError::Trimmed { oldest }) => {
            assert!(oldest > after && oldest < model.trimmable);
            follow(store, model, &scope, oldest, limit);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn follow(store: &Store, model: &Model, scope: &FeedScope, after: Seq, limit: usize) {
    let covered = |change: &&Change| match &scope.partitions {
        PartitionSet::All => true,
        PartitionSet::One(partition) => change.partition == *partition,
    };
    let first = (model.history).partition_point(|change| change.seq <= after);
    // The last change of a transaction is the last one of those that are covered.
    let transactions = model.history[first..].chunk_by(|change, _| !change.ends_transaction);
    let expected: Vec<Change> = transactions
        .flat_map(|transaction| {
            let mut seen: Vec<Change> = transaction.iter().filter(covered).cloned().collect();
            let count = seen.len();
            for (at, change) in seen.iter_mut().enumerate() {
                change.ends_transaction = at + 1 == count;
            }
            seen
        })
        .collect();
    // Small steps over a long way would take long.
    let limit = limit.max(expected.len() / 20);
    let (mut at, mut seen) = (after, Vec::new());
    loop {
        let batch = store.read_changes(scope, at, limit).unwrap();
        // Few are all that there are, or it is said that there are more.
        match store.read_few_changes(scope, at, limit).unwrap() {
            Some(few) => assert_eq!(few, batch),
            None => assert!(!batch.changes.is_empty() || scope.partitions == PartitionSet::All),
        }
        let done = batch.changes.is_empty();
        seen.extend(batch.changes);
        at = batch.upto;
        if done {
            break;
        }
    }
    assert_eq!(seen, expected, "after {after}");
}

fn look_up(random: &mut Random, store: &Store, model: &Model) {
    let partition = random.pick(&model.partitions);
    let id = Datum::Int8(random.below(30) as i64);
    let expected = (model.rows.iter())
        .find(|((of, _), row)| of == partition.as_str() && row[0] == id)
        .map(|((_, seq), row)| (*seq, row));
    let snapshot = store.snapshot();
    let found = snapshot.lookup(&model.table, partition, &[id], None);
    match found.unwrap() {
        Lookup::Absent => assert_eq!(expected, None),
        Lookup::Hot(version) => assert_eq!(Some((version.seq, &version.row)), expected),
        Lookup::Cold(seq) => match store.read_cold(&snapshot, &model.table, partition, seq) {
            Ok(version) => assert_eq!(Some((seq, &version.row)), expected),
            Err(error) => assert!(is_told(&error), "{error}"),
        },
    }
}

/// A transaction of a few changes, on the model's rows and its own, sometimes partly rolled back. Returns how many.
async fn transact(random: &mut Random, trial: &mut Trial, model: &mut Model) -> u64 {
    let (table, keyed) = (model.table.clone(), model.keyed());
    let mut transaction = Transaction::new();
    transaction.reads_since(trial.store().visible());
    let mut rows = model.rows.clone();
    let (mut changes, mut dead): (Vec<Change>, Vec<_>) = (Vec::new(), Vec::new());
    let mut clashes = false;
    let mut mark = None;
    for _ in 0..1 + random.below(8) {
        let partition = random.pick(&model.partitions);
        let name = partition.as_str().to_string();
        let id = random.below(30) as i64;
        let new = model.new_row(random, id);
        let mine: Vec<Seq> = (rows.range((name.clone(), Seq::ZERO)..=(name.clone(), Seq::MAX)))
            .map(|((_, seq), _)| *seq)
            .collect();
        let taken = |rows: &Rows, but: Option<Seq>| {
            keyed
                && (rows.iter())
                    .any(|((of, seq), row)| *of == name && row[0] == new[0] && Some(*seq) != but)
        };
        let victim = (!mine.is_empty()).then(|| *random.pick(&mine));
        let by = Seq::pending(u32::try_from(changes.len()).unwrap());
        let mut change = |op, row: &Row, old: Option<&Row>| {
            changes.push(Change {
                seq: by,
                op,
                partition: partition.clone(),
                row: row.clone(),
                old: old.cloned(),
                ends_transaction: false,
            });
        };
        let deletes = if mine.len() > 40 { 3 } else { 1 };
        match (random.below(4 + deletes), victim) {
            (0..2, Some(seq)) => {
                clashes |= taken(&rows, Some(seq));
                let row = rows.remove(&(name.clone(), seq)).unwrap();
                let old = RowVersion { seq, row };
                let pending = transaction.update(&table, partition, &old, &new);
                change(ChangeOp::Update, &new, Some(&old.row));
                dead.push((partition.clone(), old, by));
                rows.insert((name, pending), new);
            }
            (4.., Some(seq)) => {
                let row = rows.remove(&(name, seq)).unwrap();
                let old = RowVersion { seq, row };
                transaction.delete(&table, partition, &old);
                change(ChangeOp::Delete, &old.row, None);
                dead.push((partition.clone(), old, by));
            }
            _ => {
                clashes |= taken(&rows, None);
                let pending = transaction.insert(&table, partition, &new);
                change(ChangeOp::Insert, &new, None);
                rows.insert((name, pending), new);
            }
        }
        if random.below(8) == 0 {
            mark = Some((transaction.len(), rows.clone(), clashes, dead.len()));
        }
        if random.below(8) == 0
            && let Some((len, then, clashed, dead_then)) = mark.take()
        {
            transaction.rollback_to(len);
            changes.truncate(len);
            dead.truncate(dead_then);
            (rows, clashes) = (then, clashed);
        }
    }
    if random.below(10) == 0 {
        let seen = scan(
            trial.dir(),
            &trial.store().snapshot(),
            &table,
            Some(&transaction),
        );
        assert_same(&seen, &rows, "with the transaction's own");
    }
    let count = transaction.len() as u64;
    let before = trial.store().visible();
    let mut result = trial.store().commit(transaction).await;
    let failed = match &result {
        Err(CommitError::Unknown(reason)) => Some((reason, false)),
        Err(CommitError::Storage(StorageError::LogFailed(reason))) => Some((reason, true)),
        _ => None,
    };
    if let Some((reason, certainly_not)) = failed {
        assert!(reason.contains("failpoint"), "{reason}");
        trial.crashes += 1;
        trial.reopen().await;
        // All of it is there, or nothing: what is read from now on tells.
        let newest = trial.store().visible();
        if newest == before {
            return count;
        }
        assert!(!certainly_not, "{result:?}");
        result = Ok(newest);
    }
    if clashes {
        assert!(
            matches!(result, Err(CommitError::UniqueViolation { .. })),
            "{result:?}"
        );
        return count;
    }
    let Some(end) = count.checked_sub(1) else {
        return 0;
    };
    let first = run_before(result.unwrap(), end);
    let real = |seq: Seq| seq.as_pending().map_or(seq, |n| first.advance(n.into()));
    let rows = rows.into_iter();
    model.rows = (rows.map(|((name, seq), row)| ((name, real(seq)), row))).collect();
    for change in &mut changes {
        change.seq = real(change.seq);
    }
    changes.last_mut().unwrap().ends_transaction = true;
    model.history.append(&mut changes);
    for (partition, mut version, by) in dead {
        version.seq = real(version.seq);
        model.dead.push((partition, version, real(by)));
    }
    count
}

/// The Seq from which `n` steps lead to `last`.
fn run_before(last: Seq, n: u64) -> Seq {
    let back = i64::try_from(n).unwrap();
    let same_ms = Seq::from_i64(last.as_i64() - back).unwrap();
    let ms_before = Seq::from_i64(last.as_i64() - back - (1 << 22) + (1 << 12)).unwrap();
    let leads = |first: &Seq| first.advance(n) == last;
    [same_ms, ms_before].into_iter().find(leads).unwrap()
}
