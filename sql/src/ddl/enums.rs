//! CREATE, ALTER and DROP TYPE of enum types.

use datafusion::sql::sqlparser::ast::{
    AlterType, AlterTypeAddValuePosition, AlterTypeOperation, Ident, ObjectName,
};
use tidelog_storage::{
    Catalog, CatalogChange, ColumnType, ElementType, EnumDef, EnumLabel, EnumType, TableDef,
};

use super::{DdlPlan, Scope, display, fold, no_schema, split};
use crate::error::{ErrorKind, SqlError};

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
            // Their texts name types.
            let mut computed = (scope.catalog.tables.values()).flat_map(|table| &table.computed);
            if computed.any(|it| it.expression.contains(&definition.name)) {
                return Err(SqlError::unsupported("renaming a type that an index names"));
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
        AlterTypeOperation::RenameValue(_) => {
            // Rows hold labels.
            return Err(SqlError::unsupported("ALTER TYPE … RENAME VALUE"));
        }
    }
    follow(scope, of, EnumType::new(definition), &mut plan);
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
    follow(scope, of, EnumType::new(definition), plan);
    Ok(())
}

/// Gives the columns of a type that was changed the new one.
fn follow(scope: Scope<'_>, of: EnumType, new: EnumType, plan: &mut DdlPlan) {
    for table in users(scope, of) {
        let mut table = TableDef::clone(table);
        for column in &mut table.columns {
            column.ty = match column.ty {
                ColumnType::Enum(old) if old == of => ColumnType::Enum(new),
                ColumnType::Array(ElementType::Enum(old)) if old == of => {
                    ColumnType::Array(ElementType::Enum(new))
                }
                ty => ty,
            };
        }
        table.bump_schema_version();
        plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    }
}

fn is_of(ty: ColumnType, of: EnumType) -> bool {
    ty == ColumnType::Enum(of) || ty == ColumnType::Array(ElementType::Enum(of))
}

/// The tables with a column of the type.
fn users(scope: Scope<'_>, of: EnumType) -> impl Iterator<Item = &TableDef> {
    let tables = scope.catalog.tables.values().map(|table| &**table);
    tables.filter(move |table| table.columns.iter().any(|column| is_of(column.ty, of)))
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
        if let Some(table) = users(scope, of).next() {
            if cascades {
                return Err(SqlError::unsupported(
                    "DROP TYPE … CASCADE of a type in use",
                ));
            }
            let column = table.columns.iter().find(|column| is_of(column.ty, of));
            let column = column.map_or("", |column| column.name.as_str());
            let message = format!(
                "cannot drop type {} because other objects depend on it",
                definition.name
            );
            return Err(
                SqlError::new(ErrorKind::DependentObjectsStillExist, message)
                    .detail(format!(
                        "column {column} of table {} depends on type {}",
                        table.name, definition.name
                    ))
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
