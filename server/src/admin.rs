//! Asking a running server for something, as its superuser: a small client of the PostgreSQL protocol.
//!
//! Does not: TLS, parameters, more than one statement at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Buf, BytesMut};
use clap::Args;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A row as text: its columns by name.
pub(crate) type Row = Vec<(String, Option<String>)>;

/// Which server, and as whom.
#[derive(Args, Debug)]
pub(crate) struct ServerFlags {
    /// The data directory of the running server, which tells where it listens
    #[arg(
        long,
        env = "TIDELOG_DATA_DIR",
        value_name = "DIR",
        default_value = "./data"
    )]
    data_dir: PathBuf,
    /// Where it takes PostgreSQL clients, instead
    #[arg(long, value_name = "ADDR:PORT")]
    pg: Option<String>,
    /// The superuser's name; its password, if it has one, is taken from PGPASSWORD
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    user: String,
}

impl ServerFlags {
    /// Runs a statement; the rows that it gives, by column names.
    pub(crate) fn run(&self, sql: &str) -> anyhow::Result<Vec<Row>> {
        let address = match &self.pg {
            Some(address) => address.clone(),
            None => listening(&self.data_dir)?,
        };
        let mut client =
            Client::connect(&address).with_context(|| format!("could not connect to {address}"))?;
        let password = std::env::var("PGPASSWORD").unwrap_or_default();
        client.log_in(&self.user, &password)?;
        client.query(sql)
    }
}

/// Where the server of a data directory listens.
fn listening(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join("addresses.json");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no server runs on \"{}\" ({})",
            dir.display(),
            path.display()
        )
    })?;
    let addresses: serde_json::Value = serde_json::from_str(&text)?;
    let address = addresses["pg"].as_str();
    Ok(address
        .with_context(|| format!("{} names no address", path.display()))?
        .to_string())
}

struct Client {
    socket: TcpStream,
    out: BytesMut,
}

impl Client {
    fn connect(address: &str) -> anyhow::Result<Client> {
        use std::net::ToSocketAddrs;
        let address = address
            .to_socket_addrs()?
            .next()
            .context("no such address")?;
        Ok(Client {
            socket: TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?,
            out: BytesMut::new(),
        })
    }

    fn send(&mut self) -> anyhow::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next message that is no notice: its tag and contents. An error response is an `Err`.
    fn receive(&mut self) -> anyhow::Result<(u8, BytesMut)> {
        loop {
            let mut head = [0; 5];
            self.socket
                .read_exact(&mut head)
                .context("the server has gone")?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = BytesMut::zeroed((length as usize).saturating_sub(4));
            self.socket
                .read_exact(&mut body)
                .context("the server has gone")?;
            match head[0] {
                b'N' | b'S' | b'K' => {}
                b'E' => bail!("{}", error_text(body)),
                tag => return Ok((tag, body)),
            }
        }
    }

    fn log_in(&mut self, user: &str, password: &str) -> anyhow::Result<()> {
        let parameters = [
            ("user", user),
            ("database", "postgres"),
            ("application_name", "tidelog"),
        ];
        frontend::startup_message(parameters, &mut self.out)?;
        self.send()?;
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let (tag, mut body) = self.receive()?;
            match tag {
                b'Z' => return Ok(()),
                b'R' if body.len() >= 4 => match body.get_u32() {
                    0 => continue,
                    10 if password.is_empty() => bail!("{user} has a password: set PGPASSWORD"),
                    10 => frontend::sasl_initial_response(
                        SCRAM_SHA_256,
                        scram.message(),
                        &mut self.out,
                    )?,
                    11 => {
                        scram.update(&body)?;
                        frontend::sasl_response(scram.message(), &mut self.out)?;
                    }
                    12 => {
                        scram.finish(&body)?;
                        continue;
                    }
                    other => bail!("the server asks for the unknown authentication {other}"),
                },
                other => bail!("unexpected message {:?}", char::from(other)),
            }
            self.send()?;
        }
    }

    fn query(&mut self, sql: &str) -> anyhow::Result<Vec<Row>> {
        frontend::query(sql, &mut self.out)?;
        self.send()?;
        let (mut names, mut rows) = (Vec::new(), Vec::new());
        loop {
            let (tag, mut body) = self.receive()?;
            match tag {
                b'Z' => return Ok(rows),
                b'T' => {
                    names.clear();
                    for _ in 0..body.try_get_u16()? {
                        names.push(take_text(&mut body)?);
                        // Table, column, type, its size and modifier, format.
                        body.try_copy_to_slice(&mut [0; 18])?;
                    }
                }
                b'D' => {
                    let mut row = Vec::new();
                    for at in 0..usize::from(body.try_get_u16()?) {
                        let value = match usize::try_from(body.try_get_i32()?) {
                            Err(_) => None,
                            Ok(length) if length <= body.len() => {
                                Some(String::from_utf8_lossy(&body.split_to(length)).into_owned())
                            }
                            Ok(_) => bail!("a row is cut off"),
                        };
                        row.push((names.get(at).cloned().unwrap_or_default(), value));
                    }
                    rows.push(row);
                }
                _ => {}
            }
        }
    }
}

/// The text up to the next zero byte.
fn take_text(body: &mut BytesMut) -> anyhow::Result<String> {
    let end = body
        .iter()
        .position(|byte| *byte == 0)
        .context("a text without an end")?;
    let text = body.split_to(end);
    body.advance(1);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The message, detail and hint of an error response.
fn error_text(mut body: BytesMut) -> String {
    let mut text = String::new();
    while body.has_remaining() {
        let field = body.get_u8();
        let Ok(value) = take_text(&mut body) else {
            break;
        };
        match field {
            b'M' => text = value,
            b'D' | b'H' => text = format!("{text}. {}", value.trim_end_matches('.')),
            _ => {}
        }
    }
    text
}
