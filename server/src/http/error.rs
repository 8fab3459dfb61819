//! Errors as JSON, and the HTTP status that goes with an SQLSTATE.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidelog_sql::json::write_string;
use tidelog_sql::{ErrorKind, SqlError};

use crate::sqlstate::sqlstate;

/// A request that fails before it has answered anything.
pub(super) struct HttpError {
    status: StatusCode,
    error: SqlError,
}

impl HttpError {
    /// An error whose status its SQLSTATE does not tell.
    pub(super) fn with_status(status: StatusCode, error: SqlError) -> HttpError {
        HttpError { status, error }
    }
}

impl From<SqlError> for HttpError {
    fn from(error: SqlError) -> HttpError {
        HttpError {
            status: status(sqlstate(error.kind)),
            error,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut body = String::from("{\"error\":");
        write_error(&self.error, &mut body);
        body.push_str("}\n");
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, json, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"tidelog\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, basic);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// What a client is told whose JSON cannot be read. Values that no text or no stack can hold are no matter of the protocol.
pub(super) fn unreadable(what: &str, error: &serde_json::Error) -> SqlError {
    let reason = error.to_string();
    let kind = if reason.starts_with("recursion limit exceeded") {
        ErrorKind::StatementTooComplex
    } else if reason.contains("hex escape") {
        // Half of a surrogate pair.
        ErrorKind::CharacterNotInRepertoire
    } else {
        ErrorKind::ProtocolViolation
    };
    SqlError::new(kind, format!("{what}: {reason}"))
}

/// Appends `{"code": …, "message": …}` with whatever else is known.
pub(super) fn write_error(error: &SqlError, out: &mut String) {
    let fields = [
        ("code", Some(sqlstate(error.kind))),
        ("message", Some(error.message.as_str())),
        ("detail", error.detail.as_deref()),
        ("hint", error.hint.as_deref()),
        ("schema", error.schema.as_deref()),
        ("table", error.table.as_deref()),
        ("column", error.column.as_deref()),
        ("constraint", error.constraint.as_deref()),
    ];
    out.push('{');
    for (name, value) in fields {
        if let Some(value) = value {
            if !out.ends_with('{') {
                out.push(',');
            }
            out.push_str(&format!("\"{name}\":"));
            write_string(value, out);
        }
    }
    if let Some(position) = error.position {
        out.push_str(&format!(",\"position\":{position}"));
    }
    out.push('}');
}

/// By the SQLSTATE's class. What may succeed when it is tried again as it is has 409 or 503.
fn status(code: &str) -> StatusCode {
    match code {
        "0A000" => StatusCode::NOT_IMPLEMENTED,
        "42501" | "25006" => StatusCode::FORBIDDEN,
        "57014" => StatusCode::GATEWAY_TIMEOUT,
        "57P01" | "57P03" => StatusCode::SERVICE_UNAVAILABLE,
        "08P01" => StatusCode::BAD_REQUEST,
        "54000" => StatusCode::PAYLOAD_TOO_LARGE,
        code => match &code[..2] {
            "28" => StatusCode::UNAUTHORIZED,
            "23" | "40" | "55" => StatusCode::CONFLICT,
            "53" => StatusCode::SERVICE_UNAVAILABLE,
            "08" | "57" | "58" | "XX" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json() {
        let mut error =
            SqlError::new(ErrorKind::UndefinedTable, "relation \"x\" does not exist").hint("No.");
        error.position = Some(15);
        let mut out = String::new();
        write_error(&error, &mut out);
        assert_eq!(
            out,
            r#"{"code":"42P01","message":"relation \"x\" does not exist","hint":"No.","position":15}"#
        );
    }

    #[test]
    fn statuses() {
        let cases = [
            (ErrorKind::SyntaxError, 400),
            (ErrorKind::InvalidPassword, 401),
            (ErrorKind::InsufficientPrivilege, 403),
            (ErrorKind::UniqueViolation, 409),
            (ErrorKind::SerializationFailure, 409),
            (ErrorKind::InternalError, 500),
            (ErrorKind::FeatureNotSupported, 501),
            (ErrorKind::AdminShutdown, 503),
            (ErrorKind::QueryCanceled, 504),
        ];
        for (kind, expected) in cases {
            assert_eq!(status(sqlstate(kind)).as_u16(), expected, "{kind:?}");
        }
    }
}
