//! COPY's text and csv formats, both ways.

mod command;
mod condition;
mod decode;
#[cfg(test)]
mod tests;

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption};
use tidelog_storage::{ColumnType, DatumRef};

use crate::ddl::fold;
use crate::error::{ErrorKind, SqlError};
use crate::output::OutputColumn;
use crate::text::{self, Style};

pub use command::CopyIn;
pub use decode::{CopyDecoder, column_context, line_context};

/// The format of a COPY, from its options.
#[derive(Clone, Debug)]
pub struct CopyFormat {
    binary: bool,
    csv: bool,
    delimiter: u8,
    null: String,
    quote: u8,
    escape: u8,
    header: bool,
    /// Whether the header must have the columns' names.
    matches_header: bool,
    force_quote: Vec<String>,
    force_not_null: Vec<String>,
    force_null: Vec<String>,
    /// By position, once `for_columns` has said where the columns stand.
    quoted: Vec<bool>,
}

/// What stands for all columns where an option names some.
const ALL_COLUMNS: &str = "*";

/// Names of PostgreSQL's other encodings, without what stands between their letters.
const ENCODINGS: &[&str] = &[
    "abc",
    "alt",
    "big5",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "iso88591",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "johab",
    "koi8",
    "koi8r",
    "koi8u",
    "latin1",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "mskanji",
    "muleinternal",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "tcvn",
    "tcvn5712",
    "uhc",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

/// Options as they are given, before defaults and checks.
#[derive(Default)]
struct Given {
    binary: bool,
    csv: Option<bool>,
    delimiter: Option<char>,
    null: Option<String>,
    quote: Option<char>,
    escape: Option<char>,
    header: Option<bool>,
    force_quote: Option<Vec<String>>,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
}

fn set<T>(option: &mut Option<T>, value: T) -> Result<(), SqlError> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(
            ErrorKind::SyntaxError,
            "conflicting or redundant options",
        )),
    }
}

/// Text is taken for what the server takes it for: UTF8.
pub(crate) fn check_encoding(name: &str) -> Result<(), SqlError> {
    let plain = name.to_lowercase().replace(['-', '_', ' '], "");
    match plain.as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(()),
        known if ENCODINGS.contains(&known) => Err(SqlError::unsupported(format!(
            "COPY with encoding \"{name}\""
        ))),
        _ => Err(invalid(
            "argument to option \"encoding\" must be a valid encoding name",
        )),
    }
}

fn unsupported(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::FeatureNotSupported, message)
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

impl CopyFormat {
    /// Reads and checks the options, in both of PostgreSQL's spellings.
    pub fn from_options(
        options: &[CopyOption],
        legacy: &[CopyLegacyOption],
    ) -> Result<CopyFormat, SqlError> {
        let mut given = Given::default();
        for option in options {
            given.option(option)?;
        }
        for option in legacy {
            given.legacy(option)?;
        }
        given.check()
    }

    /// Checks the options that name columns, for a COPY of these columns.
    pub fn for_columns(mut self, columns: &[String], to: bool) -> Result<CopyFormat, SqlError> {
        for (names, option, message, direction) in [
            (
                &self.force_quote,
                "FORCE_QUOTE",
                "COPY force quote only available using COPY TO",
                true,
            ),
            (
                &self.force_not_null,
                "FORCE_NOT_NULL",
                "COPY force not null only available using COPY FROM",
                false,
            ),
            (
                &self.force_null,
                "FORCE_NULL",
                "COPY force null only available using COPY FROM",
                false,
            ),
        ] {
            if !names.is_empty() && direction != to {
                return Err(unsupported(message));
            }
            let mut named = names.iter().filter(|name| *name != ALL_COLUMNS);
            if let Some(name) = named.find(|name| !columns.contains(name)) {
                return Err(SqlError::new(
                    ErrorKind::UndefinedColumn,
                    format!("{option} column \"{name}\" not referenced by COPY"),
                ));
            }
        }
        let all = self.force_quote.iter().any(|name| name == ALL_COLUMNS);
        self.quoted = columns
            .iter()
            .map(|column| all || self.force_quote.contains(column))
            .collect();
        Ok(self)
    }

    /// Has the first line match the columns, as `HEADER MATCH` says.
    pub(crate) fn matching_header(self, matches: bool) -> CopyFormat {
        CopyFormat {
            matches_header: matches,
            ..self
        }
    }

    /// Whether the first line names the columns.
    pub fn header(&self) -> bool {
        self.header
    }

    /// Appends the line that names the columns.
    pub fn write_header(&self, names: &[String], out: &mut Vec<u8>) {
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.push(self.delimiter);
            }
            self.write_field(name.as_bytes(), false, names.len() == 1, out);
        }
        out.push(b'\n');
    }

    /// Whether it is the binary format, which the server reads and writes.
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// Appends one line of values of these columns.
    pub fn write_line<'a>(
        &self,
        values: impl Iterator<Item = DatumRef<'a>>,
        columns: &[OutputColumn],
        style: Style,
        out: &mut Vec<u8>,
    ) {
        let mut scratch = String::new();
        let mut values = values.enumerate().peekable();
        while let Some((index, value)) = values.next() {
            if index > 0 {
                out.push(self.delimiter);
            }
            let force = self.quoted.get(index).copied().unwrap_or(false);
            let alone = index == 0 && values.peek().is_none();
            match value {
                DatumRef::Null => out.extend_from_slice(self.null.as_bytes()),
                value => {
                    scratch.clear();
                    let ty = columns
                        .get(index)
                        .map_or(ColumnType::Text, |column| column.ty);
                    text::write(value, ty, style, &mut scratch);
                    self.write_field(scratch.as_bytes(), force, alone, out);
                }
            }
        }
        out.push(b'\n');
    }

    fn write_field(&self, field: &[u8], force: bool, alone: bool, out: &mut Vec<u8>) {
        if !self.csv {
            return self.write_escaped(field, out);
        }
        let special = |&byte: &u8| {
            byte == self.delimiter || byte == self.quote || byte == b'\n' || byte == b'\r'
        };
        let quote = force
            || field == self.null.as_bytes()
            || (alone && field == b"\\.")
            || field.iter().any(special);
        if !quote {
            out.extend_from_slice(field);
            return;
        }
        out.push(self.quote);
        for &byte in field {
            if byte == self.quote || byte == self.escape {
                out.push(self.escape);
            }
            out.push(byte);
        }
        out.push(self.quote);
    }

    fn write_escaped(&self, field: &[u8], out: &mut Vec<u8>) {
        let mut written = 0;
        for (index, &byte) in field.iter().enumerate() {
            let escape = match byte {
                b'\\' => b'\\',
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                byte if byte == self.delimiter => byte,
                _ => continue,
            };
            out.extend_from_slice(&field[written..index]);
            out.extend_from_slice(&[b'\\', escape]);
            written = index + 1;
        }
        out.extend_from_slice(&field[written..]);
    }
}

impl Given {
    fn binary(&mut self) -> Result<(), SqlError> {
        self.binary = true;
        set(&mut self.csv, false)
    }

    fn option(&mut self, option: &CopyOption) -> Result<(), SqlError> {
        match option {
            CopyOption::Format(name) => match fold(name).as_str() {
                "text" => set(&mut self.csv, false),
                "csv" => set(&mut self.csv, true),
                "binary" => self.binary(),
                other => Err(invalid(format!("COPY format \"{other}\" not recognized"))),
            },
            // Rows are never rewritten to be frozen.
            CopyOption::Freeze(_) => Ok(()),
            CopyOption::Delimiter(delimiter) => set(&mut self.delimiter, *delimiter),
            CopyOption::Null(null) => set(&mut self.null, null.clone()),
            CopyOption::Header(header) => set(&mut self.header, *header),
            CopyOption::Quote(quote) => set(&mut self.quote, *quote),
            CopyOption::Escape(escape) => set(&mut self.escape, *escape),
            CopyOption::ForceQuote(columns) => {
                set(&mut self.force_quote, columns.iter().map(fold).collect())
            }
            CopyOption::ForceNotNull(columns) => {
                set(&mut self.force_not_null, columns.iter().map(fold).collect())
            }
            CopyOption::ForceNull(columns) => {
                set(&mut self.force_null, columns.iter().map(fold).collect())
            }
            CopyOption::Encoding(name) => check_encoding(name),
        }
    }

    fn legacy(&mut self, option: &CopyLegacyOption) -> Result<(), SqlError> {
        match option {
            CopyLegacyOption::Binary => self.binary(),
            CopyLegacyOption::Delimiter(delimiter) => set(&mut self.delimiter, *delimiter),
            CopyLegacyOption::Null(null) => set(&mut self.null, null.clone()),
            CopyLegacyOption::Header => set(&mut self.header, true),
            CopyLegacyOption::Csv(options) => {
                set(&mut self.csv, true)?;
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => set(&mut self.header, true)?,
                        CopyLegacyCsvOption::Quote(quote) => set(&mut self.quote, *quote)?,
                        CopyLegacyCsvOption::Escape(escape) => set(&mut self.escape, *escape)?,
                        CopyLegacyCsvOption::ForceQuote(columns) => {
                            set(&mut self.force_quote, columns.iter().map(fold).collect())?;
                        }
                        CopyLegacyCsvOption::ForceNotNull(columns) => {
                            set(&mut self.force_not_null, columns.iter().map(fold).collect())?;
                        }
                    }
                }
                Ok(())
            }
            other => Err(SqlError::new(
                ErrorKind::SyntaxError,
                format!("option \"{other}\" not recognized").to_lowercase(),
            )),
        }
    }

    fn check(self) -> Result<CopyFormat, SqlError> {
        let csv = self.csv.unwrap_or(false);
        for (given, what, kind) in [
            (
                self.delimiter.is_some(),
                "DELIMITER",
                ErrorKind::SyntaxError,
            ),
            (self.null.is_some(), "NULL", ErrorKind::SyntaxError),
            (
                self.header.is_some(),
                "HEADER",
                ErrorKind::FeatureNotSupported,
            ),
        ] {
            if given && self.binary {
                let message = format!("cannot specify {what} in BINARY mode");
                return Err(SqlError::new(kind, message));
            }
        }
        let byte = |given: Option<char>, default: u8, what: &str| match given {
            None => Ok(default),
            Some(char) if char.is_ascii() && char != '\0' => Ok(char as u8),
            Some(_) => Err(unsupported(format!(
                "COPY {what} must be a single one-byte character"
            ))),
        };
        let delimiter = byte(self.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?;
        if matches!(delimiter, b'\n' | b'\r') {
            return Err(invalid(
                "COPY delimiter cannot be newline or carriage return",
            ));
        }
        let null = self.null.unwrap_or_else(|| {
            if csv {
                String::new()
            } else {
                "\\N".to_string()
            }
        });
        if null.contains(['\n', '\r']) {
            return Err(invalid(
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        if !csv && matches!(delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9') {
            return Err(invalid(format!(
                "COPY delimiter cannot be \"{}\"",
                char::from(delimiter)
            )));
        }
        for (given, what) in [
            (self.quote.is_some(), "quote"),
            (self.escape.is_some(), "escape"),
            (self.force_quote.is_some(), "force quote"),
            (self.force_not_null.is_some(), "force not null"),
            (self.force_null.is_some(), "force null"),
        ] {
            if given && !csv {
                return Err(unsupported(format!(
                    "COPY {what} available only in CSV mode"
                )));
            }
        }
        let quote = byte(self.quote, b'"', "quote")?;
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        let escape = byte(self.escape, quote, "escape")?;
        if null.as_bytes().contains(&delimiter) {
            return Err(unsupported(
                "COPY delimiter must not appear in the NULL specification",
            ));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(unsupported(
                "CSV quote character must not appear in the NULL specification",
            ));
        }
        Ok(CopyFormat {
            binary: self.binary,
            csv,
            delimiter,
            null,
            quote,
            escape,
            header: self.header.unwrap_or(false),
            matches_header: false,
            force_quote: self.force_quote.unwrap_or_default(),
            force_not_null: self.force_not_null.unwrap_or_default(),
            force_null: self.force_null.unwrap_or_default(),
            quoted: Vec::new(),
        })
    }
}
