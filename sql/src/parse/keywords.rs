//! Words that PostgreSQL 15 keeps to itself in some place: as names they are quoted.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Whether a name has to be quoted for what it is.
pub(super) fn is_taken(name: &str) -> bool {
    TAKEN.binary_search(&name).is_ok()
}

/// Whether an unquoted word, in small letters, is no name of a column or the like (ColId).
pub(super) fn is_reserved(word: &str) -> bool {
    let lines = include_str!("../plan/pg_get_keywords.csv").lines();
    lines.map(|line| line.split(',')).any(|mut of| {
        of.next() == Some(word) && of.next().is_some_and(|code| matches!(code, "R" | "T"))
    })
}

/// Whether a word, in small letters, is the name of a column of a result only behind AS.
pub(super) fn wants_as(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let lines = include_str!("../plan/pg_get_keywords.csv").lines();
        let words = lines.map(|line| line.split(','));
        words
            .filter_map(|mut of| of.next().filter(|_| of.nth(1) == Some("f")))
            .collect()
    });
    WORDS.contains(word)
}

/// Whether a word in capitals may be the whole name of a type that every database has.
pub(super) fn begins_type(word: &str) -> bool {
    matches!(
        word,
        "BIGINT"
            | "BOOL"
            | "BOOLEAN"
            | "BYTEA"
            | "CHAR"
            | "CHARACTER"
            | "DATE"
            | "DECIMAL"
            | "FLOAT"
            | "FLOAT4"
            | "FLOAT8"
            | "INT"
            | "INT2"
            | "INT4"
            | "INT8"
            | "INTEGER"
            | "INTERVAL"
            | "JSON"
            | "JSONB"
            | "NUMERIC"
            | "PRECISION"
            | "REAL"
            | "SMALLINT"
            | "TEXT"
            | "TIME"
            | "TIMESTAMP"
            | "TIMESTAMPTZ"
            | "UUID"
            | "VARCHAR"
            | "VARYING"
            | "ZONE"
    )
}

/// All but the unreserved ones of pg_get_keywords().
const TAKEN: [&str; 151] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        assert!(TAKEN.is_sorted());
        assert!(is_taken("select") && is_taken("all") && is_taken("xmltable"));
        assert!(!is_taken("name") && !is_taken("id"));
    }
}
