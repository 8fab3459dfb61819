//! Checking a data directory: everything that storage relies on, read back and compared.
//!
//! Owns: the list of invariants and the pass over a whole directory. Guarantees: it changes nothing, goes on after
//! what it finds, and holds no more than the catalog, a batch of rows, and the Seqs of one cold file. Does not: repair.

mod catalog;
mod commits;
mod files;
mod meta;
mod partition;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use object_store::memory::InMemory;
use tokio::runtime::Handle;

use crate::catalog::{Catalog, TableDef, TableId};
use crate::cold::stores::{Stores, split};
use crate::cold::{ColdFile, ColdOptions, META_FILE, StoreAt};
use crate::commit::{Request, ddl, large};
use crate::computed::{Compiled, Compiler, CompilerSlot};
use crate::error::StorageError;
use crate::flush::blocking;
use crate::hot::{Family, Hot, HotSnapshot};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::transaction::Partition;
use commits::Commits;

/// Findings that a report lists; what comes after them is counted.
const FINDINGS_MAX: usize = 1000;

/// What must hold in a data directory. docs/storage-format.md says what each family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Every key and value is what its family's format says.
    RecordsDecode,
    /// Transactions follow each other in `commit`: their Seqs rise and none overlap.
    CommitsInOrder,
    /// `commit` and the logs tell of the same records, and the last of each transaction says that it is.
    CommitsAgree,
    /// `key` has exactly one entry for each live row and unique key, and no other.
    KeysExact,
    /// `index` has exactly one entry for each live row and index, and no other.
    IndexesExact,
    /// No two live rows of a partition have one key.
    OneRowPerKey,
    /// `dead` entries are of versions that exist, or are marked unfiled, and name what superseded them; what was
    /// superseded has one.
    DeadAgree,
    /// Partition states say what is there: watermark, counters, where the log begins and ends.
    StatesAgree,
    /// Every file of the manifest is in its store.
    FilesExist,
    /// Files hold what the manifest says: size, digest, rows, Seqs, order, columns, bounds.
    FilesAgree,
    /// The files of a partition follow each other, up to its watermark.
    FilesApart,
    /// Every live version up to a watermark is in a file.
    FlushedIsFiled,
    /// Versions that the past still needs are in files, too, and each table says from when on its past is whole.
    HistoryComplete,
    /// Stores outside of the data directory that hold files are marked as this database's.
    StoresOwned,
    /// The log of catalog changes gives the catalog.
    CatalogMirrored,
    /// Foreign keys reference a unique key of a table that exists, and the rows that theirs reference exist.
    ReferencesHold,
    /// Everything belongs to a partition of a table that exists.
    NothingUnowned,
}

impl Invariant {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::RecordsDecode => "records-decode",
            Invariant::CommitsInOrder => "commits-in-order",
            Invariant::CommitsAgree => "commits-agree",
            Invariant::KeysExact => "keys-exact",
            Invariant::IndexesExact => "indexes-exact",
            Invariant::OneRowPerKey => "one-row-per-key",
            Invariant::DeadAgree => "dead-agree",
            Invariant::StatesAgree => "states-agree",
            Invariant::FilesExist => "files-exist",
            Invariant::FilesAgree => "files-agree",
            Invariant::FilesApart => "files-apart",
            Invariant::FlushedIsFiled => "flushed-is-filed",
            Invariant::HistoryComplete => "history-complete",
            Invariant::StoresOwned => "stores-owned",
            Invariant::CatalogMirrored => "catalog-mirrored",
            Invariant::ReferencesHold => "references-hold",
            Invariant::NothingUnowned => "nothing-unowned",
        }
    }
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is broken.
    pub invariant: Invariant,
    /// Where: a table and partition, a family, the catalog.
    pub place: String,
    /// How.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.invariant.name(),
            self.place,
            self.what
        )
    }
}

/// What a check found, and how much it looked at.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// What is broken; at most 1,000 of them.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub omitted: u64,
    /// Tables.
    pub tables: u64,
    /// Partitions that were ever written to.
    pub partitions: u64,
    /// Transactions in the commit order.
    pub transactions: u64,
    /// Records in the logs.
    pub records: u64,
    /// Cold files.
    pub files: u64,
    /// Live rows, of both tiers.
    pub rows: u64,
    /// Entries of keys and indexes.
    pub entries: u64,
}

impl CheckReport {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, invariant: Invariant, place: impl Into<String>, what: impl Into<String>) {
        if self.findings.len() == FINDINGS_MAX {
            self.omitted += 1;
            return;
        }
        self.findings.push(Finding {
            invariant,
            place: place.into(),
            what: what.into(),
        });
    }
}

/// Checks a data directory that no server has open, with the stores of its cold files, and leaves it as it is, but for what a
/// large commit has left that a crash cut short: that is taken back, as by a start. What
/// `compiler` makes of its catalog, which stays as long as the check, reads the expressions of indexes. `InUse` when a server has it open, `ColdStore` when a store is missing among these or is not there, `Store` when one cannot be reached.
pub async fn run(
    dir: PathBuf,
    mut cold: ColdOptions,
    compiler: impl FnOnce(Weak<Catalog>) -> Box<dyn Compiler> + Send + 'static,
) -> Result<CheckReport, StorageError> {
    let runtime = Handle::current();
    blocking(move || {
        let shown = dir.display().to_string();
        let mut hot = Arc::new(Hot::open_read_only(&dir.join("hot"), &shown)?);
        if large::unfinished(&hot)?.is_some() {
            // As a start does, and as with what a torn write has left.
            drop(hot);
            hot = Arc::new(Hot::open(&dir.join("hot"), &shown)?);
            large::take_back(&hot)?;
        }
        // What is not there is not made.
        let folder = dir.join("cold");
        let absent = matches!(cold.default, StoreAt::DataDir) && !folder.is_dir();
        if absent {
            cold.default = StoreAt::Open(Arc::new(InMemory::new()));
        }
        cold.cache_bytes = 0;
        let stores = Arc::new(Stores::open(&cold, &dir)?);
        let now_ms = (crate::seq::system_clock())();
        let compiler = |catalog: &Arc<Catalog>| CompilerSlot::of(compiler(Arc::downgrade(catalog)));
        let hot = HotSnapshot::take(&hot);
        if absent && files(&hot)?.iter().any(|file| split(&file.path).0.is_empty()) {
            return Err(StorageError::ColdStore {
                store: folder.display().to_string(),
                reason: "it is not there, and the database has files in its default storage; name the place that has them"
                    .to_string(),
            });
        }
        check(
            &hot,
            &stores,
            now_ms,
            &runtime,
            compiler,
        )
    })
    .await
}

impl Store {
    /// Checks the whole store as it is at this moment, beside whatever runs. It reads every row.
    pub async fn check(&self) -> Result<CheckReport, StorageError> {
        let settled = |reply| Request::Settled { reply };
        let view = self.flusher.queue.ask_async(settled).await?;
        let snapshot = Snapshot::new(view, self.shared().generator.now_ms());
        let runtime = Handle::current();
        let stores = Arc::new(self.flusher.cold.stores.uncached());
        let compiler = snapshot.view.catalog.compiler.clone();
        // The snapshot keeps the files that its manifest names.
        blocking(move || {
            let (hot, now_ms) = (&snapshot.view.hot, snapshot.taken_ms);
            check(hot, &stores, now_ms, &runtime, |_| compiler)
        })
        .await
    }
}

/// The files of the manifest, those whose entries can be read.
fn files(hot: &HotSnapshot) -> Result<Vec<ColdFile>, StorageError> {
    let mut found = Vec::new();
    let mut files = hot.iterate(Family::Meta, &[META_FILE], vec![META_FILE + 1]);
    while let Some((key, value)) = files.item() {
        found.extend(ColdFile::decode(key, value));
        files.next();
    }
    files.status()?;
    drop(files);
    Ok(found)
}

fn check(
    hot: &HotSnapshot,
    stores: &Arc<Stores>,
    now_ms: i64,
    runtime: &Handle,
    compiler: impl FnOnce(&Arc<Catalog>) -> CompilerSlot,
) -> Result<CheckReport, StorageError> {
    let mut report = CheckReport::default();
    let catalog = match ddl::read(hot) {
        Ok(Some(catalog)) => Arc::new(catalog),
        Ok(None) => {
            report.find(Invariant::CatalogMirrored, "catalog", "there is none");
            return Ok(report);
        }
        Err(error) => {
            report.find(Invariant::RecordsDecode, "catalog", error.to_string());
            return Ok(report);
        }
    };
    let compiler = compiler(&catalog);
    let tables = catalog.all_tables().map(|table| {
        let mut table = TableDef::clone(table);
        table.compiled = Compiled::by(&compiler);
        (table.id, Arc::new(table))
    });
    let mut checker = Checker {
        hot,
        stores,
        runtime,
        now_ms,
        tables: tables.collect(),
        catalog: catalog.clone(),
        reads_expressions: compiler.is_filled(),
        commits: Commits::new(hot),
        report,
    };
    let steps: [(&str, Step<'_>); 7] = [
        ("catalog", Checker::catalog),
        ("meta", Checker::meta),
        ("stores", Checker::stores),
        ("owners", Checker::owners),
        ("notifications", Checker::notifications),
        ("commit", Checker::commits),
        ("partitions", Checker::partitions),
    ];
    for (place, step) in steps {
        let done = step(&mut checker);
        checker.go_on(place, done)?;
    }
    Ok(checker.report)
}

type Step<'a> = fn(&mut Checker<'a>) -> Result<(), StorageError>;

/// A check under way.
struct Checker<'a> {
    hot: &'a HotSnapshot,
    stores: &'a Arc<Stores>,
    runtime: &'a Handle,
    /// Decides what has expired.
    now_ms: i64,
    catalog: Arc<Catalog>,
    /// Whether there is who computes what indexes have of rows besides columns.
    reads_expressions: bool,
    tables: BTreeMap<TableId, Arc<TableDef>>,
    commits: Commits<'a>,
    report: CheckReport,
}

impl Checker<'_> {
    /// Reports what a step stumbled over, such as a damaged block of RocksDB's, so that the next one goes on; whether it
    /// came to its end. An error only of a store that cannot be used.
    fn go_on(&mut self, place: &str, done: Result<(), StorageError>) -> Result<bool, StorageError> {
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.is_of_store() => Err(error),
            Err(error) => {
                let what = error.to_string();
                self.report.find(Invariant::RecordsDecode, place, what);
                Ok(false)
            }
        }
    }
}

/// How reports name a partition.
fn place(table: &TableDef, partition: &Partition) -> String {
    match partition.as_str() {
        "" => format!("{}.{}", table.schema, table.name),
        user => format!("{}.{} of {user:?}", table.schema, table.name),
    }
}
