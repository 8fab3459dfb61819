//! Where in a statement an error is: what it complains about is looked for among the statement's tokens.
//!
//! Errors come from planning and running, which know no places. A place is told where only one can be meant.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Parsed, dialect, line_starts, parse_type, position};
use crate::error::{ErrorKind, SqlError};
use crate::system::pg_proc;
use crate::types;

/// The text of a statement, as errors are located in it.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    source: Arc<str>,
    extent: RangeInclusive<usize>,
}

impl Parsed {
    /// Adds where what the error complains about stands, if that is there and not known yet.
    pub(crate) fn locate(&self, error: SqlError) -> SqlError {
        self.text().locate(error)
    }

    /// The statement's text.
    pub(crate) fn text(&self) -> Located {
        Located {
            source: self.source.clone(),
            extent: self.extent.clone(),
        }
    }
}

impl Located {
    /// Adds where what the error complains about stands, if that is there and not known yet.
    pub(crate) fn locate(&self, error: SqlError) -> SqlError {
        if error.position.is_some() {
            return error;
        }
        let tokens = self.tokens();
        let position = tokens.named_place(error.place).or_else(|| {
            let at = tokens.find(&error)?;
            Some(tokens.0.get(at)?.position)
        });
        let mut error = SqlError { position, ..error };
        if let Some(of) = error.message.strip_prefix("argument of WHERE ")
            && tokens.words("where").next().is_none()
            && let Some(having) = only(tokens.words("having"))
        {
            error.message = format!("argument of HAVING {of}");
            error.position = tokens
                .0
                .get(tokens.inside(having + 1))
                .map(|of| of.position);
        }
        if let Some(table) = error
            .message
            .strip_prefix("missing FROM-clause entry for table ")
            && let Some(alias) = tokens.alias_of(table.trim_matches('"'))
        {
            let message = format!("invalid reference to FROM-clause entry for table {table}");
            let hint = format!("Perhaps you meant to reference the table alias \"{alias}\".");
            (error.message, error.hint) = (message, Some(hint));
        }
        error
    }

    /// Whether a string may stand in it.
    pub(crate) fn has_literals(&self) -> bool {
        self.source.contains('\'')
    }

    /// The same for an error of a value: literals are read while a statement runs, and so are values of rows, which stand nowhere.
    pub(crate) fn locate_literal(&self, error: SqlError) -> SqlError {
        if error.position.is_some() || !error.is_of_a_text() {
            return error;
        }
        let tokens = self.tokens();
        let at = tokens.literal(&error).filter(|at| tokens.is_cast(*at));
        let position = at.and_then(|at| Some(tokens.0.get(at)?.position));
        SqlError { position, ..error }
    }

    fn tokens(&self) -> Tokens {
        let starts = line_starts(&self.source);
        let tokens = dialect::tokens(&self.source).unwrap_or_default();
        let place = |token: &_| position(&starts, token);
        let own = tokens.into_iter().filter_map(|token| {
            let (line, column) = (token.span.start.line, token.span.start.column);
            let position = place(&token);
            let is_own = !matches!(token.token, Token::Whitespace(_) | Token::EOF)
                && self.extent.contains(&position);
            is_own.then_some(Placed {
                token: token.token,
                position,
                line,
                column,
            })
        });
        Tokens(own.collect())
    }
}

struct Placed {
    token: Token,
    position: usize,
    line: u64,
    column: u64,
}

/// The tokens of a statement.
struct Tokens(Vec<Placed>);

/// The only one of them.
fn only(mut places: impl Iterator<Item = usize>) -> Option<usize> {
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

impl Tokens {
    fn token(&self, at: usize) -> Option<&Token> {
        self.0.get(at).map(|placed| &placed.token)
    }

    /// An unquoted word in small letters, `.` for a point, nothing for other tokens.
    fn word(&self, at: usize) -> String {
        match self.token(at) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_lowercase(),
            Some(Token::Period) => ".".to_string(),
            _ => String::new(),
        }
    }

    /// A name as it is folded, `.` for a point.
    fn name(&self, at: usize) -> String {
        match self.token(at) {
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            _ => self.word(at),
        }
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.token(at) == Some(token)
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.0.len()
    }

    fn words<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.all().filter(move |at| self.word(*at) == wanted)
    }

    /// Behind two words.
    fn behind(&self, first: &str, second: &str) -> Option<usize> {
        let pairs = self.words(first);
        only(pairs.filter(|at| self.word(at + 1) == second)).map(|at| at + 2)
    }

    /// The place by line and column, if a name stands there: a part of a statement may be of another text.
    fn named_place(&self, place: Option<(NonZeroU32, u32)>) -> Option<usize> {
        let (line, column) = place?;
        let (line, column) = (u64::from(line.get()), u64::from(column));
        let is_there = |placed: &&Placed| {
            let is_name = matches!(placed.token, Token::Word(_) | Token::Period);
            (placed.line, placed.column) == (line, column) && is_name
        };
        self.0.iter().find(is_there).map(|placed| placed.position)
    }

    /// The parenthesis or bracket that closes the one at a place.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0;
        let closes = |at: &usize| {
            match self.0[*at].token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth -= 1,
                _ => {}
            }
            depth == 0
        };
        (open..self.0.len()).find(closes).unwrap_or(self.0.len())
    }

    /// Where the elements of a list begin.
    fn elements(&self, begin: usize, end: usize) -> Vec<usize> {
        let mut elements = Vec::new();
        let mut at = begin;
        while at < end {
            elements.push(at);
            while at < end && !self.is(at, &Token::Comma) {
                at = match self.token(at) {
                    Some(Token::LParen | Token::LBracket) => self.closing(at) + 1,
                    _ => at + 1,
                };
            }
            at += 1;
        }
        elements
    }

    /// Those of the list whose parenthesis opens here.
    fn list(&self, open: usize) -> Vec<usize> {
        self.elements(open + 1, self.closing(open))
    }

    /// Where the items of the select list behind SELECT begin.
    fn items(&self, select: usize) -> Vec<usize> {
        let ends = |at: &usize| {
            matches!(
                self.word(*at).as_str(),
                "from" | "union" | "where" | "group" | "order"
            ) || self.is(*at, &Token::RParen)
        };
        let mut end = select + 1;
        while end < self.0.len() && !ends(&end) {
            end = match self.token(end) {
                Some(Token::LParen | Token::LBracket) => self.closing(end) + 1,
                _ => end + 1,
            };
        }
        self.elements(select + 1, end)
    }

    /// Past the parentheses around an expression.
    fn inside(&self, mut at: usize) -> usize {
        while self.is(at, &Token::LParen) {
            at += 1;
        }
        at
    }

    /// The alias that a table has in FROM, if it has one.
    fn alias_of(&self, table: &str) -> Option<String> {
        let begins = |at: &usize| {
            let before = at.checked_sub(1).map_or(String::new(), |at| self.word(at));
            let is_relation = matches!(
                before.as_str(),
                "from" | "join" | "update" | "into" | "using"
            );
            self.name(*at) == table && (is_relation || self.is(at.wrapping_sub(1), &Token::Comma))
        };
        let named = self.all().filter(begins);
        let mut aliases = named.filter_map(|at| {
            let at = if self.word(at + 1) == "as" {
                at + 2
            } else {
                at + 1
            };
            let is_name = match self.token(at) {
                Some(Token::Word(word)) => {
                    word.quote_style.is_some() || word.keyword == Keyword::NoKeyword
                }
                _ => false,
            };
            is_name.then(|| self.name(at))
        });
        aliases.next()
    }

    fn find(&self, error: &SqlError) -> Option<usize> {
        let message = error.message.as_str();
        if error.is_of_a_text() {
            return self.literal(error);
        }
        match error.kind {
            ErrorKind::UndefinedFunction if message.starts_with("operator does not exist: ") => {
                self.operator(message)
            }
            ErrorKind::UndefinedTable
            | ErrorKind::UndefinedColumn
            | ErrorKind::AmbiguousColumn
            | ErrorKind::UndefinedFunction
            | ErrorKind::AmbiguousFunction => self.named(error),
            ErrorKind::GroupingError if message.contains('"') => self.named(error),
            ErrorKind::GroupingError | ErrorKind::WindowingError => self.aggregate(message),
            ErrorKind::WrongObjectType if message.ends_with("requires an OVER clause") => {
                let name = message.split(' ').nth(2)?;
                only(self.words(name))
            }
            ErrorKind::UndefinedObject => self.object(message),
            ErrorKind::UndefinedParameter => {
                let name = message.rsplit(' ').next()?;
                let is_it = |at: &usize| matches!(self.token(*at), Some(Token::Placeholder(given)) if given == name);
                self.all().find(is_it)
            }
            ErrorKind::CannotCoerce => self.cast(message),
            ErrorKind::DatatypeMismatch => self.mismatch(message),
            ErrorKind::DuplicateColumn if self.word(0) == "insert" => {
                let name = quoted(message)?;
                self.all().filter(|at| self.name(*at) == name).nth(1)
            }
            ErrorKind::InvalidColumnReference => self.reference(message),
            ErrorKind::InvalidTableDefinition if message.starts_with("multiple primary keys") => {
                self.words("primary").nth(1)
            }
            ErrorKind::SyntaxError => self.syntax(message),
            _ => None,
        }
    }

    /// The literal that an error quotes as unreadable, or that is no json.
    fn literal(&self, error: &SqlError) -> Option<usize> {
        let text = |at: usize| match self.token(at) {
            Some(Token::SingleQuotedString(text)) => Some(text.as_str()),
            Some(Token::DollarQuotedString(text)) => Some(text.value.as_str()),
            _ => None,
        };
        if error.message == "invalid input syntax for type json" {
            let is_wrong = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_err();
            return only(self.all().filter(|at| text(*at).is_some_and(is_wrong)));
        }
        let (_, quoted) = error.message.split_once('"')?;
        let quoted = match quoted.strip_suffix('"') {
            Some(quoted) => quoted,
            None => quoted.split_once("\" is out of range")?.0,
        };
        let mut whole = self.all().filter(|at| text(*at) == Some(quoted));
        // Or an element of an array.
        let is_around = |text: &str| {
            let elements = text.strip_prefix('{').and_then(|of| of.strip_suffix('}'));
            elements.is_some_and(|of| {
                of.split(',')
                    .any(|of| of.trim_matches(['"', ' ', '{', '}']) == quoted)
            })
        };
        let around = self.all().filter(|at| text(*at).is_some_and(is_around));
        whole.next().or_else(|| only(around))
    }

    /// Whether a literal is read as a type that is named beside it.
    fn is_cast(&self, at: usize) -> bool {
        let before = at.checked_sub(1);
        let is_before = |is: &dyn Fn(usize) -> bool| before.is_some_and(is);
        let is_cast = self.is(at + 1, &Token::DoubleColon);
        let is_typed = is_before(&|at| {
            parse_type(&self.word(at)).is_ok_and(|ty| types::column_type(&ty).is_ok())
        });
        match (is_cast, is_typed) {
            // Of `text '1.5x'::int` it is the text that is cast.
            (true, true) => false,
            (true, false) => !self.is(at + 3, &Token::DoubleColon),
            (false, true) => true,
            (false, false) => is_before(&|at| {
                self.is(at, &Token::LParen) && at > 0 && self.word(at - 1) == "cast"
            }),
        }
    }

    /// The operator of `operator does not exist: integer + text`.
    fn operator(&self, message: &str) -> Option<usize> {
        let (_, operands) = message.split_once(": ")?;
        let is_sign =
            |word: &&str| !word.contains(|c: char| c.is_alphanumeric() || "\"[]()_,".contains(c));
        let operator = operands.split(' ').find(is_sign)?;
        let is_unary = operands.starts_with(operator);
        let is_operand = |at: usize| match self.token(at) {
            Some(Token::Word(word)) => {
                word.quote_style.is_some()
                    || !matches!(
                        self.word(at).as_str(),
                        "select"
                            | "where"
                            | "and"
                            | "or"
                            | "on"
                            | "by"
                            | "then"
                            | "else"
                            | "when"
                            | "not"
                            | "returning"
                            | "having"
                            | "in"
                            | "values"
                            | "case"
                            | "like"
                    )
            }
            Some(
                Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::Placeholder(_)
                | Token::RParen
                | Token::RBracket,
            ) => true,
            _ => false,
        };
        let before = |at: usize| at.checked_sub(1).is_some_and(is_operand);
        let assigned = self.assignments();
        let is_it = |at: &usize| {
            let at = *at;
            if is_unary == before(at) {
                return false;
            }
            match self.token(at) {
                Some(Token::Word(_)) => {
                    let denied = self.word(at) == "not";
                    let word = self.word(if denied { at + 1 } else { at });
                    let is_denial = at
                        .checked_sub(1)
                        .is_some_and(|before| self.word(before) == "not");
                    !is_denial
                        && matches!(
                            (operator, denied, word.as_str()),
                            ("=" | "<>", _, "in")
                                | ("~~" | "!~~", _, "like")
                                | ("~~*" | "!~~*", _, "ilike")
                                | (">=" | "<=", false, "between")
                        )
                }
                Some(Token::Neq) => operator == "<>",
                Some(Token::Eq) => operator == "=" && !assigned.contains(&at),
                Some(token) => token.to_string() == operator,
                None => false,
            }
        };
        // A function that compares has the place of its name.
        let nullif = self.words("nullif").filter(|_| operator == "=");
        only(self.all().filter(is_it).chain(nullif))
    }

    /// The `=` of UPDATE … SET and DO UPDATE SET.
    fn assignments(&self) -> Vec<usize> {
        let of_set = |set: usize| {
            let mut end = set + 1;
            while end < self.0.len()
                && !matches!(self.word(end).as_str(), "where" | "from" | "returning")
            {
                end += 1;
            }
            let elements = self.elements(set + 1, end);
            elements
                .into_iter()
                .filter_map(|begin| (begin..self.0.len()).find(|at| self.is(*at, &Token::Eq)))
        };
        self.words("set").flat_map(of_set).collect()
    }

    /// What a message names. PostgreSQL does not say where in most definitions.
    fn named(&self, error: &SqlError) -> Option<usize> {
        let message = error.message.as_str();
        let first = self.word(0);
        let defines = match first.as_str() {
            "drop" | "truncate" | "comment" | "refresh" | "vacuum" | "analyze" | "reindex"
            | "lock" | "grant" | "revoke" | "alter" => true,
            "copy" => !self.is(1, &Token::LParen),
            _ => false,
        };
        if defines || message.contains("specified in USING clause") {
            return None;
        }
        let name = match quoted(message) {
            Some(quoted) => quoted,
            // `column t.x does not exist`, `function f(integer) does not exist`
            None => message.split([' ', '(']).nth(1)?,
        };
        let mut wanted: Vec<&str> = name.split('.').collect();
        for at in (1..wanted.len()).rev() {
            wanted.insert(at, ".");
        }
        let is_here = |at: &usize| {
            let mut words = wanted.iter().zip(*at..);
            words.all(|(wanted, at)| self.name(at) == *wanted)
        };
        let set = only(self.words("set")).filter(|_| message.contains("\" of relation \""));
        let found = match (message.starts_with("ORDER BY "), set) {
            (true, _) => self.all().rfind(is_here),
            (false, Some(set)) => (set..self.0.len()).find(is_here),
            (false, None) => self.all().find(is_here),
        };
        // A column may stand there without its relation.
        let last = || match error.kind {
            ErrorKind::GroupingError => {
                let column = *wanted.last()?;
                self.all().find(|at| self.name(*at) == column)
            }
            _ => None,
        };
        // Functions of sequences and casts to regclass have names in literals.
        let literal = || {
            let is_it = |at: &usize| matches!(self.token(*at), Some(Token::SingleQuotedString(text)) if text == name);
            match error.kind {
                ErrorKind::UndefinedTable => only(self.all().filter(is_it)),
                _ => None,
            }
        };
        let at = found.or_else(last).or_else(literal)?;
        let is_behind =
            |word: &str| at > 1 && self.is(at - 1, &Token::LParen) && self.word(at - 2) == word;
        if is_behind("conflict") {
            return Some(at - 1);
        }
        if first == "create" && message.contains("named in key") {
            return (0..at).rfind(|at| matches!(self.word(*at).as_str(), "primary" | "unique"));
        }
        let of_index = || self.word(1) == "index" || self.word(2) == "index";
        let is_listed = || {
            let begins = self.is(at - 1, &Token::LParen) || self.is(at - 1, &Token::Comma);
            let opens = (0..at).filter(|at| self.is(*at, &Token::LParen)).count();
            let closes = (0..at).filter(|at| self.is(*at, &Token::RParen)).count();
            begins && opens == closes + 1
        };
        match first.as_str() {
            "create" if at > 0 && self.word(at - 1) == "references" => None,
            "create" if message.contains("referenced in foreign key") => None,
            "create" if of_index() && (error.kind == ErrorKind::UndefinedTable || is_listed()) => {
                None
            }
            _ => Some(at),
        }
    }

    /// The aggregate or window function that may not be where it is.
    fn aggregate(&self, message: &str) -> Option<usize> {
        let is_aggregate = |at: &usize| {
            let is_call = self.is(at + 1, &Token::LParen);
            is_call && pg_proc::is_aggregate(&self.word(*at))
        };
        if message == "aggregate function calls cannot be nested" {
            let outer = self.all().find(is_aggregate)?;
            return (outer + 2..self.closing(outer + 1)).find(is_aggregate);
        }
        let (what, place) = message.split_once(" are not allowed in ")?;
        let is_window = |at: &usize| {
            let is_call = self.is(at + 1, &Token::LParen) && !self.word(*at).is_empty();
            is_call && self.word(self.closing(at + 1) + 1) == "over"
        };
        let begin = match place {
            "WHERE" => only(self.words("where"))?,
            "GROUP BY" => self.behind("group", "by")?,
            "RETURNING" => only(self.words("returning"))?,
            "JOIN conditions" => only(self.words("on"))?,
            "UPDATE" => only(self.words("set"))?,
            "VALUES" => only(self.words("values"))?,
            "HAVING" => only(self.words("having"))?,
            _ => return None,
        };
        match what {
            "aggregate functions" => (begin..self.0.len()).find(is_aggregate),
            "window functions" => (begin..self.0.len()).find(is_window),
            _ => None,
        }
    }

    /// A type, or a window, that is not there.
    fn object(&self, message: &str) -> Option<usize> {
        let name = quoted(message)?;
        let name = name.rsplit('.').next()?.trim_end_matches("[]");
        let mut named = self.all().filter(|at| self.name(*at) == name);
        if message.starts_with("window ") {
            return named.find(|at| *at > 0 && self.word(at - 1) == "over");
        }
        if !message.starts_with("type ") || matches!(self.word(0).as_str(), "drop" | "comment") {
            return None;
        }
        let places: Vec<usize> = named.collect();
        let is_cast = |at: &&usize| {
            **at > 0 && (self.is(*at - 1, &Token::DoubleColon) || self.word(*at - 1) == "as")
        };
        let at = *places.iter().find(is_cast).or(places.last())?;
        // With its schema before it.
        match at > 1 && self.is(at - 1, &Token::Period) {
            true => Some(at - 2),
            false => Some(at),
        }
    }

    /// The cast of `cannot cast type integer to date`.
    fn cast(&self, message: &str) -> Option<usize> {
        let (_, to) = message
            .strip_prefix("cannot cast type ")?
            .rsplit_once(" to ")?;
        let is_to = |begin: usize| {
            let mut written = String::new();
            (begin..self.0.len()).take(5).any(|at| {
                let token = self.token(at).map(ToString::to_string).unwrap_or_default();
                written.push_str(&token);
                let ty = parse_type(&written).and_then(|ty| types::column_type(&ty));
                written.push(' ');
                ty.is_ok_and(|ty| types::bare_name(ty) == to)
            })
        };
        let is_cast = |at: &usize| match self.token(*at) {
            Some(Token::DoubleColon) => is_to(at + 1),
            Some(Token::Word(_)) if self.word(*at) == "cast" => {
                let end = self.closing(at + 1);
                let named = (at + 2..end).rfind(|at| self.word(*at) == "as");
                named.is_some_and(|at| is_to(at + 1))
            }
            _ => false,
        };
        only(self.all().filter(is_cast))
    }

    /// What is of another type than its place wants.
    fn mismatch(&self, message: &str) -> Option<usize> {
        if let Some(of) = message.strip_prefix("argument of ") {
            let clause = of.split_once(" must ")?.0.to_lowercase();
            let clause = clause.rsplit('/').next()?;
            let is_clause = |at: &usize| clause != "not" || self.word(at + 1) != "null";
            return Some(self.inside(only(self.words(clause).filter(is_clause))? + 1));
        }
        if let Some(at) = message.find("\" is of type ") {
            let column = message.get(..at)?.strip_prefix("column \"")?;
            return self.assigned(column);
        }
        if message.starts_with("cannot subscript type ") {
            let is_name = |at: usize| matches!(self.token(at), Some(Token::Word(_)));
            let opens = |at: &usize| *at > 0 && self.is(*at, &Token::LBracket) && is_name(at - 1);
            let mut at = only(self.all().filter(opens))? - 1;
            while at > 1 && self.is(at - 1, &Token::Period) {
                at -= 2;
            }
            return Some(at);
        }
        let (what, _) = message.split_once(" types ")?;
        if matches!(what, "UNION" | "INTERSECT" | "EXCEPT") {
            let second = self.second(what)?;
            let items = self.items(second);
            return only(items.into_iter());
        }
        let at = only(self.words(&what.to_lowercase()))?;
        match self.list(at + 1).as_slice() {
            [_, second] => Some(self.inside(*second)),
            _ => None,
        }
    }

    /// The SELECT behind the only UNION.
    fn second(&self, what: &str) -> Option<usize> {
        let union = only(self.words(&what.to_lowercase()))?;
        (union + 1..union + 4).find(|at| self.word(*at) == "select")
    }

    /// The value that a column is given.
    fn assigned(&self, column: &str) -> Option<usize> {
        if self.word(0) == "update" {
            let assignments = self.assignments().into_iter();
            let of_column = |at: &usize| self.name(at - 1) == column;
            return only(assignments.filter(of_column)).map(|at| self.inside(at + 1));
        }
        let (columns, begin) = self.inserted()?;
        let at = columns.iter().position(|at| self.name(*at) == column)?;
        let value = match self.word(begin).as_str() {
            "values" if self.rows(begin).len() == 1 => *self.list(begin + 1).get(at)?,
            "select" => *self.items(begin).get(at)?,
            _ => return None,
        };
        Some(self.inside(value))
    }

    /// The columns that INSERT lists, and where VALUES or SELECT stands.
    fn inserted(&self) -> Option<(Vec<usize>, usize)> {
        if self.word(0) != "insert" {
            return None;
        }
        let begins = |at: &usize| matches!(self.word(*at).as_str(), "values" | "select");
        let begin = self.all().find(begins)?;
        let open = (0..begin).find(|at| self.is(*at, &Token::LParen));
        Some((open.map_or(Vec::new(), |open| self.list(open)), begin))
    }

    /// Where the rows behind VALUES open.
    fn rows(&self, values: usize) -> Vec<usize> {
        let mut rows = vec![values + 1];
        loop {
            let next = self.closing(rows[rows.len() - 1]) + 1;
            if !self.is(next, &Token::Comma) || !self.is(next + 1, &Token::LParen) {
                return rows;
            }
            rows.push(next + 1);
        }
    }

    /// What ORDER BY, GROUP BY or DISTINCT name and may not.
    fn reference(&self, message: &str) -> Option<usize> {
        if let Some((clause, of)) = message.split_once(" BY position ") {
            let number = of.split(' ').next()?;
            let begin = self.behind(&clause.to_lowercase(), "by")?;
            let is_it = |at: &usize| matches!(self.token(*at), Some(Token::Number(given, _)) if given == number);
            return (begin..self.0.len()).find(is_it);
        }
        let begin = match message {
            _ if message.starts_with("for SELECT DISTINCT") => self.behind("order", "by")?,
            _ if message.starts_with("SELECT DISTINCT ON") => self.behind("distinct", "on")? + 1,
            _ => return None,
        };
        let ends = |at: &usize| {
            self.is(*at, &Token::RParen)
                || matches!(self.word(*at).as_str(), "limit" | "offset" | "for")
        };
        let end = (begin..self.0.len()).find(ends).unwrap_or(self.0.len());
        only(self.elements(begin, end).into_iter())
    }

    /// Parts that are too many, too few, or not there.
    fn syntax(&self, message: &str) -> Option<usize> {
        match message {
            "INSERT has more expressions than target columns" => {
                let (columns, begin) = self.inserted()?;
                let given = match self.word(begin).as_str() {
                    "values" => self.list(begin + 1),
                    _ => self.items(begin),
                };
                // The table tells how many there may be where no columns are listed.
                given
                    .get(columns.len())
                    .copied()
                    .filter(|_| !columns.is_empty())
            }
            "INSERT has more target columns than expressions" => {
                let (columns, begin) = self.inserted()?;
                let given = match self.word(begin).as_str() {
                    "values" => self.list(begin + 1),
                    _ => self.items(begin),
                };
                columns.get(given.len()).copied()
            }
            "VALUES lists must all be the same length" => {
                let rows = self.rows(only(self.words("values"))?);
                let wide = self.list(*rows.first()?).len();
                let row = rows.into_iter().find(|row| self.list(*row).len() != wide)?;
                self.list(row).first().copied()
            }
            "number of columns does not match number of values" => {
                let rows = |at: &usize| *at > 0 && self.is(at - 1, &Token::RParen);
                only(self.assignments().into_iter().filter(rows)).map(|at| at + 1)
            }
            "unequal number of entries in row expressions" => {
                let rows = |at: &usize| {
                    self.is(*at, &Token::Eq)
                        && *at > 0
                        && self.is(at - 1, &Token::RParen)
                        && self.is(at + 1, &Token::LParen)
                };
                only(self.all().filter(rows))
            }
            "RETURNING must have at least one column" => {
                only(self.words("returning")).map(|at| at + 1)
            }
            "SELECT * with no tables specified is not valid" => {
                only(self.all().filter(|at| self.is(*at, &Token::Mul)))
            }
            "subquery must return only one column" => {
                let opens = |at: &usize| {
                    let before = at.checked_sub(1).map_or(String::new(), |at| self.word(at));
                    self.is(*at, &Token::LParen)
                        && self.word(at + 1) == "select"
                        && !matches!(before.as_str(), "from" | "join" | "as" | "lateral")
                };
                only(self.all().filter(opens))
            }
            "subquery has too many columns" => {
                let opens =
                    |at: &usize| self.is(at + 1, &Token::LParen) && self.word(at + 2) == "select";
                only(self.words("in").filter(opens))
            }
            "subquery in FROM must have an alias" => {
                let opens = |at: &usize| self.is(*at, &Token::LParen);
                only(self.words("from").map(|at| at + 1).filter(opens))
            }
            _ if message.starts_with("ON CONFLICT DO UPDATE requires") => {
                let is_on = |at: &usize| self.word(at + 1) == "conflict";
                only(self.words("on").filter(is_on))
            }
            _ if message.ends_with("query must have the same number of columns") => {
                let second = self.second(message.split(' ').nth(1)?)?;
                self.items(second).first().copied()
            }
            _ => None,
        }
    }
}

/// What a message quotes first.
fn quoted(message: &str) -> Option<&str> {
    message.split('"').nth(1)
}
