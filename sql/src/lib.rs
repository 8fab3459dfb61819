//! The PostgreSQL surface: statements in, rows and commands out.
//!
//! Owns: parsing, name resolution, planning and running statements, PostgreSQL's text forms of values,
//! COPY's formats, session state (role, settings, transaction).
//! Guarantees: the partition a statement can reach comes from the session's role, never from its text.
//! Does not: know sockets, protocol messages or SQLSTATE codes (it names the kind of error; `server` gives the code).

pub mod activity;
mod advisory;
mod apart;
mod arithmetic;
mod as_of;
mod casts;
mod cold_scan;
mod compared;
mod constraints;
pub mod copy;
pub mod ddl;
pub mod error;
mod evaluated_once;
mod explain;
mod extremes;
mod functions;
mod guards;
mod hot_scan;
mod in_turn;
mod index_parts;
mod index_scan;
mod insert;
pub mod json;
mod jsonpath;
mod lists_apart;
mod locking;
mod locks;
mod lookup_join;
mod modify;
pub mod notify;
mod nullable_side;
mod numbers;
mod offset;
mod optimize;
mod ordered;
mod output;
mod parse;
mod plan;
pub mod precision;
mod provider;
mod query_memory;
mod returning;
mod row;
mod row_by_row;
pub mod scram;
pub mod session;
mod settings;
mod short_read;
pub mod subscribe;
mod system;
mod table_scan;
pub mod text;
mod turns;
pub mod types;
mod unseen;
mod upsert;
mod volatile;

pub use activity::{Ends, Signal};
pub use constraints::apart::CatalogReader;
pub use error::{ErrorKind, SqlError};
pub use output::{OutputColumn, RowStream, row_tag};
pub use parse::Parsed;
pub use session::{
    ClientStatement, CopyIn, Engine, EngineOptions, FetchFeed, LiveSnapshots, Login, Notice,
    Outcome, Planned, Prepared, Session, Startup, TransactionStatus,
};
