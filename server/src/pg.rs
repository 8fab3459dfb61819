//! PostgreSQL's protocol 3.0, server side.

mod auth;
mod client;
mod connection;
mod copy;
mod encode;
mod extended;
mod listen;
pub(crate) mod listener;
mod messages;
mod query;
mod reply;
mod results;
mod scram;
mod subscribe;
