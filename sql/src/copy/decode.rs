//! COPY FROM: bytes in any pieces into rows of text values.

use super::CopyFormat;
use crate::error::{ErrorKind, SqlError};

/// A line that is longer is refused.
const LINE_BYTES_MAX: usize = 256 << 20;
/// How much of a value or line a CONTEXT shows, in bytes.
const CONTEXT_BYTES_MAX: usize = 100;

/// Takes one row: its line number, from 1, and its values.
pub(super) type OnRow<'a> = dyn FnMut(u64, &[Option<&str>]) -> Result<(), SqlError> + 'a;

/// Splits COPY data into rows.
pub struct CopyDecoder {
    format: CopyFormat,
    table: String,
    columns: Vec<String>,
    /// By column.
    force_not_null: Vec<bool>,
    force_null: Vec<bool>,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// How much of `rest` has been looked through.
    scanned: usize,
    /// CSV: whether the place looked at last is within quotes, and behind an escape.
    in_quote: bool,
    after_escape: bool,
    /// Lines so far.
    line: u64,
    /// Whether lines end in CR LF; the first line says so.
    crlf: Option<bool>,
    header: bool,
    /// Whether the line looked at is the header, which must match.
    in_header: bool,
    done: bool,
    scratch: Vec<u8>,
}

/// CONTEXT of an error in a line.
pub fn line_context(table: &str, line: u64, text: Option<&str>) -> String {
    match text {
        None => format!("COPY {table}, line {line}"),
        Some(text) => format!("COPY {table}, line {line}: \"{}\"", limited(text)),
    }
}

/// CONTEXT of an error in a value.
pub fn column_context(table: &str, line: u64, column: &str, value: Option<&str>) -> String {
    match value {
        None => format!("COPY {table}, line {line}, column {column}: null input"),
        Some(value) => format!(
            "COPY {table}, line {line}, column {column}: \"{}\"",
            limited(value)
        ),
    }
}

fn limited(text: &str) -> String {
    if text.len() <= CONTEXT_BYTES_MAX {
        return text.to_string();
    }
    let end = (0..=CONTEXT_BYTES_MAX)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}...", &text[..end])
}

impl CopyDecoder {
    /// A decoder of lines that hold these columns.
    pub fn new(format: CopyFormat, table: &str, columns: Vec<String>) -> CopyDecoder {
        CopyDecoder {
            force_not_null: columns
                .iter()
                .map(|column| format.force_not_null.contains(column))
                .collect(),
            force_null: columns
                .iter()
                .map(|column| format.force_null.contains(column))
                .collect(),
            header: format.header,
            in_header: false,
            format,
            table: table.to_string(),
            columns,
            rest: Vec::new(),
            scanned: 0,
            in_quote: false,
            after_escape: false,
            line: 0,
            crlf: None,
            done: false,
            scratch: Vec::new(),
        }
    }

    /// Takes the next piece of data, and gives the rows that it completes.
    ///
    /// After an error the decoder must not be used further.
    pub fn push(&mut self, data: &[u8], row: &mut OnRow<'_>) -> Result<(), SqlError> {
        let mut rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            let used = self.lines(data, row)?;
            rest.extend_from_slice(&data[used..]);
        } else {
            rest.extend_from_slice(data);
            let used = self.lines(&rest, row)?;
            rest.drain(..used);
        }
        if rest.len() > LINE_BYTES_MAX {
            return Err(self.fail(
                ErrorKind::ProgramLimitExceeded,
                "line of COPY data is too long",
                None,
            ));
        }
        self.rest = rest;
        Ok(())
    }

    /// Ends the data: a last line needs no newline.
    pub fn finish(&mut self, row: &mut OnRow<'_>) -> Result<(), SqlError> {
        let rest = std::mem::take(&mut self.rest);
        // Where a header must match, no line is one that does not.
        let misses_header = self.header && self.format.matches_header;
        if self.done || rest.is_empty() && !misses_header {
            return Ok(());
        }
        self.scanned = 0;
        self.line(&rest, row)
    }

    /// Works through the complete lines of `data`; returns how much of it they are.
    fn lines(&mut self, data: &[u8], row: &mut OnRow<'_>) -> Result<usize, SqlError> {
        let mut start = 0;
        while !self.done {
            let from = start + self.scanned;
            let end = if self.format.csv {
                self.csv_line_end(data, from)
            } else {
                text_line_end(data, start, from)
            };
            let Some(end) = end else {
                self.scanned = data.len() - start;
                return Ok(start);
            };
            self.scanned = 0;
            self.line(&data[start..end], row)?;
            start = end + 1;
        }
        Ok(data.len())
    }

    fn csv_line_end(&mut self, data: &[u8], from: usize) -> Option<usize> {
        let (quote, newline) = (self.format.quote, b'\n');
        // A quote that escapes itself leaves and enters the quotes again.
        let escape = Some(self.format.escape).filter(|&escape| escape != quote);
        let (mut in_quote, mut after_escape) = (self.in_quote, self.after_escape);
        let mut end = None;
        for (index, &byte) in data[from..].iter().enumerate() {
            if byte == newline {
                if !in_quote {
                    end = Some(from + index);
                    break;
                }
                self.line += 1;
                after_escape = false;
                continue;
            }
            let is_escape = Some(byte) == escape;
            if in_quote && is_escape {
                after_escape = !after_escape;
            }
            if byte == quote && !after_escape {
                in_quote = !in_quote;
            }
            if !is_escape {
                after_escape = false;
            }
        }
        self.in_quote = in_quote;
        self.after_escape = after_escape;
        end
    }

    /// Works through one line, without its newline.
    fn line(&mut self, mut line: &[u8], row: &mut OnRow<'_>) -> Result<(), SqlError> {
        self.line += 1;
        let ends_in_cr = line.last() == Some(&b'\r');
        if *self.crlf.get_or_insert(ends_in_cr) && ends_in_cr {
            line = &line[..line.len() - 1];
        }
        self.in_header = std::mem::take(&mut self.header);
        if self.in_header && !self.format.matches_header {
            return Ok(());
        }
        if line == b"\\." {
            self.done = true;
            return Ok(());
        }
        let text = self.utf8(line)?;
        if self.format.csv {
            self.csv_row(text, row)
        } else {
            self.text_row(text, row)
        }
    }

    fn utf8<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, SqlError> {
        let invalid = match std::str::from_utf8(bytes) {
            Ok(text) if !bytes.contains(&0) => return Ok(text),
            Ok(_) => bytes.iter().position(|&byte| byte == 0).unwrap_or(0),
            Err(error) => error.valid_up_to(),
        };
        let length = match bytes[invalid] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        let sequence: Vec<String> = bytes[invalid..]
            .iter()
            .take(length)
            .map(|byte| format!("0x{byte:02x}"))
            .collect();
        let message = format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            sequence.join(" ")
        );
        Err(self.fail(ErrorKind::CharacterNotInRepertoire, &message, None))
    }

    fn text_row(&mut self, line: &str, row: &mut OnRow<'_>) -> Result<(), SqlError> {
        let bytes = line.as_bytes();
        if bytes.contains(&b'\r') && !self.carriage_returns_escaped(bytes) {
            return Err(self
                .fail(
                    ErrorKind::BadCopyFileFormat,
                    "literal carriage return found in data",
                    Some(line),
                )
                .hint("Use \"\\r\" to represent carriage return."));
        }
        let mut values = Vec::with_capacity(self.columns.len());
        if !bytes.contains(&b'\\') {
            let null = self.format.null.as_str();
            for field in line.split(char::from(self.format.delimiter)) {
                values.push(if field == null { None } else { Some(field) });
            }
            return self.row(line, &values, row);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let spans = text_fields(bytes, &self.format, &mut scratch);
        // Escapes can spell any byte.
        let unescaped = self.utf8(&scratch)?;
        for span in spans {
            let value = match span {
                None => None,
                Some((start, end)) => match unescaped.get(start..end) {
                    Some(value) => Some(value),
                    // Bytes of two fields would make up one character.
                    None => return self.utf8(&scratch[start..end]).map(drop),
                },
            };
            values.push(value);
        }
        self.row(line, &values, row)?;
        self.scratch = scratch;
        Ok(())
    }

    fn carriage_returns_escaped(&self, line: &[u8]) -> bool {
        let mut escaped = false;
        for &byte in line {
            if byte == b'\r' && !escaped {
                return false;
            }
            escaped = byte == b'\\' && !escaped;
        }
        true
    }

    fn csv_row(&mut self, line: &str, row: &mut OnRow<'_>) -> Result<(), SqlError> {
        let bytes = line.as_bytes();
        let mut values = Vec::with_capacity(self.columns.len());
        let null = self.format.null.as_str();
        if !bytes.contains(&self.format.quote) {
            if bytes.contains(&b'\r') {
                return Err(self.unquoted_carriage_return(line));
            }
            for (index, field) in line.split(char::from(self.format.delimiter)).enumerate() {
                let force = || self.force_not_null.get(index) == Some(&true);
                values.push(if field == null && !force() {
                    None
                } else {
                    Some(field)
                });
            }
            return self.row(line, &values, row);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let spans = match csv_fields(bytes, &self.format, &mut scratch) {
            Ok(spans) => spans,
            Err(CsvError::Unterminated) => {
                return Err(self.fail(
                    ErrorKind::BadCopyFileFormat,
                    "unterminated CSV quoted field",
                    Some(line),
                ));
            }
            Err(CsvError::CarriageReturn) => return Err(self.unquoted_carriage_return(line)),
        };
        let unquoted = self.utf8(&scratch)?;
        for (index, (start, end, quoted)) in spans.into_iter().enumerate() {
            let field = unquoted.get(start..end).unwrap_or_default();
            let is_null = field == null
                && if quoted {
                    self.force_null.get(index) == Some(&true)
                } else {
                    self.force_not_null.get(index) != Some(&true)
                };
            values.push(if is_null { None } else { Some(field) });
        }
        self.row(line, &values, row)?;
        self.scratch = scratch;
        Ok(())
    }

    fn row(
        &self,
        line: &str,
        values: &[Option<&str>],
        row: &mut OnRow<'_>,
    ) -> Result<(), SqlError> {
        if self.in_header {
            return self.match_header(line, values);
        }
        if let Some(column) = self.columns.get(values.len()) {
            let message = format!("missing data for column \"{column}\"");
            return Err(self.fail(ErrorKind::BadCopyFileFormat, &message, Some(line)));
        }
        if values.len() > self.columns.len() {
            let message = "extra data after last expected column";
            return Err(self.fail(ErrorKind::BadCopyFileFormat, message, Some(line)));
        }
        row(self.line, values)
    }

    fn match_header(&self, line: &str, values: &[Option<&str>]) -> Result<(), SqlError> {
        let broken =
            |message: String| Err(self.fail(ErrorKind::BadCopyFileFormat, &message, Some(line)));
        let (count, expected) = (values.len(), self.columns.len());
        if count != expected {
            return broken(format!(
                "wrong number of fields in header line: got {count}, expected {expected}"
            ));
        }
        for (at, (value, column)) in values.iter().zip(&self.columns).enumerate() {
            let got = match value {
                Some(value) if value == column => continue,
                Some(value) => format!("got \"{value}\""),
                None => format!("got null value (\"{}\")", self.format.null),
            };
            return broken(format!(
                "column name mismatch in header line field {}: {got}, expected \"{column}\"",
                at + 1
            ));
        }
        Ok(())
    }

    fn unquoted_carriage_return(&self, line: &str) -> SqlError {
        self.fail(
            ErrorKind::BadCopyFileFormat,
            "unquoted carriage return found in data",
            Some(line),
        )
        .hint("Use quoted CSV field to represent carriage return.")
    }

    fn fail(&self, kind: ErrorKind, message: &str, line: Option<&str>) -> SqlError {
        let mut error = SqlError::new(kind, message);
        error.context = Some(line_context(&self.table, self.line.max(1), line));
        error
    }
}

/// The newline that ends the line from `start`, looked for from `from`: one behind a backslash is data.
fn text_line_end(data: &[u8], start: usize, mut from: usize) -> Option<usize> {
    loop {
        let end = from + data[from..].iter().position(|&byte| byte == b'\n')?;
        let backslashes = data[start..end]
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\\')
            .count();
        if backslashes % 2 == 0 {
            return Some(end);
        }
        from = end + 1;
    }
}

/// Appends the fields' bytes to `out`, and tells where they stand there; `None` is NULL.
fn text_fields(line: &[u8], format: &CopyFormat, out: &mut Vec<u8>) -> Vec<Option<(usize, usize)>> {
    let mut spans = Vec::new();
    let (mut at, mut raw_start, mut start) = (0, 0, out.len());
    loop {
        let byte = line.get(at).copied();
        match byte {
            None => {}
            Some(byte) if byte == format.delimiter => {}
            Some(b'\\') if at + 1 < line.len() => {
                at += 2;
                let byte = line[at - 1];
                out.push(match byte {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'0'..=b'7' => number(line, &mut at, byte - b'0', 8),
                    b'x' if line.get(at).is_some_and(u8::is_ascii_hexdigit) => {
                        number(line, &mut at, 0, 16)
                    }
                    byte => byte,
                });
                continue;
            }
            Some(byte) => {
                out.push(byte);
                at += 1;
                continue;
            }
        }
        // PostgreSQL compares with the NULL string what was written, before it is unescaped.
        let null = line[raw_start..at] == *format.null.as_bytes();
        spans.push(if null { None } else { Some((start, out.len())) });
        if byte.is_none() {
            return spans;
        }
        at += 1;
        raw_start = at;
        start = out.len();
    }
}

/// Reads up to two more digits.
fn number(line: &[u8], at: &mut usize, first: u8, base: u32) -> u8 {
    let mut value = u32::from(first);
    for _ in 0..2 {
        let Some(digit) = line
            .get(*at)
            .and_then(|&byte| char::from(byte).to_digit(base))
        else {
            break;
        };
        value = value * base + digit;
        *at += 1;
    }
    (value & 0xff) as u8
}

enum CsvError {
    Unterminated,
    CarriageReturn,
}

/// Appends the fields' bytes to `out`, and tells where they stand there and whether quotes were seen.
fn csv_fields(
    line: &[u8],
    format: &CopyFormat,
    out: &mut Vec<u8>,
) -> Result<Vec<(usize, usize, bool)>, CsvError> {
    let mut spans = Vec::new();
    let (mut start, mut in_quote, mut quoted) = (out.len(), false, false);
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += 1;
        if in_quote {
            if byte == format.escape
                && let Some(&next) = line.get(at)
                && (next == format.escape || next == format.quote)
            {
                out.push(next);
                at += 1;
            } else if byte == format.quote {
                in_quote = false;
            } else {
                out.push(byte);
            }
        } else if byte == format.delimiter {
            spans.push((start, out.len(), quoted));
            start = out.len();
            quoted = false;
        } else if byte == format.quote {
            in_quote = true;
            quoted = true;
        } else if byte == b'\r' {
            return Err(CsvError::CarriageReturn);
        } else {
            out.push(byte);
        }
    }
    if in_quote {
        return Err(CsvError::Unterminated);
    }
    spans.push((start, out.len(), quoted));
    Ok(spans)
}
