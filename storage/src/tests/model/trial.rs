//! The store of a run of the model test, and what may break it.

use object_store::local::LocalFileSystem;

use super::super::faulty::Faulty;
use super::*;
use crate::cold::{ColdOptions, StoreAt};
use crate::commit::LARGE_BYTES;
use crate::failpoint::{Failpoints, Step};

/// Time, and what was committed when: the clock may go back.
pub(super) struct Time {
    now: Arc<AtomicI64>,
    commits: Vec<(i64, Seq)>,
}

impl Time {
    pub(super) fn pass(&mut self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// Notes that this is the newest Seq by now.
    pub(super) fn committed(&mut self, seq: Seq) {
        if self.commits.last().is_none_or(|(_, last)| *last < seq) {
            self.commits.push((self.now.load(Ordering::SeqCst), seq));
        }
    }

    /// The newest Seq from before so many milliseconds ago, and a later one than those.
    pub(super) fn before(&self, window_ms: i64) -> (Seq, Seq) {
        let since = self.now.load(Ordering::SeqCst) - window_ms;
        let inside = self.commits.iter().rev().take_while(|(ms, _)| *ms >= since);
        let (old, inside) = self.commits.split_at(self.commits.len() - inside.count());
        let seq = |commit: Option<&(i64, Seq)>| commit.map(|(_, seq)| *seq);
        let old = seq(old.last()).unwrap_or_default();
        (old, seq(inside.first()).unwrap_or(old.next()))
    }

    pub(super) fn clock(&self) -> crate::seq::Clock {
        let now = self.now.clone();
        Arc::new(move || now.load(Ordering::SeqCst))
    }
}

/// The store of a run, and what may break it.
pub(super) struct Trial {
    dir: tempfile::TempDir,
    pub(super) time: Time,
    pub(super) failpoints: Arc<Failpoints>,
    /// The object store, in the folder `cold` of the directory.
    pub(super) objects: Faulty,
    store: Option<Arc<Store>>,
    /// Taken from the present store, with the rows of each model then.
    pub(super) snapshots: Vec<(Arc<Snapshot>, Vec<Rows>)>,
    /// Transactions of more bytes are written in pieces.
    large_bytes: usize,
    /// How often a write of the log failed, so that the store was opened again.
    pub(super) crashes: u64,
}

/// Steps that can fail while a store is used by hand.
pub(super) const STEPS: [Step; 14] = [
    Step::CommitChecked,
    Step::CommitUnsynced,
    Step::CommitWritten,
    Step::LargeBegun,
    Step::LargePiece,
    Step::LargeWritten,
    Step::FileUnnamed,
    Step::FileNamed,
    Step::FlushFiles,
    Step::FlushAdded,
    Step::CompactFiles,
    Step::CompactSwapped,
    Step::TrimLog,
    Step::TrimCommits,
];

impl Trial {
    pub(super) fn start(seed: u64) -> Trial {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cold");
        std::fs::create_dir(&folder).unwrap();
        let objects = LocalFileSystem::new_with_prefix(folder).unwrap();
        let mut trial = Trial {
            dir,
            objects: Faulty::new(Arc::new(objects), seed),
            time: Time {
                now: Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000)),
                commits: Vec::new(),
            },
            failpoints: Arc::default(),
            store: None,
            snapshots: Vec::new(),
            large_bytes: LARGE_BYTES,
            crashes: 0,
        };
        trial.open();
        trial.objects.fail_one_in(10);
        trial
    }

    pub(super) fn open(&mut self) {
        // After each second opening every commit is one in pieces.
        self.large_bytes = match self.large_bytes {
            0 => LARGE_BYTES,
            _ => 0,
        };
        let options = crate::store::StoreOptions {
            dir: self.dir.path().to_path_buf(),
            node: 1,
            clock: self.time.clock(),
            background: false,
            failpoints: self.failpoints.clone(),
            large_bytes: self.large_bytes,
            cold: self.cold(),
        };
        self.store = Some(Store::open(options).unwrap());
    }

    pub(super) fn cold(&self) -> ColdOptions {
        ColdOptions {
            default: StoreAt::Open(Arc::new(self.objects.clone())),
            // Every read is one that may fail.
            cache_bytes: 0,
            sweep_age: Duration::ZERO,
            ..ColdOptions::default()
        }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything that storage relies on holds.
    pub(super) async fn check(&self) {
        let one_in = self.objects.fail_one_in(0);
        assert_sound(&self.store().check().await.unwrap());
        self.objects.fail_one_in(one_in);
    }

    /// Waits until the object store holds the files that the manifest names, and no other.
    pub(super) async fn sweep(&self, models: &[Model]) {
        let snapshot = self.store().snapshot();
        let mut named = BTreeSet::from(["tidelog.json".to_string()]);
        for model in models {
            let files = snapshot.cold_files(&model.table, &PartitionSet::All);
            named.extend(files.unwrap().into_iter().map(|file| file.path));
        }
        let mut there = BTreeSet::new();
        for _ in 0..500 {
            self.store().sweep().await.unwrap();
            let folder = self.dir().join("cold");
            let files = crate::cold::sweep::local_files(&folder).unwrap();
            there = files.into_iter().map(|(path, _)| path).collect();
            if there == named {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the store holds {there:#?}\nthe manifest names {named:#?}");
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("it is open")
    }

    pub(super) async fn close(&mut self) {
        self.failpoints.clear();
        self.snapshots.clear();
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    pub(super) async fn reopen(&mut self) {
        self.close().await;
        self.open();
        self.check().await;
    }

    /// What an operation gave. One that failed must have been told to; a failed write of the log ends the store.
    pub(super) async fn done<T>(&mut self, result: Result<T, StorageError>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(StorageError::LogFailed(reason)) => {
                assert!(reason.starts_with("failpoint"), "{reason}");
                self.crashes += 1;
                self.reopen().await;
            }
            Err(error) => {
                let reason = error.to_string();
                let told = reason.contains("failpoint") || is_told(&error);
                assert!(told, "{reason}");
            }
        }
        None
    }
}

/// Whether the object store failed because it was told to.
pub(super) fn is_told(error: &StorageError) -> bool {
    matches!(error, StorageError::Store(failure) if failure.to_string().contains("told to"))
}
