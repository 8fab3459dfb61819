//! Foreign keys that are checked with the commit, in one session and in several.

use tidelog_compat_tests::Server;

use super::stage::{play as play_alone, same_on_both};
use crate::constraints::play;
use crate::pair::{Pair, text};

const TABLES: &str = "
         CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE);
         CREATE TABLE c (id int PRIMARY KEY,
             p int CONSTRAINT cp REFERENCES p DEFERRABLE INITIALLY DEFERRED,
             code text CONSTRAINT cc REFERENCES p (code) ON UPDATE CASCADE DEFERRABLE,
             r int CONSTRAINT cr REFERENCES p ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
             n int CONSTRAINT cn REFERENCES p NOT DEFERRABLE);
         INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
         INSERT INTO c VALUES (1, 1, 'a', NULL, NULL), (2, 2, NULL, NULL, NULL);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_foreign_key_is_checked_with_the_commit() {
    let script = format!(
        "{TABLES}
         INSERT INTO c VALUES (9, 99);
         DELETE FROM p WHERE id = 1;
         BEGIN;
         INSERT INTO c VALUES (10, 99);
         SELECT count(*) FROM c;
         COMMIT;
         SELECT count(*) FROM c;
         COMMIT;
         BEGIN;
         INSERT INTO c VALUES (10, 99);
         INSERT INTO p VALUES (99, 'z');
         COMMIT;
         BEGIN;
         INSERT INTO c VALUES (11, 98), (12, 98), (13, 97);
         DELETE FROM c WHERE p = 98;
         UPDATE c SET p = NULL WHERE p = 97;
         COMMIT;
         BEGIN;
         INSERT INTO c VALUES (14, 96);
         UPDATE c SET p = 96 WHERE id = 14;
         COMMIT;
         BEGIN;
         DELETE FROM p WHERE id = 2;
         INSERT INTO p VALUES (2, 'b2');
         COMMIT;
         BEGIN;
         UPDATE p SET id = 20 WHERE id = 2;
         UPDATE c SET p = 20 WHERE p = 2;
         COMMIT;
         BEGIN;
         UPDATE p SET id = 2 WHERE id = 20;
         COMMIT;
         BEGIN;
         DELETE FROM p WHERE id = 20;
         DELETE FROM c WHERE id = 2;
         COMMIT;
         BEGIN;
         DELETE FROM p WHERE id = 1;
         INSERT INTO c VALUES (10, 1);
         ROLLBACK;
         BEGIN;
         INSERT INTO c VALUES (20, 3, NULL, 3, NULL);
         DELETE FROM p WHERE id = 3;
         ROLLBACK;
         BEGIN;
         INSERT INTO c (id, n) VALUES (30, 88);
         ROLLBACK;
         BEGIN;
         INSERT INTO c (id) VALUES (31);
         ALTER TABLE c ALTER n SET DEFAULT 1;
         ROLLBACK;
         BEGIN;
         INSERT INTO c (id) VALUES (31);
         SET CONSTRAINTS ALL IMMEDIATE;
         ALTER TABLE c ALTER n SET DEFAULT 1;
         ROLLBACK;
         BEGIN;
         UPDATE c SET p = NULL;
         ALTER TABLE c ALTER n SET DEFAULT 1;
         ROLLBACK;
         INSERT INTO c VALUES (40, 77); INSERT INTO p VALUES (77, 'seven');
         INSERT INTO c VALUES (41, 78); SELECT 1;
         INSERT INTO c VALUES (1, 55);
         BEGIN;
         INSERT INTO c VALUES (1, 55);
         ROLLBACK;
         @CALL tidelog.flush('p');
         @CALL tidelog.flush('c');
         BEGIN;
         DELETE FROM p WHERE id = 77;
         SELECT * FROM p ORDER BY id;
         COMMIT;
         BEGIN ISOLATION LEVEL REPEATABLE READ;
         INSERT INTO c VALUES (50, 54);
         COMMIT;
         BEGIN ISOLATION LEVEL SERIALIZABLE;
         INSERT INTO c VALUES (50, 54);
         INSERT INTO p VALUES (54, 'y');
         COMMIT;
         PREPARE ins AS INSERT INTO c VALUES ($1, $2);
         BEGIN;
         EXECUTE ins (60, 601);
         EXECUTE ins (61, 1);
         COMMIT;
         SELECT * FROM p ORDER BY id;
         SELECT * FROM c ORDER BY id;\n"
    );
    play(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn set_constraints_says_when() {
    let script = format!(
        "{TABLES}
         BEGIN;
         SET CONSTRAINTS cp IMMEDIATE;
         INSERT INTO c VALUES (10, 99);
         ROLLBACK;
         BEGIN;
         INSERT INTO c (id, code) VALUES (10, 'q');
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS cc DEFERRED;
         INSERT INTO c (id, code) VALUES (10, 'q');
         COMMIT;
         BEGIN;
         SET CONSTRAINTS ALL DEFERRED;
         INSERT INTO c (id, code) VALUES (10, 'q');
         INSERT INTO c VALUES (11, 99);
         INSERT INTO p VALUES (99, 'q');
         SET CONSTRAINTS ALL IMMEDIATE;
         INSERT INTO c VALUES (12, 98);
         ROLLBACK;
         BEGIN;
         INSERT INTO c VALUES (11, 99);
         SET CONSTRAINTS cc IMMEDIATE;
         SET CONSTRAINTS cp, cc IMMEDIATE;
         COMMIT;
         BEGIN;
         INSERT INTO c VALUES (11, 99);
         SAVEPOINT s;
         SET CONSTRAINTS ALL IMMEDIATE;
         ROLLBACK TO s;
         INSERT INTO p VALUES (99, 'q');
         SET CONSTRAINTS ALL IMMEDIATE;
         ROLLBACK TO s;
         COMMIT;
         BEGIN;
         INSERT INTO c VALUES (11, 99);
         SAVEPOINT s;
         INSERT INTO p VALUES (99, 'q');
         SET CONSTRAINTS ALL IMMEDIATE;
         RELEASE s;
         SAVEPOINT t;
         INSERT INTO c VALUES (12, 98);
         SET CONSTRAINTS ALL DEFERRED;
         INSERT INTO c VALUES (12, 98);
         ROLLBACK TO t;
         SET CONSTRAINTS ALL DEFERRED;
         INSERT INTO c VALUES (12, 98);
         ROLLBACK TO t;
         INSERT INTO c VALUES (12, 98);
         ROLLBACK;
         BEGIN;
         SAVEPOINT a;
         INSERT INTO c VALUES (11, 99);
         ROLLBACK TO a;
         COMMIT;
         BEGIN;
         SAVEPOINT a;
         SAVEPOINT b;
         DELETE FROM p WHERE id = 2;
         RELEASE b;
         SAVEPOINT d;
         INSERT INTO p VALUES (2, 'new');
         ROLLBACK TO d;
         COMMIT;
         BEGIN;
         SET CONSTRAINTS cn DEFERRED;
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS cn IMMEDIATE;
         SET CONSTRAINTS c_pkey IMMEDIATE;
         SET CONSTRAINTS public.cp DEFERRED;
         SET CONSTRAINTS cp, nothing DEFERRED;
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS nowhere.cp DEFERRED;
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS c_pkey DEFERRED;
         ROLLBACK;
         SET CONSTRAINTS ALL IMMEDIATE;
         SET CONSTRAINTS cp IMMEDIATE; INSERT INTO c VALUES (70, 71); INSERT INTO p VALUES (71, 'x');
         SELECT * FROM p ORDER BY id;
         SELECT * FROM c ORDER BY id;\n"
    );
    play(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_say_what_can_be_deferred() {
    let script = format!(
        "{TABLES}
         SELECT conname, condeferrable, condeferred, pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = 'c'::regclass ORDER BY 1;
         SELECT constraint_name, is_deferrable, initially_deferred FROM information_schema.table_constraints
             WHERE table_name = 'c' AND constraint_type <> 'CHECK' ORDER BY 1;
         CREATE TABLE d (id int PRIMARY KEY, p int, q int REFERENCES p INITIALLY DEFERRED, FOREIGN KEY (p) REFERENCES p INITIALLY IMMEDIATE);
         CREATE TABLE bad (p int REFERENCES p NOT DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO d VALUES (1, 9);
         ALTER TABLE d ADD CONSTRAINT dp FOREIGN KEY (p) REFERENCES p DEFERRABLE INITIALLY DEFERRED;
         ALTER TABLE d ALTER CONSTRAINT d_p_fkey DEFERRABLE;
         ALTER TABLE d ALTER CONSTRAINT nothing DEFERRABLE;
         ALTER TABLE d ALTER CONSTRAINT d_pkey DEFERRABLE;
         ALTER TABLE IF EXISTS nowhere ALTER CONSTRAINT x DEFERRABLE;
         ALTER TABLE nowhere ALTER CONSTRAINT x DEFERRABLE;
         ALTER TABLE d DROP CONSTRAINT d_p_fkey;
         INSERT INTO d VALUES (1, 9);
         ALTER TABLE d ADD CONSTRAINT dp FOREIGN KEY (p) REFERENCES p DEFERRABLE INITIALLY DEFERRED;
         BEGIN;
         ALTER TABLE d ADD CONSTRAINT dp FOREIGN KEY (p) REFERENCES p DEFERRABLE INITIALLY DEFERRED;
         ROLLBACK;
         UPDATE d SET p = 1;
         ALTER TABLE d ADD CONSTRAINT dp FOREIGN KEY (p) REFERENCES p DEFERRABLE INITIALLY DEFERRED;
         SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'd'::regclass ORDER BY 1;
         ALTER TABLE d ALTER CONSTRAINT dp NOT DEFERRABLE;
         BEGIN;
         INSERT INTO d VALUES (2, 8);
         ROLLBACK;
         ALTER TABLE ONLY d ALTER CONSTRAINT dp INITIALLY DEFERRED;
         BEGIN;
         INSERT INTO d VALUES (2, 8);
         ALTER TABLE d ADD COLUMN x int;
         ROLLBACK;
         BEGIN;
         INSERT INTO d VALUES (2, 8);
         ALTER TABLE d ADD COLUMN id int;
         ROLLBACK;
         BEGIN;
         INSERT INTO d VALUES (2, 8);
         TRUNCATE d;
         ROLLBACK;
         BEGIN;
         INSERT INTO d VALUES (2, 8);
         DROP TABLE d;
         ROLLBACK;
         BEGIN;
         DELETE FROM p WHERE id = 1;
         ALTER TABLE p ADD COLUMN x int;
         ROLLBACK;
         BEGIN;
         INSERT INTO d VALUES (2, 2);
         CREATE INDEX ON d (p);
         SET CONSTRAINTS ALL IMMEDIATE;
         ALTER TABLE d ADD COLUMN x int;
         COMMIT;
         BEGIN;
         CREATE TABLE e (id int PRIMARY KEY, d int REFERENCES d DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO e VALUES (1, 100);
         COMMIT;
         BEGIN;
         CREATE TABLE e (id int PRIMARY KEY, d int REFERENCES d DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO e VALUES (1, 100);
         INSERT INTO d VALUES (100, 1);
         COMMIT;
         SELECT * FROM e;
         SELECT * FROM d ORDER BY id;\n"
    );
    play(&script).await;
}

/// What goes together goes in PostgreSQL's order: NO ACTION looks when its turn comes.
#[tokio::test(flavor = "multi_thread")]
async fn actions_take_their_turns() {
    play(
        "CREATE TABLE a (id int PRIMARY KEY);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
         CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE, b int REFERENCES b);
         INSERT INTO a VALUES (1), (2);
         INSERT INTO b VALUES (1, 1), (2, 2);
         INSERT INTO c VALUES (1, 1, 1), (2, NULL, 2);
         DELETE FROM a WHERE id = 1;
         DELETE FROM a WHERE id = 2;
         SELECT * FROM c;
         CREATE TABLE x (id int PRIMARY KEY);
         CREATE TABLE y (id int PRIMARY KEY, x int REFERENCES x ON DELETE CASCADE);
         CREATE TABLE z (id int PRIMARY KEY, x int REFERENCES x, y int REFERENCES y ON DELETE CASCADE);
         INSERT INTO x VALUES (1);
         INSERT INTO y VALUES (1, 1);
         INSERT INTO z VALUES (1, 1, 1);
         DELETE FROM x;
         ALTER TABLE z ALTER CONSTRAINT z_x_fkey DEFERRABLE INITIALLY DEFERRED;
         DELETE FROM x;
         SELECT * FROM z;
         CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree DEFERRABLE INITIALLY DEFERRED);
         BEGIN;
         INSERT INTO tree VALUES (1, 2);
         INSERT INTO tree VALUES (2, 3);
         INSERT INTO tree VALUES (3, 1);
         COMMIT;
         BEGIN;
         DELETE FROM tree WHERE id = 1;
         DELETE FROM tree WHERE id = 3;
         COMMIT;
         BEGIN;
         UPDATE tree SET id = id + 10;
         UPDATE tree SET up = up + 10;
         COMMIT;
         DELETE FROM tree;
         SELECT * FROM tree ORDER BY id;
         CREATE TABLE wide (id bigint PRIMARY KEY);
         CREATE TABLE narrow (id int PRIMARY KEY, w int REFERENCES wide DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE wider (id int PRIMARY KEY, n bigint REFERENCES narrow DEFERRABLE INITIALLY DEFERRED);
         BEGIN;
         INSERT INTO narrow VALUES (1, 5);
         INSERT INTO wider VALUES (1, 5000000000);
         DELETE FROM wider;
         INSERT INTO wide VALUES (5);
         COMMIT;
         BEGIN;
         INSERT INTO wider VALUES (1, 5000000000);
         COMMIT;
         BEGIN;
         DELETE FROM wide;
         COMMIT;\n",
    )
    .await;
}

/// The rows of a COPY are one statement's, however they come: parents may stand behind their children.
#[test]
fn copy_checks_at_its_end() {
    let pair = Pair::start();
    pair.run("CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree);");
    let rows = |from: usize, last: &str| {
        let inner = (from..from + 20_000).map(|id| format!("{id}\t{}\n", id + 1));
        let end = format!("{}\t{last}\n", from + 20_000);
        inner.chain([end]).collect::<String>()
    };
    for copy in [
        format!("COPY tree FROM STDIN;\n{}\\.\n", rows(0, "\\N")),
        format!("COPY tree FROM STDIN;\n{}\\.\n", rows(100_000, "7777777")),
        format!(
            "BEGIN;\nCOPY tree FROM STDIN;\n{}\\.\nCOMMIT;",
            rows(200_000, "\\N")
        ),
        format!(
            "BEGIN;\nCOPY tree FROM STDIN;\n{}\\.\nCOMMIT;",
            rows(300_000, "7777777")
        ),
    ] {
        pair.same_or_fail(&copy);
        pair.same("SELECT count(*), max(id) FROM tree");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_those_who_change_what_it_relies_on() {
    let setup = "DROP TABLE IF EXISTS c, p;
         CREATE TABLE p (id int PRIMARY KEY, n int);
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO p VALUES (1), (2);
         INSERT INTO c VALUES (1, 1);";
    let scripts = [
        // The parent goes first.
        "a: BEGIN
         a: INSERT INTO c VALUES (2, 2)
         b: BEGIN
         b: DELETE FROM p WHERE id = 2
         a> COMMIT
         b: COMMIT
         a<
         a: SELECT * FROM c ORDER BY id",
        // It stays.
        "a: BEGIN
         a: INSERT INTO c VALUES (2, 2)
         b: BEGIN
         b: DELETE FROM p WHERE id = 2
         a> COMMIT
         b: ROLLBACK
         a<
         a: SELECT * FROM c ORDER BY id",
        // The child comes first.
        "a: BEGIN
         a: INSERT INTO c VALUES (2, 2)
         a: SET CONSTRAINTS ALL IMMEDIATE
         b: BEGIN
         b> DELETE FROM p WHERE id = 2
         a: COMMIT
         b<
         b: COMMIT",
        // Who changes nothing of the key is not waited for.
        "a: BEGIN
         a: INSERT INTO c VALUES (2, 2)
         b: BEGIN
         b: UPDATE p SET n = 1 WHERE id = 2
         a: COMMIT
         b: COMMIT",
        // The child goes meanwhile.
        "a: BEGIN
         a: DELETE FROM p WHERE id = 1
         b: BEGIN
         b: DELETE FROM c WHERE id = 1
         a> COMMIT
         b: COMMIT
         a<
         a: SELECT * FROM p ORDER BY id",
        "a: BEGIN
         a: DELETE FROM p WHERE id = 1
         b: BEGIN
         b: DELETE FROM c WHERE id = 1
         a> COMMIT
         b: ROLLBACK
         a<
         a: SELECT * FROM p ORDER BY id",
    ];
    same_on_both(setup, &scripts).await;
}

/// PostgreSQL finds it later, and may let the other one fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_of_commits_ends_one_of_them() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE p (id int PRIMARY KEY);
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO p VALUES (1), (2);",
    );
    let script = "a: BEGIN
        b: BEGIN
        a: DELETE FROM p WHERE id = 1
        b: DELETE FROM p WHERE id = 2
        a: INSERT INTO c VALUES (5, 2)
        b: INSERT INTO c VALUES (6, 1)
        a> COMMIT
        b: COMMIT
        a<
        b: COMMIT
        b: SELECT * FROM p
        b: SELECT * FROM c";
    let said = play_alone(&server.peer(), script).await;
    let answers: Vec<&str> = said.lines().skip(1).step_by(2).map(str::trim).collect();
    assert_eq!(
        answers[6..],
        ["waits", "40P01 deadlock detected", "(0)", "(0)", "2", "5|2"],
        "{said}"
    );
}

/// Many sessions write children and take parents away: no row is ever without its parent.
#[tokio::test(flavor = "multi_thread")]
async fn no_child_is_ever_an_orphan() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE p (id int PRIMARY KEY);
         CREATE TABLE c (id bigint PRIMARY KEY DEFAULT snowflake_id(), p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO p SELECT g FROM generate_series(0, 9) g;",
    );
    let sessions = (0..6u64).map(async |seed| {
        let client = server.peer().connect().await;
        let mut random = seed * 2_654_435_761 + 1;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut refused = 0;
        for _ in 0..60 {
            let id = next(10);
            let what = match next(3) {
                0 => format!("DELETE FROM p WHERE id = {id}"),
                1 => format!("INSERT INTO p VALUES ({id}) ON CONFLICT DO NOTHING"),
                _ => format!("INSERT INTO c (p) VALUES ({id}), ({})", next(10)),
            };
            let more = match next(3) {
                0 => format!("DELETE FROM c WHERE p = {id}"),
                1 => format!("INSERT INTO c (p) VALUES ({})", next(10)),
                _ => "SELECT 1".to_string(),
            };
            let said = client
                .simple_query(&format!("BEGIN; {what}; {more}; COMMIT"))
                .await;
            if let Err(error) = said {
                let code = error.as_db_error().unwrap().code().code().to_string();
                assert!(["23503", "40P01"].contains(&code.as_str()), "{error:?}");
                refused += 1;
                client.batch_execute("ROLLBACK").await.unwrap();
            }
            let orphans =
                "SELECT count(*) FROM c WHERE NOT EXISTS (SELECT 1 FROM p WHERE p.id = c.p)";
            let orphans = text(&client, orphans).await.rows;
            assert_eq!(orphans[0][0].as_deref(), Some("0"));
        }
        refused
    });
    let refused: u64 = futures::future::join_all(sessions).await.into_iter().sum();
    assert!(refused > 0, "nothing was ever in another's way");
    let mut server = server;
    server.terminate();
    Server::assert_sound(&server.data());
}
