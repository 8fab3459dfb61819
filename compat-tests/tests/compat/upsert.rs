//! INSERT … ON CONFLICT, beside PostgreSQL and under concurrency.

use tidelog_compat_tests::Server;

use crate::constraints::play;
use crate::pair::Pair;

const SCRIPT: &str = "
    CREATE TABLE up (id int4 PRIMARY KEY, n int4, b text DEFAULT 'd');
    INSERT INTO up VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');
";

const STATEMENTS: &[&str] = &[
    "INSERT INTO up VALUES (1, 11, 'x'), (4, 40, 'c') ON CONFLICT DO NOTHING RETURNING *",
    "INSERT INTO up VALUES (1, 11, 'x'), (5, 50, 'e') ON CONFLICT (id)
         DO UPDATE SET n = up.n + excluded.n, b = excluded.b RETURNING *",
    "INSERT INTO up AS t VALUES (2, 5, 'y') ON CONFLICT (id)
         DO UPDATE SET n = t.n * 2, b = DEFAULT WHERE t.n < 100 RETURNING *",
    "INSERT INTO up VALUES (2, 5, 'y') ON CONFLICT ON CONSTRAINT up_pkey
         DO UPDATE SET n = 0 WHERE up.n > 1000 RETURNING *",
    "INSERT INTO up VALUES (7, 1), (7, 2) ON CONFLICT DO NOTHING RETURNING *",
    "INSERT INTO up VALUES (7, 1) ON CONFLICT (id) DO UPDATE SET id = 70 RETURNING *",
    "INSERT INTO up VALUES (1, 2), (1, 3) ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE up.n > 500 RETURNING *",
    "INSERT INTO up VALUES (1, 2), (1, 999) ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE excluded.n > 500 RETURNING *",
    "INSERT INTO up VALUES (1, 2, 'moved'), (1, 3, 'new') ON CONFLICT (id) DO UPDATE SET id = 61 RETURNING *",
    "INSERT INTO up SELECT id, n, 'selected' FROM up WHERE id < 4 ORDER BY id ON CONFLICT (id) DO UPDATE SET b = excluded.b RETURNING *",
];

const REFUSED: &[&str] = &[
    "INSERT INTO up VALUES (7, 1), (7, 2) ON CONFLICT (id) DO UPDATE SET n = 1",
    "INSERT INTO up VALUES (8, 1), (8, 2) ON CONFLICT (id) DO UPDATE SET n = 1 WHERE false",
    "INSERT INTO up VALUES (2, 1), (2, 2) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
    "INSERT INTO up VALUES (1, 1) ON CONFLICT (n) DO NOTHING",
    "INSERT INTO up VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1",
    "INSERT INTO up VALUES (1, 1) ON CONFLICT DO UPDATE SET n = 1",
    "INSERT INTO up VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET id = 2",
    "INSERT INTO up VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET id = NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_end_as_in_postgresql_hot_and_cold() {
    let pair = Pair::start();
    pair.run(SCRIPT);
    for flushed in [false, true] {
        if flushed {
            pair.run(
                "TRUNCATE up; INSERT INTO up VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');",
            );
            pair.tide.peer().run("CALL tidelog.flush('up');");
        }
        for statement in STATEMENTS {
            pair.same(statement);
        }
        pair.same("SELECT * FROM up ORDER BY id");
        let (tide, pg) = pair.connect().await;
        for statement in REFUSED {
            let code = async |client: &tokio_postgres::Client| {
                let error = client.batch_execute(statement).await.expect_err(statement);
                error.code().expect(statement).code().to_string()
            };
            assert_eq!(code(&tide).await, code(&pg).await, "{statement}");
        }
        pair.same("SELECT * FROM up ORDER BY id");
        let insert =
            "INSERT INTO up (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = up.n + $3";
        for client in [&tide, &pg] {
            let insert = client.prepare(insert).await.unwrap();
            for _ in 0..3 {
                assert_eq!(
                    client
                        .execute(&insert, &[&9_i32, &1_i32, &10_i32])
                        .await
                        .unwrap(),
                    1
                );
            }
        }
        pair.same("SELECT * FROM up WHERE id = 9");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_upserts_all_count() {
    const EACH: i32 = 100;
    let server = Server::start();
    server
        .peer()
        .run("CREATE TABLE counts (id int4 PRIMARY KEY, n int4);");
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let peer = server.peer();
            tokio::spawn(async move {
                let client = peer.connect().await;
                for _ in 0..EACH {
                    let upsert = "INSERT INTO counts VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = counts.n + 1";
                    client.batch_execute(upsert).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        server.peer().value("SELECT n FROM counts"),
        (4 * EACH).to_string()
    );
}

/// The returned rows must not be taken for the table.
#[test]
fn a_subquery_on_the_table_in_its_own_returning_is_refused() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE up (id int4 PRIMARY KEY); CREATE TABLE other (n int4); INSERT INTO up VALUES (1), (2); INSERT INTO other VALUES (5);");
    let error = peer
        .try_run("INSERT INTO up VALUES (3) RETURNING (SELECT count(*) FROM up);")
        .unwrap_err();
    assert!(error.contains("is not supported"), "{error}");
    assert_eq!(peer.value("SELECT count(*) FROM up"), "2");
    assert_eq!(
        peer.value("INSERT INTO up VALUES (3) RETURNING (SELECT n FROM other)"),
        "5"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn returning_names_pseudo_columns() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE USER TABLE mine (id int4 PRIMARY KEY, n int4); CREATE TABLE all_seq (id int4 PRIMARY KEY);");
    assert_eq!(
        peer.value("INSERT INTO mine VALUES (1, 1) RETURNING _user, id"),
        "postgres|1"
    );
    assert_eq!(
        peer.value("UPDATE mine AS m SET n = 2 RETURNING m._user || '!', *"),
        "postgres!|1|2"
    );
    assert_eq!(
        peer.value(
            "INSERT INTO mine VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 3 RETURNING n, _user"
        ),
        "3|postgres"
    );
    let seq = peer.value("SELECT _seq FROM mine");
    assert_eq!(
        peer.value("DELETE FROM mine RETURNING _seq, _user, *"),
        format!("{seq}|postgres|1|3")
    );
    for statement in [
        "INSERT INTO mine VALUES (2, 1) RETURNING _seq",
        "INSERT INTO mine VALUES (2, 1) RETURNING (mine._seq + 1)::text",
        "UPDATE mine SET n = 5 RETURNING id, _seq",
    ] {
        let error = peer.try_run(&format!("{statement};")).unwrap_err();
        assert!(
            error.contains("_seq of a new row") && error.contains("not supported"),
            "{error}"
        );
    }
    // An ordinary role sees no `_user`, and names that look alike are others.
    assert_eq!(
        peer.value("INSERT INTO all_seq VALUES (1) RETURNING all_seq.id"),
        "1"
    );
    let error = peer
        .try_run("DELETE FROM all_seq RETURNING _user;")
        .unwrap_err();
    assert!(error.contains("\"_user\" does not exist"), "{error}");
    // Prepared statements know their columns beforehand.
    let client = server.peer().connect().await;
    let insert = "INSERT INTO mine VALUES ($1, 1) RETURNING _user, id";
    let row = client.query_one(insert, &[&9_i32]).await.unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i32>(1)),
        ("postgres", 9)
    );
    let row = client
        .query_one("DELETE FROM mine RETURNING _seq", &[])
        .await
        .unwrap();
    assert!(row.get::<_, i64>(0) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_conflict_obey_the_checks() {
    play(
        "CREATE TABLE li (a int CHECK (a <> 13), t text UNIQUE, n int NOT NULL DEFAULT 1, g int GENERATED ALWAYS AS (a * 2) STORED CHECK (g < 100));
         INSERT INTO li (a, t) VALUES (1, 'x');
         INSERT INTO li (a, t) VALUES (13, 'x') ON CONFLICT (t) DO NOTHING;
         INSERT INTO li (a, t) VALUES (13, 'x') ON CONFLICT DO NOTHING;
         INSERT INTO li (a, t) VALUES (13, 'x') ON CONFLICT (t) DO UPDATE SET a = 5;
         INSERT INTO li (a, t) VALUES (60, 'x') ON CONFLICT (t) DO UPDATE SET a = 5;
         INSERT INTO li (a, t, n) VALUES (2, 'x', NULL) ON CONFLICT (t) DO NOTHING;
         INSERT INTO li (a, t) VALUES (2, 'x') ON CONFLICT (t) DO UPDATE SET a = 13;
         INSERT INTO li (a, t) VALUES (2, 'x'), (13, 'y') ON CONFLICT (t) DO NOTHING;
         INSERT INTO li (a, t) VALUES (2, 'x') ON CONFLICT (t) DO NOTHING;
         SELECT a, t, n, g FROM li ORDER BY t;
         CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE de (id int PRIMARY KEY, m mood DEFAULT 'ok', v varchar(3) DEFAULT 'abc', d date DEFAULT '2024-01-01', x numeric(5,1) DEFAULT 1.25, n int DEFAULT 1 + 1);
         INSERT INTO de VALUES (1, 'sad', 'x', '2020-02-02', 9, 9);
         INSERT INTO de VALUES (1) ON CONFLICT (id) DO UPDATE SET m = DEFAULT, v = DEFAULT, d = DEFAULT, x = DEFAULT, n = DEFAULT RETURNING *;
         BEGIN;
         INSERT INTO li (a, t) SELECT 13, 'x' ON CONFLICT DO NOTHING;
         ROLLBACK;",
    )
    .await;
}

/// A row that stands in the way may be of a newer layout than the statement was planned for.
#[tokio::test(flavor = "multi_thread")]
async fn upserts_go_on_while_columns_come_and_go() {
    let server = Server::start();
    server
        .peer()
        .run("CREATE TABLE counts (id int4 PRIMARY KEY, n int4 NOT NULL); INSERT INTO counts VALUES (1, 0);");
    let writers: Vec<_> = ["DO UPDATE SET n = counts.n + 1", "DO NOTHING"]
        .map(|action| {
            let peer = server.peer();
            tokio::spawn(async move {
                let client = peer.connect().await;
                let upsert = format!("INSERT INTO counts VALUES (1, 1) ON CONFLICT (id) {action}");
                for _ in 0..150 {
                    client.batch_execute(&upsert).await.unwrap();
                }
            })
        })
        .into();
    let client = server.peer().connect().await;
    let mut round = 0;
    while writers.iter().any(|writer| !writer.is_finished()) || round == 0 {
        round += 1;
        let statements = format!(
            "ALTER TABLE counts ADD COLUMN c int DEFAULT {round}; UPDATE counts SET c = 2;
             ALTER TABLE counts RENAME COLUMN c TO d; ALTER TABLE counts DROP COLUMN d"
        );
        for statement in statements.split(';') {
            client.batch_execute(statement).await.unwrap();
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(server.peer().value("SELECT n FROM counts"), "150");
}
