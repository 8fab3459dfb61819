//! Live readers: they pull committed changes from the log, at their own pace.
//!
//! Owns: following a feed from a Seq on ([`Tail`]), hearing what is told on a channel ([`Listener`]), what a statement makes of a change ([`Lens`]), what followers at
//! the tip share ([`Hub`]). Guarantees: commit order, no gap and no double after the Seq that a tail starts at; the last
//! change of each transaction is marked; a reader that stands still holds one bounded batch and nothing else.
//! Does not: know SQL, sessions or sockets. Writers never call into this crate.

mod concerned;
pub mod lens;
pub mod listener;
mod lookout;
pub mod share;
pub mod tail;

pub use lens::{Asked, Lens, LensError, Ops, Seen, Versions};
pub use listener::Listener;
pub use share::{Hub, Stretch};
pub use tail::{Following, SubscriptionError, Tail};
