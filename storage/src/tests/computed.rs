//! The check of indexes on expressions and with conditions.

use std::any::Any;

use rocksdb::WriteBatch;

use super::*;
use crate::catalog::{ColumnOrder, IndexDef, IndexId, TableId};
use crate::check::{self, CheckReport, Invariant};
use crate::cold::ColdOptions;
use crate::computed::{Compiler, Compute};
use crate::datum::ColumnType;
use crate::hot::{Hot, HotSnapshot};
use crate::key::{index_scope, seq_bytes, seq_of};
use crate::testing::{Unread, assert_sound};

/// Computes the note in capitals, and whether the id is even.
#[derive(Debug)]
struct Capitals;

impl Compute for Capitals {
    fn compute(&self, row: &Row) -> Vec<Option<Datum>> {
        let (Datum::Int8(id), Datum::Text(note)) = (&row[0], &row[1]) else {
            return vec![None, None];
        };
        let capitals = Datum::Text(note.to_uppercase());
        vec![Some(capitals), Some(Datum::Bool(id % 2 == 0))]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Compiler for Capitals {
    fn compile(&self, _: &TableDef) -> Option<Arc<dyn Compute>> {
        Some(Arc::new(Capitals))
    }
}

const CAPITALS: u16 = 1;
const EVEN: u16 = 2;
const KEY: u16 = 3;

/// A table with an index on the capitals, one of the even ids, and a unique one of both; rows 1 to 6 in files, 7 to 12 not.
async fn fill(dir: &Path) {
    let store = open(dir);
    store.read_expressions_by(Box::new(Capitals));
    let mut def = notes(1, "t", true);
    let capitals = def.put_computed("upper(note)".to_string(), ColumnType::Text);
    let even = def.put_computed("id % 2 = 0".to_string(), ColumnType::Bool);
    let index = |id, column, unique, predicate| IndexDef {
        id: IndexId::new(id),
        name: format!("t_{id}"),
        columns: vec![column],
        orders: vec![ColumnOrder::default()],
        unique,
        primary: false,
        constraint: false,
        ready: true,
        predicate,
        included: Vec::new(),
        deferral: Default::default(),
    };
    def.indexes = vec![
        index(CAPITALS, capitals, false, None),
        index(EVEN, def.columns[1].id, false, Some(even)),
        index(KEY, capitals, true, Some(even)),
    ];
    def.next_index_id = IndexId::new(4);
    let table = put_table(&store, def).await;
    for id in 1..=12 {
        insert(&store, &table, &user("alice"), id, &format!("note {id}")).await;
        if id == 6 {
            store.flush(table.id).await.unwrap();
        }
    }
    assert_sound(&store.check().await.unwrap());
    store.close().await;
}

/// The entries of an index or unique key.
fn entries(hot: &HotSnapshot, family: Family, id: u16) -> Vec<Vec<u8>> {
    let from = index_scope(TableId::new(1), &user("alice"), IndexId::new(id));
    let mut entries = hot.iterate(family, &from, crate::key::prefix_end(from.clone()));
    let mut found = Vec::new();
    while let Some(key) = entries.key() {
        found.push(key.to_vec());
        entries.next();
    }
    found
}

async fn run(dir: &Path, compiler: impl Compiler + 'static) -> CheckReport {
    let compiler = |_| Box::new(compiler) as Box<dyn Compiler>;
    let report = check::run(dir.to_path_buf(), ColdOptions::default(), compiler).await;
    report.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_entry_and_one_too_many_are_found() {
    type Sabotage = fn(&HotSnapshot, &Hot, &mut WriteBatch);
    let cases: [(&str, Sabotage, Invariant); 4] = [
        (
            "an expression's entry that is missing",
            |at, hot, batch| {
                let found = entries(at, Family::Index, CAPITALS);
                assert_eq!(found.len(), 12);
                batch.delete_cf(hot.family(Family::Index), &found[0]);
            },
            Invariant::IndexesExact,
        ),
        (
            "a condition's entry that is missing",
            |at, hot, batch| {
                let found = entries(at, Family::Index, EVEN);
                assert_eq!(found.len(), 6);
                batch.delete_cf(hot.family(Family::Index), &found[5]);
            },
            Invariant::IndexesExact,
        ),
        (
            "an entry of a live row that does not meet the condition",
            |at, hot, batch| {
                let seqs = entries(at, Family::Index, CAPITALS);
                let seqs: BTreeSet<Seq> = seqs.iter().map(|key| seq_of(key).unwrap()).collect();
                let mut found = entries(at, Family::Index, EVEN);
                let even = found.iter().map(|key| seq_of(key).unwrap());
                let even: BTreeSet<Seq> = even.collect();
                let odd = *seqs.difference(&even).next().unwrap();
                let key = found.last_mut().unwrap();
                let end = key.len() - 8;
                key[end..].copy_from_slice(&seq_bytes(odd));
                batch.put_cf(hot.family(Family::Index), key, []);
            },
            Invariant::IndexesExact,
        ),
        (
            "a unique key that is missing",
            |at, hot, batch| {
                let found = entries(at, Family::Key, KEY);
                assert_eq!(found.len(), 6);
                batch.delete_cf(hot.family(Family::Key), &found[2]);
            },
            Invariant::KeysExact,
        ),
    ];
    for (what, sabotage, invariant) in cases {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path()).await;
        assert_sound(&run(dir.path(), Capitals).await);
        let hot = Arc::new(Hot::open(&dir.path().join("hot"), "hot").unwrap());
        let mut batch = WriteBatch::default();
        sabotage(&HotSnapshot::take(&hot), &hot, &mut batch);
        hot.write(batch).unwrap();
        drop(hot);
        let report = run(dir.path(), Capitals).await;
        let found = report.findings.iter().map(|finding| finding.invariant);
        let found: BTreeSet<Invariant> = found.collect();
        assert_eq!(found, [invariant].into(), "{what}: {:?}", report.findings);
        let store = open(dir.path());
        store.read_expressions_by(Box::new(Capitals));
        let beside = store.check().await.unwrap();
        assert_eq!(beside.findings, report.findings, "{what}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_cannot_be_read_are_told() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;
    let report = run(dir.path(), Unread).await;
    let told: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["indexes-exact: public.t: the expressions of its indexes cannot be read"]
    );
}
