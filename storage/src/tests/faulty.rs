//! An object store that fails by a seed: before it did what it was asked, or after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use super::model::Random;

/// A store in front of another.
#[derive(Clone, Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    random: Arc<Mutex<Random>>,
    /// One request of so many fails; of 0 none.
    one_in: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

/// When a request fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Never,
    /// Nothing was done.
    Before,
    /// It was done, but is reported as failed.
    After,
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> Faulty {
        Faulty {
            inner,
            random: Arc::new(Mutex::new(Random(seed))),
            one_in: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// Lets one request of so many fail, none of 0, and gives of how many it was one before.
    pub(super) fn fail_one_in(&self, requests: u64) -> u64 {
        self.one_in.swap(requests, Ordering::SeqCst)
    }

    /// Requests that failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    fn fault(&self) -> Fault {
        let one_in = self.one_in.load(Ordering::SeqCst);
        let mut random = self.random.lock();
        if one_in == 0 || random.below(one_in) > 0 {
            return Fault::Never;
        }
        self.failed.fetch_add(1, Ordering::SeqCst);
        *random.pick(&[Fault::Before, Fault::After])
    }

    /// Does something, or fails before or after it.
    async fn attempt<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fault() {
            Fault::Never => work.await,
            Fault::Before => Err(failure()),
            Fault::After => work.await.and_then(|_| Err(failure())),
        }
    }
}

fn failure() -> Error {
    Error::Generic {
        store: "Faulty",
        source: "it failed, as it was told to".into(),
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.attempt(self.inner.put_opts(location, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.attempt(self.inner.put_multipart_opts(location, options))
            .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.fault();
        if fault == Fault::Before {
            return Err(failure());
        }
        let mut result = self.inner.get_opts(location, options).await?;
        if fault == Fault::After {
            // The answer begins, and its body breaks off.
            result.payload =
                GetResultPayload::Stream(stream::once(async { Err(failure()) }).boxed());
        }
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let own = Arc::new(self.clone());
        let delete = move |location: Result<Path>| {
            let own = own.clone();
            async move {
                let location = location?;
                own.attempt(own.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        match self.fault() {
            Fault::Never => listed,
            Fault::Before => stream::once(async { Err(failure()) }).boxed(),
            Fault::After => listed
                .take(1)
                .chain(stream::once(async { Err(failure()) }))
                .boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.attempt(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.attempt(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.attempt(self.inner.rename_opts(from, to, options))
            .await
    }
}
