//! CREATE, ALTER and DROP SEQUENCE, and the sequences of serial and identity columns.

pub(super) mod alter;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName,
    SequenceOptions as AstOptions,
};
use tidelog_storage::{CatalogChange, ColumnDef, ColumnType, SequenceDef, TableDef};

use super::{DdlPlan, Scope, display, kinds, no_schema, split, truncate_name};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{SequenceOptions, identifier, literal_text};
use crate::types;

fn invalid(message: String) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

/// The sequence that a name stands for: the schema's, or the first along the search path.
pub(crate) fn resolve<'a>(
    catalog: &'a tidelog_storage::Catalog,
    search_path: &[String],
    name: &ObjectName,
) -> Result<&'a std::sync::Arc<SequenceDef>, SqlError> {
    let (schema, sequence) = split(name)?;
    let found = match &schema {
        Some(schema) => super::temp::resolved(search_path, schema)
            .and_then(|schema| catalog.sequence(schema, &sequence)),
        None => search_path
            .iter()
            .find_map(|schema| catalog.sequence(schema, &sequence)),
    };
    found.ok_or_else(|| {
        let name = display(schema.as_deref(), &sequence);
        let scope = Scope {
            catalog,
            search_path,
        };
        match super::find(
            scope.catalog,
            scope.search_path,
            schema.as_deref(),
            &sequence,
        ) {
            Some(_) => SqlError::new(
                ErrorKind::WrongObjectType,
                format!("\"{sequence}\" is not a sequence"),
            ),
            None => SqlError::new(
                ErrorKind::UndefinedTable,
                format!("relation \"{name}\" does not exist"),
            ),
        }
    })
}

/// The numbers that a type has.
fn range(ty: ColumnType) -> (i64, i64) {
    match ty {
        ColumnType::Int2 => (i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int4 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// A sequence by its options.
pub(super) fn define(
    id: u32,
    (schema, name): (&str, &str),
    ty: ColumnType,
    options: &[AstOptions],
) -> Result<SequenceDef, SqlError> {
    let mut given = SequenceOptions::default();
    for option in options {
        match option {
            AstOptions::IncrementBy(by, _) => given.increment = Some(number(by)?),
            AstOptions::MinValue(value) => {
                given.min = Some(value.as_ref().map(number).transpose()?)
            }
            AstOptions::MaxValue(value) => {
                given.max = Some(value.as_ref().map(number).transpose()?)
            }
            AstOptions::StartWith(value, _) => given.start = Some(number(value)?),
            AstOptions::Cache(value) => given.cache = Some(number(value)?),
            // sqlparser's flag says NO.
            AstOptions::Cycle(no) => given.cycle = Some(!no),
        }
    }
    made(id, (schema, name), ty, &given)
}

/// The same, by options of ours.
pub(super) fn made(
    id: u32,
    (schema, name): (&str, &str),
    ty: ColumnType,
    given: &SequenceOptions,
) -> Result<SequenceDef, SqlError> {
    let mut sequence = SequenceDef {
        id,
        schema: schema.to_string(),
        name: name.to_string(),
        ty,
        start: 0,
        increment: 1,
        min: 0,
        max: 0,
        cycle: false,
        cache: 1,
        comment: None,
    };
    set_options(&mut sequence, given, true)?;
    Ok(sequence)
}

/// Gives a sequence options, checked as PostgreSQL's init_params does; a fresh one has the defaults otherwise.
fn set_options(
    sequence: &mut SequenceDef,
    given: &SequenceOptions,
    fresh: bool,
) -> Result<(), SqlError> {
    let before = range(sequence.ty);
    if let Some(ty) = &given.ty {
        sequence.ty = integer_type(ty)?;
    }
    let (lowest, highest) = range(sequence.ty);
    // With another type go the limits that were those of the old one.
    let retyped = given.ty.is_some() && before != (lowest, highest);
    if let Some(increment) = given.increment {
        sequence.increment = increment;
    }
    if sequence.increment == 0 {
        return Err(invalid("INCREMENT must not be zero".to_string()));
    }
    let ascending = sequence.increment > 0;
    if let Some(cycle) = given.cycle {
        sequence.cycle = cycle;
    }
    match given.max {
        Some(Some(max)) => sequence.max = max,
        None if !(fresh || retyped && sequence.max == before.1) => {}
        _ => sequence.max = if ascending { highest } else { -1 },
    }
    match given.min {
        Some(Some(min)) => sequence.min = min,
        None if !(fresh || retyped && sequence.min == before.0) => {}
        _ => sequence.min = if ascending { 1 } else { lowest },
    }
    let (min, max) = (sequence.min, sequence.max);
    let shown = types::name(sequence.ty);
    if max > highest || max < lowest {
        return Err(invalid(format!(
            "MAXVALUE ({max}) is out of range for sequence data type {shown}"
        )));
    }
    if min < lowest || min > highest {
        return Err(invalid(format!(
            "MINVALUE ({min}) is out of range for sequence data type {shown}"
        )));
    }
    if min >= max {
        return Err(invalid(format!(
            "MINVALUE ({min}) must be less than MAXVALUE ({max})"
        )));
    }
    match given.start {
        Some(start) => sequence.start = start,
        None if fresh => sequence.start = if ascending { min } else { max },
        None => {}
    }
    check_limits(sequence, "START", sequence.start)?;
    if let Some(cache) = given.cache {
        sequence.cache = cache;
    }
    if sequence.cache < 1 {
        return Err(invalid(format!(
            "CACHE ({}) must be greater than zero",
            sequence.cache
        )));
    }
    Ok(())
}

/// 22023 when a number lies outside a sequence's limits.
pub(crate) fn check_limits(sequence: &SequenceDef, what: &str, value: i64) -> Result<(), SqlError> {
    let (min, max) = (sequence.min, sequence.max);
    if value < min {
        return Err(invalid(format!(
            "{what} value ({value}) cannot be less than MINVALUE ({min})"
        )));
    }
    if value > max {
        return Err(invalid(format!(
            "{what} value ({value}) cannot be greater than MAXVALUE ({max})"
        )));
    }
    Ok(())
}

fn number(expr: &Expr) -> Result<i64, SqlError> {
    let text = literal_text(expr).unwrap_or_else(|| expr.to_string());
    match crate::text::parse(ColumnType::Int8, &text)? {
        tidelog_storage::Datum::Int8(value) => Ok(value),
        _ => Err(invalid(format!("invalid sequence option \"{text}\""))),
    }
}

fn integer_type(ty: &DataType) -> Result<ColumnType, SqlError> {
    match types::column_type(ty)? {
        ty @ (ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8) => Ok(ty),
        _ => {
            let message = "sequence type must be smallint, integer, or bigint";
            Err(invalid(message.to_string()))
        }
    }
}

pub(super) fn create(
    scope: Scope<'_>,
    name: &ObjectName,
    data_type: Option<&DataType>,
    options: &[AstOptions],
    owned_by: Option<&ObjectName>,
    if_not_exists: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("CREATE SEQUENCE");
    let (schema, name) = super::table::target(scope, name)?;
    if is_taken(scope, &schema, &name) {
        let error = super::table::duplicate_table(&name);
        if !if_not_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(plan);
    }
    let ty = data_type.map_or(Ok(ColumnType::Int8), integer_type)?;
    let id = scope.catalog.next_table_id;
    let sequence = define(id, (&schema, &name), ty, options)?;
    if let Some(owner) = owned_by.filter(|owner| !is_none(owner)) {
        alter::set_owner(scope, &sequence, owner, &mut plan)?;
    }
    plan.changes.push(CatalogChange::PutSequence(sequence));
    Ok(plan)
}

/// Whether OWNED BY says NONE.
fn is_none(owner: &ObjectName) -> bool {
    owner.to_string().eq_ignore_ascii_case("none")
}

/// Whether a relation has the name.
pub(super) fn is_taken(scope: Scope<'_>, schema: &str, name: &str) -> bool {
    let catalog = scope.catalog;
    catalog.table(schema, name).is_some()
        || catalog.view(schema, name).is_some()
        || catalog.sequence(schema, name).is_some()
}

pub(super) fn drop(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
    cascades: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP SEQUENCE");
    for name in names {
        let (schema, short) = split(name)?;
        let sequence = match resolve(scope.catalog, scope.search_path, name) {
            Ok(sequence) => sequence,
            Err(_) => {
                if let Some(error) = kinds::another(scope, schema.as_deref(), &short, "SEQUENCE") {
                    return Err(error);
                }
                let error = match &schema {
                    Some(schema) if !scope.catalog.schemas.contains(schema) => no_schema(schema),
                    _ => SqlError::new(
                        ErrorKind::UndefinedTable,
                        format!("sequence \"{short}\" does not exist"),
                    ),
                };
                if !if_exists {
                    return Err(error);
                }
                plan.skip(error);
                continue;
            }
        };
        for table in scope.catalog.tables.values() {
            let owns = |column: &&ColumnDef| column.sequence == Some(sequence.id);
            let identity = (table.columns.iter()).find(|of| owns(of) && of.identity.is_some());
            if let Some(column) = identity {
                let message = format!(
                    "cannot drop sequence {} because column {} of table {} requires it",
                    sequence.name, column.name, table.name
                );
                let error = SqlError::new(ErrorKind::DependentObjectsStillExist, message);
                return Err(error.hint(format!(
                    "You can drop column {} of table {} instead.",
                    column.name, table.name
                )));
            }
            let default = default_of(sequence);
            let draws = |column: &&ColumnDef| column.default.as_deref() == Some(default.as_str());
            if let Some(column) = table.columns.iter().find(draws).filter(|_| !cascades) {
                let depends = format!(
                    "default value for column {} of table {} depends on sequence {}",
                    column.name, table.name, sequence.name
                );
                let message = format!(
                    "cannot drop sequence {} because other objects depend on it",
                    sequence.name
                );
                let error = SqlError::new(ErrorKind::DependentObjectsStillExist, message);
                return Err(error
                    .detail(depends)
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            let mut new = TableDef::clone(table);
            for column in &mut new.columns {
                if draws(&&*column) {
                    column.default = None;
                }
                if owns(&&*column) {
                    column.sequence = None;
                }
            }
            if new != **table {
                plan.changes.push(CatalogChange::PutTable(Box::new(new)));
            }
        }
        plan.changes.push(CatalogChange::DropSequence {
            schema: sequence.schema.clone(),
            name: sequence.name.clone(),
        });
    }
    Ok(plan)
}

/// The default of a column that draws from a sequence.
pub(crate) fn default_of(sequence: &SequenceDef) -> String {
    let name = format!(
        "{}.{}",
        identifier(&sequence.schema),
        identifier(&sequence.name)
    );
    format!("nextval('{}'::regclass)", name.replace('\'', "''"))
}

/// Whether an expression is `nextval('name')` or `nextval('name'::regclass)` and nothing else.
pub(crate) fn is_draw(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else {
        return false;
    };
    let FunctionArguments::List(list) = &function.args else {
        return false;
    };
    let name = function.name.0.last().and_then(|part| part.as_ident());
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else {
        return false;
    };
    let literal = match argument {
        Expr::Cast { expr, .. } => expr,
        argument => argument,
    };
    name.is_some_and(|name| super::fold(name) == "nextval") && matches!(literal, Expr::Value(_))
}

/// The integer type of a serial type; `None` for other types.
pub(super) fn serial(ty: &DataType) -> Option<ColumnType> {
    let DataType::Custom(name, modifiers) = ty else {
        return None;
    };
    if !modifiers.is_empty() {
        return None;
    }
    Some(match name.to_string().to_ascii_lowercase().as_str() {
        "smallserial" | "serial2" => ColumnType::Int2,
        "serial" | "serial4" => ColumnType::Int4,
        "bigserial" | "serial8" => ColumnType::Int8,
        _ => return None,
    })
}

/// A name for the sequence of a column that no other relation has, and none of `taken`.
pub(super) fn name_for(
    scope: Scope<'_>,
    (schema, table): (&str, &str),
    column: &str,
    taken: &[SequenceDef],
) -> String {
    // After makeObjectName in PostgreSQL's indexcmds.c: the longer part is cut.
    let make = |suffix: &str| {
        let (mut table, mut column) = (table.to_string(), column.to_string());
        while table.len() + column.len() + suffix.len() + 2 > super::NAME_LENGTH_MAX {
            let longer = if table.len() > column.len() {
                &mut table
            } else {
                &mut column
            };
            if longer.pop().is_none() {
                break;
            }
        }
        let mut name = format!("{table}_{column}_{suffix}");
        truncate_name(&mut name);
        name
    };
    let free = |name: &String| {
        !is_taken(scope, schema, name) && taken.iter().all(|other| other.name != *name)
    };
    std::iter::once(make("seq"))
        .chain((1..).map(|number| make(&format!("seq{number}"))))
        .find(free)
        .expect("there are more numbers than relations")
}

/// The steps that take away the sequences of columns that go.
pub(super) fn drop_owned<'c>(
    scope: Scope<'_>,
    columns: impl IntoIterator<Item = &'c ColumnDef>,
) -> Vec<CatalogChange> {
    let owned = columns.into_iter().filter_map(|column| column.sequence);
    let found = owned.filter_map(|id| scope.catalog.sequence_by_id(id));
    found
        .map(|sequence| CatalogChange::DropSequence {
            schema: sequence.schema.clone(),
            name: sequence.name.clone(),
        })
        .collect()
}
