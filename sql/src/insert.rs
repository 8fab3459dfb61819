//! INSERT: rows into a transaction.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, Insert, SetExpr};
use futures::TryStreamExt;
use tidelog_storage::catalog::Identity;
use tidelog_storage::datum::datum_at;
use tidelog_storage::{Catalog, ColumnType, Datum, DatumRef, Partition, Row, TableDef};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::output;
use crate::parse::Overriding;
use crate::returning::{Returned, Written};
use crate::row::{
    self, RowMaker, Target, Write, assign, cell, check_assignable, constant, infer_placeholder,
    is_default, own_partition, targets,
};
use crate::session::{Outcome, Prepared, QueryPlan, Session, ToRun};
use crate::turns::Turns;
use crate::upsert::Conflicts;

impl Session {
    /// The table that an INSERT writes to.
    pub(crate) fn insert_target(
        &self,
        insert: &Insert,
        catalog: &Catalog,
    ) -> Result<Arc<TableDef>, SqlError> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a table function"));
        };
        if insert
            .source
            .as_ref()
            .is_some_and(|source| source.with.is_some() && source.to_string().contains("RETURNING"))
        {
            return Err(SqlError::unsupported("a data-modifying statement in WITH"));
        }
        let table = ddl::resolve(catalog, &self.search_path(), name)?;
        ddl::materialized::check_changeable(table)?;
        Ok(table.clone())
    }

    fn insert_targets(
        &self,
        insert: &Insert,
        table: &TableDef,
        catalog: &Catalog,
    ) -> Result<Vec<Target>, SqlError> {
        let name = |name: &ast::ObjectName| {
            name.0
                .last()
                .and_then(|part| part.as_ident())
                .map_or_else(String::new, ddl::fold)
        };
        let names: Vec<String> = insert.columns.iter().map(name).collect();
        targets(table, &names, &self.access(catalog))
    }

    /// The types of an INSERT's parameters, and the plan of its query, if it has one.
    pub(crate) fn insert_parameters(
        &self,
        insert: &Insert,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<(Vec<ColumnType>, Option<QueryPlan>), SqlError> {
        let table = self.insert_target(insert, catalog)?;
        let targets = self.insert_targets(insert, &table, catalog)?;
        let mut types = given.to_vec();
        let mut query = None;
        match insert.source.as_ref().map(|source| &*source.body) {
            Some(SetExpr::Values(rows))
                if insert.source.as_deref().is_some_and(has_plain_values) =>
            {
                for row in &rows.rows {
                    for (expr, target) in row.iter().zip(&targets) {
                        infer_placeholder(&mut types, expr, target.ty(&table))?;
                    }
                }
                // Parameters inside expressions are typed by the expression.
                for expr in rows.rows.iter().flat_map(|row| row.iter()) {
                    if !matches!(expr, Expr::Value(_)) && expr.to_string().contains('$') {
                        self.infer_expression(expr, &mut types, catalog)?;
                    }
                }
            }
            Some(_) => {
                if let Some(source) = &insert.source {
                    // As a bare string, a bare parameter is of its column's type.
                    for (expr, target) in plain_items(source).zip(&targets) {
                        infer_placeholder(&mut types, expr, target.ty(&table))?;
                    }
                    let plan = self.plan_query((**source).clone(), &types, catalog)?;
                    let known = crate::plan::known_parameters(&plan.plan, &types)?;
                    query = Some(match known == types {
                        true => plan,
                        // What it tells of its parameters may change how it is planned.
                        false => self.plan_query((**source).clone(), &known, catalog)?,
                    });
                    types = known;
                }
            }
            None => {}
        }
        self.conflict_parameters(insert, &table, &mut types, catalog)?;
        let types = types.into_iter();
        let types = types.map(|ty| ty.unwrap_or(ColumnType::Text)).collect();
        Ok((types, query))
    }

    pub(crate) fn row_maker(
        &self,
        table: &Arc<TableDef>,
        targets: Vec<Target>,
        catalog: &Catalog,
    ) -> Result<RowMaker, SqlError> {
        Ok(RowMaker {
            defaults: self.defaults(table, catalog)?,
            own_partition: own_partition(table, &self.access(catalog)),
            table: table.clone(),
            targets,
            now_us: self.started().timestamp_micros(),
            sequences: self.sequences(),
            store: self.store().clone(),
            style: self.style(),
        })
    }

    /// Evaluates an expression and converts it to a column's type.
    pub(crate) async fn evaluate_as(&self, expr: &Expr, ty: ColumnType) -> Result<Datum, SqlError> {
        if let Some(value) = constant(expr, ty, &[], &[], "default", self.style())? {
            return Ok(value);
        }
        let (value, from) = self.evaluate(expr, &[], &[]).await?;
        assign(value, from, ty, "default", self.style())
    }

    /// The values of defaults that need the engine, by column, for so many rows.
    pub(crate) async fn evaluate_defaults(
        &self,
        table: &TableDef,
        open: &[(usize, Expr)],
        rows: usize,
    ) -> Result<Vec<Vec<(usize, Datum)>>, SqlError> {
        let mut sets = vec![Vec::with_capacity(open.len()); rows];
        for (index, expr) in open {
            let column = &table.columns[*index];
            let query = format!("SELECT {expr} FROM generate_series(1, {rows})");
            let (values, from) = self.evaluate_query(&query, &[], &[]).await?;
            for (set, value) in sets.iter_mut().zip(values) {
                let value = assign(value, from, column.ty, &column.name, self.style())?;
                set.push((*index, value));
            }
        }
        Ok(sets)
    }

    /// Adds new rows to the transaction, with their generated columns, once no other one has their keys.
    pub(crate) async fn insert_rows(
        &mut self,
        table: &Arc<TableDef>,
        writes: &mut [Write],
    ) -> Result<(), SqlError> {
        let rows = writes.iter_mut().filter_map(|write| write.new.as_mut());
        self.generate(table, rows).await?;
        self.insert_generated(table, writes).await
    }

    /// The same of rows that have their generated columns.
    pub(crate) async fn insert_generated(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        self.lock_new(table, writes).await?;
        self.change(table, writes).await
    }

    pub(crate) async fn insert(
        &mut self,
        insert: &Insert,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let table = self.insert_target(insert, &catalog)?;
        let targets = self.insert_targets(insert, &table, &catalog)?;
        let maker = self.row_maker(&table, targets.clone(), &catalog)?;
        let types = &prepared.parameters;
        let mut rows: Vec<(Partition, Row)> = Vec::new();
        let (mut room, mut turns) = (self.room(), Turns::default());
        let plain_values = insert.source.as_deref().is_some_and(has_plain_values);
        match insert.source.as_ref().map(|source| &*source.body) {
            Some(SetExpr::Values(list)) if plain_values => {
                let given = |at: usize| {
                    let mut rows = list.rows.iter();
                    rows.any(|row| row.get(at).is_some_and(|expr| !is_default(expr)))
                };
                check_targets(&table, &targets, given, prepared.overriding())?;
                for exprs in &list.rows {
                    check_width(exprs.len(), targets.len(), !insert.columns.is_empty())?;
                    let mut given = Vec::with_capacity(exprs.len());
                    let mut maker = maker.clone();
                    maker.targets.truncate(exprs.len());
                    let mut kept = Vec::with_capacity(exprs.len());
                    for (expr, target) in exprs.iter().zip(&targets) {
                        if is_default(expr) || ignored(&table, target, prepared) {
                            continue;
                        }
                        let (ty, name) = (target.ty(&table), target.name(&table));
                        let value = match constant(expr, ty, types, values, name, self.style())? {
                            Some(value) => value,
                            None => {
                                let (value, from) = self.evaluate(expr, types, values).await?;
                                assign(value, from, ty, name, self.style())?
                            }
                        };
                        kept.push(*target);
                        given.push(value);
                    }
                    maker.targets = kept;
                    let mut evaluated = Vec::new();
                    for (index, expr) in maker.open_defaults() {
                        evaluated.push((
                            index,
                            self.evaluate_as(&expr, table.columns[index].ty).await?,
                        ));
                    }
                    rows.push(maker.row(given, &evaluated)?);
                    turns.worked(1).await;
                }
            }
            Some(_) => {
                let source = insert.source.as_ref().map(|source| (**source).clone());
                let Some(source) = source else {
                    return Err(SqlError::unsupported("INSERT without rows"));
                };
                let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
                let literals: Vec<bool> = plain_items(&source).map(is_bare_string).collect();
                let open: Vec<bool> = plain_items(&source).map(is_open).collect();
                let plan = match self.current(prepared, &scope) {
                    Some(planned) => planned.to_run(self.state()),
                    None => ToRun::analyzed(self.plan_select(source, &given, &catalog)?),
                };
                let columns = output::columns(plan.plan.schema().as_arrow())?;
                check_width(columns.len(), targets.len(), !insert.columns.is_empty())?;
                check_targets(
                    &table,
                    &targets,
                    |at| at < columns.len(),
                    prepared.overriding(),
                )?;
                for (at, (column, target)) in columns.iter().zip(&targets).enumerate() {
                    if open.get(at) != Some(&true) {
                        check_assignable(column.ty, target.ty(&table), target.name(&table))?;
                    }
                }
                let mut maker = maker.clone();
                maker.targets.truncate(columns.len());
                maker
                    .targets
                    .retain(|target| !ignored(&table, target, prepared));
                let mut expressions = Vec::new();
                for (index, expr) in maker.open_defaults() {
                    let ty = table.columns[index].ty;
                    expressions.push((index, expr, ty));
                }
                let source = match prepared.as_of() {
                    None => scope.clone(),
                    past => self.query_scope(past, types, values).await?,
                };
                let batches = self.run_plan(plan, source, types, values, true);
                let mut batches = batches.await?;
                let open = maker.open_defaults();
                while let Some(batch) = batches.try_next().await? {
                    let sets = self.evaluate_defaults(&table, &open, batch.num_rows());
                    for (index, evaluated) in sets.await?.into_iter().enumerate() {
                        let mut given = Vec::with_capacity(columns.len());
                        let items = batch.columns().iter().zip(&columns).zip(&targets);
                        for (at, ((array, column), target)) in items.enumerate() {
                            if ignored(&table, target, prepared) {
                                continue;
                            }
                            let (ty, style) = (target.ty(&table), self.style());
                            let value = datum_at(array, index);
                            given.push(match value {
                                Some(DatumRef::Text(text)) if literals.get(at) == Some(&true) => {
                                    row::read(ty, text, target.name(&table), style)?
                                }
                                _ => cell(array, index, column, ty, target.name(&table), style)?,
                            });
                        }
                        let made = maker.row(given, &evaluated)?;
                        room.take(&made.1)?;
                        rows.push(made);
                        turns.worked(1).await;
                    }
                }
            }
            None => {
                let mut maker = maker.clone();
                maker.targets.clear();
                let mut evaluated = Vec::new();
                for (index, expr) in maker.open_defaults() {
                    evaluated.push((
                        index,
                        self.evaluate_as(&expr, table.columns[index].ty).await?,
                    ));
                }
                rows.push(maker.row(Vec::new(), &evaluated)?);
            }
        }
        let writes = match Conflicts::of(insert, &table)? {
            Some(conflicts) => {
                self.insert_or(&conflicts, &table, rows, types, values)
                    .await?
            }
            None => {
                let mut writes: Vec<Write> = rows.into_iter().map(Write::insert).collect();
                self.insert_rows(&table, &mut writes).await?;
                writes
            }
        };
        let count = writes.len();
        match &insert.returning {
            None => Ok(Outcome::Command(format!("INSERT 0 {count}"))),
            Some(items) => {
                let alias = insert.table_alias.as_ref().map(|alias| &alias.alias);
                let mut relation = Returned::of_table(&table, alias, Vec::new());
                relation.show_pseudo(items, scope.access.sees_user(&table), Written::Inserted)?;
                relation.put(writes, self.transaction_number());
                let given = (types.as_slice(), values);
                self.returning(&table, vec![relation], items, given, &catalog, "INSERT 0")
                    .await
            }
        }
    }
}

/// Whether the source of an INSERT is VALUES and nothing else.
fn has_plain_values(source: &ast::Query) -> bool {
    source.with.is_none()
        && source.order_by.is_none()
        && source.limit_clause.is_none()
        && matches!(&*source.body, SetExpr::Values(_))
}

/// Whether the statement's value for a target gives way to that of the column's sequence.
fn ignored(table: &TableDef, target: &Target, prepared: &Prepared) -> bool {
    match target {
        Target::Column(index) => {
            prepared.overriding() == Some(Overriding::User)
                && table.columns[*index].identity.is_some()
        }
        Target::User => false,
    }
}

/// The expressions of a select list, up to the first item that may be several.
fn plain_items(source: &ast::Query) -> impl Iterator<Item = &Expr> {
    let items = match &*source.body {
        SetExpr::Select(select) if select.distinct.is_none() => select.projection.as_slice(),
        _ => &[],
    };
    items.iter().map_while(|item| match item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr)
        }
        _ => None,
    })
}

/// Whether an expression is a string without a type.
fn is_bare_string(expr: &Expr) -> bool {
    let Expr::Value(value) = expr else {
        return false;
    };
    use ast::Value::{DollarQuotedString, EscapedStringLiteral, SingleQuotedString};
    matches!(
        &value.value,
        SingleQuotedString(_) | EscapedStringLiteral(_) | DollarQuotedString(_)
    )
}

/// Whether an expression is of the type that its place wants.
fn is_open(expr: &Expr) -> bool {
    let is_open =
        |value: &ast::Value| matches!(value, ast::Value::Null | ast::Value::Placeholder(_));
    is_bare_string(expr) || matches!(expr, Expr::Value(value) if is_open(&value.value))
}

/// 428C9 when a statement gives values to a column that takes none; `given` tells to which targets it gives some.
fn check_targets(
    table: &TableDef,
    targets: &[Target],
    given: impl Fn(usize) -> bool,
    overriding: Option<Overriding>,
) -> Result<(), SqlError> {
    for (at, target) in targets.iter().enumerate() {
        let Target::Column(index) = target else {
            continue;
        };
        let column = &table.columns[*index];
        let identity = column.identity == Some(Identity::Always) && overriding.is_none();
        if !(identity || column.generated.is_some()) || !given(at) {
            continue;
        }
        let name = &column.name;
        let message = format!("cannot insert a non-DEFAULT value into column \"{name}\"");
        let error = SqlError::new(ErrorKind::GeneratedAlways, message);
        return Err(match identity {
            true => error
                .detail(format!(
                    "Column \"{name}\" is an identity column defined as GENERATED ALWAYS."
                ))
                .hint("Use OVERRIDING SYSTEM VALUE to override."),
            false => error.detail(format!("Column \"{name}\" is a generated column.")),
        });
    }
    Ok(())
}

fn check_width(expressions: usize, targets: usize, named: bool) -> Result<(), SqlError> {
    if expressions > targets {
        return Err(SqlError::new(
            ErrorKind::SyntaxError,
            "INSERT has more expressions than target columns",
        ));
    }
    if named && expressions < targets {
        return Err(SqlError::new(
            ErrorKind::SyntaxError,
            "INSERT has more target columns than expressions",
        ));
    }
    Ok(())
}
