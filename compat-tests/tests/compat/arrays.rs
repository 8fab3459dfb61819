//! Arrays of several dimensions, and such as do not begin at 1: literals, functions, columns, parameters, COPY.

use tidelog_compat_tests::random::Random;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::pair::{Pair, Raw, binary, same_answers, same_outcome, text};
use crate::type_functions::all_same;

const EXPRESSIONS: &[&str] = &[
    r#"SELECT '{"a": {"b": 1}}'::jsonb #> '{{a},{b}}'::text[]"#,
    "SELECT '{{1,2},{3,4}}'::int[]",
    "SELECT '[0:1]={1,2}'::int[]",
    "SELECT '[2:3][0:1]={{1,2},{3,4}}'::int[]",
    "SELECT ARRAY[[1,2],[3,4]]",
    "SELECT ARRAY[ARRAY[1,2],ARRAY[3,4]]",
    "SELECT ARRAY[[[1],[2]],[[3],[4]]]",
    "SELECT ARRAY['{{1,2}}'::int[], '{{3,4}}']",
    "SELECT ARRAY['{NULL,NULL}', ARRAY[1,NULL]]::int[]",
    "SELECT ARRAY[ARRAY[1,NULL], '{2,3}']::text[]",
    "SELECT ARRAY['{1,2}'::int[], '{3,4}']::bigint[]",
    "SELECT ARRAY[ARRAY['{1,2}', ARRAY[3,4]], ARRAY['{5,6}', ARRAY[7,8]]]::int[][]",
    "SELECT ARRAY['1', 2]::text[], ARRAY['{1}', 'x']::text[]",
    "SELECT (ARRAY[[1,2],[3,4]])[1]",
    "SELECT (ARRAY[[1,2],[3,4]])[1][2]",
    "SELECT (ARRAY[[1,2],[3,4]])[1:2][2:2]",
    "SELECT (ARRAY[[1,2],[3,4]])[2:]",
    "SELECT (ARRAY[[1,2],[3,4]])[:1]",
    "SELECT (ARRAY[[1,2],[3,4]])[1:2][2]",
    "SELECT (ARRAY[[1,2],[3,4]])[3:4]",
    "SELECT ('[0:2]={1,2,3}'::int[])[0:1]",
    "SELECT ('[0:2]={1,2,3}'::int[])[0]",
    "SELECT (ARRAY[1,2,3])[1][1]",
    "SELECT (ARRAY[1,2,3])[2:3]",
    "SELECT array_dims('[2:3][0:1]={{1,2},{3,4}}'::int[])",
    "SELECT array_ndims('{{1,2},{3,4}}'::int[]), array_length('{{1,2,5},{3,4,6}}'::int[], 2), array_length('{{1,2,5},{3,4,6}}'::int[], 3)",
    "SELECT array_lower('[2:3][0:1]={{1,2},{3,4}}'::int[], 2), array_upper('[2:3][0:1]={{1,2},{3,4}}'::int[], 1), cardinality('{{1,2},{3,4}}'::int[])",
    "SELECT unnest('{{1,2},{3,4}}'::int[])",
    "SELECT * from unnest('{{1,2},{3,4}}'::int[]) with ordinality",
    "SELECT array_append('{1,2}'::int[], 3), array_append('[0:1]={1,2}'::int[], 3), array_prepend(3, '[0:1]={1,2}'::int[])",
    "SELECT array_cat('{{1,2}}'::int[], '{3,4}'::int[]), array_cat('{1,2}'::int[], '{{3,4}}'::int[])",
    "SELECT array_cat('{{1,2}}'::int[], '{{{3,4}}}'::int[]), 1",
    "SELECT '{{1,2}}'::int[] || '{3,4}'::int[], '{{1,2}}'::int[] || '{{3,4}}'::int[], ARRAY[1,2] || ARRAY[[3,4]]",
    "SELECT '[0:1]={1,2}'::int[] || 7, 7 || '[0:1]={1,2}'::int[], '[0:1]={1,2}'::int[] || '{8}'",
    "SELECT ARRAY[ARRAY[]::int[],ARRAY[]::int[]]",
    "SELECT array_position('[3:4]={1,2}'::int[], 2), array_positions('[3:5]={1,2,1}'::int[], 1)",
    "SELECT array_remove('[3:5]={1,2,1}'::int[], 2), array_replace('{{1,2},{2,3}}'::int[], 2, 9), array_replace('[0:1]={1,2}'::int[],2,3)",
    "SELECT array_to_string('{{1,2},{NULL,3}}'::int[], ',', '*'), array_to_string('{{1,2},{NULL,3}}'::int[], ',')",
    r#"SELECT array_to_json('{{1,2},{3,4}}'::int[]), to_json('{{1,2},{3,4}}'::int[]), to_jsonb('{{"a",b},{c,NULL}}'::text[])"#,
    "SELECT array_to_json('{{1,2},{3,4}}'::int[], true)",
    "SELECT array_fill(7, ARRAY[2,3]), array_fill(7, ARRAY[3], ARRAY[2]), array_fill(7, ARRAY[2,2], ARRAY[0,5]), array_fill(7, '{}'::int[]), array_fill(1, ARRAY[0])",
    "SELECT array_agg(a) from (values (ARRAY[1,2]),(ARRAY[3,4])) v(a)",
    "SELECT array_agg(a order by a desc) from (values (ARRAY[1,2]),(ARRAY[3,4]), ('{0,0}')) v(a)",
    "SELECT array_agg(a) from (values ('{{1,2},{3,4}}'::int[]),('{{5,6},{7,8}}')) v(a)",
    "SELECT array(select a from (values (ARRAY[1,2]),(ARRAY[3,4])) v(a))",
    "SELECT array(select a from (values (ARRAY[1,2]),(ARRAY[3,4])) v(a) where false)",
    "SELECT trim_array('{{1,2},{3,4},{5,6}}'::int[], 1), trim_array('[0:2]={1,2,3}'::int[], 1), trim_array('{{1,2}}'::int[], 1)",
    "SELECT generate_subscripts('{{1,2,3},{3,4,5}}'::int[], 2), 1",
    "SELECT generate_subscripts('[5:7]={3,4,5}'::int[], 1)",
    "SELECT generate_subscripts('[5:7]={3,4,5}'::int[], 1, true)",
    "SELECT '{{1,2},{3,4}}'::int[] = ARRAY[[1,2],[3,4]], '{{1,2},{3,4}}'::int[] = ARRAY[1,2,3,4], '{{1,2},{3,4}}'::int[] > ARRAY[1,2,3,4], '[0:1]={1,2}'::int[] < '{1,2}', '[0:1]={1,2}'::int[] = '{1,2}'",
    "SELECT ARRAY[1,2,3,4] < '{{1,2},{3,4}}', ARRAY[1,2] = '[1:2]={1,2}', '{{1,2}}'::int[] <> '{1,2}'::int[]",
    "SELECT '{{1,2},{3,4}}'::int[] @> '{3}', '{{1,2},{3,4}}'::int[] && '{9,4}', '{1,4}'::int[] <@ '{{1,2},{3,4}}'::int[], ARRAY[1] <@ ARRAY[[1,2]]",
    "SELECT 3 = any('{{1,2},{3,4}}'::int[]), 3 = any(ARRAY[[1,2],[3,4]]), 5 <> all('{{1,2},{3,4}}'::int[]), 3 = any('{{1,2},{3,4}}')",
    "SELECT ARRAY[[1,2],[3,4]]::text[], ARRAY[[1,2],[3,4]]::float8[], '{{1.5,2.5}}'::float8[]::int[], ARRAY[['1','2'],['3','4']]::int[]",
    "SELECT '{{1,2},{3,4}}'::int[]::text",
    "SELECT pg_typeof('{{1,2},{3,4}}'::int[]), pg_typeof(ARRAY[[1,2]]), pg_typeof(array_fill(1,array[1]))",
    "SELECT coalesce(NULL::int[], '{{1,2}}'), case when true then ARRAY[1] else '{{1,2}}' end, nullif('{{1,2}}'::int[], '{{1,2}}')",
    "SELECT ARRAY[1,2] union all select '{{1,2}}'::int[]",
    "SELECT a from (values ('{{1,2},{3,4}}'::int[]), ('{1,2,3,4}'), ('[0:3]={1,2,3,4}'), ('{1,2,3}'), (NULL), ('{}')) v(a) order by a",
    "SELECT a, count(*) from (values ('{{1,2}}'::int[]), ('{1,2}'), ('{{1,2}}'), ('[0:1]={1,2}')) v(a) group by a order by a",
    "SELECT distinct a from (values ('{{1,2}}'::int[]), ('{1,2}'), ('{{1,2}}'), ('[0:1]={1,2}')) v(a) order by 1",
    "SELECT max(a), min(a) from (values ('{{1,2}}'::int[]), ('{1,2}'), ('{{1,2}}'), ('[0:1]={1,2}')) v(a)",
    "SELECT '{{1,2}}'::int[] in ('{1,2}', '{{1,2}}'), '{{1,2}}'::int[] between '{1}' and '{{2}}'",
    r#"SELECT '[1:2]={1,2}'::int[] , '[-1:0]={a,"b c"}'::text[], '[2]={1,2}'::int[]"#,
    r#"SELECT '{{"2020-01-01"},{"2021-01-01"}}'::date[], '{{1 day},{2 days}}'::interval[], '{{t,f}}'::bool[], '{{"\\x01"}}'::bytea[], '{{1.50,2}}'::numeric[], '{{1.50,2}}'::numeric(5,1)[]"#,
    "SELECT '{{{{{{1}}}}}}'::int[]",
    "SELECT '{(1,1),(0,0);(2,2),(1,1)}'::box[]",
    "SELECT array_append(NULL, 5), pg_typeof(array_append(NULL, 5)), pg_typeof(array_prepend(5, NULL)), pg_typeof(array_append(NULL, 'x'::text)), pg_typeof(array_append(NULL::bigint[], 5))",
    "SELECT ARRAY[]::int[], ARRAY[[],[]]::int[], pg_typeof(ARRAY[]::text[]), coalesce(NULL, ARRAY[]::int[]), cardinality(ARRAY[]::int[])",
    "SELECT ARRAY['a  '::char(3), 'b'::char(3)], ARRAY['a '::bpchar, 'b'], array_length(ARRAY['x'::char(2)], 1)",
    "SELECT ARRAY['a '::char(3)] = ARRAY['a'::char(3)], ARRAY['a '::char(3)] @> ARRAY['a'::char(3)], 'a'::char(3) = any(ARRAY['a '::char(3)]), ARRAY['a '::bpchar] < ARRAY['b'::bpchar]",
    "SELECT array_to_string(ARRAY['a'::char(3), 'b'], ','), array_position(ARRAY['a'::char(3)], 'a'), array_remove(ARRAY['a'::char(3),'b'], 'a')",
];

const REFUSED: &[&str] = &[
    "SELECT array_append('{{1,2}}'::int[], 3)",
    "SELECT array_prepend(3, '{{1,2}}'::int[])",
    "SELECT array_cat('{{1,2}}'::int[], '{3,4,5}'::int[])",
    "SELECT array_cat('{{{{1,2}}}}'::int[], '{3}'::int[])",
    "SELECT ARRAY[[1,2],[3]]",
    "SELECT ARRAY[ARRAY[1,2],ARRAY[3]]",
    "SELECT ARRAY[ARRAY[1,2],NULL]",
    "SELECT array_position('{{1,2}}'::int[], 2)",
    "SELECT array_remove('{{1,2}}'::int[], 2)",
    "SELECT array_fill(7, ARRAY[2,3], ARRAY[1])",
    "SELECT array_fill(7, '{{2,3}}'::int[])",
    "SELECT array_fill(7, ARRAY[1,1,1,1,1,1,1])",
    "SELECT array_fill(7, NULL::int[])",
    "SELECT array_fill(7, ARRAY[2,NULL])",
    "SELECT array_fill(7, ARRAY[100000,100000])",
    "SELECT array_agg(a) from (values (ARRAY[1,2]),(ARRAY[3])) v(a)",
    "SELECT array_agg(a) from (values (ARRAY[1,2]),(NULL)) v(a)",
    "SELECT array_agg(a) from (values (ARRAY[1,2]),('{}'::int[])) v(a)",
    "SELECT trim_array('{{1,2},{3,4},{5,6}}'::int[], 4)",
    r#"SELECT '{ { 1 , 2 } , { "3" , NULL } }'::int[], '{{"a\"b","c\\d"},{ "e,f" ,{}}}'::text[]"#,
    "SELECT ARRAY[]",
];

const LITERALS: &[&str] = &[
    "SELECT '{}'::int[], '{ }'::int[], ' { } '::text[]",
    r#"SELECT '{a b , c}'::text[], '{ "a" , b\ }'::text[], E'{"\\"",\\{,n\\ull,NULL,"null"}'::text[]"#,
    "SELECT '[1:1][1:2]={{1,2}}'::int[]",
    "SELECT '[1:2] = {1,2}'::int[]",
    "SELECT '[1:2] [1:1] = {{1},{2}}'::int[]",
    "SELECT '[2147483646:2147483646]={1}'::int[]",
    "SELECT '[-2147483648:-2147483647]={1,2}'::int[]",
    "SELECT '{1} '::int[]",
    "SELECT '{null,NULL,Null}'::int[]",
    "SELECT '{{null,1}}'::int[]",
    r#"SELECT '{\1}'::int[]"#,
    "SELECT '{{1}, {2}}'::int[], '{{1} ,{2}}'::int[], '{ {1},{2}}'::int[]",
    "SELECT '{{{{{{1}}}}}}'::int[]",
];

const MALFORMED: &[&str] = &[
    "SELECT '{1,2'::int[]",
    "SELECT '1,2}'::int[]",
    "SELECT '{1,,2}'::int[]",
    "SELECT '{1,2,}'::int[]",
    "SELECT '{1,2}}'::int[]",
    "SELECT '{{1,2},3}'::int[]",
    "SELECT '{1,{2}}'::int[]",
    "SELECT '{{1,2},{3}}'::int[]",
    "SELECT '{{1,2},{}}'::int[]",
    "SELECT '{{},{}}'::int[]",
    "SELECT '{{}}'::int[]",
    "SELECT '{{{1},{2}},{{3}}}'::int[]",
    r#"SELECT '{"a"b}'::text[]"#,
    r#"SELECT '{a"b"}'::text[]"#,
    r#"SELECT '{"a}'::text[]"#,
    r#"SELECT '{a\}'::text[]"#,
    "SELECT '[1:2]={1}'::int[]",
    "SELECT '[1:2]{1,2}'::int[]",
    "SELECT '[1:2]=1,2'::int[]",
    "SELECT '[2:1]={}'::int[]",
    "SELECT '[a:2]={1,2}'::int[]",
    "SELECT '[1:]={1,2}'::int[]",
    "SELECT '[1:2={1,2}'::int[]",
    "SELECT '[]={1,2}'::int[]",
    "SELECT '[1:1][1:2]={1,2}'::int[]",
    "SELECT '[1:1][1:1][1:1][1:1][1:1][1:1][1:1]={1}'::int[]",
    "SELECT ' [ 1:2]={1,2}'::int[]",
    "SELECT '[2147483647:2147483647]={1}'::int[]",
    "SELECT '[0:200000000]={1}'::int[]",
    "SELECT '{x}'::int[]",
    "SELECT '{{1,x}}'::int[]",
    "SELECT '{1} x'::int[]",
    "SELECT ''::int[]",
    "SELECT 'null'::int[]",
    "SELECT '}'::int[]",
    "SELECT '{1}{2}'::int[]",
    "SELECT '{{1},{2}}{'::int[]",
    "SELECT '{1 2}'::int[]",
    r#"SELECT '{"1"2}'::int[]"#,
    r#"SELECT '{1"2"}'::int[]"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn expressions() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(&tide, &pg, EXPRESSIONS).await;
    all_same(&tide, &pg, LITERALS).await;
    for statement in REFUSED.iter().chain(MALFORMED) {
        same_outcome(&tide, &pg, statement).await;
    }
}

/// Runs each step on both, of which those that show something must show the same, and the others end the same.
async fn same_steps((tide, pg): (&Client, &Client), steps: &[&str]) {
    for step in steps {
        match step.starts_with("select") || step.starts_with("with") {
            true if refused(pg, step).await => same_outcome(tide, pg, step).await,
            true => assert_eq!(text(tide, step).await, text(pg, step).await, "{step}"),
            false => same_outcome(tide, pg, step).await,
        }
    }
}

async fn refused(client: &Client, statement: &str) -> bool {
    client.simple_query(statement).await.is_err()
}

/// `array_to_string` writes what the elements' own types do.
#[tokio::test(flavor = "multi_thread")]
async fn elements_are_joined_as_their_types_write_them() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE j (n numeric[], m numeric(6,2)[], b bool[], f float8[], i interval[], y bytea[], c char(4)[], d date[], z timestamptz[], u uuid[], t timetz[], v varchar(3)[], o json[]);
         INSERT INTO j VALUES ('{1.50,2,NaN,NULL}', '{1.5,2}', '{t,f,NULL}', '{1e20,-0,Infinity}', '{1 day 2:00,-1 mon}', ARRAY['\\x01'::bytea, 'ab'], '{ab,abcd}', '{infinity,2020-01-01}', '{infinity,2020-01-01 10:00+02}', '{00000000-0000-0000-0000-00000000000a}', '{10:10+05:30}', '{ab,NULL}', ARRAY['{\"a\" : 1}'::json]);",
    );
    let (tide, pg) = pair.connect().await;
    for column in [
        "n", "m", "b", "f", "i", "y", "c", "d", "z", "u", "t", "v", "o",
    ] {
        let query = format!(
            "SELECT array_to_string({column}, '|'), array_to_string({column}, ',', '*') FROM j"
        );
        same_answers(&tide, &pg, &query).await;
    }
    for query in [
        "SELECT array_to_string(ARRAY[1.50, 2], '|'), array_to_string('{{1.5,2},{3,4}}'::numeric[], ','), array_to_string(ARRAY[]::numeric[], ',')",
        "SELECT concat_ws('|', VARIADIC ARRAY[1.50, 2]), concat(VARIADIC ARRAY[true, NULL, false])",
        "SELECT array_to_string(ARRAY[1, 2], ','), array_to_string(ARRAY['a', NULL, 'b'], ',', '-'), array_to_string(NULL::numeric[], ',')",
        "SELECT array_to_string(array_agg(n), ';') FROM (VALUES (1.10), (2.2)) v(n)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscripts_are_integers() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE s (id int PRIMARY KEY, a int[], k bigint, n numeric, x text, r real);
         INSERT INTO s VALUES (1, '{10,20,30}', 2, 2.5, '1', 1.5), (2, '[0:1]={5,6}', 0, -0.5, '2', 0.5);
         UPDATE s SET a[1.5] = 1, a['1'] = 99 WHERE id = 2;
         UPDATE s SET a[k] = 77 WHERE id = 1;
         UPDATE s SET a['2':2.9] = '{4,5}' WHERE id = 1;",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT * FROM s ORDER BY id",
        "SELECT ('{1,2,3}'::int[])['2'], (ARRAY[1,2,3])[1.6], (ARRAY[1,2,3])[2::bigint], (ARRAY[1,2,3])[2.5::float8], ('{{1,2},{3,4}}'::int[])['2'][1.4]",
        "SELECT id, a[k], a[n], a[r], a[k:n], a[:'1'], a['1':], a[NULL] FROM s ORDER BY id",
        "SELECT ('abc'::name)['1']",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "SELECT (ARRAY[1,2])['a']",
        "SELECT a[x] FROM s",
        "SELECT a[1:x] FROM s",
        "SELECT (ARRAY[1,2])[date '2020-01-01']",
        "SELECT (ARRAY[1,2])[3000000000]",
        "SELECT (ARRAY[1,2])[true]",
        "UPDATE s SET a['a'] = 1",
        "UPDATE s SET a[x] = 1",
        "UPDATE s SET a[3000000000] = 1",
    ] {
        same_outcome(&tide, &pg, statement).await;
    }
    for client in [&tide, &pg] {
        let statement = client
            .prepare("SELECT a[$1], a[$2:$3] FROM s")
            .await
            .unwrap();
        let types: Vec<_> = statement.params().iter().map(|ty| ty.name()).collect();
        assert_eq!(types, ["int4"; 3]);
    }
}

/// `||` of an array and a number where one of them is of numerics.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_appended_to_numerics() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE n (n numeric[], m numeric(6,2)[], i int[], x numeric, y numeric(4,3), k int);
         INSERT INTO n VALUES ('{1.5,2}', '{1.5,2}', '{1,2}', 3.125, 5.555, 7);",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT n || 5, m || 5.555, i || 1.5, 5 || n, 0.25 || m, 1.5 || i FROM n",
        "SELECT ARRAY[1.5] || 2, 2 || ARRAY[1.5], ARRAY[1, 2] || 2.25, ARRAY[1.5, 2] || 3.125",
        "SELECT n || x, n || y, n || k, m || x, m || y, m || k, i || x, k || m FROM n",
        "SELECT n || NULL::numeric, NULL::int || n FROM n",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_several_dimensions() {
    let mut pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    same_steps((&tide, &pg), STEPS).await;
    for step in ["", "flush", "restart"] {
        match step {
            "flush" => drop(
                pair.tide
                    .peer()
                    .run("CALL tidelog.flush('t'); CALL tidelog.flush('k');"),
            ),
            "restart" => pair.tide.restart(),
            _ => {}
        }
        let (tide, pg) = pair.connect().await;
        for query in [
            "SELECT * FROM t ORDER BY id",
            "SELECT a, n FROM k ORDER BY a",
            "SELECT n FROM k WHERE a = '{{1,2},{3,4}}'",
            "SELECT id, a[1] AS x, a[1][2] AS y, array_dims(a) FROM t WHERE a > '{1}' ORDER BY a, id",
            "SELECT a, count(*) FROM t GROUP BY a ORDER BY a",
        ] {
            same_answers(&tide, &pg, query).await;
        }
    }
}

/// A column of arrays of one dimension becomes one of any when such an array comes, whoever brings it.
#[tokio::test(flavor = "multi_thread")]
async fn columns_take_other_shapes_when_they_come() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    same_steps((&tide, &pg), COLUMNS).await;
    pair.same(COPIES);
    pair.run(
        "CREATE ROLE writer LOGIN; CREATE TABLE of_all (id int PRIMARY KEY, a int[], b int[]);",
    );
    pair.pg.peer().run("GRANT ALL ON of_all TO writer;");
    for statement in [
        "SET ROLE writer; INSERT INTO of_all VALUES (1, '{{1}}', '{1}')",
        "SET ROLE writer; UPDATE of_all SET b = '[3:3]={2}'",
    ] {
        pair.run(&format!("{statement};"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_any_shape() {
    let pair = Pair::start();
    pair.run("CREATE TABLE p (id int, a int[], b text[]);");
    let (tide, pg) = pair.connect().await;
    for (literal, ty) in [
        ("{{1,2},{NULL,4}}", "int[]"),
        ("[2:3][0:1]={{1,2},{3,4}}", "bigint[]"),
        ("{{{a},{\"b c\"}}}", "text[]"),
        ("[0:1]={1.50,NaN}", "numeric[]"),
        ("{{2020-01-01 00:00:00}}", "timestamp[]"),
        ("{1,2}", "int[]"),
        ("{}", "int[]"),
    ] {
        let sent = binary(&pg, &format!("SELECT '{literal}'::{ty}"), &[]).await;
        let sent = sent.rows[0][0].clone().unwrap();
        let given: [&(dyn ToSql + Sync); 1] = [&sent];
        for query in [
            "SELECT $1::§",
            "SELECT $1::§, array_dims($1), cardinality($1), ($1)[1][1], array_ndims($1)",
            "SELECT u FROM unnest($1::§) u",
            "SELECT $1::§ = $1, $1 || $1, ARRAY[$1, $1], to_json($1)",
        ] {
            let query = query.replace('§', ty);
            let (ours, theirs) = (binary(&tide, &query, &given), binary(&pg, &query, &given));
            assert_eq!(ours.await, theirs.await, "{query} of {literal}");
        }
    }
    let sent = |literal: &'static str| {
        let pg = &pg;
        async move {
            let answer = binary(pg, &format!("SELECT '{literal}'::int[]"), &[]).await;
            answer.rows[0][0].clone().unwrap()
        }
    };
    for (id, literal) in [(1, "{1}"), (2, "{{1,2}}"), (3, "{2}"), (4, "[0:0]={1}")] {
        let array: Raw = sent(literal).await;
        for client in [&tide, &pg] {
            let insert = "INSERT INTO p (id, a) VALUES ($1, $2)";
            client.execute(insert, &[&id, &array]).await.unwrap();
            let update = "UPDATE p SET b = $2::int[]::text[] WHERE id = $1";
            client.execute(update, &[&id, &array]).await.unwrap();
        }
    }
    same_answers(&tide, &pg, "SELECT * FROM p ORDER BY id").await;
}

/// An array of random shape, of elements that `element` writes.
fn array(random: &mut Random, element: &dyn Fn(&mut Random) -> String) -> String {
    let depth = random.below(4);
    if depth == 0 {
        return "{}".to_string();
    }
    let lengths: Vec<u64> = (0..depth).map(|_| 1 + random.below(3)).collect();
    let mut bounds = String::new();
    if random.once_in(3) {
        for length in &lengths {
            let lower = random.below(5) as i64 - 2;
            bounds += &format!("[{lower}:{}]", lower + *length as i64 - 1);
        }
        bounds.push('=');
    }
    format!("{bounds}{}", nested(random, &lengths, element))
}

fn nested(random: &mut Random, lengths: &[u64], element: &dyn Fn(&mut Random) -> String) -> String {
    let Some((length, inner)) = lengths.split_first() else {
        return match random.once_in(6) {
            true => "NULL".to_string(),
            false => element(random),
        };
    };
    let parts: Vec<String> = (0..*length)
        .map(|_| nested(random, inner, element))
        .collect();
    format!("{{{}}}", parts.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn random_arrays_stay_what_they_are() {
    let mut random = Random::from_environment();
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE r (id int PRIMARY KEY, a int[], b text[], c numeric[], d interval[], e bool[]);
         CREATE INDEX ON r (a); CREATE INDEX ON r (c, id);",
    );
    for id in 0..60 {
        let small = |random: &mut Random| random.below(3).to_string();
        let words = ["a", "\"b c\"", "\"\"", "\"NULL\"", "\"{,}\"", "é"];
        let word = |random: &mut Random| words[random.below(6) as usize].to_string();
        let number = |random: &mut Random| format!("{}.{:02}", random.below(3), random.below(2));
        let span = |random: &mut Random| format!("{} days", random.below(40));
        let truth = |random: &mut Random| ["t", "f"][random.below(2) as usize].to_string();
        let values = [
            array(&mut random, &small),
            array(&mut random, &word),
            array(&mut random, &number),
            array(&mut random, &span),
            array(&mut random, &truth),
        ];
        let values: Vec<String> = values.iter().map(|of| format!("'{of}'")).collect();
        pair.run(&format!(
            "INSERT INTO r VALUES ({id}, {});",
            values.join(", ")
        ));
        if id == 30 {
            pair.tide.peer().run("CALL tidelog.flush('r');");
        }
    }
    for step in ["", "flush", "restart"] {
        match step {
            "flush" => drop(pair.tide.peer().run("CALL tidelog.flush('r');")),
            "restart" => pair.tide.restart(),
            _ => {}
        }
        let (tide, pg) = pair.connect().await;
        for query in [
            "SELECT * FROM r ORDER BY id",
            "SELECT id FROM r ORDER BY a, id",
            "SELECT id FROM r ORDER BY b COLLATE \"C\" DESC, id",
            "SELECT id FROM r ORDER BY c, d, e, id",
            "SELECT x.id, y.id FROM r x JOIN r y ON x.a = y.a ORDER BY 1, 2",
            "SELECT x.id, (SELECT count(*) FROM r y WHERE y.a < x.a), (SELECT count(*) FROM r y WHERE y.c = x.c) FROM r x ORDER BY 1",
            "SELECT count(DISTINCT a), count(DISTINCT d), max(a), min(e) FROM r",
            "SELECT id, a[1], a[0][1], (a[1:2])::text, (b[:][1:1])::text, array_dims(c), to_json(d) FROM r ORDER BY id",
            "SELECT id, 1 = ANY (a), a @> '{1,2}', a && ARRAY[[0]], a || a FROM r ORDER BY id",
            "SELECT id, u FROM r, unnest(b) WITH ORDINALITY x(u, n) ORDER BY id, n",
        ] {
            same_answers(&tide, &pg, query).await;
        }
    }
}

const STEPS: &[&str] = &[
    "create table t (id int primary key, a int[][], b text[][] , c numeric(5,1)[][], d interval[][])",
    "insert into t values (1, '{{1,2},{3,4}}', '{{a,b}}', '{{1.25,2}}', '{{1 day},{2 hours}}'), (2, '{1,2}', '{x}', '{1}', '{1 mon}'), (3, '[0:1]={1,2}', '[5:5]={y}', NULL, '{}'), (4, NULL, NULL, NULL, NULL)",
    "insert into t select 5, ARRAY[[7,8]], ARRAY[['q']], ARRAY[[3.14]], NULL",
    "insert into t (id, a) values (6, ARRAY[[1,2],[3,4]])",
    "select * from t order by id",
    "select id, a[1][2], a[1], a[1:1], b[1][1], array_dims(a), c, d[1][1] from t order by id",
    "select id from t order by a, id",
    "select a, count(*) from t group by a order by a",
    "select id from t where a = '{{1,2},{3,4}}' order by id",
    "select id from t where a = ARRAY[[1,2],[3,4]] order by id",
    "select id from t where a = ARRAY[1,2] order by id",
    "select id from t where 3 = any(a) order by id",
    "select id from t where a @> ARRAY[4] order by id",
    "select id from t where a && ARRAY[[4]] order by id",
    "select id, u from t, unnest(a) u order by id, u",
    "select id, unnest(a) from t order by 1, 2",
    "update t set a[1][1] = 100 where id = 1 returning a",
    "update t set a[3] = 5 where id = 2 returning a",
    "update t set a[1:2][2:2] = '{{9},{8}}' where id = 1 returning a",
    "update t set a[1:2] = '{7,7}' where id = 3 returning a",
    "update t set a[2] = 1 where id = 4 returning a",
    "update t set a[3][1] = 1 where id = 1 returning a",
    "update t set a[1] = 1 where id = 1 returning a",
    "update t set a[5:6] = '{1}' where id = 2",
    "update t set a[5:7] = '{1,2,3}', b[0] = 'zero' where id = 2 returning a, b",
    "update t set a[:] = '{1,2,3,4}' where id = 1 returning a",
    "update t set a[2:1] = '{1}' where id = 2",
    "update t set a = a || a where id = 1 returning a",
    "update t set a = '{{5}}' where id = 6 returning a",
    "select * from t order by id",
    "select min(a), max(a) from t",
    "select t1.id, t2.id from t t1 join t t2 on t1.a = t2.a order by 1,2",
    "select distinct a from t order by a",
    "select row_to_json(t) from t order by id",
    "select id, a::text, a::text[], a::bigint[] from t order by id",
    "delete from t where a = '{{5}}' returning id",
    "create index ti on t (a)",
    "select id from t where a = '{{1,2,1,2}}' ",
    "select id from t where a < '{5}' order by a desc",
    "create table k (a int[][] primary key, n int)",
    "insert into k values ('{{1,2},{3,4}}',1), ('{1,2,3,4}',2), ('[0:3]={1,2,3,4}',3)",
    "insert into k values ('{{1,2},{3,4}}',4)",
    "select * from k order by a",
    "select * from k where a = '{1,2,3,4}'",
    "select * from k where a = '{{1,2},{3,4}}'",
    "select n from k where a in ('{{1,2},{3,4}}', '{1,2,3,4}') order by n",
    "insert into k values ('{{1,2},{3,4}}',5) on conflict (a) do update set n = excluded.n returning n",
    "select attname, attndims, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'k'::regclass and attnum > 0",
    "create view kv as select a, a[1][1] as x from k",
    "select * from kv order by a",
    "create table k2 as select a, array_agg(n) n from k group by a",
    "select * from k2 order by a",
    "alter table t add column e int[][] default '{{1,1}}'",
    "select id, e from t order by id",
    "alter table t add column f int[] ",
    "alter table t alter column f type int[][]",
    "update t set f = '{{2}}'",
    "select id, e, f from t order by id",
    "with recursive r(n, a) as (select 1, ARRAY[[1,2]] union all select n+1, a || ARRAY[[n,n]] from r where n < 3) select * from r",
    "select array_agg(a order by id) from t where id in (1,5)",
    "select a is distinct from '{{1,2}}', a is null from t order by id",
    "select coalesce(a, '{{0}}') from t order by id",
    "select lag(a) over (order by id), first_value(a) over (order by id) from t order by id",
    "select id, (select max(x) from unnest(a) x) from t order by id",
];

const COLUMNS: &[&str] = &[
    "create table w (id int primary key, a int[], b text[] default '{x}')",
    "create index wi on w (b)",
    "create view wv as select id, a from w",
    "insert into w values (1, '{1,2}', '{a}')",
    "insert into w values (2, '{{1,2},{3,4}}', '{b}')",
    "select * from w order by id",
    "select * from wv order by id",
    "insert into w select 3, ARRAY[[5,6]]",
    "insert into w values (4, ARRAY[[7]], '{{q,r}}')",
    "select * from w order by id",
    "select id from w where b = '{{q,r}}'",
    "select id from w where b = '{x}'",
    "update w set a[1] = 9 where id = 1 returning *",
    "begin",
    "create table w2 (id int, a int[])",
    "insert into w2 values (1, '{1}')",
    "insert into w2 values (2, '{{1}}')",
    "insert into w2 values (3, '[0:0]={1}'), (4, NULL)",
    "update w2 set a = '{{2}}' where id = 1",
    "select * from w2 order by id",
    "commit",
    "select * from w2 order by id",
    "begin",
    "insert into w values (10, '{1}', '{z}')",
    "alter table w add column c int[]",
    "update w set c = '{{3}}' where id = 10",
    "update w set c[0] = 3 where id = 1",
    "rollback",
    "select * from w order by id",
    "create table w3 (a int[] default '{{1,2}}', n int)",
    "insert into w3 (n) values (1)",
    "insert into w3 values (default, 2), ('{3}', 3)",
    "select * from w3 order by n",
    "insert into w3 values ('{{5}}', 5) returning a, n",
    "prepare p as insert into w3 values ($1, $2)",
    "execute p('{{7}}', 7)",
    "execute p('{8}', 8)",
    "select * from w3 order by n",
    "create table w4 (k int[] primary key)",
    "insert into w4 values ('{1}')",
    "insert into w4 values ('{{1}}')",
    "insert into w4 values ('{{1}}')",
    "insert into w4 values ('{1}') on conflict do nothing",
    "select * from w4 order by k",
];

const COPIES: &str = r#"
create table cp (id int, a int[], b text[]);
copy cp from stdin;
1	{1,2}	{a}
2	{{1,2},{3,4}}	\N
3	[0:1]={1,2}	{{x,y}}
\.
select * from cp order by id;
copy cp from stdin csv;
4,"{{5}}","{q}"
\.
select * from cp order by id;
copy cp to stdout;
begin;
create table cp2 (id int, a int[]);
copy cp2 from stdin;
1	{1}
2	{{1}}
\.
select * from cp2 order by id;
rollback;
select count(*) from cp;
"#;
