//! Values of `"char"`: a byte, as its text. Nothing is the byte 0, and what is no ASCII is written `\\377`.

/// The text of a byte.
pub fn of_byte(byte: u8) -> String {
    match byte {
        0 => String::new(),
        1..=0x7f => char::from(byte).to_string(),
        0x80.. => format!("\\{byte:03o}"),
    }
}

/// The byte of a text, the first one unless it is written in octal.
pub fn byte(text: &str) -> u8 {
    let octal = |digit: u8| digit - b'0';
    match *text.as_bytes() {
        [b'\\', a @ b'0'..=b'7', b @ b'0'..=b'7', c @ b'0'..=b'7'] => {
            octal(a).wrapping_shl(6) | octal(b) << 3 | octal(c)
        }
        [first, ..] => first,
        [] => 0,
    }
}

/// The value that a text means.
pub(crate) fn parse(text: &str) -> String {
    of_byte(byte(text))
}
