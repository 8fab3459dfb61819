//! Commits without the committer's thread: a session whose transaction nothing is before, and nothing beside, is the committer
//! itself for as long as that takes. To hand it to another thread, and the outcome back, takes longer than all but the sync.
//!
//! Guarantees: it is done in one go, without a point at which the session's future could be dropped; who comes
//! meanwhile queues up for the committer's thread, and goes before who comes later. Does not: take what takes long.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::task::Poll;

use super::Committer;
use super::check::Group;
use super::queue::{CHANGES_AT_HAND, CommitQueue};
use crate::error::CommitError;
use crate::seq::Seq;
use crate::transaction::Transaction;

/// Transactions of more bytes go to the committer's thread: a session's has others to serve.
const BYTES_MAX: usize = 256 << 10;

/// Has another thread of the runtime look at the sockets from now on, as this one will wait for the disk. A task that wakes itself
/// goes to the end of its thread's queue, for which another thread is woken; before that is awake, this one has come to the task.
pub(super) async fn others_look() {
    let mut has_turned = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_turned, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl CommitQueue {
    /// Whether it looks as if a transaction could be committed in this thread. Where several were committed together, the
    /// next ones will be, too.
    pub(super) fn may_be_alone(&self, transaction: &Transaction) -> bool {
        let is_free = |committer: MutexGuard<'_, Committer>| !committer.has_company;
        transaction.catalog.is_none()
            && transaction.len() <= CHANGES_AT_HAND
            && transaction.bytes() <= BYTES_MAX
            && self.is_empty()
            && self.committer.try_lock().is_ok_and(is_free)
    }

    /// Commits such a transaction in this thread; `None` where that is not possible any more. Waits for the disk.
    pub(super) fn commit_alone(
        &self,
        transaction: &mut Transaction,
    ) -> Option<Result<Seq, CommitError>> {
        let commit = AssertUnwindSafe(|| {
            // A poisoned one is for the committer's thread, too: it ends.
            let mut committer = self.committer.try_lock().ok()?;
            let is_next = self.is_empty() && !self.is_closed() && committer.large.is_none();
            let is_next = is_next && !committer.shared.failpoints.may_stop();
            is_next.then(|| committer.commit_alone(transaction))
        });
        let panicked = |_| CommitError::Unknown("the committer ended".to_string());
        catch_unwind(commit).unwrap_or_else(|panic| Some(Err(panicked(panic))))
    }
}

impl Committer {
    /// Commits a transaction alone, while no large one is under way.
    fn commit_alone(&mut self, transaction: &mut Transaction) -> Result<Seq, CommitError> {
        let mut group = Group::with_room(transaction.bytes());
        let first = self.shared.generator.draw(transaction.seqs());
        let last = self.apply(&mut group, transaction, first)?;
        self.end_group(group, !transaction.unsynced)
            .map_err(|error| CommitError::Unknown(error.to_string()))?;
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::join_all;
    use tokio::io::AsyncReadExt;
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::catalog::TableDef;
    use crate::datum::Datum;
    use crate::error::StorageError;
    use crate::seq::system_clock;
    use crate::testing::{assert_sound, notes, open, open_with, put_table};
    use crate::transaction::Partition;

    impl CommitQueue {
        /// Has commits wait until all of them do, so that they are one group.
        pub(crate) async fn group<T>(
            &self,
            commits: impl Iterator<Item: Future<Output = T>>,
        ) -> Vec<T> {
            let mut commits = std::pin::pin!(join_all(commits));
            {
                let _held = self.committer.lock().unwrap();
                assert!(commits.as_mut().now_or_never().is_none());
            }
            commits.await
        }
    }

    fn insert(table: &Arc<TableDef>, id: i64) -> Transaction {
        let mut transaction = Transaction::new();
        let row = vec![Datum::Int8(id), Datum::Text("x".to_string())];
        transaction.insert(table, &Partition::user("alice"), &row);
        transaction
    }

    /// The caller may leave at once: all is done, and nothing is held any more.
    #[tokio::test]
    async fn what_nothing_is_before_is_done_when_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let table = put_table(&store, notes(1, "t", true)).await;
        let mut before = store.visible();
        for id in 0..20 {
            let held = Arc::new(());
            let commit = store.commit_holding(insert(&table, id), Box::new(held.clone()));
            let mut commit = std::pin::pin!(commit);
            // The first time it lets another thread look at the sockets.
            for _ in 0..2 {
                assert!(commit.as_mut().now_or_never().is_none());
            }
            assert!(store.visible() > before);
            assert_eq!(Arc::strong_count(&held), 1);
            before = store.visible();
        }
        let again = store.commit(insert(&table, 7)).await;
        assert!(matches!(again, Err(CommitError::UniqueViolation { .. })));
        assert_eq!(store.visible(), before);
        store.close().await;
        let late = store.commit(insert(&table, 100)).await;
        assert!(matches!(
            late,
            Err(CommitError::Storage(StorageError::Closed))
        ));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_waits_goes_before_who_comes() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let table = put_table(&store, notes(1, "t", true)).await;
        for id in 0..100 {
            let mut first = std::pin::pin!(store.commit(insert(&table, 2 * id)));
            let held = store.flusher.queue.committer.lock().unwrap();
            assert!(first.as_mut().now_or_never().is_none());
            drop(held);
            let second = store.commit(insert(&table, 2 * id + 1)).await.unwrap();
            assert!(first.await.unwrap() < second);
        }
        assert_sound(&store.check().await.unwrap());
        store.close().await;
    }

    #[tokio::test]
    async fn where_several_commit_they_do_so_together() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let table = put_table(&store, notes(1, "t", true)).await;
        let queue = &store.flusher.queue;
        let one = insert(&table, 0);
        let commits = (1..4).map(|id| store.commit(insert(&table, id)));
        queue.group(commits).await;
        for is_free in [false, true, true] {
            // The thread may be about to let go of it.
            drop(queue.committer.lock());
            assert_eq!(queue.may_be_alone(&one), is_free);
            let id = store.visible().as_i64();
            store.commit(insert(&table, id)).await.unwrap();
        }
        store.close().await;
    }

    /// Of two threads the one that has found a message at a socket waits for the disk: the other one looks at the sockets.
    #[test]
    fn others_are_heard_while_a_commit_waits() {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).event_interval(1).enable_all();
        let runtime = runtime.build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (waits, is_held) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (waiting, held, time) = (waits.clone(), is_held.clone(), system_clock());
        // Asked for the Seq, in the thread that commits.
        let clock = move || {
            while held.load(Ordering::SeqCst) {
                waiting.store(true, Ordering::SeqCst);
                std::thread::yield_now();
            }
            time()
        };
        let (store, table) = runtime.block_on(async {
            let store = open_with(dir.path(), Arc::new(clock));
            let table = put_table(&store, notes(1, "t", true)).await;
            (store, table)
        });
        let (mut writer, end) = UnixStream::pair().unwrap();
        let commits = serve(&runtime, end, {
            let store = store.clone();
            move |id| {
                let (store, transaction) = (store.clone(), insert(&table, id));
                async move { store.commit(transaction).await.map(drop).unwrap() }
            }
        });
        let (mut other, end) = UnixStream::pair().unwrap();
        let heard = serve(&runtime, end, |_| std::future::ready(()));
        for _ in 0..20 {
            is_held.store(true, Ordering::SeqCst);
            writer.write_all(b"x").unwrap();
            while !waits.swap(false, Ordering::SeqCst) {
                std::thread::yield_now();
            }
            other.write_all(b"x").unwrap();
            let answer = heard.recv_timeout(Duration::from_secs(20));
            is_held.store(false, Ordering::SeqCst);
            answer.expect("the other one is heard");
            commits.recv().unwrap();
        }
        runtime.block_on(store.close());
    }

    /// Does something for each byte that comes, and tells when it is done.
    fn serve<F: Future<Output = ()> + Send>(
        runtime: &Runtime,
        socket: UnixStream,
        work: impl Fn(i64) -> F + Send + 'static,
    ) -> mpsc::Receiver<()> {
        let (done, all) = mpsc::channel();
        socket.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let mut socket = tokio::net::UnixStream::from_std(socket).unwrap();
            for id in 0.. {
                if socket.read_u8().await.is_err() {
                    return;
                }
                work(id).await;
                let _ = done.send(());
            }
        });
        all
    }

    #[tokio::test]
    async fn after_a_panic_nothing_is_committed() {
        let dir = tempfile::tempdir().unwrap();
        let is_broken = Arc::new(AtomicBool::new(false));
        let (breaks, time) = (is_broken.clone(), system_clock());
        let clock = move || match breaks.load(Ordering::Relaxed) {
            true => panic!("the clock broke"),
            false => time(),
        };
        let store = open_with(dir.path(), Arc::new(clock));
        let table = put_table(&store, notes(1, "t", true)).await;
        let last = store.commit(insert(&table, 1)).await.unwrap();
        is_broken.store(true, Ordering::Relaxed);
        let held = Arc::new(());
        let broken = store.commit_holding(insert(&table, 2), Box::new(held.clone()));
        assert!(matches!(broken.await, Err(CommitError::Unknown(_))));
        assert_eq!(Arc::strong_count(&held), 1);
        is_broken.store(false, Ordering::Relaxed);
        for id in 3..6 {
            store.commit(insert(&table, id)).await.unwrap_err();
        }
        assert_eq!(store.visible(), last);
        store.close().await;
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.visible(), last);
        store.close().await;
    }
}
