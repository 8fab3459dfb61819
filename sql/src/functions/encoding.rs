//! Functions between text and bytes: encodings, digests, Unicode.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;
use unicode_normalization::UnicodeNormalization;

use super::call::dsl::*;

pub(super) const FUNCTIONS: &[Function] = &[
    f("encode", &[BYTEA, TEXT], T::Text, encode),
    f("decode", &[TEXT, TEXT], T::Bytea, decode),
    f("md5", &[TEXT], T::Text, |_, args| {
        string(md5(text(args[0]).as_bytes()))
    }),
    f("md5", &[BYTEA], T::Text, |_, args| {
        string(md5(bytes(args[0])))
    }),
    f("sha224", &[BYTEA], T::Bytea, |_, args| {
        digest::<sha2::Sha224>(args)
    }),
    f("sha256", &[BYTEA], T::Bytea, |_, args| {
        digest::<sha2::Sha256>(args)
    }),
    f("sha384", &[BYTEA], T::Bytea, |_, args| {
        digest::<sha2::Sha384>(args)
    }),
    f("sha512", &[BYTEA], T::Bytea, |_, args| {
        digest::<sha2::Sha512>(args)
    }),
    f("convert_from", &[BYTEA, TEXT], T::Text, |_, args| {
        string(decoded(
            bytes(args[0]),
            encoding(text(args[1]), "invalid source encoding name")?,
        )?)
    }),
    f("convert_to", &[TEXT, TEXT], T::Bytea, |_, args| {
        let to = encoding(text(args[1]), "invalid destination encoding name")?;
        Ok(Datum::Bytea(encoded(text(args[0]), to)?))
    }),
    f("convert", &[BYTEA, TEXT, TEXT], T::Bytea, |_, args| {
        let from = encoding(text(args[1]), "invalid source encoding name")?;
        let to = encoding(text(args[2]), "invalid destination encoding name")?;
        Ok(Datum::Bytea(encoded(&decoded(bytes(args[0]), from)?, to)?))
    }),
    f("length", &[BYTEA, TEXT], T::Int4, |_, args| {
        let value = decoded(
            bytes(args[0]),
            encoding(text(args[1]), "invalid encoding name")?,
        )?;
        let count = i32::try_from(value.chars().count());
        count.map(Datum::Int4).map_err(|_| overflow())
    }),
    f("is_normalized", &[TEXT], T::Bool, is_normalized),
    f("is_normalized", &[TEXT, TEXT], T::Bool, is_normalized),
    f("unistr", &[TEXT], T::Text, unistr),
    f("normalize", &[TEXT], T::Text, normalize),
    f("normalize", &[TEXT, TEXT], T::Text, normalize),
];

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    hex(&md5::Md5::digest(bytes))
}

fn digest<D: Digest>(args: &[DatumRef<'_>]) -> Outcome {
    Ok(Datum::Bytea(D::digest(bytes(args[0])).to_vec()))
}

fn unrecognized(name: &str) -> SqlError {
    refused(format!("unrecognized encoding: \"{name}\""))
}

/// Characters in a line of base64.
const BASE64_LINE: usize = 76;

fn encode(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = bytes(args[0]);
    string(match text(args[1]).to_ascii_lowercase().as_str() {
        "hex" => hex(value),
        "base64" => {
            let mut out = String::new();
            for (at, c) in STANDARD.encode(value).chars().enumerate() {
                if at > 0 && at % BASE64_LINE == 0 {
                    out.push('\n');
                }
                out.push(c);
            }
            out
        }
        "escape" => {
            let mut out = String::new();
            for byte in value {
                match byte {
                    0 | 0x80.. => drop(write!(out, "\\{byte:03o}")),
                    b'\\' => out.push_str("\\\\"),
                    byte => out.push(char::from(*byte)),
                }
            }
            out
        }
        _ => return Err(unrecognized(text(args[1]))),
    })
}

fn decode(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = text(args[0]);
    let parse = |text: &str| crate::text::parse(T::Bytea, text);
    match text(args[1]).to_ascii_lowercase().as_str() {
        "hex" => parse(&format!("\\x{value}")),
        "base64" => base64(value),
        // A text that begins with \x is no hexadecimal here.
        "escape" if value.starts_with("\\x") => Err(SqlError::new(
            ErrorKind::InvalidTextRepresentation,
            "invalid input syntax for type bytea",
        )),
        "escape" => parse(value),
        _ => Err(unrecognized(text(args[1]))),
    }
}

/// After pg_base64_decode in PostgreSQL's encode.c.
fn base64(value: &str) -> Outcome {
    let mut out = Vec::new();
    let (mut buffer, mut filled, mut end) = (0_u32, 0, 0);
    for c in value
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r'))
    {
        let six = match c {
            'A'..='Z' => c as u32 - 'A' as u32,
            'a'..='z' => c as u32 - 'a' as u32 + 26,
            '0'..='9' => c as u32 - '0' as u32 + 52,
            '+' => 62,
            '/' => 63,
            '=' => {
                if end == 0 {
                    end = match filled {
                        2 => 1,
                        3 => 2,
                        _ => {
                            return Err(refused("unexpected \"=\" while decoding base64 sequence"));
                        }
                    };
                }
                0
            }
            c => {
                return Err(refused(format!(
                    "invalid symbol \"{c}\" found while decoding base64 sequence"
                )));
            }
        };
        buffer = buffer << 6 | six;
        filled += 1;
        if filled == 4 {
            let three = [(buffer >> 16) as u8, (buffer >> 8) as u8, buffer as u8];
            let kept = match end {
                0 => 3,
                kept => kept,
            };
            out.extend(&three[..kept]);
            (buffer, filled) = (0, 0);
        }
    }
    if filled != 0 {
        return Err(refused("invalid base64 end sequence")
            .hint("Input data is missing padding, is truncated, or is otherwise corrupted."));
    }
    Ok(Datum::Bytea(out))
}

#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Latin1,
    Ascii,
}

fn encoding(name: &str, complaint: &str) -> Result<Encoding, SqlError> {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
    match letters.collect::<String>().to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok(Encoding::Utf8),
        "latin1" | "iso88591" => Ok(Encoding::Latin1),
        "sqlascii" => Ok(Encoding::Ascii),
        known if OTHER_ENCODINGS.contains(&known) => {
            Err(SqlError::unsupported(format!("encoding \"{name}\"")))
        }
        _ => Err(refused(format!("{complaint} \"{name}\""))),
    }
}

/// PostgreSQL's encodings that Tidelog does not have.
const OTHER_ENCODINGS: [&str; 33] = [
    "big5",
    "euccn",
    "eucjp",
    "eucjis2004",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "johab",
    "koi8r",
    "koi8u",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "latin10",
    "muleinternal",
    "sjis",
    "shiftjis2004",
    "uhc",
    "win866",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
];

fn decoded(value: &[u8], from: Encoding) -> Result<String, SqlError> {
    match from {
        Encoding::Latin1 => Ok(value.iter().map(|byte| char::from(*byte)).collect()),
        Encoding::Utf8 | Encoding::Ascii => {
            let invalid = |rest: &[u8]| {
                let shown: Vec<String> = rest.iter().map(|byte| format!("0x{byte:02x}")).collect();
                SqlError::new(
                    ErrorKind::CharacterNotInRepertoire,
                    format!(
                        "invalid byte sequence for encoding \"UTF8\": {}",
                        shown.join(" ")
                    ),
                )
            };
            if value.contains(&0) {
                return Err(invalid(&[0]));
            }
            std::str::from_utf8(value)
                .map(String::from)
                .map_err(|error| {
                    let rest = &value[error.valid_up_to()..];
                    let length = match rest[0] {
                        0xc0..=0xdf => 2,
                        0xe0..=0xef => 3,
                        0xf0..=0xf7 => 4,
                        _ => 1,
                    };
                    invalid(&rest[..length.min(rest.len())])
                })
        }
    }
}

fn encoded(value: &str, to: Encoding) -> Result<Vec<u8>, SqlError> {
    match to {
        Encoding::Utf8 | Encoding::Ascii => Ok(value.as_bytes().to_vec()),
        Encoding::Latin1 => {
            let byte = |c: char| {
                u8::try_from(u32::from(c)).map_err(|_| {
                    let mut buffer = [0; 4];
                    let shown: Vec<String> = c
                        .encode_utf8(&mut buffer)
                        .bytes()
                        .map(|byte| format!("0x{byte:02x}"))
                        .collect();
                    let message = format!(
                        "character with byte sequence {} in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"",
                        shown.join(" ")
                    );
                    SqlError::new(ErrorKind::UntranslatableCharacter, message)
                })
            };
            value.chars().map(byte).collect()
        }
    }
}

fn unistr(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let invalid = |what: &str| SqlError::new(ErrorKind::SyntaxError, what);
    let escape = || {
        invalid("invalid Unicode escape")
            .hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let pair = || invalid("invalid Unicode surrogate pair");
    let mut rest = text(args[0]);
    let mut out = String::new();
    let mut high = None;
    while let Some(c) = rest.chars().next() {
        if c != '\\' {
            if high.is_some() {
                return Err(pair());
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let behind = &rest[1..];
        if let Some(after) = behind.strip_prefix('\\') {
            if high.is_some() {
                return Err(pair());
            }
            out.push('\\');
            rest = after;
            continue;
        }
        let (skip, length) = match behind.bytes().next() {
            Some(b'+') => (1, 6),
            Some(b'u') => (1, 4),
            Some(b'U') => (1, 8),
            _ => (0, 4),
        };
        let digits = behind.get(skip..skip + length).ok_or_else(escape)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(escape());
        }
        let code = u32::from_str_radix(digits, 16).map_err(|_| escape())?;
        rest = &behind[skip + length..];
        let code = match (high.take(), code) {
            (None, 0xd800..=0xdbff) => {
                high = Some(code);
                continue;
            }
            (Some(high), 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00),
            (None, 0xdc00..=0xdfff) | (Some(_), _) => return Err(pair()),
            (None, code) => code,
        };
        match char::from_u32(code) {
            Some(c) if c != '\0' => out.push(c),
            _ => return Err(invalid("invalid Unicode code point")),
        }
    }
    match high {
        Some(_) => Err(pair()),
        None => string(out),
    }
}

fn is_normalized(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let same = normalize(env, args)? == Datum::Text(text(args[0]).to_string());
    Ok(Datum::Bool(same))
}

fn normalize(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = text(args[0]);
    let form = args.get(1).map_or("NFC", |form| text(*form));
    string(match form.to_ascii_uppercase().as_str() {
        "NFC" => value.nfc().collect::<String>(),
        "NFD" => value.nfd().collect(),
        "NFKC" => value.nfkc().collect(),
        "NFKD" => value.nfkd().collect(),
        _ => return Err(refused(format!("invalid normalization form: {form}"))),
    })
}
