//! CREATE TABLE (LIKE …): columns and what belongs to them, written out as if they had been given.

use datafusion::sql::sqlparser::ast::{ColumnDef, CreateTable, TableConstraint};
use datafusion::sql::sqlparser::parser::ParserError;
use tidelog_storage::catalog::{Identity, IndexDef, TablePart};
use tidelog_storage::{ColumnId, ColumnType, ElementType, TableDef, TableKind};

use crate::ddl::{DdlPlan, Evaluate, Scope, names, resolve, split, view};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{Like, identifier, parser_of};
use crate::types;

/// A type as a statement names it, whatever the search path.
pub(crate) fn written_type(ty: ColumnType) -> String {
    match ty {
        // Arrays that may have several dimensions are told from others where types are read again.
        ColumnType::Shaped(element) => format!("{}[][]", written_type(element.into())),
        ColumnType::Enum(of) | ColumnType::Array(ElementType::Enum(of)) => {
            format!(
                "{}.{}",
                identifier(&of.definition().schema),
                types::name(ty)
            )
        }
        // Read again, "character" has a length of 1.
        ColumnType::Bpchar(None) => "bpchar".to_string(),
        ColumnType::Array(ElementType::Bpchar(None)) => "bpchar[]".to_string(),
        ty => types::name(ty),
    }
}

/// A column by its definition in SQL.
pub(crate) fn parse_column(sql: &str) -> Result<ColumnDef, SqlError> {
    let parser = parser_of(sql);
    let parsed = parser.and_then(|mut parser| parser.parse_column_def());
    parsed.map_err(|error| unreadable(sql, &error))
}

fn parse_constraint(sql: &str) -> Result<TableConstraint, SqlError> {
    let parser = parser_of(sql);
    let parsed = parser.and_then(|mut parser| parser.parse_optional_table_constraint());
    match parsed {
        Ok(Some(constraint)) => Ok(constraint),
        Ok(None) => Err(SqlError::new(ErrorKind::InternalError, sql)),
        Err(error) => Err(unreadable(sql, &error)),
    }
}

fn unreadable(sql: &str, error: &ParserError) -> SqlError {
    SqlError::new(ErrorKind::InternalError, format!("{sql}: {error}"))
}

/// What a LIKE takes over once the table is there.
#[derive(Default)]
struct Later<'a> {
    indexes: Vec<(&'a TableDef, &'a IndexDef)>,
    /// On columns and constraints, by name.
    comments: Vec<(Option<String>, TablePart, String)>,
}

pub(in crate::ddl) fn create(
    scope: Scope<'_>,
    create: &CreateTable,
    kind: Option<TableKind>,
    likes: &[Like],
    evaluate: Evaluate<'_>,
) -> Result<DdlPlan, SqlError> {
    let mut written = create.clone();
    let mut later = Later::default();
    // From the last, so that the places of the others stay.
    for like in likes.iter().rev() {
        expand(scope, &mut written, like, &mut later)?;
    }
    let mut plan = super::create(scope, &written, kind, evaluate)?;
    let made = plan.changes.iter_mut().find_map(|change| match change {
        tidelog_storage::CatalogChange::PutTable(table) => Some(&mut **table),
        _ => None,
    });
    let Some(table) = made else {
        return Ok(plan);
    };
    for (source, index) in later.indexes {
        let column = |table: &TableDef, id: &ColumnId| {
            let at = source.index_of(*id)?;
            let at = table.column_index(&source.columns[at].name)?;
            Some(table.columns[at].id)
        };
        // Expressions name the columns, which have the same names there.
        let moved = |table: &mut TableDef, id: &ColumnId| match source.computed_of(*id) {
            Some(of) => Some(table.put_computed(of.expression.clone(), of.ty)),
            None => column(table, id),
        };
        let all = |table: &mut TableDef, ids: &[ColumnId]| {
            let ids = ids.iter().map(|id| moved(table, id)).collect::<Option<_>>();
            ids.ok_or_else(|| SqlError::unsupported("INCLUDING INDEXES"))
        };
        let columns: Vec<ColumnId> = all(table, &index.columns)?;
        let included: Vec<ColumnId> = all(table, &index.included)?;
        let predicate: Vec<ColumnId> = all(table, index.predicate.as_slice())?;
        let called = crate::ddl::index::called(source, index);
        let name = names::index_name(scope, table, None, &called, "idx")?;
        let orders = index.orders.clone();
        let put = crate::ddl::index::put_index(table, name, columns, orders, index.unique, true);
        (put.predicate, put.included) = (predicate.first().copied(), included);
    }
    for (column, part, text) in later.comments {
        let part = match column.and_then(|name| table.column_index(&name)) {
            Some(at) => TablePart::Column(table.columns[at].id),
            None => part,
        };
        table.comments.push((part, text));
    }
    Ok(plan)
}

fn expand<'a>(
    scope: Scope<'a>,
    written: &mut CreateTable,
    like: &Like,
    later: &mut Later<'a>,
) -> Result<(), SqlError> {
    let (schema, name) = split(&like.source)?;
    let path = scope.search_path;
    let found = view::find_view(scope.catalog, path, schema.as_deref(), &name);
    if let Some(view) = found {
        let column = |(name, ty): &(String, ColumnType)| {
            parse_column(&format!("{} {}", identifier(name), written_type(*ty)))
        };
        let columns: Vec<ColumnDef> = view.columns.iter().map(column).collect::<Result<_, _>>()?;
        written.columns.splice(like.at..like.at, columns);
        return Ok(());
    }
    let source: &TableDef = resolve(scope.catalog, path, &like.source)?;
    let including = like.including;
    let mut columns = Vec::with_capacity(source.columns.len());
    for column in &source.columns {
        let mut sql = format!("{} {}", quoted(&column.name), written_type(column.ty));
        if column.not_null {
            sql.push_str(" NOT NULL");
        }
        let sequence = column
            .sequence
            .and_then(|id| scope.catalog.sequence_by_id(id));
        match (column.identity, sequence, &column.default) {
            (Some(identity), Some(of), _) if including.identity => {
                let kind = match identity {
                    Identity::Always => "ALWAYS",
                    Identity::ByDefault => "BY DEFAULT",
                };
                let (increment, min, max) = (of.increment, of.min, of.max);
                let (start, cache) = (of.start, of.cache);
                let cycle = if of.cycle { "CYCLE" } else { "NO CYCLE" };
                sql.push_str(&format!(
                    " GENERATED {kind} AS IDENTITY (INCREMENT BY {increment} MINVALUE {min} \
                     MAXVALUE {max} START WITH {start} CACHE {cache} {cycle})"
                ));
            }
            (None, _, Some(default)) if including.defaults => {
                sql.push_str(&format!(" DEFAULT {default}"));
            }
            _ => {}
        }
        if let Some(expression) = column.generated.as_ref().filter(|_| including.generated) {
            sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
        }
        columns.push(parse_column(&sql)?);
    }
    written.columns.splice(like.at..like.at, columns);
    let listed = |ids: &[ColumnId]| {
        let names = ids.iter().filter_map(|id| source.index_of(*id));
        let names: Vec<String> = names.map(|at| quoted(&source.columns[at].name)).collect();
        names.join(", ")
    };
    let mut constraints = Vec::new();
    if including.constraints {
        let named =
            (source.checks.iter()).filter(|check| !crate::ddl::constraint::is_implied(&check.name));
        for check in named {
            let (name, condition) = (quoted(&check.name), &check.condition);
            constraints.push(parse_constraint(&format!(
                "CONSTRAINT {name} CHECK ({condition})"
            ))?);
        }
    }
    if including.indexes {
        if !source.primary_key.is_empty() {
            let columns = listed(&source.primary_key);
            constraints.push(parse_constraint(&format!("PRIMARY KEY ({columns})"))?);
        }
        for index in &source.indexes {
            match index.constraint {
                true => {
                    let columns = listed(&index.columns);
                    let when = crate::system::keys::deferral_clause(index.deferral);
                    let what = if index.primary {
                        "PRIMARY KEY"
                    } else {
                        "UNIQUE"
                    };
                    constraints.push(parse_constraint(&format!("{what} ({columns}){when}"))?);
                }
                false => later.indexes.push((source, index)),
            }
        }
    }
    written.constraints.splice(0..0, constraints);
    if including.comments {
        for (part, text) in &source.comments {
            let column = match part {
                TablePart::Column(id) => source.index_of(*id),
                TablePart::Constraint(name)
                    if including.constraints
                        && source.checks.iter().any(|check| check.name == *name) =>
                {
                    None
                }
                _ => continue,
            };
            let column = column.map(|at| source.columns[at].name.clone());
            later.comments.push((column, part.clone(), text.clone()));
        }
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    crate::parse::quoted(name).to_string()
}
