//! What clients send: frames split by length, each body decoded within its own bounds.

use bytes::{Buf, Bytes, BytesMut};
use tidelog_sql::{ErrorKind, SqlError};

/// Largest startup packet.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Largest message of a kind that carries no query or data, and of any kind before authentication is over.
const SMALL_BYTES_MAX: usize = 30_000;
const AUTH_BYTES_MAX: usize = 65_535;
/// Largest message of any kind.
const LARGE_BYTES_MAX: usize = (1 << 30) - 1;

const SSL_REQUEST: i32 = 80_877_103;
const GSSENC_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;

/// The first packet of a connection.
#[derive(Debug, PartialEq)]
pub(super) enum Startup {
    /// SSLRequest or GSSENCRequest.
    Encrypt,
    Cancel {
        pid: i32,
        secret: i32,
    },
    Session {
        minor: u16,
        parameters: Vec<(String, String)>,
    },
}

/// What Describe and Close name.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

/// A message from a client. Format codes are as sent, not yet checked.
#[derive(Debug, PartialEq)]
pub(super) enum Frontend {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows_max: i32,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    /// An answer in an authentication exchange.
    Password(Bytes),
    FunctionCall,
}

#[derive(Debug, PartialEq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    pub(super) parameter_formats: Vec<i16>,
    pub(super) parameters: Vec<Option<Bytes>>,
    pub(super) result_formats: Vec<i16>,
}

/// A message that could not be decoded.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed {
    /// Which kind of message it was.
    pub(super) tag: u8,
    pub(super) error: SqlError,
    /// Whether the connection must end.
    pub(super) fatal: bool,
}

enum Fault {
    Protocol(&'static str),
    Encoding(Box<SqlError>),
}

fn protocol(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::ProtocolViolation, message)
}

/// Takes the startup packet off the buffer; `None` while it is not complete.
pub(super) fn take_startup(buffer: &mut BytesMut) -> Result<Option<Startup>, SqlError> {
    let Some(length) = buffer
        .first_chunk::<4>()
        .map(|bytes| i32::from_be_bytes(*bytes))
    else {
        return Ok(None);
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|length| (8..=STARTUP_BYTES_MAX).contains(length));
    let Some(length) = length else {
        return Err(protocol("invalid length of startup packet"));
    };
    if buffer.len() < length {
        return Ok(None);
    }
    let mut body = Body(buffer.split_to(length).freeze());
    decode_startup(&mut body)
        .map(Some)
        .map_err(|fault| match fault {
            Fault::Protocol(_) => {
                protocol("invalid startup packet layout: expected terminator as last byte")
            }
            Fault::Encoding(error) => *error,
        })
}

fn decode_startup(body: &mut Body) -> Result<Startup, Fault> {
    body.i32()?;
    let code = body.i32()?;
    match code {
        SSL_REQUEST | GSSENC_REQUEST => return Ok(Startup::Encrypt),
        CANCEL_REQUEST => {
            let (pid, secret) = (body.i32()?, body.i32()?);
            body.end()?;
            return Ok(Startup::Cancel { pid, secret });
        }
        _ => {}
    }
    let (major, minor) = ((code >> 16) as u16, (code & 0xffff) as u16);
    if major != 3 {
        let message =
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0");
        let error = SqlError::new(ErrorKind::FeatureNotSupported, message);
        return Err(Fault::Encoding(Box::new(error)));
    }
    let mut parameters = Vec::new();
    loop {
        let name = body.string()?;
        if name.is_empty() {
            break;
        }
        parameters.push((name, body.string()?));
    }
    body.end()?;
    Ok(Startup::Session { minor, parameters })
}

/// Takes the next message off the buffer; `None` while it is not complete.
pub(super) fn take_message(
    buffer: &mut BytesMut,
    authenticated: bool,
) -> Result<Option<Frontend>, Malformed> {
    let Some(&[tag, a, b, c, d]) = buffer.first_chunk::<5>() else {
        return Ok(None);
    };
    let fatal = |message: String| Malformed {
        tag,
        error: protocol(message),
        fatal: true,
    };
    let limit = match tag {
        _ if !authenticated => AUTH_BYTES_MAX,
        b'Q' | b'P' | b'B' | b'd' | b'F' | b'p' => LARGE_BYTES_MAX,
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => SMALL_BYTES_MAX,
        _ => return Err(fatal(format!("invalid frontend message type {tag}"))),
    };
    let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok();
    let Some(length) = length.filter(|length| (4..=limit).contains(length)) else {
        return Err(fatal("invalid message length".to_string()));
    };
    if buffer.len() < length + 1 {
        return Ok(None);
    }
    let mut frame = buffer.split_to(length + 1).freeze();
    frame.advance(5);
    match decode(tag, Body(frame)) {
        Ok(message) => Ok(Some(message)),
        Err(Fault::Protocol(message)) => Err(fatal(message.to_string())),
        Err(Fault::Encoding(error)) => Err(Malformed {
            tag,
            error: *error,
            fatal: false,
        }),
    }
}

fn decode(tag: u8, mut body: Body) -> Result<Frontend, Fault> {
    let message = match tag {
        b'Q' => Frontend::Query(body.string()?),
        b'P' => {
            let (name, sql) = (body.string()?, body.string()?);
            let types = body.list(|body| Ok(body.i32()?.cast_unsigned()))?;
            Frontend::Parse { name, sql, types }
        }
        b'B' => Frontend::Bind(Bind {
            portal: body.string()?,
            statement: body.string()?,
            parameter_formats: body.list(Body::i16)?,
            parameters: body.list(|body| match body.i32()? {
                -1 => Ok(None),
                length => {
                    let length = usize::try_from(length).map_err(|_| INVALID_FORMAT)?;
                    body.take(length).map(Some)
                }
            })?,
            result_formats: body.list(Body::i16)?,
        }),
        b'D' => Frontend::Describe(body.target()?),
        b'C' => Frontend::Close(body.target()?),
        b'E' => Frontend::Execute {
            portal: body.string()?,
            rows_max: body.i32()?,
        },
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'd' => Frontend::CopyData(body.rest()),
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(body.string()?),
        b'p' => Frontend::Password(body.rest()),
        b'F' => {
            body.rest();
            Frontend::FunctionCall
        }
        _ => return Err(Fault::Protocol("invalid frontend message type")),
    };
    body.end()?;
    Ok(message)
}

const INVALID_FORMAT: Fault = Fault::Protocol("invalid message format");

/// What is left of one message's body.
pub(super) struct Body(Bytes);

impl Body {
    fn take(&mut self, length: usize) -> Result<Bytes, Fault> {
        if length > self.0.len() {
            return Err(Fault::Protocol("insufficient data left in message"));
        }
        Ok(self.0.split_to(length))
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?.get_u8())
    }

    fn i16(&mut self) -> Result<i16, Fault> {
        Ok(self.take(2)?.get_i16())
    }

    fn i32(&mut self) -> Result<i32, Fault> {
        Ok(self.take(4)?.get_i32())
    }

    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Body) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        // PostgreSQL counts to 65535 here.
        let count = self.i16()?.cast_unsigned();
        (0..count).map(|_| item(self)).collect()
    }

    fn string(&mut self) -> Result<String, Fault> {
        let length = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(Fault::Protocol("invalid string in message"))?;
        let bytes = self.0.split_to(length);
        self.0.advance(1);
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(error) => {
                let error = invalid_utf8(&bytes, error.valid_up_to());
                Err(Fault::Encoding(Box::new(error)))
            }
        }
    }

    fn target(&mut self) -> Result<Target, Fault> {
        match self.u8()? {
            b'S' => Ok(Target::Statement(self.string()?)),
            b'P' => Ok(Target::Portal(self.string()?)),
            _ => Err(INVALID_FORMAT),
        }
    }

    fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(INVALID_FORMAT)
        }
    }
}

/// 22021 for bytes that are not UTF-8 from `at` on.
pub(super) fn invalid_utf8(bytes: &[u8], at: usize) -> SqlError {
    let length = match bytes.get(at) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    let shown: Vec<String> = bytes[at..]
        .iter()
        .take(length)
        .map(|byte| format!("0x{byte:02x}"))
        .collect();
    let message = format!(
        "invalid byte sequence for encoding \"UTF8\": {}",
        shown.join(" ")
    );
    SqlError::new(ErrorKind::CharacterNotInRepertoire, message)
}

/// The first part of a SASLInitialResponse: the mechanism's name and the client's first message.
pub(super) fn sasl_initial_response(bytes: Bytes) -> Option<(String, Bytes)> {
    let mut body = Body(bytes);
    let mechanism = body.string().ok()?;
    let length = body.i32().ok()?;
    let data = if length == -1 {
        Bytes::new()
    } else {
        body.take(usize::try_from(length).ok()?).ok()?
    };
    body.end().ok()?;
    Some((mechanism, data))
}

#[cfg(test)]
mod tests;
