//! Changing values of jsonb, whose text is canonical.

use crate::error::{ErrorKind, SqlError};
use crate::json::write_string;
use crate::text::jsonb::object;
use crate::text::jsonb::scan::{self, Kind};

fn refused(message: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

fn array<'a>(elements: impl IntoIterator<Item = &'a str>) -> String {
    let elements: Vec<&str> = elements.into_iter().collect();
    format!("[{}]", elements.join(", "))
}

fn owned(members: Vec<(String, &str)>) -> Vec<(String, String)> {
    let members = members.into_iter();
    members
        .map(|(key, value)| (key, value.to_string()))
        .collect()
}

/// `a || b`
pub(super) fn concat(a: &str, b: &str) -> Result<String, SqlError> {
    let list = |json| match scan::kind(json) {
        Kind::Array => scan::elements(json),
        _ => vec![json],
    };
    Ok(match (scan::kind(a), scan::kind(b)) {
        (Kind::Object, Kind::Object) => {
            let mut members = owned(scan::members(a));
            members.extend(owned(scan::members(b)));
            object(members)
        }
        _ => array(list(a).into_iter().chain(list(b))),
    })
}

/// `json - key`, `json - keys`
pub(super) fn delete_keys(json: &str, keys: &[String]) -> Result<String, SqlError> {
    match scan::kind(json) {
        Kind::Object => {
            let mut members = owned(scan::members(json));
            members.retain(|(key, _)| !keys.contains(key));
            Ok(object(members))
        }
        Kind::Array => {
            let gone = |element: &&str| {
                scan::kind(element) == Kind::String && keys.contains(&scan::unquoted(element))
            };
            let elements = scan::elements(json).into_iter();
            Ok(array(elements.filter(|element| !gone(element))))
        }
        _ => Err(refused("cannot delete from scalar")),
    }
}

/// `json - index`
pub(super) fn delete_index(json: &str, index: i64) -> Result<String, SqlError> {
    match scan::kind(json) {
        Kind::Array => {
            let mut elements = scan::elements(json);
            if let Some(at) = place(index, elements.len()) {
                elements.remove(at);
            }
            Ok(array(elements))
        }
        Kind::Object => Err(refused("cannot delete from object using integer index")),
        _ => Err(refused("cannot delete from scalar")),
    }
}

/// Where an index, counted from the end when it is negative, stands among so many; `None` outside.
fn place(index: i64, length: usize) -> Option<usize> {
    let at = match index {
        index if index < 0 => index.checked_add(length as i64)?,
        index => index,
    };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// Where a path goes on: what is left of it, and how many of its steps lie behind.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    steps: &'a [Option<String>],
    behind: usize,
}

impl<'a> Path<'a> {
    pub(super) fn new(steps: &'a [Option<String>]) -> Path<'a> {
        Path { steps, behind: 0 }
    }

    /// Its next step and what follows; an error when the step is NULL.
    fn split(self) -> Result<Option<(&'a str, Path<'a>)>, SqlError> {
        let Some((step, steps)) = self.steps.split_first() else {
            return Ok(None);
        };
        let behind = self.behind + 1;
        let step = step.as_deref().ok_or_else(|| {
            let message = format!("path element at position {behind} is null");
            SqlError::new(ErrorKind::NullValueNotAllowed, message)
        })?;
        Ok(Some((step, Path { steps, behind })))
    }

    /// Whether nothing follows.
    fn is_end(self) -> bool {
        self.steps.is_empty()
    }

    /// The step that was taken last, as an index.
    fn index(self, step: &str) -> Result<i64, SqlError> {
        let digits = step.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
        digits.parse::<i32>().map(i64::from).map_err(|_| {
            let message = format!(
                "path element at position {} is not an integer: \"{step}\"",
                self.behind
            );
            SqlError::new(ErrorKind::InvalidTextRepresentation, message)
        })
    }
}

/// `json #- path`
pub(super) fn delete_path(json: &str, path: Path<'_>) -> Result<String, SqlError> {
    let Some((step, rest)) = path.split()? else {
        return Ok(json.to_string());
    };
    Ok(match scan::kind(json) {
        Kind::Object => {
            let mut members = owned(scan::members(json));
            if let Some(at) = members.iter().position(|(key, _)| key == step) {
                match rest.is_end() {
                    true => drop(members.remove(at)),
                    false => members[at].1 = delete_path(&members[at].1, rest)?,
                }
            }
            object(members)
        }
        Kind::Array => {
            let mut elements: Vec<String> = strings(json);
            if let Some(at) = place(rest.index(step)?, elements.len()) {
                match rest.is_end() {
                    true => drop(elements.remove(at)),
                    false => elements[at] = delete_path(&elements[at], rest)?,
                }
            }
            array(elements.iter().map(String::as_str))
        }
        _ => json.to_string(),
    })
}

fn strings(json: &str) -> Vec<String> {
    let elements = scan::elements(json).into_iter();
    elements.map(str::to_string).collect()
}

/// `jsonb_set`: the value at the path; made where only its last step is missing, if `create`.
pub(super) fn set(
    json: &str,
    path: Path<'_>,
    value: &str,
    create: bool,
) -> Result<String, SqlError> {
    let Some((step, rest)) = path.split()? else {
        return Ok(json.to_string());
    };
    Ok(match scan::kind(json) {
        Kind::Object => {
            let mut members = owned(scan::members(json));
            match members.iter().position(|(key, _)| key == step) {
                Some(at) if rest.is_end() => members[at].1 = value.to_string(),
                Some(at) => members[at].1 = set(&members[at].1, rest, value, create)?,
                None if rest.is_end() && create => {
                    members.push((step.to_string(), value.to_string()));
                }
                None => {}
            }
            object(members)
        }
        Kind::Array => {
            let index = rest.index(step)?;
            let mut elements = strings(json);
            match place(index, elements.len()) {
                Some(at) if rest.is_end() => elements[at] = value.to_string(),
                Some(at) => elements[at] = set(&elements[at], rest, value, create)?,
                None if rest.is_end() && create && index < 0 => {
                    elements.insert(0, value.to_string());
                }
                None if rest.is_end() && create => elements.push(value.to_string()),
                None => {}
            }
            array(elements.iter().map(String::as_str))
        }
        _ => json.to_string(),
    })
}

/// The elements that an assignment may add at most so that there is one to assign to.
const GAP_MAX: usize = 10_000_000;

/// So many nulls more.
fn fill(elements: &mut Vec<String>, count: usize) -> Result<(), SqlError> {
    if count > GAP_MAX {
        let message = format!("an assignment adds at most {GAP_MAX} elements to a jsonb array");
        return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    elements.extend(std::iter::repeat_n("null".to_string(), count));
    Ok(())
}

/// `SET column[…] = …`: the value at the path, and what is missing on the way there.
pub(super) fn assign(json: &str, path: Path<'_>, value: &str) -> Result<String, SqlError> {
    let Some((step, rest)) = path.split()? else {
        return Ok(value.to_string());
    };
    Ok(match scan::kind(json) {
        Kind::Object => {
            let mut members = owned(scan::members(json));
            match members.iter_mut().find(|(key, _)| key == step) {
                Some((_, member)) if !rest.is_end() => *member = assign(member, rest, value)?,
                Some((_, member)) => *member = value.to_string(),
                None => members.push((step.to_string(), made(rest, value)?)),
            }
            object(members)
        }
        Kind::Array => {
            let index = rest.index(step)?;
            let mut elements = strings(json);
            let length = elements.len();
            let Ok(at) = usize::try_from(if index < 0 {
                index + length as i64
            } else {
                index
            }) else {
                let behind = rest.behind;
                let message = format!("path element at position {behind} is out of range: {index}");
                return Err(refused(&message));
            };
            match elements.get_mut(at) {
                Some(element) if !rest.is_end() => *element = assign(element, rest, value)?,
                Some(element) => *element = value.to_string(),
                None => {
                    fill(&mut elements, at - length)?;
                    elements.push(made(rest, value)?);
                }
            }
            array(elements.iter().map(String::as_str))
        }
        _ => {
            let detail = "The path assumes key is a composite object, but it is a scalar value.";
            return Err(refused("cannot replace existing key").detail(detail));
        }
    })
}

/// The value inside of arrays and objects, so that it stands at the path.
fn made(path: Path<'_>, value: &str) -> Result<String, SqlError> {
    let mut made = value.to_string();
    for step in path.steps.iter().rev().flatten() {
        made = match step.parse::<i32>() {
            Ok(index) => {
                let mut elements = Vec::new();
                fill(&mut elements, usize::try_from(index).unwrap_or(0))?;
                elements.push(made);
                array(elements.iter().map(String::as_str))
            }
            Err(_) => object(vec![(step.clone(), made)]),
        };
    }
    Ok(made)
}

/// `jsonb_insert`: a new element before (or after) the one at the path, or a new key.
pub(super) fn insert(
    json: &str,
    path: Path<'_>,
    value: &str,
    after: bool,
) -> Result<String, SqlError> {
    let Some((step, rest)) = path.split()? else {
        return Ok(json.to_string());
    };
    Ok(match scan::kind(json) {
        Kind::Object => {
            let mut members = owned(scan::members(json));
            match members.iter().position(|(key, _)| key == step) {
                Some(_) if rest.is_end() => {
                    return Err(refused("cannot replace existing key")
                        .hint("Try using the function jsonb_set to replace key value."));
                }
                Some(at) => members[at].1 = insert(&members[at].1, rest, value, after)?,
                None if rest.is_end() => members.push((step.to_string(), value.to_string())),
                None => {}
            }
            object(members)
        }
        Kind::Array => {
            let index = rest.index(step)?;
            let mut elements = strings(json);
            match place(index, elements.len()) {
                Some(at) if rest.is_end() => {
                    elements.insert(at + usize::from(after), value.to_string());
                }
                Some(at) => elements[at] = insert(&elements[at], rest, value, after)?,
                None if rest.is_end() && index < 0 => elements.insert(0, value.to_string()),
                None if rest.is_end() => elements.push(value.to_string()),
                None => {}
            }
            array(elements.iter().map(String::as_str))
        }
        _ => json.to_string(),
    })
}

/// Without the members of objects whose value is null.
pub(super) fn strip_nulls(json: &str, spaced: bool) -> String {
    let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
    match scan::kind(json) {
        Kind::Object => {
            let mut out = String::from("{");
            let members = scan::members(json).into_iter();
            let kept = members.filter(|(_, value)| scan::kind(value) != Kind::Null);
            for (at, (key, value)) in kept.enumerate() {
                if at > 0 {
                    out.push_str(comma);
                }
                write_string(&key, &mut out);
                out.push_str(colon);
                out.push_str(&strip_nulls(value, spaced));
            }
            out.push('}');
            out
        }
        Kind::Array => {
            let elements = scan::elements(json).into_iter();
            let elements: Vec<String> = elements.map(|e| strip_nulls(e, spaced)).collect();
            format!("[{}]", elements.join(comma))
        }
        _ => scan::trim(json).to_string(),
    }
}

/// Indented by four spaces a level.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::new();
    indent(json, 0, &mut out);
    out
}

fn indent(json: &str, depth: usize, out: &mut String) {
    let newline = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth * 4));
    };
    match scan::kind(json) {
        Kind::Object => {
            out.push('{');
            for (at, (key, value)) in scan::members(json).into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                newline(depth + 1, out);
                write_string(&key, out);
                out.push_str(": ");
                indent(value, depth + 1, out);
            }
            newline(depth, out);
            out.push('}');
        }
        Kind::Array => {
            out.push('[');
            for (at, value) in scan::elements(json).into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                newline(depth + 1, out);
                indent(value, depth + 1, out);
            }
            newline(depth, out);
            out.push(']');
        }
        _ => out.push_str(json),
    }
}
