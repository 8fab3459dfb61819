//! Tests of the lock table alone.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::LockMode::{KeyShare, NoKeyUpdate, Share, Update};
use super::*;

fn key(name: &str) -> RowKey {
    Arc::from(name.as_bytes())
}

fn table() -> Arc<LockTable> {
    Arc::default()
}

fn poll<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn is_empty(table: &LockTable) -> bool {
    let state = table.state.lock();
    state.rows.is_empty() && state.waiting.is_empty()
}

#[test]
fn modes_conflict_as_in_postgresql() {
    let modes = [KeyShare, Share, NoKeyUpdate, Update];
    let conflicts = [
        [false, false, false, true],
        [false, false, true, true],
        [false, true, true, true],
        [true, true, true, true],
    ];
    for (left, row) in modes.into_iter().zip(conflicts) {
        for (right, expected) in modes.into_iter().zip(row) {
            let table = table();
            let (mut a, mut b) = (Locks::new(&table, 1), Locks::new(&table, 2));
            assert!(a.try_lock(&key("r"), left));
            assert_eq!(
                b.try_lock(&key("r"), right),
                !expected,
                "{left:?} {right:?}"
            );
        }
    }
}

#[test]
fn waiters_are_served_in_order_and_nothing_remains() {
    let table = table();
    let row = [(key("r"), Update)];
    let mut a = Locks::new(&table, 1);
    let (mut b, mut c) = (Locks::new(&table, 2), Locks::new(&table, 3));
    assert!(a.try_lock(&row[0].0, Update));
    {
        let mut b_waits = pin!(b.lock_all(&row, false, None));
        let mut c_waits = pin!(c.lock_all(&row, false, None));
        assert_eq!(poll(&mut b_waits), None);
        assert_eq!(poll(&mut c_waits), None);
        // Who comes later does not jump the queue with a lock that the holder would allow.
        drop(a);
        assert_eq!(poll(&mut c_waits), None);
        assert_eq!(poll(&mut b_waits), Some(Ok(true)));
    }
    // The future of c was dropped before its turn.
    drop(b);
    assert!(c.try_lock(&row[0].0, Update));
    drop(c);
    assert!(is_empty(&table));
}

#[test]
fn a_wait_that_is_dropped_after_its_grant_gives_the_lock_back() {
    let table = table();
    let row = [(key("r"), Update)];
    let mut a = Locks::new(&table, 1);
    let mut b = Locks::new(&table, 2);
    assert!(a.try_lock(&row[0].0, Update));
    {
        let mut waits = pin!(b.lock_all(&row, false, None));
        assert_eq!(poll(&mut waits), None);
        drop(a);
    }
    assert_eq!(b.mark(), 0);
    assert!(is_empty(&table));
}

#[test]
fn circles_are_refused_and_chains_are_not() {
    let table = table();
    let mut owners: Vec<Locks> = (1..=3).map(|pid| Locks::new(&table, pid)).collect();
    for (owner, name) in owners.iter_mut().zip(["x", "y", "z"]) {
        assert!(owner.try_lock(&key(name), Update));
    }
    let [a, b, c] = owners.as_mut_slice() else {
        panic!("three")
    };
    let (y, z, x) = (
        [(key("y"), Share)],
        [(key("z"), Share)],
        [(key("x"), Share)],
    );
    let mut a_waits = pin!(a.lock_all(&y, false, None));
    let mut b_waits = pin!(b.lock_all(&z, false, None));
    assert_eq!(poll(&mut a_waits), None);
    assert_eq!(poll(&mut b_waits), None);
    let mut c_waits = Box::pin(c.lock_all(&x, false, None));
    match poll(&mut c_waits.as_mut()) {
        Some(Err(LockError::Deadlock(mut pids))) => {
            assert_eq!(pids[0], 3);
            pids.sort_unstable();
            assert_eq!(pids, [1, 2, 3]);
        }
        other => panic!("{other:?}"),
    }
    drop(c_waits);
    // The victim keeps what it has until it gives it back, then the others go on.
    assert_eq!(poll(&mut b_waits), None);
    c.release_to(0);
    assert_eq!(poll(&mut b_waits), Some(Ok(true)));
}

#[test]
fn two_that_share_a_row_and_both_want_more_are_a_deadlock() {
    let table = table();
    let row = [(key("r"), Update)];
    let (mut a, mut b) = (Locks::new(&table, 1), Locks::new(&table, 2));
    assert!(a.try_lock(&row[0].0, Share) && b.try_lock(&row[0].0, Share));
    let mut a_waits = pin!(a.lock_all(&row, false, None));
    assert_eq!(poll(&mut a_waits), None);
    {
        let mut b_waits = pin!(b.lock_all(&row, false, None));
        let refused = poll(&mut b_waits);
        assert!(matches!(refused, Some(Err(LockError::Deadlock(_)))));
    }
    drop(b);
    assert_eq!(poll(&mut a_waits), Some(Ok(true)));
}

#[test]
fn releasing_to_a_mark_keeps_what_came_before() {
    let table = table();
    let (mut a, mut b) = (Locks::new(&table, 1), Locks::new(&table, 2));
    assert!(a.try_lock(&key("before"), Share));
    let mark = a.mark();
    assert!(a.try_lock(&key("before"), Update) && a.try_lock(&key("after"), Update));
    a.release_to(mark);
    assert!(!b.try_lock(&key("before"), KeyShare));
    assert!(b.try_lock(&key("after"), Update));
}

#[tokio::test]
async fn more_rows_than_a_batch_with_one_that_is_busy() {
    let table = table();
    let rows: Vec<_> = (0..3 * BATCH)
        .map(|n| (key(&format!("{n:05}")), Update))
        .collect();
    let (mut a, mut b) = (Locks::new(&table, 1), Locks::new(&table, 2));
    for at in [0, BATCH - 1, BATCH, 2 * BATCH + 7] {
        assert!(a.try_lock(&rows[at].0, Update));
    }
    assert_eq!(
        b.lock_all(&rows, false, Some(Duration::from_millis(1)))
            .await,
        Err(LockError::Timeout)
    );
    drop(a);
    assert_eq!(b.lock_all(&rows, false, None).await, Ok(false));
    assert_eq!(b.mark(), rows.len());
    drop(b);
    assert!(is_empty(&table));
}

/// A circle through one who is not in the holder's way, but ahead in the queue.
#[test]
fn a_circle_through_the_queue() {
    let table = table();
    let mut owners: Vec<Locks> = (1..=3).map(|pid| Locks::new(&table, pid)).collect();
    let [a, b, c] = owners.as_mut_slice() else {
        panic!("three")
    };
    let (x, y) = ([(key("x"), Update)], [(key("y"), Update)]);
    let x_shared = [(key("x"), KeyShare)];
    assert!(a.try_lock(&x[0].0, KeyShare));
    assert!(c.try_lock(&y[0].0, Update));
    // b waits for a; c would be let in by a, but stands behind b; a then waits for c.
    let mut b_waits = pin!(b.lock_all(&x, false, None));
    assert_eq!(poll(&mut b_waits), None);
    let mut c_waits = pin!(c.lock_all(&x_shared, false, None));
    assert_eq!(poll(&mut c_waits), None);
    let mut a_waits = pin!(a.lock_all(&y, false, None));
    assert!(matches!(
        poll(&mut a_waits),
        Some(Err(LockError::Deadlock(_)))
    ));
}

#[test]
fn many_who_wait_for_one_row_are_quick_to_check() {
    let table = table();
    let row = [(key("r"), Update)];
    let mut owners: Vec<Locks> = (0..2000).map(|pid| Locks::new(&table, pid)).collect();
    let mut waits: Vec<_> = owners
        .iter_mut()
        .map(|owner| Box::pin(owner.lock_all(&row, false, None)))
        .collect();
    assert_eq!(poll(&mut waits[0].as_mut()), Some(Ok(false)));
    for wait in &mut waits[1..] {
        assert_eq!(poll(&mut wait.as_mut()), None);
    }
    drop(waits);
    drop(owners);
    assert!(is_empty(&table));
}

#[tokio::test]
async fn who_changes_a_row_is_known() {
    let table = table();
    let (mut a, b) = (Locks::new(&table, 1), Locks::new(&table, 2));
    let row = [(key("r"), Update)];
    a.lock_all(&row, false, None).await.unwrap();
    assert!(!b.is_changed_by_another(&key("r")));
    // A weaker lock says it, too.
    a.lock_all(&[(key("r"), NoKeyUpdate)], true, None)
        .await
        .unwrap();
    assert!(b.is_changed_by_another(&key("r")));
    assert!(!a.is_changed_by_another(&key("r")));
    drop(a);
    assert!(!b.is_changed_by_another(&key("r")));
}

#[tokio::test]
async fn some_locks_can_be_given_back_before_the_others() {
    let table = table();
    let (mut a, mut b) = (Locks::new(&table, 1), Locks::new(&table, 2));
    assert!(a.try_lock(&key("before"), Update));
    let mark = a.mark();
    let rows = ["x", "y", "z"].map(|name| (key(name), Update));
    a.lock_all(&rows, true, None).await.unwrap();
    a.release_but(mark, &HashSet::from([key("y")]));
    let free = ["before", "x", "y", "z"].map(|name| b.try_lock(&key(name), Update));
    assert_eq!(free, [false, true, false, true]);
    a.release_to(0);
    assert!(b.try_lock(&key("y"), Update));
}
