//! Live readers: they pull committed changes from the log, at their own pace.
//!
//! Owns: following a feed from a Seq on ([`Tail`]) and what a filter makes of a change ([`RowFilter`]).
//! Guarantees: commit order, no gap and no double after the Seq that a tail starts at; a reader that
//! stands still holds one bounded batch and nothing else.
//! Does not: know SQL, sessions or sockets. Writers never call into this crate.

pub mod filter;
pub mod tail;

pub use filter::{FilterError, RowFilter};
pub use tail::{Position, SubscriptionError, Tail};
