//! SUBSCRIBE and LISTEN as plans: what to send first, and which changes to follow.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{CopyLegacyOption, CopyOption};
use tidelog_storage::{
    ColumnType, Datum, FeedScope, Partition, PartitionSet, Row, Seq, TableDef, TableKind, datum,
};

use crate::copy::CopyFormat;
use crate::ddl;
use crate::error::{ErrorKind, SqlError, from_datafusion};
use crate::output::{OutputColumn, RowStream};
use crate::parse::parse_query;
use crate::parse::{Subscribe, quoted};
use crate::provider::SEQ;
use crate::session::{Outcome, Session};

/// A planned SUBSCRIBE.
pub struct SubscribePlan {
    /// The table, as it was when subscribing.
    pub table: Arc<TableDef>,
    /// Whose changes to follow.
    pub scope: FeedScope,
    /// The result's columns: `_seq bigint, _op text`, the table's, `_old jsonb`.
    pub columns: Vec<OutputColumn>,
    /// The WHERE clause.
    pub filter: Option<Arc<RowFilter>>,
    /// The rows as they stand at `after`, oldest Seq first: `_seq` and then the table's columns. `None` with `from`.
    pub snapshot: Option<RowStream>,
    /// The tail begins strictly after this Seq: the snapshot's, or `from`.
    pub after: Seq,
    /// How lines are written when it was wrapped in COPY (…) TO STDOUT.
    pub copy: Option<CopyFormat>,
}

impl SubscribePlan {
    /// The columns between `_op` and `_old`.
    pub fn selected(&self) -> &[OutputColumn] {
        &self.columns[2..self.columns.len() - 1]
    }

    /// Where among them the columns stand that tell the rows apart; `None` when they are not there.
    pub fn row_key(&self) -> Option<Vec<usize>> {
        let key = self.table.key_indexes();
        // Rows of two users may have the same key, and `_user` is not among the columns.
        let many = self.table.kind == TableKind::User && self.scope.partitions == PartitionSet::All;
        (!key.is_empty() && !many).then_some(key)
    }
}

/// The columns of a subscription's rows.
pub(crate) fn columns(table: &TableDef) -> Vec<OutputColumn> {
    let column = |name: &str, ty| OutputColumn {
        name: name.to_string(),
        ty,
    };
    let mut columns = vec![
        column(SEQ, ColumnType::Int8),
        column("_op", ColumnType::Text),
    ];
    columns.extend(table.columns.iter().map(|c| column(&c.name, c.ty)));
    columns.push(column("_old", ColumnType::Jsonb));
    columns
}

/// A WHERE clause over the rows of one table, evaluated by the engine that runs SELECT.
pub struct RowFilter {
    table: Arc<TableDef>,
    user: bool,
    schema: arrow::datatypes::SchemaRef,
    predicate: Arc<dyn PhysicalExpr>,
}

impl RowFilter {
    /// For each version whether it matches (NULL does not).
    pub fn matches(&self, versions: &[(Seq, &Partition, &Row)]) -> Result<Vec<bool>, SqlError> {
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for (index, column) in self.table.columns.iter().enumerate() {
            let mut builder = datum::ColumnBuilder::new(column.ty);
            versions
                .iter()
                .for_each(|(_, _, row)| builder.append(row[index].as_ref()));
            arrays.push(builder.finish());
        }
        arrays.push(Arc::new(Int64Array::from_iter_values(
            versions.iter().map(|(seq, ..)| seq.as_i64()),
        )));
        if self.user {
            arrays.push(Arc::new(StringArray::from_iter_values(
                versions.iter().map(|(_, user, _)| user.as_str()),
            )));
        }
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|e| crate::error::from_arrow(&e))?;
        let value = self.predicate.evaluate(&batch).map_err(from_datafusion)?;
        let array = value.into_array(versions.len()).map_err(from_datafusion)?;
        let matches = array.as_boolean();
        Ok((0..versions.len())
            .map(|row| matches.is_valid(row) && matches.value(row))
            .collect())
    }
}

/// What LISTEN "schema.table" follows.
#[derive(Clone, Debug)]
pub struct ListenTarget {
    /// The channel as the client named it.
    pub channel: String,
    /// The table.
    pub table: Arc<TableDef>,
    /// Whose changes.
    pub scope: FeedScope,
    /// From here on: strictly after this Seq.
    pub after: Seq,
}

impl Session {
    pub(crate) async fn subscribe(
        &mut self,
        subscribe: &Subscribe,
        copy: Option<&(Vec<CopyOption>, Vec<CopyLegacyOption>)>,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        if !values.is_empty() {
            return Err(SqlError::unsupported("SUBSCRIBE with parameters"));
        }
        if self.defers_commit() {
            return Err(SqlError::unsupported("SUBSCRIBE in a transaction block"));
        }
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let table = ddl::resolve(&catalog, &self.search_path(), &subscribe.table)?.clone();
        let copy = copy
            .map(|(options, legacy)| CopyFormat::from_options(options, legacy))
            .transpose()?;
        let (schema, name) = (quoted(&table.schema), quoted(&table.name));
        let list: Vec<String> = table
            .columns
            .iter()
            .map(|column| quoted(&column.name).to_string())
            .collect();
        let condition = subscribe
            .filter
            .as_ref()
            .map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let columns_sql = [&[SEQ.to_string()], list.as_slice()].concat().join(", ");
        let base = format!("SELECT {columns_sql} FROM {schema}.{name}{condition}");
        let filter = match &subscribe.filter {
            Some(_) => Some(Arc::new(self.row_filter(&table, &base, &catalog)?)),
            None => None,
        };
        let (snapshot, after) = match subscribe.from {
            Some(from) => (None, from),
            None => {
                let sql = match subscribe.last_rows {
                    None => format!("{base} ORDER BY {SEQ}"),
                    Some(rows) => format!(
                        "SELECT {columns_sql} FROM ({base} ORDER BY {SEQ} DESC LIMIT {rows}) AS newest ORDER BY {SEQ}"
                    ),
                };
                let plan = self.plan_select(parse_query(&sql)?, &[], &catalog)?;
                let rows = self.run(plan, scope.clone(), &[], &[]).await?;
                (Some(rows), scope.snapshot.seq())
            }
        };
        let feed = FeedScope {
            table: table.id,
            partitions: scope.access.partitions(&table),
        };
        let columns = columns(&table);
        Ok(Outcome::Subscribe(Box::new(SubscribePlan {
            table,
            scope: feed,
            columns,
            filter,
            snapshot,
            after,
            copy,
        })))
    }

    /// The WHERE clause of `SELECT … FROM table WHERE …`, made to run on rows one by one.
    fn row_filter(
        &self,
        table: &Arc<TableDef>,
        sql: &str,
        catalog: &tidelog_storage::Catalog,
    ) -> Result<RowFilter, SqlError> {
        let plan = self.plan_select(parse_query(sql)?, &[], catalog)?;
        let config = self.state().config_options();
        let plan = self
            .state()
            .analyzer()
            .execute_and_check(plan, config, |_, _| {})
            .map_err(from_datafusion)?;
        let mut predicate = None;
        find_filter(&plan, &mut predicate);
        let Some(predicate) = predicate else {
            return Err(SqlError::new(
                ErrorKind::InternalError,
                "the WHERE clause is gone from its plan",
            ));
        };
        let unsupported = predicate.to_string();
        let user = self.access(catalog).sees_user(table);
        let relation = crate::provider::Relation::new(table.clone(), true, user);
        let schema = datafusion::datasource::TableProvider::schema(&relation);
        let qualified = DFSchema::try_from_qualified_schema(
            datafusion::common::TableReference::partial(table.schema.as_str(), table.name.as_str()),
            &schema,
        )
        .map_err(from_datafusion)?;
        let physical = self
            .state()
            .create_physical_expr(predicate, &qualified)
            .map_err(|e| {
                let error = from_datafusion(e);
                SqlError::unsupported(format!("the subscription filter {unsupported}"))
                    .detail(format!("{}.", error.message))
            })?;
        Ok(RowFilter {
            table: table.clone(),
            user,
            schema,
            predicate: physical,
        })
    }
}

fn find_filter(plan: &LogicalPlan, found: &mut Option<datafusion::logical_expr::Expr>) {
    if let LogicalPlan::Filter(filter) = plan {
        *found = Some(filter.predicate.clone());
        return;
    }
    plan.inputs()
        .into_iter()
        .for_each(|input| find_filter(input, found));
}
