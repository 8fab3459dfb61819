//! UNIQUE constraints that are checked at the end of a statement, or with the commit.

use tidelog_compat_tests::Server;

use super::stage::same_on_both;
use crate::constraints::play;
use crate::pair::Pair;

#[tokio::test(flavor = "multi_thread")]
async fn rows_may_share_a_key_for_a_while() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, a int CONSTRAINT ua UNIQUE DEFERRABLE INITIALLY DEFERRED,
             b int CONSTRAINT ub UNIQUE DEFERRABLE, c int, CONSTRAINT uc UNIQUE (c, b) DEFERRABLE INITIALLY IMMEDIATE);
         INSERT INTO t VALUES (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3);
         UPDATE t SET a = a + 1;
         UPDATE t SET b = b + 1;
         UPDATE t SET a = 5 - a, b = 5 - b;
         INSERT INTO t VALUES (4, 1, 9, 9);
         INSERT INTO t VALUES (4, 9, 1, 9);
         INSERT INTO t VALUES (4, 9, 9, 9), (5, 9, 8, 8);
         SELECT * FROM t ORDER BY id;
         @CALL tidelog.flush('t');
         INSERT INTO t VALUES (4, 1, 9, 9);
         UPDATE t SET a = a - 1;
         UPDATE t SET b = 2 WHERE id = 1;
         BEGIN;
         INSERT INTO t VALUES (4, 1, 9, 9);
         SELECT id FROM t WHERE a = 1 ORDER BY id;
         COMMIT;
         SELECT count(*) FROM t;
         BEGIN;
         INSERT INTO t VALUES (4, 1, 9, 9);
         UPDATE t SET a = 40 WHERE id = 4;
         COMMIT;
         BEGIN;
         INSERT INTO t VALUES (5, 2, 50, 50);
         DELETE FROM t WHERE a = 2 AND id <> 5;
         SELECT id, a FROM t ORDER BY id;
         COMMIT;
         BEGIN;
         INSERT INTO t VALUES (6, 60, 1, 60);
         ROLLBACK;
         BEGIN;
         INSERT INTO t VALUES (7, 40, 70, 70);
         INSERT INTO t VALUES (8, 40, 80, 80);
         UPDATE t SET a = 71 WHERE id = 7;
         UPDATE t SET a = 72 WHERE id = 4;
         COMMIT;
         BEGIN;
         INSERT INTO t VALUES (9, 72, 90, 90);
         SAVEPOINT s;
         UPDATE t SET a = 91 WHERE id = 9;
         ROLLBACK TO s;
         COMMIT;
         BEGIN;
         INSERT INTO t VALUES (9, 72, 90, 90);
         SET CONSTRAINTS ua IMMEDIATE;
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS ALL IMMEDIATE;
         INSERT INTO t VALUES (9, 72, 90, 90);
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS ub, uc DEFERRED;
         INSERT INTO t VALUES (9, 900, 1, 900);
         INSERT INTO t VALUES (10, 901, 900, 900);
         UPDATE t SET b = 902 WHERE id = 9;
         COMMIT;
         BEGIN;
         SET CONSTRAINTS ub DEFERRED;
         UPDATE t SET b = 902 WHERE id = 10;
         SET CONSTRAINTS ub IMMEDIATE;
         COMMIT;
         BEGIN;
         SET CONSTRAINTS t_pkey DEFERRED;
         ROLLBACK;
         BEGIN ISOLATION LEVEL REPEATABLE READ;
         UPDATE t SET a = a + 1;
         COMMIT;
         SELECT * FROM t ORDER BY id;
         INSERT INTO t VALUES (1, 72) ON CONFLICT (a) DO NOTHING;
         INSERT INTO t VALUES (1, 72) ON CONFLICT ON CONSTRAINT ua DO UPDATE SET c = 1;
         INSERT INTO t VALUES (1, 72) ON CONFLICT DO NOTHING;
         INSERT INTO t VALUES (1, 72) ON CONFLICT (id) DO UPDATE SET c = 1 RETURNING *;
         CREATE TABLE child (a int REFERENCES t (a));
         CREATE TABLE late (a int);
         INSERT INTO late VALUES (1), (1);
         ALTER TABLE late ADD CONSTRAINT ul UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;
         DELETE FROM late;
         ALTER TABLE late ADD CONSTRAINT ul UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;
         BEGIN;
         INSERT INTO late VALUES (1), (1);
         COMMIT;
         BEGIN;
         INSERT INTO late VALUES (1);
         INSERT INTO late VALUES (1);
         DELETE FROM late;
         INSERT INTO late VALUES (1), (2);
         UPDATE late SET a = 3 - a;
         COMMIT;
         @CALL tidelog.flush('late');
         @CALL tidelog.compact('late');
         UPDATE late SET a = 3 - a;
         INSERT INTO late VALUES (2);
         SELECT * FROM late ORDER BY a;\n",
    )
    .await;
}

#[tokio::test]
async fn definitions_say_when() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE DEFERRABLE INITIALLY DEFERRED, b int, UNIQUE (a, b) DEFERRABLE);
         INSERT INTO t VALUES (1, 1, 1), (2, 2, 2);",
    );
    for query in [
        "\\d t",
        "SELECT conname, condeferrable, condeferred, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1",
        "SELECT indexrelid::regclass::text, indimmediate FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1",
        "SELECT constraint_name, is_deferrable, initially_deferred FROM information_schema.table_constraints
             WHERE table_name = 't' AND constraint_type = 'UNIQUE' ORDER BY 1",
    ] {
        pair.same(query);
    }
    pair.run("CREATE TABLE t2 (LIKE t INCLUDING ALL);");
    pair.same("\\d t2");
    for _ in 0..2 {
        pair.run("BEGIN; UPDATE t SET a = 3 - a; UPDATE t SET a = 3 - a WHERE id = 1; UPDATE t SET a = 3 - a WHERE id = 2; COMMIT;");
        pair.same("SELECT * FROM t ORDER BY id");
        pair.same_or_fail("UPDATE t SET a = 2 WHERE id = 1");
        pair.same_or_fail("UPDATE t SET a = 2");
        pair.tide.kill();
        pair.tide.start_again();
    }
    let data = pair.tide.data();
    pair.tide.terminate();
    Server::assert_sound(&data);
}

const SETUP: &str = "
    DROP TABLE IF EXISTS t;
    CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO t VALUES (1, 1), (2, 2);";

#[tokio::test(flavor = "multi_thread")]
async fn sessions_meet_at_a_key() {
    same_on_both(
        SETUP,
        &[
            "a: BEGIN
             a: UPDATE t SET a = 9 WHERE id = 1
             b: BEGIN
             b: INSERT INTO t VALUES (3, 7)
             a: COMMIT
             b: COMMIT
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             a: INSERT INTO t VALUES (3, 3)
             b> INSERT INTO t VALUES (4, 3)
             a: COMMIT
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             a: INSERT INTO t VALUES (3, 3)
             b> INSERT INTO t VALUES (4, 3)
             a: ROLLBACK
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> INSERT INTO t VALUES (4, 1)
             a: COMMIT
             b<
             b: SELECT * FROM t ORDER BY id",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_keys_are_deferred() {
    play(
        "CREATE TABLE pkd(id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v int);
         INSERT INTO pkd VALUES (1,1),(2,2),(3,3);
         @CALL tidelog.flush('pkd');
         UPDATE pkd SET id = id + 1;
         SELECT * FROM pkd ORDER BY id;
         INSERT INTO pkd VALUES (2,9);
         INSERT INTO pkd VALUES (NULL,9);
         BEGIN;
         INSERT INTO pkd VALUES (2,9);
         UPDATE pkd SET id = 20 WHERE v = 9;
         COMMIT;
         BEGIN;
         INSERT INTO pkd VALUES (2,9);
         COMMIT;
         SELECT * FROM pkd ORDER BY id;
         SELECT conname, contype, condeferrable, condeferred, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'pkd'::regclass;
         SELECT indisprimary, indisunique, indimmediate, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'pkd'::regclass;
         SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'pkd'::regclass AND attnum > 0;
         SELECT constraint_name, constraint_type, is_deferrable, initially_deferred FROM information_schema.table_constraints WHERE table_name = 'pkd' AND constraint_type = 'PRIMARY KEY';
         SELECT id, v FROM pkd GROUP BY id;
         CREATE TABLE pkc(id int REFERENCES pkd);
         CREATE TABLE pkc(id int REFERENCES pkd(id));
         ALTER TABLE pkd ALTER id DROP NOT NULL;
         ALTER TABLE pkd ADD PRIMARY KEY (v);
         ALTER TABLE pkd RENAME CONSTRAINT pkd_pkey TO pkdk;
         INSERT INTO pkd VALUES (2, 5);
         CREATE TABLE pkd3 (LIKE pkd INCLUDING ALL);
         SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'pkd3'::regclass;
         DROP TABLE pkd3;
         COMMENT ON CONSTRAINT pkdk ON pkd IS 'x';
         ALTER TABLE pkd ALTER CONSTRAINT pkdk NOT DEFERRABLE;
         CREATE TABLE pkd2(id int, v int, PRIMARY KEY (id) DEFERRABLE);
         CREATE TABLE pkd4(id int PRIMARY KEY, v int, PRIMARY KEY (v) DEFERRABLE);
         INSERT INTO pkd2 VALUES (1,1),(2,2);
         UPDATE pkd2 SET id = 3 - id;
         SELECT * FROM pkd2 ORDER BY v;
         ALTER TABLE pkd2 DROP CONSTRAINT pkd2_pkey;
         INSERT INTO pkd2 VALUES (NULL,1);
         ALTER TABLE pkd2 ADD CONSTRAINT k PRIMARY KEY (id, v) DEFERRABLE;
         @CALL tidelog.flush('pkd2');
         INSERT INTO pkd2 VALUES (1,2);
         INSERT INTO pkd2 VALUES (1,1) ON CONFLICT (id) DO NOTHING;
         INSERT INTO pkd2 VALUES (1,1) ON CONFLICT DO NOTHING;
         BEGIN;
         SET CONSTRAINTS k DEFERRED;
         INSERT INTO pkd2 VALUES (1,2);
         DELETE FROM pkd2 WHERE id = 1 AND v = 2;
         INSERT INTO pkd2 VALUES (1,2);
         COMMIT;
         SELECT * FROM pkd2 ORDER BY v, id;
         ALTER TABLE pkd2 DROP COLUMN id;
         SELECT * FROM pkd2 ORDER BY v;
         ALTER TABLE pkd2 ADD PRIMARY KEY (v) INITIALLY DEFERRED;
         ALTER TABLE pkd2 ADD COLUMN w int PRIMARY KEY DEFERRABLE;
         DROP TABLE pkd2, pkd",
    )
    .await;
}
