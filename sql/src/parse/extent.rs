//! What a statement may have much of, told from its tokens: behind the parser each of these costs more than its length.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{ErrorKind, SqlError};

/// As in PostgreSQL.
const TARGETS_MAX: usize = 1_664;
const DIMENSIONS_MAX: usize = 6;

/// What a bracket or parenthesis is around.
#[derive(Clone, Copy, Default)]
struct Around {
    /// How many arrays are written in each other here.
    dimensions: usize,
    /// How many items the select list has so far, while it is one.
    targets: Option<usize>,
}

/// 54000 for arrays written in each other too deep, 54011 for select lists that are too long.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut around = vec![Around::default()];
    let mut before = &Token::EOF;
    let tokens = tokens.iter().map(|token| &token.token);
    for token in tokens.filter(|token| !matches!(token, Token::Whitespace(_))) {
        let here = *around.last().expect("nothing closes the outermost");
        let dimensions = match before {
            Token::Word(word) if word.keyword == Keyword::ARRAY => here.dimensions + 1,
            Token::LBracket | Token::Comma if here.dimensions > 0 => here.dimensions + 1,
            _ => 0,
        };
        match token {
            Token::LBracket if dimensions > DIMENSIONS_MAX => {
                let message = format!(
                    "number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})"
                );
                return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
            }
            Token::LBracket => around.push(Around {
                dimensions,
                targets: None,
            }),
            // Parentheses around an array are nothing, those of a call are.
            Token::LParen => around.push(Around {
                dimensions: match before {
                    Token::Word(_) => 0,
                    _ => here.dimensions,
                },
                targets: None,
            }),
            Token::RBracket | Token::RParen if around.len() > 1 => {
                around.pop();
            }
            Token::Word(word) => {
                let last = around.len() - 1;
                match word.keyword {
                    Keyword::SELECT | Keyword::RETURNING => around[last].targets = Some(1),
                    Keyword::FROM | Keyword::WHERE | Keyword::INTO | Keyword::UNION => {
                        around[last].targets = None;
                    }
                    Keyword::ORDER | Keyword::GROUP | Keyword::WINDOW | Keyword::VALUES => {
                        around[last].targets = None;
                    }
                    _ => {}
                }
            }
            Token::Comma => {
                let last = around.len() - 1;
                if let Some(targets) = &mut around[last].targets {
                    *targets += 1;
                    if *targets > TARGETS_MAX {
                        let message =
                            format!("target lists can have at most {TARGETS_MAX} entries");
                        return Err(SqlError::new(ErrorKind::TooManyColumns, message));
                    }
                }
            }
            _ => {}
        }
        before = token;
    }
    Ok(())
}
