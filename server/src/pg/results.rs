//! Result rows, from Arrow batches straight into the send buffer.

use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use tidelog_sql::text::Style;
use tidelog_sql::{ErrorKind, OutputColumn, RowStream, SqlError};
use tidelog_storage::DatumRef;
use tidelog_storage::datum::datum_at;

use crate::interrupts::Stop;
use crate::pg::client::Client;
use crate::pg::encode::{self, Format};

/// Largest row on the wire.
const ROW_BYTES_MAX: usize = (1 << 30) - 1;
/// Rows that are ready wait at most this long for more to come.
const GATHER: Duration = Duration::from_millis(5);

/// The formats of a result's columns: none (text), one for all, or one for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Formats(Vec<Format>);

impl Formats {
    pub(super) fn new(codes: &[i16]) -> Result<Formats, SqlError> {
        codes
            .iter()
            .map(|&code| Format::from_code(code))
            .collect::<Result<_, _>>()
            .map(Formats)
    }

    pub(super) fn of(&self, column: usize) -> Format {
        match self.0.as_slice() {
            [] => Format::Text,
            [format] => *format,
            formats => formats.get(column).copied().unwrap_or(Format::Text),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every column is sent as text.
    pub(super) fn is_text(&self) -> bool {
        self.0.iter().all(|format| matches!(format, Format::Text))
    }
}

/// Writes rows of one result.
pub(super) struct RowWriter<'a> {
    columns: &'a [OutputColumn],
    formats: &'a Formats,
    style: Style,
    scratch: String,
}

impl<'a> RowWriter<'a> {
    pub(super) fn new(columns: &'a [OutputColumn], formats: &'a Formats) -> RowWriter<'a> {
        RowWriter {
            columns,
            formats,
            style: Style::default(),
            scratch: String::new(),
        }
    }

    /// The same, in a session's style.
    pub(super) fn in_style(self, style: Style) -> RowWriter<'a> {
        RowWriter { style, ..self }
    }

    /// Appends one DataRow; on error nothing.
    pub(super) fn write<'v>(
        &mut self,
        out: &mut BytesMut,
        values: impl Iterator<Item = Result<DatumRef<'v>, SqlError>>,
    ) -> Result<(), SqlError> {
        let start = out.len();
        out.put_u8(b'D');
        out.put_i32(0);
        out.put_u16(u16::try_from(self.columns.len()).unwrap_or(u16::MAX));
        for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
            let format = self.formats.of(index);
            let value = value.and_then(|value| match format {
                Format::Binary => encode::has_binary(column.ty).map(|()| value),
                Format::Text => Ok(value),
            });
            match value {
                Ok(value) if column.vector && format == Format::Text => {
                    encode::write_vector(value, out);
                }
                Ok(value) => encode::write_value(
                    value,
                    column.ty,
                    format,
                    self.style,
                    &mut self.scratch,
                    out,
                ),
                Err(error) => {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
        let length = out.len() - start - 1;
        if length > ROW_BYTES_MAX {
            out.truncate(start);
            return Err(SqlError::new(
                ErrorKind::ProgramLimitExceeded,
                "a result row does not fit a message of 1 GiB",
            ));
        }
        out[start + 1..start + 5].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(())
    }
}

/// The value in a result's array.
pub(super) fn value(array: &ArrayRef, row: usize) -> Result<DatumRef<'_>, SqlError> {
    datum_at(array.as_ref(), row).ok_or_else(|| {
        let message = format!(
            "a result column has the unexpected type {}",
            array.data_type()
        );
        SqlError::new(ErrorKind::InternalError, message)
    })
}

/// Rows on their way to a client, which may take them in portions.
pub(super) struct Rows {
    pub(super) columns: Vec<OutputColumn>,
    style: Style,
    stream: RowStream,
    /// The batch that is being sent and the next row in it.
    batch: Option<(RecordBatch, usize)>,
}

/// What a portion of rows was.
pub(super) struct Portion {
    pub(super) rows: u64,
    /// Whether the rows have come to their end.
    pub(super) complete: bool,
}

impl Rows {
    pub(super) fn new(columns: Vec<OutputColumn>, stream: RowStream, style: Style) -> Rows {
        Rows {
            columns,
            style,
            stream,
            batch: None,
        }
    }

    /// Passes over up to `limit` rows.
    pub(super) async fn skip(&mut self, limit: Option<u64>) -> Result<Portion, SqlError> {
        let mut rows = 0;
        while limit.is_none_or(|limit| rows < limit) {
            let Some((batch, row)) = &mut self.batch else {
                match self.stream.next().await.transpose()? {
                    Some(batch) => self.batch = Some((batch, 0)),
                    None => {
                        let complete = true;
                        return Ok(Portion { rows, complete });
                    }
                }
                continue;
            };
            let left = (batch.num_rows() - *row) as u64;
            let passed = limit.map_or(left, |limit| left.min(limit - rows));
            *row += passed as usize;
            rows += passed;
            if *row == batch.num_rows() {
                self.batch = None;
            }
        }
        let complete = false;
        Ok(Portion { rows, complete })
    }

    /// Sends up to `limit` rows.
    pub(super) async fn send(
        &mut self,
        client: &mut Client,
        formats: &Formats,
        limit: Option<u64>,
    ) -> Result<Portion, Stop> {
        let mut writer = RowWriter::new(&self.columns, formats).in_style(self.style);
        let mut sent = 0;
        loop {
            if limit.is_some_and(|limit| sent >= limit) {
                return Ok(Portion {
                    rows: sent,
                    complete: false,
                });
            }
            let Some((batch, row)) = &mut self.batch else {
                match next(&mut self.stream, client).await? {
                    Some(batch) if batch.num_columns() != writer.columns.len() => {
                        let message = "the result has not the columns that were announced";
                        return Err(SqlError::new(ErrorKind::InternalError, message).into());
                    }
                    Some(batch) => self.batch = Some((batch, 0)),
                    None => {
                        return Ok(Portion {
                            rows: sent,
                            complete: true,
                        });
                    }
                }
                continue;
            };
            if *row == batch.num_rows() {
                self.batch = None;
                continue;
            }
            writer.write(
                &mut client.out,
                batch.columns().iter().map(|array| value(array, *row)),
            )?;
            *row += 1;
            sent += 1;
            client.flush_full().await?;
        }
    }
}

/// The next item of a stream; what is buffered is sent when it takes long to come.
pub(super) async fn next<T>(
    stream: &mut futures::stream::BoxStream<'static, Result<T, SqlError>>,
    client: &mut Client,
) -> Result<Option<T>, Stop> {
    let item = match tokio::time::timeout(GATHER, stream.next()).await {
        Ok(item) => item,
        Err(_) => {
            client.flush().await?;
            stream.next().await
        }
    };
    Ok(item.transpose()?)
}
