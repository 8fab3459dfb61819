//! Names as text: the parts of a qualified one, and what type a value has.

use std::iter::Peekable;
use std::str::Chars;

use tidelog_storage::RegType;

use super::call::dsl::*;
use crate::types::type_facts;

const BOOL: Param = Param::Of(T::Bool);

/// `unknown`, the type of a string whose type nothing says.
const UNKNOWN_OID: i64 = 705;

pub(super) const FUNCTIONS: &[Function] = &[
    f("parse_ident", &[TEXT], TEXTS, parse_ident),
    f("parse_ident", &[TEXT, BOOL], TEXTS, parse_ident),
    f("pg_typeof", &[ANY], T::Reg(RegType::Type), |env, _| {
        let oid = env.types[0].map_or(UNKNOWN_OID, |ty| type_facts(ty).0);
        Ok(Datum::Int8(oid))
    })
    .called_on_null()
    .stable(),
];

/// The parts of a qualified name, folded where they are not quoted; after parse_ident in PostgreSQL's misc.c. What
/// follows the name is an error, unless the second argument is false.
fn parse_ident(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let written = text(args[0]);
    let is_strict = args.get(1) != Some(&DatumRef::Bool(false));
    let invalid = || refused(format!("string is not a valid identifier: \"{written}\""));
    let mut rest = written.chars().peekable();
    let mut parts = Vec::new();
    loop {
        skip_spaces(&mut rest);
        let part = match rest.peek().copied() {
            Some('"') => {
                rest.next();
                let closed = quoted(&mut rest);
                let part =
                    closed.ok_or_else(|| invalid().detail("String has unclosed double quotes."))?;
                if part.is_empty() {
                    return Err(invalid().detail("Quoted identifier must not be empty."));
                }
                part
            }
            Some(start) if start == '_' || start.is_ascii_alphabetic() || !start.is_ascii() => {
                let mut part = String::new();
                while let Some(next) = rest.next_if(|next| {
                    matches!(next, '_' | '$') || next.is_ascii_alphanumeric() || !next.is_ascii()
                }) {
                    part.push(next.to_ascii_lowercase());
                }
                part
            }
            Some('.') => return Err(invalid().detail("No valid identifier before \".\".")),
            _ if !parts.is_empty() => {
                return Err(invalid().detail("No valid identifier after \".\"."));
            }
            _ => return Err(invalid()),
        };
        parts.push(Datum::Text(part));
        skip_spaces(&mut rest);
        match rest.next() {
            Some('.') => {}
            Some(_) if is_strict => return Err(invalid()),
            _ => return Ok(Datum::Array(parts)),
        }
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| matches!(c, ' ' | '\t'..='\r')).is_some() {}
}

/// What stands before the closing quote; two are one of the name's own. `None` when none closes it.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut part = String::new();
    loop {
        match rest.next()? {
            '"' if rest.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => return Some(part),
            other => part.push(other),
        }
    }
}
