//! What clients send over a WebSocket. docs/protocol.md specifies it.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::Seq;

use crate::http::access::Credentials;
use crate::http::error::unreadable;
use crate::http::params::Statement;
use crate::http::sse::resume_seq;

/// The version of the protocol.
pub(super) const VERSION: u64 = 1;

/// A client's frame.
pub(super) enum Frame {
    /// Who it is; first.
    Hello(Hello),
    /// Run a statement.
    Query { id: u64, statement: Statement },
    /// Follow a SUBSCRIBE.
    Subscribe {
        id: u64,
        statement: Statement,
        from: Option<Seq>,
        last_rows: Option<u64>,
        credit: u32,
    },
    /// Send so many batches more.
    Credit { id: u64, batches: u32 },
    /// End a subscription.
    Unsubscribe { id: u64 },
    /// End a statement.
    Cancel { id: u64 },
    /// Answer.
    Ping,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) version: u64,
    pub(super) auth: Credentials,
    /// The database; `postgres` when none is named.
    pub(super) database: Option<String>,
    /// How large frames may come.
    pub(super) compression: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    id: u64,
    sql: Box<str>,
    #[serde(default)]
    params: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    id: u64,
    sql: Box<str>,
    #[serde(default)]
    params: Vec<Value>,
    from: Option<String>,
    last_rows: Option<u64>,
    credit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    id: u64,
    batches: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    id: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A frame that says nothing.
#[derive(Debug)]
pub(super) struct Malformed {
    /// Under which id it would be, if it is an object that tells.
    pub(super) id: Option<u64>,
    /// What is wrong with it.
    pub(super) error: SqlError,
}

/// Reads a frame.
pub(super) fn parse(text: &str) -> Result<Frame, Malformed> {
    let refused = |id: Option<u64>, reason: &str| {
        let error = malformed(reason);
        Malformed { id, error }
    };
    // First into a tree: with numbers of any length serde cannot read them through a tagged enum.
    let mut frame: Value = serde_json::from_str(text).map_err(|error| Malformed {
        id: id_of_unreadable(text),
        error: unreadable("malformed frame", &error),
    })?;
    let members = (frame.as_object_mut()).ok_or_else(|| refused(None, "a frame is an object"))?;
    let id = members.get("id").and_then(Value::as_u64);
    let Some(Value::String(kind)) = members.shift_remove("type") else {
        return Err(refused(id, "a frame has a type"));
    };
    of_kind(&kind, frame).map_err(|error| Malformed { id, error })
}

/// The id of a frame that is JSON but for a value that nobody can hold: what is skipped may be nested at will, and its
/// strings are not looked into.
fn id_of_unreadable(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Addressed {
        id: u64,
    }
    let addressed: Addressed = serde_json::from_str(text).ok()?;
    Some(addressed.id)
}

fn of_kind(kind: &str, frame: Value) -> Result<Frame, SqlError> {
    Ok(match kind {
        "hello" => Frame::Hello(read(frame)?),
        "query" => {
            let Query { id, sql, params } = read(frame)?;
            Frame::Query {
                id,
                statement: Statement { sql, params },
            }
        }
        "subscribe" => {
            let Subscribe {
                id,
                sql,
                params,
                from,
                last_rows,
                credit,
            } = read(frame)?;
            Frame::Subscribe {
                id,
                statement: Statement { sql, params },
                from: from.as_deref().map(resume_seq).transpose()?,
                last_rows,
                credit,
            }
        }
        "credit" => {
            let Credit { id, batches } = read(frame)?;
            Frame::Credit { id, batches }
        }
        "unsubscribe" => Frame::Unsubscribe {
            id: read::<Id>(frame)?.id,
        },
        "cancel" => Frame::Cancel {
            id: read::<Id>(frame)?.id,
        },
        "ping" => {
            let Nothing {} = read(frame)?;
            Frame::Ping
        }
        other => return Err(malformed(format!("unknown frame type \"{other}\""))),
    })
}

fn read<T: DeserializeOwned>(frame: Value) -> Result<T, SqlError> {
    serde_json::from_value(frame).map_err(malformed)
}

fn malformed(reason: impl Display) -> SqlError {
    let message = format!("malformed frame: {reason}");
    SqlError::new(ErrorKind::ProtocolViolation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        let hello = r#"{"type":"hello","version":1,"auth":{"type":"basic","user":"ada"}}"#;
        let Ok(Frame::Hello(Hello {
            version: 1,
            auth,
            database: None,
            compression: None,
        })) = parse(hello)
        else {
            panic!("{hello}");
        };
        assert!(
            matches!(auth, Credentials::Basic { user, password } if user == "ada" && password.is_empty())
        );
        let jwt = r#"{"auth":{"token":"t","type":"jwt"},"version":1,"type":"hello"}"#;
        let Ok(Frame::Hello(Hello { auth, .. })) = parse(jwt) else {
            panic!("{jwt}");
        };
        assert!(matches!(auth, Credentials::Jwt { .. }));
        let subscribe = r#"{"type":"subscribe","id":7,"sql":"SUBSCRIBE TO t",
            "params":[12345678901234567890],"from":"42","credit":2}"#;
        let Ok(Frame::Subscribe {
            id: 7,
            statement,
            from: Some(from),
            last_rows: None,
            credit: 2,
        }) = parse(subscribe)
        else {
            panic!("{subscribe}");
        };
        assert_eq!(from.as_i64(), 42);
        assert_eq!(statement.params[0].to_string(), "12345678901234567890");
        assert!(matches!(parse(r#"{"type":"ping"}"#), Ok(Frame::Ping)));
    }

    #[test]
    fn malformed_frames_are_refused() {
        for (frame, reason) in [
            ("", "EOF"),
            ("[]", "object"),
            ("{}", "has a type"),
            (r#"{"type":"fly"}"#, "unknown frame type"),
            (r#"{"type":"query","sql":"SELECT 1"}"#, "missing field `id`"),
            (r#"{"type":"query","id":-1,"sql":""}"#, "invalid"),
            (
                r#"{"type":"cancel","id":1,"force":true}"#,
                "unknown field `force`",
            ),
            (
                r#"{"type":"subscribe","id":1,"sql":"","credit":1,"from":"-1"}"#,
                "position",
            ),
        ] {
            match parse(frame) {
                Err(Malformed { id, error }) => {
                    assert!(error.message.contains(reason), "{frame}: {error}");
                    assert_eq!(id.is_some(), frame.contains(r#""id":1"#), "{frame}");
                }
                Ok(_) => panic!("{frame}"),
            }
        }
    }

    #[test]
    fn a_value_that_nobody_can_hold_does_not_hide_the_id() {
        let deep = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for (params, kind) in [
            (
                r#"["\ud83d"]"#.to_string(),
                ErrorKind::CharacterNotInRepertoire,
            ),
            (
                r#"["\ude00 id"]"#.to_string(),
                ErrorKind::CharacterNotInRepertoire,
            ),
            (deep(200), ErrorKind::StatementTooComplex),
            (deep(100_000), ErrorKind::StatementTooComplex),
        ] {
            let frame =
                format!(r#"{{"params":{params},"type":"query","sql":"{{\"id\":6}}","id":5}}"#);
            let Err(Malformed { id, error }) = parse(&frame) else {
                panic!("{frame}");
            };
            assert_eq!((id, error.kind), (Some(5), kind), "{error}");
            // Cut off, it may be anyone's.
            assert_eq!(
                parse(&frame[..frame.len() - 1]).err().and_then(|e| e.id),
                None
            );
        }
    }
}
