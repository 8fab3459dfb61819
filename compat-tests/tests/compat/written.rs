//! Forms of PostgreSQL's grammar that have equals in others: names of merged columns, ROWS FROM, escapes of Unicode.

use crate::pair::{Pair, same_answers};

#[tokio::test(flavor = "multi_thread")]
async fn forms_mean_what_their_equals_mean() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int, x text, \"Größe\" int);
         CREATE TABLE b (id int, y text, \"Größe\" int);
         INSERT INTO a VALUES (1, 'ä', 5), (2, 'b', 6);
         INSERT INTO b VALUES (1, 'c', 5), (3, 'd', 7);
         CREATE VIEW v AS SELECT j.id, j.\"Größe\" AS g FROM a FULL JOIN b USING (id, \"Größe\") AS j;",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT 5>-3, 1>=-1, 1<>-1, 1.5>=-.5, 1<-1, 2*-1, 1=-1, 5>+3, 7<>- -3, 1+-1, -1>-2, '[1,2]'::jsonb->-1, '[1,2]'::jsonb->>-1",
        "SELECT id FROM a WHERE id>-1 AND id<=+5 ORDER BY id",
        "SELECT j.id, a.x, b.y FROM a JOIN b USING (id) AS j",
        "SELECT j.*, x FROM a JOIN b USING (id, \"Größe\") AS j",
        "SELECT \"J\".\"Größe\", id FROM a JOIN b USING (id, \"Größe\") AS \"J\" WHERE \"J\".id < 9 ORDER BY \"J\".id",
        "SELECT j.id, count(*) FROM a FULL JOIN b USING (id) AS j GROUP BY j.id ORDER BY j.id",
        "SELECT j.id, (SELECT max(c.id) FROM b c WHERE c.id >= j.id) FROM a LEFT JOIN b USING (id) AS j ORDER BY 1",
        "SELECT * FROM a LEFT JOIN b USING (id) AS j ORDER BY id",
        "SELECT * FROM v ORDER BY id",
        "SELECT s.id FROM (SELECT j.id FROM a JOIN b USING (id) AS j) s",
        "SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 2)) AS t (p, \"Ö\")",
        "SELECT * FROM ROWS FROM (generate_series(1, 3)) WITH ORDINALITY AS t (p, n)",
        "SELECT * FROM ROWS FROM (unnest(ARRAY[1, 2]), unnest(ARRAY['ä', 'b', 'c'])) WITH ORDINALITY AS t (p, q, n) ORDER BY n",
        "SELECT p, q FROM ROWS FROM (generate_series(1, 3), regexp_split_to_table('a b', ' ')) AS t (p, q)",
        "SELECT t FROM ROWS FROM (generate_series(1, 2)) AS t",
        "SELECT * FROM unnest(ARRAY(SELECT 1 UNION ALL SELECT 3), ARRAY(SELECT 2)) AS t (a, b)",
        "SELECT array_agg(a)::text, array_agg(a ORDER BY id DESC)::text, count(a) FROM a",
        "SELECT array_agg(ROW(id, x) ORDER BY id)::text, array_agg((x, \"Größe\") ORDER BY id)::text FROM a",
        "SELECT id, array_to_string(array_agg(a), ';') FROM a GROUP BY id ORDER BY id",
        r"SELECT E'\ud83d\ude00' AS smile, E'\U0001F600', E'x\u00e4', E'\\u00e4', E'a\'\ud83d\ude00\''",
        r"SELECT U&'d\0061t\+000061', U&'\00e4', U&'d!0061''' UESCAPE '!', U&'\d83d\de00', U&'\\x'",
        r#"SELECT U&"gr\00f6\00dfe" FROM (SELECT 1 AS "größe") s"#,
        r#"SELECT 1 AS U&"d!0061t" UESCAPE '!', 'U&' || $q$ U&'\x' $q$ /* U&'\ */"#,
        "SELECT substring('foobar' SIMILAR '%#\"o_b#\"%' ESCAPE '#'), substring('Größe' similar '%#\"ö_#\"%' escape '#')",
        "SELECT substring('abcdefg' SIMILAR 'a#\"(b_d)#\"%' ESCAPE '#'), substring(NULL SIMILAR '%' ESCAPE '#'), substring('abc' SIMILAR 'x' ESCAPE '#')",
        "SELECT substring('a' || 'bc' FROM 2), 'abc' SIMILAR TO 'a%', substring(CASE WHEN 'a' SIMILAR TO 'a' THEN 'xyz' END FROM 2 FOR 1)",
        "SELECT inet_client_addr(), inet_server_addr(), inet_client_port() > 0, family(inet_client_addr())",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "DELETE FROM a USING (SELECT 9 AS id) AS s WHERE a.id = s.id",
        "SELECT array_agg(nix) FROM a",
    ] {
        pair.same_or_fail(statement);
    }
    // Without where it is, and how it should be.
    for (statement, said) in [
        (r"SELECT E'\ud83d'", "42601: invalid Unicode surrogate pair"),
        (r"SELECT E'\ude00'", "42601: invalid Unicode surrogate pair"),
        (r"SELECT E'\u0000'", "42601: invalid Unicode escape value"),
        (r"SELECT U&'\006'", "42601: invalid Unicode escape"),
        (
            r"SELECT U&'d!0061' UESCAPE '+'",
            "42601: invalid Unicode escape character",
        ),
        (
            "SELECT j.x FROM a JOIN b USING (id) AS j",
            "42703: column j.x does not exist",
        ),
        (
            "SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 2)) AS t",
            "0A000: ROWS FROM without names",
        ),
    ] {
        let script = format!("\\set VERBOSITY verbose\n{statement};");
        let found = pair.tide.peer().try_run(&script).unwrap_err();
        assert!(found.contains(said), "{statement}: {found}");
        if !said.starts_with("0A000") {
            let expected = pair.pg.peer().try_run(&script).unwrap_err();
            assert!(expected.contains(said), "{statement}: {expected}");
        }
    }
}
