//! The object stores that hold cold files, as one: the path `archive:a/b` is `a/b` in the store `archive`, a path
//! without a colon lies in the default store.
//!
//! Guarantees: a failure says which store failed, without its credentials; what was settled outlives a power cut.
//! Does not: know what the files hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::cache::ColdCache;
use super::url;
use crate::error::{StorageError, StoreFailure};

/// Where cold files go, and how their stores are used.
#[derive(Clone, Debug)]
pub struct ColdOptions {
    /// The store of tables that name none.
    pub default: StoreAt,
    /// Further stores, by the names that tables give as their `storage`.
    pub named: BTreeMap<String, StoreAt>,
    /// How long one request to a store may take, and for how long it is tried again.
    pub timeout: Duration,
    /// How much memory the footers of files, rows that were read by key with those beside them, and parts of remote files
    /// may take; 0 keeps none.
    pub cache_bytes: u64,
    /// Files that the manifest does not name are removed when they are this old.
    pub sweep_age: Duration,
}

impl Default for ColdOptions {
    fn default() -> ColdOptions {
        ColdOptions {
            default: StoreAt::DataDir,
            named: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            cache_bytes: 256 << 20,
            sweep_age: Duration::from_secs(3600),
        }
    }
}

/// Where one store is.
#[derive(Clone, Debug)]
pub enum StoreAt {
    /// The folder `cold` of the data directory.
    DataDir,
    /// `s3://`, `gs://`, `az://`, `file://`, or a folder of this machine. Credentials come from the environment.
    Url {
        /// The URL.
        url: String,
        /// Options of the store's client, over those of the environment.
        options: BTreeMap<String, String>,
    },
    /// A store that is open already.
    Open(Arc<dyn ObjectStore>),
}

/// The name by which tables and messages call the store of tables that name none.
pub const DEFAULT_STORE: &str = "default";

/// Files that are removed at the same time.
const REMOVALS: usize = 16;

/// All stores of a database.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    by_name: Arc<BTreeMap<String, ColdStore>>,
    pub(crate) cache: Option<Arc<ColdCache>>,
}

/// One store.
#[derive(Debug)]
pub(crate) struct ColdStore {
    /// Its name; empty for the default one.
    pub(crate) name: String,
    /// Its URL, without secrets.
    pub(crate) shown: String,
    /// Its objects, under the database's own prefix.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Where its files are on this machine, if they are.
    pub(crate) folder: Option<PathBuf>,
    /// What to set where no credentials were given.
    pub(crate) missing: Option<&'static str>,
    /// Whether it lies in the data directory, whose lock keeps other databases away.
    pub(crate) inside: bool,
    /// Set once the store is known to be this database's.
    pub(crate) claimed: tokio::sync::OnceCell<()>,
}

/// The store and the path in it that a path names.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.split_once(':').unwrap_or(("", path))
}

/// The path under which a file of the store is known; `name` may be that of the default store.
pub(crate) fn joined(name: &str, path: &str) -> String {
    match name {
        "" | DEFAULT_STORE => path.to_string(),
        name => format!("{name}:{path}"),
    }
}

impl Stores {
    /// Opens every store; nothing is asked of a remote one yet. Blocking.
    pub(crate) fn open(
        options: &ColdOptions,
        dir: &std::path::Path,
    ) -> Result<Stores, StorageError> {
        let mut by_name = BTreeMap::new();
        let default = [("", &options.default)];
        let named = options.named.iter().map(|(name, at)| (name.as_str(), at));
        for (name, at) in default.into_iter().chain(named) {
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            if name == DEFAULT_STORE || !name.chars().all(fine) {
                return Err(StorageError::ColdStore {
                    store: format!("\"{name}\""),
                    reason: format!(
                        "the name of a further storage is made of a-z, 0-9, _ and -, and is not \"{DEFAULT_STORE}\""
                    ),
                });
            }
            let refused = |shown: &str, reason: String| StorageError::ColdStore {
                store: called(name, shown),
                reason,
            };
            let at = match at {
                StoreAt::DataDir => {
                    let folder = dir.join("cold");
                    url::folder(&folder)
                        .map_err(|error| refused(&folder.display().to_string(), error))?
                }
                StoreAt::Url {
                    url,
                    options: further,
                } => url::open(url, further, options.timeout)
                    .map_err(|error| refused(&url::shown(url), error))?,
                StoreAt::Open(objects) => url::Place {
                    shown: objects.to_string(),
                    objects: objects.clone(),
                    folder: None,
                    missing: None,
                },
            };
            let store = ColdStore {
                name: name.to_string(),
                shown: at.shown,
                objects: at.objects,
                folder: at.folder,
                missing: at.missing,
                inside: name.is_empty() && matches!(options.default, StoreAt::DataDir),
                claimed: tokio::sync::OnceCell::new(),
            };
            by_name.insert(name.to_string(), store);
        }
        let cache =
            (options.cache_bytes > 0).then(|| Arc::new(ColdCache::new(options.cache_bytes)));
        Ok(Stores {
            by_name: Arc::new(by_name),
            cache,
        })
    }

    /// The same stores, read without a cache.
    pub(crate) fn uncached(&self) -> Stores {
        Stores {
            by_name: self.by_name.clone(),
            cache: None,
        }
    }

    /// The stores.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ColdStore> {
        self.by_name.values()
    }

    /// The names that a table may give.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |name: &String| match name.as_str() {
            "" => DEFAULT_STORE.to_string(),
            _ => name.clone(),
        };
        self.by_name.keys().map(name).collect()
    }

    /// The store with this name, the empty one or `default` for the default one.
    pub(crate) fn get(&self, name: &str) -> Result<&ColdStore, StorageError> {
        let name = if name == DEFAULT_STORE { "" } else { name };
        self.by_name
            .get(name)
            .ok_or_else(|| StorageError::ColdStore {
                store: format!("\"{name}\""),
                reason: "this server has no storage of that name".to_string(),
            })
    }

    /// The store that holds a path.
    pub(crate) fn of(&self, path: &str) -> Result<&ColdStore, StorageError> {
        self.get(split(path).0)
    }

    /// The store of a path, and the path in it.
    pub(crate) fn route(&self, path: &Path) -> Result<(&ColdStore, Path)> {
        let (name, rest) = split(path.as_ref());
        let store = self
            .by_name
            .get(name)
            .ok_or_else(|| object_store::Error::NotFound {
                path: path.to_string(),
                source: format!("this server has no storage \"{name}\"").into(),
            })?;
        Ok((store, Path::parse(rest)?))
    }

    /// Makes a file that was written certain to outlive a power cut: itself and its folder. Blocking.
    pub(crate) fn settle(&self, path: &str) -> Result<(), StorageError> {
        // Only object_store's local file system answers before the disk has it.
        let Some(folder) = &self.of(path)?.folder else {
            return Ok(());
        };
        settle(folder, split(path).1)
    }

    /// Syncs the folder of the table that a file belongs to and those above it. Blocking.
    pub(crate) fn settle_folders(&self, path: &str) -> Result<(), StorageError> {
        let Some(folder) = &self.of(path)?.folder else {
            return Ok(());
        };
        let file = folder.join(split(path).1);
        for above in file.ancestors().skip(2) {
            sync_folder(above)?;
            if above == folder {
                break;
            }
        }
        Ok(())
    }

    /// Removes files, and local folders that this empties; gives those that could not be removed.
    pub(crate) async fn remove(&self, paths: Vec<String>) -> Vec<String> {
        if let Some(cache) = &self.cache {
            cache.forget(&paths);
        }
        let mut by_store: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in &paths {
            let (name, rest) = split(path);
            by_store.entry(name).or_default().push(rest);
        }
        let mut left = Vec::new();
        for (name, paths) in by_store {
            let failed = match self.by_name.get(name) {
                Some(store) => store.remove(&paths).await,
                None => paths.iter().map(|path| path.to_string()).collect(),
            };
            left.extend(failed.into_iter().map(|path| joined(name, &path)));
        }
        left
    }
}

/// Syncs a file in a folder, and the folder that has its name. Blocking.
pub(crate) fn settle(folder: &std::path::Path, path: &str) -> Result<(), StorageError> {
    let file = folder.join(path);
    File::open(&file)?.sync_all()?;
    sync_folder(file.parent().unwrap_or(folder))
}

/// Syncs the names in a folder. Blocking.
fn sync_folder(folder: &std::path::Path) -> Result<(), StorageError> {
    Ok(File::open(folder)?.sync_all()?)
}

/// Syncs the name of a folder, if the folder around it may be read: one that was there before needs no sync. Blocking.
pub(crate) fn sync_name(folder: &std::path::Path) -> Result<(), StorageError> {
    let around = folder.parent().map(|around| match around.as_os_str() {
        here if here.is_empty() => std::path::Path::new("."),
        _ => around,
    });
    match around.map(sync_folder) {
        Some(Err(StorageError::Io(error)))
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Ok(())
        }
        synced => synced.unwrap_or(Ok(())),
    }
}

/// How messages call a store.
fn called(name: &str, shown: &str) -> String {
    match name {
        "" => shown.to_string(),
        name => format!("\"{name}\" ({shown})"),
    }
}

impl ColdStore {
    /// How messages call it.
    pub(crate) fn called(&self) -> String {
        called(&self.name, &self.shown)
    }

    /// What went wrong, with the store's name; an object that is not there, or is there already, stays what it is.
    pub(crate) fn named(&self, error: object_store::Error) -> object_store::Error {
        use object_store::Error;
        match error {
            Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. } => error,
            error => Error::Generic {
                store: "cold",
                source: Box::new(self.failure(error)),
            },
        }
    }

    /// The same, of reading a file: it says which.
    pub(crate) fn named_read(
        &self,
        path: &Path,
        error: object_store::Error,
    ) -> object_store::Error {
        let error = self.named(error);
        match StoreFailure::inside(&error) {
            Some(failure) if !failure.reason.contains(path.as_ref()) => {
                object_store::Error::Generic {
                    store: "cold",
                    source: Box::new(StoreFailure {
                        reason: format!("{path}: {}", failure.reason),
                        ..failure.clone()
                    }),
                }
            }
            _ => error,
        }
    }

    /// That it failed, and how.
    pub(crate) fn failure(&self, reason: impl ToString) -> StoreFailure {
        let reason = reason.to_string();
        StoreFailure {
            name: self.name.clone(),
            store: self.called(),
            reason: reason.lines().next().unwrap_or_default().to_string(),
        }
    }

    async fn remove(&self, paths: &[&str]) -> Vec<String> {
        let owned = |paths: &[&str]| {
            paths
                .iter()
                .map(|path| path.to_string())
                .collect::<Vec<_>>()
        };
        if let Some(folder) = self.folder.clone() {
            let paths = owned(paths);
            let all = paths.clone();
            let removal = crate::flush::blocking(move || Ok(remove_local(&folder, paths)));
            return removal.await.unwrap_or(all);
        }
        let mut left = owned(paths);
        let parsed: Vec<_> = paths
            .iter()
            .filter_map(|path| Path::parse(path).ok())
            .collect();
        // Each once, in an order that the store may choose; what is not there is as good as removed.
        let mut removed = std::collections::HashSet::new();
        let mut removal = (self.objects).delete_stream(stream::iter(parsed).map(Ok).boxed());
        while let Some(outcome) = removal.next().await {
            match outcome {
                Ok(path) => {
                    removed.insert(path.to_string());
                }
                Err(object_store::Error::NotFound { path, .. }) => {
                    removed.insert(path);
                }
                Err(error) => {
                    tracing::debug!(store = self.called(), %error, "could not remove cold files");
                }
            }
        }
        left.retain(|path| !removed.contains(path));
        left
    }
}

/// Removes files under `cold`, and folders that this empties; gives those that are left. Blocking.
fn remove_local(cold: &std::path::Path, mut paths: Vec<String>) -> Vec<String> {
    paths.retain(|path| {
        let file = cold.join(path);
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path, %error, "could not remove a cold file");
            return true;
        }
        // Partition, table and schema folder; a folder that is not empty refuses.
        let folders = file.ancestors().skip(1).take(3);
        for folder in folders.take_while(|folder| *folder != cold) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        false
    });
    paths
}

impl std::fmt::Display for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cold stores")
    }
}

#[async_trait]
impl ObjectStore for Stores {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (store, path) = self.route(path)?;
        let put = store.objects.put_opts(&path, payload, options).await;
        put.map_err(|error| store.named(error))
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let stores = self.clone();
        let (store, inside) = self.route(path)?;
        let upload = store.objects.put_multipart_opts(&inside, options).await;
        let upload = upload.map_err(|error| store.named(error))?;
        Ok(Box::new(NamedUpload {
            upload,
            stores,
            store: store.name.clone(),
        }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let (store, inside) = self.route(path)?;
        let got = store.objects.get_opts(&inside, options).await;
        let mut got = got.map_err(|error| store.named(error))?;
        got.meta.location = path.clone();
        if let GetResultPayload::Stream(bytes) = got.payload {
            let (stores, name) = (self.clone(), store.name.clone());
            let named = move |error| match stores.by_name.get(&name) {
                Some(store) => store.named(error),
                None => error,
            };
            got.payload = GetResultPayload::Stream(bytes.map_err(named).boxed());
        }
        Ok(got)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let stores = self.clone();
        let delete = move |path: Result<Path>| {
            let stores = stores.clone();
            async move {
                let path = path?;
                if let Some(cache) = &stores.cache {
                    cache.forget(&[path.to_string()]);
                }
                let (store, inside) = stores.route(&path)?;
                let deleted = store.objects.delete(&inside).await;
                deleted.map_err(|error| store.named(error))?;
                Ok(path)
            }
        };
        paths.map(delete).buffered(REMOVALS).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let at = prefix.cloned().unwrap_or_default();
        let (store, inside) = match self.route(&at) {
            Ok(found) => found,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let (stores, name) = (self.clone(), store.name.clone());
        let listed = store.objects.list(Some(&inside));
        let named = move |listed: Result<ObjectMeta>| match listed {
            Ok(mut meta) => {
                meta.location = Path::parse(joined(&name, meta.location.as_ref()))?;
                Ok(meta)
            }
            Err(error) => Err(match stores.by_name.get(&name) {
                Some(store) => store.named(error),
                None => error,
            }),
        };
        listed.map(named).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let at = prefix.cloned().unwrap_or_default();
        let (store, inside) = self.route(&at)?;
        let listed = store.objects.list_with_delimiter(Some(&inside)).await;
        let mut listed = listed.map_err(|error| store.named(error))?;
        let known = |path: &Path| Path::parse(joined(&store.name, path.as_ref()));
        for meta in &mut listed.objects {
            meta.location = known(&meta.location)?;
        }
        for prefix in &mut listed.common_prefixes {
            *prefix = known(prefix)?;
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (store, inside) = self.route(from)?;
        let (other, to) = self.route(to)?;
        if store.name != other.name {
            return Err(object_store::Error::NotSupported {
                source: "a copy from one store to another".into(),
            });
        }
        let copied = store.objects.copy_opts(&inside, &to, options).await;
        copied.map_err(|error| store.named(error))
    }
}

/// An upload whose failures say which store failed.
#[derive(Debug)]
struct NamedUpload {
    upload: Box<dyn MultipartUpload>,
    stores: Stores,
    store: String,
}

impl NamedUpload {
    fn named(&self) -> impl Fn(object_store::Error) -> object_store::Error + Send + 'static {
        let (stores, name) = (self.stores.clone(), self.store.clone());
        move |error| match stores.by_name.get(&name) {
            Some(store) => store.named(error),
            None => error,
        }
    }
}

#[async_trait]
impl MultipartUpload for NamedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, named) = (self.upload.put_part(data), self.named());
        Box::pin(async move { part.await.map_err(named) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let named = self.named();
        self.upload.complete().await.map_err(named)
    }

    async fn abort(&mut self) -> Result<()> {
        let named = self.named();
        self.upload.abort().await.map_err(named)
    }
}
