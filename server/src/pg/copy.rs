//! COPY FROM STDIN and TO STDOUT.

mod binary;

use std::pin::pin;

use bytes::Bytes;
use futures::stream::BoxStream;
use tidelog_sql::{CopyIn, ErrorKind, SqlError};

use binary::Tuples;

use crate::interrupts::Stop;
use crate::pg::connection::Connection;
use crate::pg::encode::Format;
use crate::pg::messages::Frontend;
use crate::pg::reply;
use crate::pg::results::next;

impl Connection {
    /// Takes the client's data; gives the tag.
    pub(super) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<String, Stop> {
        let format = match copy.is_binary() {
            true => Format::Binary,
            false => Format::Text,
        };
        reply::copy_response(&mut self.client.out, b'G', copy.columns(), format);
        let mut tuples = Tuples::default();
        self.interrupts.guard(pin!(self.client.flush())).await?;
        loop {
            let message = match self.interrupts.guard(pin!(self.client.receive())).await? {
                Ok(message) => message,
                Err(malformed) if malformed.fatal => return Err(Stop::Fatal(malformed.error)),
                Err(malformed) => return Err(Stop::Error(malformed.error)),
            };
            let tag = match message {
                Frontend::CopyData(data) if copy.is_binary() => {
                    let rows = tuples.push(&copy, &data).map_err(Stop::Error)?;
                    self.interrupts
                        .guard(pin!(self.session.copy_rows(&mut copy, rows)))
                        .await?;
                    continue;
                }
                Frontend::CopyData(data) => {
                    self.interrupts
                        .guard(pin!(self.session.copy_data(&mut copy, &data)))
                        .await?;
                    continue;
                }
                Frontend::CopyDone => {
                    if copy.is_binary() {
                        tuples.finish(&copy).map_err(Stop::Error)?;
                    }
                    return self
                        .interrupts
                        .guard(pin!(self.session.copy_done(copy)))
                        .await;
                }
                Frontend::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(Stop::Error(SqlError::new(
                        ErrorKind::QueryCanceled,
                        message,
                    )));
                }
                // Clients of the extended protocol send Sync after Execute without knowing that data is wanted.
                Frontend::Flush | Frontend::Sync => continue,
                Frontend::Terminate => return Err(Stop::Gone),
                Frontend::Query(_) => b'Q',
                Frontend::Parse { .. } => b'P',
                Frontend::Bind(_) => b'B',
                Frontend::Describe(_) => b'D',
                Frontend::Execute { .. } => b'E',
                Frontend::Close(_) => b'C',
                Frontend::Password(_) => b'p',
                Frontend::FunctionCall => b'F',
            };
            let message = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
            return Err(Stop::Error(SqlError::new(
                ErrorKind::ProtocolViolation,
                message,
            )));
        }
    }

    /// Sends the lines, one message each as PostgreSQL does; gives the tag.
    pub(super) async fn copy_out(
        &mut self,
        columns: usize,
        mut chunks: BoxStream<'static, Result<(Bytes, u64), SqlError>>,
    ) -> Result<String, Stop> {
        reply::copy_response(&mut self.client.out, b'H', columns, Format::Text);
        let client = &mut self.client;
        let send = async {
            let mut total = 0;
            while let Some((chunk, rows)) = next(&mut chunks, client).await? {
                let newlines = chunk.iter().filter(|&&byte| byte == b'\n').count() as u64;
                // More newlines than rows: some stand inside quotes (or one ends the header).
                for line in (Lines {
                    rest: &chunk,
                    quoted: newlines > rows,
                }) {
                    reply::copy_data(&mut client.out, line);
                    client.flush_full().await?;
                }
                total += rows;
            }
            Ok::<u64, Stop>(total)
        };
        let total = self.interrupts.guard(pin!(send)).await?;
        reply::bare(&mut self.client.out, b'c');
        Ok(format!("COPY {total}"))
    }
}

/// The lines of a chunk, each with its newline.
struct Lines<'a> {
    rest: &'a [u8],
    /// Whether newlines between quotes belong to the line.
    quoted: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut inside = false;
        let end = self.rest.iter().position(|&byte| {
            inside ^= self.quoted && byte == b'"';
            byte == b'\n' && !inside
        });
        let (line, rest) = self
            .rest
            .split_at(end.map_or(self.rest.len(), |end| end + 1));
        self.rest = rest;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_quoted_newlines() {
        let lines = |rest, quoted| Lines { rest, quoted }.collect::<Vec<_>>();
        assert_eq!(lines(b"a\n\"b\n", false), [&b"a\n"[..], b"\"b\n"]);
        assert_eq!(
            lines(b"h\n\"a\nb\"\"\n\",1\nc\n", true),
            [&b"h\n"[..], b"\"a\nb\"\"\n\",1\n", b"c\n"]
        );
    }
}
