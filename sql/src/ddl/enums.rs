//! CREATE, ALTER and DROP TYPE of enum types.

pub(crate) mod texts;

use datafusion::sql::sqlparser::ast::{
    AlterType, AlterTypeAddValuePosition, AlterTypeOperation, Ident, ObjectName,
};
use tidelog_storage::{
    Catalog, CatalogChange, ColumnId, ColumnType, Datum, EnumDef, EnumLabel, EnumType, TableId,
    TableKind,
};

use super::{DdlPlan, Rewrite, Scope, display, fold, no_schema, split};
use crate::error::{ErrorKind, SqlError};
use crate::parse::identifier;

/// PostgreSQL's limit of a label, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// The enum type that a name stands for, or the type of its arrays.
pub(crate) fn find(
    catalog: &Catalog,
    search_path: &[String],
    schema: Option<&str>,
    name: &str,
) -> Option<ColumnType> {
    let of = |schema: &str| {
        let key = (schema.to_string(), name.to_string());
        catalog.types.get(&key).map(|of| ColumnType::Enum(*of))
    };
    match schema {
        Some(schema) => of(super::temp::resolved(search_path, schema)?),
        None => search_path.iter().find_map(|schema| of(schema)),
    }
}

pub(super) fn resolve(scope: Scope<'_>, name: &ObjectName) -> Result<EnumType, SqlError> {
    let (schema, name) = split(name)?;
    match find(scope.catalog, scope.search_path, schema.as_deref(), &name) {
        Some(ColumnType::Enum(of)) => Ok(of),
        _ => Err(SqlError::new(
            ErrorKind::UndefinedObject,
            format!(
                "type \"{}\" does not exist",
                display(schema.as_deref(), &name)
            ),
        )),
    }
}

fn label(ident: &Ident) -> Result<String, SqlError> {
    let name = ident.value.clone();
    if name.len() > LABEL_BYTES_MAX {
        return Err(SqlError::new(
            ErrorKind::InvalidName,
            format!("invalid enum label \"{name}\""),
        )
        .detail("Labels must be 63 bytes or less."));
    }
    Ok(name)
}

pub(super) fn create(
    scope: Scope<'_>,
    name: &ObjectName,
    labels: &[Ident],
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("CREATE TYPE");
    let (schema, name) = super::temp::place(scope, false, name, &mut plan)?;
    let key = (schema.clone(), name.clone());
    if scope.catalog.types.contains_key(&key) || scope.catalog.table(&schema, &name).is_some() {
        return Err(SqlError::new(
            ErrorKind::DuplicateObject,
            format!("type \"{name}\" already exists"),
        ));
    }
    let mut definition = EnumDef {
        oid: scope.catalog.next_type_oid(),
        schema,
        name,
        labels: Vec::with_capacity(labels.len()),
    };
    for (at, ident) in labels.iter().enumerate() {
        let name = label(ident)?;
        if definition.order(&name).is_some() {
            return Err(SqlError::new(
                ErrorKind::UniqueViolation,
                "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"",
            )
            .detail(format!(
                "Key (enumtypid, enumlabel)=({}, {name}) already exists.",
                definition.oid
            )));
        }
        let order = at as f64 + 1.0;
        definition.labels.push(EnumLabel { name, order });
    }
    plan.changes.push(CatalogChange::PutType(definition));
    Ok(plan)
}

pub(super) fn alter(scope: Scope<'_>, alter: &AlterType) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER TYPE");
    let of = resolve(scope, &alter.name)?;
    let mut definition = of.definition().clone();
    match &alter.operation {
        AlterTypeOperation::AddValue(add) => {
            let name = label(&add.value)?;
            if definition.order(&name).is_some() {
                let error = SqlError::new(
                    ErrorKind::DuplicateObject,
                    format!("enum label \"{name}\" already exists"),
                );
                if !add.if_not_exists {
                    return Err(error);
                }
                plan.skip(error);
                return Ok(plan);
            }
            let at = match &add.position {
                None => definition.labels.len(),
                Some(
                    position @ (AlterTypeAddValuePosition::Before(neighbour)
                    | AlterTypeAddValuePosition::After(neighbour)),
                ) => {
                    let found = definition
                        .labels
                        .iter()
                        .position(|label| label.name == neighbour.value);
                    let found = found.ok_or_else(|| {
                        SqlError::new(
                            ErrorKind::InvalidParameterValue,
                            format!("\"{}\" is not an existing enum label", neighbour.value),
                        )
                    })?;
                    found + usize::from(matches!(position, AlterTypeAddValuePosition::After(_)))
                }
            };
            let order = |at: usize| definition.labels.get(at).map(|label| label.order);
            let before = at.checked_sub(1).and_then(order);
            let order = match (before, order(at)) {
                (None, None) => 1.0,
                (Some(before), None) => before.floor() + 1.0,
                (None, Some(after)) => after.ceil() - 1.0,
                (Some(before), Some(after)) => {
                    let between = before + (after - before) / 2.0;
                    if between <= before || between >= after {
                        // Values in keys stand in their place for good.
                        return Err(SqlError::unsupported(
                            "another enum label between these two",
                        ));
                    }
                    between
                }
            };
            definition.labels.insert(at, EnumLabel { name, order });
            plan.changes
                .push(CatalogChange::PutType(definition.clone()));
        }
        AlterTypeOperation::Rename(rename) => {
            let name = fold(&rename.new_name);
            let key = (definition.schema.clone(), name.clone());
            if scope.catalog.types.contains_key(&key) {
                return Err(SqlError::new(
                    ErrorKind::DuplicateObject,
                    format!("type \"{name}\" already exists"),
                ));
            }
            plan.changes.push(CatalogChange::DropType {
                schema: definition.schema.clone(),
                name: definition.name.clone(),
            });
            definition.name = name;
            // The oid is its own: it was taken when the type was made.
            plan.changes
                .push(CatalogChange::PutType(definition.clone()));
        }
        AlterTypeOperation::RenameValue(rename) => {
            let (from, to) = (rename.from.value.clone(), label(&rename.to)?);
            let found = (definition.labels.iter()).position(|label| label.name == from);
            let Some(at) = found else {
                let message = format!("\"{from}\" is not an existing enum label");
                return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
            };
            if definition.order(&to).is_some() {
                let message = format!("enum label \"{to}\" already exists");
                return Err(SqlError::new(ErrorKind::DuplicateObject, message));
            }
            definition.labels[at].name.clone_from(&to);
            let put = CatalogChange::PutType(definition.clone());
            plan.changes.push(put);
            relabel(scope, of, EnumType::new(definition), (from, to), &mut plan)?;
            return Ok(plan);
        }
    }
    follow(scope, of, EnumType::new(definition), &mut plan)?;
    Ok(plan)
}

/// ALTER TYPE … SET SCHEMA.
pub(super) fn set_schema(
    scope: Scope<'_>,
    of: EnumType,
    schema: &str,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let mut definition = of.definition().clone();
    let key = (schema.to_string(), definition.name.clone());
    if scope.catalog.types.contains_key(&key) {
        let message = format!(
            "type \"{}\" already exists in schema \"{schema}\"",
            definition.name
        );
        return Err(SqlError::new(ErrorKind::DuplicateObject, message));
    }
    plan.changes.push(CatalogChange::DropType {
        schema: definition.schema.clone(),
        name: definition.name.clone(),
    });
    definition.schema = schema.to_string();
    let moved = definition.clone();
    plan.changes.push(CatalogChange::PutType(moved));
    follow(scope, of, EnumType::new(definition), plan)
}

/// Gives what is of a type that was changed, or names it, the new one.
fn follow(
    scope: Scope<'_>,
    old: EnumType,
    new: EnumType,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let change = texts::Change { old, new };
    for table in scope.catalog.tables.values() {
        let table = change.table(table)?.map(Box::new);
        plan.changes.extend(table.map(CatalogChange::PutTable));
    }
    for view in scope.catalog.views.values() {
        let view = change.view(view)?.map(Box::new);
        plan.changes.extend(view.map(CatalogChange::PutView));
    }
    Ok(())
}

/// Gives what is of a type, or names it, the type with another name for a label. Rows hold labels: they are written again.
fn relabel(
    scope: Scope<'_>,
    old: EnumType,
    new: EnumType,
    label: (String, String),
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let change = texts::Change { old, new };
    let mut next_id = scope.catalog.next_table_id;
    for before in scope.catalog.tables.values() {
        let Some(mut table) = change.table_with_label(before, &label)? else {
            continue;
        };
        let columns = before.columns.iter();
        let columns = columns.filter(|column| is_of(column.ty, old));
        let columns: Vec<ColumnId> = columns.map(|column| column.id).collect();
        if !columns.is_empty() {
            if table.kind == TableKind::Stream {
                let what = "ALTER TYPE … RENAME VALUE of a type that a STREAM table has";
                return Err(SqlError::unsupported(what));
            }
            table.id = TableId::new(next_id);
            next_id += 1;
            // No row of the new data is from before a column.
            for column in &mut table.columns {
                column.missing = Datum::Null;
            }
            plan.rewrites.push(Rewrite {
                from: before.id,
                to: table.id,
                columns,
                using: Vec::new(),
                label: Some(label.clone()),
            });
        }
        plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    }
    for view in scope.catalog.views.values() {
        let view = change.view_with_label(view, &label)?.map(Box::new);
        plan.changes.extend(view.map(CatalogChange::PutView));
    }
    plan.all_or_nothing = !plan.rewrites.is_empty();
    Ok(())
}

fn is_of(ty: ColumnType, of: EnumType) -> bool {
    ty.elements().map_or(ty, ColumnType::from) == ColumnType::Enum(of)
}

/// What depends on a type, as errors tell it.
fn dependents(scope: Scope<'_>, of: EnumType) -> Vec<String> {
    let depends =
        |what: String, ty: ColumnType| format!("{what} depends on type {}", crate::types::name(ty));
    let mut lines = Vec::new();
    for table in scope.catalog.tables.values() {
        let on = identifier(&table.name);
        for column in table.columns.iter().filter(|column| is_of(column.ty, of)) {
            let what = format!("column {} of table {on}", column.name);
            lines.push(depends(what, column.ty));
        }
        let named = texts::dependents(table, of).into_iter();
        lines.extend(named.map(|what| depends(what, ColumnType::Enum(of))));
    }
    let views = scope.catalog.views.values();
    let views = views.filter(|view| texts::view_depends(view, of.definition()));
    let views = views.map(|view| format!("view {}", identifier(&view.name)));
    lines.extend(views.map(|what| depends(what, ColumnType::Enum(of))));
    lines
}

pub(super) fn drop(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
    cascades: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP TYPE");
    for name in names {
        let of = match resolve(scope, name) {
            Ok(of) => of,
            Err(error) => {
                let (schema, _) = split(name)?;
                let error = match schema {
                    Some(schema) if !scope.catalog.schemas.contains(&schema) => no_schema(&schema),
                    _ => error,
                };
                if !if_exists {
                    return Err(error);
                }
                plan.skip(error);
                continue;
            }
        };
        let definition = of.definition();
        let lines = dependents(scope, of);
        if !lines.is_empty() {
            if cascades {
                return Err(SqlError::unsupported(
                    "DROP TYPE … CASCADE of a type in use",
                ));
            }
            let name = identifier(&definition.name);
            let message = format!("cannot drop type {name} because other objects depend on it");
            return Err(
                SqlError::new(ErrorKind::DependentObjectsStillExist, message)
                    .detail(lines.join("\n"))
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."),
            );
        }
        plan.changes.push(CatalogChange::DropType {
            schema: definition.schema.clone(),
            name: definition.name.clone(),
        });
    }
    Ok(plan)
}
