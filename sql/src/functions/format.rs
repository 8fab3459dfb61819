//! Functions that write values of any type as text: concat, format, quote_literal.

use super::call::dsl::*;

pub(super) const FUNCTIONS: &[Function] = &[
    f("concat", &[ANY], T::Text, |env, args| {
        let parts = args
            .iter()
            .enumerate()
            .map(|(at, value)| output(env, at, *value));
        joined(parts)
    })
    .variadic()
    .called_on_null()
    .stable(),
    f("concat_ws", &[TEXT, ANY], T::Text, |env, args| {
        let Some(separator) = optional(args, 0).map(text) else {
            return Ok(Datum::Null);
        };
        let given = (1..args.len()).filter_map(|at| Some((at, optional(args, at)?)));
        let mut out = String::new();
        for (number, (at, value)) in given.enumerate() {
            if number > 0 {
                append(&mut out, separator)?;
            }
            append(&mut out, &output(env, at, value))?;
        }
        string(out)
    })
    .variadic()
    .called_on_null()
    .stable(),
    f("||", &[TEXT, ANY], T::Text, |env, args| {
        joined([text(args[0]), &as_text(env, 1, args[1])])
    }),
    f("||", &[ANY, TEXT], T::Text, |env, args| {
        joined([&as_text(env, 0, args[0]), text(args[1])])
    }),
    f("||", &[TEXT, TEXT], T::Text, |_, args| {
        joined([text(args[0]), text(args[1])])
    }),
    // A chain, each link of which is one of those.
    f("||", &[ANY, ANY, ANY], T::Text, |env, args| {
        let parts = args.iter().enumerate();
        joined(parts.map(|(at, part)| as_text(env, at, *part)))
    })
    .variadic(),
    f("||", &[BYTEA, BYTEA], T::Bytea, |_, args| {
        let (left, right) = (bytes(args[0]), bytes(args[1]));
        may_grow(left.len(), right.len())?;
        Ok(Datum::Bytea([left, right].concat()))
    }),
    f("format", &[TEXT], T::Text, format_text)
        .called_on_null()
        .stable(),
    f("format", &[TEXT, ANY], T::Text, format_text)
        .variadic()
        .called_on_null()
        .stable(),
    // The text of a row of these fields.
    f("pg_record", &[ANY], T::Text, |env, args| {
        let fields = args.iter().enumerate().map(|(at, value)| match value {
            DatumRef::Null => String::new(),
            value => record_field(&output(env, at, *value)),
        });
        string(format!("({})", fields.collect::<Vec<_>>().join(",")))
    })
    .variadic()
    .called_on_null()
    .stable(),
    f("num_nulls", &[ANY], T::Int4, |_, args| {
        Ok(nulls(args, true))
    })
    .variadic()
    .called_on_null(),
    f("num_nonnulls", &[ANY], T::Int4, |_, args| {
        Ok(nulls(args, false))
    })
    .variadic()
    .called_on_null(),
    f("quote_ident", &[TEXT], T::Text, |_, args| {
        string(crate::parse::identifier(text(args[0])))
    }),
    f("quote_literal", &[TEXT], T::Text, |_, args| {
        string(literal(text(args[0])))
    }),
    f("quote_literal", &[ANY], T::Text, |env, args| {
        string(literal(&as_text(env, 0, args[0])))
    })
    .stable(),
    f("quote_nullable", &[TEXT], T::Text, |env, args| {
        nullable(env, args)
    })
    .called_on_null(),
    f("quote_nullable", &[ANY], T::Text, |env, args| {
        nullable(env, args)
    })
    .called_on_null()
    .stable(),
];

/// How many arguments are NULL, or how many are not.
fn nulls(args: &[DatumRef<'_>], null: bool) -> Datum {
    let counted = args.iter().filter(|arg| (**arg == DatumRef::Null) == null);
    Datum::Int4(i32::try_from(counted.count()).unwrap_or(i32::MAX))
}

/// What the output function of an argument's type writes; nothing for NULL.
fn output(env: &Env<'_>, at: usize, value: DatumRef<'_>) -> String {
    let ty = env.types.get(at).copied().flatten().unwrap_or(T::Text);
    let mut out = String::new();
    crate::text::write(value, ty, env.style, &mut out);
    out
}

/// A value cast to text.
fn as_text(env: &Env<'_>, at: usize, value: DatumRef<'_>) -> String {
    match value {
        DatumRef::Bool(value) => value.to_string(),
        value => output(env, at, value),
    }
}

/// A field as `record_out` writes it.
fn record_field(text: &str) -> String {
    let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace();
    match text.is_empty() || text.contains(special) {
        true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")),
        false => text.to_string(),
    }
}

fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    match value.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

fn nullable(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    match optional(args, 0) {
        None => string("NULL"),
        Some(value) => string(literal(&as_text(env, 0, value))),
    }
}

fn too_few() -> SqlError {
    refused("too few arguments for format()")
}

fn unterminated() -> SqlError {
    refused("unterminated format() type specifier").hint("For a single \"%\" use \"%%\".")
}

fn format_text(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let Some(template) = optional(args, 0).map(text) else {
        return Ok(Datum::Null);
    };
    let mut rest = template;
    let mut out = String::new();
    // The argument that was taken last.
    let mut last = 0;
    while let Some((before, behind)) = rest.split_once('%') {
        append(&mut out, before)?;
        if let Some(behind) = behind.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let (specifier, behind) = Specifier::read(behind)?;
        rest = behind;
        let width = match specifier.width {
            Width::Of(width) => width,
            Width::Argument(position) => {
                let at = position.unwrap_or(last + 1);
                let value = *args.get(at).ok_or_else(too_few)?;
                last = at;
                match value {
                    DatumRef::Null => 0,
                    DatumRef::Int2(_) | DatumRef::Int4(_) | DatumRef::Int8(_) => int(value),
                    value => match crate::text::parse(T::Int4, &output(env, at, value))? {
                        Datum::Int4(width) => width.into(),
                        _ => 0,
                    },
                }
            }
        };
        let at = specifier.position.unwrap_or(last + 1);
        let value = *args.get(at).ok_or_else(too_few)?;
        last = at;
        let shown = match (specifier.conversion, value) {
            ('s', value) => output(env, at, value),
            ('L', DatumRef::Null) => "NULL".to_string(),
            ('L', value) => literal(&output(env, at, value)),
            (_, DatumRef::Null) => {
                return Err(SqlError::new(
                    ErrorKind::NullValueNotAllowed,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            (_, value) => crate::parse::identifier(&output(env, at, value)),
        };
        let left = specifier.left || width < 0;
        let width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        let padding = width.saturating_sub(shown.chars().count());
        if padding > 0x3fff_ffff {
            return Err(SqlError::new(
                ErrorKind::ProgramLimitExceeded,
                "requested length too large",
            ));
        }
        let padding = " ".repeat(padding);
        let parts = match left {
            true => [shown, padding],
            false => [padding, shown],
        };
        for part in parts {
            append(&mut out, &part)?;
        }
    }
    append(&mut out, rest)?;
    string(out)
}

enum Width {
    Of(i64),
    /// Of the argument at a position, or of the next one.
    Argument(Option<usize>),
}

/// `[position$][-][width]type`
struct Specifier {
    position: Option<usize>,
    left: bool,
    width: Width,
    conversion: char,
}

impl Specifier {
    fn read(text: &str) -> Result<(Specifier, &str), SqlError> {
        let mut rest = text;
        let mut position = None;
        let mut width = Width::Of(0);
        let mut left = false;
        let (first, behind) = number(rest)?;
        match (first, behind.strip_prefix('$')) {
            (Some(first), Some(behind)) => {
                position = Some(argument(first)?);
                rest = behind;
            }
            (Some(first), None) => {
                width = Width::Of(first);
                rest = behind;
            }
            (None, _) => {}
        }
        if first.is_none() || position.is_some() {
            while let Some(behind) = rest.strip_prefix('-') {
                left = true;
                rest = behind;
            }
            if let Some(behind) = rest.strip_prefix('*') {
                rest = behind;
                let (given, behind) = number(rest)?;
                width = Width::Argument(match given {
                    Some(given) => {
                        rest = behind.strip_prefix('$').ok_or_else(|| {
                            refused("width argument position must be ended by \"$\"")
                        })?;
                        Some(argument(given)?)
                    }
                    None => None,
                });
            } else if let (Some(given), behind) = number(rest)? {
                width = Width::Of(given);
                rest = behind;
            }
        }
        let conversion = rest.chars().next().ok_or_else(unterminated)?;
        if !matches!(conversion, 's' | 'I' | 'L') {
            let message = format!("unrecognized format() type specifier \"{conversion}\"");
            return Err(refused(message).hint("For a single \"%\" use \"%%\"."));
        }
        let specifier = Specifier {
            position,
            left,
            width,
            conversion,
        };
        Ok((specifier, &rest[1..]))
    }
}

fn argument(position: i64) -> Result<usize, SqlError> {
    match usize::try_from(position) {
        Ok(position) if position > 0 => Ok(position),
        _ => Err(refused(
            "format specifies argument 0, but arguments are numbered from 1",
        )),
    }
}

fn number(text: &str) -> Result<(Option<i64>, &str), SqlError> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    match digits.parse::<i32>() {
        Ok(value) => Ok((Some(value.into()), rest)),
        Err(_) => Err(SqlError::new(
            ErrorKind::NumericValueOutOfRange,
            "number is out of range",
        )),
    }
}
