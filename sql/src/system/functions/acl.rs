//! Access lists: those that objects have by default, and the rights in a list.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::{Known, error, list_of, oid, string};
use crate::error::ErrorKind;

/// The rights that an object has that nobody granted any of. After acldefault() in PostgreSQL's acl.c.
pub(super) fn default(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let (Some(kind), Some(owner)) = (string(args, 0), oid(args, 1)) else {
        return ScalarValue::try_from(list_of(DataType::Utf8));
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
        .roles()
        .get(&owner)
        .cloned()
        .unwrap_or(owner.to_string());
    let mut items = Vec::new();
    if !world.is_empty() {
        items.push(ScalarValue::from(format!("={world}/{owner}")));
    }
    if !own.is_empty() {
        items.push(ScalarValue::from(format!("{owner}={own}/{owner}")));
    }
    let items = ScalarValue::new_list_nullable(&items, &DataType::Utf8);
    Ok(ScalarValue::List(items))
}

/// The rights by their letters, in the order of their bits.
const RIGHTS: [(char, &str); 14] = [
    ('a', "INSERT"),
    ('r', "SELECT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// A right in an access list, as aclexplode gives it.
pub(super) fn fields() -> Fields {
    Fields::from(vec![
        Field::new("grantor", DataType::Int64, true),
        Field::new("grantee", DataType::Int64, true),
        Field::new("privilege_type", DataType::Utf8, true),
        Field::new("is_grantable", DataType::Boolean, true),
    ])
}

/// The rights in an access list, as a list of rows. There are no lists but those by default: nothing is granted.
pub(super) fn rows(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let role = |name: &str| match name {
        "" => Some(0),
        name => {
            let mut roles = known.roles().iter();
            let found = roles.find(|(_, known)| *known == name);
            found.map(|(oid, _)| *oid).or_else(|| name.parse().ok())
        }
    };
    let mut rights = Vec::new();
    for item in items(args)? {
        let parts = item.rsplit_once('/').and_then(|(given, grantor)| {
            let (grantee, letters) = given.rsplit_once('=')?;
            Some((role(grantor), role(grantee), letters))
        });
        let Some((grantor, grantee, letters)) = parts else {
            continue;
        };
        for (letter, right) in RIGHTS {
            if let Some(at) = letters.find(letter) {
                let grantable = letters[at..].chars().nth(1) == Some('*');
                rights.push((grantor, grantee, right, grantable));
            }
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rights.iter().map(|right| right.0).collect::<Int64Array>()),
        Arc::new(rights.iter().map(|right| right.1).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values(
            rights.iter().map(|right| right.2),
        )),
        Arc::new(BooleanArray::from_iter(
            rights.iter().map(|right| Some(right.3)),
        )),
    ];
    let rows = StructArray::try_new(fields(), columns, None)?;
    let item = Arc::new(Field::new_list_field(DataType::Struct(fields()), true));
    let lengths = OffsetBuffer::from_lengths([rights.len()]);
    let list = ListArray::try_new(item, lengths, Arc::new(rows), None)?;
    Ok(ScalarValue::List(Arc::new(list)))
}

/// The items of the list that is the argument.
fn items(args: &[ScalarValue]) -> Result<Vec<String>> {
    let Some(ScalarValue::List(list)) = args.first().filter(|list| !list.is_null()) else {
        return Ok(Vec::new());
    };
    let items = arrow::compute::cast(&list.value(0), &DataType::Utf8)?;
    Ok(items
        .as_string::<i32>()
        .iter()
        .flatten()
        .map(str::to_string)
        .collect())
}
