//! Statements, and clauses at the end of statements, that PostgreSQL has and Tidelog has not, refused by their names.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// What such a statement begins with; `*` is any one word.
const REFUSED: [&[&str]; 74] = [
    &["DO"],
    &["PREPARE", "TRANSACTION"],
    &["COMMIT", "PREPARED"],
    &["ROLLBACK", "PREPARED"],
    &["MERGE"],
    &["CLUSTER"],
    &["SECURITY", "LABEL"],
    &["IMPORT", "FOREIGN", "SCHEMA"],
    &["REASSIGN", "OWNED"],
    &["DROP", "OWNED"],
    &["CREATE", "RULE"],
    &["CREATE", "OR", "REPLACE", "RULE"],
    &["CREATE", "FUNCTION"],
    &["CREATE", "OR", "REPLACE", "FUNCTION"],
    &["CREATE", "PROCEDURE"],
    &["CREATE", "OR", "REPLACE", "PROCEDURE"],
    &["CREATE", "TRIGGER"],
    &["CREATE", "OR", "REPLACE", "TRIGGER"],
    &["CREATE", "CONSTRAINT", "TRIGGER"],
    &["CREATE", "OPERATOR"],
    &["CREATE", "DOMAIN"],
    &["CREATE", "PUBLICATION"],
    &["CREATE", "SUBSCRIPTION"],
    &["CREATE", "STATISTICS"],
    &["CREATE", "AGGREGATE"],
    &["CREATE", "OR", "REPLACE", "AGGREGATE"],
    &["CREATE", "TABLESPACE"],
    &["CREATE", "COLLATION"],
    &["CREATE", "CONVERSION"],
    &["CREATE", "CAST"],
    &["CREATE", "LANGUAGE"],
    &["CREATE", "TRANSFORM"],
    &["CREATE", "ACCESS", "METHOD"],
    &["CREATE", "EVENT", "TRIGGER"],
    &["CREATE", "FOREIGN", "TABLE"],
    &["CREATE", "FOREIGN", "DATA", "WRAPPER"],
    &["CREATE", "SERVER"],
    &["CREATE", "USER", "MAPPING", "FOR"],
    &["CREATE", "TEXT", "SEARCH"],
    &["ALTER", "SYSTEM"],
    &["ALTER", "DATABASE", "*", "SET"],
    &["ALTER", "DATABASE", "*", "RESET"],
    &["ALTER", "DATABASE", "*", "WITH"],
    &["ALTER", "DATABASE", "*", "CONNECTION"],
    &["ALTER", "DEFAULT", "PRIVILEGES"],
    &["ALTER", "RULE"],
    &["ALTER", "DOMAIN"],
    &["ALTER", "PROCEDURE"],
    &["ALTER", "ROUTINE"],
    &["ALTER", "TRIGGER"],
    &["ALTER", "LARGE", "OBJECT"],
    &["ALTER", "TABLE", "*", "ATTACH", "PARTITION"],
    &["ALTER", "TABLE", "*", "DETACH", "PARTITION"],
    &["ALTER", "INDEX", "*", "ATTACH", "PARTITION"],
    &["ALTER", "TABLE", "*", "INHERIT"],
    &["ALTER", "TABLE", "*", "NO", "INHERIT"],
    &["ALTER", "PUBLICATION"],
    &["ALTER", "SUBSCRIPTION"],
    &["ALTER", "STATISTICS"],
    &["ALTER", "AGGREGATE"],
    &["ALTER", "TABLESPACE"],
    &["ALTER", "COLLATION"],
    &["ALTER", "LANGUAGE"],
    &["ALTER", "EVENT", "TRIGGER"],
    &["ALTER", "FOREIGN"],
    &["ALTER", "SERVER"],
    &["ALTER", "TEXT", "SEARCH"],
    &["DROP", "CAST"],
    &["DROP", "TABLESPACE"],
    &["DROP", "COLLATION"],
    &["DROP", "LANGUAGE"],
    &["DROP", "FOREIGN"],
    &["DROP", "TEXT", "SEARCH"],
    &["DROP", "ACCESS", "METHOD"],
];

/// The name of the statement that these tokens are, or of its clause, if it is one of these.
pub(super) fn name(tokens: &[TokenWithSpan]) -> Option<String> {
    let matches = |at: usize, wanted: &str| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(_)) if wanted == "*" => true,
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted)
        }
        _ => false,
    };
    let begins = |words: &&&[&str]| {
        let mut words = words.iter().enumerate();
        words.all(|(at, wanted)| matches(at, wanted))
    };
    if matches(0, "CREATE") && (1..5).any(|at| matches(at, "VIEW")) {
        let mut at = 0..tokens.len();
        let checks = |at| matches(at, "CHECK") && matches(at + 1, "OPTION");
        return at.any(checks).then(|| "WITH CHECK OPTION".to_string());
    }
    let words = REFUSED.iter().find(begins)?;
    let shown = words
        .iter()
        .filter(|word| !matches!(**word, "*" | "OR" | "REPLACE"));
    Some(shown.copied().collect::<Vec<_>>().join(" "))
}
