//! The extensions that come with the server: citext and hstore.

use tidelog_compat_tests::Server;

use crate::constraints::play;

#[tokio::test(flavor = "multi_thread")]
async fn citext_and_hstore_are_kept_and_compared() {
    play(
        "CREATE EXTENSION IF NOT EXISTS hstore;
         CREATE EXTENSION IF NOT EXISTS citext;
         CREATE EXTENSION IF NOT EXISTS pgcrypto;
         CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\";
         CREATE EXTENSION citext;
         DROP EXTENSION IF EXISTS nothing;
         DROP EXTENSION nothing;
         CREATE TABLE t (id int, c citext, h hstore, many citext[]);
         INSERT INTO t VALUES (1, 'Abc', 'a=>1, b => NULL', '{X,y}'), (2, 'aBC', 'x=>\"y z\", x=>2', NULL), (3, NULL, NULL, '{}'), (4, 'b', '', NULL);
         SELECT * FROM t ORDER BY id;
         @CALL tidelog.flush('t');
         SELECT * FROM t ORDER BY id;
         SELECT id FROM t WHERE c = 'ABC' ORDER BY id;
         SELECT id FROM t WHERE c <> 'ABC' ORDER BY id;
         SELECT id FROM t WHERE c IN ('abc', 'B') ORDER BY id;
         SELECT id FROM t WHERE c BETWEEN 'A' AND 'abd' ORDER BY id;
         SELECT id, c IS DISTINCT FROM 'ABC', c IS NOT DISTINCT FROM NULL, CASE c WHEN 'ABC' THEN 1 END FROM t ORDER BY id;
         SELECT id FROM t WHERE c IS NULL;
         SELECT id FROM t WHERE c < 'B' ORDER BY id;
         SELECT id FROM t WHERE c = (SELECT 'ABC'::citext) ORDER BY id;
         SELECT c FROM t ORDER BY c, id;
         SELECT row_number() OVER (ORDER BY c, id), id FROM t ORDER BY id;
         SELECT a.id, b.id FROM t a JOIN t b ON a.c = b.c ORDER BY 1, 2;
         SELECT upper(c), length(c), c || 'x', coalesce(c, 'none'), c::varchar FROM t ORDER BY id;
         SELECT nullif(c, 'ABC'), coalesce(c, c) FROM t ORDER BY id;
         SELECT c::text FROM t WHERE c::text LIKE 'a%';
         SELECT count(c), count(*) FROM t;
         SELECT id FROM t WHERE h = 'b=>NULL,a=>1';
         SELECT 'a=>b c'::hstore;
         UPDATE t SET c = 'ZZ' WHERE c = 'B' RETURNING c;
         DELETE FROM t WHERE c = 'zz';
         SELECT count(*) FROM t;
         SELECT typname, typnamespace::regnamespace::text, typcategory, typtype FROM pg_type WHERE typname IN ('citext', '_citext', 'hstore', '_hstore') ORDER BY 1;
         SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1;
         SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum",
    )
    .await;
}

/// Where equal values might be told apart by their texts, the statement is refused.
#[test]
fn what_would_compare_texts_of_citext_is_refused() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int, c citext); INSERT INTO t VALUES (1, 'A'), (2, 'a');");
    let joined = "SELECT string_agg(c::text, '' ORDER BY a.id, b.id) FROM t a JOIN t b USING (c)";
    assert_eq!(peer.value(joined), "AAaa");
    for statement in [
        "SELECT DISTINCT c FROM t",
        "SELECT DISTINCT ON (c) id FROM t",
        "SELECT c FROM t GROUP BY c",
        "SELECT count(DISTINCT c) FROM t",
        "SELECT max(c) FROM t",
        "SELECT array_agg(c) FROM t",
        "SELECT c FROM t UNION SELECT c FROM t",
        "SELECT c FROM t INTERSECT SELECT c FROM t",
        "SELECT id FROM t WHERE c IN (SELECT c FROM t)",
        "SELECT id FROM t WHERE c = ANY (ARRAY['a'::citext])",
        "SELECT id FROM t WHERE c LIKE 'a%'",
        "SELECT id FROM t WHERE c ~ 'a'",
        "SELECT replace(c, 'a', 'b') FROM t",
        "SELECT row_number() OVER (PARTITION BY c) FROM t",
        "SELECT 'a'::citext = ANY ('{A}'::citext[])",
        "CREATE TABLE u (c citext PRIMARY KEY)",
        "CREATE INDEX ON t (c)",
        "DROP EXTENSION citext",
    ] {
        let said = peer.try_run(&format!("{statement};")).unwrap_err();
        assert!(said.contains("is not supported"), "{statement}: {said}");
    }
    let unknown = peer.try_run("CREATE EXTENSION nothing;").unwrap_err();
    assert!(unknown.contains("extension \"nothing\" is not available"));
}
