//! The extensions that come with the server, in pg_extension, pg_available_extensions and pg_type.

use tidelog_storage::{Catalog, ColumnType, Datum, ElementType, PrintedType};

use super::pg_catalog::{SUPERUSER, oid, with, yes};
use super::pg_type::function;
use super::{Named, named_oid, schema_oid, text, type_facts};

/// An extension.
pub(crate) struct Extension {
    /// Its name, which is its type's, too, if it has one.
    pub(crate) name: &'static str,
    version: &'static str,
    comment: &'static str,
    of: Option<PrintedType>,
    /// A number below those of objects that pg_dump dumps.
    oid: i64,
}

/// All of them. Their versions are those of PostgreSQL 15.
pub(crate) const EXTENSIONS: [Extension; 4] = [
    Extension {
        name: "citext",
        version: "1.6",
        comment: "data type for case-insensitive character strings",
        of: Some(PrintedType::Citext),
        oid: 9910,
    },
    Extension {
        name: "hstore",
        version: "1.8",
        comment: "data type for storing sets of (key, value) pairs",
        of: Some(PrintedType::Hstore),
        oid: 9911,
    },
    Extension {
        name: "pgcrypto",
        version: "1.3",
        comment: "cryptographic functions",
        of: None,
        oid: 9912,
    },
    Extension {
        name: "uuid-ossp",
        version: "1.1",
        comment: "generate universally unique identifiers (UUIDs)",
        of: None,
        oid: 9913,
    },
];

impl Extension {
    /// The oids of its type and of the arrays of it.
    pub(super) fn type_oids(&self) -> Option<(i64, i64)> {
        let of = self.of?;
        let (own, _, _) = type_facts(ColumnType::Printed(of));
        let (array, _, _) = type_facts(ColumnType::Array(ElementType::Printed(of)));
        Some((own, array))
    }

    /// pg_dump leaves out an extension of a low number: one has a high number once a column is of its type.
    pub(super) fn oid(&self, catalog: &Catalog) -> i64 {
        let own = |ty: ColumnType| match ty.elements().map_or(ty, ColumnType::from) {
            ColumnType::Printed(of) => Some(of) == self.of,
            _ => false,
        };
        let mut columns = (catalog.tables.values()).flat_map(|table| &table.columns);
        match columns.any(|column| own(column.ty)) {
            true => named_oid(&format!("extension {}", self.name)),
            false => self.oid,
        }
    }
}

pub(super) fn rows(catalog: &Catalog) -> Vec<Named> {
    let row = |extension: &Extension| {
        vec![
            ("oid", oid(extension.oid(catalog))),
            ("extname", text(extension.name)),
            ("extowner", oid(SUPERUSER)),
            ("extnamespace", oid(schema_oid("public"))),
            ("extrelocatable", yes(false)),
            ("extversion", text(extension.version)),
        ]
    };
    EXTENSIONS.iter().map(row).collect()
}

pub(super) fn versions() -> Vec<Named> {
    let row = |extension: &Extension| {
        vec![
            ("name", text(extension.name)),
            ("version", text(extension.version)),
            ("installed", yes(true)),
            ("superuser", yes(true)),
            ("trusted", yes(true)),
            ("relocatable", yes(true)),
            ("comment", text(extension.comment)),
        ]
    };
    EXTENSIONS.iter().map(row).collect()
}

pub(super) fn available() -> Vec<Named> {
    let row = |extension: &Extension| {
        vec![
            ("name", text(extension.name)),
            ("default_version", text(extension.version)),
            ("installed_version", text(extension.version)),
            ("comment", text(extension.comment)),
        ]
    };
    EXTENSIONS.iter().map(row).collect()
}

/// The rows in pg_type of their types and of the arrays of these.
pub(super) fn types() -> Vec<Named> {
    let types = EXTENSIONS.iter().filter_map(types_of);
    types.flatten().collect()
}

fn types_of(extension: &Extension) -> Option<[Named; 2]> {
    let (own, array) = extension.type_oids()?;
    let is_string = extension.of == Some(PrintedType::Citext);
    let common = |type_oid: i64, name: &str| {
        vec![
            ("oid", oid(type_oid)),
            ("typname", text(name)),
            ("typnamespace", oid(schema_oid("public"))),
            ("typowner", oid(SUPERUSER)),
            ("typlen", Datum::Int2(-1)),
            ("typbyval", yes(false)),
            ("typtype", text("b")),
            ("typispreferred", yes(false)),
            ("typisdefined", yes(true)),
            ("typdelim", text(",")),
            ("typrelid", oid(0)),
            ("typalign", text("i")),
            ("typstorage", text("x")),
            ("typmodin", function("-")),
            ("typmodout", function("-")),
            ("typnotnull", yes(false)),
            ("typbasetype", oid(0)),
            ("typtypmod", Datum::Int4(-1)),
            ("typndims", Datum::Int4(0)),
            ("typcollation", oid(if is_string { 100 } else { 0 })),
        ]
    };
    Some([
        with(
            common(own, extension.name),
            [
                ("typcategory", text(if is_string { "S" } else { "U" })),
                ("typelem", oid(0)),
                ("typarray", oid(array)),
                // PostgreSQL has functions of their own for it.
                ("typinput", function("textin")),
                ("typoutput", function("textout")),
                ("typreceive", function("textrecv")),
                ("typsend", function("textsend")),
                ("typsubscript", function("-")),
                ("typanalyze", function("-")),
            ],
        ),
        with(
            common(array, &format!("_{}", extension.name)),
            [
                ("typcategory", text("A")),
                ("typelem", oid(own)),
                ("typarray", oid(0)),
                ("typinput", function("array_in")),
                ("typoutput", function("array_out")),
                ("typreceive", function("array_recv")),
                ("typsend", function("array_send")),
                ("typsubscript", function("array_subscript_handler")),
                ("typanalyze", function("array_typanalyze")),
            ],
        ),
    ])
}
