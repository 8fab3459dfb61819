//! A place to connect to, by psql or by a driver.

use std::io::Write;
use std::process::{Command, Stdio};

use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

/// A server's port on loopback and who logs in there.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// The database.
    pub database: String,
}

impl Peer {
    /// The superuser at `port`.
    pub fn superuser(port: u16) -> Peer {
        Peer {
            port,
            user: "postgres".into(),
            password: None,
            database: "postgres".into(),
        }
    }

    /// Another role at the same server.
    pub fn role(&self, user: &str, password: &str) -> Peer {
        Peer {
            port: self.port,
            user: user.into(),
            password: Some(password.into()),
            database: self.database.clone(),
        }
    }

    /// The same role in another database.
    pub fn database(&self, database: &str) -> Peer {
        Peer {
            database: database.into(),
            ..self.clone()
        }
    }

    /// psql for this peer: no start-up file, unaligned rows only, and it stops at the first error.
    pub fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1"]);
        self.environment(&mut command);
        command
    }

    /// Tells any libpq program in `command` where to connect.
    pub fn environment(&self, command: &mut Command) {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user);
        command
            .env("PGDATABASE", &self.database)
            .env("PGCONNECT_TIMEOUT", "20")
            .env("PGCLIENTENCODING", "UTF8");
        command.env("PGPASSWORD", self.password.as_deref().unwrap_or_default());
    }

    /// Runs a script in psql; each statement is a transaction of its own. Gives the rows, or psql's error.
    pub fn try_run(&self, script: &str) -> Result<String, String> {
        let mut command = self.psql();
        command
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("psql can be run");
        // psql may end at an error before it has read everything: its exit status tells, not this write.
        let _ = child
            .stdin
            .take()
            .expect("stdin is piped")
            .write_all(script.as_bytes());
        let done = child.wait_with_output().expect("psql ends");
        let text = |bytes| String::from_utf8(bytes).expect("psql speaks UTF-8");
        if done.status.success() {
            Ok(text(done.stdout))
        } else {
            Err(text(done.stderr))
        }
    }

    /// Runs a script that must succeed.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        self.try_run(script)
            .unwrap_or_else(|error| panic!("{script}\n{error}"))
    }

    /// The one value of a query.
    #[track_caller]
    pub fn value(&self, query: &str) -> String {
        self.run(&format!("{query};"))
            .trim_end_matches('\n')
            .to_string()
    }

    /// A connection by tokio-postgres.
    pub async fn connect(&self) -> Client {
        self.try_connect()
            .await
            .unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// A connection, or why there is none.
    pub async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config().connect(NoTls).await?;
        // It ends with the client or with the server, and the client's calls tell which.
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection and the notifications that arrive on it.
    pub async fn listen(
        &self,
    ) -> (
        Client,
        tokio::sync::mpsc::UnboundedReceiver<tokio_postgres::Notification>,
    ) {
        let (client, mut connection) = self
            .config()
            .connect(NoTls)
            .await
            .expect("the server takes a connection");
        let (send, receive) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notification) = message {
                    // The test that no longer listens has seen what it wanted.
                    let _ = send.send(notification);
                }
            }
        });
        (client, receive)
    }

    /// What the server says beside the results of a script, as `SQLSTATE message`.
    pub async fn notices(&self, script: &str) -> Vec<String> {
        let (client, mut connection) = self
            .config()
            .connect(NoTls)
            .await
            .expect("the server takes a connection");
        let gathered = tokio::spawn(async move {
            let mut notices = Vec::new();
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message {
                    let detail = notice.detail().map_or(String::new(), |d| format!(" ({d})"));
                    let (code, message) = (notice.code().code(), notice.message());
                    notices.push(format!("{code} {message}{detail}"));
                }
            }
            notices
        });
        client.batch_execute(script).await.expect("the script runs");
        drop(client);
        gathered.await.expect("the connection ends")
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database);
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }
}
