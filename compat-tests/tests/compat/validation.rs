//! Constraints that are added in two steps, beside PostgreSQL: NOT VALID and VALIDATE CONSTRAINT, and indexes that become
//! constraints.

use crate::pair::{Pair, same_answers, same_outcome};

#[tokio::test(flavor = "multi_thread")]
async fn constraints_that_say_nothing_about_rows_from_before() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2);
         CREATE TABLE \"Kind\" (id int PRIMARY KEY, \"Größe\" int, up int);
         INSERT INTO \"Kind\" VALUES (1, -1, 1), (2, 2, 99), (3, 3, NULL);",
    );
    let steps = [
        "ALTER TABLE \"Kind\" ADD CONSTRAINT \"größer\" CHECK (\"Größe\" > 0) NOT VALID",
        "ALTER TABLE \"Kind\" ADD CONSTRAINT of FOREIGN KEY (up) REFERENCES p ON DELETE CASCADE NOT VALID",
        "ALTER TABLE \"Kind\" ADD CONSTRAINT u UNIQUE (up) NOT VALID",
        "ALTER TABLE \"Kind\" ADD CONSTRAINT pk PRIMARY KEY (up) NOT VALID",
        "INSERT INTO \"Kind\" VALUES (4, -4, 1)",
        "INSERT INTO \"Kind\" VALUES (4, 4, 98)",
        "INSERT INTO \"Kind\" VALUES (4, 4, 2)",
        "UPDATE \"Kind\" SET up = 2 WHERE id = 1",
        "UPDATE \"Kind\" SET \"Größe\" = 22 WHERE id = 2",
        "DELETE FROM p WHERE id = 1",
        "ALTER TABLE \"Kind\" VALIDATE CONSTRAINT \"größer\"",
        "ALTER TABLE \"Kind\" VALIDATE CONSTRAINT of",
        "ALTER TABLE \"Kind\" VALIDATE CONSTRAINT \"Kind_pkey\"",
        "ALTER TABLE \"Kind\" VALIDATE CONSTRAINT missing",
        "INSERT INTO \"Kind\" VALUES (9, -9, NULL)",
        // Rows from before go on being ones from before when they are written again.
        "ALTER TABLE \"Kind\" ALTER \"Größe\" TYPE smallint, ALTER id TYPE bigint",
        "INSERT INTO \"Kind\" VALUES (9, -9, NULL)",
        "BEGIN; ALTER TABLE \"Kind\" ADD CHECK (id < 4) NOT VALID; ROLLBACK",
        "BEGIN; UPDATE \"Kind\" SET up = NULL WHERE up = 99; ALTER TABLE \"Kind\" VALIDATE CONSTRAINT of; COMMIT",
        "ALTER TABLE \"Kind\" VALIDATE CONSTRAINT of",
        "INSERT INTO \"Kind\" VALUES (-5, -9, NULL)",
        "DELETE FROM \"Kind\" WHERE \"Größe\" < 0",
        "ALTER TABLE \"Kind\" VALIDATE CONSTRAINT \"größer\"",
        "ALTER TABLE \"Kind\" RENAME \"Größe\" TO size",
        "INSERT INTO \"Kind\" VALUES (10, -9, NULL)",
    ];
    for (at, sql) in steps.into_iter().enumerate() {
        if at == 4 || at == 14 {
            pair.tide.peer().run("CALL tidelog.flush('Kind');");
            pair.tide.restart();
        }
        let (tide, pg) = pair.connect().await;
        same_outcome(&tide, &pg, sql).await;
        same_answers(&tide, &pg, "SELECT * FROM \"Kind\" ORDER BY id").await;
        let shown = "SELECT conname, contype, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '\"Kind\"'::regclass ORDER BY 1";
        same_answers(&tide, &pg, shown).await;
        if at % 8 == 1 {
            pair.same("\\d \"Kind\"");
        }
    }
    // Nor does the check of the data at the server's end ask for more.
    let orphan = "CREATE TABLE waise (up int); INSERT INTO waise VALUES (77);
        ALTER TABLE waise ADD FOREIGN KEY (up) REFERENCES p NOT VALID;";
    pair.run(orphan);
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_become_constraints() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE other (a int); CREATE UNIQUE INDEX theirs ON other (a);
         CREATE TABLE t (\"Nr\" int, b int, c text, d int UNIQUE);
         INSERT INTO t VALUES (1, 1, 'x', 1), (2, 2, NULL, 2);
         CREATE UNIQUE INDEX \"eins Ä\" ON t (\"Nr\"); CREATE UNIQUE INDEX zwei ON t (b, \"Nr\"); CREATE INDEX plain ON t (b);
         CREATE UNIQUE INDEX low ON t (lower(c)); CREATE UNIQUE INDEX part ON t (b) WHERE b > 0; CREATE UNIQUE INDEX down ON t (b, c DESC);
         CREATE UNIQUE INDEX nulls ON t (c);",
    );
    let steps = [
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX missing",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX theirs",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX plain",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX low",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX part",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX down",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE USING INDEX t_d_key",
        "ALTER TABLE t ADD CONSTRAINT t_d_key UNIQUE USING INDEX zwei",
        "ALTER TABLE t ADD CONSTRAINT pk PRIMARY KEY USING INDEX nulls",
        "ALTER TABLE t ADD CONSTRAINT \"zwei Ö\" UNIQUE USING INDEX zwei DEFERRABLE INITIALLY DEFERRED",
        "BEGIN; INSERT INTO t VALUES (3, 3, 'z', 3); UPDATE t SET b = b + 10; COMMIT",
        "ALTER TABLE t ADD PRIMARY KEY USING INDEX \"eins Ä\"",
        "ALTER TABLE t ADD PRIMARY KEY USING INDEX \"eins Ä\"",
        "INSERT INTO t VALUES (1, 7, 'y', 7)",
        "INSERT INTO t VALUES (4, 7, 'y', 7)",
        "INSERT INTO t VALUES (NULL, 7, 'y', 7)",
        "INSERT INTO t VALUES (5, 9, 'q', 9) ON CONFLICT (\"Nr\") DO UPDATE SET c = 'again'",
        "INSERT INTO t VALUES (5, 9, 'q', 9) ON CONFLICT (\"Nr\") DO UPDATE SET c = 'again'",
        "UPDATE t SET c = 'p' WHERE \"Nr\" = 2",
        "DELETE FROM t WHERE \"Nr\" = 3",
        "ALTER TABLE t DROP CONSTRAINT \"zwei Ö\"",
        "CREATE TABLE child (up int REFERENCES t)",
        "INSERT INTO child VALUES (77)",
        "ALTER TABLE t DROP CONSTRAINT \"eins Ä\"",
    ];
    for (at, sql) in steps.into_iter().enumerate() {
        if at == 13 || at == 19 {
            pair.tide.peer().run("CALL tidelog.flush('t');");
            pair.tide.restart();
        }
        let (tide, pg) = pair.connect().await;
        same_outcome(&tide, &pg, sql).await;
        same_answers(&tide, &pg, "SELECT * FROM t ORDER BY d").await;
        if at > 7 && at % 3 == 0 {
            pair.same("\\d t");
        }
    }
}
