//! The types that users make, in pg_type and pg_enum: enums, and the rows of tables and views.

use tidelog_storage::{Datum, EnumType};

use super::pg_catalog::{SUPERUSER, oid, with, yes};
use super::{Named, named_oid, pg_proc, schema_oid, text};

/// A function of pg_proc's file, by its name.
pub(super) fn function(name: &str) -> Datum {
    Datum::Int8(pg_proc::regproc(name).expect("the file has the function"))
}

/// The oid of the type that a relation's rows have.
pub(super) fn row_type_oid(class: i64) -> i64 {
    named_oid(&format!("row of {class}"))
}

/// The same, and the oid of the type of arrays of them.
pub(super) fn row_type_oids(class: i64) -> (i64, i64) {
    (row_type_oid(class), named_oid(&format!("rows of {class}")))
}

/// The rows in pg_type of a relation's row type and of its arrays.
pub(super) fn row_types((class, schema, name): (i64, &str, &str)) -> [Named; 2] {
    let (own, array) = row_type_oids(class);
    let common = |type_oid: i64, name: &str| {
        vec![
            ("oid", oid(type_oid)),
            ("typname", text(name)),
            ("typnamespace", oid(schema_oid(schema))),
            ("typowner", oid(SUPERUSER)),
            ("typlen", Datum::Int2(-1)),
            ("typbyval", yes(false)),
            ("typispreferred", yes(false)),
            ("typisdefined", yes(true)),
            ("typdelim", text(",")),
            ("typalign", text("d")),
            ("typstorage", text("x")),
            ("typmodin", function("-")),
            ("typmodout", function("-")),
            ("typnotnull", yes(false)),
            ("typbasetype", oid(0)),
            ("typtypmod", Datum::Int4(-1)),
            ("typndims", Datum::Int4(0)),
            ("typcollation", oid(0)),
        ]
    };
    let row = common(own, name);
    let row = with(
        row,
        [
            ("typtype", text("c")),
            ("typcategory", text("C")),
            ("typrelid", oid(class)),
            ("typelem", oid(0)),
            ("typarray", oid(array)),
            ("typinput", function("record_in")),
            ("typoutput", function("record_out")),
            ("typreceive", function("record_recv")),
            ("typsend", function("record_send")),
            ("typsubscript", function("-")),
            ("typanalyze", function("-")),
        ],
    );
    let rows = common(array, &format!("_{name}"));
    let rows = with(
        rows,
        [
            ("typtype", text("b")),
            ("typcategory", text("A")),
            ("typrelid", oid(0)),
            ("typelem", oid(own)),
            ("typarray", oid(0)),
            ("typinput", function("array_in")),
            ("typoutput", function("array_out")),
            ("typreceive", function("array_recv")),
            ("typsend", function("array_send")),
            ("typsubscript", function("array_subscript_handler")),
            ("typanalyze", function("array_typanalyze")),
        ],
    );
    [row, rows]
}

/// The rows in pg_type of an enum type and of its arrays.
pub(super) fn enum_types(of: EnumType) -> [Named; 2] {
    let definition = of.definition();
    let own = i64::from(definition.oid);
    let array = format!("_{}", definition.name);
    let row = |type_oid: i64, name: &str, category: &str, kind: &str, element: i64, of: i64| {
        vec![
            ("oid", oid(type_oid)),
            ("typname", text(name)),
            ("typnamespace", oid(schema_oid(&definition.schema))),
            ("typowner", oid(SUPERUSER)),
            ("typlen", Datum::Int2(if element == 0 { 4 } else { -1 })),
            ("typbyval", yes(element == 0)),
            ("typtype", text(kind)),
            ("typcategory", text(category)),
            ("typispreferred", yes(false)),
            ("typisdefined", yes(true)),
            ("typdelim", text(",")),
            ("typrelid", oid(0)),
            ("typelem", oid(element)),
            ("typarray", oid(of)),
            ("typalign", text("i")),
            ("typstorage", text(if element == 0 { "p" } else { "x" })),
            ("typmodin", function("-")),
            ("typmodout", function("-")),
            ("typnotnull", yes(false)),
            ("typbasetype", oid(0)),
            ("typtypmod", Datum::Int4(-1)),
            ("typndims", Datum::Int4(0)),
            ("typcollation", oid(0)),
        ]
    };
    [
        with(
            row(own, &definition.name, "E", "e", 0, own + 1),
            [
                ("typinput", function("enum_in")),
                ("typoutput", function("enum_out")),
                ("typreceive", function("enum_recv")),
                ("typsend", function("enum_send")),
                ("typsubscript", function("-")),
                ("typanalyze", function("-")),
            ],
        ),
        with(
            row(own + 1, &array, "A", "b", own, 0),
            [
                ("typinput", function("array_in")),
                ("typoutput", function("array_out")),
                ("typreceive", function("array_recv")),
                ("typsend", function("array_send")),
                ("typsubscript", function("array_subscript_handler")),
                ("typanalyze", function("array_typanalyze")),
            ],
        ),
    ]
}

pub(super) fn labels(of: EnumType) -> Vec<Named> {
    let definition = of.definition();
    let row = |label: &tidelog_storage::EnumLabel| {
        let name = format!("{}.{}", definition.oid, label.name);
        vec![
            ("oid", oid(named_oid(&name))),
            ("enumtypid", oid(definition.oid.into())),
            ("enumsortorder", Datum::Float4(label.order as f32)),
            ("enumlabel", text(&label.name)),
        ]
    };
    definition.labels.iter().map(row).collect()
}
