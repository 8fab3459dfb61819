//! Runs a built Tidelog from outside, as its users do, and PostgreSQL 15 beside it to compare with.
//!
//! Owns: starting, stopping and killing both servers, psql, feeds read through psql, and HTTP. It links no crate of
//! Tidelog, so what passes here holds for the bytes on the wire. The tests are in `tests/compat.rs`.

pub mod azure;
pub mod feed;
pub mod http;
mod node_server;
pub mod peer;
pub mod postgres;
pub mod process;
pub mod random;
pub mod s3;
pub mod sample;
pub mod server;

pub use azure::Azure;
pub use feed::{Change, Feed};
pub use http::Web;
pub use peer::Peer;
pub use postgres::Postgres;
pub use random::Random;
pub use s3::S3;
pub use server::Server;
