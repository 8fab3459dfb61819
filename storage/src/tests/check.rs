//! The check: silent on what is sound, and finds each thing that can break.

use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use rocksdb::WriteBatch;

use super::objects::{Switched, options, remote};
use super::*;
use crate::catalog::{ColumnId, Deferral, ForeignKeyDef, IndexId, ReferentialAction, TableId};
use crate::check::{self, Invariant};
use crate::cold::{self, ColdOptions, META_FILE, META_STATE};
use crate::hot::{Hot, HotSnapshot};
use crate::key::{index_scope, read_seq, seq_bytes, seq_of, version_key};
use crate::snapshot::History;
use crate::testing::{assert_sound, check_closed, index};
use crate::versions::DeadEntry;

async fn run(dir: &Path) -> Result<check::CheckReport, StorageError> {
    check_closed(dir, ColdOptions::default()).await
}

/// A table with every kind of key, which references itself, and its data in both tiers; closed.
async fn broken_into(dir: &Path, keyed: bool) -> Arc<TableDef> {
    let store = open(dir);
    let mut def = notes(1, "t", keyed);
    let other = index(1, "t_note", 2, false);
    def.indexes = vec![other, index(2, "t_note_key", 2, true)];
    def.next_index_id = IndexId::new(3);
    if keyed {
        def.foreign_keys.push(ForeignKeyDef {
            name: "t_self".to_string(),
            columns: vec![ColumnId::new(1)],
            parent: ("public".to_string(), "t".to_string()),
            parent_columns: vec![ColumnId::new(1)],
            on_delete: ReferentialAction::NoAction,
            on_update: ReferentialAction::NoAction,
            deferral: Deferral::default(),
            ready: true,
            not_valid: false,
        });
    }
    let table = put_table(&store, def).await;
    let users = ["alice", "bob"].map(user);
    for partition in &users {
        for id in 1..=6 {
            let note = format!("{} {id}", partition.as_str());
            insert(&store, &table, partition, id, &note).await;
        }
        let mut transaction = Transaction::new();
        for id in [1, 2] {
            let old = partition_version(&store, &table, partition, dir, id);
            transaction.update(&table, partition, &old, &row(id, &format!("again {id}")));
        }
        store.commit(transaction).await.unwrap();
    }
    store.flush(table.id).await.unwrap();
    for partition in &users {
        let mut transaction = Transaction::new();
        let three = partition_version(&store, &table, partition, dir, 3);
        let four = partition_version(&store, &table, partition, dir, 4);
        transaction.delete(&table, partition, &three);
        transaction.update(&table, partition, &four, &row(4, "four"));
        transaction.insert(&table, partition, &row(7, "seven"));
        store.commit(transaction).await.unwrap();
    }
    assert_sound(&store.check().await.unwrap());
    store.close().await;
    table
}

fn partition_version(
    store: &Store,
    table: &Arc<TableDef>,
    partition: &Partition,
    dir: &Path,
    id: i64,
) -> RowVersion {
    let rows = scan(dir, &store.snapshot(), table, None);
    let mut found = rows
        .into_iter()
        .filter(|((of, _), row)| of == partition.as_str() && row[0] == Datum::Int8(id));
    let ((_, seq), row) = found.next().expect("the row lives");
    RowVersion { seq, row }
}

/// The keys and values of alice's partition in a family, or of the whole family.
fn entries(hot: &HotSnapshot, family: Family, whole: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let scope = crate::key::scope_key(TableId::new(1), &user("alice"));
    let (from, to) = match whole {
        true => (Vec::new(), vec![0xFF; 9]),
        false => (scope.clone(), crate::key::scope_end(scope)),
    };
    let mut found = Vec::new();
    let mut entries = hot.iterate(family, &from, to);
    while let Some((key, value)) = entries.item() {
        found.push((key.to_vec(), value.to_vec()));
        entries.next();
    }
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

type Sabotage = fn(&Hot, &HotSnapshot, &mut WriteBatch);

#[tokio::test(flavor = "multi_thread")]
async fn each_break_is_found() {
    use Invariant::*;
    let cases: &[(&str, bool, Sabotage, &[Invariant])] = &[
        (
            "a record that is none",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Log, false).remove(3);
                batch.put_cf(hot.family(Family::Log), key, [9, 9, 9]);
            },
            &[RecordsDecode, DeadAgree, StatesAgree],
        ),
        (
            "a record that is gone",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Log, false).remove(3);
                batch.delete_cf(hot.family(Family::Log), key);
            },
            &[CommitsAgree, DeadAgree, StatesAgree],
        ),
        (
            "the newest record is gone",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Log, false).pop().unwrap();
                batch.delete_cf(hot.family(Family::Log), key);
            },
            &[CommitsAgree, KeysExact, IndexesExact, StatesAgree],
        ),
        (
            "a record in no transaction",
            true,
            |hot, snapshot, batch| {
                let (mut key, value) = entries(snapshot, Family::Log, false).pop().unwrap();
                let at = key.len() - 8;
                let other = Seq::from_i64(read_seq(&key[at..]).unwrap().as_i64() + 1).unwrap();
                key[at..].copy_from_slice(&seq_bytes(other));
                batch.put_cf(hot.family(Family::Log), key, value);
            },
            &[CommitsAgree, IndexesExact, OneRowPerKey, StatesAgree],
        ),
        (
            "no end of a transaction",
            true,
            |hot, snapshot, batch| {
                let (key, mut value) = entries(snapshot, Family::Log, false).remove(0);
                value[1] &= !1;
                batch.put_cf(hot.family(Family::Log), key, value);
            },
            &[CommitsAgree],
        ),
        (
            "transactions overlap",
            true,
            |hot, snapshot, batch| {
                let (key, mut value) = entries(snapshot, Family::Commit, true).remove(2);
                value[..8].copy_from_slice(&seq_bytes(Seq::MAX.previous()));
                batch.put_cf(hot.family(Family::Commit), key, value);
            },
            &[CommitsInOrder, CommitsAgree],
        ),
        (
            "a transaction is gone",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Commit, true).remove(4);
                batch.delete_cf(hot.family(Family::Commit), key);
            },
            &[CommitsAgree],
        ),
        (
            "a commit entry that is none",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Commit, true).remove(4);
                batch.put_cf(hot.family(Family::Commit), key, [7]);
            },
            &[RecordsDecode],
        ),
        (
            "a key is gone",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Key, false).remove(0);
                batch.delete_cf(hot.family(Family::Key), key);
            },
            &[KeysExact, ReferencesHold],
        ),
        (
            "a unique key is gone",
            false,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Key, false).remove(0);
                batch.delete_cf(hot.family(Family::Key), key);
            },
            &[KeysExact],
        ),
        (
            "a key of no row",
            true,
            |hot, snapshot, batch| {
                let (mut key, value) = entries(snapshot, Family::Key, false).remove(0);
                *key.last_mut().unwrap() = 99;
                batch.put_cf(hot.family(Family::Key), key, value);
            },
            &[KeysExact],
        ),
        (
            "a key of a dead version",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Key, false).remove(0);
                let (dead, _) = entries(snapshot, Family::Dead, false).remove(0);
                batch.put_cf(hot.family(Family::Key), key, &dead[dead.len() - 8..]);
            },
            &[KeysExact],
        ),
        (
            "two rows of one key",
            true,
            |hot, snapshot, batch| {
                let keys = entries(snapshot, Family::Key, false);
                batch.put_cf(hot.family(Family::Key), &keys[0].0, &keys[1].1);
            },
            &[KeysExact, OneRowPerKey],
        ),
        (
            "a key of no index",
            true,
            |hot, _, batch| {
                let scope = index_scope(TableId::new(1), &user("alice"), IndexId::new(77));
                batch.put_cf(hot.family(Family::Key), scope, seq_bytes(Seq::ZERO.next()));
            },
            &[KeysExact],
        ),
        (
            "an index entry is gone",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Index, false).remove(2);
                batch.delete_cf(hot.family(Family::Index), key);
            },
            &[IndexesExact],
        ),
        (
            "an index entry of no row",
            true,
            |hot, snapshot, batch| {
                let (mut key, _) = entries(snapshot, Family::Index, false).remove(2);
                *key.last_mut().unwrap() ^= 1;
                batch.put_cf(hot.family(Family::Index), key, b"");
            },
            &[IndexesExact],
        ),
        (
            "a dead entry is gone",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Dead, false).pop().unwrap();
                batch.delete_cf(hot.family(Family::Dead), key);
            },
            &[DeadAgree, KeysExact, IndexesExact, OneRowPerKey],
        ),
        (
            "a dead entry is gone, and nothing else tells",
            false,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Dead, false).pop().unwrap();
                batch.delete_cf(hot.family(Family::Dead), key);
            },
            &[DeadAgree, KeysExact, IndexesExact],
        ),
        (
            "a dead entry of no version",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Log, false).pop().unwrap();
                let late = seq_of(&key).unwrap();
                let entry = DeadEntry {
                    by: late.next(),
                    unfiled: false,
                };
                batch.put_cf(hot.family(Family::Dead), key, entry.encode());
            },
            &[DeadAgree, KeysExact, IndexesExact],
        ),
        (
            "dead, and not by what says so",
            true,
            |hot, snapshot, batch| {
                let (key, _) = entries(snapshot, Family::Dead, false).remove(0);
                let (newest, _) = entries(snapshot, Family::Log, false).pop().unwrap();
                let entry = DeadEntry {
                    by: seq_of(&newest).unwrap(),
                    unfiled: false,
                };
                batch.put_cf(hot.family(Family::Dead), key, entry.encode());
            },
            &[DeadAgree],
        ),
        (
            "unfiled, and in a file",
            false,
            |hot, snapshot, batch| {
                let filed = entries(snapshot, Family::Dead, false).into_iter().rev();
                let (key, value) = filed
                    .into_iter()
                    .find(|(_, value)| value.len() == 8)
                    .unwrap();
                batch.put_cf(
                    hot.family(Family::Dead),
                    key,
                    [value.as_slice(), &[1]].concat(),
                );
            },
            &[DeadAgree, HistoryComplete],
        ),
        (
            "a state that counts wrongly",
            true,
            |hot, snapshot, batch| {
                edit_state(hot, snapshot, batch, |state| state.unflushed_rows += 1);
            },
            &[StatesAgree],
        ),
        (
            "a state whose log ends elsewhere",
            true,
            |hot, snapshot, batch| {
                edit_state(hot, snapshot, batch, |state| {
                    state.last_seq = state.last_seq.next()
                });
            },
            &[StatesAgree],
        ),
        (
            "a state that was trimmed too far",
            true,
            |hot, snapshot, batch| {
                edit_state(hot, snapshot, batch, |state| {
                    state.trimmed = state.watermark
                });
            },
            &[StatesAgree],
        ),
        (
            "a state that forgot what waits",
            true,
            |hot, snapshot, batch| {
                edit_state(hot, snapshot, batch, |state| {
                    state.first_unflushed = Seq::ZERO
                });
            },
            &[StatesAgree],
        ),
        (
            "a state out of order",
            true,
            |hot, snapshot, batch| {
                edit_state(hot, snapshot, batch, |state| state.trimmed = Seq::MAX);
            },
            &[StatesAgree],
        ),
        (
            "a state that is none",
            true,
            |hot, _, batch| {
                let key = cold::state_key(TableId::new(1), &user("carol"));
                batch.put_cf(hot.family(Family::Meta), key, [1, 2, 3]);
            },
            &[RecordsDecode],
        ),
        (
            "no state",
            true,
            |hot, _, batch| {
                let key = cold::state_key(TableId::new(1), &user("alice"));
                batch.delete_cf(hot.family(Family::Meta), key);
            },
            &[NothingUnowned],
        ),
        (
            "a file is gone from the manifest",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |_| false);
            },
            &[DeadAgree, KeysExact, IndexesExact, FlushedIsFiled],
        ),
        (
            "a file of another name",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    file.path.push('x');
                    true
                });
            },
            &[FilesExist, KeysExact, IndexesExact],
        ),
        (
            "a file of another size",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    file.bytes += 1;
                    true
                });
            },
            &[FilesAgree, KeysExact, IndexesExact],
        ),
        (
            "a file of other rows",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    file.rows += 1;
                    true
                });
            },
            &[FilesAgree],
        ),
        (
            "a file of another schema",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    file.schema_version = 9;
                    true
                });
            },
            &[FilesAgree, KeysExact, IndexesExact],
        ),
        (
            "a file beyond the watermark",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    file.last_seq = file.last_seq.advance(1 << 40);
                    true
                });
            },
            &[FilesApart, FilesAgree],
        ),
        (
            "a file in another order",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    file.order = vec![ColumnId::new(2)];
                    true
                });
            },
            &[FilesAgree],
        ),
        (
            "a file whose bounds are too narrow",
            true,
            |hot, snapshot, batch| {
                edit_file(hot, snapshot, batch, |file| {
                    // Behind the length and the NULLs stands the lowest id.
                    assert_eq!(file.bounds[2], 1);
                    file.bounds[2] = 5;
                    true
                });
            },
            &[FilesAgree],
        ),
        (
            "nothing tells how far back a table goes",
            true,
            |hot, _, batch| {
                let key = cold::history_key(TableId::new(1));
                batch.delete_cf(hot.family(Family::Meta), key);
            },
            &[HistoryComplete],
        ),
        (
            "a past that begins in the future",
            true,
            |hot, _, batch| edit_history(hot, batch, Seq::MAX.previous()),
            &[HistoryComplete],
        ),
        (
            "what the past needs is in no file",
            false,
            |hot, _, batch| edit_history(hot, batch, Seq::ZERO),
            &[HistoryComplete],
        ),
        (
            "what the past needs is not even dead",
            true,
            |hot, _, batch| edit_history(hot, batch, Seq::ZERO),
            &[DeadAgree],
        ),
        (
            "a history of no table",
            true,
            |hot, _, batch| {
                let history = History {
                    created: Seq::ZERO,
                    complete_from: Seq::ZERO,
                    altered: Seq::ZERO,
                };
                let key = cold::history_key(TableId::new(50));
                batch.put_cf(hot.family(Family::Meta), key, history.encode());
            },
            &[NothingUnowned],
        ),
        (
            "a trim mark of no table",
            true,
            |hot, _, batch| {
                let key = cold::trimmed_key(TableId::new(50));
                batch.put_cf(hot.family(Family::Meta), key, seq_bytes(Seq::ZERO));
            },
            &[NothingUnowned],
        ),
        (
            "a state that counts the log wrongly",
            true,
            |hot, snapshot, batch| {
                edit_state(hot, snapshot, batch, |state| state.log_bytes -= 1);
            },
            &[StatesAgree],
        ),
        (
            "an id of the database that is none",
            true,
            |hot, _, batch| {
                batch.put_cf(hot.family(Family::Meta), [cold::META_ID], [0xFF]);
            },
            &[RecordsDecode, StoresOwned],
        ),
        (
            "the catalog has what its log has not",
            true,
            |hot, _, batch| {
                batch.put_cf(hot.family(Family::Meta), b"csother", b"");
            },
            &[CatalogMirrored],
        ),
        (
            "the catalog lacks what its log has",
            true,
            |hot, _, batch| {
                batch.delete_cf(hot.family(Family::Meta), b"cspublic");
            },
            &[CatalogMirrored],
        ),
        (
            "a catalog change that is none",
            true,
            |hot, snapshot, batch| {
                let system = entries(snapshot, Family::Log, true).remove(0);
                batch.put_cf(hot.family(Family::Log), system.0, [4, 1, b'{']);
            },
            &[RecordsDecode],
        ),
        (
            "rows of no table",
            true,
            |hot, _, batch| {
                let key = version_key(TableId::new(50), &user("x"), Seq::ZERO.next());
                batch.put_cf(hot.family(Family::Log), key, [1]);
            },
            &[NothingUnowned],
        ),
        (
            "rows of another kind of table",
            true,
            |hot, snapshot, batch| {
                let (key, value) = entries(snapshot, Family::Log, false).remove(0);
                batch.put_cf(hot.family(Family::Stream), key, value);
            },
            &[NothingUnowned],
        ),
        (
            "a kind of meta key that is not",
            true,
            |hot, _, batch| {
                batch.put_cf(hot.family(Family::Meta), b"?", b"");
            },
            &[RecordsDecode],
        ),
    ];
    let sound = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (dir, keyed) in sound.iter().zip([false, true]) {
        broken_into(dir.path(), keyed).await;
        assert_sound(&run(dir.path()).await.unwrap());
    }
    let mut failures = Vec::new();
    for (name, keyed, sabotage, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        copy(sound[usize::from(*keyed)].path(), dir.path());
        {
            let hot = Arc::new(Hot::open(&dir.path().join("hot"), "it").unwrap());
            let mut batch = WriteBatch::default();
            sabotage(&hot, &HotSnapshot::take(&hot), &mut batch);
            hot.write(batch).unwrap();
        }
        let report = run(dir.path()).await.unwrap();
        let found: BTreeSet<_> = (report.findings.iter())
            .map(|finding| finding.invariant)
            .collect();
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        if found != expected {
            let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            let lines = lines.join("\n  ");
            failures.push(format!("{name}: {found:?}, not {expected:?}\n  {lines}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn edit_history(hot: &Hot, batch: &mut WriteBatch, complete_from: Seq) {
    let history = History {
        created: Seq::ZERO,
        complete_from,
        altered: Seq::ZERO,
    };
    let key = cold::history_key(TableId::new(1));
    batch.put_cf(hot.family(Family::Meta), key, history.encode());
}

fn edit_state(
    hot: &Hot,
    snapshot: &HotSnapshot,
    batch: &mut WriteBatch,
    edit: fn(&mut cold::PartitionState),
) {
    let key = cold::state_key(TableId::new(1), &user("alice"));
    let value = snapshot.get(Family::Meta, &key).unwrap().unwrap();
    assert_eq!(key[0], META_STATE);
    let mut state = cold::PartitionState::decode(&value).unwrap();
    edit(&mut state);
    batch.put_cf(hot.family(Family::Meta), key, state.encode());
}

/// Changes alice's file in the manifest, or takes it out when `edit` says `false`.
fn edit_file(
    hot: &Hot,
    snapshot: &HotSnapshot,
    batch: &mut WriteBatch,
    edit: fn(&mut cold::ColdFile) -> bool,
) {
    let (from, to) = cold::meta_table_range(META_FILE, TableId::new(1));
    let files = snapshot.iterate(Family::Meta, &from, to);
    let (key, value) = files.item().unwrap();
    let mut file = cold::ColdFile::decode(key, value).unwrap();
    assert_eq!(file.partition, user("alice"));
    match edit(&mut file) {
        true => batch.put_cf(hot.family(Family::Meta), key, file.encode()),
        false => batch.delete_cf(hot.family(Family::Meta), key),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    broken_into(dir.path(), true).await;
    let mut folders = vec![dir.path().join("cold")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    let whole = std::fs::read(&files[0]).unwrap();
    for at in [0, 40, whole.len() - 6] {
        let mut damaged = whole.clone();
        damaged[at..at + 4].copy_from_slice(&[0xFF, 0xEE, 0xFF, 0xEE]);
        std::fs::write(&files[0], damaged).unwrap();
        let report = run(dir.path()).await.unwrap();
        assert!(!report.is_sound(), "damaged at {at}");
    }
    std::fs::write(&files[0], whole).unwrap();
    assert_sound(&run(dir.path()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_directory_is_not_checked_from_outside_and_a_missing_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let outside = || run(dir.path());
    assert!(matches!(outside().await, Err(StorageError::Open { .. })));
    let store = open(dir.path());
    assert!(matches!(outside().await, Err(StorageError::InUse(_))));
    store.close().await;
    drop(store);
    let report = outside().await.unwrap();
    assert_sound(&report);
    assert_eq!((report.tables, report.records), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_sound_while_their_rows_expire() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000));
    let store = open_at(dir.path(), &time);
    let mut def = notes(1, "s", true);
    def.kind = TableKind::Stream;
    def.options.ttl_ms = Some(1000);
    def.indexes = vec![index(1, "s_note", 2, false)];
    let table = put_table(&store, def).await;
    let shared = Partition::shared();
    for round in 0..4 {
        for id in 0..3 {
            insert(&store, &table, &shared, id, &format!("round {round}")).await;
            assert_sound(&store.check().await.unwrap());
        }
        let old = find(&store, &table, &shared, 0).unwrap();
        let mut transaction = Transaction::new();
        transaction.update(&table, &shared, &old, &row(0, "again"));
        store.commit(transaction).await.unwrap();
        time.fetch_add(1001, Ordering::SeqCst);
        assert_sound(&store.check().await.unwrap());
        if round % 2 == 0 {
            assert!(store.expire().await.unwrap() > 0);
            assert_sound(&store.check().await.unwrap());
        }
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn object_stores_are_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let (objects, archive) = (Arc::<Switched>::default(), Arc::<Switched>::default());
    let cold = remote(&objects, Some(&archive));
    let store = Store::open(options(dir.path(), cold.clone())).unwrap();
    let mut def = notes(1, "t", true);
    def.options.storage = Some("archive".to_string());
    let table = put_table(&store, def).await;
    insert(&store, &table, &user("alice"), 1, "one").await;
    store.flush(table.id).await.unwrap();
    assert_sound(&store.check().await.unwrap());
    store.close().await;
    drop(store);
    let check = |cold: ColdOptions| check_closed(dir.path(), cold);
    assert_sound(&check(cold.clone()).await.unwrap());
    assert!(!dir.path().join("cold").exists());
    // What cannot be looked at is no finding.
    let missing = check(remote(&objects, None)).await;
    assert!(
        matches!(missing, Err(StorageError::ColdStore { .. })),
        "{missing:?}"
    );
    archive.down.store(true, Ordering::SeqCst);
    let down = check(cold.clone()).await;
    assert!(matches!(down, Err(StorageError::Store(_))), "{down:?}");
    archive.down.store(false, Ordering::SeqCst);
    for (path, broken) in [
        ("tidelog.json", Invariant::StoresOwned),
        (&*archive.paths().await[0], Invariant::FilesExist),
    ] {
        let path = ObjectPath::from(path);
        archive.inner.delete(&path).await.unwrap();
        let report = check(cold.clone()).await.unwrap();
        let mut found = report.findings.iter().map(|finding| finding.invariant);
        assert!(found.any(|found| found == broken), "{report:?}");
    }
}
