//! Types whose values are kept as the text that PostgreSQL prints for them.

use serde::{Deserialize, Serialize};

/// Such a type. Equal values have equal texts, but those of citext; their order is not that of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum PrintedType {
    Inet,
    Cidr,
    Macaddr,
    PgLsn,
    Point,
    Box,
    Path,
    Int4range,
    Int8range,
    /// Where a row is: two numbers.
    Tid,
    /// `oidvector`: numbers with spaces between.
    Oidvector,
    Int2vector,
    /// A path of SQL/JSON, which cannot be compared with another one.
    Jsonpath,
    /// Of the extension of this name: text that is compared without its case.
    Citext,
    /// Of the extension of this name: texts, or NULLs, by keys.
    Hstore,
}

impl PrintedType {
    /// All of them.
    pub const ALL: [PrintedType; 15] = [
        PrintedType::Inet,
        PrintedType::Cidr,
        PrintedType::Macaddr,
        PrintedType::PgLsn,
        PrintedType::Point,
        PrintedType::Box,
        PrintedType::Path,
        PrintedType::Int4range,
        PrintedType::Int8range,
        PrintedType::Tid,
        PrintedType::Oidvector,
        PrintedType::Int2vector,
        PrintedType::Jsonpath,
        PrintedType::Citext,
        PrintedType::Hstore,
    ];

    /// Its name in PostgreSQL.
    pub fn name(self) -> &'static str {
        match self {
            PrintedType::Inet => "inet",
            PrintedType::Cidr => "cidr",
            PrintedType::Macaddr => "macaddr",
            PrintedType::PgLsn => "pg_lsn",
            PrintedType::Point => "point",
            PrintedType::Box => "box",
            PrintedType::Path => "path",
            PrintedType::Int4range => "int4range",
            PrintedType::Int8range => "int8range",
            PrintedType::Tid => "tid",
            PrintedType::Oidvector => "oidvector",
            PrintedType::Int2vector => "int2vector",
            PrintedType::Jsonpath => "jsonpath",
            PrintedType::Citext => "citext",
            PrintedType::Hstore => "hstore",
        }
    }

    /// Whether PostgreSQL has it from an extension, in the schema `public`.
    pub fn is_of_extension(self) -> bool {
        matches!(self, PrintedType::Citext | PrintedType::Hstore)
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<PrintedType> {
        PrintedType::ALL.into_iter().find(|ty| ty.name() == name)
    }
}
