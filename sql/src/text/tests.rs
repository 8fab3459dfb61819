use super::*;

fn check(ty: ColumnType, input: &str, expected: &str) {
    let actual = match parse(ty, input) {
        Ok(value) => {
            let mut out = String::new();
            write(value.as_ref(), ty, Style::default(), &mut out);
            out
        }
        Err(error) => {
            let detail = error
                .detail
                .map(|detail| format!(" DETAIL {detail}"))
                .unwrap_or_default();
            format!("{:?}: {}{detail}", error.kind, error.message)
        }
    };
    assert_eq!(actual, expected, "{ty:?} {input:?}");
}

#[test]
fn numbers() {
    use ColumnType::*;
    for (ty, input, expected) in [
        (Int4, " -12 ", "-12"),
        (Int4, "+7", "7"),
        (
            Int4,
            "abc",
            "InvalidTextRepresentation: invalid input syntax for type integer: \"abc\"",
        ),
        (
            Int4,
            "",
            "InvalidTextRepresentation: invalid input syntax for type integer: \"\"",
        ),
        (
            Int4,
            "99999999999",
            "NumericValueOutOfRange: value \"99999999999\" is out of range for type integer",
        ),
        (
            Int2,
            "32768",
            "NumericValueOutOfRange: value \"32768\" is out of range for type smallint",
        ),
        (Int8, "-9223372036854775808", "-9223372036854775808"),
        (Float8, "0.1", "0.1"),
        (Float8, "100", "100"),
        (Float8, "-0", "-0"),
        (Float8, "123456789012345", "123456789012345"),
        (Float8, "1e15", "1e+15"),
        (Float8, "1234567890123456789", "1.2345678901234568e+18"),
        (Float8, "0.0001", "0.0001"),
        (Float8, "0.00001", "1e-05"),
        (Float8, "1e-310", "1e-310"),
        (Float8, "inf", "Infinity"),
        (Float8, "-Infinity", "-Infinity"),
        (Float8, "nan", "NaN"),
        (
            Float8,
            "1e400",
            "NumericValueOutOfRange: \"1e400\" is out of range for type double precision",
        ),
        (
            Float8,
            "1e-400",
            "NumericValueOutOfRange: \"1e-400\" is out of range for type double precision",
        ),
        (
            Float8,
            "x",
            "InvalidTextRepresentation: invalid input syntax for type double precision: \"x\"",
        ),
        (Float4, "123456", "123456"),
        (Float4, "1234567", "1.234567e+06"),
        (Float4, "3.14159", "3.14159"),
        (Numeric(None), "1.500", "1.500"),
        (Numeric(None), "-0.000", "0.000"),
        (Numeric(None), "1e3", "1000"),
        (
            Numeric(None),
            "12345678901234567890123456789012345678901234567890.12345",
            "12345678901234567890123456789012345678901234567890.12345",
        ),
        (Numeric(Some((5, 2))), "1.005", "1.01"),
        (Numeric(Some((5, 2))), "-1.005", "-1.01"),
        (Numeric(Some((5, 2))), "-0.5", "-0.50"),
        (Numeric(Some((5, 2))), "0.004", "0.00"),
        (Numeric(Some((5, 2))), "0.0005", "0.00"),
        (Numeric(Some((5, 2))), "999.994", "999.99"),
        (
            Numeric(Some((5, 2))),
            "999.995",
            "NumericValueOutOfRange: numeric field overflow DETAIL A field with precision 5, scale 2 must round to an absolute value less than 10^3.",
        ),
        (
            Numeric(Some((2, 2))),
            "1",
            "NumericValueOutOfRange: numeric field overflow DETAIL A field with precision 2, scale 2 must round to an absolute value less than 1.",
        ),
        (
            Numeric(Some((5, 0))),
            "1e1000",
            "NumericValueOutOfRange: numeric field overflow DETAIL A field with precision 5, scale 0 must round to an absolute value less than 10^5.",
        ),
        (
            Numeric(None),
            "1.2.3",
            "InvalidTextRepresentation: invalid input syntax for type numeric: \"1.2.3\"",
        ),
    ] {
        check(ty, input, expected);
    }
}

#[test]
fn times() {
    use ColumnType::*;
    for (ty, input, expected) in [
        (Date, "2024-02-29", "2024-02-29"),
        (Date, "20240229", "2024-02-29"),
        (Date, "0044-03-15 BC", "0044-03-15 BC"),
        (Date, "12345-01-01", "12345-01-01"),
        (Date, "infinity", "infinity"),
        (Date, "2024-02-03 04:05:06", "2024-02-03"),
        (
            Date,
            "2023-02-29",
            "DatetimeFieldOverflow: date/time field value out of range: \"2023-02-29\"",
        ),
        (
            Date,
            "2023-13-01",
            "DatetimeFieldOverflow: date/time field value out of range: \"2023-13-01\"",
        ),
        (
            Date,
            "hello",
            "InvalidDatetimeFormat: invalid input syntax for type date: \"hello\"",
        ),
        (Timestamp(None), "1970-01-01", "1970-01-01 00:00:00"),
        (
            Timestamp(None),
            "2024-02-03T04:05:06.120",
            "2024-02-03 04:05:06.12",
        ),
        (
            Timestamp(None),
            "2024-02-03 04:05:06.1234567",
            "2024-02-03 04:05:06.123457",
        ),
        (
            Timestamp(None),
            "2024-02-03 04:05+02",
            "2024-02-03 04:05:00",
        ),
        (
            Timestamp(None),
            "1969-12-31 23:59:59.999999",
            "1969-12-31 23:59:59.999999",
        ),
        (
            Timestamp(None),
            "2024-02-03 24:00:00",
            "2024-02-04 00:00:00",
        ),
        (Timestamp(None), "epoch", "1970-01-01 00:00:00"),
        (Timestamp(None), "-infinity", "-infinity"),
        (
            TimestampTz(None),
            "2024-02-03 04:05:06+02",
            "2024-02-03 02:05:06+00",
        ),
        (
            TimestampTz(None),
            "2024-02-03 04:05:06-0330",
            "2024-02-03 07:35:06+00",
        ),
        (
            TimestampTz(None),
            "2024-02-03T04:05:06Z",
            "2024-02-03 04:05:06+00",
        ),
        (
            TimestampTz(None),
            "2024-02-03 04:05:06 UTC",
            "2024-02-03 04:05:06+00",
        ),
        (
            TimestampTz(None),
            "0001-01-01 00:00:00+00 BC",
            "0001-01-01 00:00:00+00 BC",
        ),
        (TimestampTz(None), "infinity", "infinity"),
        (
            TimestampTz(None),
            "2024-02-03 25:00:00",
            "DatetimeFieldOverflow: date/time field value out of range: \"2024-02-03 25:00:00\"",
        ),
        (
            TimestampTz(None),
            "2024-02-03 04:05:06 europe/xx",
            "InvalidParameterValue: time zone \"europe/xx\" not recognized",
        ),
        (
            TimestampTz(None),
            "x",
            "InvalidDatetimeFormat: invalid input syntax for type timestamp with time zone: \"x\"",
        ),
        (
            Timestamp(None),
            "300000-01-01",
            "DatetimeFieldOverflow: timestamp out of range: \"300000-01-01\"",
        ),
    ] {
        check(ty, input, expected);
    }
}

#[test]
fn days_and_back() {
    for days in (-2_440_588..3_000_000).step_by(997) {
        let mut out = String::new();
        write(
            DatumRef::Date(days),
            ColumnType::Date,
            Style::default(),
            &mut out,
        );
        assert_eq!(
            parse(ColumnType::Date, &out).unwrap(),
            Datum::Date(days),
            "{out}"
        );
    }
}

#[test]
fn others() {
    use ColumnType::*;
    for (ty, input, expected) in [
        (Bool, " YES ", "t"),
        (Bool, "tr", "t"),
        (Bool, "off", "f"),
        (Bool, "0", "f"),
        (
            Bool,
            "o",
            "InvalidTextRepresentation: invalid input syntax for type boolean: \"o\"",
        ),
        (Bytea, "\\xDEad be", "\\xdeadbe"),
        (Bytea, "a\\\\\\001", "\\x615c01"),
        (
            Bytea,
            "\\x1",
            "InvalidParameterValue: invalid hexadecimal data: odd number of digits",
        ),
        (
            Bytea,
            "\\xzz",
            "InvalidParameterValue: invalid hexadecimal digit: \"z\"",
        ),
        (
            Bytea,
            "\\9",
            "InvalidTextRepresentation: invalid input syntax for type bytea",
        ),
        (
            Uuid,
            "{A0EEBC99-9c0b4ef8-bb6d6bb9bd380a11}",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (
            Uuid,
            "x",
            "InvalidTextRepresentation: invalid input syntax for type uuid: \"x\"",
        ),
        (Varchar(Some(2)), "äö  ", "äö"),
        (
            Varchar(Some(2)),
            "äöü",
            "StringDataRightTruncation: value too long for type character varying(2)",
        ),
        (
            Text,
            "a\0",
            "CharacterNotInRepertoire: invalid byte sequence for encoding \"UTF8\": 0x00",
        ),
        (
            Jsonb,
            " {\"bb\":1,\"a\" : [1,2.50,-0,1e3,1.5e-3], \"bb\":{}}",
            r#"{"a": [1, 2.50, 0, 1000, 0.0015], "bb": {}}"#,
        ),
        (Jsonb, r#""\u00e9\n\ud83d\ude00\/""#, "\"é\\n😀/\""),
        (Jsonb, "[]", "[]"),
        (Jsonb, "1e-400", &format!("0.{}1", "0".repeat(399))),
        (
            Jsonb,
            r#"{"$serde_json::private::Number":"x"}"#,
            r#"{"$serde_json::private::Number": "x"}"#,
        ),
        (
            Jsonb,
            r#""\u0000""#,
            "UntranslatableCharacter: unsupported Unicode escape sequence DETAIL \\u0000 cannot be converted to text.",
        ),
        (
            Jsonb,
            "{",
            "InvalidTextRepresentation: invalid input syntax for type json DETAIL The input string ended unexpectedly.",
        ),
        (
            Jsonb,
            "abc",
            "InvalidTextRepresentation: invalid input syntax for type json DETAIL Token \"abc\" is invalid.",
        ),
        (
            Jsonb,
            "[1,]",
            "InvalidTextRepresentation: invalid input syntax for type json DETAIL Expected JSON value, but found \"]\".",
        ),
        (
            Jsonb,
            "{} x",
            "InvalidTextRepresentation: invalid input syntax for type json DETAIL Token \"x\" is invalid.",
        ),
        (
            Jsonb,
            "01",
            "InvalidTextRepresentation: invalid input syntax for type json DETAIL Token \"01\" is invalid.",
        ),
    ] {
        check(ty, input, expected);
    }
    assert!(parse(Jsonb, &"[".repeat(100_000)).is_err());
}
