//! Functions that ask the catalog: visibility, names of oids, definitions, privileges.

mod acl;
mod called;
mod facts;
mod operators;
mod privileges;
mod visible;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Int32Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use num_bigint::{BigInt, BigUint};
use num_traits::Signed;
use tidelog_storage::datum::datum_at;
use tidelog_storage::{
    Catalog, ColumnType, Datum, DatumRef, ElementType, IntervalModifier, PartitionSet, RegType,
    Store,
};

use super::pg_depend::PG_CLASS;
use super::pg_proc;
use super::{Showing, comments, is_system_schema, pg_catalog};
use called::called;
use facts::Facts;

use crate::casts;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::output;
use crate::parse::identifier;
use crate::settings::names;
use crate::text::{self, Style};
use crate::types;

/// What the functions of one statement know.
struct Known {
    facts: Arc<Facts>,
    settings: Vec<(String, String)>,
    store: Arc<Store>,
}

impl Deref for Known {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

/// What functions say of the session.
pub(crate) struct Session<'a> {
    pub(crate) search_path: &'a [String],
    pub(crate) settings: &'a dyn Fn() -> Vec<(String, String)>,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) showing: Showing,
}

/// Behind the name of a function: the one that takes an array, and gives that of what it is for the elements.
pub(crate) const LIST: &str = "_list";

type Call = fn(&Known, &[ScalarValue]) -> Result<ScalarValue>;

/// A function of the catalog; two of one name in one statement are the same.
struct CatalogFunction {
    name: String,
    returns: DataType,
    /// Whether it is called with each of an array's elements.
    each: bool,
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

/// Whether a function of this name asks the catalog.
pub(crate) fn is_one(name: &str) -> bool {
    called(name).is_some()
}

/// The function of this name, if it is one that asks the catalog.
pub(crate) fn function(
    name: &str,
    catalog: &Catalog,
    session: &Session<'_>,
) -> Option<Arc<ScalarUDF>> {
    let each = name.strip_suffix(LIST);
    let (returns, call) = called(each.unwrap_or(name))?;
    let function = CatalogFunction {
        name: name.to_string(),
        returns: match each {
            Some(_) => list_of(returns),
            None => returns,
        },
        each: each.is_some(),
        call,
        known: Arc::new(Known {
            facts: Facts::of(catalog, session),
            settings: (session.settings)(),
            store: session.store.clone(),
        }),
        signature: Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            Volatility::Stable,
        ),
    };
    Some(Arc::new(ScalarUDF::from(function)))
}

/// What the size is asked of.
enum Measured {
    Table(i64),
    Database(i64),
    All,
}

/// What tables take in both tiers now: their files, and the rows that are in none yet.
fn size_of(store: &Store, of: Measured) -> Result<i64> {
    let snapshot = store.snapshot();
    let mut bytes = 0;
    let failed = |error| DataFusionError::External(Box::new(error));
    let databases = snapshot.catalog().databases.iter();
    let tables = databases.flat_map(|(id, database)| {
        let tables = database.contents().tables.values();
        tables.map(|table| (i64::from(id.oid()), table))
    });
    for (database, table) in tables {
        if match of {
            Measured::Table(class) => class == super::table_oid(table),
            Measured::Database(id) => id == database,
            Measured::All => true,
        } {
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

/// The size that an argument says, which may be a numeric with a fraction; `None` for NULL.
fn size_shown(args: &[ScalarValue]) -> Result<Option<String>> {
    let Some(value) = args.first().filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let array = value.to_array()?;
    let number @ (DatumRef::Numeric(_) | DatumRef::Number(_)) =
        datum_at(&array, 0).unwrap_or(DatumRef::Null)
    else {
        return Ok(oid(args, 0).map(|bytes| size_pretty(bytes.into())));
    };
    let mut written = String::new();
    let ty = ColumnType::Numeric(None);
    text::write(number, ty, Style::default(), &mut written);
    let whole = written.split('.').next().unwrap_or_default();
    Ok(Some(match whole.parse::<BigInt>() {
        Ok(bytes) if bytes.magnitude() >= &BigUint::from(UNIT_MAX) => size_pretty(bytes),
        // Also what is no number or infinite.
        _ => format!("{written} bytes"),
    }))
}

/// What is less is said in this unit.
const UNIT_MAX: u32 = 10 * 1024;

/// After pg_size_pretty in PostgreSQL's dbsize.c: the unit changes at ten thousand, with halves rounded up.
fn size_pretty(bytes: BigInt) -> String {
    let mut size = bytes;
    let limit = BigInt::from(UNIT_MAX);
    if size.abs() < limit {
        return format!("{size} bytes");
    }
    // One more bit than a kilobyte's, for rounding at the end.
    size /= 1 << 9;
    let half = |size: &BigInt| (size + size.signum()) / 2;
    for unit in ["kB", "MB", "GB", "TB"] {
        if size.abs() < &limit * 2 - 1 {
            return format!("{} {unit}", half(&size));
        }
        size /= 1 << 10;
    }
    format!("{} PB", half(&size))
}

/// A longer text is no size: to read a number takes the square of its digits.
const SIZE_BYTES_MAX: usize = 20_000;

/// After pg_size_bytes in PostgreSQL's dbsize.c: a number with a unit, rounded to whole bytes.
fn size_bytes(written: &str) -> Result<i64> {
    let invalid = || {
        let message = format!("invalid size: \"{written}\"");
        error(ErrorKind::InvalidParameterValue, message)
    };
    let text = written.trim_ascii();
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit());
        end.unwrap_or(text.len())
    };
    let sign = usize::from(text.starts_with(['-', '+']));
    let (whole, rest) = text[sign..].split_at(digits(&text[sign..]));
    let after_point = rest.strip_prefix('.').unwrap_or_default();
    let (fraction, _) = after_point.split_at(digits(after_point));
    if whole.is_empty() && fraction.is_empty() || text.len() > SIZE_BYTES_MAX {
        return Err(invalid());
    }
    let mut rest = match rest.strip_prefix('.') {
        Some(after) => &after[fraction.len()..],
        None => rest,
    };
    let mut exponent = 0;
    if let Some(after) = rest.strip_prefix(['e', 'E']) {
        let sign = usize::from(after.starts_with(['-', '+']));
        let end = sign + digits(&after[sign..]);
        if end > sign {
            exponent = after[..end].parse::<i16>().map_err(|_| invalid())?;
            rest = &after[end..];
        }
    }
    let units = ["bytes", "kb", "mb", "gb", "tb", "pb"];
    let unit = rest.trim_ascii_start().to_ascii_lowercase();
    let power = match &*unit {
        "" => 0,
        unit => units
            .iter()
            .position(|known| *known == unit)
            .ok_or_else(invalid)?,
    };
    let number = format!("{}{whole}{fraction}", text[..sign].trim_start_matches('+'));
    let mut bytes = number.parse::<BigInt>().map_err(|_| invalid())? << (10 * power);
    let shift = i64::from(exponent) - i64::try_from(fraction.len()).map_err(|_| invalid())?;
    let by = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).map_err(|_| invalid())?);
    if shift >= 0 {
        bytes *= by;
    } else {
        // Halves are rounded away from zero.
        bytes = (&bytes * 2 + &by * bytes.signum()) / (by * 2);
    }
    i64::try_from(bytes).map_err(|_| {
        error(
            ErrorKind::NumericValueOutOfRange,
            "bigint out of range".to_string(),
        )
    })
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

fn format_type(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let modifier = oid(args, 1);
    Ok(match oid(args, 0) {
        None => ScalarValue::Utf8(None),
        Some(ty) => text(match known.types().get(&ty) {
            Some(name) => name.clone(),
            None => type_name(ty, modifier),
        }),
    })
}

/// PostgreSQL's own types by their oids: their names, and of arrays the type of the elements.
static TYPES: LazyLock<BTreeMap<i64, (String, Option<i64>)>> = LazyLock::new(|| {
    let mut types = BTreeMap::new();
    for row in pg_catalog::embedded("pg_type") {
        let row: BTreeMap<&str, Datum> = row.into_iter().collect();
        // A vector has elements too, and is no array of them: it is stored as it is.
        let element = match (row.get("typstorage"), row.get("typelem")) {
            (Some(Datum::Text(storage)), Some(Datum::Int8(element))) if storage != "p" => {
                Some(*element).filter(|element| *element != 0)
            }
            _ => None,
        };
        if let (Some(Datum::Int8(oid)), Some(Datum::Text(name))) =
            (row.get("oid"), row.get("typname"))
        {
            types.insert(*oid, (name.clone(), element));
        }
    }
    types
});

/// A type's name as SQL writes it, with its modifier.
fn type_name(ty: i64, given: Option<i64>) -> String {
    let (modifier, is_given) = (given.unwrap_or(-1), given.is_some());
    let digits = u8::try_from(modifier).ok();
    let name = match ty {
        0 => "-",
        16 => "boolean",
        18 => "\"char\"",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        700 => "real",
        701 => "double precision",
        1042 if modifier >= 4 => return format!("character({})", modifier - 4),
        // Of no length that is known to be none.
        1042 if is_given => "bpchar",
        1042 => "character",
        1043 if modifier >= 4 => return format!("character varying({})", modifier - 4),
        1043 => "character varying",
        1083 => return types::name(ColumnType::Time(digits)),
        1114 => return types::name(ColumnType::Timestamp(digits)),
        1184 => return types::name(ColumnType::TimestampTz(digits)),
        1186 => {
            let kept = i32::try_from(modifier).ok();
            let kept = kept.and_then(IntervalModifier::from_typmod);
            return types::name(ColumnType::Interval(kept));
        }
        1266 => return types::name(ColumnType::TimeTz(digits)),
        1560 if modifier >= 0 => return format!("bit({modifier})"),
        1560 if is_given => "\"bit\"",
        1562 if modifier >= 0 => return format!("bit varying({modifier})"),
        1562 => "bit varying",
        1700 if modifier >= 4 => {
            let (precision, scale) = ((modifier - 4) >> 16, (modifier - 4) & 0xffff);
            return format!("numeric({precision},{scale})");
        }
        other => {
            return match TYPES.get(&other) {
                // An array is written by its elements' type.
                Some((_, Some(element))) => format!("{}[]", type_name(*element, given)),
                Some((name, None)) => name.clone(),
                None => "???".to_string(),
            };
        }
    };
    name.to_string()
}

/// The parts of a name as it is written, folded: `a."B" . c`.
pub(crate) fn name_parts(written: &str) -> Vec<String> {
    qualified(written).unwrap_or_else(|| vec![written.trim().to_lowercase()])
}

/// As [`name_parts`]; `None` where no name is written so.
fn qualified(written: &str) -> Option<Vec<String>> {
    names(written, '.').filter(|parts| !parts.is_empty())
}

fn regclass_in(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    match written.parse::<i64>() {
        Ok(oid) => Ok(ScalarValue::Int64(Some(oid))),
        Err(_) => relation_named(known, &written),
    }
}

/// The oid that an argument says, or that of the relation which it names; `None` for NULL.
fn relation(known: &Known, args: &[ScalarValue], at: usize) -> Result<Option<i64>> {
    Ok(match args.get(at) {
        Some(ScalarValue::Utf8(_)) => oid(&[regclass_in(known, &args[at..])?], 0),
        _ => oid(args, at),
    })
}

/// The oid of the relation with this name.
fn relation_named(known: &Known, written: &str) -> Result<ScalarValue> {
    let Some(parts) = qualified(written) else {
        let message = "invalid name syntax".to_string();
        return Err(error(ErrorKind::InvalidName, message));
    };
    let found = match parts.as_slice() {
        [name] => known.first_named(name),
        [.., schema, name] => {
            let schema = ddl::temp::resolved(&known.search_path, schema);
            let key = schema.map(|schema| (schema.to_string(), name.clone()));
            key.and_then(|key| known.oids().get(&key).copied())
        }
        [] => None,
    };
    match found {
        Some(oid) => Ok(ScalarValue::Int64(Some(oid))),
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
    Ok(text(match known.classes().get(&class) {
        Some((_, name)) if known.first_named(name) == Some(class) => crate::parse::identifier(name),
        Some((schema, name)) => format!(
            "{}.{}",
            crate::parse::identifier(schema),
            crate::parse::identifier(name)
        ),
        None if class == 0 => "-".to_string(),
        None => class.to_string(),
    }))
}

fn regtype_in(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    // As a statement would name it: `int`, `varchar(10)`, `double precision`, `text[]`.
    let parsed = crate::parse::parse_type(&written).ok();
    if let Some(ty) = parsed.and_then(|ty| crate::types::column_type(&ty).ok()) {
        return Ok(ScalarValue::Int64(Some(crate::types::type_facts(ty).0)));
    }
    let mut parts = name_parts(&written);
    if parts.len() > 1 && parts[0] == "pg_catalog" {
        parts.remove(0);
    }
    let wanted: Vec<String> = parts.iter().map(|part| identifier(part)).collect();
    let wanted = wanted.join(".");
    let short = parts.last().map(|part| identifier(part));
    let own = known
        .types()
        .iter()
        .find(|(_, name)| **name == wanted || parts.len() > 1 && Some(*name) == short.as_ref());
    // Of arrays the catalog's name (`_mood`), or SQL's (`mood[]`).
    let array = || {
        let bare = parts.last()?;
        let bare = bare.strip_suffix("[]").or(bare.strip_prefix('_'))?;
        let named = format!("{}[]", identifier(bare));
        let short = |name: &str| name.rsplit('.').next() == Some(named.as_str());
        (known.types().iter()).find(|(_, name)| **name == named || parts.len() > 1 && short(name))
    };
    if let Some((oid, _)) = own.or_else(array) {
        return Ok(ScalarValue::Int64(Some(*oid)));
    }
    let mut types = TYPES.iter();
    let is_wanted = |(oid, (name, _)): &(&i64, &(String, Option<i64>))| {
        identifier(name) == wanted || type_name(**oid, None) == wanted
    };
    if let Some((oid, _)) = types.find(is_wanted) {
        return Ok(ScalarValue::Int64(Some(*oid)));
    }
    let message = format!("type \"{written}\" does not exist");
    Err(error(ErrorKind::UndefinedObject, message))
}

/// The one function with a name and its arguments.
fn regprocedure_in(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(written) = string(args, 0) else {
        return Ok(ScalarValue::Int64(None));
    };
    if let Ok(oid) = written.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(oid)));
    }
    let Some((name, arguments)) = written.split_once('(') else {
        let message = "expected a left parenthesis".to_string();
        return Err(error(ErrorKind::InvalidTextRepresentation, message));
    };
    let arguments = arguments.trim_end().trim_end_matches(')');
    let parts = name_parts(name);
    let mut found = pg_proc::named(parts.last().map_or("", String::as_str)).to_vec();
    let types = arguments.split(',').filter(|ty| !ty.trim().is_empty());
    let types = types.map(|ty| regtype_in(known, &[text(ty.trim())]).map(|ty| oid(&[ty], 0)));
    let types: Option<Vec<i64>> = types.collect::<Result<_>>()?;
    found.retain(|oid| {
        let function = pg_proc::function(*oid);
        function.is_some_and(|function| Some(&function.argument_types) == types.as_ref())
    });
    match found.as_slice() {
        [only] => Ok(ScalarValue::Int64(Some(*only))),
        [] => {
            let message = format!("function \"{written}\" does not exist");
            Err(error(ErrorKind::UndefinedFunction, message))
        }
        _ => {
            let message = format!("more than one function named \"{written}\"");
            Err(error(ErrorKind::AmbiguousFunction, message))
        }
    }
}

/// An element of an array and its number, as information_schema._pg_expandarray gives them.
fn expanded_fields() -> Fields {
    Fields::from(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("n", DataType::Int32, false),
    ])
}

fn expanded_item() -> Arc<Field> {
    Arc::new(Field::new_list_field(
        DataType::Struct(expanded_fields()),
        true,
    ))
}

fn list_of(ty: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(ty, true)))
}

/// One field of each of these rows.
fn expanded_field(args: &[ScalarValue], at: usize) -> Result<ScalarValue> {
    let ScalarValue::List(rows) = expanded(args)? else {
        unreachable!("it gives a list");
    };
    let values = rows.values();
    let rows = values.as_any().downcast_ref::<StructArray>();
    let column = rows.expect("of rows").column(at).clone();
    let item = Arc::new(Field::new_list_field(column.data_type().clone(), true));
    let lengths = OffsetBuffer::from_lengths([column.len()]);
    let list = ListArray::try_new(item, lengths, column, None)?;
    Ok(ScalarValue::List(Arc::new(list)))
}

/// The elements of an array of numbers with their own numbers, as a list.
fn expanded(args: &[ScalarValue]) -> Result<ScalarValue> {
    let elements = match args.first() {
        Some(ScalarValue::List(list)) if list.len() == 1 && list.is_valid(0) => list.value(0),
        _ => arrow::array::new_empty_array(&DataType::Int64),
    };
    let elements = arrow::compute::cast(&elements, &DataType::Int64)?;
    let count = i32::try_from(elements.len()).unwrap_or(i32::MAX);
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(1..=count));
    let rows = StructArray::try_new(expanded_fields(), vec![elements, numbers], None)?;
    let lengths = OffsetBuffer::from_lengths([rows.len()]);
    let list = ListArray::try_new(expanded_item(), lengths, Arc::new(rows), None)?;
    Ok(ScalarValue::List(Arc::new(list)))
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

/// The name of an object as SQL writes it; its number where it has none, and `-` for none.
fn name_or_number(names: &BTreeMap<i64, String>, args: &[ScalarValue]) -> ScalarValue {
    let Some(object) = oid(args, 0) else {
        return ScalarValue::Utf8(None);
    };
    text(match names.get(&object) {
        Some(name) => identifier(name),
        None if object == 0 => "-".to_string(),
        None => object.to_string(),
    })
}

fn current_schemas(known: &Known, args: &[ScalarValue]) -> Result<ScalarValue> {
    let with_system = matches!(args.first(), Some(ScalarValue::Boolean(Some(true))));
    let system = with_system.then_some("pg_catalog");
    let exists = |name: &&String| {
        !is_system_schema(name)
            && !ddl::temp::is_temporary(name)
            && known.schemas().values().any(|schema| schema == *name)
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

impl CatalogFunction {
    fn value(&self, args: &[ScalarValue]) -> Result<ScalarValue> {
        if !self.each {
            return (self.call)(&self.known, args);
        }
        let Some(ScalarValue::List(list)) = args.first().filter(|list| !list.is_null()) else {
            return ScalarValue::try_from(&self.returns);
        };
        let elements = list.value(0);
        let made = (0..elements.len()).map(|at| {
            let element = ScalarValue::try_from_array(&elements, at)?;
            (self.call)(&self.known, &[element])
        });
        let made = made.collect::<Result<Vec<_>>>()?;
        let DataType::List(item) = &self.returns else {
            unreachable!("it gives a list");
        };
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(
            &made,
            item.data_type(),
        )))
    }
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

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let name = self.name.as_str();
        let called = name.strip_suffix(LIST).unwrap_or(name);
        let named = called.strip_suffix("_of").or(called.strip_prefix("to_"));
        let named = named.and_then(RegType::named);
        // What stands for a cast.
        if let (Some(of), [arg]) = (named, args.arg_fields)
            && name.ends_with("_of")
            && !arg.data_type().is_null()
            && let Ok(from) = output::column_type(arg)
        {
            casts::check(from, ColumnType::Reg(of))?;
        }
        Ok(Arc::new(match named {
            Some(of) if self.each => ColumnType::Array(ElementType::Reg(of)).field(name, true),
            Some(of) => ColumnType::Reg(of).field(name, true),
            _ if name == "current_schemas" => {
                ColumnType::Array(ElementType::Name).field(name, true)
            }
            _ if name == "to_regproc" => ColumnType::Regproc.field(name, true),
            _ if matches!(
                name,
                "getdatabaseencoding"
                    | "pg_client_encoding"
                    | "pg_encoding_to_char"
                    | "pg_get_userbyid"
            ) =>
            {
                ColumnType::Name.field(name, true)
            }
            _ => Field::new(name, self.returns.clone(), true),
        }))
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
            return Ok(ColumnarValue::Scalar(self.value(&scalars)?));
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
            self.value(&values)
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
