//! jsonb as bytes in the order of PostgreSQL's compareJsonbContainers: null < string < number < boolean < array < object,
//! arrays and objects by their size first, and an empty array that is a whole value before everything else.

/// The kinds of values, in their order.
const EMPTY: u8 = 0;
const NULL: u8 = 1;
const STRING: u8 = 2;
const NUMBER: u8 = 3;
const FALSE: u8 = 4;
const TRUE: u8 = 5;
const ARRAY: u8 = 6;
const OBJECT: u8 = 7;

/// The signs of numbers, in their order; that of a negative one is the inverted one of the positive.
const ZERO: u8 = 0x80;
const POSITIVE: u8 = 0xC0;

/// Appends a value in canonical text; `None` when it is none. Equal values have equal bytes, whatever the digits behind the point of
/// their numbers, and no value's bytes are the beginning of another's.
pub(super) fn put(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let bytes = text.as_bytes();
    if text == "[]" {
        out.push(EMPTY);
        return Some(());
    }
    // Arrays and objects whose end has not come: where their size is written, and what they have so far.
    let mut open: Vec<(usize, u32)> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b',' | b':' => {
                at += 1;
                continue;
            }
            b']' | b'}' => {
                let (place, size) = open.pop()?;
                out[place..place + 4].copy_from_slice(&size.to_be_bytes());
                at += 1;
                continue;
            }
            _ => {}
        }
        // A member of an object counts twice, as its key and its value: they are compared one after the other.
        if let Some((_, size)) = open.last_mut() {
            *size += 1;
        }
        let rest = &text[at..];
        at += match byte {
            b'[' | b'{' => {
                out.push(if byte == b'[' { ARRAY } else { OBJECT });
                open.push((out.len(), 0));
                out.extend_from_slice(&[0; 4]);
                1
            }
            b'"' => put_string(out, rest)?,
            b'n' => put_word(out, NULL, 4),
            b't' => put_word(out, TRUE, 4),
            b'f' => put_word(out, FALSE, 5),
            _ => put_number(out, rest)?,
        };
    }
    open.is_empty().then_some(())
}

fn put_word(out: &mut Vec<u8>, word: u8, length: usize) -> usize {
    out.push(word);
    length
}

/// Appends the string that `text` begins with; how long that is there.
fn put_string(out: &mut Vec<u8>, text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = 1;
    while *bytes.get(end)? != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let string: String = serde_json::from_str(text.get(..=end)?).ok()?;
    out.push(STRING);
    super::put_escaped(out, string.as_bytes());
    Some(end + 1)
}

/// Appends the number that `text` begins with: its sign, the place of its first digit, its digits without zeros at either end.
fn put_number(out: &mut Vec<u8>, text: &str) -> Option<usize> {
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let end = text.bytes().position(|byte| !is_part(byte));
    let end = end.unwrap_or(text.len());
    let number = text[..end].trim_start_matches('-');
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    let place = match whole.len() {
        0 => fraction.trim_start_matches('0').len() as i64 - fraction.len() as i64,
        digits => digits as i64,
    };
    let digits = [whole, fraction].concat();
    let digits = digits.trim_matches('0');
    out.push(NUMBER);
    if digits.is_empty() {
        out.push(ZERO);
        return (!number.is_empty()).then_some(end);
    }
    let start = out.len();
    out.push(POSITIVE);
    super::put_int(out, place, 4);
    out.extend_from_slice(digits.as_bytes());
    out.push(0);
    if text.starts_with('-') {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, text).unwrap();
        out
    }

    #[test]
    fn values_sort_as_postgresql_sorts_them() {
        // As `ORDER BY` of PostgreSQL 15 gives them.
        let sorted = [
            "[]",
            "null",
            r#""""#,
            r#""A""#,
            r#""a""#,
            r#""a\nb""#,
            r#""a b""#,
            r#""é""#,
            "-100.5",
            "-100",
            "-0.02",
            "-0.01",
            "0",
            "0.0012",
            "0.01",
            "1",
            "1.5",
            "2",
            "10",
            "10.01",
            "123456789012345678901234567890",
            "false",
            "true",
            "[null]",
            "[1]",
            "[[]]",
            "[[null]]",
            "[{}]",
            "[1, 2]",
            "[1, 3]",
            "{}",
            r#"{"a": 1}"#,
            r#"{"a": []}"#,
            r#"{"b": 1}"#,
            r#"{"a": 1, "b": 2}"#,
        ];
        for pair in sorted.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn equal_numbers_have_equal_bytes() {
        for (a, b) in [
            ("1", "1.0"),
            ("0", "0.000"),
            ("[-12.50]", "[-12.5]"),
            ("100", "100.00"),
        ] {
            assert_eq!(key(a), key(b));
        }
    }

    #[test]
    fn what_is_no_value_has_no_bytes() {
        for text in ["[1", "]", r#""a"#, "x", r#"{"a": "#] {
            assert_eq!(put(&mut Vec::new(), text), None, "{text}");
        }
    }
}
