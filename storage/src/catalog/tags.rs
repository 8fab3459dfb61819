//! Column types as fields of Arrow schemas, which say in their metadata what Arrow's types leave open.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};

use crate::datum::{ColumnType, EnumType, IntervalModifier, PrintedType, RegType, elements_type};

/// Field metadata key that names the PostgreSQL type where the Arrow type leaves it open.
pub const PG_TYPE_KEY: &str = "pg_type";

/// Begins the tag of an array; that of its elements follows.
const ARRAY_TAG: &str = "array of ";

impl ColumnType {
    /// A field of this type, with the PostgreSQL type in its metadata where the Arrow type leaves it open.
    pub fn field(self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow(), nullable);
        match self.tag() {
            Some(tag) => field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_string(), tag)])),
            None => field,
        }
    }

    /// What [`PG_TYPE_KEY`] says of a field of this type; `None` when the Arrow type says it all.
    pub fn tag(self) -> Option<String> {
        Some(match self {
            ColumnType::Varchar(None) => "varchar".to_string(),
            ColumnType::Varchar(Some(n)) => format!("varchar({n})"),
            ColumnType::Bpchar(None) => "bpchar".to_string(),
            ColumnType::Bpchar(Some(n)) => format!("bpchar({n})"),
            ColumnType::Name => "name".to_string(),
            ColumnType::Char => "char".to_string(),
            ColumnType::Oid => "oid".to_string(),
            ColumnType::Regproc => "regproc".to_string(),
            ColumnType::Reg(of) => of.name().to_string(),
            ColumnType::Bit(None) => "bit".to_string(),
            ColumnType::Bit(Some(n)) => format!("bit({n})"),
            ColumnType::Varbit(None) => "varbit".to_string(),
            ColumnType::Varbit(Some(n)) => format!("varbit({n})"),
            ColumnType::Json => "json".to_string(),
            ColumnType::Jsonb => "jsonb".to_string(),
            ColumnType::Time(Some(digits)) => format!("time({digits})"),
            ColumnType::TimeTz(Some(digits)) => format!("timetz({digits})"),
            ColumnType::Timestamp(Some(digits)) => format!("timestamp({digits})"),
            ColumnType::TimestampTz(Some(digits)) => format!("timestamptz({digits})"),
            ColumnType::Interval(Some(kept)) => format!("interval({})", kept.typmod()),
            ColumnType::Printed(of) => of.name().to_string(),
            ColumnType::Enum(of) => {
                let json = serde_json::to_string(of.definition());
                format!("enum {}", json.expect("strings and numbers have a JSON"))
            }
            ColumnType::Array(element) | ColumnType::Shaped(element) => {
                format!("{ARRAY_TAG}{}", ColumnType::from(element).tag()?)
            }
            _ => return None,
        })
    }

    /// The type that a field's Arrow type and tag stand for; `None` when the tag is none that the Arrow type can have.
    pub fn from_tag(arrow: &DataType, tag: &str) -> Option<ColumnType> {
        let modifier = |name: &str| {
            let modifier = tag.strip_prefix(name)?.strip_prefix('(')?;
            modifier.strip_suffix(')')
        };
        let modified = |name: &str| modifier(name)?.parse().ok();
        let digits = |name: &str| Some(Some(modifier(name)?.parse().ok()?));
        match arrow {
            DataType::List(item) => {
                let element = ColumnType::from_tag(item.data_type(), tag.strip_prefix(ARRAY_TAG)?);
                element?.array()
            }
            DataType::Struct(_) => match ColumnType::from_tag(elements_type(arrow)?, tag)? {
                ColumnType::Array(element) => Some(ColumnType::Shaped(element)),
                _ => None,
            },
            DataType::Int64 => match tag {
                "oid" => Some(ColumnType::Oid),
                "regproc" => Some(ColumnType::Regproc),
                name => RegType::named(name).map(ColumnType::Reg),
            },
            DataType::Time32(_) | DataType::Time64(_) => digits("time").map(ColumnType::Time),
            DataType::FixedSizeBinary(_) => digits("timetz").map(ColumnType::TimeTz),
            DataType::Timestamp(_, None) => digits("timestamp").map(ColumnType::Timestamp),
            DataType::Timestamp(_, Some(_)) => digits("timestamptz").map(ColumnType::TimestampTz),
            DataType::Interval(_) => {
                let typmod = modifier("interval")?.parse().ok()?;
                IntervalModifier::from_typmod(typmod).map(|kept| ColumnType::Interval(Some(kept)))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(match tag {
                "varchar" => ColumnType::Varchar(None),
                "bpchar" => ColumnType::Bpchar(None),
                "name" => ColumnType::Name,
                "char" => ColumnType::Char,
                "bit" => ColumnType::Bit(None),
                "varbit" => ColumnType::Varbit(None),
                "json" => ColumnType::Json,
                "jsonb" => ColumnType::Jsonb,
                _ if tag.starts_with("varchar(") => ColumnType::Varchar(Some(modified("varchar")?)),
                _ if tag.starts_with("bpchar(") => ColumnType::Bpchar(Some(modified("bpchar")?)),
                _ if tag.starts_with("bit(") => ColumnType::Bit(Some(modified("bit")?)),
                _ if tag.starts_with("varbit(") => ColumnType::Varbit(Some(modified("varbit")?)),
                _ => {
                    if let Some(of) = PrintedType::named(tag) {
                        return Some(ColumnType::Printed(of));
                    }
                    let definition = serde_json::from_str(tag.strip_prefix("enum ")?).ok()?;
                    ColumnType::Enum(EnumType::new(definition))
                }
            }),
            _ => None,
        }
    }
}
