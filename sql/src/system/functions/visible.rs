//! What names mean along the search path, and so what can be named without its schema.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use tidelog_storage::Catalog;

use super::{Call, Known, TYPES, oid, pg_catalog, pg_proc};
use crate::ddl;
use crate::parse::identifier;
use crate::system::{EXTENSIONS, pg_type, table_oid, views};

/// The object that a name means: temporary ones come first, then those of pg_catalog unless the path names it elsewhere.
fn first(
    objects: impl Fn(&str) -> Option<i64>,
    system: impl Fn() -> Option<i64>,
    search_path: &[String],
) -> Option<i64> {
    let is_temporary = |schema: &&String| ddl::temp::is_temporary(schema);
    let (temporary, others): (Vec<&String>, Vec<&String>) =
        search_path.iter().partition(is_temporary);
    let implied = (!search_path.iter().any(|schema| schema == CATALOG)).then_some(CATALOG);
    let temporary = temporary.into_iter().map(String::as_str);
    let others = others.into_iter().map(String::as_str);
    let mut path = temporary.chain(implied).chain(others);
    path.find_map(|schema| match schema {
        CATALOG => objects(schema).or_else(&system),
        schema => objects(schema),
    })
}

const CATALOG: &str = "pg_catalog";

impl Known {
    /// The relation that a name without a schema means.
    pub(super) fn first_named(&self, name: &str) -> Option<i64> {
        let of = |schema: &str| {
            self.oids()
                .get(&(schema.to_string(), name.to_string()))
                .copied()
        };
        first(of, || None, &self.search_path)
    }
}

/// The types that users made, by oid: enums, rows of relations, and arrays of these.
pub(super) fn types(catalog: &Catalog) -> BTreeMap<i64, (String, String)> {
    let of = |(own, _, schema, name): (i64, i64, &str, &str)| (own, (schema.into(), name.into()));
    let arrays = |(_, array, schema, name): (i64, i64, &str, &str)| {
        (array, (schema.into(), format!("_{name}")))
    };
    let types = all(catalog);
    let arrays = types.iter().copied().map(arrays);
    types.iter().copied().map(of).chain(arrays).collect()
}

/// Own oid, that of arrays, schema and name.
fn all(catalog: &Catalog) -> Vec<(i64, i64, &str, &str)> {
    let extensions = EXTENSIONS.iter().filter_map(|extension| {
        let (own, array) = extension.type_oids()?;
        Some((own, array, "public", extension.name))
    });
    let enums = catalog.types.values().map(|of| {
        let of = of.definition();
        let own = i64::from(of.oid);
        (own, own + 1, of.schema.as_str(), of.name.as_str())
    });
    let tables = catalog.tables.values();
    let tables = tables.map(|t| (table_oid(t), t.schema.as_str(), t.name.as_str()));
    let views = catalog.views.values();
    let views = views.map(|v| (views::view_oid(v), v.schema.as_str(), v.name.as_str()));
    let rows = tables.chain(views).map(|(class, schema, name)| {
        let (own, array) = pg_type::row_type_oids(class);
        (own, array, schema, name)
    });
    extensions.chain(enums).chain(rows).collect()
}

/// The names of these types as SQL writes them.
pub(super) fn type_names(catalog: &Catalog, search_path: &[String]) -> BTreeMap<i64, String> {
    let types = all(catalog);
    let by_name: BTreeMap<(&str, &str), i64> = types
        .iter()
        .map(|(own, _, schema, name)| ((*schema, *name), *own))
        .collect();
    let mut names = BTreeMap::new();
    for (own, array, schema, name) in types {
        let of = |schema: &str| by_name.get(&(schema, name)).copied();
        let shown = match first(of, || built_in(name), search_path) == Some(own) {
            true => identifier(name),
            false => format!("{}.{}", identifier(schema), identifier(name)),
        };
        names.insert(array, format!("{shown}[]"));
        names.insert(own, shown);
    }
    names
}

/// The type of pg_catalog with a name.
fn built_in(name: &str) -> Option<i64> {
    let mut types = TYPES.iter();
    types.find(|(_, (own, _))| own == name).map(|(oid, _)| *oid)
}

/// The functions that say whether an object can be named without its schema; NULL where there is no such object.
pub(super) fn function(name: &str) -> Option<(DataType, Call)> {
    let call: Call = match name {
        "pg_table_is_visible" => |known, args| {
            said(args, |class| {
                let (_, name) = known.classes().get(&class)?;
                Some(known.first_named(name) == Some(class))
            })
        },
        "pg_type_is_visible" => |known, args| {
            said(args, |ty| {
                let name = match known.type_names().get(&ty) {
                    Some((_, name)) => name,
                    None => &TYPES.get(&ty)?.0,
                };
                let named = |schema: &str| {
                    let key = (schema.to_string(), name.clone());
                    known.type_oids().get(&key).copied()
                };
                Some(first(named, || built_in(name), &known.search_path) == Some(ty))
            })
        },
        // There are those of pg_catalog only.
        "pg_function_is_visible" => |_, args| said(args, |of| pg_proc::function(of).map(|_| true)),
        "pg_operator_is_visible" => |_, args| said(args, |of| embedded("pg_operator", of)),
        "pg_opclass_is_visible" => |_, args| said(args, |of| embedded("pg_opclass", of)),
        "pg_opfamily_is_visible" => |_, args| said(args, |of| embedded("pg_opfamily", of)),
        "pg_collation_is_visible" => |_, args| said(args, |of| embedded("pg_collation", of)),
        // There are none.
        "pg_conversion_is_visible"
        | "pg_statistics_obj_is_visible"
        | "pg_ts_config_is_visible"
        | "pg_ts_dict_is_visible"
        | "pg_ts_parser_is_visible"
        | "pg_ts_template_is_visible" => |_, args| said(args, |_| None),
        _ => return None,
    };
    Some((DataType::Boolean, call))
}

fn said(args: &[ScalarValue], visible: impl FnOnce(i64) -> Option<bool>) -> Result<ScalarValue> {
    Ok(ScalarValue::Boolean(oid(args, 0).and_then(visible)))
}

/// Oids of the rows that every database has.
static EMBEDDED: LazyLock<HashMap<&str, BTreeSet<i64>>> = LazyLock::new(|| {
    let relations = ["pg_operator", "pg_opclass", "pg_opfamily", "pg_collation"];
    let oids = |relation| {
        let rows = pg_catalog::embedded(relation);
        rows.iter().filter_map(pg_catalog::oid_of).collect()
    };
    relations.map(|relation| (relation, oids(relation))).into()
});

fn embedded(relation: &str, object: i64) -> Option<bool> {
    EMBEDDED.get(relation)?.contains(&object).then_some(true)
}
