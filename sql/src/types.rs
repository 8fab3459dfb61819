//! Types as SQL names them: from a statement's type to a column's, and back to PostgreSQL's spelling.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, IntervalFields, ObjectName,
    TimezoneInfo,
};
use tidelog_storage::datum::{NUMERIC_PRECISION_MAX, SECOND_DIGITS};
use tidelog_storage::{
    ColumnType, ElementType, IntervalField, IntervalModifier, PrintedType, RegType,
};

use crate::error::{ErrorKind, SqlError};
use crate::precision::unlimited;

/// PostgreSQL's limit of a `varchar`'s length.
const VARCHAR_LENGTH_MAX: u64 = 10_485_760;

/// PostgreSQL's limit of the length of `bit` and `varbit`.
const BITS_MAX: u32 = 83_886_080;

pub use crate::system::type_facts;

/// Finds the types that users made, by schema and name.
pub(crate) type UserTypes<'a> = &'a dyn Fn(Option<&str>, &str) -> Option<ColumnType>;

/// The column type that a type in a statement names.
///
/// A type that PostgreSQL has and we do not is FeatureNotSupported; an unknown name is UndefinedObject.
pub fn column_type(ty: &DataType) -> Result<ColumnType, SqlError> {
    column_type_among(ty, &|_, _| None)
}

/// The same, where the types that users made count, too.
pub(crate) fn column_type_among(
    ty: &DataType,
    user_types: UserTypes<'_>,
) -> Result<ColumnType, SqlError> {
    Ok(match ty {
        DataType::SmallInt(None) | DataType::Int2(None) => ColumnType::Int2,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => ColumnType::Int4,
        DataType::BigInt(None) | DataType::Int8(None) => ColumnType::Int8,
        DataType::Real | DataType::Float4 => ColumnType::Float4,
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(ExactNumberInfo::None) => {
            ColumnType::Float8
        }
        DataType::Float(ExactNumberInfo::Precision(bits)) => float(*bits)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Text => ColumnType::Text,
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => varchar(length.as_ref())?,
        DataType::Bool | DataType::Boolean => ColumnType::Bool,
        DataType::Bytea => ColumnType::Bytea,
        DataType::Uuid => ColumnType::Uuid,
        DataType::Date => ColumnType::Date,
        DataType::Timestamp(precision, zone) => match zone {
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
                ColumnType::Timestamp(digits(*precision))
            }
            TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => {
                ColumnType::TimestampTz(digits(*precision))
            }
        },
        DataType::Time(precision, zone) => match zone {
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
                ColumnType::Time(digits(*precision))
            }
            TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => ColumnType::TimeTz(digits(*precision)),
        },
        DataType::Interval { fields, precision } => interval(fields.as_ref(), *precision)?,
        DataType::Char(length) | DataType::Character(length) => bpchar(length.as_ref())?,
        DataType::Bit(length) => {
            ColumnType::Bit(Some(bits("bit", length.or(Some(1)))?.unwrap_or(1)))
        }
        DataType::BitVarying(length) | DataType::VarBit(length) => {
            ColumnType::Varbit(bits("varbit", *length)?)
        }
        DataType::JSON => ColumnType::Json,
        DataType::JSONB => ColumnType::Jsonb,
        // PostgreSQL knows arrays of one number of dimensions and size from no others.
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
            match column_type_among(element, user_types)? {
                // Who writes several has arrays of several.
                ColumnType::Array(element) => ColumnType::Shaped(element),
                element => element.array().unwrap_or(element),
            }
        }
        DataType::GeometricType(kind) => {
            let name = kind.to_string();
            match PrintedType::named(&name) {
                Some(of) => ColumnType::Printed(of),
                None => return Err(unsupported(&name)),
            }
        }
        DataType::Custom(name, modifiers) => custom(name, modifiers, user_types)?,
        other => return Err(unsupported(&other.to_string().to_lowercase())),
    })
}

/// The type that PostgreSQL has under this oid, without a modifier; `None` when it is none of a column.
pub fn built_in(oid: u32) -> Option<ColumnType> {
    use ElementType::*;
    let elements = [
        Int2,
        Int4,
        Int8,
        Float4,
        Float8,
        Numeric(None),
        Text,
        Varchar(None),
        Bpchar(None),
        Name,
        Char,
        Oid,
        Regproc,
        Bit(None),
        Varbit(None),
        Bool,
        Bytea,
        Uuid,
        Date,
        Time(None),
        TimeTz(None),
        Timestamp(None),
        TimestampTz(None),
        Interval(None),
        Json,
        Jsonb,
    ];
    let types = elements
        .into_iter()
        .chain(PrintedType::ALL.map(Printed))
        .flat_map(|element| [ColumnType::from(element), ColumnType::Array(element)]);
    types
        .into_iter()
        .find(|ty| type_facts(*ty).0 == i64::from(oid))
}

/// The type's name in pg_type.
pub fn internal_name(ty: ColumnType) -> String {
    let name = match ty {
        ColumnType::Int2 => "int2",
        ColumnType::Int4 => "int4",
        ColumnType::Int8 => "int8",
        ColumnType::Float4 => "float4",
        ColumnType::Float8 => "float8",
        ColumnType::Numeric(_) => "numeric",
        ColumnType::Text => "text",
        ColumnType::Varchar(_) => "varchar",
        ColumnType::Bool => "bool",
        ColumnType::Bytea => "bytea",
        ColumnType::Uuid => "uuid",
        ColumnType::Date => "date",
        ColumnType::Timestamp(_) => "timestamp",
        ColumnType::TimestampTz(_) => "timestamptz",
        ColumnType::Jsonb => "jsonb",
        ColumnType::Bpchar(_) => "bpchar",
        ColumnType::Name => "name",
        ColumnType::Char => "char",
        ColumnType::Oid => "oid",
        ColumnType::Regproc => "regproc",
        ColumnType::Reg(of) => of.name(),
        ColumnType::Bit(_) => "bit",
        ColumnType::Varbit(_) => "varbit",
        ColumnType::Time(_) => "time",
        ColumnType::TimeTz(_) => "timetz",
        ColumnType::Interval(_) => "interval",
        ColumnType::Json => "json",
        ColumnType::Printed(of) => of.name(),
        ColumnType::Enum(of) => &of.definition().name,
        ColumnType::Array(element) | ColumnType::Shaped(element) => {
            return format!("_{}", internal_name(element.into()));
        }
    };
    name.to_string()
}

/// The type's name as PostgreSQL's `format_type` gives it.
pub fn name(ty: ColumnType) -> String {
    let name = match ty {
        ColumnType::Int2 => "smallint",
        ColumnType::Int4 => "integer",
        ColumnType::Int8 => "bigint",
        ColumnType::Float4 => "real",
        ColumnType::Float8 => "double precision",
        ColumnType::Numeric(None) => "numeric",
        ColumnType::Numeric(Some((precision, scale))) => {
            return format!("numeric({precision},{scale})");
        }
        ColumnType::Text => "text",
        ColumnType::Varchar(None) => "character varying",
        ColumnType::Varchar(Some(length)) => return format!("character varying({length})"),
        ColumnType::Bool => "boolean",
        ColumnType::Bytea => "bytea",
        ColumnType::Uuid => "uuid",
        ColumnType::Date => "date",
        ColumnType::Timestamp(digits) => return clock("timestamp", digits, "without"),
        ColumnType::TimestampTz(digits) => return clock("timestamp", digits, "with"),
        ColumnType::Jsonb => "jsonb",
        ColumnType::Bpchar(Some(length)) => return format!("character({length})"),
        ColumnType::Bpchar(None) => "character",
        ColumnType::Name => "name",
        ColumnType::Char => "\"char\"",
        ColumnType::Oid => "oid",
        ColumnType::Regproc => "regproc",
        ColumnType::Reg(of) => of.name(),
        ColumnType::Bit(None) => "bit",
        ColumnType::Bit(Some(length)) => return format!("bit({length})"),
        ColumnType::Varbit(None) => "bit varying",
        ColumnType::Varbit(Some(length)) => return format!("bit varying({length})"),
        ColumnType::Time(digits) => return clock("time", digits, "without"),
        ColumnType::TimeTz(digits) => return clock("time", digits, "with"),
        ColumnType::Interval(None) => "interval",
        ColumnType::Interval(Some(kept)) => return format!("interval{}", kept.written()),
        ColumnType::Json => "json",
        ColumnType::Printed(of) => of.name(),
        ColumnType::Enum(of) => return crate::parse::identifier(&of.definition().name),
        ColumnType::Array(element) | ColumnType::Shaped(element) => {
            return format!("{}[]", self::name(element.into()));
        }
    };
    name.to_string()
}

/// The type's name without its modifier, as PostgreSQL's errors give it.
pub fn bare_name(ty: ColumnType) -> String {
    let bare = |ty| match unlimited(ty) {
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        ty => ty,
    };
    match ty {
        ColumnType::Array(element) | ColumnType::Shaped(element) => {
            format!("{}[]", bare_name(element.into()))
        }
        ty => name(bare(ty)),
    }
}

/// `timestamp(3) without time zone`
fn clock(name: &str, digits: Option<u8>, zone: &str) -> String {
    let digits = digits.map_or(String::new(), |digits| format!("({digits})"));
    format!("{name}{digits} {zone} time zone")
}

fn unsupported(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::FeatureNotSupported,
        format!("type \"{name}\" is not supported"),
    )
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

fn float(bits: u64) -> Result<ColumnType, SqlError> {
    match bits {
        0 => Err(invalid("precision for type float must be at least 1 bit")),
        1..=24 => Ok(ColumnType::Float4),
        25..=53 => Ok(ColumnType::Float8),
        _ => Err(invalid(
            "precision for type float must be less than 54 bits",
        )),
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<ColumnType, SqlError> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => return Ok(ColumnType::Numeric(None)),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(invalid(format!(
            "NUMERIC precision {precision} must be between 1 and 1000"
        )));
    }
    if !(-1000..=1000).contains(&scale) {
        return Err(invalid(format!(
            "NUMERIC scale {scale} must be between -1000 and 1000"
        )));
    }
    match (u8::try_from(precision), i8::try_from(scale)) {
        // Arrow's decimals have no scale beyond their precision, and negative ones are of no use to us.
        (Ok(p), Ok(s)) if p <= NUMERIC_PRECISION_MAX && s >= 0 && scale <= i64::from(p) => {
            Ok(ColumnType::Numeric(Some((p, s))))
        }
        _ => Err(unsupported(&format!("numeric({precision},{scale})")).hint(format!(
            "The precision of a numeric is at most {NUMERIC_PRECISION_MAX}, its scale between 0 and its precision."
        ))),
    }
}

fn varchar(length: Option<&CharacterLength>) -> Result<ColumnType, SqlError> {
    match length {
        None => Ok(ColumnType::Varchar(None)),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(invalid("length for type varchar must be at least 1"))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => match u32::try_from(*length) {
            Ok(n) if *length <= VARCHAR_LENGTH_MAX => Ok(ColumnType::Varchar(Some(n))),
            _ => Err(invalid(format!(
                "length for type varchar cannot exceed {VARCHAR_LENGTH_MAX}"
            ))),
        },
        Some(CharacterLength::Max) => Err(unsupported("varchar(max)")),
    }
}

/// The length of a type of bits.
fn bits(name: &str, length: Option<u64>) -> Result<Option<u32>, SqlError> {
    match length.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(0)) => Err(invalid(format!(
            "length for type {name} must be at least 1"
        ))),
        Some(Ok(length)) if length <= BITS_MAX => Ok(Some(length)),
        Some(_) => Err(invalid(format!(
            "length for type {name} cannot exceed {BITS_MAX}"
        ))),
    }
}

/// The digits of a second that a type keeps; more than there are is all of them.
fn digits(precision: Option<u64>) -> Option<u8> {
    precision.map(|digits| u8::try_from(digits).map_or(SECOND_DIGITS, |n| n.min(SECOND_DIGITS)))
}

fn interval(
    fields: Option<&IntervalFields>,
    precision: Option<u64>,
) -> Result<ColumnType, SqlError> {
    use IntervalField::{Day, Hour, Minute, Month, Second, Year};
    let fields = fields.map(|fields| match fields {
        IntervalFields::Year => (Year, Year),
        IntervalFields::Month => (Month, Month),
        IntervalFields::Day => (Day, Day),
        IntervalFields::Hour => (Hour, Hour),
        IntervalFields::Minute => (Minute, Minute),
        IntervalFields::Second => (Second, Second),
        IntervalFields::YearToMonth => (Year, Month),
        IntervalFields::DayToHour => (Day, Hour),
        IntervalFields::DayToMinute => (Day, Minute),
        IntervalFields::DayToSecond => (Day, Second),
        IntervalFields::HourToMinute => (Hour, Minute),
        IntervalFields::HourToSecond => (Hour, Second),
        IntervalFields::MinuteToSecond => (Minute, Second),
    });
    if precision.is_some() && fields.is_some_and(|(_, last)| last != Second) {
        let message = "syntax error at or near \"(\"";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    Ok(ColumnType::Interval(IntervalModifier::new(
        fields,
        digits(precision),
    )))
}

fn bpchar(length: Option<&CharacterLength>) -> Result<ColumnType, SqlError> {
    match length {
        None => Ok(ColumnType::Bpchar(Some(1))),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(invalid("length for type character must be at least 1"))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => match u32::try_from(*length) {
            Ok(n) if *length <= VARCHAR_LENGTH_MAX => Ok(ColumnType::Bpchar(Some(n))),
            _ => Err(invalid(format!(
                "length for type character cannot exceed {VARCHAR_LENGTH_MAX}"
            ))),
        },
        Some(CharacterLength::Max) => Err(unsupported("char(max)")),
    }
}

/// Types that PostgreSQL has and that reach us as plain names.
const KNOWN_UNSUPPORTED: &[&str] = &[
    "serial",
    "serial2",
    "serial4",
    "serial8",
    "bigserial",
    "smallserial",
    "money",
    "macaddr8",
    "xml",
    "line",
    "lseg",
    "polygon",
    "circle",
    "xid",
    "cid",
    "tsvector",
    "tsquery",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "void",
    "record",
    "citext",
    "hstore",
    "regcollation",
    "regconfig",
    "regdictionary",
];

fn custom(
    written: &ObjectName,
    modifiers: &[String],
    user_types: UserTypes<'_>,
) -> Result<ColumnType, SqlError> {
    let parts: Vec<_> = written
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .collect();
    let Some((last, schema)) = parts.split_last() else {
        return Err(unsupported(&written.to_string().to_lowercase()));
    };
    let schema = schema.last().map(|schema| crate::ddl::fold(schema));
    let folded = crate::ddl::fold(last);
    let name = folded.as_str();
    // Before the names of all others, which PostgreSQL looks for in the path's order, pg_catalog first.
    if name == "char" && last.quote_style.is_some() {
        return Ok(ColumnType::Char);
    }
    let missing = || {
        let shown = match &schema {
            Some(schema) => format!("{schema}.{name}"),
            None => name.to_string(),
        };
        SqlError::new(
            ErrorKind::UndefinedObject,
            format!("type \"{shown}\" does not exist"),
        )
    };
    if schema
        .as_deref()
        .is_some_and(|schema| schema != "pg_catalog")
    {
        let of = PrintedType::named(name).filter(|of| of.is_of_extension());
        let extension = of.filter(|_| schema.as_deref() == Some("public"));
        let own = user_types(schema.as_deref(), name);
        return (own.or(extension.map(ColumnType::Printed))).ok_or_else(missing);
    }
    let number = |index: usize| {
        modifiers
            .get(index)
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    if let (Some(of), true) = (PrintedType::named(name), modifiers.is_empty()) {
        return Ok(ColumnType::Printed(of));
    }
    match (name, modifiers.len()) {
        ("int2" | "smallint", 0) => Ok(ColumnType::Int2),
        ("int4" | "int" | "integer", 0) => Ok(ColumnType::Int4),
        ("int8" | "bigint", 0) => Ok(ColumnType::Int8),
        ("float4" | "real", 0) => Ok(ColumnType::Float4),
        ("float8", 0) => Ok(ColumnType::Float8),
        ("numeric" | "decimal", 0) => Ok(ColumnType::Numeric(None)),
        ("numeric" | "decimal", 1 | 2) => match (number(0), number(1)) {
            (Some(precision), None) if modifiers.len() == 1 => {
                numeric(&ExactNumberInfo::Precision(precision))
            }
            (Some(precision), Some(scale)) => numeric(&ExactNumberInfo::PrecisionAndScale(
                precision,
                i64::try_from(scale).unwrap_or(i64::MAX),
            )),
            _ => Err(invalid("invalid NUMERIC type modifier")),
        },
        ("text", 0) => Ok(ColumnType::Text),
        ("varchar", 0) => Ok(ColumnType::Varchar(None)),
        ("varchar", 1) => match number(0) {
            Some(length) => varchar(Some(&CharacterLength::IntegerLength { length, unit: None })),
            None => Err(invalid("invalid type modifier")),
        },
        ("bool" | "boolean", 0) => Ok(ColumnType::Bool),
        ("bytea", 0) => Ok(ColumnType::Bytea),
        ("uuid", 0) => Ok(ColumnType::Uuid),
        ("date", 0) => Ok(ColumnType::Date),
        ("timestamp" | "timestamptz" | "time" | "timetz" | "interval", 0 | 1) => {
            let precision = match modifiers {
                [] => None,
                _ => digits(Some(
                    number(0).ok_or_else(|| invalid("invalid type modifier"))?,
                )),
            };
            Ok(match name {
                "timestamp" => ColumnType::Timestamp(precision),
                "timestamptz" => ColumnType::TimestampTz(precision),
                "time" => ColumnType::Time(precision),
                "timetz" => ColumnType::TimeTz(precision),
                _ => ColumnType::Interval(IntervalModifier::new(None, precision)),
            })
        }
        ("jsonb", 0) => Ok(ColumnType::Jsonb),
        ("json", 0) => Ok(ColumnType::Json),
        ("name", 0) => Ok(ColumnType::Name),
        ("oid", 0) => Ok(ColumnType::Oid),
        ("regproc", 0) => Ok(ColumnType::Regproc),
        // Who writes `"bit"` or `pg_catalog.bit` has one of any length.
        ("bit", 0) => Ok(ColumnType::Bit(None)),
        ("varbit", 0) => Ok(ColumnType::Varbit(None)),
        ("bit" | "varbit", 1) => {
            let length = number(0).ok_or_else(|| invalid("invalid type modifier"))?;
            let length = bits(name, Some(length))?;
            Ok(match name {
                "bit" => ColumnType::Bit(length),
                _ => ColumnType::Varbit(length),
            })
        }
        ("bpchar", 0) => Ok(ColumnType::Bpchar(None)),
        ("bpchar" | "char" | "character", 1) => match number(0) {
            Some(length) => bpchar(Some(&CharacterLength::IntegerLength { length, unit: None })),
            None => Err(invalid("invalid type modifier")),
        },
        ("char" | "character", 0) => Ok(ColumnType::Bpchar(Some(1))),
        ("timestamp" | "timestamptz" | "time" | "timetz" | "interval", _) => {
            Err(invalid("invalid type modifier"))
        }
        // The names that PostgreSQL gives to array types.
        (array, 0) if array.starts_with('_') => {
            let element = ObjectName::from(vec![crate::parse::quoted(&array[1..])]);
            let element = custom(&element, &[], user_types)?;
            element.array().ok_or_else(missing)
        }
        (_, 1..) if custom(written, &[], user_types).is_ok() => Err(SqlError::new(
            ErrorKind::SyntaxError,
            format!("type modifier is not allowed for type \"{name}\""),
        )),
        _ if KNOWN_UNSUPPORTED.contains(&name) || RegType::named(name).is_some() => {
            Err(unsupported(name))
        }
        _ => user_types(None, name).ok_or_else(missing),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn check(sql: &str, expected: &str) {
        let ty = Parser::new(&PostgreSqlDialect {})
            .try_with_sql(sql)
            .unwrap()
            .parse_data_type()
            .unwrap();
        let actual = match column_type(&ty) {
            Ok(ty) => name(ty),
            Err(error) => format!("{:?}: {}", error.kind, error.message),
        };
        assert_eq!(actual, expected, "{sql}");
    }

    #[test]
    fn types() {
        for (sql, expected) in [
            ("int2", "smallint"),
            ("smallint", "smallint"),
            ("int", "integer"),
            ("INTEGER", "integer"),
            ("int4", "integer"),
            ("int8", "bigint"),
            ("bigint", "bigint"),
            ("real", "real"),
            ("float4", "real"),
            ("float", "double precision"),
            ("float(10)", "real"),
            ("float(30)", "double precision"),
            ("double precision", "double precision"),
            ("numeric", "numeric"),
            ("numeric(10)", "numeric(10,0)"),
            ("decimal(10, 2)", "numeric(10,2)"),
            (
                "numeric(0)",
                "InvalidParameterValue: NUMERIC precision 0 must be between 1 and 1000",
            ),
            (
                "numeric(100,2)",
                "FeatureNotSupported: type \"numeric(100,2)\" is not supported",
            ),
            ("varchar", "character varying"),
            ("varchar(7)", "character varying(7)"),
            ("character varying(7)", "character varying(7)"),
            (
                "varchar(0)",
                "InvalidParameterValue: length for type varchar must be at least 1",
            ),
            ("text", "text"),
            ("bool", "boolean"),
            ("bytea", "bytea"),
            ("uuid", "uuid"),
            ("date", "date"),
            ("timestamp", "timestamp without time zone"),
            ("timestamp(6)", "timestamp(6) without time zone"),
            ("timestamp(9)", "timestamp(6) without time zone"),
            ("timestamp(3)[]", "timestamp(3) without time zone[]"),
            ("pg_catalog.timestamptz(2)", "timestamp(2) with time zone"),
            ("time(0) with time zone", "time(0) with time zone"),
            ("timestamptz", "timestamp with time zone"),
            ("timestamp with time zone", "timestamp with time zone"),
            ("bit", "bit(1)"),
            ("bit(3)", "bit(3)"),
            ("bit varying(9)", "bit varying(9)"),
            ("varbit", "bit varying"),
            (
                "bit(0)",
                "InvalidParameterValue: length for type bit must be at least 1",
            ),
            ("regproc", "regproc"),
            ("jsonb", "jsonb"),
            ("json", "json"),
            ("int[]", "integer[]"),
            ("varchar(3)[][]", "character varying(3)[]"),
            ("_int4", "integer[]"),
            ("char(3)", "character(3)"),
            ("char", "character(1)"),
            ("\"char\"", "\"char\""),
            ("bpchar", "character"),
            ("time", "time without time zone"),
            ("timetz", "time with time zone"),
            ("interval", "interval"),
            ("pg_catalog.int4", "integer"),
            ("pg_catalog.oid", "oid"),
            ("x.y", "UndefinedObject: type \"x.y\" does not exist"),
            (
                "serial",
                "FeatureNotSupported: type \"serial\" is not supported",
            ),
            ("Wibble", "UndefinedObject: type \"wibble\" does not exist"),
        ] {
            check(sql, expected);
        }
    }
}
