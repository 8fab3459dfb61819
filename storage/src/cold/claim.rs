//! Whose store it is: a marker object at its root names the database that owns it.
//!
//! Guarantees: nothing is written to, swept from or removed from a store before it is known to be this database's, so
//! two databases that are given one prefix cannot remove each other's files, nor a new one those of a database whose marker
//! or data directory is not there.

use futures::StreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};

use super::stores::{ColdStore, DEFAULT_STORE, settle, split, sync_name};
use super::sweep;
use crate::error::StorageError;
use crate::flush::blocking;

/// The name of the marker.
pub(crate) const MARKER: &str = "tidelog.json";

#[derive(Serialize, Deserialize)]
struct Marker {
    /// The id of the database.
    database: String,
    /// The name by which the database knows this store; empty for its default one.
    storage: String,
}

impl ColdStore {
    /// Makes sure that the store belongs to the database, once. `known` are some files that the database has in it.
    ///
    /// `ColdStore` when it belongs to another, or may, does not exist, or lacks these files; `Store` when it cannot be reached.
    pub(crate) async fn claim(&self, database: &str, known: &[&str]) -> Result<(), StorageError> {
        let claim = || async {
            if self.is_owned_by(database).await? {
                return match self.inside {
                    true => self.holds(known).await,
                    false => Ok(()),
                };
            }
            // A store that was never claimed cannot hold files of this database, unless they were copied to it.
            self.holds(known).await?;
            if known.is_empty()
                && !self.inside
                && let Some(file) = self.any_file().await?
            {
                return Err(self.refused(format!(
                    "it has files of a database, such as {file}, and no {MARKER} that says of which; give each database a prefix of its own"
                )));
            }
            self.mark(database).await
        };
        self.claimed.get_or_try_init(claim).await.copied()
    }

    fn refused(&self, reason: impl Into<String>) -> StorageError {
        StorageError::ColdStore {
            store: self.called(),
            reason: reason.into(),
        }
    }

    /// What to answer when the store does not, and no credentials were given for it.
    pub(crate) fn without_credentials(&self) -> Option<StorageError> {
        let missing = self.missing?;
        Some(self.refused(format!(
            "there are no credentials for it: set {missing} in the environment"
        )))
    }

    fn failed(&self, error: Error) -> StorageError {
        match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                let reason = self.failure(&error).reason;
                self.refused(format!(
                    "access was denied; see the credentials in the environment: {reason}"
                ))
            }
            error => (self.without_credentials())
                .unwrap_or_else(|| StorageError::Store(self.failure(&error))),
        }
    }

    /// Whether the marker names this database; false when there is none.
    pub(crate) async fn is_owned_by(&self, database: &str) -> Result<bool, StorageError> {
        let read = async { self.objects.get(&Path::from(MARKER)).await?.bytes().await };
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.failed(error)),
        };
        match serde_json::from_slice::<Marker>(&bytes) {
            Ok(marker) if marker.database == database && marker.storage == self.name => Ok(true),
            Ok(marker) if marker.database == database => Err(self.refused(format!(
                "it is this database's storage \"{}\"; give each storage a prefix of its own",
                match marker.storage.as_str() {
                    "" => DEFAULT_STORE,
                    name => name,
                }
            ))),
            Ok(marker) => Err(self.refused(format!(
                "it belongs to another database ({}); give each database a prefix of its own",
                marker.database
            ))),
            Err(_) => Err(self.refused(format!("its {MARKER} cannot be read"))),
        }
    }

    async fn holds(&self, known: &[&str]) -> Result<(), StorageError> {
        let mut gone = None;
        for path in known {
            let inside = Path::parse(split(path).1).map_err(Error::from)?;
            match self.objects.head(&inside).await {
                Ok(_) => return Ok(()),
                Err(Error::NotFound { .. }) => gone = Some(inside),
                Err(error) => return Err(self.failed(error)),
            }
        }
        gone.map_or(Ok(()), |file| {
            Err(self.refused(format!(
                "it lacks this database's files, such as {file}; name the place that has them, or copy them here"
            )))
        })
    }

    /// A file that some database has written, if there is one.
    async fn any_file(&self) -> Result<Option<String>, StorageError> {
        if let Some(folder) = self.folder.clone() {
            let files = blocking(move || sweep::local_files(&folder)).await?;
            let mut paths = files.into_iter().map(|(path, _)| path);
            return Ok(paths.find(|path| sweep::is_file(path)));
        }
        let mut listed = self.objects.list(None);
        while let Some(meta) = listed.next().await {
            let path = match meta {
                Ok(meta) => meta.location,
                // Marking it tells what is missing. (object_store knows this error for single objects only.)
                Err(error) if error.to_string().contains("404 Not Found") => break,
                Err(error) => return Err(self.failed(error)),
            };
            if sweep::is_file(path.as_ref()) {
                return Ok(Some(path.to_string()));
            }
        }
        Ok(None)
    }

    async fn mark(&self, database: &str) -> Result<(), StorageError> {
        let marker = Marker {
            database: database.to_string(),
            storage: self.name.clone(),
        };
        let bytes = serde_json::to_vec(&marker).map_err(|error| self.refused(error.to_string()))?;
        let path = Path::from(MARKER);
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from(bytes.clone());
        let put = match self.objects.put_opts(&path, payload, options).await {
            // Not every server has conditional puts; what it holds afterwards decides either way.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                self.objects.put(&path, PutPayload::from(bytes)).await
            }
            put => put,
        };
        match put {
            Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(Error::NotFound { .. }) => return Err(self.refused("there is no such bucket")),
            Err(error) => return Err(self.failed(error)),
        }
        if let Some(folder) = self.folder.clone() {
            // A power cut that left half of it would keep the server from starting.
            blocking(move || {
                settle(&folder, MARKER)?;
                sync_name(&folder)
            })
            .await?;
        }
        if self.is_owned_by(database).await? {
            Ok(())
        } else {
            Err(self.refused(format!("its {MARKER} went away while it was written")))
        }
    }
}
