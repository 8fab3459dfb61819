//! UNIQUE, CHECK, FOREIGN KEY and secondary indexes, statement by statement beside PostgreSQL.

use std::time::Duration;

use tidelog_compat_tests::Server;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::Pair;

/// Rows, or all that an error says.
async fn answer(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(messages) => {
            let row = |message: &SimpleQueryMessage| match message {
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|at| row.get(at).unwrap_or("null"));
                    Some(values.collect::<Vec<_>>().join("|"))
                }
                SimpleQueryMessage::CommandComplete(rows) => Some(format!("({rows})")),
                _ => None,
            };
            let rows: Vec<String> = messages.iter().filter_map(row).collect();
            rows.join("\n")
        }
        Err(error) => {
            let error = error.as_db_error().expect("the connection lives");
            format!(
                "{} {}\nDETAIL {:?}\ntable {:?} constraint {:?} column {:?}",
                error.code().code(),
                error.message(),
                error.detail(),
                error.table(),
                error.constraint(),
                error.column(),
            )
        }
    }
}

/// Plays the statements on both, which must say the same; lines that begin with `@` are for Tidelog alone.
pub(crate) async fn play(script: &str) {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for statement in script.split(";\n") {
        let statement = statement.trim();
        if let Some(own) = statement.strip_prefix('@') {
            let said = answer(&tide, own).await;
            assert!(said.starts_with('('), "{own}: {said}");
        } else if !statement.is_empty() {
            let (found, expected) = (answer(&tide, statement).await, answer(&pg, statement).await);
            assert_eq!(
                found, expected,
                "{statement}\n(left: Tidelog, right: PostgreSQL)"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_keys_hold_in_both_tiers() {
    play(
        "CREATE TABLE u (id int PRIMARY KEY, email text UNIQUE, a int, b text, CONSTRAINT ab UNIQUE (a, b));
         INSERT INTO u VALUES (1, 'x@y', 1, 'a'), (2, NULL, 1, NULL), (3, NULL, 1, NULL);
         INSERT INTO u VALUES (4, 'x@y', 2, 'b');
         INSERT INTO u VALUES (4, 'z@y', 1, 'a');
         INSERT INTO u VALUES (4, 'q@y', 7, 'a'), (5, 'q@y', 7, 'b');
         @CALL tidelog.flush('u');
         INSERT INTO u VALUES (4, 'x@y', 2, 'b');
         UPDATE u SET email = 'x@y' WHERE id = 2;
         UPDATE u SET email = 'new' WHERE id = 1;
         INSERT INTO u VALUES (4, 'x@y', 2, 'b');
         UPDATE u SET a = 1, b = 'a' WHERE id = 4;
         DELETE FROM u WHERE id = 1;
         UPDATE u SET a = 1, b = 'a' WHERE id = 4;
         @CALL tidelog.flush('u');
         @CALL tidelog.compact('u');
         BEGIN;
         INSERT INTO u VALUES (9, 'x@y', 9, 'i');
         ROLLBACK;
         BEGIN;
         DELETE FROM u WHERE email = 'x@y';
         INSERT INTO u VALUES (9, 'x@y', 9, 'i');
         SELECT id FROM u WHERE email = 'x@y';
         SAVEPOINT s;
         UPDATE u SET email = 'other' WHERE id = 9;
         INSERT INTO u VALUES (10, 'x@y', 10, 'j');
         ROLLBACK TO s;
         COMMIT;
         SELECT * FROM u ORDER BY id;
         INSERT INTO u VALUES (20, 'x@y', 20, 'k') ON CONFLICT (email) DO UPDATE SET a = excluded.a RETURNING *;
         INSERT INTO u VALUES (21, 'x@y', 21, 'k'), (22, 'free', 22, 'l') ON CONFLICT DO NOTHING RETURNING *;
         INSERT INTO u VALUES (23, 'n', 20, 'i') ON CONFLICT ON CONSTRAINT ab DO UPDATE SET email = 'by ab' RETURNING *;
         INSERT INTO u VALUES (23, 'n', 20, 'i') ON CONFLICT (b, a) DO NOTHING;
         INSERT INTO u VALUES (22, 'n', 20, 'q') ON CONFLICT (email) DO NOTHING;
         INSERT INTO u VALUES (24, 'n', 20, 'q') ON CONFLICT (a) DO NOTHING;
         ALTER TABLE u DROP CONSTRAINT u_email_key;
         INSERT INTO u VALUES (30, 'by ab', 30, 'q');
         ALTER TABLE u ADD UNIQUE (email);
         DELETE FROM u WHERE id = 30;
         ALTER TABLE u ADD UNIQUE (email);
         INSERT INTO u VALUES (30, 'by ab', 30, 'q');
         ALTER TABLE u RENAME CONSTRAINT u_email_key TO mail;
         INSERT INTO u VALUES (30, 'by ab', 30, 'q');
         ALTER TABLE u DROP CONSTRAINT nothing;
         ALTER TABLE u DROP COLUMN b;
         INSERT INTO u VALUES (31, 'w', 20);
         SELECT * FROM u ORDER BY id;
         SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = 'u'::regclass ORDER BY conname;
         TRUNCATE u;
         INSERT INTO u VALUES (30, 'by ab', 30);
         CREATE TABLE nokey (a int, b int);
         INSERT INTO nokey VALUES (1, 1), (2, 1);
         @CALL tidelog.flush('nokey');
         UPDATE nokey SET b = 5 WHERE a = 2;
         ALTER TABLE nokey ADD PRIMARY KEY (b, a);
         INSERT INTO nokey VALUES (1, 1);
         INSERT INTO nokey VALUES (1, NULL);
         UPDATE nokey SET b = 1, a = 1 WHERE a = 2;
         SELECT * FROM nokey WHERE b = 5 AND a = 2;
         ALTER TABLE nokey DROP CONSTRAINT nokey_pkey;
         INSERT INTO nokey VALUES (1, 1);
         ALTER TABLE nokey ADD PRIMARY KEY (b, a);
         DELETE FROM nokey WHERE b = 1;
         ALTER TABLE nokey ADD CONSTRAINT again PRIMARY KEY (a);
         INSERT INTO nokey VALUES (2, 1);
         ALTER TABLE nokey ADD PRIMARY KEY (b);
         SELECT * FROM nokey ORDER BY a",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_hold() {
    play(
        "CREATE TABLE c (id int PRIMARY KEY, price numeric(10,2) CHECK (price > 0), low int, high int,
             name text CONSTRAINT named CHECK (length(name) < 5), CHECK (low <= high));
         INSERT INTO c VALUES (1, 1.50, 1, 2, 'abc'), (2, NULL, NULL, 2, NULL);
         INSERT INTO c VALUES (3, 0, 1, 2, 'abc');
         INSERT INTO c VALUES (3, 1, 3, 2, 'abc');
         INSERT INTO c VALUES (3, 1, 1, 2, 'abcde');
         UPDATE c SET low = high + 1;
         UPDATE c SET low = 2 WHERE id = 1 RETURNING *;
         INSERT INTO c VALUES (1, 5, 1, 1, 'x') ON CONFLICT (id) DO UPDATE SET price = -1;
         ALTER TABLE c RENAME COLUMN low TO bottom;
         INSERT INTO c VALUES (4, 1, 3, 2, 'abc');
         ALTER TABLE c DROP CONSTRAINT c_check;
         INSERT INTO c VALUES (4, 1, 3, 2, 'abc');
         @CALL tidelog.flush('c');
         ALTER TABLE c ADD CHECK (bottom <= high);
         INSERT INTO c VALUES (5, 1, 5, 2, 'abc');
         DELETE FROM c WHERE id IN (4, 5);
         ALTER TABLE c ADD CHECK (bottom <= high);
         INSERT INTO c VALUES (5, 1, 5, 2, 'abc');
         ALTER TABLE c ADD COLUMN later int DEFAULT 3 CHECK (later < 10);
         INSERT INTO c (id, later) VALUES (6, 10);
         ALTER TABLE c ALTER COLUMN name SET NOT NULL;
         UPDATE c SET name = '' WHERE name IS NULL;
         ALTER TABLE c ALTER COLUMN name SET NOT NULL;
         INSERT INTO c (id) VALUES (7);
         ALTER TABLE c ALTER COLUMN name SET DEFAULT 'd', ALTER COLUMN later DROP DEFAULT;
         INSERT INTO c (id) VALUES (7) RETURNING *;
         ALTER TABLE c ALTER COLUMN name DROP NOT NULL;
         INSERT INTO c (id, name) VALUES (8, NULL) RETURNING *;
         ALTER TABLE c ALTER COLUMN id DROP NOT NULL;
         CREATE TABLE bad (a int CHECK (a));
         CREATE TABLE bad (a int CHECK (nothing > 1));
         CREATE TABLE bad (a int CHECK (a > (SELECT 1)));
         ALTER TABLE c DROP COLUMN high;
         SELECT conname, contype FROM pg_constraint WHERE conrelid = 'c'::regclass ORDER BY 1;
         SELECT * FROM c ORDER BY id",
    )
    .await;
}

const FAMILY: &str = "
         CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE);
         INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e');
";

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_hold_in_both_tiers() {
    let script = format!(
        "{FAMILY}
         CREATE TABLE r (id int PRIMARY KEY, p int REFERENCES p, c text REFERENCES p (code) ON DELETE SET NULL ON UPDATE CASCADE);
         CREATE TABLE k (id int PRIMARY KEY, p int DEFAULT 5 REFERENCES p ON DELETE CASCADE);
         CREATE TABLE g (id int PRIMARY KEY, k int REFERENCES k ON DELETE CASCADE);
         CREATE TABLE d (id int PRIMARY KEY, p int DEFAULT 5 REFERENCES p (id) ON DELETE SET DEFAULT ON UPDATE RESTRICT);
         INSERT INTO r VALUES (1, 1, 'a'), (2, NULL, NULL), (3, 1, 'c');
         INSERT INTO k VALUES (1, 2), (2, 2), (3, 3);
         INSERT INTO g VALUES (1, 1), (2, 2), (3, 3), (4, 3);
         INSERT INTO d VALUES (1, 4), (2, 3);
         INSERT INTO r VALUES (4, 99, NULL);
         INSERT INTO r VALUES (4, 1, 'zz');
         UPDATE r SET p = 77 WHERE id = 1;
         DELETE FROM p WHERE id = 1;
         UPDATE p SET id = 100 WHERE id = 1;
         UPDATE p SET id = 100 WHERE id = 4;
         @CALL tidelog.flush('p');
         @CALL tidelog.flush('r');
         @CALL tidelog.flush('k');
         @CALL tidelog.flush('g');
         INSERT INTO r VALUES (4, 99, NULL);
         INSERT INTO r VALUES (4, 5, NULL);
         DELETE FROM p WHERE id = 1;
         UPDATE p SET code = 'A' WHERE id = 1;
         SELECT * FROM r ORDER BY id;
         DELETE FROM p WHERE id IN (2, 3);
         SELECT * FROM k ORDER BY id;
         SELECT * FROM g ORDER BY id;
         SELECT * FROM d ORDER BY id;
         SELECT * FROM r ORDER BY id;
         DELETE FROM p WHERE id = 4;
         SELECT * FROM d ORDER BY id;
         DELETE FROM p WHERE id = 5;
         BEGIN;
         INSERT INTO p VALUES (50, 'fifty');
         INSERT INTO r VALUES (50, 50, 'fifty');
         DELETE FROM p WHERE id = 50;
         ROLLBACK;
         BEGIN;
         DELETE FROM r;
         DELETE FROM p WHERE id = 1;
         SELECT * FROM p ORDER BY id;
         ROLLBACK;
         DROP TABLE p;
         TRUNCATE p;
         ALTER TABLE p DROP CONSTRAINT p_pkey;
         ALTER TABLE p DROP COLUMN code;
         ALTER TABLE p RENAME TO parents;
         INSERT INTO r VALUES (60, 99, NULL);
         ALTER TABLE r DROP CONSTRAINT r_p_fkey;
         INSERT INTO r VALUES (60, 99, NULL);
         ALTER TABLE r ADD FOREIGN KEY (p) REFERENCES parents;
         DELETE FROM r WHERE id = 60;
         ALTER TABLE r ADD FOREIGN KEY (p) REFERENCES parents;
         INSERT INTO r VALUES (60, 99, NULL);
         SELECT conname, confupdtype, confdeltype, confmatchtype, pg_get_constraintdef(oid) FROM pg_constraint
             WHERE contype = 'f' ORDER BY conname;
         SELECT constraint_name, unique_constraint_name, update_rule, delete_rule
             FROM information_schema.referential_constraints ORDER BY 1;
         TRUNCATE parents, r, k, d, g;
         SELECT count(*) FROM k;
         INSERT INTO k VALUES (1, 1);
         DROP TABLE parents CASCADE;
         INSERT INTO k VALUES (1, 1);
         CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
         INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3);
         INSERT INTO tree VALUES (10, 11), (11, 10);
         INSERT INTO tree VALUES (12, 13);
         DELETE FROM tree WHERE id = 2;
         SELECT * FROM tree ORDER BY id;
         CREATE TABLE m (a int, b int, PRIMARY KEY (a, b));
         CREATE TABLE mc (x int, y int, FOREIGN KEY (y, x) REFERENCES m (a, b) ON UPDATE SET NULL);
         INSERT INTO m VALUES (1, 2);
         INSERT INTO mc VALUES (2, 1), (NULL, 7);
         INSERT INTO mc VALUES (1, 2);
         DELETE FROM m;
         UPDATE m SET b = 3;
         SELECT * FROM mc ORDER BY y;
         CREATE TABLE bad (a text REFERENCES m);
         CREATE TABLE bad (a int REFERENCES m (a));
         CREATE TABLE bad (a text, b int, FOREIGN KEY (a, b) REFERENCES m);
         CREATE TABLE bad (a int REFERENCES nothing);
         CREATE TABLE bad (a int, FOREIGN KEY (q) REFERENCES m (a))"
    );
    play(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_answer_as_scans_do() {
    play(
        "CREATE TABLE i (id int PRIMARY KEY, room int, who text, at timestamp, n numeric(12,3), f float8);
         INSERT INTO i SELECT g, g % 7, CASE WHEN g % 5 = 0 THEN NULL ELSE 'u' || (g % 11) END,
             ('2026-01-' || lpad((1 + g / 24)::text, 2, '0') || ' ' || lpad((g % 24)::text, 2, '0') || ':00')::timestamp, g / 8.0, g / 16.0 FROM generate_series(1, 500) g;
         @CALL tidelog.flush('i');
         INSERT INTO i SELECT g, g % 7, CASE WHEN g % 5 = 0 THEN NULL ELSE 'u' || (g % 11) END,
             ('2026-01-' || lpad((1 + g / 24)::text, 2, '0') || ' ' || lpad((g % 24)::text, 2, '0') || ':00')::timestamp, g / 8.0, g / 16.0 FROM generate_series(501, 700) g;
         CREATE INDEX ON i (room, at DESC);
         CREATE INDEX CONCURRENTLY i_who ON i (who);
         CREATE INDEX i_n ON i (n, f);
         CREATE UNIQUE INDEX i_at ON i USING btree (at NULLS FIRST);
         CREATE TABLE two (a int);
         INSERT INTO two VALUES (1), (2), (2);
         CREATE UNIQUE INDEX ON two (a);
         CREATE INDEX i_who ON i (room);
         CREATE INDEX IF NOT EXISTS i_who ON i (room);
         CREATE INDEX ON i (nothing);
         SELECT count(*), min(id), max(id) FROM i WHERE room = 3;
         SELECT id FROM i WHERE room = 3 AND at > '2026-01-20' AND at <= '2026-01-24' ORDER BY id;
         SELECT count(*) FROM i WHERE who = 'u3';
         SELECT count(*) FROM i WHERE who > 'u3';
         SELECT count(*) FROM i WHERE who IS NULL;
         SELECT id FROM i WHERE n = 12.5;
         SELECT id FROM i WHERE n >= 80 AND n < 81 ORDER BY id;
         SELECT id FROM i WHERE n = 12.5 AND f = 6.25;
         SELECT id FROM i WHERE at = '2026-01-02';
         SELECT id FROM i WHERE id > 695 ORDER BY id;
         SELECT id FROM i WHERE id >= 498 AND id < 503 ORDER BY id;
         UPDATE i SET who = 'moved' WHERE id IN (10, 600);
         SELECT id FROM i WHERE who = 'moved' ORDER BY id;
         DELETE FROM i WHERE who = 'moved' AND id = 10;
         SELECT id FROM i WHERE who = 'moved' ORDER BY id;
         BEGIN;
         UPDATE i SET who = 'moved' WHERE id = 20;
         DELETE FROM i WHERE id = 600;
         INSERT INTO i (id, who) VALUES (900, 'moved');
         SELECT id FROM i WHERE who = 'moved' ORDER BY id;
         ROLLBACK;
         SELECT id FROM i WHERE who = 'moved' ORDER BY id;
         @CALL tidelog.flush('i');
         @CALL tidelog.compact('i');
         SELECT id FROM i WHERE who = 'moved' ORDER BY id;
         SELECT id FROM i WHERE room = 3 AND at > '2026-01-20' AND at <= '2026-01-24' ORDER BY id;
         SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'i' ORDER BY 1;
         ALTER INDEX i_who RENAME TO i_name;
         DROP INDEX i_who;
         DROP INDEX IF EXISTS i_who;
         DROP INDEX i_name;
         SELECT id FROM i WHERE who = 'moved' ORDER BY id;
         DROP INDEX i_pkey;
         CREATE TABLE nulls (a int, b int, UNIQUE (a, b));
         INSERT INTO nulls VALUES (1, 1), (1, NULL), (1, 2), (2, 1);
         SELECT * FROM nulls WHERE a = 1 ORDER BY b;
         SELECT * FROM nulls WHERE a = 1 AND b > 1 ORDER BY b",
    )
    .await;
}

/// A USER table's keys are each user's own, an index of it is read in his partition.
#[tokio::test(flavor = "multi_thread")]
async fn users_have_keys_of_their_own() {
    let server = Server::start();
    let admin = server.peer().connect().await;
    admin
        .batch_execute(
            "CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN;
             CREATE USER TABLE rooms (id int PRIMARY KEY, name text UNIQUE);
             CREATE USER TABLE lines (id int PRIMARY KEY, room int REFERENCES rooms ON DELETE CASCADE, t text);
             CREATE INDEX ON lines (room);
             CREATE SHARED TABLE all_of_us (id int PRIMARY KEY);",
        )
        .await
        .unwrap();
    let (refused, _) = {
        let said = answer(&admin, "CREATE USER TABLE x (a int REFERENCES all_of_us)").await;
        (said.starts_with("0A000"), said)
    };
    assert!(refused, "a foreign key between partition schemes");
    for role in ["ann", "ben"] {
        let script = format!(
            "SET ROLE {role};
             INSERT INTO rooms VALUES (1, 'hall'), (2, 'attic');
             INSERT INTO lines VALUES (1, 1, '{role} a'), (2, 1, '{role} b'), (3, 2, '{role} c');
             RESET ROLE;"
        );
        admin.batch_execute(&script).await.unwrap();
    }
    admin
        .batch_execute("CALL tidelog.flush('lines')")
        .await
        .unwrap();
    admin
        .batch_execute("SET ROLE ann; DELETE FROM rooms WHERE id = 1; RESET ROLE")
        .await
        .unwrap();
    let left = answer(&admin, "SELECT _user, id, t FROM lines ORDER BY 1, 2").await;
    assert_eq!(
        left,
        "ann|3|ann c\nben|1|ben a\nben|2|ben b\nben|3|ben c\n(4)"
    );
    // The superuser takes away one user's parent: only his children go.
    admin
        .batch_execute("DELETE FROM rooms WHERE _user = 'ben' AND id = 2")
        .await
        .unwrap();
    let left = answer(
        &admin,
        "SELECT _user, id FROM lines WHERE _user = 'ben' ORDER BY 2",
    )
    .await;
    assert_eq!(left, "ben|1\nben|2\n(2)");
    let said = answer(
        &admin,
        "INSERT INTO rooms (_user, id, name) VALUES ('ben', 7, 'hall')",
    )
    .await;
    assert!(said.starts_with("23505"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_stays_if_the_rows_keep_what_comes_with_it() {
    play(
        "CREATE TABLE e (id int PRIMARY KEY);
         ALTER TABLE e ADD COLUMN x text NOT NULL;
         INSERT INTO e VALUES (1, NULL);
         INSERT INTO e VALUES (1, 'a');
         @CALL tidelog.flush('e');
         ALTER TABLE e ADD COLUMN y int NOT NULL;
         ALTER TABLE e ADD COLUMN y int NOT NULL CHECK (y > 0);
         ALTER TABLE e ADD COLUMN y int DEFAULT 0 CHECK (y > 0);
         ALTER TABLE e ADD COLUMN v int, ADD COLUMN y int NOT NULL;
         SELECT * FROM e ORDER BY id;
         ALTER TABLE e DROP COLUMN x, ADD CONSTRAINT large CHECK (id > 5);
         ALTER TABLE e ALTER COLUMN x DROP NOT NULL, ALTER COLUMN x SET DEFAULT 'd', ADD UNIQUE (id), ADD CHECK (id > 5);
         SELECT * FROM e ORDER BY id;
         INSERT INTO e VALUES (2, NULL);
         INSERT INTO e VALUES (2);
         ALTER TABLE e ALTER COLUMN x SET DEFAULT 'd', ADD CONSTRAINT small CHECK (id < 5);
         INSERT INTO e VALUES (2);
         INSERT INTO e VALUES (7);
         BEGIN;
         ALTER TABLE e ADD COLUMN y int NOT NULL;
         ROLLBACK;
         ALTER TABLE e ADD COLUMN IF NOT EXISTS x int NOT NULL, ADD COLUMN v int;
         SELECT * FROM e ORDER BY id;
         CREATE TABLE f (id int PRIMARY KEY);
         ALTER TABLE f ADD COLUMN e int NOT NULL REFERENCES e;
         INSERT INTO f VALUES (1, 7);
         INSERT INTO f VALUES (1, 1);
         SELECT * FROM f;\n",
    )
    .await;
}

/// What is cut off leaves nothing: not for a moment for the session that said it.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_or_a_constraint_that_is_cut_off_was_never_there() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE u (id int PRIMARY KEY, s int);
         INSERT INTO u SELECT g, 7 FROM generate_series(1, 100000) g;",
    );
    let client = peer.connect().await;
    for statement in [
        "ALTER TABLE u ADD CONSTRAINT uq UNIQUE (s)",
        "CREATE UNIQUE INDEX uq ON u (s)",
        "CREATE UNIQUE INDEX CONCURRENTLY uq ON u (s)",
        "ALTER TABLE u ADD CONSTRAINT uq CHECK (s < 7)",
    ] {
        // At once, and in the middle.
        for after in [0, 2, 5, 30].map(Duration::from_millis) {
            let token = client.cancel_token();
            let cancel = async {
                tokio::time::sleep(after).await;
                let _ = token.cancel_query(tokio_postgres::NoTls).await;
            };
            let (ended, ()) = tokio::join!(client.batch_execute(statement), cancel);
            let error = ended.expect_err(statement);
            let code = error.as_db_error().expect(statement).code().code();
            assert!(
                ["57014", "23505", "23514"].contains(&code),
                "{statement}, {after:?}: {code}"
            );
            let left = "SELECT (SELECT count(*) FROM pg_constraint WHERE conname = 'uq')
                      + (SELECT count(*) FROM pg_class WHERE relname = 'uq')";
            let left = match client.simple_query(left).await {
                // The cancel came too late for the statement.
                Err(_) => client.simple_query(left).await.expect(left),
                Ok(left) => left,
            };
            let left = left.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_string),
                _ => None,
            });
            assert_eq!(left.as_deref(), Some("0"), "{statement}, {after:?}");
        }
    }
    client
        .batch_execute(
            "INSERT INTO u VALUES (0, 8), (-1, 8); ALTER TABLE u ADD CONSTRAINT uq CHECK (s < 9)",
        )
        .await
        .expect("nothing stands in the way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_has_its_default_already_needs_a_parent() {
    play(
        "CREATE TABLE \"Größe\" (f1 int PRIMARY KEY, code text UNIQUE);
         CREATE TABLE c (f1 int DEFAULT 0 REFERENCES \"Größe\" ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
         CREATE TABLE d (code text DEFAULT 'o' REFERENCES \"Größe\" (code) ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
         INSERT INTO \"Größe\" VALUES (0, 'o'), (1, 'a'), (2, 'b');
         INSERT INTO c VALUES (2);
         INSERT INTO d VALUES ('b');
         DELETE FROM \"Größe\" WHERE f1 = 2;
         SELECT * FROM c;
         SELECT * FROM d;
         DELETE FROM \"Größe\" WHERE f1 = 0;
         UPDATE \"Größe\" SET f1 = 10 WHERE f1 = 0;
         UPDATE \"Größe\" SET code = 'oo' WHERE f1 = 0;
         BEGIN;
         ALTER TABLE c ALTER COLUMN f1 SET DEFAULT NULL;
         ALTER TABLE d ALTER COLUMN code SET DEFAULT 'a';
         DELETE FROM \"Größe\" WHERE f1 = 0;
         SELECT * FROM c;
         SELECT * FROM d;
         COMMIT",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_key_stays_with_the_row_that_had_it() {
    for (index, mend) in [
        "UPDATE p SET \"Größe\" = 2 WHERE id = 2",
        "DELETE FROM p WHERE id = 2",
        "UPDATE p SET \"Größe\" = 2 WHERE id = 2;\nUPDATE p SET \"Größe\" = 1 WHERE id = 2;\nUPDATE p SET \"Größe\" = 3 WHERE id = 2",
        "UPDATE p SET \"Größe\" = 2 WHERE id = 1",
        "DELETE FROM p WHERE id = 1",
        "ROLLBACK TO s",
    ]
    .into_iter()
    .enumerate()
    {
        let flush = ["SELECT 1", "@CALL tidelog.flush('p')"][index % 2];
        play(&format!(
            "CREATE TABLE p (id int PRIMARY KEY, \"Größe\" int, CONSTRAINT u UNIQUE (\"Größe\") DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO p VALUES (1, 1);
             {flush};
             BEGIN;
             SAVEPOINT s;
             INSERT INTO p VALUES (2, 1);
             SELECT * FROM p WHERE \"Größe\" = 1 ORDER BY id;
             {mend};
             SELECT * FROM p WHERE \"Größe\" = 1 ORDER BY id;
             COMMIT;
             SELECT * FROM p WHERE \"Größe\" = 1;
             SELECT * FROM p ORDER BY id;
             INSERT INTO p VALUES (3, 1);
             INSERT INTO p VALUES (4, 2);
             SELECT * FROM p WHERE \"Größe\" = 1;
             SELECT * FROM p ORDER BY id"
        ))
        .await;
    }
}

/// `DISABLE TRIGGER ALL`, with which fixtures and dumps load tables in any order: none of the table's foreign keys is looked
/// after, nor what becomes of the rows that refer to it.
#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_triggers_are_disabled() {
    play(
        "CREATE TABLE pa (id int PRIMARY KEY);
         CREATE TABLE ch (id int PRIMARY KEY, p int REFERENCES pa ON DELETE CASCADE, n int CHECK (n > 0));
         CREATE TABLE other (p int REFERENCES pa);
         ALTER TABLE ch DISABLE TRIGGER ALL;
         INSERT INTO ch VALUES (1, 1, 1);
         INSERT INTO ch VALUES (1, 1, 1);
         INSERT INTO ch VALUES (2, 1, 0);
         INSERT INTO other VALUES (1);
         INSERT INTO pa VALUES (1), (2), (3);
         INSERT INTO ch VALUES (2, 2, 2), (3, 3, 3);
         DELETE FROM pa WHERE id = 2;
         ALTER TABLE pa DISABLE TRIGGER ALL;
         DELETE FROM pa WHERE id = 3;
         SELECT * FROM ch ORDER BY id;
         ALTER TABLE pa ENABLE TRIGGER ALL;
         DELETE FROM pa WHERE id = 1;
         SELECT * FROM ch ORDER BY id;
         ALTER TABLE ch ENABLE TRIGGER USER;
         UPDATE ch SET p = 7;
         ALTER TABLE ch ENABLE TRIGGER ALL;
         UPDATE ch SET p = 8;
         INSERT INTO ch VALUES (4, 9, 9);
         ALTER TABLE ch DISABLE TRIGGER USER;
         INSERT INTO ch VALUES (4, 9, 9);
         BEGIN;
         ALTER TABLE ch DISABLE TRIGGER ALL;
         INSERT INTO ch VALUES (4, 9, 9);
         ROLLBACK;
         INSERT INTO ch VALUES (4, 9, 9);
         BEGIN;
         ALTER TABLE ch DISABLE TRIGGER ALL;
         ALTER TABLE other DISABLE TRIGGER ALL;
         INSERT INTO ch VALUES (4, 9, 9);
         INSERT INTO other VALUES (5);
         ALTER TABLE ch ENABLE TRIGGER ALL;
         COMMIT;
         INSERT INTO other VALUES (6);
         INSERT INTO ch VALUES (5, 9, 9);
         ALTER TABLE ONLY other ENABLE TRIGGER ALL;
         INSERT INTO other VALUES (7);
         ALTER TABLE ch DISABLE TRIGGER nosuch;
         ALTER TABLE ch ENABLE TRIGGER \"all\";
         ALTER TABLE ch ENABLE ALWAYS TRIGGER nosuch;
         ALTER TABLE ch ENABLE REPLICA TRIGGER nosuch;
         ALTER TABLE IF EXISTS nosuch DISABLE TRIGGER ALL;
         ALTER TABLE nosuch DISABLE TRIGGER ALL;
         SELECT * FROM other ORDER BY p",
    )
    .await;
}
