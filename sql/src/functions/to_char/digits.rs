//! Templates of numbers: `to_char(number, template)` and `to_number`, after the NUM_ functions of PostgreSQL's
//! formatting.c.

use crate::error::{ErrorKind, SqlError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Comma,
    Point,
    Zero,
    Nine,
    Blank,
    Currency,
    /// Taken, and nothing is made of it.
    Nothing,
    Local,
    Exponent,
    Fill,
    Group,
    Minus,
    Plus,
    Brackets,
    Roman {
        upper: bool,
    },
    Signed,
    Sign,
    Ordinal {
        upper: bool,
    },
    Shift,
}

/// Longer ones first where one begins another.
const KEYS: [(&str, Key); 21] = [
    (",", Key::Comma),
    (".", Key::Point),
    ("0", Key::Zero),
    ("9", Key::Nine),
    ("B", Key::Blank),
    ("C", Key::Nothing),
    ("D", Key::Local),
    ("EEEE", Key::Exponent),
    ("FM", Key::Fill),
    ("G", Key::Group),
    ("L", Key::Currency),
    ("MI", Key::Minus),
    ("PL", Key::Plus),
    ("PR", Key::Brackets),
    ("RN", Key::Roman { upper: true }),
    ("rn", Key::Roman { upper: false }),
    ("SG", Key::Signed),
    ("SP", Key::Blank),
    ("S", Key::Sign),
    ("TH", Key::Ordinal { upper: true }),
    ("V", Key::Shift),
];

enum Node {
    Key(Key),
    Text(char),
}

#[derive(Clone, Copy, PartialEq)]
enum SignPlace {
    None,
    Before,
    Behind,
}

/// A template and what it says as a whole.
pub(super) struct Template {
    nodes: Vec<Node>,
    /// Digits before and behind the point, and by how many places `V` shifts.
    pub(super) pre: usize,
    pub(super) post: usize,
    pub(super) shift: usize,
    zero_start: usize,
    zero_end: usize,
    sign: SignPlace,
    digits_before_sign: usize,
    zero: bool,
    blank: bool,
    decimal: bool,
    fill: bool,
    plus: bool,
    minus: bool,
    brackets: bool,
    pub(super) roman: bool,
    pub(super) exponent: bool,
    shifts: bool,
}

fn wrong(message: &str) -> SqlError {
    SqlError::new(ErrorKind::SyntaxError, message)
}

impl Template {
    pub(super) fn read(text: &str) -> Result<Template, SqlError> {
        let mut template = Template {
            nodes: Vec::new(),
            pre: 0,
            post: 0,
            shift: 0,
            zero_start: 0,
            zero_end: 0,
            sign: SignPlace::None,
            digits_before_sign: 0,
            zero: false,
            blank: false,
            decimal: false,
            fill: false,
            plus: false,
            minus: false,
            brackets: false,
            roman: false,
            exponent: false,
            shifts: false,
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(behind) = rest.strip_prefix('"') {
                rest = behind;
                while let Some(c) = rest.chars().next() {
                    rest = &rest[c.len_utf8()..];
                    match c {
                        '"' => break,
                        '\\' => {
                            let escaped = rest.chars().next();
                            rest = &rest[escaped.map_or(0, char::len_utf8)..];
                            template.nodes.push(Node::Text(escaped.unwrap_or('\\')));
                        }
                        c => template.nodes.push(Node::Text(c)),
                    }
                }
                continue;
            }
            // Those of letters are taken in lower case, too; RN means another thing then.
            let found = KEYS.iter().find(|(word, key)| {
                rest.starts_with(word)
                    || !matches!(key, Key::Roman { .. })
                        && rest.starts_with(&word.to_ascii_lowercase())
            });
            if let Some((word, key)) = found {
                let key = match key {
                    Key::Ordinal { .. } => Key::Ordinal {
                        upper: rest.starts_with("TH"),
                    },
                    key => *key,
                };
                rest = &rest[word.len()..];
                template.take(key)?;
                template.nodes.push(Node::Key(key));
                continue;
            }
            match rest.strip_prefix("\\\"") {
                Some(behind) => {
                    template.nodes.push(Node::Text('"'));
                    rest = behind;
                }
                None => {
                    template.nodes.push(Node::Text(c));
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        Ok(template)
    }

    /// NUMDesc_prepare
    fn take(&mut self, key: Key) -> Result<(), SqlError> {
        if self.exponent && key != Key::Exponent {
            return Err(wrong("\"EEEE\" must be the last pattern used"));
        }
        let signed = self.sign != SignPlace::None;
        match key {
            Key::Nine if self.brackets => return Err(wrong("\"9\" must be ahead of \"PR\"")),
            Key::Nine if self.shifts => self.shift += 1,
            Key::Nine if self.decimal => self.post += 1,
            Key::Nine => self.pre += 1,
            Key::Zero => {
                if self.brackets {
                    return Err(wrong("\"0\" must be ahead of \"PR\""));
                }
                if !self.zero && !self.decimal {
                    self.zero = true;
                    self.zero_start = self.pre;
                }
                match self.decimal {
                    true => self.post += 1,
                    false => self.pre += 1,
                }
                self.zero_end = self.pre + self.post;
            }
            Key::Blank => self.blank |= self.pre == 0 && self.post == 0 && !self.zero,
            Key::Local | Key::Point => {
                if self.decimal {
                    return Err(wrong("multiple decimal points"));
                }
                if self.shifts {
                    return Err(wrong("cannot use \"V\" and decimal point together"));
                }
                self.decimal = true;
            }
            Key::Fill => self.fill = true,
            Key::Sign => {
                if signed {
                    return Err(wrong("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(wrong(
                        "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together",
                    ));
                }
                match self.decimal {
                    false => {
                        self.sign = SignPlace::Before;
                        self.digits_before_sign = self.pre;
                    }
                    true => self.sign = SignPlace::Behind,
                }
            }
            Key::Minus if signed => return Err(wrong("cannot use \"S\" and \"MI\" together")),
            Key::Minus => self.minus = true,
            Key::Plus if signed => return Err(wrong("cannot use \"S\" and \"PL\" together")),
            Key::Plus => self.plus = true,
            Key::Signed if signed => return Err(wrong("cannot use \"S\" and \"SG\" together")),
            Key::Signed => (self.minus, self.plus) = (true, true),
            Key::Brackets => {
                if signed || self.plus || self.minus {
                    return Err(wrong(
                        "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together",
                    ));
                }
                self.brackets = true;
            }
            Key::Roman { .. } => self.roman = true,
            Key::Shift => {
                if self.decimal {
                    return Err(wrong("cannot use \"V\" and decimal point together"));
                }
                self.shifts = true;
            }
            Key::Exponent => {
                if self.exponent {
                    return Err(wrong("cannot use \"EEEE\" twice"));
                }
                let others = self.blank
                    || self.fill
                    || signed
                    || self.brackets
                    || self.minus
                    || self.plus
                    || self.roman
                    || self.shifts;
                if others {
                    return Err(wrong("\"EEEE\" is incompatible with other formats").detail(
                        "\"EEEE\" may only be used together with digit and decimal point patterns.",
                    ));
                }
                self.exponent = true;
            }
            Key::Comma | Key::Currency | Key::Nothing | Key::Group | Key::Ordinal { .. } => {}
        }
        Ok(())
    }

    /// With room for the places that `V` shifts by.
    pub(super) fn widened(mut self) -> Template {
        self.pre += self.shift;
        self
    }

    /// Writes digits, with a point perhaps, that have been rounded to `post` places.
    pub(super) fn write(&self, negative: bool, digits: &str) -> String {
        let whole = digits.split('.').next().unwrap_or(digits).len();
        // Digits that do not fit are shown as #.
        let (number, spaces) = match whole > self.pre {
            true => {
                let mut filled = "#".repeat(self.pre);
                if self.post > 0 || self.decimal {
                    filled.push('.');
                    filled.push_str(&"#".repeat(self.post));
                }
                (filled, 0)
            }
            false => (digits.to_string(), self.pre - whole),
        };
        Writer::new(self, number, spaces, if negative { '-' } else { '+' }).run()
    }

    /// Writes a Roman number.
    pub(super) fn write_roman(&self, value: Option<i64>) -> String {
        Writer::new(self, roman(value), 0, ' ').run()
    }
}

/// The number in Roman digits, or so many # as there is room for.
fn roman(value: Option<i64>) -> String {
    const DIGITS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let Some(mut left) = value.filter(|value| (1..=3999).contains(value)) else {
        return "#".repeat(15);
    };
    let mut out = String::new();
    for (value, digit) in DIGITS {
        while left >= value {
            out.push_str(digit);
            left -= value;
        }
    }
    out
}

/// NUMProc, for to_char.
struct Writer<'a> {
    template: &'a Template,
    number: Vec<u8>,
    /// How far the number is written.
    at: usize,
    spaces: usize,
    sign: char,
    sign_place: SignPlace,
    sign_written: bool,
    brackets: bool,
    last_relevant: Option<usize>,
    count: i64,
    current: usize,
    inside: bool,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(template: &'a Template, number: String, spaces: usize, sign: char) -> Writer<'a> {
        let number = number.into_bytes();
        let mut writer = Writer {
            template,
            at: 0,
            spaces,
            sign,
            sign_place: template.sign,
            sign_written: true,
            brackets: template.brackets,
            last_relevant: None,
            count: (template.post + template.pre) as i64 - 1,
            current: 0,
            inside: false,
            out: String::new(),
            number,
        };
        if template.plus || template.minus {
            writer.sign_written = !template.plus || template.minus;
        } else {
            if sign != '-' && template.brackets && template.fill {
                writer.brackets = false;
            }
            writer.sign_written = sign == '+' && template.fill && template.sign == SignPlace::None;
            if template.sign == SignPlace::Before && template.pre == template.digits_before_sign {
                writer.sign_place = SignPlace::Behind;
            }
        }
        if template.fill && template.decimal {
            let point = writer.number.iter().position(|byte| *byte == b'.');
            let last = |point: usize| {
                let behind = writer.number[point..].iter();
                let zeros = behind.rev().take_while(|byte| **byte == b'0').count();
                writer.number.len() - 1 - zeros
            };
            writer.last_relevant = point.map(|point| last(point).max(point));
            if let Some(last) = writer.last_relevant
                && template.zero_end > spaces
            {
                let last_zero = (writer.number.len() - 1).min(template.zero_end - spaces);
                writer.last_relevant = Some(last.max(last_zero));
            }
        }
        if !writer.sign_written && spaces == 0 {
            writer.count += 1;
        }
        writer
    }

    fn run(mut self) -> String {
        for node in &self.template.nodes {
            match node {
                Node::Text(c) => self.out.push(*c),
                Node::Key(key) => self.write(*key),
            }
        }
        self.out
    }

    fn write(&mut self, key: Key) {
        let fill = self.template.fill;
        match key {
            Key::Nine | Key::Zero | Key::Point | Key::Local => self.digit(key),
            Key::Comma | Key::Group if self.template.roman => {}
            Key::Comma | Key::Group => match (self.inside, fill) {
                (true, _) => self.out.push(','),
                (false, true) => {}
                (false, false) => self.out.push(' '),
            },
            Key::Currency => self.out.push(' '),
            Key::Roman { upper } => {
                let number = String::from_utf8_lossy(&self.number).into_owned();
                let number = if upper { number } else { number.to_lowercase() };
                match fill {
                    true => self.out.push_str(&number),
                    false => self.out.push_str(&format!("{number:>15}")),
                }
            }
            Key::Ordinal { upper } => {
                let hidden = self.template.roman
                    || self.number.first() == Some(&b'#')
                    || self.sign == '-'
                    || self.template.decimal;
                if !hidden {
                    let number = String::from_utf8_lossy(&self.number).into_owned();
                    self.out.push_str(ordinal(&number, upper));
                }
            }
            Key::Minus => match (self.sign, fill) {
                ('-', _) => self.out.push('-'),
                (_, true) => {}
                _ => self.out.push(' '),
            },
            Key::Plus => match (self.sign, fill) {
                ('+', _) => self.out.push('+'),
                (_, true) => {}
                _ => self.out.push(' '),
            },
            Key::Signed => self.out.push(self.sign),
            Key::Blank
            | Key::Nothing
            | Key::Exponent
            | Key::Fill
            | Key::Brackets
            | Key::Sign
            | Key::Shift => {}
        }
    }

    /// Whether this is the `0` of `0.1`, which is not written unless the template has a 0.
    fn is_zero_before_point(&self) -> bool {
        !self.template.zero
            && self.at == 0
            && self.number.first() == Some(&b'0')
            && self.template.post != 0
    }

    /// NUM_numpart_to_char
    fn digit(&mut self, key: Key) {
        if self.template.roman {
            return;
        }
        let template = self.template;
        self.inside = false;
        let ends_at_point = self
            .last_relevant
            .is_some_and(|last| self.number.get(last) == Some(&b'.'));
        let here =
            self.current >= self.spaces || template.zero && template.zero_start == self.current;
        if !self.sign_written && here && (!self.is_zero_before_point() || ends_at_point) {
            match (self.sign_place, self.brackets, self.sign) {
                (SignPlace::Before, ..) => {
                    self.out.push(self.sign);
                    self.sign_written = true;
                }
                (SignPlace::Behind, ..) => {}
                (SignPlace::None, true, sign) => {
                    self.out.push(if sign == '+' { ' ' } else { '<' });
                    self.sign_written = true;
                }
                (SignPlace::None, false, '+') => {
                    if !template.fill {
                        self.out.push(' ');
                    }
                    self.sign_written = true;
                }
                (SignPlace::None, false, _) => {
                    self.out.push('-');
                    self.sign_written = true;
                }
            }
        }
        if self.current < self.spaces && (template.zero_start > self.current || !template.zero) {
            if !template.fill {
                self.out.push(' ');
            }
        } else if template.zero && self.current < self.spaces {
            self.out.push('0');
            self.inside = true;
        } else {
            match self.number.get(self.at) {
                Some(b'.') => {
                    if !ends_at_point || template.fill {
                        self.out.push('.');
                    }
                }
                digit => {
                    let behind = self.last_relevant.is_some_and(|last| self.at > last);
                    if behind && key != Key::Zero {
                        // Zeros that FM leaves out.
                    } else if self.is_zero_before_point() {
                        if !template.fill {
                            self.out.push(' ');
                        } else if ends_at_point {
                            self.out.push('0');
                        }
                    } else if let Some(digit) = digit {
                        self.out.push(char::from(*digit));
                        self.inside = true;
                    }
                }
            }
            if self.at < self.number.len() {
                self.at += 1;
            }
        }
        let mut end = self.count + i64::from(self.spaces > 0) + i64::from(template.decimal);
        if self.last_relevant == Some(self.at) {
            end = self.current as i64;
        }
        if self.current as i64 + 1 == end {
            if self.sign_written && self.brackets {
                self.out.push(if self.sign == '+' { ' ' } else { '>' });
            } else if self.sign_place == SignPlace::Behind {
                self.out.push(self.sign);
            }
        }
        self.current += 1;
    }
}

/// `st`, `nd`, `rd` or `th`, by a number's last digits.
pub(super) fn ordinal(number: &str, upper: bool) -> &'static str {
    let bytes = number.as_bytes();
    let last = bytes.last().copied().unwrap_or(b'0');
    let teen = bytes.len() > 1 && bytes[bytes.len() - 2] == b'1';
    match (last, teen, upper) {
        (b'1', false, true) => "ST",
        (b'1', false, false) => "st",
        (b'2', false, true) => "ND",
        (b'2', false, false) => "nd",
        (b'3', false, true) => "RD",
        (b'3', false, false) => "rd",
        (_, _, true) => "TH",
        (_, _, false) => "th",
    }
}

/// NUMProc, for to_number.
struct Reader<'a> {
    template: &'a Template,
    input: Vec<char>,
    at: usize,
    sign: Option<char>,
    digits: String,
    has_point: bool,
    read_pre: usize,
    read_post: usize,
}

impl Template {
    /// The number that a text is by this template, as digits with a sign and a point.
    pub(super) fn parse(&self, text: &str) -> Result<String, SqlError> {
        if self.exponent {
            return Err(SqlError::new(
                ErrorKind::FeatureNotSupported,
                "\"EEEE\" not supported for input",
            ));
        }
        if self.roman {
            return Err(SqlError::unsupported("\"RN\" in to_number()"));
        }
        let mut reader = Reader {
            template: self,
            input: text.chars().collect(),
            at: 0,
            sign: None,
            digits: String::new(),
            has_point: false,
            read_pre: 0,
            read_post: 0,
        };
        reader.run();
        let digits = reader.digits.trim_end_matches('.');
        let sign = reader.sign.unwrap_or(' ');
        Ok(format!("{sign}{digits}"))
    }
}

impl Reader<'_> {
    fn here(&self) -> Option<char> {
        self.input.get(self.at).copied()
    }

    /// Skips characters that are no part of a number.
    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            match self.here() {
                Some(c) if !c.is_ascii_digit() && !".,+-".contains(c) => self.at += 1,
                _ => break,
            }
        }
    }

    fn run(&mut self) {
        let template = self.template;
        for node in &template.nodes {
            if self.here().is_none() {
                break;
            }
            match node {
                Node::Text(_) => {
                    self.at += 1;
                    continue;
                }
                Node::Key(Key::Nine | Key::Zero | Key::Point | Key::Local) => {
                    self.digit(matches!(node, Node::Key(Key::Nine | Key::Zero)));
                }
                Node::Key(Key::Comma | Key::Group) => {
                    if template.fill || self.here() != Some(',') {
                        continue;
                    }
                }
                Node::Key(Key::Currency | Key::Minus | Key::Plus | Key::Signed) => {
                    self.skip(1);
                    continue;
                }
                Node::Key(Key::Ordinal { .. }) => {
                    self.skip(2);
                    continue;
                }
                Node::Key(_) => continue,
            }
            self.at += 1;
        }
    }

    /// NUM_numpart_from_char
    fn digit(&mut self, is_digit: bool) {
        let template = self.template;
        if self.here() == Some(' ') {
            self.at += 1;
        }
        if self.sign.is_none() && is_digit && self.read_pre + self.read_post == 0 {
            let minus = self.here() == Some('-')
                || template.sign != SignPlace::Before
                    && template.brackets
                    && self.here() == Some('<');
            if minus {
                self.sign = Some('-');
                self.at += 1;
            } else if self.here() == Some('+') {
                self.sign = Some('+');
                self.at += 1;
            }
        }
        let Some(c) = self.here() else { return };
        let mut read = false;
        if c.is_ascii_digit() {
            if self.has_point && self.read_post == template.post {
                return;
            }
            self.digits.push(c);
            match self.has_point {
                true => self.read_post += 1,
                false => self.read_pre += 1,
            }
            read = true;
        } else if template.decimal && !self.has_point && c == '.' {
            self.digits.push('.');
            self.has_point = true;
            read = true;
        }
        if self.sign.is_some() || self.read_pre + self.read_post == 0 {
            return;
        }
        if template.sign != SignPlace::None {
            let next = self.input.get(self.at + 1).copied();
            if let (true, Some(sign @ ('-' | '+'))) = (read, next) {
                self.sign = Some(sign);
                self.at += 1;
            }
        } else if !read
            && (template.plus || template.minus)
            && let Some(sign @ ('-' | '+')) = self.here()
        {
            self.sign = Some(sign);
        }
    }
}
