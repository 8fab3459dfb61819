//! ALTER TABLE … ALTER COLUMN … TYPE beside PostgreSQL: values, keys, indexes, checks and defaults of the new type, in both
//! tiers; what becomes of the past and of readers.

use tidelog_compat_tests::{Feed, Server};

use crate::pair::{Pair, same_answers, same_outcome};

const FLUSH: &str = "CALL tidelog.flush('\"Ä t\"');";

const ROWS: &str = "SELECT * FROM \"Ä t\" ORDER BY id";

/// A table with a column in every place that a type matters for.
const TABLE: &str = "
    CREATE TYPE \"Läune\" AS ENUM ('gut', 'übel');
    CREATE TYPE mood2 AS ENUM ('übel', 'gut', 'neu');
    CREATE TABLE \"Ä t\" (
        id int PRIMARY KEY, \"Zahl\" int DEFAULT 3, w text DEFAULT '5', n numeric(6,2) DEFAULT 1.5, small smallint,
        v varchar(4) UNIQUE, at timestamptz DEFAULT '2024-01-01 00:00+00', feel \"Läune\" DEFAULT 'gut', j jsonb,
        f float8, list int[], o int REFERENCES \"Ä t\", CHECK (\"Zahl\" > 0), CHECK (length(w) < 6)
    );
    CREATE INDEX ON \"Ä t\" (\"Zahl\", w);
    CREATE INDEX ON \"Ä t\" (\"Zahl\") WHERE at IS NOT NULL;
    CREATE TABLE child (c int PRIMARY KEY, up int REFERENCES \"Ä t\");
    INSERT INTO \"Ä t\" VALUES
        (1, 10, '1', 1.25, 7, 'a', '2024-02-03 04:05:06.789+00', 'gut', '{\"a\": 1}', 1.5, '{1,2}', NULL),
        (2, 20, '22', 2.5, 8, 'b', '2024-03-03 04:05:06+00', 'übel', '[2]', 2.5, '{}', 1),
        (3, 30, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (4, 40, '4', 999.99, 9, 'dddd', '2024-05-03', 'gut', '\"x\"', -0.5, '{3}', 2);
    INSERT INTO child VALUES (1, 1), (2, NULL);";

/// Changes, those that PostgreSQL refuses among them.
const CHANGES: &[&str] = &[
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint",
    "INSERT INTO \"Ä t\" (id, \"Zahl\") VALUES (5, 32767)",
    "ALTER TABLE \"Ä t\" ALTER COLUMN \"Zahl\" SET DATA TYPE bigint",
    "ALTER TABLE \"Ä t\" ALTER id TYPE bigint, ALTER small TYPE int USING small * 1000",
    "ALTER TABLE \"Ä t\" ALTER id TYPE smallint",
    "INSERT INTO \"Ä t\" (id) VALUES (1)",
    "INSERT INTO \"Ä t\" (id) VALUES (70000)",
    "ALTER TABLE \"Ä t\" ALTER small TYPE smallint",
    "ALTER TABLE \"Ä t\" ALTER small TYPE smallint USING small * 10",
    "ALTER TABLE \"Ä t\" ALTER w TYPE int",
    "ALTER TABLE \"Ä t\" ALTER w TYPE int USING w::int",
    "ALTER TABLE \"Ä t\" ALTER w DROP DEFAULT, ALTER w TYPE int USING w::int",
    "ALTER TABLE \"Ä t\" DROP CONSTRAINT \"Ä t_w_check\"",
    "ALTER TABLE \"Ä t\" ALTER w DROP DEFAULT, ALTER w TYPE int USING w::int",
    "ALTER TABLE \"Ä t\" ALTER w TYPE text, ALTER w SET DEFAULT 'neu'",
    "ALTER TABLE \"Ä t\" ALTER n TYPE int",
    "INSERT INTO \"Ä t\" (id) VALUES (6)",
    "ALTER TABLE \"Ä t\" ALTER n TYPE numeric(3,1)",
    "ALTER TABLE \"Ä t\" ALTER n TYPE numeric(9,1)",
    "ALTER TABLE \"Ä t\" ALTER v TYPE varchar(2)",
    "ALTER TABLE \"Ä t\" ALTER v TYPE varchar(2) USING v::varchar(2)",
    "INSERT INTO \"Ä t\" (id, v) VALUES (7, 'dd')",
    "ALTER TABLE \"Ä t\" ALTER v TYPE text USING 'same'",
    "ALTER TABLE \"Ä t\" ALTER v TYPE text USING NULL",
    "ALTER TABLE \"Ä t\" ALTER v TYPE char(3) USING id",
    "ALTER TABLE \"Ä t\" ALTER at TYPE date",
    "INSERT INTO \"Ä t\" (id) VALUES (8)",
    "ALTER TABLE \"Ä t\" ALTER at TYPE timestamp(0)",
    "ALTER TABLE \"Ä t\" ALTER at TYPE int",
    "ALTER TABLE \"Ä t\" ALTER feel TYPE mood2 USING feel::text::mood2",
    "ALTER TABLE \"Ä t\" ALTER feel DROP DEFAULT, ALTER feel TYPE mood2 USING feel::text::mood2, ALTER feel SET DEFAULT 'neu'",
    "INSERT INTO \"Ä t\" (id) VALUES (9)",
    "SELECT id FROM \"Ä t\" WHERE feel > 'übel'",
    "DROP TYPE \"Läune\"",
    "ALTER TABLE \"Ä t\" ALTER feel TYPE text",
    "ALTER TABLE \"Ä t\" ALTER feel DROP DEFAULT",
    "DROP TYPE mood2",
    "ALTER TABLE \"Ä t\" ALTER j TYPE text USING j ->> 'a'",
    "ALTER TABLE \"Ä t\" ALTER j TYPE json",
    "ALTER TABLE \"Ä t\" ALTER f TYPE int",
    "ALTER TABLE \"Ä t\" ALTER f TYPE bool",
    "ALTER TABLE \"Ä t\" ALTER f TYPE bool USING f > 0",
    "ALTER TABLE \"Ä t\" ALTER list TYPE text[]",
    "ALTER TABLE \"Ä t\" ALTER list TYPE int USING array_length(list, 1)",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE text",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE int USING -1",
    "ALTER TABLE \"Ä t\" ALTER id TYPE int USING 1",
    "ALTER TABLE \"Ä t\" ALTER id TYPE int USING NULL",
    "ALTER TABLE \"Ä t\" ALTER id TYPE int USING id + 10",
    "ALTER TABLE \"Ä t\" ALTER id TYPE text",
    "ALTER TABLE \"Ä t\" ALTER o TYPE text",
    "ALTER TABLE child ALTER up TYPE text",
    "ALTER TABLE child ALTER up TYPE smallint, ALTER c TYPE numeric",
    "DELETE FROM \"Ä t\" WHERE id = 1",
    "INSERT INTO child VALUES (3, 77)",
    "INSERT INTO child VALUES (3, 4)",
    "UPDATE child SET up = NULL",
    "ALTER TABLE \"Ä t\" ADD UNIQUE (\"Zahl\")",
    "UPDATE \"Ä t\" SET \"Zahl\" = id * 10",
    "ALTER TABLE \"Ä t\" DROP o, ALTER id TYPE bigint USING id * -1, ADD more int DEFAULT 4, ADD sum int GENERATED ALWAYS AS (small + 1) STORED, ADD UNIQUE (\"Zahl\")",
    "INSERT INTO \"Ä t\" (id, \"Zahl\") VALUES (10, 40)",
    "INSERT INTO \"Ä t\" (id, \"Zahl\") VALUES (10, 41)",
    "ALTER TABLE \"Ä t\" ALTER small TYPE int",
    "ALTER TABLE \"Ä t\" ALTER sum TYPE text USING 5",
    "ALTER TABLE \"Ä t\" ALTER sum TYPE bool",
    "ALTER TABLE \"Ä t\" ALTER sum TYPE numeric(9,2)",
    "UPDATE \"Ä t\" SET small = 5 WHERE id = -2",
    "ALTER TABLE \"Ä t\" DROP sum",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING (SELECT 1)",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING sum(id)",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING row_number() OVER ()",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING generate_series(1, 2)",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING missing",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING w",
    "ALTER TABLE \"Ä t\" ALTER w DROP DEFAULT",
    "ALTER TABLE \"Ä t\" ALTER w TYPE int USING 'x'",
    "ALTER TABLE \"Ä t\" ALTER w TYPE nosuch",
    "ALTER TABLE \"Ä t\" ALTER w TYPE serial",
    "ALTER TABLE \"Ä t\" ALTER missing TYPE int",
    "ALTER TABLE \"Ä t\" ALTER ctid TYPE int",
    "ALTER TABLE \"Ä t\" ALTER w TYPE varchar(9), ALTER w TYPE text",
    "ALTER TABLE \"Ä t\" ALTER \"Zahl\" TYPE smallint USING \"Ä t\".\"Zahl\" + small",
    "CREATE VIEW seen AS SELECT w FROM \"Ä t\"",
    "ALTER TABLE \"Ä t\" ALTER w TYPE varchar(9)",
    "DROP VIEW seen",
    "BEGIN; UPDATE \"Ä t\" SET more = 6 WHERE id = -2; ALTER TABLE \"Ä t\" ALTER more TYPE text USING 'was ' || more; UPDATE \"Ä t\" SET more = more || '!' WHERE id = -3; COMMIT",
    "BEGIN; ALTER TABLE \"Ä t\" ALTER more TYPE int USING length(more); SAVEPOINT s; ALTER TABLE \"Ä t\" ALTER more DROP DEFAULT, ALTER more TYPE bool USING true; ROLLBACK TO s; UPDATE \"Ä t\" SET more = more + 1; COMMIT",
    "BEGIN; ALTER TABLE \"Ä t\" ALTER more TYPE text; ROLLBACK",
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_change_their_types_as_in_postgresql() {
    for flush in [false, true] {
        let pair = Pair::start();
        pair.run(TABLE);
        let (tide, pg) = pair.connect().await;
        for (at, sql) in CHANGES.iter().enumerate() {
            if flush {
                pair.tide.peer().run(FLUSH);
            }
            same_outcome(&tide, &pg, sql).await;
            same_answers(&tide, &pg, ROWS).await;
            same_answers(&tide, &pg, "SELECT * FROM child ORDER BY 1").await;
            if at % 8 == 0 && !sql.contains("sum") {
                pair.same("\\d \"Ä t\"");
            }
            for found in [
                "SELECT w FROM \"Ä t\" WHERE \"Zahl\" = 30 OR \"Zahl\" = 32767 ORDER BY id",
                "SELECT \"Zahl\" FROM \"Ä t\" WHERE id IN (1, 2, -2, 12) ORDER BY id",
            ] {
                same_answers(&tide, &pg, found).await;
            }
        }
    }
}

/// The rows of both tiers, after a restart, too; what the rows were before is refused.
#[test]
fn rows_of_both_tiers_get_another_type_for_good() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id bigint PRIMARY KEY, \"Größe\" text);
         INSERT INTO t SELECT n, n::text FROM generate_series(1, 5000) AS s(n);
         CALL tidelog.flush('t');
         UPDATE t SET \"Größe\" = '100000' WHERE id = 17; DELETE FROM t WHERE id = 18;
         INSERT INTO t VALUES (6000, '6000');",
    );
    let before = server.peer().value("SELECT max(_seq) FROM t");
    server
        .peer()
        .run("ALTER TABLE t ALTER \"Größe\" TYPE int USING \"Größe\"::int, ALTER id TYPE int;");
    let sums = "SELECT count(*), sum(id), sum(\"Größe\"), max(\"Größe\") FROM t";
    let expected = "5000|12508482|12608465|100000";
    for step in ["", "flush", "restart", "compact"] {
        match step {
            "" => {}
            "restart" => server.restart(),
            call => server
                .peer()
                .run(&format!("CALL tidelog.{call}('t');"))
                .truncate(0),
        }
        let peer = server.peer();
        assert_eq!(peer.value(sums), expected, "{step}");
        // In the order that they were in.
        assert_eq!(
            peer.value("SELECT string_agg(id::text, ' ') FROM (SELECT id FROM t ORDER BY _seq DESC LIMIT 3) AS s"),
            "6000 17 5000"
        );
        assert_eq!(
            peer.value("SELECT \"Größe\" + 1 FROM t WHERE id = 17"),
            "100001"
        );
    }
    let past = format!("SELECT count(*) FROM t AS OF SEQ {before};");
    let refused = server.peer().try_run(&past).expect_err("it is gone");
    assert!(refused.contains("rewritten at Seq"), "{refused}");
}

#[test]
fn rows_of_all_users_get_another_type() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE ann; CREATE ROLE bob;
         CREATE TABLE mine (id int PRIMARY KEY, n text) WITH (type = 'user');
         INSERT INTO mine (_user, id, n) VALUES ('ann', 1, '10'), ('bob', 1, '20');
         CALL tidelog.flush('mine'); INSERT INTO mine (_user, id, n) VALUES ('bob', 2, '30');
         ALTER TABLE mine ALTER n TYPE int USING n::int, ALTER id TYPE bigint;",
    );
    assert_eq!(peer.value("SET ROLE ann; SELECT sum(n) FROM mine"), "10");
    assert_eq!(
        peer.value("SELECT string_agg(_user || id || ':' || n, ' ' ORDER BY _user, id) FROM mine"),
        "ann1:10 bob1:20 bob2:30"
    );
    peer.run("CREATE TABLE s (a int) WITH (type = 'stream', ttl = '1h');");
    let refused = peer.try_run("ALTER TABLE s ALTER a TYPE text;");
    assert!(
        refused
            .expect_err("rows would live longer")
            .contains("STREAM")
    );
    peer.run("ALTER TABLE s ALTER a TYPE bigint;");
}

/// Rows that others write while a type changes are there, too.
#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_while_a_type_changes() {
    let tide = Server::start();
    tide.peer().run(
        "CREATE TABLE t (id int PRIMARY KEY, n int);
         INSERT INTO t SELECT n, n FROM generate_series(1, 2000) AS s(n);",
    );
    let (writer, altering) = (tide.peer().connect().await, tide.peer().connect().await);
    let writing = tokio::spawn(async move {
        for id in 3000..3150 {
            for sql in [
                format!("INSERT INTO t (id, n) VALUES ({id}, {id})"),
                format!("UPDATE t SET n = n + 1 WHERE id = {}", id - 2500),
            ] {
                writer.batch_execute(&sql).await.unwrap();
            }
        }
    });
    for to in ["bigint", "numeric(9,2)", "int"] {
        let alter = format!("ALTER TABLE t ALTER n TYPE {to}, ALTER id TYPE {to}");
        altering.batch_execute(&alter).await.unwrap();
    }
    writing.await.unwrap();
    assert_eq!(
        tide.peer().value("SELECT count(*), sum(n) FROM t"),
        "2150|2462325"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_columns_sequence_gets_its_type() {
    let pair = Pair::start();
    pair.run("CREATE TABLE i (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \"Größe\" serial);");
    let (tide, pg) = pair.connect().await;
    for sql in [
        "INSERT INTO i DEFAULT VALUES",
        "ALTER TABLE i ALTER a TYPE smallint, ALTER \"Größe\" TYPE smallint",
        "ALTER TABLE i ALTER a TYPE text",
        "INSERT INTO i DEFAULT VALUES",
        "ALTER TABLE i ALTER \"Größe\" TYPE text",
        "INSERT INTO i DEFAULT VALUES",
        "ALTER TABLE i ALTER \"Größe\" TYPE bool USING true",
        "ALTER TABLE i ALTER a TYPE bigint",
        "INSERT INTO i DEFAULT VALUES",
    ] {
        same_outcome(&tide, &pg, sql).await;
        same_answers(&tide, &pg, "SELECT * FROM i ORDER BY a").await;
        pair.same("SELECT sequencename, data_type, max_value FROM pg_sequences ORDER BY 1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_a_rewrite_ends_is_not_sent_back_to_before_it() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE r (id int PRIMARY KEY, n int, x text); INSERT INTO r VALUES (1, 1, 'a');",
    );
    for (alter, hint) in [
        (
            "ALTER TABLE r ADD y int",
            "Read the table again and subscribe to what comes after.",
        ),
        (
            "ALTER TABLE r ALTER n TYPE text",
            "Read the table again and subscribe to what comes after: its rows were written anew.",
        ),
    ] {
        let mut feed = Feed::open(&peer, "SUBSCRIBE TO r");
        feed.until_ready().await;
        peer.run(&format!(
            "{alter}; INSERT INTO r (id) VALUES (99); DELETE FROM r WHERE id = 99;"
        ));
        while feed.try_next().await.is_some() {}
        let error = feed.error().await;
        assert!(
            error.contains("was altered") && error.contains(hint),
            "{alter}: {error}"
        );
    }
}
