//! PostgreSQL's protocol 3.0, server side.

pub(crate) mod listener;
mod messages;
mod reply;
mod encode;
mod cancel;
mod client;
mod scram;
mod auth;
mod connection;
mod query;
mod extended;
mod results;
mod copy;
mod subscribe;
mod listen;
