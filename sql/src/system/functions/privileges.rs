//! `has_table_privilege` and its like. Nothing is granted or revoked, so the answer is yes; what they name must be there.

use tidelog_storage::SequenceDef;

use super::*;
use crate::error::ErrorKind::{
    InvalidParameterValue, InvalidSchemaName, UndefinedColumn, UndefinedObject, WrongObjectType,
};

const LANGUAGES: [&str; 4] = ["internal", "c", "sql", "plpgsql"];
const TABLESPACES: [&str; 2] = ["pg_default", "pg_global"];

/// The columns that each table has.
const OF_EACH_TABLE: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

/// The function of this name, if it asks for a privilege.
pub(super) fn function(name: &str) -> Option<(DataType, Call)> {
    let call: Call = match name {
        "has_table_privilege" => |known, args| asked(known, args, 1, &OF_TABLES, table),
        "has_any_column_privilege" => |known, args| asked(known, args, 1, &OF_COLUMNS, table),
        "has_column_privilege" => |known, args| asked(known, args, 2, &OF_COLUMNS, column),
        "has_sequence_privilege" => |known, args| asked(known, args, 1, &OF_SEQUENCES, sequence),
        "has_schema_privilege" => |known, args| asked(known, args, 1, &["CREATE", "USAGE"], schema),
        "has_database_privilege" => |known, args| asked(known, args, 1, &OF_DATABASES, database),
        "has_function_privilege" => |known, args| {
            asked(known, args, 1, &["EXECUTE"], |known, args, at| {
                let found = || regprocedure_in(known, &args[at..]);
                by_name(args, at, found)
            })
        },
        "has_type_privilege" => |known, args| {
            asked(known, args, 1, &["USAGE"], |known, args, at| {
                by_name(args, at, || regtype_in(known, &args[at..]))
            })
        },
        "has_language_privilege" => |known, args| {
            asked(known, args, 1, &["USAGE"], |_, args, at| {
                one_of(&LANGUAGES, "language", args, at)
            })
        },
        "has_tablespace_privilege" => |known, args| {
            asked(known, args, 1, &["CREATE"], |_, args, at| {
                one_of(&TABLESPACES, "tablespace", args, at)
            })
        },
        "has_foreign_data_wrapper_privilege" => |known, args| {
            asked(known, args, 1, &["USAGE"], |_, args, at| {
                one_of(&[], "foreign-data wrapper", args, at)
            })
        },
        "has_server_privilege" => |known, args| {
            asked(known, args, 1, &["USAGE"], |_, args, at| {
                one_of(&[], "server", args, at)
            })
        },
        "has_parameter_privilege" => |known, args| {
            asked(known, args, 1, &["SET", "ALTER SYSTEM"], |_, _, _| {
                Ok(Some(0))
            })
        },
        "pg_has_role" => |known, args| asked(known, args, 1, &OF_ROLES, role),
        _ => return None,
    };
    Some((DataType::Boolean, call))
}

const OF_TABLES: [&str; 8] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "RULE",
];
const OF_SEQUENCES: [&str; 3] = ["USAGE", "SELECT", "UPDATE"];
const OF_DATABASES: [&str; 4] = ["CREATE", "TEMPORARY", "TEMP", "CONNECT"];
const OF_ROLES: [&str; 2] = ["USAGE", "MEMBER"];
const OF_COLUMNS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

/// Looks up the object that the argument at a place names; `None` where there is none of its oid.
type Find = fn(&Known, &[ScalarValue], usize) -> Result<Option<i64>>;

/// Yes, where the role is there that may come first, then the object, named by some arguments, and then the privilege.
fn asked(
    known: &Known,
    args: &[ScalarValue],
    named_by: usize,
    privileges: &[&str],
    find: Find,
) -> Result<ScalarValue> {
    if args.iter().any(ScalarValue::is_null) {
        return Ok(ScalarValue::Boolean(None));
    }
    let at = args.len().saturating_sub(named_by + 1);
    let may_be_public = *privileges != OF_ROLES;
    if at > 0 && !(may_be_public && string(args, 0).as_deref() == Some("public")) {
        role(known, args, 0)?;
    }
    let found = find(known, args, at)?;
    let mut is_held = false;
    for privilege in string(args, at + named_by).unwrap_or_default().split(',') {
        let privilege = privilege.trim();
        let folded = privilege.to_ascii_uppercase();
        let admin = folded.strip_suffix(" WITH ADMIN OPTION");
        let admin = admin.filter(|_| *privileges == OF_ROLES);
        let bare = admin.or_else(|| folded.strip_suffix(" WITH GRANT OPTION"));
        let bare = bare.unwrap_or(&folded);
        if !privileges.contains(&bare) {
            let message = format!("unrecognized privilege type: \"{privilege}\"");
            return Err(error(InvalidParameterValue, message));
        }
        // That of rules is known, and nobody has it any more.
        is_held |= bare != "RULE";
    }
    Ok(ScalarValue::Boolean(found.map(|_| is_held)))
}

/// The oid that an argument is, or what is found by the name that it is.
fn by_name(
    args: &[ScalarValue],
    at: usize,
    found: impl FnOnce() -> Result<ScalarValue>,
) -> Result<Option<i64>> {
    match args.get(at) {
        Some(ScalarValue::Utf8(_)) => Ok(oid(&[found()?], 0)),
        _ => Ok(oid(args, at)),
    }
}

fn role(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    exact(known.roles(), args, at, "role", UndefinedObject)
}

fn schema(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    let found = exact(known.schemas(), args, at, "schema", InvalidSchemaName)?;
    Ok(found.filter(|oid| known.schemas().contains_key(oid)))
}

/// The object of a name that is taken as it is.
fn exact(
    names: &BTreeMap<i64, String>,
    args: &[ScalarValue],
    at: usize,
    what: &str,
    kind: ErrorKind,
) -> Result<Option<i64>> {
    by_name(args, at, || {
        let wanted = string(args, at).unwrap_or_default();
        match names.iter().find(|(_, name)| **name == wanted) {
            Some((oid, _)) => Ok(ScalarValue::Int64(Some(*oid))),
            None => Err(error(kind, format!("{what} \"{wanted}\" does not exist"))),
        }
    })
}

fn one_of(names: &[&str], what: &str, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    by_name(args, at, || {
        let wanted = string(args, at).unwrap_or_default();
        match names.contains(&wanted.as_str()) {
            true => Ok(ScalarValue::Int64(Some(0))),
            false => {
                let message = format!("{what} \"{wanted}\" does not exist");
                Err(error(UndefinedObject, message))
            }
        }
    })
}

fn database(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    by_name(args, at, || {
        let catalog = known.store.catalog();
        let found = ddl::database::find(&catalog, &string(args, at).unwrap_or_default());
        let found = found.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ScalarValue::Int64(Some(found.id.oid().into())))
    })
}

/// The relation that an argument names, and `None` where there is none of its oid.
fn table(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    let class = relation(known, args, at)?;
    Ok(class.filter(|class| known.classes().contains_key(class)))
}

fn sequence(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    let class = relation(known, args, at)?;
    Ok(class
        .map(|class| known.sequence_of(class))
        .transpose()?
        .flatten()
        .and(class))
}

/// A relation and a column in it, by its name or number.
fn column(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    let Some(class) = table(known, args, at)? else {
        return Ok(None);
    };
    if let (Some(ScalarValue::Utf8(_)), Some(columns)) = (args.get(at + 1), known.columns_of(class))
    {
        let wanted = string(args, at + 1).unwrap_or_default();
        if !columns.contains(&&*wanted) && !OF_EACH_TABLE.contains(&&*wanted) {
            let table = known.classes().get(&class).map_or("", |(_, name)| name);
            let message = format!("column \"{wanted}\" of relation \"{table}\" does not exist");
            return Err(error(UndefinedColumn, message));
        }
    }
    Ok(Some(class))
}

impl Known {
    /// The sequence with this oid; `None` where nothing has it.
    pub(super) fn sequence_of(&self, class: i64) -> Result<Option<&SequenceDef>> {
        match (self.sequence(class), self.classes().get(&class)) {
            (None, Some((_, name))) => {
                let message = format!("\"{name}\" is not a sequence");
                Err(error(WrongObjectType, message))
            }
            (found, _) => Ok(found),
        }
    }
}
