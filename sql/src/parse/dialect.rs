//! PostgreSQL's syntax, as sqlparser is to read it.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{self, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError,
};

use super::{keywords, unicode};

/// How deep a statement may be nested. Stack grows as it is needed; this bounds the time.
const DEPTH_MAX: usize = 128;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// How close a sign binds: closer than `^` and COLLATE (120 in sqlparser), less close than `[` (130) and `::`.
const SIGN: u8 = 125;

/// sqlparser's PostgreSQL, but that a named argument (`name => value`) has a name. Where sqlparser reads any expression
/// for a name it reads each argument twice, so a call nested n deep 2^n times.
#[derive(Debug)]
struct Dialect {
    /// Whether `a JOIN b JOIN c ON … ON …` has the conditions of the inner join first. sqlparser would take a NATURAL JOIN
    /// with another one behind it for one of these.
    nests_joins: bool,
}

/// A parser of the tokens of one statement or a part of one.
pub(crate) fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    let is_natural = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::NATURAL);
    let dialect: &Dialect = match tokens.iter().any(is_natural) {
        true => &Dialect { nests_joins: false },
        false => &Dialect { nests_joins: true },
    };
    Parser::new(dialect)
        .with_recursion_limit(DEPTH_MAX)
        .with_tokens_with_locations(tokens)
}

/// A parser of SQL text.
pub(crate) fn parser_of(sql: &str) -> Result<Parser<'static>, ParserError> {
    Ok(parser(tokens(sql)?))
}

/// The tokens of SQL text, with where they stand.
pub(crate) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    let plain = unicode::plain(sql).map_err(|wrong| TokenizerError {
        message: wrong.to_string(),
        location: Location::empty(),
    })?;
    let tokens = tokenizer(&plain).tokenize_with_location()?;
    let is_split = |token: &TokenWithSpan| signs_behind(&token.token) > 0;
    if !tokens.iter().any(is_split) {
        return Ok(tokens);
    }
    let mut split = Vec::with_capacity(tokens.len() + 1);
    for token in tokens {
        split_signs(token, &mut split)?;
    }
    Ok(split)
}

fn tokenizer(sql: &str) -> Tokenizer<'_> {
    Tokenizer::new(&Dialect { nests_joins: true }, sql)
}

/// How many signs at the end of an operator are none of it, as in `5>-3`: an operator of several characters ends in `+` or
/// `-` only if it has one of these (PostgreSQL's manual, 4.1.3).
fn signs_behind(token: &Token) -> usize {
    match token {
        Token::CustomBinaryOperator(text)
            if !text.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) =>
        {
            text.len() - text.trim_end_matches(['+', '-']).len()
        }
        _ => 0,
    }
}

/// Adds a token, with the signs behind it as tokens of their own.
fn split_signs(token: TokenWithSpan, out: &mut Vec<TokenWithSpan>) -> Result<(), TokenizerError> {
    let signs = signs_behind(&token.token);
    let Token::CustomBinaryOperator(text) = &token.token else {
        out.push(token);
        return Ok(());
    };
    let (operator, signs) = text.split_at(text.len() - signs);
    let mut at = token.span.start;
    let mut push = |token: Token, length: usize| {
        let start = at;
        at.column += length as u64;
        out.push(TokenWithSpan::new(token, Span::new(start, at)));
    };
    let operators = match operator {
        "" => Vec::new(),
        operator => tokenizer(operator).tokenize()?,
    };
    for token in operators {
        let length = token.to_string().len();
        push(token, length);
    }
    for sign in signs.chars() {
        push(
            if sign == '-' {
                Token::Minus
            } else {
                Token::Plus
            },
            1,
        );
    }
    Ok(())
}

macro_rules! as_sqlparser_has_it {
    ($($feature:ident)*) => {
        $(fn $feature(&self) -> bool {
            POSTGRES.$feature()
        })*
    };
}

impl dialect::Dialect for Dialect {
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        let word = format!("{keyword:?}").to_lowercase();
        !keywords::wants_as(&word) && POSTGRES.is_column_alias(keyword, parser)
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        !self.nests_joins
    }

    /// A sign binds closer than sqlparser has it: `-2 ^ 2` is 4.
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let is_values = |next: &Token| matches!(next, Token::Word(word) if word.keyword == Keyword::VALUES && word.quote_style.is_none());
        let op = match parser.peek_token_ref().token {
            // `(VALUES (1))` as a value.
            Token::LParen if is_values(&parser.peek_nth_token_ref(1).token) => {
                parser.advance_token();
                let query = parser.parse_query();
                let end = |query| {
                    parser
                        .expect_token(&Token::RParen)
                        .map(|_| Expr::Subquery(query))
                };
                return Some(query.and_then(end));
            }
            Token::Minus => UnaryOperator::Minus,
            Token::Plus => UnaryOperator::Plus,
            _ => return None,
        };
        parser.advance_token();
        let operand = parser.parse_subexpr(SIGN);
        Some(operand.map(|expr| Expr::UnaryOp {
            op,
            expr: Box::new(expr),
        }))
    }

    /// COLLATE behind anything, not only a name: `'a'::text COLLATE "C"`.
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if !parser.parse_keyword(Keyword::COLLATE) {
            return POSTGRES.parse_infix(parser, left, precedence);
        }
        let collation = parser.parse_object_name(false);
        Some(collation.map(|collation| Expr::Collate {
            expr: Box::new(left.clone()),
            collation,
        }))
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRES.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    as_sqlparser_has_it! {
        allow_extract_custom
        allow_extract_single_quotes
        supports_alter_column_type_using
        supports_array_typedef_with_brackets
        supports_bitwise_shift_operators
        supports_comma_separated_trim
        supports_comment_on
        supports_comment_optimizer_hint
        supports_create_index_with_clause
        supports_create_table_like_parenthesized
        supports_empty_projections
        supports_explain_with_utility_options
        supports_factorial_operator
        supports_filter_during_aggregation
        supports_geometric_types
        supports_group_by_expr
        supports_insert_table_alias
        supports_interval_options
        supports_listen_notify
        supports_load_extension
        supports_named_fn_args_with_colon_operator
        supports_nested_comments
        supports_notnull_operator
        supports_select_wildcard_with_alias
        supports_set_names
        supports_string_escape_constant
        supports_unicode_string_literal
        supports_xml_expressions
    }
}
