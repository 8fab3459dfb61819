//! Looking into the text of a json value, one level at a time. The text is of json's form.

use super::Reader;

/// What stands at the top of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl Kind {
    /// The kind as `jsonb_typeof` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
        }
    }

    /// Whether it is neither an object nor an array.
    pub(crate) fn is_scalar(self) -> bool {
        !matches!(self, Kind::Object | Kind::Array)
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The value without the spaces around it.
pub(crate) fn trim(json: &str) -> &str {
    json.trim_matches([' ', '\t', '\n', '\r'])
}

pub(crate) fn kind(json: &str) -> Kind {
    match trim(json).as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// Where the value that begins at `at` ends.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b'}' | b']' | b':' if depth == 0 => return at,
            byte if depth == 0 && is_space(byte) => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len().min(at)
}

fn skip(bytes: &[u8], mut at: usize, also: &[u8]) -> usize {
    while let Some(byte) = bytes.get(at)
        && (is_space(byte) || also.contains(byte))
    {
        at += 1;
    }
    at
}

/// Whether it is an array or object without elements.
pub(crate) fn is_empty(json: &str) -> bool {
    match kind(json) {
        Kind::Array => elements(json).is_empty(),
        Kind::Object => members(json).is_empty(),
        _ => false,
    }
}

/// The elements of an array.
pub(crate) fn elements(array: &str) -> Vec<&str> {
    let array = trim(array);
    let bytes = array.as_bytes();
    let mut found = Vec::new();
    let mut at = skip(bytes, 1, b",");
    while at < bytes.len() && bytes[at] != b']' {
        let end = value_end(bytes, at);
        found.push(&array[at..end]);
        at = skip(bytes, end, b",");
    }
    found
}

/// The keys and values of an object, in the order of its text.
pub(crate) fn members(object: &str) -> Vec<(String, &str)> {
    let object = trim(object);
    let bytes = object.as_bytes();
    let mut found = Vec::new();
    let mut at = skip(bytes, 1, b",");
    while at < bytes.len() && bytes[at] != b'}' {
        let end = value_end(bytes, at);
        let key = unquoted(&object[at..end]);
        let value = skip(bytes, end, b":");
        let end = value_end(bytes, value);
        found.push((key, &object[value..end]));
        at = skip(bytes, end, b",");
    }
    found
}

/// The text that a string stands for.
pub(crate) fn unquoted(string: &str) -> String {
    let mut out = String::new();
    // Its form was checked when it became json; what json allows and text does not stays as it is.
    match (Reader {
        text: string,
        at: 0,
    })
    .string(&mut out)
    {
        Ok(()) => out,
        Err(_) => string.trim_matches('"').to_string(),
    }
}

/// The value of a key; of equal keys the last counts.
pub(crate) fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut members = members(object);
    let at = members.iter().rposition(|(name, _)| name == key)?;
    Some(members.swap_remove(at).1)
}

/// The element at an index, counted from the end when it is negative.
pub(crate) fn element(array: &str, index: i64) -> Option<&str> {
    let elements = elements(array);
    let at = match index {
        index if index < 0 => index.checked_add(elements.len() as i64)?,
        index => index,
    };
    elements.get(usize::try_from(at).ok()?).copied()
}

/// The value as `->>` gives it: a string's text, nothing for null, else the json.
pub(crate) fn as_text(json: &str) -> Option<String> {
    match kind(json) {
        Kind::Null => None,
        Kind::String => Some(unquoted(trim(json))),
        _ => Some(trim(json).to_string()),
    }
}

/// Numbers that are equal have the same of these.
fn plain_number(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

/// Whether two values in canonical form are equal.
pub(crate) fn equal(a: &str, b: &str) -> bool {
    match (kind(a), kind(b)) {
        (Kind::Number, Kind::Number) => plain_number(a) == plain_number(b),
        (Kind::Array, Kind::Array) => {
            let (a, b) = (elements(a), elements(b));
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Kind::Object, Kind::Object) => {
            let (a, b) = (members(a), members(b));
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1))
        }
        _ => a == b,
    }
}

/// `a @> b`, of values in canonical form.
pub(crate) fn contains(a: &str, b: &str) -> bool {
    match (kind(a), kind(b)) {
        (Kind::Object, Kind::Object) => {
            let ours = members(a);
            members(b).iter().all(|(key, value)| {
                let found = ours.iter().find(|(name, _)| name == key);
                found.is_some_and(|(_, ours)| holds(ours, value))
            })
        }
        (Kind::Array, Kind::Array) => {
            let ours = elements(a);
            let all = elements(b);
            all.iter()
                .all(|value| ours.iter().any(|ours| holds(ours, value)))
        }
        // An array contains what it has as an element.
        (Kind::Array, other) if other.is_scalar() => elements(a).iter().any(|ours| equal(ours, b)),
        _ => equal(a, b),
    }
}

/// Inside, structures of different kinds never contain each other.
fn holds(a: &str, b: &str) -> bool {
    match (kind(a), kind(b)) {
        (ours, theirs) if ours == theirs && !ours.is_scalar() => contains(a, b),
        _ => equal(a, b),
    }
}
