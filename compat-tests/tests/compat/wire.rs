//! Messages of the protocol as they are: the same ones are sent to Tidelog and to PostgreSQL, and get the same answers.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidelog_compat_tests::Peer;

use crate::pair::Pair;

/// A connection that reads nothing into what comes.
struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    fn connect(peer: &Peer) -> Wire {
        let mut stream = TcpStream::connect(("127.0.0.1", peer.port)).unwrap();
        let (user, database) = (&peer.user, &peer.database);
        let body = format!("\0\x03\0\0user\0{user}\0database\0{database}\0\0");
        let length = (body.len() as u32 + 4).to_be_bytes();
        stream
            .write_all(&[&length, body.as_bytes()].concat())
            .unwrap();
        let received = Vec::new();
        let mut wire = Wire { stream, received };
        wire.until_ready();
        wire
    }

    /// Sends messages: `parse NAME TEXT`, `bind NAME VALUE…`, `describe NAME`, `close NAME` (`-` is the unnamed statement),
    /// `execute`, `flush`, `sync`, `query TEXT`. Portals are unnamed.
    fn send(&mut self, messages: &[&str]) {
        let bytes: Vec<u8> = messages.iter().flat_map(|text| message(text)).collect();
        self.stream.write_all(&bytes).unwrap();
    }

    /// What comes up to the next ReadyForQuery.
    fn until_ready(&mut self) -> Vec<String> {
        let wait = Some(Duration::from_secs(30));
        self.stream.set_read_timeout(wait).unwrap();
        let mut said = Vec::new();
        loop {
            while let Some(message) = self.take() {
                // Values of parameters may come at any time.
                if message == "S" {
                    continue;
                }
                let end = message.starts_with('Z');
                said.push(message);
                if end {
                    return said;
                }
            }
            assert!(self.read(), "nothing comes after {said:?}");
        }
    }

    /// What comes within a fifth of a second.
    fn soon(&mut self) -> Vec<String> {
        let wait = Some(Duration::from_millis(200));
        self.stream.set_read_timeout(wait).unwrap();
        while self.read() {}
        std::iter::from_fn(|| self.take()).collect()
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 8192];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the connection has ended"),
            Ok(n) => self.received.extend(&bytes[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// The next whole message.
    fn take(&mut self) -> Option<String> {
        let length = self.received.get(1..5)?;
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let body = self.received.get(5..1 + length)?.to_vec();
        let tag = char::from(self.received[0]);
        self.received.drain(..1 + length);
        Some(told(tag, &body))
    }
}

fn message(text: &str) -> Vec<u8> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, rest_of_it) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = if name == "-" { "" } else { name };
    let (tag, body) = match verb {
        "parse" => (b'P', format!("{name}\0{rest_of_it}\0\0\0").into_bytes()),
        "bind" => {
            let values: Vec<&str> = rest_of_it.split_whitespace().collect();
            let mut body = format!("\0{name}\0\0\0").into_bytes();
            body.extend((values.len() as u16).to_be_bytes());
            for value in values {
                body.extend((value.len() as u32).to_be_bytes());
                body.extend(value.as_bytes());
            }
            body.extend([0, 0]);
            (b'B', body)
        }
        "describe" => (b'D', format!("S{name}\0").into_bytes()),
        "close" => (b'C', format!("S{name}\0").into_bytes()),
        "execute" => (b'E', vec![0; 5]),
        "flush" => (b'H', Vec::new()),
        "sync" => (b'S', Vec::new()),
        "query" => (b'Q', format!("{rest}\0").into_bytes()),
        other => panic!("no message is called {other}"),
    };
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[tag][..], &length, &body].concat()
}

fn told(tag: char, body: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    match tag {
        'D' => {
            let mut values = Vec::new();
            let mut rest = &body[2..];
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let length = i32::from_be_bytes(*length).max(0) as usize;
                values.push(text(&after[..length]));
                rest = &after[length..];
            }
            format!("D {values:?}")
        }
        'E' | 'N' => {
            let fields = body.split(|byte| *byte == 0);
            let fields = fields.filter(|field| b"CMDHP".contains(field.first().unwrap_or(&0)));
            let fields: Vec<String> = fields.map(text).collect();
            format!("{tag} {}", fields.join(" "))
        }
        'T' => {
            let mut names = Vec::new();
            let mut rest = &body[2..];
            while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                names.push(text(&rest[..end]));
                rest = &rest[end + 19..];
            }
            format!("T {names:?}")
        }
        't' => format!("t of {}", number(0)),
        'C' | 'Z' => format!("{tag} {}", text(body)),
        tag => tag.to_string(),
    }
}

/// Sends each line's messages, with `|` between them, to both; they say the same.
fn exchange(pair: &Pair, lines: &[&str]) {
    let mut tide = Wire::connect(&pair.tide.peer());
    let mut pg = Wire::connect(&pair.pg.peer());
    for line in lines {
        let messages: Vec<&str> = line.split(" | ").collect();
        let said = [&mut tide, &mut pg].map(|wire| {
            wire.send(&messages);
            match messages.last() {
                Some(last) if *last == "sync" || last.starts_with("query ") => wire.until_ready(),
                _ => wire.soon(),
            }
        });
        assert_eq!(
            said[0], said[1],
            "{line} (left: Tidelog, right: PostgreSQL)"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_parse_and_of_prepare_share_their_names() {
    let pair = Pair::start();
    let kept = "query SELECT name, statement, parameter_types, from_sql, generic_plans + custom_plans AS runs, \
                prepare_time <= now() AS at FROM pg_prepared_statements ORDER BY name";
    exchange(
        &pair,
        &[
            "parse a SELECT $1::int + 1 | sync",
            "query EXECUTE a(4)",
            "query EXECUTE a(4, 5)",
            "query EXPLAIN (COSTS OFF) EXECUTE a(4)",
            "query CREATE TABLE made AS EXECUTE a(7)",
            "parse a SELECT 1 | sync",
            "parse a SELEC 1 | sync",
            "query PREPARE a AS SELECT 1",
            "parse A SELECT 'upper' | sync",
            "query EXECUTE A(1)",
            "query EXECUTE \"A\"",
            "query PREPARE b(int, text) AS SELECT $1, $2",
            "bind b 3 x | execute | sync",
            "bind b 3 | execute | sync",
            "describe b | sync",
            "parse b SELECT 2 | sync",
            kept,
            "query BEGIN",
            "query PREPARE c AS SELECT 1 / (SELECT 0)",
            "bind c | execute | sync",
            "bind b 1 2 | execute | sync",
            "query ROLLBACK",
            "bind b 1 2 | execute | sync",
            "parse e  | bind e | execute | sync",
            "query DEALLOCATE a",
            "query DEALLOCATE a",
            "bind a 3 | sync",
            "close b | sync",
            "query EXECUTE b(1, 2)",
            "parse d INSERT INTO made VALUES ($1) RETURNING * | sync",
            "query EXECUTE d(5)",
            "query EXECUTE d('x')",
            "bind d 9 | execute | sync",
            "query ALTER TABLE made ADD b int",
            "bind d 9 | execute | sync",
            "query EXECUTE d(9)",
            "parse - SELECT 44 | bind - | execute | sync",
            "parse - SELECT 44 | sync",
            "query DEALLOCATE ALL",
            "bind - | sync",
            kept,
            "parse x SELECT 1 | sync",
            "query DISCARD ALL",
            "bind x | sync",
            "query PREPARE names AS SELECT name FROM pg_prepared_statements ORDER BY 1",
            "query EXECUTE names",
            "parse z SELECT 1 | sync",
            "query EXECUTE names",
            "bind names | execute | sync",
        ],
    );
}

/// They once were planned anew each time that they ran, once anybody had changed the catalog.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_before_the_catalog_changed_runs_on() {
    let pair = Pair::start();
    exchange(
        &pair,
        &[
            "query CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'one')",
            "parse s SELECT x FROM t WHERE id = $1 | bind s 1 | execute | sync",
            "query CREATE TABLE other (id int)",
            "bind s 1 | execute | sync",
            "query BEGIN",
            "query ALTER TABLE t ADD y int",
            "bind s 1 | execute | sync",
            "query ROLLBACK",
            "bind s 1 | execute | sync",
            "query ALTER TABLE t ALTER x TYPE varchar(9)",
            "bind s 1 | execute | sync",
            "query ALTER TABLE t ALTER x TYPE text",
            "bind s 1 | execute | sync",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_wait_for_sync_or_flush() {
    let pair = Pair::start();
    exchange(
        &pair,
        &[
            "parse a SELECT $1::int + 1",
            "flush",
            "bind a 1",
            "execute | describe a",
            "flush",
            "sync",
            "bind a 2 | execute",
            "sync",
            "parse b SELEC",
            "bind a 3 | execute",
            "sync",
            "bind a 3 | execute | bind nope | bind a 4 | execute",
            "sync",
            "query LISTEN c; NOTIFY c",
            "bind a 5 | execute",
            "sync",
            "query SELECT 1; SELECT 1 / 0; SELECT 1",
            "query SELECT 1 AS n, 'a' || 1 / 0",
            "query SELECT 1 / (SELECT 0)",
        ],
    );
}
