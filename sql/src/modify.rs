//! UPDATE and DELETE: the rows are found by a query, then superseded one by one in the transaction.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, Delete, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, SetExpr,
    TableFactor, TableWithJoins, Update, UpdateTableFromKind,
};
use futures::TryStreamExt;
use tidelog_storage::catalog::Identity;
use tidelog_storage::{
    Catalog, ColumnDef, ColumnType, CommitError, Datum, DatumRef, Partition, Row, RowVersion, Seq,
    TableDef,
};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::functions;
use crate::output::{self, OutputColumn};
use crate::parse::walk::Walk;
use crate::parse::{item, parse_expression, parse_query, quoted};
use crate::plan::{parameter_types, subqueries};
use crate::provider::{SEQ, Scope, USER};
use crate::returning::{Returned, Written};
use crate::row::{
    Write, assign, check_given, constant, infer, is_default, no_parameter, own_partition,
    placeholder,
};
use crate::session::{Outcome, Prepared, QueryPlan, RETRIES_MAX, Session};
use crate::turns::Turns;

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

/// A row that the query found.
pub(crate) struct Found {
    pub(crate) partition: Partition,
    pub(crate) version: RowVersion,
    /// The values that the query computed behind the table's columns.
    pub(crate) computed: Vec<Datum>,
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
        let value =
            |column: usize| output::value(batch.column(column), row).map(DatumRef::to_owned);
        let seq = match value(0)? {
            Datum::Int8(seq) => Seq::from_i64(seq),
            _ => None,
        };
        let Some(seq) = seq else {
            return Err(SqlError::new(ErrorKind::InternalError, "a row has no Seq"));
        };
        let (partition, first) = match sees_user {
            true => match value(1)? {
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
                row: (first..width).map(value).collect::<Result<_, _>>()?,
            },
            computed: (width..batch.num_columns())
                .map(value)
                .collect::<Result<_, _>>()?,
        })
    }

    /// A row of which nothing else was computed.
    pub(crate) fn of(partition: Partition, version: RowVersion) -> Found {
        Found {
            partition,
            version,
            computed: Vec::new(),
        }
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
                let table = ddl::resolve(catalog, &self.search_path(), name)?;
                ddl::materialized::check_changeable(table)?;
                Ok(table.clone())
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
        let relations = self.update_relations(update, &table, &types, catalog)?;
        let mut expressions = changes.expressions;
        expressions.extend(all_columns(&relations));
        let plan = self.plan_found_among(
            &table,
            &beside(&update.table, update_sources(update)),
            update.selection.clone(),
            expressions,
            None,
            &types,
            catalog,
        )?;
        Ok((parameter_types(&plan.plan, &types)?, plan))
    }

    fn changes(&self, update: &Update, table: &TableDef) -> Result<Changes, SqlError> {
        let mut changes = Changes::default();
        let called = match &update.table.relation {
            TableFactor::Table {
                alias: Some(alias), ..
            } => ddl::fold(&alias.name),
            _ => table.name.clone(),
        };
        for (index, value) in assigned_columns(&update.assignments, table, &called)? {
            let column = &table.columns[index];
            check_assignable(column, &value)?;
            if column.generated.is_some() {
                continue;
            }
            let value = match (is_default(&value), &column.default) {
                (false, _) => value,
                (true, Some(sql)) => parse_expression(sql)?,
                (true, None) => Expr::Value(ast::Value::Null.into()),
            };
            let new = if let Expr::Value(literal) = &value
                && let ast::Value::Placeholder(name) = &literal.value
            {
                NewValue::Parameter(placeholder(name)?)
            } else {
                // Of what shape an array may be is seen when it is assigned.
                let ty = column.ty.elements().map_or(column.ty, ColumnType::Shaped);
                match constant(&value, ty, &[], &[], &column.name, self.style())? {
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
        let from = delete_from(delete)?;
        let others = delete.using.as_deref().unwrap_or_default();
        let relations = self.delete_relations(delete, &table, given, catalog)?;
        self.plan_found_among(
            &table,
            &beside(from, others),
            delete.selection.clone(),
            all_columns(&relations),
            None,
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
        limit: Option<usize>,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        let from = std::slice::from_ref(from);
        self.plan_found_among(table, from, selection, expressions, limit, given, catalog)
    }

    /// The same query over relations of which the first is the table.
    #[allow(clippy::too_many_arguments)] // Each is a clause of the query, or what its names mean.
    pub(crate) fn plan_found_among(
        &self,
        table: &TableDef,
        from: &[TableWithJoins],
        selection: Option<Expr>,
        expressions: Vec<Expr>,
        limit: Option<usize>,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        let limit = limit.map(|rows| format!(" LIMIT {rows}"));
        let limit = limit.unwrap_or_default();
        let mut query = parse_query(&format!("SELECT {SEQ} FROM t{limit}"))?;
        let SetExpr::Select(select) = &mut *query.body else {
            return Err(SqlError::new(
                ErrorKind::InternalError,
                "a SELECT was expected",
            ));
        };
        let called = alias_of(&from[0]).map_or_else(|| table.name.clone(), ddl::fold);
        if sees_others(&from[1..]) {
            self.sources(&from[1..], given, catalog)
                .map_err(|error| of_target(error, &called))?;
        }
        let column = |name: &str| {
            item(match from {
                [_] => Expr::Identifier(quoted(name)),
                _ => Expr::CompoundIdentifier(vec![quoted(&called), quoted(name)]),
            })
        };
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
        select.from = from.to_vec();
        select.selection = selection;
        let plan = self.plan_query(query, given, catalog)?;
        Ok(plan.shortened(self.state()))
    }

    /// What RETURNING may name: the table, and the relations of FROM or USING. Without rows.
    pub(crate) fn written_and(
        &self,
        table: &TableDef,
        target: &TableWithJoins,
        others: &[TableWithJoins],
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<Vec<Returned>, SqlError> {
        let mut relations = vec![Returned::of_table(table, alias_of(target), Vec::new())];
        if others.is_empty() {
            return Ok(relations);
        }
        let plan = self.sources(others, given, catalog)?;
        for (qualifier, field) in plan.schema().iter() {
            let name = qualifier.map_or("", |qualifier| qualifier.table());
            let column = (field.name().clone(), output::column_type(field)?);
            match relations.iter_mut().skip(1).find(|r| r.alias == name) {
                Some(relation) => relation.columns.push(column),
                None => relations.push(Returned {
                    alias: name.to_string(),
                    columns: vec![column],
                    pseudo: Vec::new(),
                    rows: Vec::new(),
                }),
            }
        }
        Ok(relations)
    }

    /// The relations of FROM or USING without the table, which they do not see.
    fn sources(
        &self,
        others: &[TableWithJoins],
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        let mut query = parse_query("SELECT * FROM t")?;
        if let SetExpr::Select(select) = &mut *query.body {
            select.from = others.to_vec();
        }
        self.plan_select(query, given, catalog)
    }

    /// What an UPDATE's RETURNING may name; nothing without one.
    fn update_relations(
        &self,
        update: &Update,
        table: &TableDef,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<Vec<Returned>, SqlError> {
        match &update.returning {
            None => Ok(Vec::new()),
            Some(items) => {
                let others = update_sources(update);
                let mut relations =
                    self.written_and(table, &update.table, others, given, catalog)?;
                let sees_user = self.access(catalog).sees_user(table);
                relations[0].show_pseudo(items, sees_user, Written::Updated)?;
                Ok(relations)
            }
        }
    }

    /// What a DELETE's RETURNING may name; nothing without one.
    fn delete_relations(
        &self,
        delete: &Delete,
        table: &TableDef,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<Vec<Returned>, SqlError> {
        match &delete.returning {
            None => Ok(Vec::new()),
            Some(items) => {
                let others = delete.using.as_deref().unwrap_or_default();
                let from = delete_from(delete)?;
                let mut relations = self.written_and(table, from, others, given, catalog)?;
                let sees_user = self.access(catalog).sees_user(table);
                relations[0].show_pseudo(items, sees_user, Written::Deleted)?;
                Ok(relations)
            }
        }
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
        let mut seen = HashSet::new();
        let (mut room, mut turns) = (self.room(), Turns::default());
        while let Some(batch) = batches.try_next().await? {
            for row in 0..batch.num_rows() {
                let row = Found::of_batch(table, &scope, sees_user, &batch, row)?;
                // Where several rows of another relation match one, the first is taken.
                if !seen.insert((row.partition.clone(), row.version.seq)) {
                    continue;
                }
                room.take(&row.version.row)?;
                found.push(row);
            }
            turns.worked(batch.num_rows()).await;
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
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let planned;
        let plan = match self.current(prepared, &scope) {
            Some(plan) => plan,
            None => {
                planned = self.update_query(update, &given, &catalog)?.1;
                &planned
            }
        };
        let (found, columns) = self
            .find(&table, plan, scope.clone(), types, values)
            .await?;
        let changes = self.changes(update, &table)?;
        let mut relations = self.update_relations(update, &table, &given, &catalog)?;
        let width = columns.len() - found_width(&relations, changes.expressions.len());
        let computed = &columns[width..];
        let mut writes = Vec::with_capacity(found.len());
        let mut turns = Turns::default();
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
            check_given(&table, &row)?;
            writes.push(found.becomes(Some(row)));
            turns.worked(1).await;
        }
        let rows = writes.iter_mut().filter_map(|write| write.new.as_mut());
        self.generate(&table, rows).await?;
        put_rows(&mut relations, &found, changes.expressions.len());
        if !self.lock_writes(&scope, &table, found, &writes).await? {
            return Ok(None);
        }
        self.change(&table, &writes).await?;
        match &update.returning {
            None => Ok(Some(Outcome::Command(format!("UPDATE {}", writes.len())))),
            Some(items) => {
                relations[0].put(writes, self.transaction_number());
                let given = (types.as_slice(), values);
                self.returning(&table, relations, items, given, &catalog, "UPDATE")
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
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let planned;
        let plan = match self.current(prepared, &scope) {
            Some(plan) => plan,
            None => {
                planned = self.delete_query(delete, &given, &catalog)?;
                &planned
            }
        };
        let mut relations = self.delete_relations(delete, &table, &given, &catalog)?;
        let (found, _) = self
            .find(&table, plan, scope.clone(), types, values)
            .await?;
        let writes: Vec<Write> = found.iter().map(|found| found.becomes(None)).collect();
        put_rows(&mut relations, &found, 0);
        if !self.lock_writes(&scope, &table, found, &writes).await? {
            return Ok(None);
        }
        self.change(&table, &writes).await?;
        match &delete.returning {
            None => Ok(Some(Outcome::Command(format!("DELETE {}", writes.len())))),
            Some(items) => {
                relations[0].put(writes, self.transaction_number());
                let given = (types.as_slice(), values);
                self.returning(&table, relations, items, given, &catalog, "DELETE")
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
        let waited = self.lock_to_change(table, writes).await?;
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

/// The name of what stands first in FROM, if it is a relation.
pub(crate) fn relation(table: &ast::TableWithJoins) -> Option<&ast::ObjectName> {
    match &table.relation {
        TableFactor::Table { name, .. } => Some(name),
        _ => None,
    }
}

/// The relations of UPDATE … FROM.
pub(crate) fn update_sources(update: &Update) -> &[TableWithJoins] {
    match &update.from {
        None => &[],
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from,
    }
}

pub(crate) fn beside(target: &TableWithJoins, others: &[TableWithJoins]) -> Vec<TableWithJoins> {
    let mut all = vec![target.clone()];
    all.extend_from_slice(others);
    all
}

/// Whether a relation may name columns of those before it: a function, or what is LATERAL.
fn sees_others(from: &[TableWithJoins]) -> bool {
    struct Lateral;
    impl ast::Visitor for Lateral {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Derived { lateral: false, .. }
                | TableFactor::Table { args: None, .. }
                | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        }
    }
    from.iter().any(|from| from.walk(&mut Lateral).is_break())
}

/// 42P10 where a relation names the table that is changed.
fn of_target(error: SqlError, called: &str) -> SqlError {
    let of_column = format!("column {called}.");
    let of_table = format!("missing FROM-clause entry for table \"{called}\"");
    if error.message != of_table && !error.message.starts_with(&of_column) {
        return error;
    }
    let message = format!("invalid reference to FROM-clause entry for table \"{called}\"");
    let hint = format!(
        "There is an entry for table \"{called}\", but it cannot be referenced from this part of the query."
    );
    SqlError::new(ErrorKind::InvalidColumnReference, message).hint(hint)
}

/// What a relation is called, if it has a name of its own.
fn alias_of(relation: &TableWithJoins) -> Option<&Ident> {
    match &relation.relation {
        TableFactor::Table { alias, .. } => alias.as_ref().map(|alias| &alias.name),
        _ => None,
    }
}

/// The columns of the relations beside the table.
fn all_columns(relations: &[Returned]) -> Vec<Expr> {
    let others = relations.iter().skip(1);
    others
        .flat_map(|relation| {
            let alias = quoted(&relation.alias);
            let columns = relation.columns.iter();
            columns
                .map(move |(name, _)| Expr::CompoundIdentifier(vec![alias.clone(), quoted(name)]))
        })
        .collect()
}

fn found_width(relations: &[Returned], computed: usize) -> usize {
    let others = relations.iter().skip(1);
    computed + others.map(|relation| relation.columns.len()).sum::<usize>()
}

/// Gives the relations beside the table their rows, which stand behind `computed` values.
fn put_rows(relations: &mut [Returned], found: &[Found], computed: usize) {
    let mut at = computed;
    for relation in relations.iter_mut().skip(1) {
        let end = at + relation.columns.len();
        relation.rows = found
            .iter()
            .map(|found| found.computed[at..end].to_vec())
            .collect();
        at = end;
    }
}

/// 428C9 for a value of a column that only its definition gives values.
pub(crate) fn check_assignable(column: &ColumnDef, value: &Expr) -> Result<(), SqlError> {
    let is = match (column.identity, &column.generated) {
        _ if is_default(value) => return Ok(()),
        (_, Some(_)) => "a generated column",
        (Some(Identity::Always), None) => "an identity column defined as GENERATED ALWAYS",
        _ => return Ok(()),
    };
    let name = &column.name;
    let message = format!("column \"{name}\" can only be updated to DEFAULT");
    let detail = format!("Column \"{name}\" is {is}.");
    Err(SqlError::new(ErrorKind::GeneratedAlways, message).detail(detail))
}

/// The arguments of what an assignment to an element of a column is written as, without the column.
fn element_assigned(value: &mut Expr) -> Option<&mut Vec<FunctionArg>> {
    let Expr::Function(call) = value else {
        return None;
    };
    match &mut call.args {
        FunctionArguments::List(list)
            if [functions::ASSIGNED, functions::SLICE_ASSIGNED]
                .contains(&call.name.to_string().as_str()) =>
        {
            Some(&mut list.args)
        }
        _ => None,
    }
}

/// The columns that an UPDATE sets, and to what. Its table is called `called` there.
pub(crate) fn assigned_columns(
    assignments: &[ast::Assignment],
    table: &TableDef,
    called: &str,
) -> Result<Vec<(usize, Expr)>, SqlError> {
    let mut assigned: Vec<(usize, Expr)> = Vec::new();
    let mut assign = |name: &ast::ObjectName, mut value: Expr| {
        let column = name
            .0
            .first()
            .and_then(|part| part.as_ident())
            .map_or_else(String::new, ddl::fold);
        let Some(index) = table.column_index(&column).filter(|_| name.0.len() == 1) else {
            let message = format!(
                "column \"{column}\" of relation \"{}\" does not exist",
                table.name
            );
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        };
        let before = assigned.iter().position(|(known, _)| *known == index);
        if let Some(args) = element_assigned(&mut value) {
            let whole = match before {
                Some(at) if element_assigned(&mut assigned[at].1).is_some() => {
                    assigned.remove(at).1
                }
                _ => Expr::CompoundIdentifier(vec![quoted(called), quoted(&column)]),
            };
            args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(whole)));
        }
        if assigned.iter().any(|(known, _)| *known == index) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        assigned.push((index, value));
        Ok(())
    };
    for assignment in assignments {
        match &assignment.target {
            ast::AssignmentTarget::ColumnName(name) => assign(name, assignment.value.clone())?,
            ast::AssignmentTarget::Tuple(names) => {
                let values = subqueries::spread(&assignment.value, names.len())?;
                for (name, value) in names.iter().zip(values) {
                    assign(name, value)?;
                }
            }
        }
    }
    Ok(assigned)
}
