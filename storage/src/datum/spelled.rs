//! Types in JSON, as definitions in the catalog have them: `"Int4"`, `{"Varchar":20}`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use super::{ColumnType, ElementType};

/// Types that could not have a modifier in the catalogs of earlier builds, where they are their names alone.
const ONCE_PLAIN: [&str; 5] = ["Time", "TimeTz", "Timestamp", "TimestampTz", "Interval"];

/// The type's JSON, as it is written now.
fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(name) if ONCE_PLAIN.contains(&name.as_str()) => json!({ name: null }),
        written => written,
    })
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ColumnType::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ColumnType, D::Error> {
        ColumnType::deserialize(read(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for ElementType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ElementType::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ElementType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ElementType, D::Error> {
        ElementType::deserialize(read(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::IntervalModifier;

    #[test]
    fn types_come_back_also_those_of_earlier_builds() {
        for (json, ty) in [
            (r#""Int4""#, ColumnType::Int4),
            (r#"{"Varchar":20}"#, ColumnType::Varchar(Some(20))),
            (r#""Timestamp""#, ColumnType::Timestamp(None)),
            (r#"{"Timestamp":null}"#, ColumnType::Timestamp(None)),
            (r#"{"Timestamp":3}"#, ColumnType::Timestamp(Some(3))),
            (r#""Interval""#, ColumnType::Interval(None)),
            (
                r#"{"Interval":2147418115}"#,
                ColumnType::Interval(IntervalModifier::new(None, Some(3))),
            ),
            (
                r#"{"Array":"TimestampTz"}"#,
                ColumnType::Array(ElementType::TimestampTz(None)),
            ),
            (
                r#"{"Array":{"TimeTz":0}}"#,
                ColumnType::Array(ElementType::TimeTz(Some(0))),
            ),
        ] {
            let read: ColumnType = serde_json::from_str(json).unwrap();
            assert_eq!(read, ty, "{json}");
            let written = serde_json::to_string(&ty).unwrap();
            assert_eq!(serde_json::from_str::<ColumnType>(&written).unwrap(), ty);
        }
    }
}
