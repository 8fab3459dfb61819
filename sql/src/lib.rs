//! The PostgreSQL surface: statements in, rows and commands out.
//!
//! Owns: parsing, name resolution, planning and running statements, PostgreSQL's text forms of values,
//! COPY's formats, session state (role, settings, transaction).
//! Guarantees: the partition a statement can reach comes from the session's role, never from its text.
//! Does not: know sockets, protocol messages or SQLSTATE codes (it names the kind of error; `server` gives the code).

pub mod session;
mod settings;
mod parse;
mod plan;
mod provider;
mod cold_scan;
mod functions;
mod casts;
mod output;
mod insert;
mod modify;
pub mod subscribe;
pub mod ddl;
pub mod copy;
pub mod text;
pub mod types;
pub mod json;
pub mod scram;
pub mod error;

pub use error::{ErrorKind, SqlError};
pub use output::{OutputColumn, RowStream};
pub use parse::Parsed;
pub use session::{CopyIn, Engine, Login, Notice, Outcome, Prepared, Session, TransactionStatus};
