//! Definitions whose grammar sqlparser does not know: ALTER SEQUENCE, ALTER … OWNER TO, identity of a column that is
//! there, COMMENT ON.

use datafusion::sql::sqlparser::ast::{self, DataType, Ident, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tidelog_storage::TableKind;
use tidelog_storage::catalog::Identity;

use super::create::{Like, TableAs};
use super::dialect;
use super::{expect_end, syntax_error};
use crate::error::SqlError;

type Result<T, E = ParserError> = std::result::Result<T, E>;

/// A definition.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    AlterSequence {
        if_exists: bool,
        name: ObjectName,
        change: SequenceChange,
    },
    /// ALTER … OWNER TO.
    Owner {
        /// `TABLE`, `SCHEMA`, …
        of: &'static str,
        if_exists: bool,
        name: ObjectName,
        owner: Ident,
    },
    /// ALTER TABLE … ALTER COLUMN … ADD GENERATED, SET GENERATED or DROP IDENTITY.
    Identity {
        if_exists: bool,
        table: ObjectName,
        column: Ident,
        change: IdentityChange,
    },
    /// ALTER TABLE … ALTER COLUMN … SET STATISTICS, STORAGE or COMPRESSION, which change nothing here.
    ColumnSetting {
        if_exists: bool,
        table: ObjectName,
        column: Ident,
    },
    /// A form of ALTER TABLE that is not there, which no statement comes to.
    Refused(&'static str),
    /// CREATE TABLE with LIKE among its columns.
    TableLike {
        create: Box<ast::CreateTable>,
        kind: Option<TableKind>,
        likes: Vec<Like>,
    },
    /// CREATE TABLE AS, SELECT INTO.
    TableAs(TableAs),
    /// REFRESH MATERIALIZED VIEW.
    Refresh {
        concurrently: bool,
        name: ObjectName,
        with_data: bool,
    },
    /// COMMENT ON; no text takes the comment off.
    Comment {
        /// `TABLE`, `COLUMN`, …
        of: &'static str,
        name: ObjectName,
        /// The table of a constraint.
        table: Option<ObjectName>,
        text: Option<String>,
    },
}

/// What ALTER SEQUENCE does.
#[derive(Clone, Debug)]
pub(crate) enum SequenceChange {
    Options(Box<SequenceOptions>),
    Rename(Ident),
    SetSchema(Ident),
}

/// What is to be of a column's identity.
#[derive(Clone, Debug)]
pub(crate) enum IdentityChange {
    Add(Identity, Box<SequenceOptions>),
    Set(Option<Identity>, Box<SequenceOptions>),
    Drop { if_exists: bool },
}

/// The options of a sequence that a statement gives; `Some(None)` is NO.
#[derive(Clone, Debug, Default)]
pub(crate) struct SequenceOptions {
    pub(crate) ty: Option<DataType>,
    pub(crate) increment: Option<i64>,
    pub(crate) min: Option<Option<i64>>,
    pub(crate) max: Option<Option<i64>>,
    pub(crate) start: Option<i64>,
    pub(crate) cache: Option<i64>,
    pub(crate) cycle: Option<bool>,
    /// RESTART, at a number or where it started.
    pub(crate) restart: Option<Option<i64>>,
    /// OWNED BY a column, or NONE.
    pub(crate) owner: Option<Option<ObjectName>>,
    /// SEQUENCE NAME, of an identity column.
    pub(crate) name: Option<ObjectName>,
}

/// Parses a statement that begins with ALTER if it is a definition of ours; `None` leaves it to sqlparser.
pub(super) fn parse_alter(
    sql: &str,
    tokens: &[TokenWithSpan],
) -> Result<Option<Definition>, SqlError> {
    let mut parser = dialect::parser(tokens.to_vec());
    let parsed = alter(&mut parser).and_then(|definition| {
        if definition.is_some() && !matches!(definition, Some(Definition::Refused(_))) {
            expect_end(&parser)?;
        }
        Ok(definition)
    });
    match parsed.map_err(|error| syntax_error(sql, error))? {
        Some(Definition::Refused(what)) => {
            Err(SqlError::unsupported(format!("ALTER TABLE … {what}")))
        }
        parsed => Ok(parsed),
    }
}

/// REFRESH MATERIALIZED VIEW.
pub(super) fn parse_refresh(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Definition, SqlError> {
    let mut parser = dialect::parser(tokens);
    let parsed = (|| {
        if !takes(&mut parser, &["REFRESH", "MATERIALIZED", "VIEW"]) {
            parser.next_token();
            return parser.expected("MATERIALIZED VIEW", parser.peek_token());
        }
        let concurrently = takes(&mut parser, &["CONCURRENTLY"]);
        let name = parser.parse_object_name(false)?;
        let with_data = !takes(&mut parser, &["WITH", "NO", "DATA"]);
        takes(&mut parser, &["WITH", "DATA"]);
        expect_end(&parser)?;
        Ok(Definition::Refresh {
            concurrently,
            name,
            with_data,
        })
    })();
    parsed.map_err(|error| syntax_error(sql, error))
}

/// The kinds of things that can have a comment, the longer names before those that they begin with.
const COMMENTED: [(&[&str], &str); 30] = [
    (&["ACCESS", "METHOD"], "ACCESS METHOD"),
    (&["AGGREGATE"], "AGGREGATE"),
    (&["CAST"], "CAST"),
    (&["COLLATION"], "COLLATION"),
    (&["COLUMN"], "COLUMN"),
    (&["CONSTRAINT"], "CONSTRAINT"),
    (&["CONVERSION"], "CONVERSION"),
    (&["DATABASE"], "DATABASE"),
    (&["DOMAIN"], "DOMAIN"),
    (&["EVENT", "TRIGGER"], "EVENT TRIGGER"),
    (&["EXTENSION"], "EXTENSION"),
    (&["FOREIGN"], "FOREIGN"),
    (&["FUNCTION"], "FUNCTION"),
    (&["INDEX"], "INDEX"),
    (&["LANGUAGE"], "LANGUAGE"),
    (&["MATERIALIZED", "VIEW"], "MATERIALIZED VIEW"),
    (&["OPERATOR"], "OPERATOR"),
    (&["POLICY"], "POLICY"),
    (&["PROCEDURE"], "PROCEDURE"),
    (&["PUBLICATION"], "PUBLICATION"),
    (&["ROLE"], "ROLE"),
    (&["RULE"], "RULE"),
    (&["SCHEMA"], "SCHEMA"),
    (&["SEQUENCE"], "SEQUENCE"),
    (&["SERVER"], "SERVER"),
    (&["TABLE"], "TABLE"),
    (&["TABLESPACE"], "TABLESPACE"),
    (&["TRIGGER"], "TRIGGER"),
    (&["TYPE"], "TYPE"),
    (&["VIEW"], "VIEW"),
];

/// Those that Tidelog keeps comments of.
const KEPT: [&str; 10] = [
    "COLUMN",
    "CONSTRAINT",
    "DATABASE",
    "INDEX",
    "ROLE",
    "SCHEMA",
    "SEQUENCE",
    "TABLE",
    "TYPE",
    "VIEW",
];

/// COMMENT ON.
pub(super) fn parse_comment(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Definition, SqlError> {
    let mut parser = dialect::parser(tokens);
    parser.next_token();
    let of = takes(&mut parser, &["ON"])
        .then(|| {
            let mut kinds = COMMENTED.iter();
            kinds.find(|(words, _)| takes(&mut parser, words))
        })
        .flatten();
    if let Some((_, of)) = of
        && !KEPT.contains(of)
    {
        return Err(SqlError::unsupported(format!("COMMENT ON {of}")));
    }
    let parsed = match of {
        Some((_, of)) => comment(&mut parser, of),
        None => parser.expected("what the comment is on", parser.peek_token()),
    };
    parsed.map_err(|error| syntax_error(sql, error))
}

fn comment(parser: &mut Parser<'_>, of: &'static str) -> Result<Definition> {
    let name = parser.parse_object_name(false)?;
    let mut table = None;
    if of == "CONSTRAINT" {
        parser.expect_keyword(Keyword::ON)?;
        table = Some(parser.parse_object_name(false)?);
    }
    parser.expect_keyword(Keyword::IS)?;
    let token = parser.next_token();
    let text = match token.token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text),
        Token::DollarQuotedString(text) => Some(text.value),
        Token::Word(ref word) if word.keyword == Keyword::NULL => None,
        _ => return parser.expected("a string or NULL", token),
    };
    expect_end(parser)?;
    Ok(Definition::Comment {
        of,
        name,
        table,
        text: text.filter(|text| !text.is_empty()),
    })
}

/// The kinds of things that have owners, but for tables and sequences.
const OWNED: [(&[&str], &str); 6] = [
    (&["SCHEMA"], "SCHEMA"),
    (&["TYPE"], "TYPE"),
    (&["VIEW"], "VIEW"),
    (&["INDEX"], "INDEX"),
    (&["DATABASE"], "DATABASE"),
    (&["MATERIALIZED", "VIEW"], "MATERIALIZED VIEW"),
];

fn alter(parser: &mut Parser<'_>) -> Result<Option<Definition>> {
    parser.next_token();
    if takes(parser, &["SEQUENCE"]) {
        return alter_sequence(parser).map(Some);
    }
    if takes(parser, &["TABLE"]) {
        return alter_table(parser);
    }
    for (words, of) in OWNED {
        if takes(parser, words) {
            let if_exists = takes(parser, &["IF", "EXISTS"]);
            let Ok(name) = parser.parse_object_name(false) else {
                return Ok(None);
            };
            return owner(parser, of, if_exists, name);
        }
    }
    Ok(None)
}

/// Takes these words if they come next.
pub(super) fn takes(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let comes = |at: usize| match parser.peek_nth_token_ref(at).token {
        Token::Word(ref word) => {
            word.quote_style.is_none() && word.value.eq_ignore_ascii_case(words[at])
        }
        _ => false,
    };
    let all = (0..words.len()).all(comes);
    if all {
        words.iter().for_each(|_| parser.advance_token());
    }
    all
}

fn owner(
    parser: &mut Parser<'_>,
    of: &'static str,
    if_exists: bool,
    name: ObjectName,
) -> Result<Option<Definition>> {
    if !takes(parser, &["OWNER", "TO"]) {
        return Ok(None);
    }
    let owner = parser.parse_identifier()?;
    Ok(Some(Definition::Owner {
        of,
        if_exists,
        name,
        owner,
    }))
}

fn alter_sequence(parser: &mut Parser<'_>) -> Result<Definition> {
    let if_exists = takes(parser, &["IF", "EXISTS"]);
    let name = parser.parse_object_name(false)?;
    if let Some(owner) = owner(parser, "SEQUENCE", if_exists, name.clone())? {
        return Ok(owner);
    }
    let change = if takes(parser, &["RENAME", "TO"]) {
        SequenceChange::Rename(parser.parse_identifier()?)
    } else if takes(parser, &["SET", "SCHEMA"]) {
        SequenceChange::SetSchema(parser.parse_identifier()?)
    } else {
        let options = sequence_options(parser)?;
        if options.name.is_some() || parser.peek_token().token != Token::EOF {
            return parser.expected("an option of a sequence", parser.peek_token());
        }
        SequenceChange::Options(Box::new(options))
    };
    Ok(Definition::AlterSequence {
        if_exists,
        name,
        change,
    })
}

fn alter_table(parser: &mut Parser<'_>) -> Result<Option<Definition>> {
    let if_exists = takes(parser, &["IF", "EXISTS"]);
    takes(parser, &["ONLY"]);
    let Ok(name) = parser.parse_object_name(false) else {
        return Ok(None);
    };
    if let Some(owner) = owner(parser, "TABLE", if_exists, name.clone())? {
        return Ok(Some(owner));
    }
    for (words, what) in [
        (["SET", "LOGGED"], "SET LOGGED"),
        (["SET", "UNLOGGED"], "SET UNLOGGED"),
        (["CLUSTER", "ON"], "CLUSTER ON"),
        (["SET", "TABLESPACE"], "SET TABLESPACE"),
    ] {
        if takes(parser, &words) {
            return Ok(Some(Definition::Refused(what)));
        }
    }
    if !takes(parser, &["ALTER"]) {
        return Ok(None);
    }
    takes(parser, &["COLUMN"]);
    let Ok(column) = parser.parse_identifier() else {
        return Ok(None);
    };
    if takes(parser, &["SET", "STATISTICS"]) {
        number(parser)?;
        return Ok(Some(Definition::ColumnSetting {
            if_exists,
            table: name,
            column,
        }));
    }
    if takes(parser, &["SET", "STORAGE"]) || takes(parser, &["SET", "COMPRESSION"]) {
        parser.parse_identifier()?;
        return Ok(Some(Definition::ColumnSetting {
            if_exists,
            table: name,
            column,
        }));
    }
    let change = if takes(parser, &["ADD", "GENERATED"]) {
        let identity = identity(parser)?;
        parser.expect_keywords(&[Keyword::AS, Keyword::IDENTITY])?;
        let mut options = SequenceOptions::default();
        if parser.consume_token(&Token::LParen) {
            options = sequence_options(parser)?;
            parser.expect_token(&Token::RParen)?;
        }
        IdentityChange::Add(identity, Box::new(options))
    } else if takes(parser, &["DROP", "IDENTITY"]) {
        let if_exists = takes(parser, &["IF", "EXISTS"]);
        IdentityChange::Drop { if_exists }
    } else {
        match identity_settings(parser)? {
            Some(change) => change,
            None => return Ok(None),
        }
    };
    Ok(Some(Definition::Identity {
        if_exists,
        table: name,
        column,
        change,
    }))
}

fn identity(parser: &mut Parser<'_>) -> Result<Identity> {
    if takes(parser, &["ALWAYS"]) {
        Ok(Identity::Always)
    } else if takes(parser, &["BY", "DEFAULT"]) {
        Ok(Identity::ByDefault)
    } else {
        parser.expected("ALWAYS or BY DEFAULT", parser.peek_token())
    }
}

/// `SET GENERATED …`, `SET option`, `RESTART`, one after the other; `None` when this is something else.
fn identity_settings(parser: &mut Parser<'_>) -> Result<Option<IdentityChange>> {
    let mut kind = None;
    let mut options = SequenceOptions::default();
    let mut any = false;
    loop {
        if takes(parser, &["SET", "GENERATED"]) {
            kind = Some(identity(parser)?);
        } else if takes(parser, &["RESTART"]) {
            takes(parser, &["WITH"]);
            options.restart = Some(number_if_any(parser)?);
        } else {
            let next = parser.peek_nth_token(1).token;
            let sets = [
                "INCREMENT",
                "START",
                "MINVALUE",
                "MAXVALUE",
                "NO",
                "CACHE",
                "CYCLE",
            ];
            let is_option = matches!(&next, Token::Word(word)
                if word.quote_style.is_none() && sets.contains(&word.value.to_ascii_uppercase().as_str()));
            if !is_option || !takes(parser, &["SET"]) {
                break;
            }
            if !sequence_option(parser, &mut options)? {
                return parser.expected("an option of a sequence", parser.peek_token());
            }
        }
        any = true;
    }
    Ok(any.then(|| IdentityChange::Set(kind, Box::new(options))))
}

fn sequence_options(parser: &mut Parser<'_>) -> Result<SequenceOptions> {
    let mut options = SequenceOptions::default();
    while sequence_option(parser, &mut options)? {}
    Ok(options)
}

/// Takes one option; `false` when none comes next.
fn sequence_option(parser: &mut Parser<'_>, options: &mut SequenceOptions) -> Result<bool> {
    if takes(parser, &["AS"]) {
        options.ty = Some(parser.parse_data_type()?);
    } else if takes(parser, &["INCREMENT"]) {
        takes(parser, &["BY"]);
        options.increment = Some(number(parser)?);
    } else if takes(parser, &["NO", "MINVALUE"]) {
        options.min = Some(None);
    } else if takes(parser, &["NO", "MAXVALUE"]) {
        options.max = Some(None);
    } else if takes(parser, &["NO", "CYCLE"]) {
        options.cycle = Some(false);
    } else if takes(parser, &["MINVALUE"]) {
        options.min = Some(Some(number(parser)?));
    } else if takes(parser, &["MAXVALUE"]) {
        options.max = Some(Some(number(parser)?));
    } else if takes(parser, &["START"]) {
        takes(parser, &["WITH"]);
        options.start = Some(number(parser)?);
    } else if takes(parser, &["CACHE"]) {
        options.cache = Some(number(parser)?);
    } else if takes(parser, &["CYCLE"]) {
        options.cycle = Some(true);
    } else if takes(parser, &["RESTART"]) {
        takes(parser, &["WITH"]);
        options.restart = Some(number_if_any(parser)?);
    } else if takes(parser, &["OWNED", "BY"]) {
        let owner = parser.parse_object_name(false)?;
        let none = owner.to_string().eq_ignore_ascii_case("none");
        options.owner = Some((!none).then_some(owner));
    } else if takes(parser, &["SEQUENCE", "NAME"]) {
        options.name = Some(parser.parse_object_name(false)?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn number_if_any(parser: &mut Parser<'_>) -> Result<Option<i64>> {
    match parser.peek_token().token {
        Token::Number(..) | Token::Minus | Token::Plus => number(parser).map(Some),
        _ => Ok(None),
    }
}

fn number(parser: &mut Parser<'_>) -> Result<i64> {
    let negative = parser.consume_token(&Token::Minus);
    if !negative {
        let _ = parser.consume_token(&Token::Plus);
    }
    let token = parser.next_token();
    let sign = if negative { "-" } else { "" };
    match &token.token {
        Token::Number(digits, _) => match format!("{sign}{digits}").parse() {
            Ok(number) => Ok(number),
            Err(_) => parser.expected("an integer", token),
        },
        _ => parser.expected("an integer", token),
    }
}
