//! The type jsonpath, and what paths find, beside PostgreSQL.

use tidelog_compat_tests::Random;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::{Pair, same_answers, same_outcome};

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows of a statement, or its refusal: SQLSTATE, message, detail and hint.
async fn outcome(client: &Client, sql: &str) -> Result<Vec<Option<String>>, [String; 4]> {
    match client.simple_query(sql).await {
        Ok(messages) => Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_string)),
                _ => None,
            })
            .collect()),
        Err(error) => {
            let error = error
                .as_db_error()
                .unwrap_or_else(|| panic!("{sql}: {error:?}"));
            let text = |text: Option<&str>| text.unwrap_or_default().to_string();
            Err([
                error.code().code().to_string(),
                error.message().to_string(),
                text(error.detail()),
                text(error.hint()),
            ])
        }
    }
}

async fn same(tide: &Client, pg: &Client, sql: &str) {
    let expected = outcome(pg, sql).await;
    assert_eq!(outcome(tide, sql).await, expected, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_as_text() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for path in [
        "",
        " ",
        "$",
        "strict $",
        "LAX $",
        "lax",
        "strict",
        "$.a",
        "$.\"a b\".c",
        "$.*",
        "$[*]",
        "$.a[0]",
        "$.a[0, 1 to 3, last - 1]",
        "$.**",
        "$.**{2}",
        "$.**{2 to 5}",
        "$.**{last}",
        "$.**{last to 2}",
        "$.**{1 to last}.b",
        "$.**{5000000000}",
        "$.a/* c */.b",
        "$.a /* c */ .b",
        "/*",
        "$.a?(@ > 1)",
        "$.a ? (@.b == 1 && (@.c == 2 || @.d == 3) && !(@.e < 4))",
        "$ ? (@.a == 1 || @.b == 2 && @.c == 3)",
        "$?(exists(@.a ? (@ > 1)))",
        "$?((@.a == 1) is unknown)",
        "$ ? (@ starts with \"x\")",
        "$ ? (@ starts with $v)",
        "$ like_regex \"a\\\"b\" flag \"ismq\"",
        "$ ? (@ like_regex \"(\")",
        "$ like_regex \"a\" flag \"xyz\"",
        "$ like_regex \"a\" flag \"x\"",
        "$ like_regex \"a\" flag \"xq\"",
        "$ like_regex \"a\" flag \"ii\"",
        "1",
        "1.5",
        ".5",
        "1.",
        "1e3",
        "1.5e-3",
        "0",
        "00",
        "000",
        "01",
        "1a",
        "1abc",
        "1e",
        "1e+",
        "1.5x",
        "1..type()",
        "(1).type()",
        "1.type()",
        "$.1a",
        "-1",
        "+1",
        "-(-1)",
        "-$.a",
        "-(-$)",
        "-$.a + 1",
        "+ - 1",
        "1 + 2 * 3",
        "(1 + 2) * 3",
        "1 - (2 - 3)",
        "(1 - 2) - 3",
        "1 * 2 / 3 % 4",
        "(1 == 2).type()",
        "($.a + 1).type()",
        "true",
        "false",
        "null",
        "True",
        "\"x\"",
        "\"a\\nb\\u00e4\\x41\\v\"",
        "\"\\u{1F600}\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\u0000\"",
        "\"\\u12\"",
        "\"\\xz\"",
        "\"a",
        "$.a\\",
        "$x",
        "$\"x y\"",
        "$x.a",
        "@",
        "@.a",
        "last",
        "$[last]",
        "$[@]",
        "$?(last == 1)",
        "$[$ ? (@ == last)]",
        "$.a foo",
        "$.a && $.b",
        "!($.a)",
        "!(1 == 2)",
        "!exists($.a)",
        "$ == 1 == 2",
        "exists($.a == 1)",
        "(1 == 2) is unknown",
        "1 is unknown",
        "$.a is unknown",
        "!(1 == 2) is unknown",
        "$.a.type().size().double().ceiling().floor().abs().keyvalue().datetime()",
        "$.datetime(\"x\\\"y\")",
        "$.abs",
        "$.abs(1)",
        "$.foo()",
        "$.type",
        "$.TRUE.Is.exists",
        "$.a..b",
        "$[",
        "$[]",
        "$.a[1 to]",
        "$ ? ()",
        "$ ? (@.a)",
        "$[*",
        "&",
        "|",
        "#",
        "$.a == $.b",
        "$.a <> 1",
        "$.a != 1",
        "((($)))",
        "((1 == 1))",
        "\u{e4}.b",
        "$.\u{e4}",
    ] {
        same(
            &tide,
            &pg,
            &format!("SELECT {}::jsonpath::text", quoted(path)),
        )
        .await;
    }
    // PostgreSQL leaves out the parentheses, and does not read what it prints.
    let printed = outcome(&tide, "SELECT '(1 * 2).abs() + 3'::jsonpath").await;
    assert_eq!(printed, Ok(vec![Some("((1 * 2).abs() + 3)".to_string())]));
    let deep = format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000));
    for deep in [
        deep,
        format!("1{}", "+1".repeat(50_000)),
        format!("${}", ".a".repeat(50_000)),
        "-".repeat(50_000) + "1",
    ] {
        let refused = outcome(&tide, &format!("SELECT '{deep}'::jsonpath"))
            .await
            .unwrap_err();
        assert_eq!(refused[..2], ["54001", "stack depth limit exceeded"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_as_values() {
    let pair = Pair::start();
    pair.run(
        r#"CREATE TABLE p (id int PRIMARY KEY, p jsonpath DEFAULT '$.d', j jsonb, ps jsonpath[]);
        INSERT INTO p VALUES (1, '$.a', '{"a": [1, 5]}', '{$.a,NULL}'), (2, 'strict $.a ? (@ > 1)', '{"a": 3}', NULL), (3, NULL, '[]', '{}');
        INSERT INTO p (id, j) VALUES (4, '{"d": 4, "a": 1}');
        CREATE INDEX ON p ((jsonb_path_query_first(j, '$.a')));
        CREATE INDEX ON p (id) WHERE j @? '$.a';"#,
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT id, p, p::text AS t, pg_typeof(p) AS ty FROM p ORDER BY id",
        "SELECT id, ps, ps[1] AS first FROM p ORDER BY id",
        "SELECT id, jsonb_path_query(j, p) AS q FROM p ORDER BY id, q",
        "SELECT p.id, q.* FROM p, jsonb_path_query(j, p) WITH ORDINALITY AS q(v, n) ORDER BY id, n",
        "SELECT id, j @? p AS e, j @@ p AS m, j @? '$.a[1]' AS l FROM p ORDER BY id",
        "SELECT id FROM p WHERE j @? '$.a ? (@ > 2)' ORDER BY id",
        "SELECT id FROM p WHERE j @@ '$.a > 2' ORDER BY id",
        "SELECT id FROM p WHERE j OPERATOR(pg_catalog.@?) '$.a' ORDER BY id",
        "SELECT '{\"a\": 1}' @? '$.a'::jsonpath AS a, '{\"a\": 1}'::jsonb @@ '$.a == 1' AS b",
        "SELECT jsonb_path_exists_opr('[1]', '$[0]') AS a, jsonb_path_match_opr('[1]', '$[0] == 1') AS b",
        "SELECT jsonb_path_query_array('[1, 2, 3]', '$[*] ? (@ > $x)', '{\"x\": 1}') AS a",
        "SELECT jsonb_path_query_array('[1, 2, 3]', '$[*] ? (@ > $x)', vars => '{\"x\": 1}', silent => true) AS a",
        "SELECT jsonb_path_query_first('[1]', 'strict $.x', silent => true) AS a",
        "SELECT jsonb_path_query('[1]', 'strict $[0]', silent => true)",
        "SELECT * FROM jsonb_path_query(target => '[1]', path => '$')",
        "SELECT jsonb_path_exists(NULL, '$') AS a, jsonb_path_exists('1', NULL) AS b, jsonb_path_exists('1', '$', NULL) AS c",
        "SELECT count(*) AS n FROM p WHERE jsonb_path_exists(j, '$.a', silent => NULL)",
        "SELECT jsonb_set('{}', '{a}', '1', create_if_missing => false) AS a, make_interval(hours => 2, years => 1) AS b",
        "SELECT proname, proargnames::text, pg_get_function_arguments(oid) AS a FROM pg_proc WHERE proname LIKE 'jsonb_path%' ORDER BY 1",
        "SELECT oprname, oprleft::regtype, oprright::regtype, oprcode::text FROM pg_operator WHERE oprname IN ('@?', '@@') AND oprleft = 'jsonb'::regtype ORDER BY 1",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "SELECT p = p FROM p",
        "SELECT p FROM p ORDER BY p",
        "SELECT DISTINCT p FROM p",
        "SELECT j @? 'x'::text FROM p",
        "SELECT j @? 1 FROM p",
        "SELECT j::json @? '$' FROM p",
        "SELECT jsonb_path_exists(1, '$')",
        "SELECT jsonb_path_exists('{}'::text, '$')",
        "SELECT jsonb_path_exists('{}', '$', '[]')",
        "SELECT jsonb_path_exists('{}', '$', true)",
        "SELECT jsonb_path_exists('{}')",
        "SELECT jsonb_path_match('{}', '$')",
        "SELECT jsonb_path_match('[true, true]', '$[*]')",
        "SELECT jsonb_path_query('{}', '$.a.')",
        "INSERT INTO p VALUES (9, '$.')",
        "SELECT '$'::jsonpath::int",
        "SELECT '$'::jsonpath || 'x'",
    ] {
        same_outcome(&tide, &pg, statement).await;
    }
    for (query, value) in [
        ("SELECT id FROM p WHERE j @? $1 ORDER BY id", "$.a[1]"),
        (
            "SELECT id, jsonb_path_query_array(j, $1) AS a FROM p ORDER BY id",
            "$.*",
        ),
        ("SELECT $1::jsonpath AS a", "$ . a"),
    ] {
        let query_of = query.replace("$1", &quoted(value));
        same_answers(&tide, &pg, query_of).await;
        for client in [&tide, &pg] {
            let statement = client.prepare(query).await.unwrap();
            assert_eq!(statement.params()[0].name(), "jsonpath", "{query}");
        }
    }
}

/// Values and paths; each is asked for as what the functions give.
const FOUND: &[(&str, &[&str])] = &[
    (
        r#"{"a": [1, 2, {"b": [3, "x", null]}], "c": {"d": {"e": 1.50}}, "f": "abc", "": 0}"#,
        &[
            "$.a",
            "$.a[*]",
            "strict $.a.b",
            "$.a.b",
            "$.a[2].b[*]",
            "$.*",
            "$.a.*",
            "strict $.a.*",
            "$.**",
            "$.**{2}",
            "$.**{1 to 2}",
            "$.**{last}",
            "$.**{last to 1}",
            "strict $.**.e",
            "lax $.**.e",
            "$.a[0 to 1]",
            "$.a[last]",
            "$.a[last - 1, 0]",
            "$.a[-1]",
            "strict $.a[-1]",
            "strict $.a[3]",
            "$.a[1.9]",
            "$.a[\"x\"]",
            "$.a[$.a]",
            "$.a[10000000000]",
            "$.f[0]",
            "strict $.f[0]",
            "strict $.f[*]",
            "strict $.x",
            "strict $.f.x",
            "$.\"\"",
            "$.a.size()",
            "$.c.size()",
            "strict $.c.size()",
            "$.a[*].type()",
            "$.type()",
            "$.c.d.e + 1",
            "$.a[0] + $.a[1]",
            "$.a + 1",
            "$.a[*] + 1",
            "-$.a[0]",
            "-$.a",
            "+$.f",
            "$.a[0] / 0",
            "$.a[0] % 0",
            "$.a[0] / 3",
            "2 - $.a[1] * 3",
            "$.a[*] ? (@ > 1)",
            "$.a ? (@ > 1)",
            "strict $.a ? (@ > 1)",
            "$.a[*] ? (@.b == null)",
            "$ ? (exists(@.c.d))",
            "$ ? (exists(@.c.x))",
            "strict $ ? (exists(@.c.x))",
            "$.a[*] ? ((@ > 1) is unknown)",
            "$.f starts with \"ab\"",
            "$.f ? (@ starts with $.f)",
            "$.f starts with $x",
            "$.f like_regex \"^A\" flag \"i\"",
            "$.f like_regex \"b.$\"",
            "$.a[*] like_regex \"x\"",
            "$.a == 1",
            "strict $.a == 1",
            "$.a[*] == 1",
            "$.a[*] != 1",
            "$.c == $.c",
            "$.a[2].b[2] == null",
            "$.a[2].b[2] < 1",
            "$.a[2].b[2] != $.c",
            "true == true",
            "true > false",
            "\"a\" < \"b\"",
            "1 == 1.0",
            "$.f > 1",
            "!($.f > 1)",
            "$.f > 1 || 1 == 1",
            "$.f > 1 && 1 == 2",
            "$.c.keyvalue()",
            "$.keyvalue().value.keyvalue()",
            "$.a[2].keyvalue().id",
            "$.a.keyvalue()",
            "strict $.a.keyvalue()",
            "$.**.keyvalue()",
            "$.c.d.e.floor()",
            "$.c.d.e.ceiling()",
            "(-$.c.d.e).abs()",
            "(-1.5).floor()",
            "(-1.5).ceiling()",
            "$.f.floor()",
            "$.a.abs()",
            "$.f.double()",
            "\"1.5e3\".double()",
            "\"inf\".double()",
            "\"1e400\".double()",
            "$.c.d.e.double()",
            "$x",
            "$y",
            "$x.keyvalue()",
            "$z[*] ? (@ > 1)",
            "$.a[*] ? (@ == $z[*])",
            "$.**.a.**",
            "$.c ? (@.d.e == 1.5).d",
            "last",
            "1 + 2",
            "($.a[0] + 1).type()",
            "($.f == \"abc\").type()",
        ],
    ),
    (
        "[]",
        &[
            "$",
            "$[*]",
            "$[0]",
            "$.a",
            "strict $[0]",
            "strict $.a",
            "strict $.*",
            "$ == 1",
            "strict $ == 1",
            "$[last]",
            "$.size()",
            "$.**",
        ],
    ),
    (
        "null",
        &[
            "$",
            "$ == null",
            "$ != 1",
            "$.a",
            "strict $.a",
            "$.type()",
            "$[0]",
            "$[last]",
            "strict $[0]",
            "$.**",
            "$.*",
            "strict $.*",
            "strict $.keyvalue()",
        ],
    ),
    (
        "12345678901234567890.123456789",
        &[
            "$",
            "$ * $",
            "$ / 7",
            "$ % 10",
            "-$",
            "$.floor()",
            "$.double()",
            "$ + 0.0000000001",
        ],
    ),
    (
        r#"["2017-03-10", "2017-03-11", "12:34:56", "12:34:56+01", "12:34:56.789 +05:30", "2017-03-10 12:34:56", "2017-03-10T12:34:56.5", "2017-03-10 12:34:56+03", "2017-03-10T12:34:56-08:15", "x", 1, "2017-02-30", "20170310"]"#,
        &[
            "$[*].datetime()",
            "strict $[0].datetime()",
            "$[9].datetime()",
            "$[10].datetime()",
            "$[11].datetime()",
            "$[0 to 8].datetime().type()",
            "$[0 to 8].datetime() ? (@ == \"2017-03-10\".datetime())",
            "$[0 to 6].datetime() ? (@ >= \"2017-03-10\".datetime())",
            "$[0 to 8].datetime() ? (@ < \"2017-03-10 12:34:56\".datetime())",
            "$[2 to 4].datetime() ? (@ >= \"12:34:56\".datetime())",
            "$[3 to 4].datetime() ? (@ > \"12:34:56+02\".datetime())",
            "$[7 to 8].datetime() ? (@ < \"2017-03-10 12:34:56+00\".datetime())",
            "$[12].datetime(\"YYYYMMDD\")",
            "$[0].datetime(\"YYYY-MM-DD\")",
            "$[0].datetime(\"YYYY/MM/DD\")",
            "$[0].datetime(\"YYYY-MM\")",
            "$[0].datetime(\"YYYY-MM-DD HH24\")",
            "$[0].datetime(\"YYYY#MM\")",
            "$[0].datetime(\"YYYY-MM-DDTZH\")",
            "$[0].datetime(\"\")",
            "$[2].datetime(\"HH24:MI:SS\")",
            "$[5].datetime(\"YYYY-MM-DD HH24:MI:SS\")",
            "$[6].datetime(\"YYYY-MM-DD\\\"T\\\"HH24:MI:SS.FF1\")",
            "$[6].datetime(\"YYYY-MM-DD\\\"x\\\"HH24:MI:SS.FF1\")",
            "$[8].datetime(\"YYYY-MM-DD\\\"T\\\"HH24:MI:SSTZH:TZM\")",
            "$[0].datetime() == 1",
            "\"1000000-01-01\".datetime() > \"2020-01-01 12:00:00\".datetime()",
            "\"294277-01-01 00:00:00\".datetime()",
            "\"12:34:56 +16\".datetime()",
        ],
    ),
];

const FUNCTIONS: [&str; 5] = ["exists", "match", "query", "query_array", "query_first"];

#[tokio::test(flavor = "multi_thread")]
async fn what_paths_find() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        client
            .batch_execute("SET timezone = 'Europe/Berlin'")
            .await
            .unwrap();
    }
    for (json, paths) in FOUND {
        for path in *paths {
            let (json, path) = (quoted(json), quoted(path));
            for function in FUNCTIONS {
                for (tz, silent) in [("", "false"), ("_tz", "false"), ("", "true")] {
                    let vars = r#"'{"x": {"k": 1}, "z": [1, 2]}'"#;
                    let call = format!(
                        "SELECT jsonb_path_{function}{tz}({json}, {path}, {vars}, {silent})"
                    );
                    same(&tide, &pg, &call).await;
                }
            }
            for operator in ["@?", "@@"] {
                same(
                    &tide,
                    &pg,
                    &format!("SELECT {json}::jsonb {operator} {path}"),
                )
                .await;
            }
        }
    }
}

/// Random paths: steps of all kinds, most of which find nothing or fail.
struct Paths(Random);

impl Paths {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    fn json(&mut self, depth: u32) -> String {
        let count = self.0.below(4);
        match self.0.below(10) {
            0..3 if depth < 4 => {
                let elements: Vec<String> = (0..count).map(|_| self.json(depth + 1)).collect();
                format!("[{}]", elements.join(","))
            }
            3..6 if depth < 4 => {
                let member = |_| {
                    format!(
                        "\"{}\":{}",
                        self.one(&["a", "b", "c"]),
                        self.json(depth + 1)
                    )
                };
                let members: Vec<String> = (0..count).map(member).collect();
                format!("{{{}}}", members.join(","))
            }
            _ => self
                .one(&[
                    "1",
                    "0",
                    "-1.5",
                    "10",
                    "\"a\"",
                    "\"abc\"",
                    "\"2017-03-10\"",
                    "\"12:34:56+02:30\"",
                    "null",
                    "true",
                    "false",
                    "\"1.5e3\"",
                ])
                .to_string(),
        }
    }

    fn path(&mut self, depth: u32, in_filter: bool) -> String {
        let mut path = match (in_filter, self.0.below(10)) {
            (true, 0..5) => "@",
            (_, 0..7) => "$",
            _ => self.one(&["(1)", "(1.5)", "\"a\"", "null", "true", "$x", "(-1)"]),
        }
        .to_string();
        for _ in 0..self.0.below(4) {
            if depth < 3 && self.chance(15) {
                path += &format!(" ? ({})", self.predicate(depth + 1, true));
                continue;
            }
            path += self.one(&[
                ".a",
                ".b",
                ".c",
                ".*",
                "[*]",
                "[0]",
                "[1 to last]",
                "[last]",
                "[$.a]",
                ".**",
                ".**{1}",
                ".**{last}",
                ".**{0 to 1}",
                ".type()",
                ".size()",
                ".double()",
                ".ceiling()",
                ".floor()",
                ".abs()",
                ".datetime()",
                ".keyvalue()",
                ".datetime(\"HH24:MI\")",
            ]);
        }
        path
    }

    fn value(&mut self, depth: u32, in_filter: bool) -> String {
        match self.0.below(10) {
            0 | 1 if depth < 4 => {
                let (left, right) = (
                    self.value(depth + 1, in_filter),
                    self.value(depth + 1, in_filter),
                );
                format!("({left} {} {right})", self.one(&["+", "-", "*", "/", "%"]))
            }
            2 => format!("-{}", self.path(depth, in_filter)),
            _ => self.path(depth, in_filter),
        }
    }

    fn predicate(&mut self, depth: u32, in_filter: bool) -> String {
        if depth < 4 && self.chance(40) {
            let of = self.predicate(depth + 1, in_filter);
            return match self.0.below(4) {
                0 => format!("!({of})"),
                1 => format!("({of}) is unknown"),
                2 => format!("exists({})", self.value(depth + 1, in_filter)),
                _ => {
                    let right = self.predicate(depth + 1, in_filter);
                    format!("({of}) {} ({right})", self.one(&["&&", "||"]))
                }
            };
        }
        let left = self.value(depth + 1, in_filter);
        match self.0.below(8) {
            0 => format!("{left} starts with \"a\""),
            1 => format!("{left} like_regex \"^A\" flag \"i\""),
            _ => {
                let right = self.value(depth + 1, in_filter);
                format!(
                    "{left} {} {right}",
                    self.one(&["==", "!=", "<", "<=", ">", ">="])
                )
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_paths() {
    let mut paths = Paths(Random::from_environment());
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for _ in 0..1500 {
        let json = quoted(&paths.json(0));
        let path = match paths.chance(30) {
            true => paths.predicate(0, false),
            false => paths.value(0, false),
        };
        let path = quoted(&format!("{} {path}", paths.one(&["lax", "strict"])));
        let function = paths.one(&FUNCTIONS);
        let silent = paths.one(&["true", "false"]);
        let call =
            format!("SELECT jsonb_path_{function}({json}, {path}, '{{\"x\": 1}}', {silent})");
        same(&tide, &pg, &call).await;
    }
}
