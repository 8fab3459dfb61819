//! Random conditions, orders and limits over hot, cold and dead rows: the answers must be PostgreSQL's.

use tidelog_compat_tests::random;
use tokio_postgres::Client;

use crate::pair::{Pair, text};

/// Random statements, which a seed repeats.
struct Random(random::Random);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0.below(below)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        let words = [
            "", "a", "ab", "abc", "b", "room 1", "room 2", "é", "zzz", "a%_",
        ];
        let word = self.pick(&words);
        match self.below(3) {
            0 => format!("{word}{}", self.below(30)),
            _ => word.to_string(),
        }
    }

    fn float(&mut self) -> String {
        match self.below(12) {
            0 => "NaN".to_string(),
            1 => "Infinity".to_string(),
            2 => "-Infinity".to_string(),
            _ => format!("{}.5", self.below(100) as i64 - 50),
        }
    }

    /// A number with more digits than a price now and then, and of a type of its own.
    fn number(&mut self, below: u64) -> String {
        let whole = self.below(below) as i64 - below as i64 / 4;
        let digits = 1 + self.below(3) as usize;
        let number = format!("{whole}.{:0digits$}", self.below(10_u64.pow(digits as u32)));
        match self.below(3) {
            0 => format!("'{number}'::numeric"),
            _ => number,
        }
    }

    /// A value of a column, as a literal.
    fn value(&mut self, column: &str) -> String {
        match column {
            "id" => self.below(4000).to_string(),
            "n" => (self.below(60) as i64 - 20).to_string(),
            "room" | "note" => format!("'{}'", self.text()),
            "at" => format!(
                "'2026-01-{:02} {:02}:00:00+00'",
                1 + self.below(28),
                self.below(24)
            ),
            "day" => format!("'2026-01-{:02}'", 1 + self.below(28)),
            "price" => self.number(40),
            "amount" => match self.below(20) {
                0 => format!(
                    "'{}'::numeric",
                    self.pick(&["NaN", "Infinity", "-Infinity"])
                ),
                1 => format!("{}e{}", self.below(9) as i64 - 4, self.below(50)),
                _ => self.number(3000),
            },
            "ratio" => format!("'{}'", self.float()),
            "flag" => self.pick(&["true", "false"]).to_string(),
            _ => unreachable!("{column}"),
        }
    }

    fn nullable(&mut self, column: &str) -> String {
        match self.below(6) {
            0 => "NULL".to_string(),
            _ => self.value(column),
        }
    }

    /// Some values of a column, now and then with a NULL among them.
    fn values(&mut self, column: &str, most: u64) -> Vec<String> {
        let count = 1 + self.below(most);
        let value = |_| match self.below(40) {
            0 => "NULL".to_string(),
            _ => self.value(column),
        };
        (0..count).map(value).collect()
    }

    /// A condition that leaves some values of a column, or of two.
    fn listed(&mut self) -> String {
        let column = match self.below(2) {
            0 => self.pick(&["id", "room", "price", "at", "n"]),
            _ => self.pick(&COLUMNS),
        };
        let most = match self.below(8) {
            0 => 300,
            _ => 8,
        };
        let equal = |column: &str, values: Vec<String>| {
            let values = values.iter().map(|value| format!("{column} = {value}"));
            values.collect::<Vec<_>>().join(" OR ")
        };
        match self.below(7) {
            0 | 1 => format!("{column} IN ({})", self.values(column, most).join(", ")),
            2 => {
                let values = self.values(column, most).join(", ");
                format!("{column} = ANY (ARRAY[{values}]::{}[])", type_of(column))
            }
            3 => format!("({})", equal(column, self.values(column, 4))),
            4 => {
                let other = self.pick(&["id", "room", "n"]);
                let (some, others) = (self.values(column, 2), self.values(other, 3));
                format!("({} OR {})", equal(column, some), equal(other, others))
            }
            5 => {
                let (a, b) = self.pick_pair();
                let pairs = (0..1 + self.below(4))
                    .map(|_| format!("({}, {})", self.value(a), self.value(b)));
                let pairs: Vec<String> = pairs.collect();
                format!("({a}, {b}) IN ({})", pairs.join(", "))
            }
            _ => {
                let (a, b) = self.pick_pair();
                let (some, others) = (self.values(a, 5), self.values(b, 5));
                format!(
                    "{a} IN ({}) AND {b} IN ({})",
                    some.join(", "),
                    others.join(", ")
                )
            }
        }
    }

    fn pick_pair(&mut self) -> (&'static str, &'static str) {
        match self.below(3) {
            0 => ("n", "id"),
            1 => ("room", "id"),
            _ => ("n", "at"),
        }
    }

    fn condition(&mut self) -> String {
        if self.below(4) == 0 {
            return self.listed();
        }
        let column = self.pick(&COLUMNS);
        let value = self.value(column);
        match self.below(12) {
            0 => format!("{column} IS NULL"),
            1 => format!("{column} IS NOT NULL"),
            2 => {
                let values: Vec<String> = (0..1 + self.below(30))
                    .map(|_| self.value(column))
                    .collect();
                let not = self.pick(&["", "NOT "]);
                format!("{column} {not}IN ({})", values.join(", "))
            }
            3 => format!("{column} BETWEEN {value} AND {}", self.value(column)),
            4 if matches!(column, "room" | "note") => {
                let text = self.text().replace(['%', '_'], "");
                let pattern = self.pick(&["%", "_%", ""]);
                format!("{column} LIKE '{text}{pattern}'")
            }
            5 if column != "flag" => format!("NOT ({column} > {value})"),
            6 => format!("({} OR {})", self.condition(), self.condition()),
            7 => format!("({} AND {})", self.condition(), self.condition()),
            _ => {
                let operator = self.pick(&["=", "=", "<", "<=", ">", ">=", "<>"]);
                format!("{column} {operator} {value}")
            }
        }
    }

    fn query(&mut self) -> String {
        let mut query = match self.below(6) {
            0 if self.below(2) == 0 => return self.extremes(),
            0 => "SELECT count(*), min(n), max(at), count(note) FROM r".to_string(),
            1 if self.below(2) == 0 => return self.join(),
            1 => {
                return format!(
                    "SELECT id, other, n FROM r JOIN (SELECT id AS other, n AS m FROM r) b ON id = other AND n = m
                     WHERE {} ORDER BY 1",
                    self.condition()
                );
            }
            _ => format!(
                "SELECT {} FROM r",
                self.pick(&["*", "id", "id, note", "n, id, room", "at, id"])
            ),
        };
        for at in 0..self.below(4) {
            let condition = self.condition();
            query.push_str(&format!(
                " {} {condition}",
                if at == 0 { "WHERE" } else { "AND" }
            ));
        }
        if query.contains("count(*)") {
            return query;
        }
        let direction = self.pick(&["", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST"]);
        let column = self.pick(&ORDERS);
        query.push_str(&format!(" ORDER BY {column}{direction}"));
        if column != "id" {
            query.push_str(&format!(", id{}", self.pick(&["", " DESC"])));
        }
        if self.below(4) > 0 {
            query.push_str(&format!(
                " LIMIT {}",
                self.pick(&["1", "3", "10", "50", "400", "0"])
            ));
        }
        if self.below(4) == 0 {
            query.push_str(&format!(" OFFSET {}", self.below(60)));
        }
        query
    }

    /// The least and the greatest values of columns, of all rows or of those that something is equal in.
    fn extremes(&mut self) -> String {
        let mut outputs = Vec::new();
        for _ in 0..1 + self.below(3) {
            let column = self.pick(&["id", "id", "room", "at", "price", "n", "ratio"]);
            let call = self.pick(&["min", "max"]);
            outputs.push(match self.below(8) {
                0 => format!("count({column})"),
                1 => format!("{call}({column}) IS NULL"),
                2 => format!("{call}({column}) FILTER (WHERE {})", self.condition()),
                _ => format!("{call}(x.{column})"),
            });
        }
        let (first, outputs) = (outputs[0].clone(), outputs.join(", "));
        let condition = match self.below(5) {
            0 => String::new(),
            1 => format!(" WHERE room = '{}'", self.text()),
            2 => format!(" WHERE n = {}", self.value("n")),
            3 => format!(" WHERE {} AND {}", self.condition(), self.condition()),
            _ => format!(" WHERE {}", self.condition()),
        };
        let from = match self.below(6) {
            0 => "(SELECT * FROM r ORDER BY id LIMIT 40) x".to_string(),
            1 => "(SELECT * FROM r WHERE flag) x".to_string(),
            _ => "r x".to_string(),
        };
        match self.below(6) {
            0 => format!("SELECT x.flag, {outputs} FROM {from}{condition} GROUP BY 1 ORDER BY 1"),
            1 => format!(
                "SELECT id, (SELECT {first} FROM r x WHERE x.room = y.room) FROM r y WHERE id < 90 ORDER BY 1"
            ),
            _ => format!("SELECT {outputs} FROM {from}{condition}"),
        }
    }

    /// A change of the rows that a condition lists, which tells of them.
    fn change(&mut self) -> String {
        let condition = match self.below(3) {
            0 => {
                let ids = self.values("id", 5).join(", ");
                format!("id IN ({ids})")
            }
            _ => self.listed(),
        };
        let column = self.pick(&["n", "room", "note", "at"]);
        let set = match self.below(3) {
            0 => "n = n + 1, note = note || '!'".to_string(),
            _ => format!("{column} = {}", self.nullable(column)),
        };
        match self.below(4) {
            0 => format!("DELETE FROM r WHERE {condition} AND n < 30 RETURNING *"),
            1 => format!(
                "DELETE FROM r USING (VALUES (1), (2), (700)) v (k) WHERE r.id = v.k AND {condition} RETURNING r.*"
            ),
            _ => format!("UPDATE r SET {set} WHERE {condition} RETURNING *"),
        }
    }

    /// Few rows beside those of a table that they name by a key.
    fn join(&mut self) -> String {
        let few = match self.below(4) {
            0 => format!("SELECT * FROM r WHERE id = {}", self.value("id")),
            1 => format!("SELECT * FROM r WHERE room = '{}'", self.text()),
            2 => format!("SELECT * FROM r WHERE {}", self.listed()),
            _ => {
                let order = self.pick(&["id", "at DESC, id", "n, id DESC"]);
                let (condition, rows) = (self.condition(), self.below(6));
                format!("SELECT * FROM r WHERE {condition} ORDER BY {order} LIMIT {rows}")
            }
        };
        let condition = self.condition();
        let on = self.pick(&[
            "b.id = a.n",
            "b.id = a.n + 10",
            "b.id = a.id AND b.n = a.n",
            "b.n = a.n AND b.id = a.id + 1",
        ]);
        match self.below(4) {
            0 => {
                let not = self.pick(&["", "NOT "]);
                format!(
                    "SELECT id, n FROM ({few}) a WHERE {not}EXISTS (SELECT 1 FROM (SELECT * FROM r WHERE {condition}) b
                     WHERE {on}) ORDER BY 1"
                )
            }
            1 => {
                let not = self.pick(&["", "NOT "]);
                format!(
                    "SELECT id, n FROM ({few}) a WHERE n {not}IN (SELECT id FROM r WHERE {condition}) ORDER BY 1"
                )
            }
            _ => {
                let kind = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                let kind = match on.contains('+') && kind == "FULL JOIN" {
                    true => "LEFT JOIN",
                    false => kind,
                };
                format!(
                    "SELECT a.id, a.n, b.id, b.room, c.note
                     FROM ({few}) a {kind} (SELECT * FROM r WHERE {condition}) b ON {on} LEFT JOIN r c ON c.id = b.n
                     ORDER BY 1, 3, 2, 5"
                )
            }
        }
    }

    /// A query of one table with parameters, and their values in some runs.
    fn prepared(&mut self) -> (String, Vec<String>) {
        // The column that each parameter is compared with; a number of rows for none.
        let mut parameters: Vec<Option<&str>> = Vec::new();
        // Which of them are arrays.
        let mut lists = Vec::new();
        let outputs = [
            "*",
            "id, note",
            "room || '!' AS u, id",
            "x.n / 2 AS half, id",
        ];
        let mut query = format!("SELECT {} FROM r x", self.pick(&outputs));
        for at in 0..self.below(4) {
            let column = match self.below(2) {
                0 => self.pick(&["id", "room", "price", "at"]),
                _ => self.pick(&COLUMNS),
            };
            let word = if at == 0 { "WHERE" } else { "AND" };
            if self.below(4) == 0 {
                lists.push(parameters.len());
                parameters.push(Some(column));
                query.push_str(&format!(" {word} {column} = ANY (${})", parameters.len()));
                continue;
            }
            if self.below(6) == 0 {
                let given = parameters.len();
                parameters.extend([Some(column); 2]);
                query.push_str(&format!(
                    " {word} {column} IN (${}, ${})",
                    given + 1,
                    given + 2
                ));
                continue;
            }
            parameters.push(Some(column));
            let operator = self.pick(&["=", "=", "=", "<", ">=", "<>"]);
            let number = parameters.len();
            query.push_str(&format!(" {word} {column} {operator} ${number}"));
        }
        let direction = self.pick(&["", " DESC", " DESC NULLS LAST"]);
        let (before, direction) = match (self.pick(&ORDERS), self.below(3)) {
            (column, 0) if column != "id" => (format!("{column}{direction}, "), direction),
            _ => (String::new(), self.pick(&["", " DESC"])),
        };
        query.push_str(&format!(" ORDER BY {before}id{direction}"));
        for (word, likely) in [("LIMIT", 3), ("OFFSET", 1)] {
            if self.below(4) < likely {
                parameters.push(None);
                query.push_str(&format!(" {word} ${}", parameters.len()));
            }
        }
        let run = |_| {
            let value = |(at, column): (usize, &Option<&str>)| match column {
                Some(column) if lists.contains(&at) => {
                    let values = self.values(column, 7).join(", ");
                    format!("ARRAY[{values}]::{}[]", type_of(column))
                }
                Some(column) => self.nullable(column),
                None => self.pick(&["0", "1", "7", "50", "400", "NULL"]).to_string(),
            };
            let values: Vec<String> = parameters.iter().enumerate().map(value).collect();
            match values.is_empty() {
                true => "EXECUTE q".to_string(),
                false => format!("EXECUTE q ({})", values.join(", ")),
            }
        };
        (query, (0..4).map(run).collect())
    }
}

const COLUMNS: [&str; 10] = [
    "id", "n", "room", "note", "at", "day", "price", "ratio", "flag", "amount",
];
const ORDERS: [&str; 11] = [
    "id", "id", "at", "at", "room", "n", "day", "price", "ratio", "note", "amount",
];

fn type_of(column: &str) -> &'static str {
    match column {
        "id" => "int8",
        "n" => "int4",
        "room" | "note" => "text",
        "at" => "timestamptz",
        "day" => "date",
        "price" => "numeric(10,2)",
        "ratio" => "float8",
        "flag" => "bool",
        "amount" => "numeric",
        _ => unreachable!("{column}"),
    }
}

async fn both(clients: [&Client; 2], script: &str) {
    for client in clients {
        client
            .batch_execute(script)
            .await
            .unwrap_or_else(|error| panic!("{script}: {error:?}"));
    }
}

async fn compare(seed: u64, rounds: u64, queries: u64) {
    println!("SEED={seed}");
    let mut random = Random(random::Random::new(seed));
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let clients = [&tide, &pg];
    both(
        clients,
        "CREATE TABLE r (id int8 PRIMARY KEY, n int4, room text, note text, at timestamptz, day date,
             price numeric(10,2), ratio float8, flag bool, amount numeric);
         CREATE INDEX r_room ON r (room, id);
         CREATE INDEX r_price ON r (price);
         CREATE INDEX r_at ON r (at);
         CREATE UNIQUE INDEX r_pair ON r (n, id);
         CREATE INDEX r_some ON r (n, at) WHERE flag;
         CREATE INDEX r_lower ON r (lower(note), id);",
    )
    .await;
    let mut next = 0;
    for round in 0..rounds {
        let rows: Vec<String> = (0..200 + random.below(1400))
            .map(|_| {
                // Mostly ascending, as ids are that are drawn by time.
                next += random.below(3);
                let id = match random.below(10) {
                    0 => 1_000_000 + next * 7 % 5000,
                    _ => next,
                };
                let values: Vec<String> = COLUMNS[1..]
                    .iter()
                    .map(|column| random.nullable(column))
                    .collect();
                format!("({id}, {})", values.join(", "))
            })
            .collect();
        both(
            clients,
            &format!(
                "INSERT INTO r VALUES {} ON CONFLICT DO NOTHING",
                rows.join(", ")
            ),
        )
        .await;
        for _ in 0..random.below(4) {
            let condition = random.condition();
            let column = random.pick(&["n", "room", "note", "at"]);
            let value = random.nullable(column);
            let id = random.below(next + 1);
            let change = match random.below(3) {
                0 => format!(
                    "DELETE FROM r WHERE id % 11 = {} AND ({condition})",
                    random.below(11)
                ),
                1 => format!("UPDATE r SET {column} = {value} WHERE id = {id}"),
                _ => format!(
                    "UPDATE r SET {column} = {value} WHERE id % 13 = {} AND ({condition})",
                    random.below(13)
                ),
            };
            both(clients, &change).await;
        }
        for _ in 0..random.below(8) {
            let change = random.change();
            let changed = async |client| {
                let mut rows = text(client, &change).await.rows;
                rows.sort();
                rows
            };
            assert_eq!(
                changed(&tide).await,
                changed(&pg).await,
                "seed {seed}, round {round}: {change}"
            );
        }
        match (round + random.below(2)) % 4 {
            0 | 1 => tide.batch_execute("CALL tidelog.flush('r')").await.unwrap(),
            2 => tide
                .batch_execute("CALL tidelog.compact('r')")
                .await
                .unwrap(),
            _ => {}
        }
        for _ in 0..queries {
            let (queries, prepared) = match random.below(2) {
                0 => (vec![random.query()], None),
                _ => {
                    let (prepared, runs) = random.prepared();
                    both(clients, &format!("PREPARE q AS {prepared}")).await;
                    (runs, Some(prepared))
                }
            };
            // Now and then in a transaction that has changed something.
            let inside = random.below(6) == 0;
            if inside {
                let id = random.below(next + 1);
                both(
                    clients,
                    &format!(
                        "BEGIN; UPDATE r SET n = 7 WHERE id = {id}; DELETE FROM r WHERE id = {}",
                        id + 1
                    ),
                )
                .await;
            }
            for query in queries {
                let (found, expected) = (text(&tide, &query).await, text(&pg, &query).await);
                if found.rows != expected.rows {
                    let differs = (found.rows.iter().zip(&expected.rows)).position(|(a, b)| a != b);
                    let plan = match &prepared {
                        None => text(&tide, &format!("EXPLAIN ANALYZE {query}")).await.rows,
                        Some(_) => Vec::new(),
                    };
                    panic!(
                        "seed {seed}, round {round}: {query} of {prepared:?}\n{} rows, PostgreSQL has {}; \
                         first difference at {differs:?}: {:?} and {:?}\n{plan:#?}",
                        found.rows.len(),
                        expected.rows.len(),
                        differs.map(|at| &found.rows[at]),
                        differs.map(|at| &expected.rows[at]),
                    );
                }
            }
            if prepared.is_some() {
                both(clients, "DEALLOCATE q").await;
            }
            if inside {
                both(clients, "ROLLBACK").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_answer_as_postgresql() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = random::number("SEED").unwrap_or_else(|| now.map_or(0, |now| now.as_secs()));
    compare(seed, 4, 30).await;
}

#[ignore = "minutes: scripts/test --long"]
#[tokio::test(flavor = "multi_thread")]
async fn many_random_queries_answer_as_postgresql() {
    for seed in 1..=10 {
        compare(seed, 20, 150).await;
    }
}
