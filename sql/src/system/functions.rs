//! Functions that ask the catalog: visibility, names of oids, definitions, privileges.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use tidelog_storage::{Catalog, PartitionSet, Store};

use super::{is_system_schema, keys, pg_catalog, role_oid, schema_oid, views};
use crate::error::{ErrorKind, SqlError};
use crate::parse::identifier;

/// What the functions of one statement know.
struct Known {
    /// (schema, name) of every relation and index.
    classes: BTreeMap<i64, (String, String)>,
    /// Definitions of indexes and constraints.
    definitions: BTreeMap<i64, String>,
    /// The sequences that columns own, by table and column.
    owned_sequences: BTreeMap<(i64, String), String>,
    /// Names of types that users made, as SQL writes them.
    types: BTreeMap<i64, String>,
    roles: BTreeMap<i64, String>,
    schemas: BTreeMap<i64, String>,
    search_path: Vec<String>,
    settings: Vec<(String, String)>,
    store: Arc<Store>,
}

/// What functions say of the session.
pub(crate) struct Session<'a> {
    pub(crate) search_path: &'a [String],
    pub(crate) settings: &'a dyn Fn() -> Vec<(String, String)>,
    pub(crate) store: &'a Arc<Store>,
}

type Call = fn(&Known, &[ScalarValue]) -> Result<ScalarValue>;

/// A function of the catalog; two of one name in one statement are the same.
struct CatalogFunction {
    name: String,
    returns: DataType,
    call: Call,
    known: Arc<Known>,
    signature: Signature,
}

impl std::fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CatalogFunction").field(&self.name).finish()
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &CatalogFunction) -> bool {
        self.name == other.name
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The function of this name, if it is one that asks the catalog.
pub(crate) fn function(
    name: &str,
    catalog: &Catalog,
    session: &Session<'_>,
) -> Option<Arc<ScalarUDF>> {
    let (returns, call): (DataType, Call) = match name {
        "pg_table_is_visible" => (DataType::Boolean, table_is_visible),
        "pg_type_is_visible"
        | "pg_function_is_visible"
        | "pg_operator_is_visible"
        | "pg_opclass_is_visible"
        | "pg_opfamily_is_visible"
        | "pg_collation_is_visible"
        | "pg_conversion_is_visible"
        | "pg_statistics_obj_is_visible"
        | "pg_ts_config_is_visible"
        | "pg_ts_dict_is_visible"
        | "pg_ts_parser_is_visible"
        | "pg_ts_template_is_visible"
        | "has_table_privilege"
        | "has_schema_privilege"
        | "has_database_privilege"
        | "has_column_privilege"
        | "has_any_column_privilege"
        | "has_sequence_privilege"
        | "has_function_privilege"
        | "has_language_privilege"
        | "has_tablespace_privilege"
        | "has_type_privilege"
        | "pg_has_role" => (DataType::Boolean, |_, _| Ok(ScalarValue::from(true))),
        "pg_is_in_recovery"
        | "pg_is_other_temp_schema"
        | "pg_relation_is_publishable"
        | "row_security_active" => (DataType::Boolean, |_, _| Ok(ScalarValue::from(false))),
        "obj_description"
        | "shobj_description"
        | "col_description"
        | "pg_get_partkeydef"
        | "pg_get_triggerdef"
        | "pg_get_ruledef"
        | "pg_get_function_result"
        | "pg_get_function_arguments"
        | "pg_get_function_identity_arguments"
        | "pg_get_functiondef"
        | "pg_get_function_sqlbody"
        | "pg_get_function_arg_default"
        | "pg_get_statisticsobjdef"
        | "pg_get_statisticsobjdef_columns"
        | "pg_tablespace_location" => (DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
        "pg_get_serial_sequence" => (DataType::Utf8, |known, args| {
            let (table, column) = (regclass_in(known, args)?, string(args, 1));
            let (ScalarValue::Int64(Some(table)), Some(column)) = (table, column) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let owned = known.owned_sequences.get(&(table, column));
            Ok(owned.map_or(ScalarValue::Utf8(None), text))
        }),
        "pg_get_userbyid" | "regrole_out" => (DataType::Utf8, |known, args| {
            Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |role| {
                text(match known.roles.get(&role) {
                    Some(name) => name.clone(),
                    None => format!("unknown (OID={role})"),
                })
            }))
        }),
        "format_type" => (DataType::Utf8, format_type),
        "regtype_out" => (DataType::Utf8, |known, args| format_type(known, &args[..1])),
        "pg_get_expr" => (DataType::Utf8, |_, args| {
            Ok(string(args, 0).map_or(ScalarValue::Utf8(None), text))
        }),
        "pg_get_indexdef" | "pg_get_constraintdef" | "pg_get_viewdef" => {
            (DataType::Utf8, |known, args| {
                let definition = oid(args, 0).and_then(|oid| known.definitions.get(&oid));
                Ok(ScalarValue::Utf8(definition.cloned()))
            })
        }
        "pg_encoding_to_char" => (DataType::Utf8, |_, args| {
            Ok(text(if oid(args, 0) == Some(6) { "UTF8" } else { "" }))
        }),
        "current_setting" => (DataType::Utf8, |known, args| {
            let name = string(args, 0).unwrap_or_default();
            let mut settings = known.settings.iter();
            match settings.find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                Some((_, value)) => Ok(text(value)),
                None if args.len() > 1 => Ok(ScalarValue::Utf8(None)),
                None => {
                    let message = format!("unrecognized configuration parameter \"{name}\"");
                    Err(error(ErrorKind::UndefinedObject, message))
                }
            }
        }),
        // Those that the session can carry out are literals by now.
        "set_config" => (DataType::Utf8, |_, _| {
            let message = "set_config() other than in the select list, with constants".to_string();
            Err(error(ErrorKind::FeatureNotSupported, message))
        }),
        "acldefault" => (DataType::Utf8, acl_default),
        "regclass_in" | "to_regclass" => (DataType::Int64, regclass_in),
        "regclass_out" => (DataType::Utf8, regclass_out),
        "regnamespace_in" => (DataType::Int64, |known, args| {
            named(&known.schemas, args, "schema", ErrorKind::InvalidSchemaName)
        }),
        "regrole_in" => (DataType::Int64, |known, args| {
            named(&known.roles, args, "role", ErrorKind::UndefinedObject)
        }),
        "regnamespace_out" => (DataType::Utf8, |known, args| {
            let name = oid(args, 0).and_then(|oid| known.schemas.get(&oid));
            Ok(ScalarValue::Utf8(name.cloned()))
        }),
        // pg_operator and pg_proc tell of nothing that could be named.
        "regoper_out" | "regoperator_out" | "regprocedure_out" => (DataType::Utf8, |_, args| {
            Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |oid| {
                text(if oid == 0 {
                    "-".to_string()
                } else {
                    oid.to_string()
                })
            }))
        }),
        "regtype_in" => (DataType::Int64, regtype_in),
        "pg_relation_size" | "pg_table_size" | "pg_total_relation_size" => {
            (DataType::Int64, |known, args| {
                let class = match oid(args, 0) {
                    Some(oid) => Some(oid),
                    None => match regclass_in(known, args)? {
                        ScalarValue::Int64(oid) => oid,
                        _ => None,
                    },
                };
                let size = class.map(|class| size_of(&known.store, Some(class)));
                Ok(ScalarValue::Int64(size.transpose()?))
            })
        }
        // Everything is in the one tablespace of the one database.
        "pg_database_size" | "pg_tablespace_size" => (DataType::Int64, |known, _| {
            Ok(ScalarValue::from(size_of(&known.store, None)?))
        }),
        "pg_size_pretty" => (DataType::Utf8, |_, args| {
            Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |bytes| text(size_pretty(bytes))))
        }),
        "getdatabaseencoding" | "pg_client_encoding" => {
            (DataType::Utf8, |_, _| Ok(ScalarValue::from("UTF8")))
        }
        "pg_char_to_encoding" => (DataType::Int32, |_, args| {
            let utf8 = string(args, 0).is_some_and(|name| {
                matches!(
                    name.to_ascii_lowercase().as_str(),
                    "utf8" | "utf-8" | "unicode"
                )
            });
            Ok(ScalarValue::from(if utf8 { 6_i32 } else { -1 }))
        }),
        "current_schemas" => {
            let item = Arc::new(Field::new("item", DataType::Utf8, true));
            (DataType::List(item), current_schemas)
        }
        _ => return None,
    };
    let function = CatalogFunction {
        name: name.to_string(),
        returns,
        call,
        known: Arc::new(known(catalog, session)),
        signature: Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            Volatility::Stable,
        ),
    };
    Some(Arc::new(ScalarUDF::from(function)))
}

fn known(catalog: &Catalog, session: &Session<'_>) -> Known {
    let mut definitions = BTreeMap::new();
    for table in catalog.tables.values() {
        for index in keys::indexes(table) {
            definitions.insert(index.oid, index.definition());
        }
        for constraint in keys::constraints(table, catalog) {
            definitions.insert(constraint.oid, constraint.definition());
        }
    }
    definitions.extend(views::definitions(catalog));
    let roles = catalog.roles.keys();
    let schemas = pg_catalog::schemas(catalog).into_iter();
    let mut owned_sequences = BTreeMap::new();
    for table in catalog.tables.values() {
        for column in &table.columns {
            let sequence = column.sequence.and_then(|id| catalog.sequence_by_id(id));
            if let Some(sequence) = sequence {
                let name = format!(
                    "{}.{}",
                    crate::parse::identifier(&sequence.schema),
                    crate::parse::identifier(&sequence.name)
                );
                owned_sequences.insert((super::table_oid(table), column.name.clone()), name);
            }
        }
    }
    Known {
        owned_sequences,
        classes: pg_catalog::class_names(catalog),
        definitions,
        types: type_names(catalog, session.search_path),
        roles: roles.map(|name| (role_oid(name), name.clone())).collect(),
        schemas: schemas.map(|name| (schema_oid(&name), name)).collect(),
        search_path: session.search_path.to_vec(),
        settings: (session.settings)(),
        store: session.store.clone(),
    }
}

/// What a table, or all of them, takes in both tiers now: its files, and the rows that are in none yet.
fn size_of(store: &Store, class: Option<i64>) -> Result<i64> {
    let snapshot = store.snapshot();
    let mut bytes = 0;
    let failed = |error| DataFusionError::External(Box::new(error));
    for table in snapshot.catalog().tables.values() {
        if class.is_none_or(|class| class == super::table_oid(table)) {
            let all = PartitionSet::All;
            let files = snapshot.cold_files(table, &all).map_err(failed)?;
            let states = snapshot.states(table.id, &all).map_err(failed)?;
            bytes += files.iter().map(|file| file.bytes).sum::<u64>();
            bytes += states
                .iter()
                .map(|(_, state)| state.unflushed_bytes)
                .sum::<u64>();
        }
    }
    Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// After pg_size_pretty in PostgreSQL's dbsize.c: the unit changes at ten thousand, with halves rounded up.
fn size_pretty(bytes: i64) -> String {
    let mut size = i128::from(bytes);
    let limit = 10 * 1024;
    if size.abs() < limit {
        return format!("{size} bytes");
    }
    // One more bit than a kilobyte's, for rounding at the end.
    size >>= 9;
    for unit in ["kB", "MB", "GB", "TB"] {
        if size.abs() < limit * 2 - 1 {
            return format!("{} {unit}", (size + size.signum()) / 2);
        }
        size >>= 10;
    }
    format!("{} PB", (size + size.signum()) / 2)
}

fn error(kind: ErrorKind, message: String) -> DataFusionError {
    DataFusionError::External(Box::new(SqlError::new(kind, message)))
}

fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

fn oid(args: &[ScalarValue], at: usize) -> Option<i64> {
    match args.get(at)?.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

fn string(args: &[ScalarValue], at: usize) -> Option<String> {
    match args.get(at)?.cast_to(&DataType::Utf8).ok()? {
        ScalarValue::Utf8(value) => value,
        _ => None,
    }
}

fn is_visible(known: &Known, schema: &str) -> bool {
    schema == "pg_catalog" || known.search_path.iter().any(|path| path == schema)
}

fn table_is_visible(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let class = oid(args, 0).and_then(|oid| known.classes.get(&oid));
    Ok(ScalarValue::Boolean(
        class.map(|(schema, _)| is_visible(known, schema)),
    ))
}

/// The rights that an object has that nobody granted any of. After acldefault() in PostgreSQL's acl.c.
fn acl_default(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let (Some(kind), Some(owner)) = (string(args, 0), oid(args, 1)) else {
        return Ok(ScalarValue::Utf8(None));
    };
    let (world, own) = match kind.as_str() {
        "c" => ("", ""),
        "r" => ("", "arwdDxt"),
        "s" => ("", "rwU"),
        "d" => ("Tc", "CTc"),
        "f" => ("X", "X"),
        "l" | "T" => ("U", "U"),
        "L" => ("", "rw"),
        "n" => ("", "UC"),
        "p" => ("", "sA"),
        "t" => ("", "C"),
        "F" | "S" => ("", "U"),
        other => {
            let message = format!("unrecognized object type abbreviation: {other}");
            return Err(error(ErrorKind::InvalidParameterValue, message));
        }
    };
    let owner = known
        .roles
        .get(&owner)
        .cloned()
        .unwrap_or(owner.to_string());
    let mut items = Vec::new();
    if !world.is_empty() {
        items.push(format!("={world}/{owner}"));
    }
    if !own.is_empty() {
        items.push(format!("{owner}={own}/{owner}"));
    }
    Ok(text(format!("{{{}}}", items.join(","))))
}

/// The types that users made and those of their arrays, by oid.
fn type_names(catalog: &Catalog, search_path: &[String]) -> BTreeMap<i64, String> {
    let mut names = BTreeMap::new();
    for of in catalog.types.values() {
        let definition = of.definition();
        let mut name = identifier(&definition.name);
        if !search_path.contains(&definition.schema) {
            name = format!("{}.{name}", identifier(&definition.schema));
        }
        names.insert(i64::from(definition.oid) + 1, format!("{name}[]"));
        names.insert(definition.oid.into(), name);
    }
    names
}

fn format_type(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let modifier = oid(args, 1).unwrap_or(-1);
    Ok(match oid(args, 0) {
        None => ScalarValue::Utf8(None),
        Some(ty) => text(match known.types.get(&ty) {
            Some(name) => name.clone(),
            None => type_name(ty, modifier),
        }),
    })
}

/// A type's name as SQL writes it, with its modifier.
fn type_name(ty: i64, modifier: i64) -> String {
    let name = match ty {
        16 => "boolean",
        18 => "\"char\"",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        700 => "real",
        701 => "double precision",
        1042 if modifier >= 4 => return format!("character({})", modifier - 4),
        1042 => "character",
        1043 if modifier >= 4 => return format!("character varying({})", modifier - 4),
        1043 => "character varying",
        1083 => "time without time zone",
        1114 => "timestamp without time zone",
        1184 => "timestamp with time zone",
        1266 => "time with time zone",
        1700 if modifier >= 4 => {
            let (precision, scale) = ((modifier - 4) >> 16, (modifier - 4) & 0xffff);
            return format!("numeric({precision},{scale})");
        }
        other => {
            let types = pg_catalog::embedded("pg_type");
            let column = |row: &super::Named, name: &str| {
                let found = row.iter().find(|(column, _)| *column == name);
                found.map(|(_, value)| value.clone())
            };
            let wanted = Some(tidelog_storage::Datum::Int8(other));
            let Some(row) = types.iter().find(|row| column(row, "oid") == wanted) else {
                return "???".to_string();
            };
            // An array is written by its elements' type.
            return match (column(row, "typcategory"), column(row, "typelem")) {
                (
                    Some(tidelog_storage::Datum::Text(category)),
                    Some(tidelog_storage::Datum::Int8(element)),
                ) if category == "A" && element != 0 => format!("{}[]", type_name(element, -1)),
                _ => match column(row, "typname") {
                    Some(tidelog_storage::Datum::Text(name)) => name,
                    _ => "???".to_string(),
                },
            };
        }
    };
    name.to_string()
}

/// The parts of a name as it is written, folded.
pub(crate) fn name_parts(written: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for character in written.trim().chars() {
        let part = parts.last_mut().expect("there is a part");
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            other if quoted => part.push(other),
            other => part.extend(other.to_lowercase()),
        }
    }
    parts
}

fn regclass_in(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    let parts = name_parts(&written);
    let found = known.classes.iter().find(|(_, (schema, name))| {
        parts.last() == Some(name)
            && match parts.as_slice() {
                [_] => is_visible(known, schema),
                [.., wanted, _] => wanted == schema,
                [] => false,
            }
    });
    match found {
        Some((oid, _)) => Ok(ScalarValue::Int64(Some(*oid))),
        None => {
            let message = format!("relation \"{}\" does not exist", parts.join("."));
            Err(error(ErrorKind::UndefinedTable, message))
        }
    }
}

fn regclass_out(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(class) = oid(args, 0) else {
        return Ok(ScalarValue::Utf8(None));
    };
    Ok(text(match known.classes.get(&class) {
        Some((schema, name)) if is_visible(known, schema) => crate::parse::identifier(name),
        Some((schema, name)) => format!(
            "{}.{}",
            crate::parse::identifier(schema),
            crate::parse::identifier(name)
        ),
        None if class == 0 => "-".to_string(),
        None => class.to_string(),
    }))
}

fn regtype_in(_: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    let wanted = written.trim().to_lowercase();
    let wanted = wanted.strip_prefix("pg_catalog.").unwrap_or(&wanted);
    for row in pg_catalog::embedded("pg_type") {
        let mut oid = 0;
        let mut name = String::new();
        for (column, value) in row {
            match (column, value) {
                ("oid", tidelog_storage::Datum::Int8(value)) => oid = value,
                ("typname", tidelog_storage::Datum::Text(value)) => name = value,
                _ => {}
            }
        }
        if name == wanted || type_name(oid, -1) == wanted {
            return Ok(ScalarValue::Int64(Some(oid)));
        }
    }
    let message = format!("type \"{written}\" does not exist");
    Err(error(ErrorKind::UndefinedObject, message))
}

fn named(
    names: &BTreeMap<i64, String>,
    args: &[ScalarValue],
    what: &str,
    kind: ErrorKind,
) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    let wanted = name_parts(&written).join(".");
    match names.iter().find(|(_, name)| **name == wanted) {
        Some((oid, _)) => Ok(ScalarValue::Int64(Some(*oid))),
        None => Err(error(kind, format!("{what} \"{wanted}\" does not exist"))),
    }
}

fn current_schemas(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let with_system = matches!(args.first(), Some(ScalarValue::Boolean(Some(true))));
    let system = with_system.then_some("pg_catalog");
    let exists = |name: &&String| {
        !is_system_schema(name) && known.schemas.values().any(|schema| schema == *name)
    };
    let path = known.search_path.iter().filter(exists).map(String::as_str);
    let names: Vec<ScalarValue> = system
        .into_iter()
        .chain(path)
        .map(ScalarValue::from)
        .collect();
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(
        &names,
        &DataType::Utf8,
    )))
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars: Option<Vec<ScalarValue>> = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(value) => Some(value.clone()),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        if let Some(scalars) = scalars {
            return Ok(ColumnarValue::Scalar((self.call)(&self.known, &scalars)?));
        }
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(args.number_rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let row = |row: usize| {
            let values = arrays
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row))
                .collect::<Result<Vec<_>>>()?;
            (self.call)(&self.known, &values)
        };
        let results = (0..args.number_rows).map(row).collect::<Result<Vec<_>>>()?;
        if results.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(
                &self.returns,
            )));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}
