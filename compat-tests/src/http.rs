//! Clients of the HTTP door, written by hand so that they see and send exactly what is on the wire: requests, event
//! streams and WebSockets.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::process::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, names in lowercase.
    pub headers: Vec<(String, String)>,
    /// The body, with chunks put together.
    pub body: String,
}

impl Response {
    fn read(reader: &mut impl BufRead, (status, headers): Head) -> io::Result<Response> {
        let mut body = Vec::new();
        match find(&headers, "content-length") {
            Some(length) => {
                body = vec![0; length.parse().expect("a length")];
                reader.read_exact(&mut body)?;
            }
            None => loop {
                let chunk = read_chunk(reader)?;
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            },
        }
        Ok(Response {
            status,
            headers,
            // A compressed body is only measured.
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

/// Where a server's HTTP is, and who asks.
#[derive(Clone, Debug)]
pub struct Web {
    /// The port.
    pub port: u16,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
}

impl Web {
    /// The superuser at `port`.
    pub fn superuser(port: u16) -> Web {
        Web {
            port,
            authorization: None,
            headers: Vec::new(),
        }
        .role("postgres", "")
    }

    /// The same server as another role.
    pub fn role(&self, user: &str, password: &str) -> Web {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Web {
            authorization: Some(format!("Basic {pair}")),
            ..self.clone()
        }
    }

    /// The same with one header more.
    pub fn with(&self, name: &str, value: &str) -> Web {
        let mut web = self.clone();
        web.headers.push((name.to_string(), value.to_string()));
        web
    }

    fn open(&self, request_line: &str, more: &str, body: &[u8]) -> BufReader<TcpStream> {
        let opened = self.try_open(request_line, more, body);
        opened.expect("the server listens and reads")
    }

    fn try_open(
        &self,
        request_line: &str,
        more: &str,
        body: &[u8],
    ) -> io::Result<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head = format!("{request_line} HTTP/1.1\r\n");
        if find(&self.headers, "Host").is_none() {
            head += "Host: localhost\r\n";
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(authorization) = &self.authorization {
            head += &format!("Authorization: {authorization}\r\n");
        }
        head += more;
        head += "\r\n";
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        Ok(BufReader::new(stream))
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, more: &str, body: &str) -> Response {
        let more = format!("Content-Length: {}\r\n{more}", body.len());
        let mut reader = self.open(&format!("{method} {path}"), &more, body.as_bytes());
        let response = read_head(&mut reader).and_then(|head| Response::read(&mut reader, head));
        response.expect("the response is whole")
    }

    /// `POST /v1/sql`.
    pub fn sql(&self, sql: &str, params: Value) -> Response {
        let body = serde_json::json!({ "sql": sql, "params": params }).to_string();
        let json = "Content-Type: application/json\r\n";
        self.request("POST", "/v1/sql", json, &body)
    }

    /// `POST /v1/sql` of a statement that succeeds; its rows.
    #[track_caller]
    pub fn rows(&self, sql: &str, params: Value) -> Value {
        let response = self.sql(sql, params);
        let json = response.json();
        assert!(
            response.status == 200 && json.get("tag").is_some(),
            "{sql}: {response:?}"
        );
        json["rows"].clone()
    }

    /// `GET /v1/live`, and the status with its body if it is not 200.
    pub fn live(&self, sql: &str) -> Result<Events, Response> {
        self.try_live(sql).expect("the server answers")
    }

    /// As `live`, of a server that may go.
    pub fn try_live(&self, sql: &str) -> io::Result<Result<Events, Response>> {
        let encoded: String = sql
            .bytes()
            .map(|byte| match byte.is_ascii_alphanumeric() {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            })
            .collect();
        let mut reader = self.try_open(&format!("GET /v1/live?sql={encoded}"), "", b"")?;
        let (status, headers) = read_head(&mut reader)?;
        if status != 200 {
            return Response::read(&mut reader, (status, headers)).map(Err);
        }
        assert_eq!(find(&headers, "content-type"), Some("text/event-stream"));
        Ok(Ok(Events {
            reader,
            text: String::new(),
        }))
    }

    /// Opens `/v1/ws`, or says why it is not opened.
    pub fn socket(&self) -> Result<Socket, Response> {
        self.try_socket().expect("the server answers")
    }

    /// As `socket`, of a server that may go.
    pub fn try_socket(&self) -> io::Result<Result<Socket, Response>> {
        let more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidelog.v1\r\n";
        let anonymous = Web {
            authorization: None,
            ..self.clone()
        };
        let mut reader = anonymous.try_open("GET /v1/ws", more, b"")?;
        let (status, headers) = read_head(&mut reader)?;
        if status != 101 {
            return Response::read(&mut reader, (status, headers)).map(Err);
        }
        assert_eq!(find(&headers, "sec-websocket-protocol"), Some("tidelog.v1"));
        Ok(Ok(Socket {
            reader,
            skipped: VecDeque::new(),
        }))
    }

    /// A socket that has said hello as this role.
    #[track_caller]
    pub fn hello(&self) -> Socket {
        let mut socket = self.socket().expect("the socket opens");
        socket
            .send(&serde_json::json!({"type": "hello", "version": 1, "auth": self.credentials()}));
        let welcome = socket.next();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        socket
    }

    /// What a hello frame says of this role.
    pub fn credentials(&self) -> Value {
        let pair = self.authorization.as_deref().unwrap_or_default();
        let pair = pair.strip_prefix("Basic ").unwrap_or_default();
        let pair = String::from_utf8(STANDARD.decode(pair).expect("base64")).expect("UTF-8");
        let (user, password) = pair.split_once(':').expect("user:password");
        serde_json::json!({"type": "basic", "user": user, "password": password})
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}

type Head = (u16, Vec<(String, String)>);

fn read_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let first = line(reader)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let header = line(reader)?;
        match header.split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_string())),
            None => return Ok((status, headers)),
        }
    }
}

/// A chunk of a body; empty at its end.
fn read_chunk(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let size = usize::from_str_radix(&line(reader)?, 16).unwrap_or(0);
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk)?;
    line(reader)?;
    Ok(chunk)
}

/// An event stream.
pub struct Events {
    reader: BufReader<TcpStream>,
    text: String,
}

impl Events {
    /// The next event: its id, and its data as JSON. `None` at the end of the stream.
    #[allow(
        clippy::should_implement_trait,
        reason = "it waits, and panics where there is none"
    )]
    pub fn next(&mut self) -> Option<(Option<String>, Value)> {
        self.try_next().expect("an event arrives in time")
    }

    /// As `next`, of a server that may go.
    pub fn try_next(&mut self) -> io::Result<Option<(Option<String>, Value)>> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = event.lines().find_map(|line| line.strip_prefix(name));
                    found.map(str::to_string)
                };
                let (id, data) = (field("id: "), field("data: "));
                self.text = rest.to_string();
                if let Some(data) = data {
                    let data = serde_json::from_str(&data).expect("data is JSON");
                    return Ok(Some((id, data)));
                }
            }
            let chunk = read_chunk(&mut self.reader)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            self.text += std::str::from_utf8(&chunk).expect("UTF-8");
        }
    }
}

/// A WebSocket.
pub struct Socket {
    reader: BufReader<TcpStream>,
    /// Frames that were read while another was looked for.
    skipped: VecDeque<Value>,
}

impl Socket {
    /// Sends a frame.
    pub fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string());
    }

    /// Sends a text frame as it is.
    pub fn send_text(&mut self, text: &str) {
        self.send_raw(0x81, text.as_bytes());
    }

    fn send_raw(&mut self, head: u8, payload: &[u8]) {
        let mut frame = vec![head];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xFFFF => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // The mask of a client may be anything; this one changes nothing.
        frame.extend([0; 4]);
        frame.extend(payload);
        // A server that has closed says why in what it sent before.
        let _ = self.reader.get_mut().write_all(&frame);
    }

    /// The next text frame as JSON; pings are answered.
    #[track_caller]
    #[allow(
        clippy::should_implement_trait,
        reason = "it waits, and panics where there is none"
    )]
    pub fn next(&mut self) -> Value {
        self.try_next()
            .unwrap_or_else(|code| panic!("the socket was closed: {code}"))
    }

    /// The next text frame, or the code that the server closed the socket with (0 when it just ended).
    pub fn try_next(&mut self) -> Result<Value, u16> {
        match self.skipped.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<Value, u16> {
        loop {
            let mut head = [0; 2];
            self.reader.read_exact(&mut head).map_err(|_| 0_u16)?;
            let mut length = usize::from(head[1] & 0x7f);
            if length == 126 {
                let mut bytes = [0; 2];
                self.reader.read_exact(&mut bytes).map_err(|_| 0_u16)?;
                length = usize::from(u16::from_be_bytes(bytes));
            } else if length == 127 {
                let mut bytes = [0; 8];
                self.reader.read_exact(&mut bytes).map_err(|_| 0_u16)?;
                length = u64::from_be_bytes(bytes) as usize;
            }
            let mut payload = vec![0; length];
            self.reader.read_exact(&mut payload).map_err(|_| 0_u16)?;
            match head[0] & 0x0f {
                1 => return Ok(serde_json::from_slice(&payload).expect("a frame is JSON")),
                8 => {
                    let code = payload
                        .first_chunk()
                        .map_or(0, |code| u16::from_be_bytes(*code));
                    return Err(code);
                }
                9 => self.send_raw(0x8a, &payload),
                _ => {}
            }
        }
    }

    /// The next frame that has this id; the others stay for later.
    #[track_caller]
    pub fn next_of(&mut self, id: u64) -> Value {
        if let Some(at) = self.skipped.iter().position(|frame| frame["id"] == id) {
            return self.skipped.remove(at).expect("it was found");
        }
        loop {
            let frame = self.read();
            let frame = frame.unwrap_or_else(|code| panic!("the socket was closed: {code}"));
            if frame["id"] == id {
                return frame;
            }
            self.skipped.push_back(frame);
        }
    }
}
