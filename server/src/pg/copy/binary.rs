//! COPY's binary format: a signature, tuples of fields in the types' binary forms, and an end.

use std::pin::pin;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::TryStreamExt;
use tidelog_sql::text::Style;
use tidelog_sql::{CopyIn, ErrorKind, OutputColumn, RowStream, SqlError};
use tidelog_storage::Datum;

use crate::interrupts::Stop;
use crate::pg::connection::Connection;
use crate::pg::encode::{self, Format};
use crate::pg::reply;
use crate::pg::results::{Formats, RowWriter, value};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The flags that a reader must know; none are.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// Instead of a count of fields: the end.
const END: i16 = -1;

impl Connection {
    /// Sends rows, one message each as PostgreSQL does; gives the tag.
    pub(in crate::pg) async fn copy_out_binary(
        &mut self,
        columns: Vec<OutputColumn>,
        mut rows: RowStream,
    ) -> Result<String, Stop> {
        reply::copy_response(&mut self.client.out, b'H', columns.len(), Format::Binary);
        let client = &mut self.client;
        let send = async {
            // The signature goes with the first row.
            let mut head = BytesMut::new();
            head.put_slice(SIGNATURE);
            head.put_u32(0);
            head.put_u32(0);
            let formats = Formats::new(&[Format::Binary as i16]).map_err(Stop::Error)?;
            let mut writer = RowWriter::new(&columns, &formats);
            let mut row = BytesMut::new();
            let mut total = 0;
            while let Some(batch) = rows.try_next().await.map_err(Stop::Error)? {
                for at in 0..batch.num_rows() {
                    row.clear();
                    writer.write(
                        &mut row,
                        batch.columns().iter().map(|array| value(array, at)),
                    )?;
                    // A DataRow's body is a tuple: a count, then lengths and values.
                    head.put_slice(&row[5..]);
                    reply::copy_data(&mut client.out, &head);
                    head.clear();
                    client.flush_full().await?;
                    total += 1;
                }
            }
            head.put_i16(END);
            reply::copy_data(&mut client.out, &head);
            Ok::<u64, Stop>(total)
        };
        let total = self.interrupts.guard(pin!(send)).await?;
        reply::bare(&mut self.client.out, b'c');
        Ok(format!("COPY {total}"))
    }
}

/// Reads tuples from data as it comes.
#[derive(Default)]
pub(super) struct Tuples {
    pending: BytesMut,
    /// Whether the signature was read.
    begun: bool,
    /// Whether the end was.
    ended: bool,
    /// How many tuples were.
    line: u64,
    /// The column whose field has come in part.
    reading: Option<String>,
}

fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::BadCopyFileFormat, message)
}

impl Tuples {
    /// Takes a chunk of data, and gives the rows that it completes.
    pub(super) fn push(&mut self, copy: &CopyIn, data: &[u8]) -> Result<Vec<Vec<Datum>>, SqlError> {
        self.pending.put_slice(data);
        if !self.begun && !self.begin()? {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        while let Some(row) = self.tuple(copy)? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// The data is over.
    pub(super) fn finish(&self, copy: &CopyIn) -> Result<(), SqlError> {
        match (self.begun, self.ended) {
            (_, true) => Ok(()),
            (false, _) => Err(malformed("COPY file signature not recognized")),
            // Without an end, the data may end between tuples.
            (true, false) if self.pending.is_empty() => Ok(()),
            (true, false) => {
                let error = malformed("unexpected EOF in COPY data");
                Err(copy.locate(error, self.line + 1, self.reading.as_deref()))
            }
        }
    }

    fn begin(&mut self) -> Result<bool, SqlError> {
        let seen = self.pending.len().min(SIGNATURE.len());
        if self.pending[..seen] != SIGNATURE[..seen] {
            return Err(malformed("COPY file signature not recognized"));
        }
        let mut head = &self.pending[..];
        if head.len() < SIGNATURE.len() + 8 {
            return Ok(false);
        }
        head.advance(SIGNATURE.len());
        let (flags, extension) = (head.get_u32(), head.get_u32() as usize);
        if flags & CRITICAL_FLAGS != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        if head.len() < extension {
            return Ok(false);
        }
        self.pending.advance(SIGNATURE.len() + 8 + extension);
        self.begun = true;
        Ok(true)
    }

    /// The next tuple, if all of it has come.
    fn tuple(&mut self, copy: &CopyIn) -> Result<Option<Vec<Datum>>, SqlError> {
        let mut rest = &self.pending[..];
        if rest.len() < 2 {
            return Ok(None);
        }
        if self.ended {
            return Err(malformed("received copy data after EOF marker"));
        }
        let fields = rest.get_i16();
        if fields == END {
            self.ended = true;
            self.pending.advance(2);
            return match self.pending.is_empty() {
                true => Ok(None),
                false => Err(malformed("received copy data after EOF marker")),
            };
        }
        let columns = copy.targets();
        let within =
            |error: SqlError, column: Option<&str>| copy.locate(error, self.line + 1, column);
        if usize::try_from(fields) != Ok(columns.len()) {
            let message = format!("row field count is {fields}, expected {}", columns.len());
            return Err(within(malformed(message), None));
        }
        let mut row = Vec::with_capacity(columns.len());
        let before = rest.len();
        for (name, ty) in &columns {
            if rest.len() < 4 {
                self.reading = Some(name.clone());
                return Ok(None);
            }
            let length = rest.get_i32();
            if length == -1 {
                row.push(Datum::Null);
                continue;
            }
            let Ok(length) = usize::try_from(length) else {
                return Err(within(malformed("invalid field size"), Some(name)));
            };
            if rest.len() < length {
                self.reading = Some(name.clone());
                return Ok(None);
            }
            let bytes = Bytes::copy_from_slice(&rest[..length]);
            rest.advance(length);
            let value = encode::read_value(*ty, Format::Binary, &bytes, Style::default(), 0);
            row.push(value.map_err(|mut error| {
                if error.kind == ErrorKind::InvalidBinaryRepresentation {
                    error.message = "incorrect binary data format".to_string();
                }
                within(error, Some(name))
            })?);
        }
        let taken = 2 + before - rest.len();
        self.pending.advance(taken);
        self.line += 1;
        self.reading = None;
        Ok(Some(row))
    }
}
