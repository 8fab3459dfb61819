use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::*;

fn format(options: &str) -> Result<CopyFormat, SqlError> {
    let sql = format!("COPY t TO STDOUT {options}");
    let Statement::Copy {
        options,
        legacy_options,
        ..
    } = Parser::parse_sql(&PostgreSqlDialect {}, &sql)
        .unwrap()
        .remove(0)
    else {
        panic!("{sql}")
    };
    CopyFormat::from_options(&options, &legacy_options)
}

fn decode(options: &str, columns: &[&str], data: &[u8], step: usize) -> String {
    let columns: Vec<String> = columns.iter().map(|name| name.to_string()).collect();
    let mut decoder = CopyDecoder::new(format(options).unwrap(), "t", columns);
    let mut out = String::new();
    let mut row = |line: u64, values: &[Option<&str>]| {
        out.push_str(&format!("{line}{values:?} "));
        Ok(())
    };
    let result = data
        .chunks(step)
        .try_for_each(|chunk| decoder.push(chunk, &mut row))
        .and_then(|()| decoder.finish(&mut row));
    if let Err(error) = result {
        out.push_str(&format!(
            "{:?}: {} ({})",
            error.kind,
            error.message,
            error.context.unwrap_or_default()
        ));
    }
    out.trim_end().replace("Some(", "(")
}

#[test]
fn decodes() {
    let two = ["a", "b"];
    for (options, data, expected) in [
        ("", "1\tx\n2\t\\N\n", r#"1[("1"), ("x")] 2[("2"), None]"#),
        ("", "1\tx\r\n2\ty\r\n", r#"1[("1"), ("x")] 2[("2"), ("y")]"#),
        ("", "1\tx\n\\.\nrubbish\n", r#"1[("1"), ("x")]"#),
        (
            "",
            "1\tä\\tb\\\\N\\x41\\101\\\nz",
            r#"1[("1"), ("ä\tb\\NAA\nz")]"#,
        ),
        (
            "",
            "1\n",
            r#"BadCopyFileFormat: missing data for column "b" (COPY t, line 1: "1")"#,
        ),
        (
            "",
            "1\t2\n1\t2\t3\n",
            "1[(\"1\"), (\"2\")] BadCopyFileFormat: extra data after last expected column (COPY t, line 2: \"1\t2\t3\")",
        ),
        (
            "",
            "1\t\\xe4\n",
            r#"CharacterNotInRepertoire: invalid byte sequence for encoding "UTF8": 0xe4 (COPY t, line 1)"#,
        ),
        (
            "(FORMAT csv)",
            "1,\n\"\",x",
            r#"1[("1"), None] 2[(""), ("x")]"#,
        ),
        (
            "(FORMAT csv, HEADER)",
            "a,b\r\n1,\"x\"\"y\r\n,z\"\r\n3,4\r\n",
            "3[(\"1\"), (\"x\\\"y\\r\\n,z\")] 4[(\"3\"), (\"4\")]",
        ),
        (
            "(FORMAT csv, FORCE_NOT_NULL (b))",
            ",\n",
            r#"1[None, ("")]"#,
        ),
        (
            "(FORMAT csv, FORCE_NULL (b))",
            "\"\",\"\"\n",
            r#"1[(""), None]"#,
        ),
        (
            "(FORMAT csv, ESCAPE '\\')",
            "\"a\\\"b\n\",c\n",
            r#"2[("a\"b\n"), ("c")]"#,
        ),
        (
            "(FORMAT csv, DELIMITER ';', NULL 'nil')",
            "nil;\n",
            r#"1[None, ("")]"#,
        ),
        (
            "(FORMAT csv)",
            "1,\"x\n",
            "BadCopyFileFormat: unterminated CSV quoted field (COPY t, line 2: \"1,\"x\n\")",
        ),
        ("CSV HEADER", "a,b\n1,2\n\\.\n", r#"2[("1"), ("2")]"#),
    ] {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(
                decode(options, &two, data.as_bytes(), step),
                expected,
                "{options} {data:?} by {step}"
            );
        }
    }
    assert_eq!(
        decode("", &["a"], b"x\xe4 y\n", 1),
        "CharacterNotInRepertoire: invalid byte sequence for encoding \"UTF8\": 0xe4 0x20 0x79 (COPY t, line 1)"
    );
}

#[test]
fn writes() {
    let write = |options: &str, values: &[Option<&str>]| {
        let mut out = Vec::new();
        let columns: Vec<String> = (0..values.len()).map(|index| format!("c{index}")).collect();
        let values = values
            .iter()
            .map(|value| value.map_or(DatumRef::Null, DatumRef::Text));
        format(options)
            .unwrap()
            .for_columns(&columns, true)
            .unwrap()
            .write_line(values, &[], crate::text::Style::default(), &mut out);
        String::from_utf8(out).unwrap()
    };
    for (options, values, expected) in [
        (
            "",
            vec![Some("a\tb\\\n\u{8}\u{b}"), None, Some("")],
            "a\\tb\\\\\\n\\b\\v\t\\N\t\n",
        ),
        (
            "(DELIMITER '|')",
            vec![Some("a|b"), Some("\t")],
            "a\\|b|\\t\n",
        ),
        (
            "(FORMAT csv)",
            vec![Some("a,b"), None, Some(""), Some("x\"y"), Some(" z ")],
            "\"a,b\",,\"\",\"x\"\"y\", z \n",
        ),
        ("(FORMAT csv)", vec![Some("\\.")], "\"\\.\"\n"),
        (
            "(FORMAT csv, FORCE_QUOTE (c1))",
            vec![Some("a"), Some("b"), None],
            "a,\"b\",\n",
        ),
        (
            "(FORMAT csv, ESCAPE '\\')",
            vec![Some("a\"\\,")],
            "\"a\\\"\\\\,\"\n",
        ),
    ] {
        assert_eq!(write(options, &values), expected, "{options}");
    }
    let mut out = Vec::new();
    format("(FORMAT csv, HEADER)")
        .unwrap()
        .write_header(&["a".into(), "b,c".into()], &mut out);
    assert_eq!(out, b"a,\"b,c\"\n");
}

#[test]
fn checks_options() {
    for (options, expected) in [
        (
            "(FORMAT binary, DELIMITER ',')",
            "cannot specify DELIMITER in BINARY mode",
        ),
        ("(FORMAT x)", "COPY format \"x\" not recognized"),
        ("(DELIMITER 'a')", "COPY delimiter cannot be \"a\""),
        ("(QUOTE '''')", "COPY quote available only in CSV mode"),
        (
            "(FORMAT csv, QUOTE ',')",
            "COPY delimiter and quote must be different",
        ),
        (
            "(FORMAT csv, NULL 'a,')",
            "COPY delimiter must not appear in the NULL specification",
        ),
        (
            "(FORMAT csv, NULL '\"')",
            "CSV quote character must not appear in the NULL specification",
        ),
        (
            "(FORMAT csv, FORMAT csv)",
            "conflicting or redundant options",
        ),
    ] {
        assert_eq!(format(options).unwrap_err().message, expected, "{options}");
    }
}
