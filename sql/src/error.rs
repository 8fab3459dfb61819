//! `SqlError`: what a client is told when a statement fails.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use tidelog_storage::catalog::IndexId;
use tidelog_storage::error::StoreFailure;
use tidelog_storage::{ColumnId, ColumnType, CommitError, Datum, StorageError, TableDef};

use crate::text::Style;

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
    InvalidColumnDefinition,
    InvalidColumnReference,
    InvalidTableDefinition,
    InvalidObjectDefinition,
    InvalidParameterValue,
    DuplicateTable,
    DuplicateColumn,
    DuplicateSchema,
    DuplicateObject,
    DependentObjectsStillExist,
    WrongObjectType,
    DatatypeMismatch,
    GroupingError,
    CannotCoerce,
    IndeterminateDatatype,
    InvalidTextRepresentation,
    InvalidBinaryRepresentation,
    InvalidDatetimeFormat,
    DatetimeFieldOverflow,
    IntervalFieldOverflow,
    SequenceLimitExceeded,
    GeneratedAlways,
    NumericValueOutOfRange,
    DivisionByZero,
    NullValueNotAllowed,
    SubstringError,
    ArraySubscriptError,
    InvalidArgumentForLogarithm,
    InvalidArgumentForPower,
    InvalidArgumentForWidthBucket,
    InvalidRegularExpression,
    InvalidEscapeSequence,
    InvalidUseOfEscapeCharacter,
    StringDataRightTruncation,
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
    TransactionResolutionUnknown,
    InFailedTransaction,
    ActiveTransaction,
    NoActiveTransaction,
    QueryCanceled,
    AdminShutdown,
    CannotConnectNow,
    TooManyConnections,
    ProgramLimitExceeded,
    StatementTooComplex,
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
    /// An error with a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> SqlError {
        SqlError {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
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
        other => SqlError::new(ErrorKind::InternalError, other.to_string()),
    }
}

/// What went wrong in DataFusion, as PostgreSQL would say it.
pub(crate) fn from_datafusion(error: DataFusionError) -> SqlError {
    if let Some(failure) = StoreFailure::inside(&error) {
        return SqlError::new(ErrorKind::IoError, failure.to_string());
    }
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => match inner.downcast_ref::<StorageError>() {
                Some(StorageError::Evicted) => {
                    SqlError::new(ErrorKind::SerializationFailure, inner.to_string())
                }
                Some(_) => SqlError::new(ErrorKind::IoError, inner.to_string()),
                None => SqlError::new(ErrorKind::InternalError, inner.to_string()),
            },
        },
        DataFusionError::ArrowError(error, _) => from_arrow(error),
        DataFusionError::SchemaError(error, _) => match &**error {
            SchemaError::FieldNotFound { field, .. } => {
                let name = match &field.relation {
                    Some(relation) => {
                        format!("column {}.{} does not exist", relation.table(), field.name)
                    }
                    None => format!("column \"{}\" does not exist", field.name),
                };
                SqlError::new(ErrorKind::UndefinedColumn, name)
            }
            SchemaError::AmbiguousReference { field } => SqlError::new(
                ErrorKind::AmbiguousColumn,
                format!("column reference \"{}\" is ambiguous", field.name),
            ),
            other => SqlError::new(ErrorKind::SyntaxError, other.to_string()),
        },
        DataFusionError::NotImplemented(what) => {
            SqlError::new(ErrorKind::FeatureNotSupported, what.clone())
        }
        DataFusionError::ResourcesExhausted(what) => {
            SqlError::new(ErrorKind::ProgramLimitExceeded, what.clone())
        }
        DataFusionError::ObjectStore(error) => SqlError::new(ErrorKind::IoError, error.to_string()),
        DataFusionError::ParquetError(error) => {
            SqlError::new(ErrorKind::IoError, error.to_string())
        }
        DataFusionError::IoError(error) => SqlError::new(ErrorKind::IoError, error.to_string()),
        DataFusionError::Plan(what) | DataFusionError::Execution(what) => from_message(what),
        other => SqlError::new(ErrorKind::InternalError, other.strip_backtrace()),
    }
}

/// DataFusion's planner tells many errors apart by their text only.
fn from_message(what: &str) -> SqlError {
    let what = what.split("\n\nbacktrace").next().unwrap_or(what).trim();
    let kind = if what.contains("Invalid function") {
        let name = what.split('\'').nth(1).unwrap_or("?");
        let message = format!("function {name} does not exist");
        return SqlError::new(ErrorKind::UndefinedFunction, message);
    } else if what.contains("single row") || what.contains("more than one row") {
        let message = "more than one row returned by a subquery used as an expression";
        return SqlError::new(ErrorKind::CardinalityViolation, message);
    } else if what.contains("GROUP BY") || what.contains("must appear in") {
        // `… column "e.t.name" must appear in the GROUP BY clause or …`
        let column = what
            .split_once("column \"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(column, _)| column.rsplitn(3, '.').take(2).collect::<Vec<_>>());
        let Some(mut parts) = column else {
            return SqlError::new(ErrorKind::GroupingError, what);
        };
        parts.reverse();
        let message = format!(
            "column \"{}\" must appear in the GROUP BY clause or be used in an aggregate function",
            parts.join(".")
        );
        return SqlError::new(ErrorKind::GroupingError, message);
    } else if what.contains("ivide by zero") {
        return SqlError::new(ErrorKind::DivisionByZero, "division by zero");
    } else if what.contains("coerc")
        || what.contains("signature")
        || what.contains("Cannot infer common argument type")
    {
        ErrorKind::DatatypeMismatch
    } else {
        ErrorKind::SyntaxError
    };
    SqlError::new(kind, what)
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
        SqlError::new(kind, error.to_string())
    }
}

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
        .detail(format!("{} is duplicated.", shown_key(table, columns, key)))
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
            shown_key(table, columns, key)
        ))
        .of_constraint(table, name)
}

/// `Key (a, b)=(1, 2)`.
pub(crate) fn shown_key(table: &TableDef, columns: &[ColumnId], key: &[Datum]) -> String {
    let names = columns.iter().filter_map(|id| table.index_of(*id));
    let names: Vec<&str> = names.map(|at| table.columns[at].name.as_str()).collect();
    let mut values = String::new();
    for (n, value) in key.iter().enumerate() {
        if n > 0 {
            values.push_str(", ");
        }
        let column = columns.get(n).and_then(|id| table.index_of(*id));
        let ty = column.map_or(ColumnType::Text, |at| table.columns[at].ty);
        crate::text::write(value.as_ref(), ty, Style::default(), &mut values);
    }
    format!("Key ({})=({values})", names.join(", "))
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    format!("{text}.")
}
