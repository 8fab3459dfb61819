//! Locking clauses on joins, subqueries in FROM and views: which rows are locked, what is seen after a wait.

use super::stage::same_on_both;

const BOOKS: &str = "
    DROP VIEW IF EXISTS shelf;
    DROP TABLE IF EXISTS \"Bücher\", autor, verlag, ort;
    CREATE TABLE ort (name text, land text);
    CREATE TABLE autor (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE verlag (land text, nr int, name text, PRIMARY KEY (land, nr));
    CREATE TABLE \"Bücher\" (\"Nr\" int PRIMARY KEY, autor int REFERENCES autor, \"Land\" text, verlag int, preis int NOT NULL);
    INSERT INTO ort VALUES ('Bonn', 'de'), ('Wien', 'at');
    INSERT INTO autor VALUES (1, 'Ä'), (2, 'B');
    INSERT INTO verlag VALUES ('de', 1, 'Eins'), ('at', 1, 'Zwei');
    INSERT INTO \"Bücher\" VALUES (1, 1, 'de', 1, 10), (2, 1, 'at', 1, 20), (3, 2, NULL, NULL, 30), (4, NULL, NULL, NULL, 40);
    CREATE VIEW shelf AS SELECT b.\"Nr\", a.name, preis AS \"Preis\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor WHERE preis < 100;
";

/// What each of the other sessions could still lock.
const LEFT: &str = "
    c: SELECT \"Nr\" FROM \"Bücher\" ORDER BY 1 FOR UPDATE SKIP LOCKED
    c: SELECT id FROM autor ORDER BY 1 FOR UPDATE SKIP LOCKED
    c: SELECT id FROM autor ORDER BY 1 FOR KEY SHARE SKIP LOCKED
    c: SELECT land, nr FROM verlag ORDER BY 1 FOR UPDATE SKIP LOCKED
    c: SELECT name FROM ort ORDER BY 1 FOR UPDATE SKIP LOCKED
    a: COMMIT";

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_all_tables_of_a_join_are_locked() {
    let queries = [
        "SELECT b.\"Nr\", a.name FROM \"Bücher\" b JOIN autor a ON a.id = b.autor WHERE b.\"Nr\" = 1 FOR UPDATE",
        "SELECT * FROM \"Bücher\" JOIN autor ON id = autor WHERE preis > 15 ORDER BY preis DESC FOR NO KEY UPDATE",
        "SELECT b.*, a.id + 1 AS next FROM autor AS a, \"Bücher\" AS b WHERE a.id = b.autor ORDER BY \"Nr\" LIMIT 1 FOR UPDATE OF b",
        "SELECT \"Nr\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor ORDER BY \"Nr\" LIMIT 1 OFFSET 1 FOR SHARE",
        "SELECT \"Nr\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor ORDER BY \"Nr\" OFFSET 1 ROW FETCH FIRST ROW ONLY FOR SHARE",
        "SELECT b.\"Nr\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor JOIN verlag v ON (v.land, v.nr) = (b.\"Land\", b.verlag) WHERE b.\"Nr\" = 2 FOR UPDATE OF b, v",
        "SELECT b.\"Nr\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor WHERE b.\"Nr\" = 2 FOR UPDATE OF b FOR KEY SHARE OF a",
        "SELECT b.\"Nr\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor WHERE b.\"Nr\" = 2 FOR KEY SHARE OF a FOR SHARE FOR NO KEY UPDATE OF b NOWAIT",
        "SELECT x.\"Nr\", y.\"Nr\" FROM \"Bücher\" x JOIN \"Bücher\" y ON y.\"Nr\" = x.\"Nr\" + 1 WHERE x.\"Nr\" = 1 FOR UPDATE OF y",
        "SELECT b.\"Nr\", o.name FROM \"Bücher\" b JOIN ort o ON o.land = b.\"Land\" WHERE o.name = 'Wien' FOR UPDATE",
        "SELECT \"Nr\", count FROM \"Bücher\" b JOIN (SELECT autor, count(*) FROM \"Bücher\" GROUP BY autor) n USING (autor) WHERE \"Nr\" = 3 FOR UPDATE OF b",
        // Outer joins: the side that is always there.
        "SELECT b.\"Nr\", a.name FROM \"Bücher\" b LEFT JOIN autor a ON a.id = b.autor WHERE \"Nr\" > 2 ORDER BY 1 FOR UPDATE OF b",
        "SELECT b.\"Nr\", a.name FROM autor a RIGHT JOIN \"Bücher\" b ON a.id = b.autor WHERE \"Nr\" > 2 ORDER BY 1 FOR UPDATE OF b",
        "SELECT b.\"Nr\", a.name FROM \"Bücher\" b LEFT OUTER JOIN autor a ON a.id = b.autor WHERE a.id IS NOT NULL AND \"Nr\" > 2 FOR UPDATE",
        "SELECT b.\"Nr\", a.name FROM \"Bücher\" b LEFT JOIN autor a ON a.id = b.autor WHERE a.name = 'B' FOR UPDATE",
        "SELECT b.\"Nr\" FROM \"Bücher\" b LEFT JOIN autor a ON a.id = b.autor FOR UPDATE",
        "SELECT b.\"Nr\" FROM \"Bücher\" b LEFT JOIN autor a ON a.id = b.autor FOR KEY SHARE OF a",
        "SELECT b.\"Nr\" FROM \"Bücher\" b RIGHT JOIN autor a ON a.id = b.autor FOR SHARE OF b",
        "SELECT b.\"Nr\" FROM \"Bücher\" b FULL JOIN autor a ON a.id = b.autor FOR NO KEY UPDATE OF b",
        "SELECT b.\"Nr\" FROM autor a LEFT JOIN (\"Bücher\" b JOIN verlag v ON v.land = b.\"Land\") ON a.id = b.autor FOR UPDATE OF v",
        // Subqueries of FROM.
        "SELECT s.n, a.name FROM (SELECT \"Nr\" AS n, autor FROM \"Bücher\" WHERE preis > 5) AS s JOIN autor a ON a.id = s.autor WHERE s.n = 1 FOR UPDATE",
        "SELECT * FROM (SELECT * FROM \"Bücher\" WHERE preis > 5) AS s WHERE \"Nr\" = 1 FOR UPDATE",
        "SELECT s.*, a.* FROM (SELECT \"Nr\", autor FROM \"Bücher\") AS s (n) JOIN autor a ON a.id = s.autor WHERE n = 2 FOR UPDATE OF s",
        "SELECT \"Nr\" FROM (SELECT \"Nr\" FROM (SELECT * FROM \"Bücher\" JOIN autor ON id = autor) AS i WHERE name = 'B') AS o FOR UPDATE",
        "SELECT * FROM (SELECT \"Nr\" FROM \"Bücher\" ORDER BY \"Nr\" DESC LIMIT 2) AS s WHERE \"Nr\" < 4 FOR UPDATE",
        "SELECT a.name, l.\"Nr\" FROM autor a CROSS JOIN LATERAL (SELECT \"Nr\" FROM \"Bücher\" b WHERE b.autor = a.id) AS l WHERE \"Nr\" = 3 FOR UPDATE OF l",
        "SELECT s.n FROM \"Bücher\" b LEFT JOIN (SELECT id AS n FROM autor) AS s ON s.n = b.autor FOR UPDATE",
        "SELECT n FROM (SELECT DISTINCT autor AS n FROM \"Bücher\") AS s FOR UPDATE",
        "SELECT n FROM (SELECT count(*) AS n FROM \"Bücher\") AS s FOR UPDATE",
        "SELECT n FROM (SELECT autor AS n FROM \"Bücher\" GROUP BY autor) AS s FOR UPDATE",
        "SELECT n FROM (SELECT autor AS n FROM \"Bücher\" UNION SELECT 1) AS s FOR UPDATE",
        "SELECT n FROM (VALUES (1)) AS s (n) FOR UPDATE",
        // Other relations.
        "SELECT \"Nr\", g FROM \"Bücher\", generate_series(1, 2) AS g WHERE \"Nr\" = 1 ORDER BY g FOR UPDATE",
        "SELECT \"Nr\" FROM \"Bücher\", generate_series(1, 2) AS g FOR UPDATE OF g",
        "WITH q AS (SELECT 1 AS n) SELECT \"Nr\" FROM \"Bücher\" JOIN q ON n = \"Nr\" FOR UPDATE",
        "WITH q AS (SELECT 1 AS n) SELECT \"Nr\" FROM \"Bücher\" JOIN q ON n = \"Nr\" FOR UPDATE OF q",
        "SELECT b.\"Nr\" FROM \"Bücher\" b JOIN autor a ON a.id = b.autor FOR UPDATE OF autor",
        "SELECT \"Nr\" FROM (\"Bücher\" b JOIN autor a ON a.id = b.autor) AS j FOR UPDATE OF j",
        "SELECT b.\"Nr\" FROM \"Bücher\" b FOR UPDATE OF public.b",
        "SELECT 1 FOR UPDATE",
        // What is in the select list.
        "SELECT b.\"Nr\", (SELECT max(preis) FROM \"Bücher\" o WHERE o.autor = b.autor) FROM \"Bücher\" b WHERE \"Nr\" = 1 FOR UPDATE",
        "SELECT \"Nr\", EXISTS (SELECT 1 FROM autor) FROM \"Bücher\" WHERE preis = (SELECT max(preis) FROM \"Bücher\") FOR UPDATE",
        "SELECT sum(preis) FROM \"Bücher\" b JOIN autor a ON a.id = b.autor FOR UPDATE",
        "SELECT rank() OVER (ORDER BY preis) FROM \"Bücher\" FOR UPDATE",
        "SELECT generate_series(1, 2), \"Nr\" FROM \"Bücher\" FOR UPDATE",
        // Views.
        "SELECT * FROM shelf WHERE \"Nr\" = 1 FOR UPDATE",
        "SELECT s.\"Preis\", o.name FROM shelf AS s, ort AS o WHERE s.\"Nr\" = 2 AND o.land = 'de' FOR SHARE OF s",
    ];
    let scripts: Vec<String> = (queries.iter())
        .map(|query| format!("a: BEGIN\na: {query}{LEFT}"))
        .collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same_on_both(BOOKS, &scripts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_a_row_of_a_join_sees_what_it_became() {
    let join = "SELECT b.\"Nr\", preis, a.name FROM \"Bücher\" b JOIN autor a ON a.id = b.autor";
    let scripts = [
        // Any of its rows is waited for.
        format!(
            "a: BEGIN
             a: UPDATE autor SET name = 'Ö' WHERE id = 1
             b> {join} WHERE b.\"Nr\" = 1 FOR UPDATE
             a: COMMIT
             b<"
        ),
        // The row does not match any more, or goes.
        format!(
            "a: BEGIN
             a: UPDATE \"Bücher\" SET preis = 11 WHERE \"Nr\" = 1
             b> {join} WHERE preis = 10 FOR UPDATE
             a: COMMIT
             b<
             a: BEGIN
             a: UPDATE \"Bücher\" SET autor = NULL WHERE \"Nr\" = 2
             b> {join} WHERE b.\"Nr\" < 3 ORDER BY 1 FOR UPDATE
             a: COMMIT
             b<
             a: BEGIN
             a: DELETE FROM \"Bücher\" WHERE \"Nr\" = 3
             b> {join} WHERE b.\"Nr\" = 3 FOR UPDATE OF b
             a: COMMIT
             b<"
        ),
        // A change of a row that is not to be locked is not waited for.
        format!(
            "a: BEGIN
             a: UPDATE autor SET name = 'Ö' WHERE id = 1
             b: {join} WHERE b.\"Nr\" = 1 FOR UPDATE OF b
             b: {join} WHERE b.\"Nr\" = 1 FOR UPDATE NOWAIT
             b: {join} WHERE b.\"Nr\" = 1 FOR UPDATE OF b FOR KEY SHARE OF a
             b: {join} ORDER BY 1 FOR UPDATE SKIP LOCKED
             b: {join} ORDER BY 1 FOR UPDATE OF b SKIP LOCKED
             b: {join} ORDER BY 1 LIMIT 1 FOR UPDATE SKIP LOCKED
             a: ROLLBACK"
        ),
        // The queue: LIMIT counts the rows that could be locked, also in a subquery and over a join.
        "a: BEGIN
         a: SELECT \"Nr\" FROM \"Bücher\" ORDER BY 1 LIMIT 1 FOR UPDATE SKIP LOCKED
         b: BEGIN
         b: SELECT s.\"Nr\", a.id FROM (SELECT * FROM \"Bücher\" ORDER BY \"Nr\" LIMIT 1) AS s JOIN autor a ON a.id = s.autor FOR UPDATE SKIP LOCKED
         c: SELECT \"Nr\", id FROM \"Bücher\" JOIN autor ON autor = id ORDER BY 1 LIMIT 1 FOR UPDATE OF \"Bücher\" SKIP LOCKED
         c: SELECT \"Nr\", id FROM \"Bücher\" JOIN autor ON autor = id ORDER BY 1 LIMIT 1 FOR UPDATE SKIP LOCKED
         b: COMMIT
         a: COMMIT"
            .to_string(),
        // A snapshot that is kept.
        format!(
            "b: BEGIN ISOLATION LEVEL REPEATABLE READ
             b: SELECT 1 FROM ort
             a: UPDATE autor SET name = 'Ö' WHERE id = 1
             b: {join} WHERE b.\"Nr\" = 1 FOR UPDATE OF b
             b: {join} WHERE b.\"Nr\" = 1 FOR UPDATE
             b: ROLLBACK"
        ),
        // Rows of the transaction's own.
        format!(
            "a: BEGIN
             a: INSERT INTO autor VALUES (9, 'neu')
             a: INSERT INTO \"Bücher\" VALUES (9, 9, NULL, NULL, 90)
             a: {join} WHERE preis > 20 ORDER BY 1 FOR UPDATE
             a: UPDATE \"Bücher\" SET preis = 91 WHERE \"Nr\" = 9
             a: {join} WHERE preis > 20 ORDER BY 1 FOR UPDATE
             a: COMMIT"
        ),
    ];
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same_on_both(BOOKS, &scripts).await;
}

/// The rows may be in files, and users' rows among those of others.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_both_tiers_and_of_users_are_locked() {
    let server = tidelog_compat_tests::Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE ann; CREATE ROLE bob;
         CREATE TABLE mine (id int PRIMARY KEY, n int) WITH (type = 'user');
         CREATE TABLE \"Größen\" (id int PRIMARY KEY, name text);
         INSERT INTO \"Größen\" VALUES (1, 'klein'), (2, 'groß');
         INSERT INTO mine (_user, id, n) VALUES ('ann', 1, 1), ('bob', 1, 2);
         CALL tidelog.flush('mine'); CALL tidelog.flush('Größen');
         INSERT INTO mine (_user, id, n) VALUES ('bob', 2, 1);",
    );
    let (a, b) = (peer.connect().await, peer.connect().await);
    a.batch_execute("SET ROLE bob; BEGIN").await.unwrap();
    let join = "SELECT m.id, name FROM mine m JOIN \"Größen\" g ON g.id = m.n";
    let found = a
        .query(&format!("{join} ORDER BY 1 FOR UPDATE OF m"), &[])
        .await
        .unwrap();
    let found: Vec<String> = found.iter().map(|row| row.get(1)).collect();
    assert_eq!(found, ["groß", "klein"]);
    // The superuser sees who has them; ann's row of the same key is another one.
    let left = format!("{join} ORDER BY 1 FOR UPDATE SKIP LOCKED");
    let left = b.query(&left, &[]).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].get::<_, String>(1), "klein");
    a.batch_execute("COMMIT").await.unwrap();
}
