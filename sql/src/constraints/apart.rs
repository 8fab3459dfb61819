//! Reading the expressions of indexes in a catalog whose store is not open, for `tidelog check`.
//!
//! Owns: an empty store in a folder of its own, which the session that plans them needs; it is made when the first
//! expression is read, and goes with the reader.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, Weak};

use tidelog_storage::cold::ColdOptions;
use tidelog_storage::computed::{Compiler, Compute};
use tidelog_storage::{Catalog, Failpoints, StorageError, Store, StoreOptions, seq};

use super::*;
use crate::session::{Engine, EngineOptions};

/// Reads the expressions of tables' indexes over a catalog.
pub struct CatalogReader {
    catalog: Weak<Catalog>,
    engine: OnceLock<Option<ScratchEngine>>,
}

impl CatalogReader {
    /// A reader over a catalog, for as long as that lives.
    pub fn new(catalog: Weak<Catalog>) -> CatalogReader {
        CatalogReader {
            catalog,
            engine: OnceLock::new(),
        }
    }
}

impl Compiler for CatalogReader {
    /// Must be called inside a tokio runtime, where blocking is allowed.
    fn compile(&self, table: &TableDef) -> Option<Arc<dyn Compute>> {
        let catalog = self.catalog.upgrade()?;
        let scratch = self.engine.get_or_init(|| {
            ScratchEngine::start()
                .inspect_err(|error| tracing::warn!(%error, "expressions cannot be read"))
                .ok()
        });
        let engine = scratch.as_ref()?.engine.clone()?;
        let database = catalog.database_of(table.id)?;
        let mut session = Session::of_system(engine, database);
        session.plan_on(catalog.looking_into(database));
        let computed = session.compile(table);
        computed.ok().map(|computed| Arc::new(computed) as _)
    }
}

/// An engine over an empty store.
struct ScratchEngine {
    /// Until it ends.
    engine: Option<Arc<Engine>>,
    folder: PathBuf,
}

impl ScratchEngine {
    fn start() -> Result<ScratchEngine, StorageError> {
        let mut scratch = ScratchEngine {
            engine: None,
            folder: fresh_folder(&std::env::temp_dir())?,
        };
        let store = Store::open(StoreOptions {
            dir: scratch.folder.clone(),
            node: 0,
            clock: seq::system_clock(),
            background: false,
            cold: ColdOptions::default(),
            failpoints: Arc::new(Failpoints::default()),
            large_bytes: tidelog_storage::commit::LARGE_BYTES,
        })?;
        scratch.engine = Some(Engine::new(store, EngineOptions::default()));
        Ok(scratch)
    }
}

impl Drop for ScratchEngine {
    fn drop(&mut self) {
        self.engine = None;
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            let folder = self.folder.display();
            tracing::warn!(%error, "could not remove {folder}");
        }
    }
}

/// Makes a folder that nobody else has.
fn fresh_folder(parent: &Path) -> std::io::Result<PathBuf> {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("tidelog-check-{}-{number}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
}
