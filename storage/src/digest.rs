//! The SHA-256 of files: what a cold file or a backup's file must still be.

use std::sync::Arc;

use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::Sha256;
use tokio::io::AsyncWriteExt;

use crate::cold::ColdFile;
use crate::error::StorageError;
use crate::scratch;

/// A SHA-256 on its way.
#[derive(Default)]
pub(crate) struct Digest {
    hash: Sha256,
    bytes: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        sha2::Digest::update(&mut self.hash, chunk);
        self.bytes += chunk.len() as u64;
    }

    /// How many bytes it is of, and its digits.
    pub(crate) fn end(self) -> (u64, String) {
        let digits = sha2::Digest::finalize(self.hash);
        let digits = digits.iter().map(|byte| format!("{byte:02x}")).collect();
        (self.bytes, digits)
    }
}

/// A file that is read as a stream.
pub(crate) struct Source {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
}

impl Source {
    /// A cold file.
    pub(crate) fn of(
        objects: Arc<dyn ObjectStore>,
        file: &ColdFile,
    ) -> Result<Source, StorageError> {
        let path = Path::parse(&file.path).map_err(object_store::Error::from)?;
        Ok(Source { objects, path })
    }

    /// Hands on the file's contents; its length and digest.
    pub(crate) async fn read(
        &self,
        mut to: Option<&mut (dyn tokio::io::AsyncWrite + Unpin + Send)>,
    ) -> Result<(u64, String), StorageError> {
        let mut chunks = self.objects.get(&self.path).await?.into_stream();
        let mut digest = Digest::default();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            digest.add(&chunk);
            if let Some(to) = &mut to {
                to.write_all(&chunk).await?;
            }
        }
        Ok(digest.end())
    }

    /// The contents of a cold file, if they are what was written, to read at leisure: a file in the folder `scratch` that has no
    /// name. Reading them a second time from the store, or from a cache, might give others.
    ///
    /// `Corrupt` when they are not.
    pub(crate) async fn fetch(
        &self,
        file: &ColdFile,
        scratch: &std::path::Path,
    ) -> Result<std::fs::File, StorageError> {
        let copy = scratch::unnamed(scratch)?;
        let mut writer = tokio::fs::File::from_std(copy.try_clone()?);
        let (bytes, sha256) = self.read(Some(&mut writer)).await?;
        writer.flush().await?;
        if (bytes, &sha256) != (file.bytes, &file.sha256) {
            let what = format!("{} does not have the bytes that were written", file.path);
            return Err(StorageError::Corrupt(what));
        }
        Ok(copy)
    }

    /// Whether the file has the bytes that were written.
    pub(crate) async fn is_whole(&self, file: &ColdFile) -> Result<bool, StorageError> {
        let (bytes, sha256) = self.read(None).await?;
        Ok((bytes, &sha256) == (file.bytes, &file.sha256))
    }
}
