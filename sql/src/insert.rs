//! INSERT and COPY: rows into a transaction.

use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::{CastOptions, cast_with_options};
use bytes::Bytes;
use datafusion::sql::sqlparser::ast::{self, Expr, Insert, SetExpr, Statement, Value};
use futures::{StreamExt, TryStreamExt};
use parking_lot::RwLock;
use tidelog_storage::snapshot::Lookup;
use tidelog_storage::{
    Catalog, ColumnType, Datum, Partition, PartitionSet, Row, Store, TableDef, Transaction, datum,
};

use crate::copy::{CopyDecoder, CopyFormat, column_context, line_context};
use crate::ddl;
use crate::error::{ErrorKind, SqlError, unique_violation};
use crate::output::{self, OutputColumn};
use crate::parse;
use crate::provider::{Access, USER, blocking};
use crate::session::{Outcome, Prepared, Session};
use crate::{text, types};

/// A column that a statement gives values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The table's column at this index.
    Column(usize),
    /// The `_user` pseudo-column.
    User,
}

/// What fills a column that a statement leaves out.
#[derive(Clone, Debug)]
enum Default {
    Value(Datum),
    Now,
    SnowflakeId,
    Expression(Box<Expr>),
}

/// Makes whole rows of a table from the values that a statement gives.
#[derive(Clone)]
pub(crate) struct RowMaker {
    table: Arc<TableDef>,
    targets: Vec<Target>,
    defaults: Vec<Default>,
    own_partition: Partition,
    now_us: i64,
    store: Arc<Store>,
}

impl Target {
    fn name(self, table: &TableDef) -> &str {
        match self {
            Target::Column(index) => &table.columns[index].name,
            Target::User => USER,
        }
    }

    fn ty(self, table: &TableDef) -> ColumnType {
        match self {
            Target::Column(index) => table.columns[index].ty,
            Target::User => ColumnType::Text,
        }
    }
}

/// The columns that a list names; all of the table's when it is empty.
pub(crate) fn targets(
    table: &TableDef,
    names: &[String],
    access: &Access,
) -> Result<Vec<Target>, SqlError> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).map(Target::Column).collect());
    }
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        let target = match table.column_index(name) {
            Some(index) => Target::Column(index),
            None if name == USER && access.sees_user(table) => Target::User,
            None => {
                let message = format!(
                    "column \"{name}\" of relation \"{}\" does not exist",
                    table.name
                );
                return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
            }
        };
        if targets.contains(&target) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The partition that rows without a `_user` of their own go to.
pub(crate) fn own_partition(table: &TableDef, access: &Access) -> Partition {
    match access.partitions(table) {
        PartitionSet::One(partition) => partition,
        PartitionSet::All => Partition::user(&access.role),
    }
}

impl RowMaker {
    /// Turns the values of the targets into a whole row and its partition; `expressions` holds the values of
    /// defaults that need the engine, by column.
    fn row(
        &self,
        values: Vec<Datum>,
        expressions: &[(usize, Datum)],
    ) -> Result<(Partition, Row), SqlError> {
        let mut row: Vec<Option<Datum>> = vec![None; self.table.columns.len()];
        let mut partition = self.own_partition.clone();
        for (target, value) in self.targets.iter().zip(values) {
            match (target, value) {
                (Target::Column(index), value) => row[*index] = Some(value),
                (Target::User, Datum::Text(user)) => partition = Partition::user(&user),
                (Target::User, _) => {
                    let message = format!(
                        "null value in column \"{USER}\" of relation \"{}\"",
                        self.table.name
                    );
                    return Err(SqlError::new(ErrorKind::NotNullViolation, message));
                }
            }
        }
        let fill = |(index, value): (usize, Option<Datum>)| match value {
            Some(value) => value,
            None => match &self.defaults[index] {
                Default::Value(value) => value.clone(),
                Default::Now => self.now_as(self.table.columns[index].ty),
                Default::SnowflakeId => Datum::Int8(self.store.draw_ids(1).as_i64()),
                Default::Expression(_) => expressions
                    .iter()
                    .find(|(column, _)| *column == index)
                    .map_or(Datum::Null, |(_, value)| value.clone()),
            },
        };
        let row: Row = row.into_iter().enumerate().map(fill).collect();
        check_not_null(&self.table, &row)?;
        Ok((partition, row))
    }

    fn now_as(&self, ty: ColumnType) -> Datum {
        match ty {
            ColumnType::Timestamp => Datum::Timestamp(self.now_us),
            _ => Datum::TimestampTz(self.now_us),
        }
    }

    /// Defaults that need the engine, of columns that the statement leaves out.
    fn open_defaults(&self) -> Vec<(usize, Expr)> {
        let given = |index: &usize| self.targets.contains(&Target::Column(*index));
        let open = |(index, default): (usize, &Default)| match default {
            Default::Expression(expr) if !given(&index) => Some((index, (**expr).clone())),
            _ => None,
        };
        self.defaults.iter().enumerate().filter_map(open).collect()
    }
}

/// 23502 when a row has NULL where its table wants a value.
pub(crate) fn check_not_null(table: &TableDef, row: &[Datum]) -> Result<(), SqlError> {
    let keyed = |id| table.primary_key.contains(&id);
    let broken = table
        .columns
        .iter()
        .zip(row)
        .find(|(column, value)| (column.not_null || keyed(column.id)) && value.is_null());
    let Some((column, _)) = broken else {
        return Ok(());
    };
    let message = format!(
        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
        column.name, table.name
    );
    let mut shown = String::new();
    for (n, value) in row.iter().enumerate() {
        if n > 0 {
            shown.push_str(", ");
        }
        if value.is_null() {
            shown.push_str("null");
        }
        text::write(value.as_ref(), &mut shown);
    }
    let mut error = SqlError::new(ErrorKind::NotNullViolation, message)
        .detail(format!("Failing row contains ({shown})."));
    error.schema = Some(table.schema.clone());
    error.table = Some(table.name.clone());
    error.column = Some(column.name.clone());
    Err(error)
}

/// A value of one type as one of another, as an assignment in INSERT or UPDATE converts it.
pub(crate) fn assign(
    value: Datum,
    from: ColumnType,
    to: ColumnType,
    column: &str,
) -> Result<Datum, SqlError> {
    let is_text = |ty| matches!(ty, ColumnType::Text | ColumnType::Varchar(_));
    let unchanged = from == to && !matches!(to, ColumnType::Varchar(Some(_)));
    if value.is_null() || unchanged {
        return Ok(value);
    }
    if is_text(to) {
        let mut shown = String::new();
        text::write(value.as_ref(), &mut shown);
        return text::parse(to, &shown);
    }
    let mismatch = || {
        let message = format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            types::name(to),
            types::name(from)
        );
        SqlError::new(ErrorKind::DatatypeMismatch, message)
            .hint("You will need to rewrite or cast the expression.")
    };
    let numeric = |ty| {
        use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
        matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_))
    };
    let dated = |ty| {
        matches!(
            ty,
            ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz
        )
    };
    if matches!(to, ColumnType::Numeric(_)) && numeric(from) {
        let mut shown = String::new();
        text::write(value.as_ref(), &mut shown);
        return text::parse(to, &shown);
    }
    if !(numeric(from) && numeric(to) || dated(from) && dated(to)) {
        return Err(mismatch());
    }
    let mut builder = datum::ColumnBuilder::new(from);
    if let (Datum::Numeric(_), ColumnType::Numeric(_)) = (&value, from) {
        // Results of expressions have shapes of their own: go by way of text.
        let mut shown = String::new();
        text::write(value.as_ref(), &mut shown);
        let rounded = shown.parse::<f64>().map_err(|_| mismatch())?;
        return match to {
            ColumnType::Float4 | ColumnType::Float8 => text::parse(to, &shown),
            _ => text::parse(to, &format!("{:.0}", rounded)),
        };
    }
    builder.append(value.as_ref());
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let array = match (from, to) {
        // Arrow cuts fractions off; PostgreSQL rounds them.
        (
            ColumnType::Float4 | ColumnType::Float8,
            ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8,
        ) => {
            let number = match value {
                Datum::Float4(number) => f64::from(number),
                Datum::Float8(number) => number,
                _ => return Err(mismatch()),
            };
            return text::parse(to, &format!("{}", number.round_ties_even()));
        }
        _ => builder.finish(),
    };
    let cast = cast_with_options(&array, &to.arrow(), &options).map_err(|_| {
        SqlError::new(
            ErrorKind::NumericValueOutOfRange,
            format!("{} out of range", types::name(to)),
        )
    })?;
    Ok(datum::datum_at(&cast, 0).map_or(Datum::Null, |value| value.to_owned()))
}

/// A literal or parameter as a value of a column; `None` when it is any other expression.
pub(crate) fn constant(
    expr: &Expr,
    ty: ColumnType,
    types: &[ColumnType],
    values: &[Datum],
    column: &str,
) -> Result<Option<Datum>, SqlError> {
    Ok(Some(match expr {
        Expr::Value(value) => match &value.value {
            Value::Null => Datum::Null,
            Value::SingleQuotedString(literal) | Value::EscapedStringLiteral(literal) => {
                text::parse(ty, literal)?
            }
            Value::DollarQuotedString(literal) => text::parse(ty, &literal.value)?,
            Value::Number(digits, _) if is_numeric(ty) => match text::parse(ty, digits) {
                Ok(value) => value,
                Err(_) => return Ok(None),
            },
            Value::Boolean(value) if ty == ColumnType::Bool => Datum::Bool(*value),
            Value::Placeholder(name) => {
                let index = placeholder(name)?;
                let (Some(value), Some(from)) = (values.get(index), types.get(index)) else {
                    return Err(SqlError::new(
                        ErrorKind::ProtocolViolation,
                        format!("there is no parameter {name}"),
                    ));
                };
                assign(value.clone(), *from, ty, column)?
            }
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

fn is_numeric(ty: ColumnType) -> bool {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_))
}

/// The index of `$1`, ….
pub(crate) fn placeholder(name: &str) -> Result<usize, SqlError> {
    let number = name
        .strip_prefix('$')
        .and_then(|digits| digits.parse::<usize>().ok());
    match number
        .and_then(|number| number.checked_sub(1))
        .filter(|index| *index < 65_535)
    {
        Some(index) => Ok(index),
        None => Err(SqlError::new(
            ErrorKind::UndefinedParameter,
            format!("there is no parameter {name}"),
        )),
    }
}

fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}

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
        if insert.on.is_some() {
            return Err(SqlError::unsupported("INSERT … ON CONFLICT"));
        }
        if insert
            .source
            .as_ref()
            .is_some_and(|source| source.with.is_some() && source.to_string().contains("RETURNING"))
        {
            return Err(SqlError::unsupported("a data-modifying statement in WITH"));
        }
        ddl::resolve(catalog, &self.search_path(), name).cloned()
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

    /// The types of an INSERT's parameters.
    pub(crate) fn insert_parameters(
        &self,
        insert: &Insert,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<Vec<ColumnType>, SqlError> {
        let table = self.insert_target(insert, catalog)?;
        let targets = self.insert_targets(insert, &table, catalog)?;
        let mut types = given.to_vec();
        match insert.source.as_ref().map(|source| &*source.body) {
            Some(SetExpr::Values(rows)) => {
                for row in &rows.rows {
                    for (expr, target) in row.iter().zip(&targets) {
                        if let Expr::Value(value) = expr
                            && let Value::Placeholder(name) = &value.value
                        {
                            infer(&mut types, placeholder(name)?, target.ty(&table));
                        }
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
                    let plan = self.plan_select((**source).clone(), given, catalog)?;
                    return crate::plan::parameter_types(&plan, given);
                }
            }
            None => {}
        }
        Ok(types
            .into_iter()
            .map(|ty| ty.unwrap_or(ColumnType::Text))
            .collect())
    }

    fn row_maker(
        &self,
        table: &Arc<TableDef>,
        targets: Vec<Target>,
        catalog: &Catalog,
    ) -> Result<RowMaker, SqlError> {
        let defaults = table.columns.iter().map(|column| {
            let Some(sql) = &column.default else {
                return Ok(Default::Value(Datum::Null));
            };
            let expr = parse_expression(sql)?;
            Ok(match sql.to_ascii_lowercase().replace(' ', "").as_str() {
                "now()" | "current_timestamp"
                    if matches!(column.ty, ColumnType::Timestamp | ColumnType::TimestampTz) =>
                {
                    Default::Now
                }
                "snowflake_id()" if column.ty == ColumnType::Int8 => Default::SnowflakeId,
                _ => match constant(&expr, column.ty, &[], &[], &column.name)? {
                    Some(value) => Default::Value(value),
                    None => Default::Expression(Box::new(expr)),
                },
            })
        });
        Ok(RowMaker {
            defaults: defaults.collect::<Result<_, SqlError>>()?,
            own_partition: own_partition(table, &self.access(catalog)),
            table: table.clone(),
            targets,
            now_us: self.started().timestamp_micros(),
            store: self.store().clone(),
        })
    }

    /// Evaluates an expression and converts it to a column's type.
    pub(crate) async fn evaluate_as(&self, expr: &Expr, ty: ColumnType) -> Result<Datum, SqlError> {
        if let Some(value) = constant(expr, ty, &[], &[], "default")? {
            return Ok(value);
        }
        let (value, from) = self.evaluate(expr, &[], &[]).await?;
        assign(value, from, ty, "default")
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
        let mut expressions = Vec::new();
        for (index, expr) in maker.open_defaults() {
            let ty = table.columns[index].ty;
            expressions.push((index, expr, ty));
        }
        let types = &prepared.parameters;
        let mut rows: Vec<(Partition, Row)> = Vec::new();
        match insert.source.as_ref().map(|source| &*source.body) {
            Some(SetExpr::Values(list)) => {
                for exprs in &list.rows {
                    check_width(exprs.len(), targets.len(), !insert.columns.is_empty())?;
                    let mut given = Vec::with_capacity(exprs.len());
                    let mut maker = maker.clone();
                    maker.targets.truncate(exprs.len());
                    let mut kept = Vec::with_capacity(exprs.len());
                    for (expr, target) in exprs.iter().zip(&targets) {
                        if is_default(expr) {
                            continue;
                        }
                        let (ty, name) = (target.ty(&table), target.name(&table));
                        let value = match constant(expr, ty, types, values, name)? {
                            Some(value) => value,
                            None => {
                                let (value, from) = self.evaluate(expr, types, values).await?;
                                assign(value, from, ty, name)?
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
                }
            }
            Some(_) => {
                let source = insert.source.as_ref().map(|source| (**source).clone());
                let Some(source) = source else {
                    return Err(SqlError::unsupported("INSERT without rows"));
                };
                let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
                let plan = self.plan_select(source, &given, &catalog)?;
                let columns = output::columns(plan.schema().as_arrow())?;
                check_width(columns.len(), targets.len(), !insert.columns.is_empty())?;
                let mut maker = maker.clone();
                maker.targets.truncate(columns.len());
                let mut batches = self.run(plan, scope.clone(), types, values).await?;
                while let Some(batch) = batches.try_next().await? {
                    for index in 0..batch.num_rows() {
                        let mut given = Vec::with_capacity(columns.len());
                        for ((array, column), target) in
                            batch.columns().iter().zip(&columns).zip(&targets)
                        {
                            given.push(cell(
                                array,
                                index,
                                column,
                                target.ty(&table),
                                target.name(&table),
                            )?);
                        }
                        let mut evaluated = Vec::new();
                        for (index, expr, ty) in &expressions {
                            evaluated.push((*index, self.evaluate_as(expr, *ty).await?));
                        }
                        rows.push(maker.row(given, &evaluated)?);
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
        if self.defers_commit() {
            self.check_keys(&table, &rows).await?;
        }
        {
            let mut transaction = self.transaction().write();
            for (partition, row) in &rows {
                transaction.insert(&table, partition, row);
            }
        }
        let count = rows.len();
        match &insert.returning {
            None => Ok(Outcome::Command(format!("INSERT 0 {count}"))),
            Some(items) => {
                let rows = rows.into_iter().map(|(_, row)| row).collect();
                self.returning(&table, items, rows, &catalog, "INSERT 0")
                    .await
            }
        }
    }

    /// 23505 at once for keys that exist, where the commit comes later.
    async fn check_keys(
        &self,
        table: &Arc<TableDef>,
        rows: &[(Partition, Row)],
    ) -> Result<(), SqlError> {
        let key_indexes = table.key_indexes();
        if key_indexes.is_empty() {
            return Ok(());
        }
        let snapshot = self.store().snapshot();
        let mut seen = std::collections::HashSet::new();
        for (partition, row) in rows {
            let key: Vec<Datum> = key_indexes
                .iter()
                .map(|index| row[*index].clone())
                .collect();
            if !seen.insert((partition.clone(), format!("{key:?}"))) {
                return Err(unique_violation(table, &key));
            }
            let taken = {
                let (table, partition, key) = (table.clone(), partition.clone(), key.clone());
                let (snapshot, transaction) = (snapshot.clone(), self.transaction().clone());
                blocking(move || {
                    snapshot.lookup(&table, &partition, &key, Some(&transaction.read()))
                })
                .await
                .map_err(crate::error::from_datafusion)?
            };
            if taken != Lookup::Absent {
                return Err(unique_violation(table, &key));
            }
        }
        Ok(())
    }

    pub(crate) async fn copy(&mut self, statement: &Statement) -> Result<Outcome, SqlError> {
        let Statement::Copy {
            source,
            to,
            target,
            options,
            legacy_options,
            ..
        } = statement
        else {
            return Err(SqlError::new(ErrorKind::InternalError, "COPY was expected"));
        };
        if !matches!(target, ast::CopyTarget::Stdin | ast::CopyTarget::Stdout) {
            return Err(SqlError::unsupported("COPY with a file or program of the server").hint(
                "Use COPY … FROM STDIN or TO STDOUT; psql's \\copy does this with files of the client.",
            ));
        }
        let format = CopyFormat::from_options(options, legacy_options)?;
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        if !to {
            let ast::CopySource::Table {
                table_name,
                columns,
            } = source
            else {
                return Err(SqlError::new(
                    ErrorKind::SyntaxError,
                    "COPY FROM needs a table",
                ));
            };
            let table = ddl::resolve(&catalog, &self.search_path(), table_name)?.clone();
            let names: Vec<String> = columns.iter().map(ddl::fold).collect();
            let targets = targets(&table, &names, &self.access(&catalog))?;
            let names: Vec<String> = targets
                .iter()
                .map(|target| target.name(&table).to_string())
                .collect();
            let format = format.for_columns(&names, false)?;
            let maker = self.row_maker(&table, targets, &catalog)?;
            let mut expressions = Vec::new();
            for (index, expr) in maker.open_defaults() {
                // COPY evaluates what needs the engine once; ids and clocks above are per row.
                expressions.push((
                    index,
                    self.evaluate_as(&expr, table.columns[index].ty).await?,
                ));
            }
            let decoder = CopyDecoder::new(format, &table.name, names);
            return Ok(Outcome::CopyIn(CopyIn {
                maker,
                expressions,
                decoder,
                rows: 0,
            }));
        }
        let query = match source {
            ast::CopySource::Query(query) => (**query).clone(),
            ast::CopySource::Table {
                table_name,
                columns,
            } => {
                ddl::resolve(&catalog, &self.search_path(), table_name)?;
                let list = if columns.is_empty() {
                    "*".to_string()
                } else {
                    columns
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                parse_query(&format!("SELECT {list} FROM {table_name}"))?
            }
        };
        let plan = self.plan_select(query, &[], &catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        let rows = self.run(plan, scope, &[], &[]).await?;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let format = format.for_columns(&names, true)?;
        let width = columns.len();
        let mut head = Vec::new();
        if format.header() {
            format.write_header(&names, &mut head);
        }
        let lines = rows.map(move |batch| {
            let batch = batch?;
            let mut out = Vec::new();
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().map(|array| {
                    datum::datum_at(array, row).unwrap_or(tidelog_storage::DatumRef::Null)
                });
                format.write_line(values, &mut out);
            }
            Ok((Bytes::from(out), batch.num_rows() as u64))
        });
        let head = futures::stream::iter((!head.is_empty()).then(|| Ok((Bytes::from(head), 0))));
        Ok(Outcome::CopyOut {
            columns: width,
            chunks: head.chain(lines).boxed(),
        })
    }

    /// Rows of RETURNING.
    pub(crate) async fn returning(
        &self,
        table: &Arc<TableDef>,
        items: &[ast::SelectItem],
        rows: Vec<Row>,
        catalog: &Catalog,
        verb: &'static str,
    ) -> Result<Outcome, SqlError> {
        let types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        let batch = output::batch_of_rows(&types, &rows)?;
        if let Some(indexes) = plain_columns(table, items) {
            let column = |index: &usize| {
                let column = &table.columns[*index];
                OutputColumn {
                    name: column.name.clone(),
                    ty: column.ty,
                }
            };
            let columns = indexes.iter().map(column).collect();
            let batch = batch
                .project(&indexes)
                .map_err(|e| crate::error::from_arrow(&e))?;
            return Ok(Outcome::Rows {
                columns,
                rows: output::once(batch),
                verb,
            });
        }
        let plan = self.plan_returning(table, items, stand_in(table, batch)?, catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        let rows = self.run(plan, self.scope(), &[], &[]).await?;
        let batches: Vec<_> = rows.try_collect().await?;
        let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        Ok(Outcome::Rows {
            columns,
            rows,
            verb,
        })
    }

    /// The columns that RETURNING gives, known without running the statement.
    pub(crate) fn returning_columns(
        &self,
        returning: &Option<Vec<ast::SelectItem>>,
        table: impl FnOnce() -> Result<Arc<TableDef>, SqlError>,
    ) -> Result<Option<Vec<OutputColumn>>, SqlError> {
        let Some(items) = returning else {
            return Ok(None);
        };
        let table = table()?;
        let types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        let rows = stand_in(&table, output::batch_of_rows(&types, &[])?)?;
        let plan = self.plan_returning(&table, items, rows, &self.store().catalog())?;
        output::columns(plan.schema().as_arrow()).map(Some)
    }
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

/// One value of a result as a value of a column.
pub(crate) fn cell(
    array: &dyn Array,
    row: usize,
    from: &OutputColumn,
    to: ColumnType,
    column: &str,
) -> Result<Datum, SqlError> {
    let value = datum::datum_at(array, row).map_or(Datum::Null, |value| value.to_owned());
    assign(value, from.ty, to, column)
}

pub(crate) fn infer(types: &mut Vec<Option<ColumnType>>, index: usize, ty: ColumnType) {
    if types.len() <= index {
        types.resize(index + 1, None);
    }
    types[index].get_or_insert(ty);
}

/// Columns of a table when RETURNING names nothing else.
fn plain_columns(table: &TableDef, items: &[ast::SelectItem]) -> Option<Vec<usize>> {
    let mut indexes = Vec::new();
    for item in items {
        match item {
            ast::SelectItem::Wildcard(_) => indexes.extend(0..table.columns.len()),
            ast::SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                indexes.push(table.column_index(&ddl::fold(ident))?);
            }
            _ => return None,
        }
    }
    Some(indexes)
}

/// Rows of a table as a relation of their own.
fn stand_in(
    table: &TableDef,
    batch: arrow::record_batch::RecordBatch,
) -> Result<Arc<dyn datafusion::datasource::TableProvider>, SqlError> {
    let schema = table.arrow_schema();
    let options =
        arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = arrow::record_batch::RecordBatch::try_new_with_options(
        schema.clone(),
        batch.columns().to_vec(),
        &options,
    )
    .map_err(|e| crate::error::from_arrow(&e))?;
    let rows = datafusion::datasource::MemTable::try_new(schema, vec![vec![batch]])
        .map_err(crate::error::from_datafusion)?;
    Ok(Arc::new(rows))
}

pub(crate) fn parse_query(sql: &str) -> Result<ast::Query, SqlError> {
    match parse::parse(sql)?
        .into_iter()
        .next()
        .map(|parsed| parsed.body)
    {
        Some(parse::Body::Sql(statement, _)) => match *statement {
            Statement::Query(query) => Ok(*query),
            _ => Err(SqlError::new(
                ErrorKind::SyntaxError,
                "a query was expected",
            )),
        },
        _ => Err(SqlError::new(
            ErrorKind::SyntaxError,
            "a query was expected",
        )),
    }
}

/// An expression from its SQL text.
pub(crate) fn parse_expression(sql: &str) -> Result<Expr, SqlError> {
    let query = parse_query(&format!("SELECT {sql}"))?;
    if let SetExpr::Select(select) = *query.body
        && let Some(ast::SelectItem::UnnamedExpr(expr)) = select.projection.into_iter().next()
    {
        return Ok(expr);
    }
    Err(SqlError::new(
        ErrorKind::SyntaxError,
        format!("\"{sql}\" is not an expression"),
    ))
}

/// A COPY … FROM STDIN under way.
pub struct CopyIn {
    maker: RowMaker,
    expressions: Vec<(usize, Datum)>,
    decoder: CopyDecoder,
    rows: u64,
}

impl CopyIn {
    /// How many columns a line has.
    pub fn columns(&self) -> usize {
        self.maker.targets.len()
    }

    pub(crate) fn take(
        &mut self,
        data: &[u8],
        transaction: &RwLock<Transaction>,
    ) -> Result<(), SqlError> {
        let CopyIn {
            maker,
            expressions,
            decoder,
            rows,
        } = self;
        decoder.push(data, &mut |line, fields| {
            *rows += 1;
            add_line(maker, expressions, line, fields, transaction)
        })
    }

    pub(crate) fn finish(&mut self, transaction: &RwLock<Transaction>) -> Result<u64, SqlError> {
        let CopyIn {
            maker,
            expressions,
            decoder,
            rows,
        } = self;
        decoder.finish(&mut |line, fields| {
            *rows += 1;
            add_line(maker, expressions, line, fields, transaction)
        })?;
        Ok(self.rows)
    }
}

fn add_line(
    maker: &RowMaker,
    expressions: &[(usize, Datum)],
    line: u64,
    fields: &[Option<&str>],
    transaction: &RwLock<Transaction>,
) -> Result<(), SqlError> {
    let mut values = Vec::with_capacity(fields.len());
    for (field, target) in fields.iter().zip(&maker.targets) {
        let Some(field) = field else {
            values.push(Datum::Null);
            continue;
        };
        let parsed = text::parse(target.ty(&maker.table), field).map_err(|mut error| {
            let name = target.name(&maker.table);
            error.context = Some(column_context(&maker.table.name, line, name, Some(field)));
            error
        })?;
        values.push(parsed);
    }
    let (partition, row) = maker.row(values, expressions).map_err(|mut error| {
        error.context = Some(line_context(&maker.table.name, line, None));
        error
    })?;
    transaction.write().insert(&maker.table, &partition, &row);
    Ok(())
}
