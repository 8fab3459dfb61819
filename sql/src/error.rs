//! `SqlError`: what a client is told when a statement fails.

use std::num::NonZeroU32;

use ::datafusion::sql::sqlparser::ast::Ident;
use arrow::error::ArrowError;
use tidelog_storage::catalog::IndexId;
use tidelog_storage::{ColumnId, ColumnType, CommitError, Datum, StorageError, TableDef};

use crate::text::Style;

mod datafusion;

pub(crate) use self::datafusion::{VALUES_MISMATCH, from_datafusion};

/// The kind of an error; `server` gives each its SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ErrorKind {
    SyntaxError,
    FeatureNotSupported,
    UndefinedTable,
    UndefinedColumn,
    AmbiguousColumn,
    UndefinedFunction,
    AmbiguousFunction,
    UndefinedObject,
    WindowingError,
    UndefinedParameter,
    InvalidSchemaName,
    InvalidName,
    ReservedName,
    InvalidColumnDefinition,
    InvalidColumnReference,
    InvalidTableDefinition,
    InvalidObjectDefinition,
    InvalidParameterValue,
    DuplicateTable,
    DuplicateColumn,
    DuplicateSchema,
    DuplicateObject,
    UndefinedDatabase,
    DuplicateDatabase,
    ObjectInUse,
    NameTooLong,
    /// Of a notice that is about no error.
    SuccessfulCompletion,
    Warning,
    DependentObjectsStillExist,
    WrongObjectType,
    DatatypeMismatch,
    GroupingError,
    /// A recursive query that names itself where it may not.
    InvalidRecursion,
    DuplicateAlias,
    InvalidRowCountInLimit,
    InvalidRowCountInOffset,
    InvalidArgumentForNtile,
    InvalidArgumentForNthValue,
    CannotCoerce,
    IndeterminateDatatype,
    InvalidTextRepresentation,
    InvalidBinaryRepresentation,
    InvalidDatetimeFormat,
    DatetimeFieldOverflow,
    InvalidTimeZoneDisplacement,
    IntervalFieldOverflow,
    SequenceLimitExceeded,
    GeneratedAlways,
    NumericValueOutOfRange,
    DivisionByZero,
    NullValueNotAllowed,
    InvalidFrameSize,
    SubstringError,
    InvalidArgumentForJsonDatetime,
    InvalidJsonSubscript,
    NonNumericJsonItem,
    SingletonJsonItemRequired,
    JsonArrayNotFound,
    JsonMemberNotFound,
    JsonNumberNotFound,
    JsonObjectNotFound,
    ArraySubscriptError,
    /// An array of several dimensions, or one that does not begin at 1, where only others can be.
    OtherShape,
    CannotChangeParameter,
    InvalidArgumentForLogarithm,
    InvalidArgumentForPower,
    InvalidArgumentForWidthBucket,
    InvalidRegularExpression,
    InvalidEscapeSequence,
    InvalidUseOfEscapeCharacter,
    DataException,
    StringDataRightTruncation,
    StringDataLengthMismatch,
    CharacterNotInRepertoire,
    UntranslatableCharacter,
    BadCopyFileFormat,
    CardinalityViolation,
    NotNullViolation,
    UniqueViolation,
    CheckViolation,
    ForeignKeyViolation,
    InvalidForeignKey,
    InsufficientPrivilege,
    InvalidAuthorization,
    InvalidPassword,
    ProtocolViolation,
    SerializationFailure,
    DeadlockDetected,
    LockNotAvailable,
    ReadOnlyTransaction,
    IdleInTransactionTimeout,
    IdleSessionTimeout,
    TransactionResolutionUnknown,
    InFailedTransaction,
    ActiveTransaction,
    NoActiveTransaction,
    QueryCanceled,
    AdminShutdown,
    CannotConnectNow,
    TooManyConnections,
    OutOfMemory,
    ProgramLimitExceeded,
    StatementTooComplex,
    TooManyColumns,
    ObjectNotInPrerequisiteState,
    UndefinedSavepoint,
    InvalidStatementName,
    DuplicateStatement,
    InvalidCursorName,
    DuplicateCursor,
    IoError,
    DataCorrupted,
    InternalError,
}

impl ErrorKind {
    /// Whether others were in the way: the same statement may go another way when it is run again.
    pub(crate) fn is_of_the_moment(self) -> bool {
        matches!(
            self,
            ErrorKind::DeadlockDetected | ErrorKind::SerializationFailure
        )
    }
}

/// An error as PostgreSQL would report it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// Its kind.
    pub kind: ErrorKind,
    /// The primary message, lowercase as PostgreSQL writes them.
    pub message: String,
    /// DETAIL, a full sentence.
    pub detail: Option<String>,
    /// HINT, a full sentence.
    pub hint: Option<String>,
    /// Where in the query string the offending token begins, in characters from 1.
    pub position: Option<usize>,
    /// Where that is by line and column, as long as the position has not been counted.
    pub(crate) place: Option<(NonZeroU32, u32)>,
    /// The schema of the table concerned.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
    /// CONTEXT, for COPY: the line.
    pub context: Option<String>,
}

impl SqlError {
    /// Whether it is about a text that is no value.
    pub(crate) fn is_of_a_text(&self) -> bool {
        use ErrorKind::{
            DatetimeFieldOverflow, InvalidDatetimeFormat, InvalidTextRepresentation,
            InvalidTimeZoneDisplacement, NumericValueOutOfRange,
        };
        matches!(
            self.kind,
            InvalidTextRepresentation
                | InvalidDatetimeFormat
                | DatetimeFieldOverflow
                | InvalidTimeZoneDisplacement
                | NumericValueOutOfRange
        )
    }

    /// An error with a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> SqlError {
        SqlError {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            place: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
            context: None,
        }
    }

    /// 0A000: `what` is not supported.
    pub fn unsupported(what: impl std::fmt::Display) -> SqlError {
        SqlError::new(
            ErrorKind::FeatureNotSupported,
            format!("{what} is not supported"),
        )
    }

    /// Says which name of the statement it is about.
    pub(crate) fn at(mut self, name: &Ident) -> SqlError {
        let start = name.span.start;
        let line = u32::try_from(start.line).ok().and_then(NonZeroU32::new);
        self.place = line.zip(u32::try_from(start.column).ok());
        self
    }

    /// Says which constraint of which table it is about.
    pub(crate) fn of_constraint(mut self, table: &TableDef, name: &str) -> SqlError {
        self.schema = Some(table.schema.clone());
        self.table = Some(table.name.clone());
        self.constraint = Some(name.to_string());
        self
    }

    /// Adds a DETAIL.
    pub fn detail(mut self, detail: impl Into<String>) -> SqlError {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a HINT.
    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }
}

/// What went wrong in Arrow's kernels, as PostgreSQL would say it.
pub(crate) fn from_arrow(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => SqlError::new(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(what) => {
            SqlError::new(ErrorKind::NumericValueOutOfRange, "value out of range")
                .detail(sentence(what))
        }
        ArrowError::CastError(what) => {
            let kind = if what.contains("overflow")
                || what.contains("large")
                || what.contains("Can't cast value")
            {
                ErrorKind::NumericValueOutOfRange
            } else {
                ErrorKind::CannotCoerce
            };
            SqlError::new(kind, what.clone())
        }
        ArrowError::ParseError(what) => {
            SqlError::new(ErrorKind::InvalidTextRepresentation, what.clone())
        }
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => SqlError::new(ErrorKind::InternalError, inner.to_string()),
        },
        ArrowError::InvalidArgumentError(what)
            if what.contains("too large to store in a Decimal")
                || what.contains("too small to store in a Decimal") =>
        {
            let error = SqlError::new(ErrorKind::NumericValueOutOfRange, "numeric field overflow");
            match precision_and_scale(what) {
                Some((precision, scale)) => error.detail(field_limit(precision, scale)),
                None => error,
            }
        }
        other => SqlError::new(ErrorKind::InternalError, other.to_string()),
    }
}

/// What a numeric's field can hold.
pub(crate) fn field_limit(precision: u8, scale: i8) -> String {
    let limit = match i16::from(precision) - i16::from(scale) {
        0 => "1".to_string(),
        whole => format!("10^{whole}"),
    };
    format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    )
}

/// The precision and scale of the decimal that Arrow says a value does not fit: `123.00 is too large to store in a Decimal128 of
/// precision 4. Max is 99.99`.
fn precision_and_scale(what: &str) -> Option<(u8, i8)> {
    let (_, behind) = what.split_once(" of precision ")?;
    let digits = behind
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(behind.len());
    let (_, limit) = behind.split_once(" is ")?;
    let scale = limit
        .trim()
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    Some((behind[..digits].parse().ok()?, i8::try_from(scale).ok()?))
}

impl From<StorageError> for SqlError {
    fn from(error: StorageError) -> SqlError {
        let kind = match &error {
            StorageError::NoTable(_) => ErrorKind::UndefinedTable,
            StorageError::Corrupt(_) => ErrorKind::DataCorrupted,
            StorageError::Trimmed { .. } | StorageError::StillRead { .. } => {
                ErrorKind::ObjectNotInPrerequisiteState
            }
            StorageError::Evicted => ErrorKind::SerializationFailure,
            StorageError::Backup(_) => ErrorKind::IoError,
            StorageError::Closed => ErrorKind::AdminShutdown,
            StorageError::InUse(_)
            | StorageError::Open { .. }
            | StorageError::Engine(_)
            | StorageError::Store(_)
            | StorageError::ColdStore { .. }
            | StorageError::LogFailed(_)
            | StorageError::Object(_)
            | StorageError::Parquet(_)
            | StorageError::Arrow(_)
            | StorageError::Io(_) => ErrorKind::IoError,
        };
        let told = SqlError::new(kind, error.to_string());
        match error {
            StorageError::LogFailed(_) => told.hint(HINT_AFTER_FAILURE),
            _ => told,
        }
    }
}

/// What helps when the log could not be written.
const HINT_AFTER_FAILURE: &str = "The server takes no more writes until it is started again. If its disk is full, make room before.";

impl From<CommitError> for SqlError {
    fn from(error: CommitError) -> SqlError {
        match error {
            CommitError::UniqueViolation { table, index, key } => {
                unique_violation(&table, index, &key)
            }
            CommitError::Conflict | CommitError::CatalogChanged | CommitError::ReadChanged => {
                SqlError::new(ErrorKind::SerializationFailure, error.to_string())
            }
            CommitError::Storage(error) => error.into(),
            CommitError::Unknown(_) => {
                SqlError::new(ErrorKind::TransactionResolutionUnknown, error.to_string())
                    .hint(HINT_AFTER_FAILURE)
            }
        }
    }
}

/// 23505 for rows that a new unique index does not allow.
pub(crate) fn duplicate_rows(table: &TableDef, index: IndexId, key: &[Datum]) -> SqlError {
    let unique = table.unique_key(index);
    let (name, columns) = unique.map_or(("", [].as_slice()), |u| (u.name, u.columns));
    let message = format!("could not create unique index \"{name}\"");
    SqlError::new(ErrorKind::UniqueViolation, message)
        .detail(format!(
            "{} is duplicated.",
            indexed_key(table, columns, key)
        ))
        .of_constraint(table, name)
}

/// 23505, with the key in DETAIL.
pub(crate) fn unique_violation(table: &TableDef, index: IndexId, key: &[Datum]) -> SqlError {
    let (name, columns) = match table.unique_key(index) {
        Some(unique) => (unique.name, unique.columns),
        None => ("", [].as_slice()),
    };
    let message = format!("duplicate key value violates unique constraint \"{name}\"");
    SqlError::new(ErrorKind::UniqueViolation, message)
        .detail(format!(
            "{} already exists.",
            indexed_key(table, columns, key)
        ))
        .of_constraint(table, name)
}

/// `Key (a, "B")=(1, 2)`, of an index.
fn indexed_key(table: &TableDef, columns: &[ColumnId], key: &[Datum]) -> String {
    let name = |id: &ColumnId| match table.index_of(*id) {
        Some(at) => crate::parse::identifier(&table.columns[at].name),
        None => crate::system::deparse::computed(table, *id),
    };
    key_of(table, columns.iter().map(name).collect(), columns, key)
}

/// `Key (a, B)=(1, 2)`, of a foreign key.
pub(crate) fn shown_key(table: &TableDef, columns: &[ColumnId], key: &[Datum]) -> String {
    let at = columns.iter().filter_map(|id| table.index_of(*id));
    let names = at.map(|at| table.columns[at].name.clone());
    key_of(table, names.collect(), columns, key)
}

fn key_of(table: &TableDef, names: Vec<String>, columns: &[ColumnId], key: &[Datum]) -> String {
    let mut values = String::new();
    for (n, value) in key.iter().enumerate() {
        if n > 0 {
            values.push_str(", ");
        }
        let ty = columns.get(n).and_then(|id| table.type_of(*id));
        let ty = ty.unwrap_or(ColumnType::Text);
        crate::text::write(value.as_ref(), ty, Style::default(), &mut values);
    }
    format!("Key ({})=({values})", names.join(", "))
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    format!("{text}.")
}
