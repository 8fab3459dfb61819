//! The committer's queue: how a transaction gets to it, and its answer back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::alone::others_look;
use super::{Committer, Reply, Request, Shared, large};
use crate::error::{CommitError, StorageError};
use crate::seq::Seq;
use crate::transaction::Transaction;

const REQUESTS_MAX: usize = 1024;
const BYTES_MAX: usize = 64 << 20;
/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1024;
/// A transaction of more changes, and its locks, are let go of on a thread that may block.
pub(super) const CHANGES_AT_HAND: usize = 1000;

/// A transaction on its way.
pub(crate) struct PendingCommit {
    pub(super) transaction: Transaction,
    /// The outcome, with the transaction: to let go of many changes takes a while, which the committer has no time for.
    reply: oneshot::Sender<(Result<Seq, CommitError>, Transaction, Option<Held>)>,
    held: Held,
}

/// What is let go of with the outcome: room in the queue, and what the caller wants held as long, the locks of its rows.
type Held = (OwnedSemaphorePermit, Box<dyn Send>);

impl PendingCommit {
    pub(super) fn answer(self, answer: Result<Seq, CommitError>) {
        let held = (self.transaction.len() > CHANGES_AT_HAND).then_some(self.held);
        let _ = self.reply.send((answer, self.transaction, held));
    }
}

/// The committer's queue, bounded by requests and by bytes.
#[derive(Clone)]
pub(crate) struct CommitQueue {
    sender: mpsc::Sender<Request>,
    /// Requests that the committer has not come to.
    queued: Arc<AtomicUsize>,
    pub(super) committer: Arc<Mutex<Committer>>,
    room: Arc<Semaphore>,
    /// Held by the large transaction that is under way.
    large: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl CommitQueue {
    /// An empty queue, and where the committer's thread takes from it.
    pub(super) fn new(
        shared: Arc<Shared>,
        committer: Arc<Mutex<Committer>>,
    ) -> (CommitQueue, Requests) {
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        let room = Arc::new(Semaphore::new(BYTES_MAX / PERMIT_BYTES));
        let queue = CommitQueue {
            sender,
            queued: Arc::default(),
            committer,
            room,
            large: Arc::new(Semaphore::new(1)),
            shared,
        };
        let queued = queue.queued.clone();
        (queue, Requests { receiver, queued })
    }

    pub(crate) async fn commit(
        &self,
        mut transaction: Transaction,
        held: Box<dyn Send>,
    ) -> Result<Seq, CommitError> {
        if large::is_for(&transaction, &self.shared) {
            return self.commit_large(transaction, held).await;
        }
        if self.may_be_alone(&transaction) {
            others_look().await;
            if let Some(answer) = self.commit_alone(&mut transaction) {
                drop(held);
                // Whom the commit has woken, this thread serves before it goes on.
                tokio::task::yield_now().await;
                return answer;
            }
        }
        let permits = (transaction.bytes().min(BYTES_MAX) / PERMIT_BYTES).max(1);
        let permits = u32::try_from(permits).expect("the queue has less than 2^32 permits");
        let room = self
            .room
            .clone()
            .acquire_many_owned(permits)
            .await
            .map_err(|_| StorageError::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.send(Request::Commit(Box::new(PendingCommit {
            transaction,
            reply,
            held: (room, held),
        })))
        .await?;
        let (answer, transaction, held) = answer
            .await
            .map_err(|_| CommitError::Unknown("the committer ended".to_string()))?;
        if let Some(held) = held {
            // The caller's next statement finds free what it locked.
            let _ = tokio::task::spawn_blocking(move || drop(held)).await;
            tokio::task::spawn_blocking(move || drop(transaction));
        }
        answer
    }

    /// It takes no room of the queue: one at a time is under way.
    async fn commit_large(
        &self,
        transaction: Transaction,
        held: Box<dyn Send>,
    ) -> Result<Seq, CommitError> {
        let alone = self.large.clone().acquire_owned().await;
        let alone = alone.map_err(|_| StorageError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let queue = self.clone();
        // It goes on when the caller stops waiting.
        tokio::task::spawn_blocking(move || {
            large::commit(&queue, transaction, held, reply);
            drop(queue);
            drop(alone);
        });
        let unknown = |_| CommitError::Unknown("the commit's thread ended".to_string());
        answer.await.map_err(unknown).flatten()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sends a request and waits for its answer. Blocking.
    pub(super) fn ask<T, E: From<StorageError>>(
        &self,
        request: impl FnOnce(Reply<T, E>) -> Request,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.send_blocking(request(reply))?;
        let answer = answer.blocking_recv();
        answer.unwrap_or_else(|_| Err(StorageError::Closed.into()))
    }

    /// As `ask`, from where nothing may block.
    pub(crate) async fn ask_async<T>(
        &self,
        request: impl FnOnce(Reply<T, StorageError>) -> Request,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await?;
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    pub(super) fn send_blocking(&self, request: Request) -> Result<(), StorageError> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        let sent = self.sender.blocking_send(request);
        sent.map_err(|_| StorageError::Closed)
    }

    pub(crate) async fn send(&self, request: Request) -> Result<(), StorageError> {
        let place = self.sender.reserve().await;
        let place = place.map_err(|_| StorageError::Closed)?;
        self.queued.fetch_add(1, Ordering::Relaxed);
        place.send(request);
        Ok(())
    }

    /// Whether there is a request that the committer has not come to.
    pub(super) fn is_empty(&self) -> bool {
        self.queued.load(Ordering::Relaxed) == 0
    }

    /// Whether nothing is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until everything that was accepted is done.
    pub(crate) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.send(Request::Stop { done }).await.is_ok() {
            let _ = ended.await;
        }
        // A large one lets go of the database last; nothing that it asks for is answered any more.
        let _ = self.large.acquire().await;
        self.room.close();
        self.large.close();
    }

    /// As `stop`, without waiting for the end and from where nothing can be awaited.
    pub(crate) fn stop_blocking(&self) {
        let (done, _) = oneshot::channel();
        let mut request = Request::Stop { done };
        self.queued.fetch_add(1, Ordering::Relaxed);
        // A full queue empties: the committer reads it until it is told to stop.
        while let Err(TrySendError::Full(refused)) = self.sender.try_send(request) {
            request = refused;
            std::thread::yield_now();
        }
        self.room.close();
        self.large.close();
    }
}

/// Where the committer's thread takes from the queue.
pub(super) struct Requests {
    receiver: mpsc::Receiver<Request>,
    queued: Arc<AtomicUsize>,
}

impl Requests {
    /// Waits for a request; `None` when there will be no more. Until it is `taken`, it counts as one of the queue.
    pub(super) fn wait(&mut self) -> Option<Request> {
        self.receiver.blocking_recv()
    }

    /// The committer has come to the request that was waited for.
    pub(super) fn taken(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// The next request, if there is one.
    pub(super) fn take(&mut self) -> Option<Request> {
        let request = self.receiver.try_recv().ok()?;
        self.taken();
        Some(request)
    }

    /// Takes no more than is there.
    pub(super) fn close(&mut self) {
        self.receiver.close();
    }
}
