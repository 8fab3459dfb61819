//! What goes on beside the load: files are flushed and merged, logs cut, indexes made, and one table is made, altered,
//! emptied and dropped in a circle of steps whose outcome can be told from the outside.

use tidelog_compat_tests::{Peer, Random};
use tokio_postgres::Client;

use super::check::{Gone, rows};

/// A statement on `c.side` and what `describe` says before it.
struct Step {
    before: &'static str,
    statement: &'static str,
}

/// `b3` is in 4 of the first 40 rows and in 2 of the other 20; 8 rows of 60 are moved.
const CIRCLE: [Step; 17] = [
    Step {
        before: "absent",
        statement: "CREATE TABLE c.side (id int8 PRIMARY KEY, body text)",
    },
    Step {
        before: "id,body|0|0|0|0",
        statement: "INSERT INTO c.side SELECT g, 'b' || g % 10 FROM generate_series(1, 40) g",
    },
    Step {
        before: "id,body|40|4|0|0",
        statement: "CALL tidelog.flush('c.side')",
    },
    Step {
        before: "id,body|40|4|0|0",
        statement: "ALTER TABLE c.side ADD COLUMN x int8 DEFAULT 7",
    },
    Step {
        before: "id,body,x=280|40|4|0|0",
        statement: "INSERT INTO c.side SELECT g, 'b' || g % 10, 8 FROM generate_series(41, 60) g",
    },
    Step {
        before: "id,body,x=440|60|6|0|0",
        statement: "CREATE INDEX side_body ON c.side (body)",
    },
    Step {
        before: "id,body,x=440|60|6|0|1",
        statement: "UPDATE c.side SET body = 'moved' WHERE id % 7 = 0",
    },
    Step {
        before: "id,body,x=440|60|6|8|1",
        statement: "CALL tidelog.flush('c.side')",
    },
    Step {
        before: "id,body,x=440|60|6|8|1",
        statement: "CALL tidelog.compact('c.side')",
    },
    Step {
        before: "id,body,x=440|60|6|8|1",
        statement: "ALTER TABLE c.side DROP COLUMN x",
    },
    Step {
        before: "id,body|60|6|8|1",
        statement: "TRUNCATE c.side",
    },
    Step {
        before: "id,body|0|0|0|1",
        statement: "INSERT INTO c.side SELECT g, 'b' || g % 10 FROM generate_series(1, 40) g",
    },
    Step {
        before: "id,body|40|4|0|1",
        statement: "INSERT INTO c.guests (_user, id) VALUES ('guest', 1), ('guest', 2)",
    },
    Step {
        before: "id,body|40|4|0|1|2 guests",
        statement: "CALL tidelog.flush('c.guests')",
    },
    Step {
        before: "id,body|40|4|0|1|2 guests",
        statement: "INSERT INTO c.guests (_user, id) VALUES ('guest', 3)",
    },
    Step {
        before: "id,body|40|4|0|1|3 guests",
        statement: ERASURE,
    },
    Step {
        before: "id,body|40|4|0|1",
        statement: "DROP TABLE c.side",
    },
];

const ERASURE: &str = "CALL tidelog.erase_user('guest')";

/// What `c.side` is like: its columns (with the sum of `x`), rows, rows of two bodies, indexes; and the user's rows, if
/// there are any.
pub(super) async fn describe(client: &Client) -> Result<String, Gone> {
    let columns = "SELECT column_name FROM information_schema.columns
        WHERE table_schema = 'c' AND table_name = 'side' ORDER BY ordinal_position";
    let columns: Vec<String> = rows(client, columns).await?.into_iter().flatten().collect();
    if columns.is_empty() {
        return Ok("absent".to_string());
    }
    let x = match columns.iter().any(|column| column == "x") {
        true => ",x=' || sum(x) || '",
        false => "",
    };
    let counts = format!(
        "SELECT 'id,body{x}|' || count(*) || '|' FROM c.side
         UNION ALL SELECT count(*) || '|' FROM c.side WHERE body = 'b3'
         UNION ALL SELECT count(*) || '|' FROM c.side WHERE body = 'moved'"
    );
    let mut parts = Vec::new();
    for query in counts.split("UNION ALL") {
        parts.extend(rows(client, query).await?.into_iter().flatten());
    }
    let indexes =
        "SELECT count(*) FROM pg_indexes WHERE schemaname = 'c' AND indexname = 'side_body'";
    parts.extend(rows(client, indexes).await?.into_iter().flatten());
    let guests = "SELECT '|' || count(*) || ' guests' FROM c.guests WHERE _user = 'guest' HAVING count(*) > 0";
    parts.extend(rows(client, guests).await?.into_iter().flatten());
    Ok(parts.concat())
}

/// Where the circle stands after so many statements were acknowledged and, perhaps, one more was sent.
pub(super) async fn find(client: &Client, told: &SideTold) -> Result<usize, Gone> {
    let found = describe(client).await?;
    let next = (told.at + 1) % CIRCLE.len();
    if found == CIRCLE[told.at].before {
        return Ok(told.at);
    }
    assert!(
        told.open && found == CIRCLE[next].before,
        "c.side is {found}; acknowledged: {}, then sent ({}): {}",
        CIRCLE[told.at].before,
        told.open,
        CIRCLE[told.at].statement
    );
    Ok(next)
}

/// Where the circle stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SideTold {
    /// The statement that comes next.
    pub(super) at: usize,
    /// Whether it was sent, and its outcome not told.
    pub(super) open: bool,
}

#[derive(Clone, Copy)]
enum Job {
    Side,
    Flush(&'static str),
    Compact(&'static str),
    Trim,
    /// A row that expires after a second.
    Blip,
    Index,
}

const JOBS: [Job; 12] = [
    Job::Side,
    Job::Side,
    Job::Side,
    Job::Flush("c.accounts"),
    Job::Flush("c.wallets"),
    Job::Flush("c.transfers"),
    Job::Flush("c.progress"),
    Job::Compact("c.accounts"),
    Job::Compact("c.transfers"),
    Job::Trim,
    Job::Blip,
    Job::Index,
];

/// The jobs that lead to a failpoint.
fn leading_to(step: &str, at: usize) -> Vec<Job> {
    match step.split_once('_').map_or(step, |(kind, _)| kind) {
        "catalog" => vec![Job::Side],
        "index" => vec![Job::Index],
        "flush" | "file" => vec![Job::Flush("c.accounts"), Job::Flush("c.wallets")],
        "compact" | "garbage" => vec![
            Job::Flush("c.accounts"),
            Job::Flush("c.accounts"),
            Job::Compact("c.accounts"),
        ],
        "trim" => vec![Job::Flush("c.transfers"), Job::Flush("c.vaults"), Job::Trim],
        "expired" => vec![Job::Blip],
        "erase" => {
            let erasure = CIRCLE.iter().position(|step| step.statement == ERASURE);
            let steps = (erasure.unwrap_or(0) + CIRCLE.len() - at) % CIRCLE.len();
            vec![Job::Side; steps + 1]
        }
        _ => Vec::new(),
    }
}

/// Does one after the other until the server goes, first what leads to the step.
pub(super) async fn until_gone(
    peer: Peer,
    step: Option<&'static str>,
    at: usize,
    mut random: Random,
) -> SideTold {
    let mut told = SideTold { at, open: false };
    let Ok(client) = peer.try_connect().await else {
        return told;
    };
    let leading = step.map(|step| leading_to(step, at)).unwrap_or_default();
    let mut leading = leading.into_iter();
    loop {
        let job = leading.next().unwrap_or_else(|| *random.pick(&JOBS));
        let statements: Vec<String> = match job {
            Job::Side => vec![CIRCLE[told.at].statement.to_string()],
            Job::Flush(table) => vec![format!("CALL tidelog.flush('{table}')")],
            Job::Compact(table) => vec![format!("CALL tidelog.compact('{table}')")],
            Job::Trim => vec!["CALL tidelog.trim()".to_string()],
            Job::Blip => vec!["INSERT INTO c.blips VALUES (1)".to_string()],
            Job::Index => vec![
                "DROP INDEX IF EXISTS c.transfers_account".to_string(),
                "CREATE INDEX transfers_account ON c.transfers (account)".to_string(),
            ],
        };
        told.open = matches!(job, Job::Side);
        for statement in statements {
            if let Err(error) = client.batch_execute(&statement).await {
                assert!(error.as_db_error().is_none(), "{statement}: {error:?}");
                return told;
            }
        }
        if told.open {
            told.at = (told.at + 1) % CIRCLE.len();
            told.open = false;
        }
    }
}
