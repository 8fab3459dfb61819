//! A path as PostgreSQL prints it, after printJsonPathItem in jsonpath.c.

use std::fmt::{Display, Formatter, Result, Write};

use super::{Chain, Flags, Operator, Path, Step};
use crate::json::write_string;

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut out = String::new();
        if !self.lax {
            out.push_str("strict ");
        }
        write_chain(&self.steps, true, &mut out);
        f.write_str(&out)
    }
}

/// Operators of a lower rank bind less.
fn rank(step: &Step) -> u8 {
    match step {
        Step::Binary(operator, _) => match operator {
            Operator::Or => 0,
            Operator::And => 1,
            Operator::Add | Operator::Subtract => 3,
            Operator::Multiply | Operator::Divide | Operator::Modulo => 4,
            _ => 2,
        },
        Step::Sign { .. } => 5,
        _ => 6,
    }
}

/// The operand of an operator. PostgreSQL leaves out the parentheses of one that steps follow, where they are needed.
fn write_operand(operand: &Chain, of: &Step, out: &mut String) {
    let bracketed = match operand.steps.as_slice() {
        [only] => rank(only) <= rank(of),
        _ => true,
    };
    write_chain(operand, bracketed, out);
}

/// Steps, the first one in parentheses where it is an operator that has to have them.
fn write_chain(chain: &Chain, bracketed: bool, out: &mut String) {
    super::deeper(|| {
        let goes_on = chain.steps.len() > 1;
        for (at, step) in chain.steps.iter().enumerate() {
            write_step(step, at > 0, bracketed || at > 0, goes_on, out);
        }
    });
}

fn write_step(step: &Step, behind: bool, bracketed: bool, goes_on: bool, out: &mut String) {
    let quoted = |text: &str, out: &mut String| write_string(text, out);
    let open = |out: &mut String| out.push_str(if bracketed { "(" } else { "" });
    let close = |out: &mut String| out.push_str(if bracketed { ")" } else { "" });
    let point = if behind { "." } else { "" };
    match step {
        Step::Null => out.push_str("null"),
        Step::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Step::Number(number) if goes_on => {
            let _ = write!(out, "({number})");
        }
        Step::Number(number) => out.push_str(number),
        Step::Text(text) => quoted(text, out),
        Step::Variable(name) => {
            out.push('$');
            quoted(name, out);
        }
        Step::Root => out.push('$'),
        Step::Current => out.push('@'),
        Step::Last => out.push_str("last"),
        Step::Key(key) => {
            out.push_str(point);
            quoted(key, out);
        }
        Step::AnyKey => {
            let _ = write!(out, "{point}*");
        }
        Step::AnyArray => out.push_str("[*]"),
        Step::Any { first, last } => {
            let _ = write!(out, "{point}**");
            let level = |level: u32| match level {
                u32::MAX => "last".to_string(),
                level => level.to_string(),
            };
            let _ = match (*first, *last) {
                (0, u32::MAX) => Ok(()),
                (first, last) if first == last => write!(out, "{{{}}}", level(first)),
                (first, last) => write!(out, "{{{} to {}}}", level(first), level(last)),
            };
        }
        Step::Places(places) => {
            for (at, (from, to)) in places.iter().enumerate() {
                out.push_str(if at == 0 { "[" } else { "," });
                write_chain(from, false, out);
                if let Some(to) = to {
                    out.push_str(" to ");
                    write_chain(to, false, out);
                }
            }
            out.push(']');
        }
        Step::Filter(of) => around("?(", of, ")", out),
        Step::Method(method) => {
            let _ = write!(out, ".{}()", method.name());
        }
        Step::Datetime(template) => {
            out.push_str(".datetime(");
            template.iter().for_each(|template| quoted(template, out));
            out.push(')');
        }
        Step::Binary(operator, operands) => {
            open(out);
            write_operand(&operands.0, step, out);
            let _ = write!(out, " {} ", operator.sign());
            write_operand(&operands.1, step, out);
            close(out);
        }
        Step::Sign { minus, of } => {
            open(out);
            out.push(if *minus { '-' } else { '+' });
            write_operand(of, step, out);
            close(out);
        }
        Step::Not(of) => around("!(", of, ")", out),
        Step::IsUnknown(of) => around("(", of, ") is unknown", out),
        Step::Exists(of) => around("exists (", of, ")", out),
        Step::LikeRegex { of, pattern, flags } => {
            open(out);
            write_operand(of, step, out);
            out.push_str(" like_regex ");
            quoted(pattern, out);
            if *flags != Flags::default() {
                let letters = [
                    (flags.ignore_case, 'i'),
                    (flags.dots_match_all, 's'),
                    (flags.lines_are_anchors, 'm'),
                    (flags.expanded, 'x'),
                    (flags.literal, 'q'),
                ];
                let set = letters.iter().filter(|(set, _)| *set);
                let letters: String = set.map(|(_, letter)| *letter).collect();
                let _ = write!(out, " flag \"{letters}\"");
            }
            close(out);
        }
    }
}

fn around(before: &str, of: &Chain, behind: &str, out: &mut String) {
    out.push_str(before);
    write_chain(of, false, out);
    out.push_str(behind);
}
