//! Statements as clients send them: SQL, and its parameters as JSON.

use serde_json::Value;
use tidelog_sql::{ErrorKind, Parsed, Prepared, Session, SqlError, text};
use tidelog_storage::{ColumnType, Datum, ElementType};

/// A statement and its parameters' values.
pub(super) struct Statement {
    pub(super) sql: Box<str>,
    /// `$1`, `$2`, …
    pub(super) params: Vec<Value>,
}

impl Statement {
    /// The one statement that the SQL is.
    pub(super) fn parse(&self, session: &Session) -> Result<Parsed, SqlError> {
        // JSON has it; in PostgreSQL's protocol no text can.
        if self.sql.contains('\0') {
            let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
            return Err(SqlError::new(ErrorKind::CharacterNotInRepertoire, message));
        }
        let mut statements = session.parse(&self.sql)?;
        match (statements.pop(), statements.len()) {
            (Some(statement), 0) => Ok(statement),
            (None, _) => Err(SqlError::new(
                ErrorKind::SyntaxError,
                "the query string is empty",
            )),
            (Some(_), _) => Err(SqlError::new(
                ErrorKind::SyntaxError,
                "cannot send multiple commands in one request",
            )),
        }
    }

    /// The values, as the statement's parameters take them.
    pub(super) fn values(&self, prepared: &Prepared) -> Result<Vec<Datum>, SqlError> {
        let (given, wanted) = (self.params.len(), prepared.parameters.len());
        if given != wanted {
            // As of EXECUTE.
            let message = "wrong number of parameters for the statement";
            return Err(SqlError::new(ErrorKind::SyntaxError, message)
                .detail(format!("Expected {wanted} parameters but got {given}.")));
        }
        let typed = prepared.parameters.iter().zip(&self.params);
        typed.map(|(ty, value)| datum(*ty, value)).collect()
    }
}

/// A JSON value as one of a type: strings are PostgreSQL's text form of it, numbers and booleans what they say.
fn datum(ty: ColumnType, value: &Value) -> Result<Datum, SqlError> {
    match value {
        Value::Null => Ok(Datum::Null),
        // An array may be of any shape.
        Value::String(text) => text::parse(ty.elements().map_or(ty, ColumnType::Shaped), text),
        Value::Bool(_) | Value::Number(_) => text::parse(ty, &value.to_string()),
        Value::Array(_) | Value::Object(_) => match (ty, value) {
            (ColumnType::Array(element) | ColumnType::Shaped(element), Value::Array(values)) => {
                let ty = element.into();
                if !is_document(ty) && values.iter().any(Value::is_array) {
                    return shaped(element, value);
                }
                let elements = values.iter().map(|value| datum(ty, value));
                Ok(Datum::Array(elements.collect::<Result<_, _>>()?))
            }
            _ if is_document(ty) || ty == ColumnType::Text => text::parse(ty, &value.to_string()),
            _ => Err(SqlError::new(
                ErrorKind::InvalidTextRepresentation,
                format!(
                    "invalid input syntax for type {}: \"{value}\"",
                    tidelog_sql::types::name(ty)
                ),
            )),
        },
    }
}

/// Whether values of the type are JSON themselves, arrays too.
fn is_document(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Json | ColumnType::Jsonb)
}

/// An array of several dimensions: PostgreSQL's text form of it has the same braces, and says what is wrong with them.
fn shaped(element: ElementType, value: &Value) -> Result<Datum, SqlError> {
    let mut literal = String::new();
    write_literal(value, &mut literal);
    text::parse(ColumnType::Shaped(element), &literal)
}

fn write_literal(value: &Value, out: &mut String) {
    match value {
        Value::Array(values) => {
            out.push('{');
            for (n, value) in values.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_literal(value, out);
            }
            out.push('}');
        }
        Value::Null => out.push_str("NULL"),
        Value::String(text) => {
            out.push('"');
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
        // An object is an element that the type refuses.
        Value::Object(_) => write_literal(&Value::String(value.to_string()), out),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_values_become_typed_ones() {
        let check = |ty, json: &str, expected| {
            let value = serde_json::from_str(json).expect("JSON");
            assert_eq!(datum(ty, &value).ok(), expected, "{json}");
        };
        check(
            ColumnType::Int8,
            "9007199254740993",
            Some(Datum::Int8(9_007_199_254_740_993)),
        );
        check(
            ColumnType::Int8,
            "\"9007199254740993\"",
            Some(Datum::Int8(9_007_199_254_740_993)),
        );
        check(ColumnType::Int4, "1.5", None);
        check(ColumnType::Bool, "true", Some(Datum::Bool(true)));
        check(ColumnType::Text, "7", Some(Datum::Text("7".to_string())));
        check(ColumnType::Text, "null", Some(Datum::Null));
        check(
            ColumnType::Jsonb,
            "{\"a\":[1]}",
            Some(Datum::Text("{\"a\": [1]}".to_string())),
        );
        check(ColumnType::Int4, "[1]", None);
        let bigints = ColumnType::Int8.array().expect("bigint has arrays");
        check(
            bigints,
            "[\"9007199254740993\", 2, null]",
            Some(Datum::Array(vec![
                Datum::Int8(9_007_199_254_740_993),
                Datum::Int8(2),
                Datum::Null,
            ])),
        );
        check(bigints, "\"{1}\"", Some(Datum::Array(vec![Datum::Int8(1)])));
        let square = text::parse(ColumnType::Shaped(ElementType::Int8), "{{1,2},{3,NULL}}").ok();
        assert!(square.is_some());
        check(bigints, "[[\"1\", 2], [3, null]]", square);
        check(bigints, "[[1], 2]", None);
        check(bigints, "[[1], [2, 3]]", None);
        let texts = ColumnType::Text.array().expect("text has arrays");
        check(
            texts,
            r#"[["{a", "q\"b\\"], ["NULL", ""]]"#,
            text::parse(
                ColumnType::Shaped(ElementType::Text),
                r#"{{"{a","q\"b\\"},{"NULL",""}}"#,
            )
            .ok(),
        );
        let documents = ColumnType::Jsonb.array().expect("jsonb has arrays");
        check(
            documents,
            "[[1], 2]",
            Some(Datum::Array(vec![
                Datum::Text("[1]".to_string()),
                Datum::Text("2".to_string()),
            ])),
        );
    }
}
