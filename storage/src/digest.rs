//! The SHA-256 of files: what a cold file or a backup's file must still be.

use std::sync::Arc;

use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::Sha256;
use tokio::io::AsyncWriteExt;

use crate::cold::ColdFile;
use crate::error::StorageError;

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

    /// Whether the file has the bytes that were written.
    pub(crate) async fn is_whole(&self, file: &ColdFile) -> Result<bool, StorageError> {
        let (bytes, sha256) = self.read(None).await?;
        Ok((bytes, &sha256) == (file.bytes, &file.sha256))
    }
}
