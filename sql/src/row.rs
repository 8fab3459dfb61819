//! From the values that a statement gives to whole rows: targets, defaults, assignment casts, NOT NULL.

use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::{CastOptions, cast_with_options};
use datafusion::sql::sqlparser::ast::{Expr, Value};
use tidelog_storage::catalog::UniqueKey;
use tidelog_storage::computed::Keyed;
use tidelog_storage::datum::NUMERIC_PRECISION_MAX;
use tidelog_storage::transaction::{row_identity, unique_identity};
use tidelog_storage::{
    ColumnType, Datum, DatumRef, Partition, PartitionSet, Row, RowVersion, SequenceDef, Store,
    TableDef, datum,
};

use crate::error::{ErrorKind, SqlError};
use crate::locks::{LockMode, RowKey};
use crate::output::{self, OutputColumn};
use crate::precision;
use crate::provider::{Access, USER};
use crate::text::{self, Style};
use crate::{casts, functions, types};

/// One change that a statement makes: without `old` an insert, without `new` a delete.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) partition: Partition,
    pub(crate) old: Option<RowVersion>,
    pub(crate) new: Option<Row>,
}

impl Write {
    /// An insert.
    pub(crate) fn insert((partition, row): (Partition, Row)) -> Write {
        Write {
            partition,
            old: None,
            new: Some(row),
        }
    }

    /// The unique keys whose values the change brings into the table, with these.
    pub(crate) fn new_keys<'t>(&self, table: &'t TableDef) -> Vec<(UniqueKey<'t>, Vec<Datum>)> {
        let old = self.old.as_ref().map(|old| &old.row);
        changed_keys(table, &self.partition, self.new.as_ref(), old)
    }

    /// The unique keys whose values it takes out.
    fn old_keys<'t>(&self, table: &'t TableDef) -> Vec<(UniqueKey<'t>, Vec<Datum>)> {
        let old = self.old.as_ref().map(|old| &old.row);
        changed_keys(table, &self.partition, old, self.new.as_ref())
    }

    /// The locks that the change needs.
    pub(crate) fn locks(&self, table: &TableDef) -> Vec<(RowKey, LockMode)> {
        let mut locks = Vec::with_capacity(2);
        let (old_keys, new_keys) = (self.old_keys(table), self.new_keys(table));
        if let Some(old) = &self.old
            // What the transaction itself made nobody else sees; with a key it is locked already.
            && (old.seq.as_pending().is_none() || !table.primary_key.is_empty())
        {
            let mode = if self.new.is_some() && old_keys.is_empty() && new_keys.is_empty() {
                LockMode::NoKeyUpdate
            } else {
                LockMode::Update
            };
            locks.push((row_identity(table, &self.partition, old), mode));
        }
        for (key, values) in old_keys.into_iter().chain(new_keys) {
            let values = values.iter().map(Datum::as_ref);
            let identity = unique_identity(table, &self.partition, key, values);
            locks.extend(identity.map(|key| (key, LockMode::Update)));
        }
        locks
    }
}

/// The unique keys that a row is in, with other values than another row, if there is one.
fn changed_keys<'t>(
    table: &'t TableDef,
    partition: &Partition,
    row: Option<&Row>,
    other: Option<&Row>,
) -> Vec<(UniqueKey<'t>, Vec<Datum>)> {
    let Some(row) = row else {
        return Vec::new();
    };
    let row = Keyed::new(table, row);
    let other = other.map(|other| Keyed::new(table, other));
    let changed = |key: UniqueKey<'t>| {
        let values = row.values(key)?;
        if let Some(others) = other.as_ref().and_then(|other| other.values(key)) {
            // Values may be equal and yet not the same: a month is 30 days.
            let identity = |values: &[DatumRef<'_>]| {
                unique_identity(table, partition, key, values.iter().copied())
            };
            if values == others || identity(&values) == identity(&others) {
                return None;
            }
        }
        Some((key, values.into_iter().map(DatumRef::to_owned).collect()))
    };
    table.unique_keys().filter_map(changed).collect()
}

/// A column that a statement gives values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The table's column at this index.
    Column(usize),
    /// The `_user` pseudo-column.
    User,
}

/// What fills a column that a statement leaves out.
#[derive(Clone, Debug)]
pub(crate) enum Default {
    Value(Datum),
    Now,
    SnowflakeId,
    Sequence(Arc<SequenceDef>),
    Expression(Box<Expr>),
}

/// Makes whole rows of a table from the values that a statement gives.
#[derive(Clone)]
pub(crate) struct RowMaker {
    pub(crate) table: Arc<TableDef>,
    pub(crate) targets: Vec<Target>,
    pub(crate) defaults: Arc<[Default]>,
    pub(crate) own_partition: Partition,
    pub(crate) now_us: i64,
    pub(crate) sequences: functions::sequence::Source,
    pub(crate) store: Arc<Store>,
    /// How text is read.
    pub(crate) style: Style,
}

impl Target {
    pub(crate) fn name(self, table: &TableDef) -> &str {
        match self {
            Target::Column(index) => &table.columns[index].name,
            Target::User => USER,
        }
    }

    pub(crate) fn ty(self, table: &TableDef) -> ColumnType {
        match self {
            Target::Column(index) => table.columns[index].ty,
            Target::User => ColumnType::Text,
        }
    }
}

/// The columns that a list names; all of the table's when it is empty.
pub(crate) fn targets(
    table: &TableDef,
    names: &[String],
    access: &Access,
) -> Result<Vec<Target>, SqlError> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).map(Target::Column).collect());
    }
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        let target = match table.column_index(name) {
            Some(index) => Target::Column(index),
            None if name == USER && access.sees_user(table) => Target::User,
            None => {
                let message = format!(
                    "column \"{name}\" of relation \"{}\" does not exist",
                    table.name
                );
                return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
            }
        };
        if targets.contains(&target) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The partition that rows without a `_user` of their own go to.
pub(crate) fn own_partition(table: &TableDef, access: &Access) -> Partition {
    match access.partitions(table) {
        PartitionSet::One(partition) => partition,
        PartitionSet::All => access.own_partition(),
    }
}

impl RowMaker {
    /// Turns the values of the targets into a whole row and its partition; `expressions` holds the values of
    /// defaults that need the engine, by column.
    pub(crate) fn row(
        &self,
        values: Vec<Datum>,
        expressions: &[(usize, Datum)],
    ) -> Result<(Partition, Row), SqlError> {
        let (partition, row) = self.unchecked(values, expressions)?;
        check_given(&self.table, &row)?;
        Ok((partition, row))
    }

    /// The same, of which NULLs are not checked.
    pub(crate) fn unchecked(
        &self,
        values: Vec<Datum>,
        expressions: &[(usize, Datum)],
    ) -> Result<(Partition, Row), SqlError> {
        let mut row: Vec<Option<Datum>> = vec![None; self.table.columns.len()];
        let mut partition = self.own_partition.clone();
        for (target, value) in self.targets.iter().zip(values) {
            match (target, value) {
                (Target::Column(index), value) => row[*index] = Some(value),
                (Target::User, Datum::Text(user)) => partition = Partition::user(&user),
                (Target::User, _) => {
                    let message = format!(
                        "null value in column \"{USER}\" of relation \"{}\"",
                        self.table.name
                    );
                    return Err(SqlError::new(ErrorKind::NotNullViolation, message));
                }
            }
        }
        let fill = |(index, value): (usize, Option<Datum>)| match value {
            Some(value) => Ok(value),
            None => Ok(match &self.defaults[index] {
                Default::Sequence(sequence) => {
                    let value = self.sequences.drawn.draw(&self.store, sequence)?;
                    let ty = self.table.columns[index].ty;
                    let name = &self.table.columns[index].name;
                    assign(Datum::Int8(value), ColumnType::Int8, ty, name, self.style)?
                }
                Default::Value(value) => value.clone(),
                Default::Now => self.now_as(self.table.columns[index].ty)?,
                Default::SnowflakeId => Datum::Int8(self.store.draw_ids(1).as_i64()),
                Default::Expression(_) => expressions
                    .iter()
                    .find(|(column, _)| *column == index)
                    .map_or(Datum::Null, |(_, value)| value.clone()),
            }),
        };
        let row: Result<Row, SqlError> = row.into_iter().enumerate().map(fill).collect();
        Ok((partition, row?))
    }

    /// The moment of the transaction, for a column of a timestamp.
    fn now_as(&self, ty: ColumnType) -> Result<Datum, SqlError> {
        let now = Datum::TimestampTz(self.now_us);
        assign(now, ColumnType::TimestampTz(None), ty, "", self.style)
    }

    /// Defaults that need the engine, of columns that the statement leaves out.
    pub(crate) fn open_defaults(&self) -> Vec<(usize, Expr)> {
        let given = |index: &usize| self.targets.contains(&Target::Column(*index));
        let open = |(index, default): (usize, &Default)| match default {
            Default::Expression(expr) if !given(&index) => Some((index, (**expr).clone())),
            _ => None,
        };
        self.defaults.iter().enumerate().filter_map(open).collect()
    }
}

/// As `check_not_null`, of a row whose generated columns are still to come: with them, it is checked then.
pub(crate) fn check_given(table: &TableDef, row: &[Datum]) -> Result<(), SqlError> {
    match table.has_generated() {
        true => Ok(()),
        false => check_not_null(table, row),
    }
}

/// 23502 when a row has NULL where its table wants a value.
pub(crate) fn check_not_null(table: &TableDef, row: &[Datum]) -> Result<(), SqlError> {
    let keyed = |id| table.primary_key.contains(&id);
    let broken = table
        .columns
        .iter()
        .zip(row)
        .position(|(column, value)| (column.not_null || keyed(column.id)) && value.is_null());
    match broken {
        None => Ok(()),
        Some(at) => Err(null_violation(table, at, row)),
    }
}

/// 23502, for the column at this index.
pub(crate) fn null_violation(table: &TableDef, at: usize, row: &[Datum]) -> SqlError {
    let column = &table.columns[at];
    let message = format!(
        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
        column.name, table.name
    );
    let mut error = SqlError::new(ErrorKind::NotNullViolation, message)
        .detail(format!("Failing row contains ({}).", shown_row(table, row)));
    error.schema = Some(table.schema.clone());
    error.table = Some(table.name.clone());
    error.column = Some(column.name.clone());
    error
}

/// Of each value of a row that an error shows so much is shown.
const VALUE_BYTES_MAX: usize = 64;

/// A row's values as errors show them.
pub(crate) fn shown_row(table: &TableDef, row: &[Datum]) -> String {
    let mut shown = String::new();
    for (n, value) in row.iter().enumerate() {
        if n > 0 {
            shown.push_str(", ");
        }
        if value.is_null() {
            shown.push_str("null");
        }
        let ty = table
            .columns
            .get(n)
            .map_or(ColumnType::Text, |column| column.ty);
        let begin = shown.len();
        text::write(value.as_ref(), ty, Style::default(), &mut shown);
        let length = text::cut(&shown[begin..], VALUE_BYTES_MAX).len();
        if begin + length < shown.len() {
            shown.truncate(begin + length);
            shown.push_str("...");
        }
    }
    shown
}

/// An error that is about a column.
fn of_column(mut error: SqlError, column: &str) -> SqlError {
    if !column.is_empty() && error.kind == ErrorKind::OtherShape {
        error.column = Some(column.to_string());
    }
    error
}

/// Reads a column's value.
pub(crate) fn read(
    ty: ColumnType,
    text: &str,
    column: &str,
    style: Style,
) -> Result<Datum, SqlError> {
    text::parse_in(ty, text, style).map_err(|error| of_column(error, column))
}

/// A value of one type as one of another, as an assignment in INSERT or UPDATE converts it.
pub(crate) fn assign(
    value: Datum,
    from: ColumnType,
    to: ColumnType,
    column: &str,
    style: Style,
) -> Result<Datum, SqlError> {
    if let (Datum::Shaped(..), ColumnType::Array(_)) = (&value, to) {
        return Err(of_column(text::unshaped(), column));
    }
    let is_text = |ty| {
        use ColumnType::{Bpchar, Char, Name, Text, Varchar};
        matches!(ty, Text | Varchar(_) | Bpchar(_) | Name | Char)
    };
    // Their values may come from expressions, which know no lengths.
    let limited = matches!(
        to,
        ColumnType::Varchar(Some(_))
            | ColumnType::Bpchar(_)
            | ColumnType::Bit(Some(_))
            | ColumnType::Varbit(Some(_))
    );
    if value.is_null() || from == to && !limited && !precision::is_limited(to) {
        return Ok(value);
    }
    let plain = (precision::plain(from), precision::plain(to));
    if plain != (from, to) {
        return precision::kept(assign(value, plain.0, plain.1, column, style)?, to);
    }
    let via_text = |value: &Datum| {
        let mut shown = String::new();
        text::write(value.as_ref(), from, style, &mut shown);
        read(to, &shown, column, style)
    };
    // All types have casts to text, but "char" is none of these.
    if is_text(to) && (to != ColumnType::Char || is_text(from) && from != ColumnType::Name) {
        return match value {
            Datum::Bool(_) if to == ColumnType::Name => via_text(&value),
            Datum::Bool(value) => text::parse(to, if value { "true" } else { "false" }),
            // The spaces behind a char(n) are none of its value.
            Datum::Text(value) if matches!(from, ColumnType::Bpchar(_)) => {
                read(to, value.trim_end_matches(' '), column, style)
            }
            value => via_text(&value),
        };
    }
    let mismatch = || {
        let message = format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            types::bare_name(to),
            types::bare_name(from)
        );
        SqlError::new(ErrorKind::DatatypeMismatch, message)
            .hint("You will need to rewrite or cast the expression.")
    };
    let numeric = |ty| {
        use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
        matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_))
    };
    let json = |ty| matches!(ty, ColumnType::Json | ColumnType::Jsonb);
    match (from, to) {
        (from, to) if json(from) && json(to) => return via_text(&value),
        // Every element on its own.
        (from, to) if let (Some(from), Some(to)) = (from.elements(), to.elements()) => {
            let each = |elements: Vec<Datum>| {
                let elements = elements.into_iter();
                let element = |element| assign(element, from.into(), to.into(), column, style);
                let elements = elements.map(element).collect::<Result<Vec<_>, _>>();
                elements.map_err(|error| match error.kind {
                    ErrorKind::DatatypeMismatch => mismatch(),
                    _ => error,
                })
            };
            return match value {
                Datum::Array(elements) => each(elements).map(Datum::Array),
                Datum::Shaped(shape, elements) => {
                    each(elements).map(|elements| Datum::Shaped(shape, elements))
                }
                _ => Err(mismatch()),
            };
        }
        (from, to) if let Some(moved) = casts::of_clocks(&value, from, to, style) => return moved,
        (ColumnType::Reg(_), to) if !matches!(to, ColumnType::Reg(_)) => {
            let Datum::Text(shown) = &value else {
                return Err(mismatch());
            };
            let number = Datum::Int8(text::reg::oid(shown).into());
            return assign(number, ColumnType::Oid, to, column, style);
        }
        (_, ColumnType::Oid) => {
            return match value {
                // Their bits are the oid's.
                Datum::Int2(number) => Ok(oid(i32::from(number).cast_unsigned())),
                Datum::Int4(number) => Ok(oid(number.cast_unsigned())),
                Datum::Int8(number) => u32::try_from(number).map(oid).map_err(|_| {
                    SqlError::new(ErrorKind::NumericValueOutOfRange, "OID out of range")
                }),
                _ => Err(mismatch()),
            };
        }
        (from, ColumnType::Regproc) if numeric(from) => return via_text(&value),
        (ColumnType::Oid, ColumnType::Int8) => return Ok(value),
        (ColumnType::Oid, ColumnType::Int4) => {
            return match value {
                Datum::Int8(oid) => Ok(Datum::Int4((oid as u32).cast_signed())),
                _ => Err(mismatch()),
            };
        }
        (ColumnType::Oid, ColumnType::Regproc) => {
            return Ok(value);
        }
        (
            ColumnType::Bit(_) | ColumnType::Varbit(_),
            ColumnType::Bit(_) | ColumnType::Varbit(_),
        ) => return via_text(&value),
        (ColumnType::Enum(from), ColumnType::Enum(to))
            if from.definition().oid == to.definition().oid =>
        {
            return Ok(value);
        }
        _ => {}
    }
    if matches!(to, ColumnType::Numeric(_)) && numeric(from) {
        return match text::certain_digits(value.as_ref()) {
            Some(digits) => text::parse(to, &digits),
            None => via_text(&value),
        };
    }
    if !(numeric(from) && numeric(to)) {
        return Err(mismatch());
    }
    let mut builder = datum::ColumnBuilder::new(from);
    if let (Datum::Numeric(_) | Datum::Number(_), ColumnType::Numeric(_)) = (&value, from) {
        // Results of expressions have shapes of their own: go by way of text.
        let mut shown = String::new();
        text::write(value.as_ref(), from, style, &mut shown);
        return match to {
            ColumnType::Float4 | ColumnType::Float8 => text::parse(to, &shown),
            _ if shown == "NaN" || shown.ends_with("Infinity") => {
                let what = if shown == "NaN" { "NaN" } else { "infinity" };
                let message = format!("cannot convert {what} to {}", types::name(to));
                Err(SqlError::new(ErrorKind::FeatureNotSupported, message))
            }
            _ => integer_of(&shown, to),
        };
    }
    builder.append(value.as_ref());
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let array = match (from, to) {
        // Arrow cuts fractions off; PostgreSQL rounds them.
        (
            ColumnType::Float4 | ColumnType::Float8,
            ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8,
        ) => {
            let number = match value {
                Datum::Float4(number) => f64::from(number),
                Datum::Float8(number) => number,
                _ => return Err(mismatch()),
            };
            return integer_of_float(number, to);
        }
        (ColumnType::Float8, ColumnType::Float4) => {
            let array = casts::narrowed(&builder.finish(), from)?;
            return output::value(&array, 0).map(DatumRef::to_owned);
        }
        _ => builder.finish(),
    };
    let cast = cast_with_options(&array, &to.arrow(), &options).map_err(|_| {
        SqlError::new(
            ErrorKind::NumericValueOutOfRange,
            format!("{} out of range", types::name(to)),
        )
    })?;
    output::value(&cast, 0).map(DatumRef::to_owned)
}

/// A value of type oid.
fn oid(number: u32) -> Datum {
    Datum::Int8(number.into())
}

/// A float, half rounded to even, as an integer.
fn integer_of_float(number: f64, to: ColumnType) -> Result<Datum, SqlError> {
    let number = number.round_ties_even();
    // The largest int8 is no float8: the next one is 2^63.
    let bound = 2_f64.powi(63);
    #[allow(clippy::cast_possible_truncation)] // It is one of these.
    let whole = (-bound..bound).contains(&number).then_some(number as i64);
    let fitted = whole.and_then(|whole| match to {
        ColumnType::Int2 => i16::try_from(whole).ok().map(Datum::Int2),
        ColumnType::Int4 => i32::try_from(whole).ok().map(Datum::Int4),
        _ => Some(Datum::Int8(whole)),
    });
    fitted.ok_or_else(|| {
        let message = format!("{} out of range", types::name(to));
        SqlError::new(ErrorKind::NumericValueOutOfRange, message)
    })
}

/// A decimal number, half rounded away from zero, as an integer.
fn integer_of(decimal: &str, to: ColumnType) -> Result<Datum, SqlError> {
    let rounded = text::parse(
        ColumnType::Numeric(Some((NUMERIC_PRECISION_MAX, 0))),
        decimal,
    )?;
    let mut shown = String::new();
    text::write(rounded.as_ref(), to, Style::default(), &mut shown);
    text::parse(to, &shown).map_err(|_| {
        SqlError::new(
            ErrorKind::NumericValueOutOfRange,
            format!("{} out of range", types::name(to)),
        )
    })
}

/// A literal or parameter as a value of a column; `None` when it is any other expression.
pub(crate) fn constant(
    expr: &Expr,
    ty: ColumnType,
    types: &[ColumnType],
    values: &[Datum],
    column: &str,
    style: Style,
) -> Result<Option<Datum>, SqlError> {
    Ok(Some(match expr {
        Expr::Value(value) => match &value.value {
            Value::Null => Datum::Null,
            Value::SingleQuotedString(literal) | Value::EscapedStringLiteral(literal) => {
                read(ty, literal, column, style)?
            }
            Value::DollarQuotedString(literal) => read(ty, &literal.value, column, style)?,
            Value::Number(digits, _) if is_numeric(ty) => match text::parse(ty, digits) {
                Ok(value) => value,
                Err(_) => return Ok(None),
            },
            Value::Boolean(value) if ty == ColumnType::Bool => Datum::Bool(*value),
            Value::Placeholder(name) => {
                let index = placeholder(name)?;
                let (Some(value), Some(from)) = (values.get(index), types.get(index)) else {
                    return Err(no_parameter(index));
                };
                assign(value.clone(), *from, ty, column, style)?
            }
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

fn is_numeric(ty: ColumnType) -> bool {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_))
}

/// The index of `$1`, ….
pub(crate) fn placeholder(name: &str) -> Result<usize, SqlError> {
    let number = name
        .strip_prefix('$')
        .and_then(|digits| digits.parse::<usize>().ok());
    match number
        .and_then(|number| number.checked_sub(1))
        .filter(|index| *index < 65_535)
    {
        Some(index) => Ok(index),
        None => Err(SqlError::new(
            ErrorKind::UndefinedParameter,
            format!("there is no parameter {name}"),
        )),
    }
}

/// The error for a parameter that got no value.
pub(crate) fn no_parameter(index: usize) -> SqlError {
    let message = format!("there is no parameter ${}", index + 1);
    SqlError::new(ErrorKind::ProtocolViolation, message)
}

/// One value of a result as a value of a column.
pub(crate) fn cell(
    array: &dyn Array,
    row: usize,
    from: &OutputColumn,
    to: ColumnType,
    column: &str,
    style: Style,
) -> Result<Datum, SqlError> {
    let value = output::value(array, row)?.to_owned();
    assign(value, from.ty, to, column, style)
}

/// 42804 where no value of a type but NULL can be assigned to a column of another.
pub(crate) fn check_assignable(
    from: ColumnType,
    to: ColumnType,
    column: &str,
) -> Result<(), SqlError> {
    use ColumnType::{
        Bool, Bytea, Date, Float4, Float8, Int2, Int4, Int8, Text, Timestamp, TimestampTz, Uuid,
        Varchar,
    };
    let any = match from {
        Bool => Datum::Bool(false),
        Int2 => Datum::Int2(0),
        Int4 => Datum::Int4(0),
        Int8 => Datum::Int8(0),
        Float4 => Datum::Float4(0.0),
        Float8 => Datum::Float8(0.0),
        Text | Varchar(_) => Datum::Text(String::new()),
        Bytea => Datum::Bytea(Vec::new()),
        Date => Datum::Date(0),
        Timestamp(_) => Datum::Timestamp(0),
        TimestampTz(_) => Datum::TimestampTz(0),
        Uuid => Datum::Uuid([0; 16]),
        _ => return Ok(()),
    };
    match assign(any, from, to, column, Style::default()) {
        Err(error) if error.kind == ErrorKind::DatatypeMismatch => Err(error),
        _ => Ok(()),
    }
}

/// Types a parameter that nothing has typed yet.
pub(crate) fn infer(types: &mut Vec<Option<ColumnType>>, index: usize, ty: ColumnType) {
    if types.len() <= index {
        types.resize(index + 1, None);
    }
    types[index].get_or_insert(ty);
}

/// Types a bare parameter by the column that it is assigned to.
pub(crate) fn infer_placeholder(
    types: &mut Vec<Option<ColumnType>>,
    expr: &Expr,
    ty: ColumnType,
) -> Result<(), SqlError> {
    if let Expr::Value(value) = expr
        && let Value::Placeholder(name) = &value.value
    {
        infer(types, placeholder(name)?, ty);
    }
    Ok(())
}

/// Whether an expression is the bare word DEFAULT.
pub(crate) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}
