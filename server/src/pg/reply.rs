//! What the server sends: each function appends one whole message to a buffer.

use bytes::{BufMut, BytesMut};
use tidelog_sql::{OutputColumn, SqlError, TransactionStatus};

pub(super) use tidelog_sql::row_tag;

use crate::pg::encode::{self, Format};
use crate::sqlstate::sqlstate;

/// Appends one message whose body `write` appends.
pub(super) fn message(out: &mut BytesMut, tag: u8, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let start = out.len();
    out.put_i32(0);
    write(out);
    let length = i32::try_from(out.len() - start).expect("senders keep messages below 1 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a string and its terminator; a string that holds NUL ends before it.
fn string(out: &mut BytesMut, text: &str) {
    let text = text.split('\0').next().unwrap_or_default();
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn count(out: &mut BytesMut, n: usize) {
    out.put_u16(u16::try_from(n).unwrap_or(u16::MAX));
}

pub(super) fn authentication_ok(out: &mut BytesMut) {
    message(out, b'R', |out| out.put_i32(0));
}

pub(super) fn authentication_sasl(out: &mut BytesMut, mechanism: &str) {
    message(out, b'R', |out| {
        out.put_i32(10);
        string(out, mechanism);
        out.put_u8(0);
    });
}

pub(super) fn authentication_sasl_continue(out: &mut BytesMut, data: &str) {
    message(out, b'R', |out| {
        out.put_i32(11);
        out.put_slice(data.as_bytes());
    });
}

pub(super) fn authentication_sasl_final(out: &mut BytesMut, data: &str) {
    message(out, b'R', |out| {
        out.put_i32(12);
        out.put_slice(data.as_bytes());
    });
}

/// Tells a client of a newer minor version, or one that asked for protocol options, what is not there.
pub(super) fn negotiate_protocol_version(out: &mut BytesMut, unknown_options: &[&str]) {
    message(out, b'v', |out| {
        out.put_i32(0x0003_0000);
        out.put_i32(i32::try_from(unknown_options.len()).unwrap_or(i32::MAX));
        unknown_options
            .iter()
            .for_each(|option| string(out, option));
    });
}

pub(super) fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        string(out, name);
        string(out, value);
    });
}

pub(super) fn backend_key_data(out: &mut BytesMut, pid: i32, secret: i32) {
    message(out, b'K', |out| {
        out.put_i32(pid);
        out.put_i32(secret);
    });
}

pub(super) fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    message(out, b'Z', |out| {
        out.put_u8(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        });
    });
}

/// A message without a body: ParseComplete `1`, BindComplete `2`, CloseComplete `3`, NoData `n`,
/// PortalSuspended `s`, EmptyQueryResponse `I`, CopyDone `c`.
pub(super) fn bare(out: &mut BytesMut, tag: u8) {
    message(out, tag, |_| {});
}

pub(super) fn command_complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |out| string(out, tag));
}

pub(super) fn parameter_description(out: &mut BytesMut, oids: impl ExactSizeIterator<Item = u32>) {
    message(out, b't', |out| {
        count(out, oids.len());
        oids.for_each(|oid| out.put_u32(oid));
    });
}

/// `format` gives the format of the column at an index.
pub(super) fn row_description(
    out: &mut BytesMut,
    columns: &[OutputColumn],
    format: impl Fn(usize) -> Format,
) {
    message(out, b'T', |out| {
        count(out, columns.len());
        for (index, column) in columns.iter().enumerate() {
            string(out, &column.name);
            let (table, number) = column.origin.unwrap_or_default();
            out.put_u32(table);
            out.put_i16(number);
            out.put_u32(encode::column_oid(column));
            out.put_i16(encode::size(column));
            out.put_i32(if column.modified {
                encode::typmod(column.ty)
            } else {
                -1
            });
            out.put_i16(format(index) as i16);
        }
    });
}

/// CopyInResponse `G` or CopyOutResponse `H`, all columns in one format.
pub(super) fn copy_response(out: &mut BytesMut, tag: u8, columns: usize, format: Format) {
    message(out, tag, |out| {
        out.put_u8(format as u8);
        count(out, columns);
        (0..columns).for_each(|_| out.put_i16(format as i16));
    });
}

pub(super) fn copy_data(out: &mut BytesMut, data: &[u8]) {
    message(out, b'd', |out| out.put_slice(data));
}

pub(super) fn notification(out: &mut BytesMut, pid: i32, channel: &str, payload: &str) {
    message(out, b'A', |out| {
        out.put_i32(pid);
        string(out, channel);
        string(out, payload);
    });
}

/// ErrorResponse; `severity` is ERROR or FATAL.
pub(super) fn error(out: &mut BytesMut, severity: &str, error: &SqlError) {
    report(out, b'E', severity, sqlstate(error.kind), error);
}

/// NoticeResponse; `severity` is WARNING or NOTICE.
pub(super) fn notice(out: &mut BytesMut, severity: &str, code: &str, error: &SqlError) {
    report(out, b'N', severity, code, error);
}

/// File, line and routine of PostgreSQL 15 that report an error, where drivers tell by it what to do.
fn source(error: &SqlError) -> Option<(&'static str, &'static str, &'static str)> {
    let changed = error.message == "cached plan must not change result type";
    changed.then_some(("plancache.c", "722", "RevalidateCachedQuery"))
}

fn report(out: &mut BytesMut, tag: u8, severity: &str, code: &str, error: &SqlError) {
    let position = error.position.map(|position| position.to_string());
    let source = source(error);
    let fields = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(code)),
        (b'M', Some(error.message.as_str())),
        (b'D', error.detail.as_deref()),
        (b'H', error.hint.as_deref()),
        (b'P', position.as_deref()),
        (b'W', error.context.as_deref()),
        (b's', error.schema.as_deref()),
        (b't', error.table.as_deref()),
        (b'c', error.column.as_deref()),
        (b'n', error.constraint.as_deref()),
        (b'F', source.map(|(file, _, _)| file)),
        (b'L', source.map(|(_, line, _)| line)),
        (b'R', source.map(|(_, _, routine)| routine)),
    ];
    message(out, tag, |out| {
        for (field, value) in fields {
            if let Some(value) = value {
                out.put_u8(field);
                string(out, value);
            }
        }
        out.put_u8(0);
    });
}
