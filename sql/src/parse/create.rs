//! What CREATE TABLE takes that sqlparser does not know: LIKE among the columns, names of columns before AS, WITH NO
//! DATA, UNLOGGED; SELECT INTO, which is CREATE TABLE AS; and CREATE MATERIALIZED VIEW, which is like it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Ident, ObjectName, Query, SetExpr, Statement, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tidelog_storage::TableKind;

use super::define::Definition;
use super::dialect;
use super::walk::Walk;
use super::{Body, syntax_error};
use crate::error::SqlError;

/// A LIKE among the columns of a CREATE TABLE.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    /// How many columns stand before it.
    pub(crate) at: usize,
    pub(crate) source: ObjectName,
    pub(crate) including: Including,
}

/// What LIKE takes over beside columns and NOT NULL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Including {
    pub(crate) comments: bool,
    pub(crate) constraints: bool,
    pub(crate) defaults: bool,
    pub(crate) generated: bool,
    pub(crate) identity: bool,
    pub(crate) indexes: bool,
}

/// The rows that a table is made of.
#[derive(Clone, Debug)]
pub(crate) struct TableAs {
    /// The table, without columns.
    pub(crate) create: Box<ast::CreateTable>,
    pub(crate) kind: Option<TableKind>,
    /// The names of its columns, as far as they are given.
    pub(crate) columns: Vec<Ident>,
    pub(crate) query: Box<Query>,
    /// Whether the query is run.
    pub(crate) with_data: bool,
    /// Whether it is a materialized view, which keeps the query.
    pub(crate) materialized: bool,
}

/// What was taken out of a statement's tokens.
#[derive(Debug, Default)]
pub(super) struct Taken {
    likes: Vec<Like>,
    columns: Vec<Ident>,
    without_data: bool,
}

fn word(token: Option<&TokenWithSpan>) -> String {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// Takes out of a CREATE TABLE what sqlparser does not know.
pub(super) fn take(sql: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<Taken, SqlError> {
    let mut taken = Taken::default();
    if word(tokens.first()) != "CREATE" {
        return Ok(taken);
    }
    if word(tokens.get(1)) == "UNLOGGED" {
        tokens.remove(1);
    }
    if word(tokens.get(1)) == "MATERIALIZED" {
        take_data(tokens, &mut taken);
        return Ok(taken);
    }
    let Some(table) = (1..tokens.len().min(5)).find(|&at| word(tokens.get(at)) == "TABLE") else {
        return Ok(taken);
    };
    let mut at = table + 1;
    if word(tokens.get(at)) == "IF" {
        at += 3;
    }
    // The name.
    while matches!(
        tokens.get(at).map(|token| &token.token),
        Some(Token::Word(_))
    ) {
        at += 1;
        match tokens.get(at).map(|token| &token.token) {
            Some(Token::Period) => at += 1,
            _ => break,
        }
    }
    if tokens.get(at).map(|token| &token.token) == Some(&Token::LParen) {
        let end = closing(tokens, at);
        match names(&tokens[at + 1..end]) {
            Some(columns) => {
                taken.columns = columns;
                tokens.drain(at..=end);
            }
            None => take_likes(sql, tokens, at, &mut taken)?,
        }
    }
    take_data(tokens, &mut taken);
    Ok(taken)
}

/// Takes away WITH [NO] DATA, which ends a statement.
fn take_data(tokens: &mut Vec<TokenWithSpan>, taken: &mut Taken) {
    let len = tokens.len() - usize::from(tokens.last().map(|t| &t.token) == Some(&Token::EOF));
    if len > 3 && word(tokens.get(len - 1)) == "DATA" {
        let no = word(tokens.get(len - 2)) == "NO";
        let with = len - 2 - usize::from(no);
        if word(tokens.get(with)) == "WITH" {
            taken.without_data = no;
            tokens.drain(with..len);
        }
    }
}

/// Where the parenthesis closes that opens at `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1).max(open + 1)
}

/// The names, where there are only names; `None` for definitions of columns.
fn names(tokens: &[TokenWithSpan]) -> Option<Vec<Ident>> {
    let parts: Vec<_> = tokens.split(|token| token.token == Token::Comma).collect();
    let name = |part: &&[TokenWithSpan]| match part {
        [only] => match &only.token {
            Token::Word(word) => Some(Ident {
                value: word.value.clone(),
                quote_style: word.quote_style,
                span: only.span,
            }),
            _ => None,
        },
        _ => None,
    };
    parts.iter().map(name).collect()
}

fn take_likes(
    sql: &str,
    tokens: &mut Vec<TokenWithSpan>,
    open: usize,
    taken: &mut Taken,
) -> Result<(), SqlError> {
    let end = closing(tokens, open);
    let mut kept: Vec<Vec<TokenWithSpan>> = Vec::new();
    let mut depth = 0;
    let mut elements = vec![Vec::new()];
    for token in &tokens[open + 1..end] {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => {
                elements.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(element) = elements.last_mut() {
            element.push(token.clone());
        }
    }
    let mut columns = 0;
    for element in elements {
        let first = word(element.first());
        if first == "LIKE" {
            taken.likes.push(like(sql, columns, element)?);
            continue;
        }
        let constraint = [
            "CONSTRAINT",
            "PRIMARY",
            "UNIQUE",
            "CHECK",
            "FOREIGN",
            "EXCLUDE",
        ];
        if !constraint.contains(&first.as_str()) {
            columns += 1;
        }
        kept.push(element);
    }
    if !taken.likes.is_empty() {
        let comma = TokenWithSpan {
            token: Token::Comma,
            span: tokens[open].span,
        };
        tokens.splice(open + 1..end, kept.join(&comma));
    }
    Ok(())
}

fn like(sql: &str, at: usize, element: Vec<TokenWithSpan>) -> Result<Like, SqlError> {
    let mut parser = dialect::parser(element);
    parser.next_token();
    let parsed = (|| {
        let source = parser.parse_object_name(false)?;
        let mut including = Including::default();
        while parser.peek_token().token != Token::EOF {
            let token = parser.next_token();
            let include = match word(Some(&token)).as_str() {
                "INCLUDING" => true,
                "EXCLUDING" => false,
                _ => return parser.expected("INCLUDING or EXCLUDING", token),
            };
            let what = parser.next_token();
            match word(Some(&what)).as_str() {
                "COMMENTS" => including.comments = include,
                "CONSTRAINTS" => including.constraints = include,
                "DEFAULTS" => including.defaults = include,
                "GENERATED" => including.generated = include,
                "IDENTITY" => including.identity = include,
                "INDEXES" => including.indexes = include,
                // There is nothing of these to be taken over.
                "COMPRESSION" | "STATISTICS" | "STORAGE" => {}
                "ALL" => {
                    including = Including {
                        comments: include,
                        constraints: include,
                        defaults: include,
                        generated: include,
                        identity: include,
                        indexes: include,
                    }
                }
                _ => return parser.expected("what is included", what),
            }
        }
        Ok(Like {
            at,
            source,
            including,
        })
    })();
    parsed.map_err(|error| syntax_error(sql, error))
}

/// The statement, with what was taken out of it.
pub(super) fn finish(body: Body, taken: Taken) -> Result<Body, SqlError> {
    let Body::Sql(mut statement, kind) = body else {
        return Ok(body);
    };
    if let Statement::CreateView(view) = &mut *statement
        && select_into(&mut view.query.body).is_some()
    {
        let kind = crate::error::ErrorKind::FeatureNotSupported;
        let message = match view.materialized {
            true => "materialized views must not use SELECT INTO",
            false => "views must not contain SELECT INTO",
        };
        return Err(SqlError::new(kind, message));
    }
    Ok(match *statement {
        Statement::CreateTable(mut create) => {
            if let Some(query) = create.query.take() {
                return Ok(define(Definition::TableAs(TableAs {
                    create: Box::new(create),
                    kind,
                    columns: taken.columns,
                    query,
                    with_data: !taken.without_data,
                    materialized: false,
                })));
            }
            if !taken.columns.is_empty() || taken.without_data {
                let message = "syntax error at end of input";
                return Err(SqlError::new(crate::error::ErrorKind::SyntaxError, message));
            }
            match taken.likes.is_empty() {
                true => Body::Sql(Box::new(Statement::CreateTable(create)), kind),
                false => define(Definition::TableLike {
                    create: Box::new(create),
                    kind,
                    likes: taken.likes,
                }),
            }
        }
        Statement::CreateView(view) if view.materialized => {
            if view.or_replace || view.temporary {
                let message = "syntax error at or near \"MATERIALIZED\"";
                return Err(SqlError::new(crate::error::ErrorKind::SyntaxError, message));
            }
            if view.options != ast::CreateTableOptions::None {
                return Err(SqlError::unsupported("WITH options of a materialized view"));
            }
            let create = ast::helpers::stmt_create_table::CreateTableBuilder::new(view.name);
            define(Definition::TableAs(TableAs {
                create: Box::new(create.if_not_exists(view.if_not_exists).build()),
                kind: None,
                columns: view.columns.into_iter().map(|column| column.name).collect(),
                query: view.query,
                with_data: !taken.without_data,
                materialized: true,
            }))
        }
        Statement::Query(mut query) => match select_into(&mut query.body) {
            None => {
                check_no_into(&query)?;
                Body::Sql(Box::new(Statement::Query(query)), kind)
            }
            Some(into) => {
                let mut create =
                    ast::helpers::stmt_create_table::CreateTableBuilder::new(into.name);
                create = create.temporary(into.temporary);
                define(Definition::TableAs(TableAs {
                    create: Box::new(create.build()),
                    kind: None,
                    columns: Vec::new(),
                    query,
                    with_data: true,
                    materialized: false,
                }))
            }
        },
        other => {
            if matches!(
                other,
                Statement::CreateView(_)
                    | Statement::Insert(_)
                    | Statement::Update(_)
                    | Statement::Delete(_)
            ) {
                check_no_into(&other)?;
            }
            Body::Sql(Box::new(other), kind)
        }
    })
}

/// 42601 for INTO where it makes no table.
fn check_no_into(parsed: &impl Walk) -> Result<(), SqlError> {
    struct Into;
    impl Visitor for Into {
        type Break = ();

        fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
            match select.into {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        }
    }
    match parsed.walk(&mut Into) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            let message = "SELECT ... INTO is not allowed here";
            let kind = crate::error::ErrorKind::SyntaxError;
            Err(SqlError::new(kind, message))
        }
    }
}

fn define(definition: Definition) -> Body {
    Body::Define(Box::new(definition))
}

/// Takes INTO out of the first select of a query.
fn select_into(body: &mut SetExpr) -> Option<ast::SelectInto> {
    match body {
        SetExpr::Select(select) => select.into.take(),
        SetExpr::SetOperation { left, .. } => select_into(left),
        _ => None,
    }
}
