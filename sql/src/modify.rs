//! UPDATE and DELETE: the rows are found by a query, then superseded one by one in the transaction.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast::{
    self, Delete, Expr, Ident, SetExpr, TableFactor, TableWithJoins, Update,
};
use futures::TryStreamExt;
use tidelog_storage::{
    Catalog, ColumnType, CommitError, Datum, Partition, Row, RowVersion, Seq, TableDef, datum,
};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::locking::Patience;
use crate::output::{self, OutputColumn};
use crate::parse::{item, parse_expression, parse_query, quoted};
use crate::plan::parameter_types;
use crate::provider::{SEQ, Scope, USER};
use crate::row::{
    Write, assign, check_not_null, constant, infer, is_default, no_parameter, own_partition,
    placeholder,
};
use crate::session::{Outcome, Prepared, QueryPlan, RETRIES_MAX, Session};

/// What an UPDATE does to each row.
#[derive(Default)]
struct Changes {
    /// Columns, and what they are given.
    columns: Vec<(usize, NewValue)>,
    /// What the query that finds the rows computes.
    expressions: Vec<Expr>,
}

/// What an UPDATE gives one column.
enum NewValue {
    /// A literal, also one that is the default.
    Constant(Datum),
    /// `$n`, from 0.
    Parameter(usize),
    /// The value of the expression at this index.
    Computed(usize),
}

/// The end of the query that finds the rows.
#[derive(Default)]
pub(crate) struct Tail {
    pub(crate) order_by: Option<ast::OrderBy>,
    pub(crate) limit: Option<usize>,
}

/// A row that the query found.
pub(crate) struct Found {
    pub(crate) partition: Partition,
    pub(crate) version: RowVersion,
    /// The values that the query computed behind the table's columns.
    computed: Vec<Datum>,
}

impl Found {
    /// The row at an index of a batch of the query that `Session::plan_found` makes, `computed` values aside.
    pub(crate) fn of_batch(
        table: &TableDef,
        scope: &Scope,
        sees_user: bool,
        batch: &RecordBatch,
        row: usize,
    ) -> Result<Found, SqlError> {
        let value = |column: usize| {
            datum::datum_at(batch.column(column), row).map_or(Datum::Null, |value| value.to_owned())
        };
        let seq = match value(0) {
            Datum::Int8(seq) => Seq::from_i64(seq),
            _ => None,
        };
        let Some(seq) = seq else {
            return Err(SqlError::new(ErrorKind::InternalError, "a row has no Seq"));
        };
        let (partition, first) = match sees_user {
            true => match value(1) {
                Datum::Text(user) => (Partition::user(&user), 2),
                _ => return Err(SqlError::new(ErrorKind::InternalError, "a row has no user")),
            },
            false => (own_partition(table, &scope.access), 1),
        };
        let width = first + table.columns.len();
        Ok(Found {
            partition,
            version: RowVersion {
                seq,
                row: (first..width).map(value).collect(),
            },
            computed: (width..batch.num_columns()).map(value).collect(),
        })
    }

    /// The change of the row into another, or into none.
    pub(crate) fn becomes(&self, new: Option<Row>) -> Write {
        Write {
            partition: self.partition.clone(),
            old: Some(self.version.clone()),
            new,
        }
    }
}

impl Session {
    pub(crate) fn update_target(
        &self,
        update: &Update,
        catalog: &Catalog,
    ) -> Result<Arc<TableDef>, SqlError> {
        if update.from.is_some() {
            return Err(SqlError::unsupported("UPDATE … FROM"));
        }
        if update.limit.is_some() || !update.order_by.is_empty() {
            return Err(SqlError::new(
                ErrorKind::SyntaxError,
                "UPDATE takes no ORDER BY or LIMIT",
            ));
        }
        self.target(&update.table, catalog)
    }

    pub(crate) fn delete_target(
        &self,
        delete: &Delete,
        catalog: &Catalog,
    ) -> Result<Arc<TableDef>, SqlError> {
        if delete.using.is_some() {
            return Err(SqlError::unsupported("DELETE … USING"));
        }
        if delete.limit.is_some() || !delete.order_by.is_empty() || !delete.tables.is_empty() {
            return Err(SqlError::new(
                ErrorKind::SyntaxError,
                "DELETE takes no ORDER BY or LIMIT",
            ));
        }
        self.target(delete_from(delete)?, catalog)
    }

    fn target(&self, table: &TableWithJoins, catalog: &Catalog) -> Result<Arc<TableDef>, SqlError> {
        match &table.relation {
            TableFactor::Table {
                name, args: None, ..
            } if table.joins.is_empty() => {
                ddl::resolve(catalog, &self.search_path(), name).cloned()
            }
            _ => Err(SqlError::unsupported("modifying anything but one table")),
        }
    }

    /// The query that finds an UPDATE's rows, and the types of its parameters.
    pub(crate) fn update_query(
        &self,
        update: &Update,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<(Vec<ColumnType>, QueryPlan), SqlError> {
        let table = self.update_target(update, catalog)?;
        let changes = self.changes(update, &table)?;
        let mut types = given.to_vec();
        for (column, value) in changes.columns {
            if let NewValue::Parameter(at) = value {
                infer(&mut types, at, table.columns[column].ty);
            }
        }
        let plan = self.plan_found(
            &table,
            &update.table,
            update.selection.clone(),
            changes.expressions,
            Tail::default(),
            &types,
            catalog,
        )?;
        Ok((parameter_types(&plan.plan, &types)?, plan))
    }

    fn changes(&self, update: &Update, table: &TableDef) -> Result<Changes, SqlError> {
        let mut changes = Changes::default();
        for (index, value) in assigned_columns(&update.assignments, table)? {
            let column = &table.columns[index];
            let value = match (is_default(value), &column.default) {
                (false, _) => value.clone(),
                (true, Some(sql)) => parse_expression(sql)?,
                (true, None) => Expr::Value(ast::Value::Null.into()),
            };
            let new = if let Expr::Value(literal) = &value
                && let ast::Value::Placeholder(name) = &literal.value
            {
                NewValue::Parameter(placeholder(name)?)
            } else {
                match constant(&value, column.ty, &[], &[], &column.name, self.style())? {
                    Some(value) => NewValue::Constant(value),
                    None => {
                        changes.expressions.push(value);
                        NewValue::Computed(changes.expressions.len() - 1)
                    }
                }
            };
            changes.columns.push((index, new));
        }
        Ok(changes)
    }

    /// The query that finds a DELETE's rows.
    pub(crate) fn delete_query(
        &self,
        delete: &Delete,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        let table = self.delete_target(delete, catalog)?;
        self.plan_found(
            &table,
            delete_from(delete)?,
            delete.selection.clone(),
            Vec::new(),
            Tail::default(),
            given,
            catalog,
        )
    }

    /// The query that finds the rows: `_seq`, `_user` where the role sees it, the table's columns, `expressions`.
    #[allow(clippy::too_many_arguments)] // Each is a clause of the query, or what its names mean.
    pub(crate) fn plan_found(
        &self,
        table: &TableDef,
        from: &TableWithJoins,
        selection: Option<Expr>,
        expressions: Vec<Expr>,
        tail: Tail,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        let limit = tail.limit.map(|rows| format!(" LIMIT {rows}"));
        let limit = limit.unwrap_or_default();
        let mut query = parse_query(&format!("SELECT {SEQ} FROM t{limit}"))?;
        query.order_by = tail.order_by;
        let SetExpr::Select(select) = &mut *query.body else {
            return Err(SqlError::new(
                ErrorKind::InternalError,
                "a SELECT was expected",
            ));
        };
        let column = |name: &str| item(Expr::Identifier(quoted(name)));
        select.projection = vec![column(SEQ)];
        if self.access(catalog).sees_user(table) {
            select.projection.push(column(USER));
        }
        select
            .projection
            .extend(table.columns.iter().map(|c| column(&c.name)));
        let named = |(n, expr)| ast::SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', format!("new {n}")),
        };
        select
            .projection
            .extend(expressions.into_iter().enumerate().map(named));
        select.from = vec![from.clone()];
        select.selection = selection;
        let plan = self.plan_query(query, given, catalog)?;
        Ok(plan.shortened(self.state()))
    }

    pub(crate) async fn find(
        &self,
        table: &Arc<TableDef>,
        plan: &QueryPlan,
        scope: Arc<Scope>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<(Vec<Found>, Vec<OutputColumn>), SqlError> {
        let sees_user = scope.access.sees_user(table);
        let columns = output::columns(plan.plan.schema().as_arrow())?;
        let mut batches = self
            .run_query(plan, &columns, scope.clone(), types, values)
            .await?;
        let mut found = Vec::new();
        let mut room = self.room();
        while let Some(batch) = batches.try_next().await? {
            for row in 0..batch.num_rows() {
                let row = Found::of_batch(table, &scope, sees_user, &batch, row)?;
                room.take(&row.version.row)?;
                found.push(row);
            }
        }
        Ok((found, columns))
    }

    pub(crate) async fn update(
        &mut self,
        update: &Update,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        for _ in 0..RETRIES_MAX {
            if let Some(outcome) = self.try_update(update, prepared, values).await? {
                return Ok(outcome);
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// `None` when rows changed before they were locked.
    async fn try_update(
        &mut self,
        update: &Update,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Option<Outcome>, SqlError> {
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let table = self.update_target(update, &catalog)?;
        let types = &prepared.parameters;
        let planned;
        let plan = match self.current(prepared, &scope) {
            Some(plan) => plan,
            None => {
                let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
                planned = self.update_query(update, &given, &catalog)?.1;
                &planned
            }
        };
        let (found, columns) = self
            .find(&table, plan, scope.clone(), types, values)
            .await?;
        let changes = self.changes(update, &table)?;
        let computed = &columns[columns.len() - changes.expressions.len()..];
        let mut writes = Vec::with_capacity(found.len());
        for found in &found {
            let mut row = found.version.row.clone();
            for (index, new) in &changes.columns {
                let column = &table.columns[*index];
                let (value, from) = match new {
                    NewValue::Constant(value) => (value, column.ty),
                    NewValue::Parameter(at) => match (values.get(*at), types.get(*at)) {
                        (Some(value), Some(from)) => (value, *from),
                        _ => return Err(no_parameter(*at)),
                    },
                    NewValue::Computed(at) => (&found.computed[*at], computed[*at].ty),
                };
                row[*index] = assign(value.clone(), from, column.ty, &column.name, self.style())?;
            }
            check_not_null(&table, &row)?;
            writes.push(found.becomes(Some(row)));
        }
        if !self.lock_writes(&scope, &table, found, &writes).await? {
            return Ok(None);
        }
        self.change(&table, &writes).await?;
        match &update.returning {
            None => Ok(Some(Outcome::Command(format!("UPDATE {}", writes.len())))),
            Some(items) => {
                let rows = writes.into_iter().filter_map(|write| write.new).collect();
                self.returning(&table, items, rows, &catalog, "UPDATE")
                    .await
                    .map(Some)
            }
        }
    }

    pub(crate) async fn delete(
        &mut self,
        delete: &Delete,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        for _ in 0..RETRIES_MAX {
            if let Some(outcome) = self.try_delete(delete, prepared, values).await? {
                return Ok(outcome);
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// `None` when rows changed before they were locked.
    async fn try_delete(
        &mut self,
        delete: &Delete,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Option<Outcome>, SqlError> {
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let table = self.delete_target(delete, &catalog)?;
        let types = &prepared.parameters;
        let planned;
        let plan = match self.current(prepared, &scope) {
            Some(plan) => plan,
            None => {
                let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
                planned = self.delete_query(delete, &given, &catalog)?;
                &planned
            }
        };
        let (found, _) = self
            .find(&table, plan, scope.clone(), types, values)
            .await?;
        let writes: Vec<Write> = found.iter().map(|found| found.becomes(None)).collect();
        if !self.lock_writes(&scope, &table, found, &writes).await? {
            return Ok(None);
        }
        self.change(&table, &writes).await?;
        match &delete.returning {
            None => Ok(Some(Outcome::Command(format!("DELETE {}", writes.len())))),
            Some(items) => {
                let rows = writes.into_iter().filter_map(|write| write.old);
                let rows = rows.map(|version| version.row).collect();
                self.returning(&table, items, rows, &catalog, "DELETE")
                    .await
                    .map(Some)
            }
        }
    }

    /// Locks the rows that are to change; `false` when they are not what they were any more.
    pub(crate) async fn lock_writes(
        &mut self,
        scope: &Scope,
        table: &Arc<TableDef>,
        found: Vec<Found>,
        writes: &[Write],
    ) -> Result<bool, SqlError> {
        let locks = writes.iter().flat_map(|write| write.locks(table));
        let waited = self.lock(table, locks.collect(), Patience::Waits).await?;
        let same = self.as_found(scope, table, found, waited).await?;
        Ok(same.is_some())
    }
}

pub(crate) fn delete_from(delete: &Delete) -> Result<&TableWithJoins, SqlError> {
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) =
        &delete.from;
    match tables.as_slice() {
        [table] => Ok(table),
        _ => Err(SqlError::unsupported("DELETE from several tables")),
    }
}

/// The columns that an UPDATE sets, and to what.
pub(crate) fn assigned_columns<'a>(
    assignments: &'a [ast::Assignment],
    table: &TableDef,
) -> Result<Vec<(usize, &'a Expr)>, SqlError> {
    let mut assigned: Vec<(usize, &Expr)> = Vec::new();
    for assignment in assignments {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(SqlError::unsupported("SET (a, b) = …"));
        };
        let column = name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map_or_else(String::new, ddl::fold);
        let Some(index) = table.column_index(&column).filter(|_| name.0.len() == 1) else {
            let message = format!(
                "column \"{column}\" of relation \"{}\" does not exist",
                table.name
            );
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        };
        if assigned.iter().any(|(known, _)| *known == index) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        assigned.push((index, &assignment.value));
    }
    Ok(assigned)
}
