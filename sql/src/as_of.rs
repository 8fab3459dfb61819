//! `SELECT … AS OF SEQ n` and `AS OF TIMESTAMP '…'`: what a query reads when it reads the past.
//!
//! Guarantees: a table shows exactly the rows that were live then, in both tiers, or the statement fails: past the
//! table's history window, before the table was made, or in the future. Columns, names and access are the present
//! ones. Does not: show the transaction's own changes.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, SetExpr, Statement};
use tidelog_storage::{Catalog, ColumnType, Datum, Seq, Snapshot, TableDef, TableKind};

use crate::error::{ErrorKind, SqlError};
use crate::parse::{AsOf, AsOfUnit, Body, Definition, Parsed, identifier, parse_expression};
use crate::provider::Scope;
use crate::row::infer_placeholder;
use crate::session::Session;
use crate::text::{self, Style};

impl Parsed {
    /// 0A000 when it has an AS OF clause and reads nothing by a query, or only later.
    pub(crate) fn check_as_of(&self) -> Result<(), SqlError> {
        if self.as_of.is_none() {
            return Ok(());
        }
        let refused = match &self.body {
            Body::Subscribe(..) => Some("SUBSCRIBE with AS OF"),
            Body::Define(definition) => match &**definition {
                Definition::TableAs(table) if table.materialized => {
                    Some("CREATE MATERIALIZED VIEW with AS OF")
                }
                Definition::TableAs(table) => of_query(&table.query),
                _ => Some(ELSEWHERE),
            },
            Body::Listen(_) | Body::Cursor(_) | Body::Maintain(_) => Some(ELSEWHERE),
            Body::Sql(statement, _) => of_statement(statement),
        };
        match refused {
            None => Ok(()),
            Some(what) => Err(SqlError::unsupported(what).hint("AS OF is for SELECT.")),
        }
    }
}

const ELSEWHERE: &str = "AS OF in this statement";

/// What a statement is called that cannot read the past.
fn of_statement(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Query(query) => of_query(query),
        Statement::Insert(insert) => match insert.source.as_ref().map(|query| &*query.body) {
            None | Some(SetExpr::Values(_)) => Some("INSERT with AS OF"),
            Some(_) => None,
        },
        Statement::Copy {
            to: true,
            source: ast::CopySource::Query(_),
            ..
        } => None,
        Statement::Explain { statement, .. } | Statement::Prepare { statement, .. } => {
            of_statement(statement)
        }
        Statement::Copy { .. } => Some("COPY with AS OF"),
        Statement::Update(_) => Some("UPDATE with AS OF"),
        Statement::Delete(_) => Some("DELETE with AS OF"),
        _ => Some(ELSEWHERE),
    }
}

fn of_query(query: &ast::Query) -> Option<&'static str> {
    (!query.locks.is_empty()).then_some("AS OF with a row lock")
}

impl Session {
    /// Types the parameters in an AS OF clause.
    pub(crate) fn as_of_parameters(
        &self,
        as_of: Option<&AsOf>,
        types: Vec<ColumnType>,
        catalog: &Catalog,
    ) -> Result<Vec<ColumnType>, SqlError> {
        let Some(as_of) = as_of else {
            return Ok(types);
        };
        let mut types: Vec<_> = types.into_iter().map(Some).collect();
        let ty = match as_of.unit {
            AsOfUnit::Seq => ColumnType::Int8,
            AsOfUnit::Timestamp => ColumnType::TimestampTz(None),
        };
        infer_placeholder(&mut types, &as_of.value, ty)?;
        self.infer_expression(&as_of.cast()?, &mut types, catalog)?;
        let typed = |ty: Option<ColumnType>| ty.unwrap_or(ColumnType::Text);
        Ok(types.into_iter().map(typed).collect())
    }

    /// What a query reads: the present, or what its AS OF clause says.
    pub(crate) async fn query_scope(
        &self,
        as_of: Option<&AsOf>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Arc<Scope>, SqlError> {
        let Some(as_of) = as_of else {
            return Ok(self.scope());
        };
        let (value, _) = self.evaluate(&as_of.cast()?, types, values).await?;
        // After the evaluation, so that what was committed meanwhile is no future.
        let present = self.scope();
        let seq = as_of.seq(value, &present.snapshot, self.store().now_ms())?;
        let snapshot = tokio::task::block_in_place(|| present.snapshot.as_of(seq))?;
        let snapshot = Arc::new(snapshot);
        self.live_snapshots().note(&snapshot);
        Ok(Arc::new(Scope {
            store: present.store.clone(),
            snapshot,
            access: present.access.clone(),
            // Its changes come after all that is committed, and no later commit changes what was.
            transaction: Arc::default(),
            reads: None,
        }))
    }
}

impl AsOf {
    /// The value as one of the unit's type.
    fn cast(&self) -> Result<Expr, SqlError> {
        let ty = match self.unit {
            AsOfUnit::Seq => "bigint",
            AsOfUnit::Timestamp => "timestamptz",
        };
        parse_expression(&format!("CAST(({}) AS {ty})", self.value))
    }

    /// The Seq that is meant: for a time, the last that may be drawn up to it.
    fn seq(&self, value: Datum, present: &Snapshot, now_ms: i64) -> Result<Seq, SqlError> {
        let invalid = |message: String| SqlError::new(ErrorKind::InvalidParameterValue, message);
        let newest = present.seq();
        match value {
            Datum::Int8(value) => {
                let seq = Seq::from_i64(value).ok_or_else(|| {
                    invalid(format!("{value} is no Seq, which is never negative"))
                })?;
                if seq > newest {
                    return Err(invalid(format!("AS OF SEQ {seq} lies in the future"))
                        .detail(format!("The newest Seq is {newest}.")));
                }
                Ok(seq)
            }
            Datum::TimestampTz(micros) => {
                let ms = micros.div_euclid(1000);
                if ms > now_ms {
                    let shown = shown_time(ms);
                    return Err(invalid(format!(
                        "AS OF TIMESTAMP '{shown}' lies in the future"
                    )));
                }
                Ok(tokio::task::block_in_place(|| present.seq_at(ms))?)
            }
            _ => Err(invalid("the value of AS OF must not be null".to_string())),
        }
    }
}

/// 55000 when the table cannot be read at a past snapshot. Blocking.
pub(crate) fn check_history(snapshot: &Snapshot, table: &TableDef) -> Result<(), SqlError> {
    let (name, seq) = (&table.name, snapshot.seq());
    if table.kind == TableKind::Stream {
        return Err(SqlError::unsupported("AS OF for a stream table"));
    }
    let gone = |message| SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message);
    let at = |seq: Seq| -> Result<String, SqlError> {
        let time = shown_time(snapshot.time_of(seq)?);
        Ok(format!("Seq {seq} ({time})"))
    };
    let unborn = gone(format!("relation \"{name}\" did not exist at Seq {seq}"));
    let Some(history) = snapshot.history(table.id)? else {
        return Err(unborn);
    };
    if seq < history.created {
        let created = at(history.created)?;
        return Err(unborn.detail(format!(
            "It was created, truncated or rewritten at {created}."
        )));
    }
    if seq < history.complete_from {
        let set = format!("{}.{}", identifier(&table.schema), identifier(name));
        return Err(gone(format!(
            "the history of relation \"{name}\" does not reach back to Seq {seq}"
        ))
        .detail(format!(
            "The oldest that can be read is {}.",
            at(history.complete_from)?
        ))
        .hint(format!(
            "ALTER TABLE {set} SET (history_window = '…') keeps more from then on."
        )));
    }
    Ok(())
}

fn shown_time(unix_ms: i64) -> String {
    let mut shown = String::new();
    let time = Datum::TimestampTz(unix_ms.saturating_mul(1000));
    text::write(
        time.as_ref(),
        ColumnType::TimestampTz(None),
        Style::default(),
        &mut shown,
    );
    shown
}
