//! What running a statement gives.

use bytes::Bytes;
use futures::stream::BoxStream;

use super::FetchFeed;
use crate::copy::CopyIn;
use crate::error::SqlError;
use crate::output::{OutputColumn, RowStream};
use crate::subscribe::SubscribePlan;

/// What running a statement gives.
pub enum Outcome {
    /// An empty query string.
    Empty,
    /// A command that returns no rows, with its tag (`CREATE TABLE`, `INSERT 0 3`).
    Command(String),
    /// Rows; the tag is `{verb} {count of rows}` (`SELECT 5`, `INSERT 0 5`).
    Rows {
        /// The columns.
        columns: Vec<OutputColumn>,
        /// The rows.
        rows: RowStream,
        /// `SELECT`, `INSERT 0`, …
        verb: &'static str,
    },
    /// COPY … FROM STDIN: the server hands the client's data to it.
    CopyIn(Box<CopyIn>),
    /// COPY … TO STDOUT: chunks that end at line ends; the tag is `COPY {rows}`.
    CopyOut {
        /// How many columns a line has.
        columns: usize,
        /// The lines, and how many rows each chunk holds.
        chunks: BoxStream<'static, Result<(Bytes, u64), SqlError>>,
    },
    /// COPY … TO STDOUT in the binary format; the tag is `COPY {rows}`.
    CopyRows {
        /// The columns.
        columns: Vec<OutputColumn>,
        /// The rows.
        rows: RowStream,
    },
    /// SUBSCRIBE: endless rows; `copy` when it was wrapped in COPY (…) TO STDOUT.
    Subscribe(Box<SubscribePlan>),
    /// DECLARE … CURSOR FOR SUBSCRIBE, tag `DECLARE CURSOR`.
    DeclareFeed {
        /// The cursor.
        name: String,
        /// What it follows.
        plan: Box<SubscribePlan>,
    },
    /// FETCH or MOVE on such a cursor: rows, then the tag `FETCH 5` or `MOVE 5`.
    FetchFeed(FetchFeed),
}

/// Something to tell the client besides the result.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A NoticeResponse with severity WARNING or NOTICE.
    Message {
        /// `WARNING` or `NOTICE`.
        severity: &'static str,
        /// The text.
        error: SqlError,
    },
    /// A ParameterStatus.
    Parameter {
        /// The setting's name as PostgreSQL spells it (`TimeZone`).
        name: String,
        /// Its new value.
        value: String,
    },
}
