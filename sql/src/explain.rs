//! EXPLAIN: a statement's plan in PostgreSQL's envelope, with what each tier has to read or has read.
//!
//! Plans are DataFusion's; they are shown under the names of PostgreSQL's nodes where the two have the same. Costs
//! are counts of rows, there is no cost model behind them.

mod expr;
mod format;
mod node;
mod scan;

use std::sync::Arc;
use std::time::Instant;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{Expr, SetExpr, Statement, UtilityOption, Value};
use futures::TryStreamExt;
use tidelog_storage::{ColumnType, Datum, TableDef};

use crate::error::{ErrorKind, SqlError};
use crate::output::{self, OutputColumn};
use crate::session::{Outcome, Prepared, Session, ToRun};
use format::Explained;
use node::{Node, Relation};

/// How a plan is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Xml,
    Yaml,
}

/// What EXPLAIN was asked for.
#[derive(Clone, Debug)]
struct Options {
    analyze: bool,
    verbose: bool,
    costs: bool,
    timing: bool,
    summary: bool,
    form: Form,
}

/// The options of an EXPLAIN; `None` when the statement is another.
fn options(statement: &Statement) -> Result<Option<Options>, SqlError> {
    let Statement::Explain {
        analyze,
        verbose,
        query_plan,
        estimate,
        format,
        options,
        ..
    } = statement
    else {
        return Ok(None);
    };
    if *query_plan || *estimate || format.is_some() {
        let word = match (query_plan, estimate) {
            (true, _) => "QUERY",
            (_, true) => "ESTIMATE",
            _ => "FORMAT",
        };
        let message = format!("syntax error at or near \"{word}\"");
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let mut out = Options {
        analyze: *analyze,
        verbose: *verbose,
        costs: true,
        timing: true,
        summary: true,
        form: Form::Text,
    };
    let (mut timing, mut summary, mut wal) = (None, None, false);
    for option in options.iter().flatten() {
        let name = crate::ddl::fold(&option.name);
        match name.as_str() {
            "analyze" | "analyse" => out.analyze = switch(option, &name)?,
            "verbose" => out.verbose = switch(option, &name)?,
            "costs" => out.costs = switch(option, &name)?,
            // What was read is always told.
            "buffers" | "settings" => {
                switch(option, &name)?;
            }
            "wal" => wal = switch(option, &name)?,
            "timing" => timing = Some(switch(option, &name)?),
            "summary" => summary = Some(switch(option, &name)?),
            "format" => out.form = form(&value(option).unwrap_or_default())?,
            _ => {
                let message = format!("unrecognized EXPLAIN option \"{name}\"");
                return Err(SqlError::new(ErrorKind::SyntaxError, message));
            }
        }
    }
    let requires = |name: &str| {
        let message = format!("EXPLAIN option {name} requires ANALYZE");
        Err(SqlError::new(ErrorKind::InvalidParameterValue, message))
    };
    if wal && !out.analyze {
        return requires("WAL");
    }
    if timing == Some(true) && !out.analyze {
        return requires("TIMING");
    }
    out.timing = timing.unwrap_or(out.analyze);
    out.summary = summary.unwrap_or(out.analyze);
    Ok(Some(out))
}

fn form(name: &str) -> Result<Form, SqlError> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        "xml" => Ok(Form::Xml),
        "yaml" => Ok(Form::Yaml),
        other => {
            let message = format!("unrecognized value for EXPLAIN option \"format\": \"{other}\"");
            Err(SqlError::new(ErrorKind::InvalidParameterValue, message))
        }
    }
}

fn value(option: &UtilityOption) -> Option<String> {
    option.arg.as_ref().map(|arg| match arg {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    })
}

fn switch(option: &UtilityOption, name: &str) -> Result<bool, SqlError> {
    let Some(value) = value(option) else {
        return Ok(true);
    };
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => {
            let message = format!("{name} requires a Boolean value");
            Err(SqlError::new(ErrorKind::SyntaxError, message))
        }
    }
}

/// The one column of an EXPLAIN's result; `None` when the statement is another.
pub(crate) fn columns(statement: &Statement) -> Result<Option<Vec<OutputColumn>>, SqlError> {
    let Some(options) = options(statement)? else {
        return Ok(None);
    };
    let ty = match options.form {
        Form::Json => ColumnType::Jsonb,
        _ => ColumnType::Text,
    };
    Ok(Some(vec![OutputColumn::new("QUERY PLAN", ty)]))
}

/// What a statement changes.
struct Target {
    operation: &'static str,
    relation: Relation,
}

impl Session {
    /// Runs EXPLAIN; `explained` is the statement in it.
    pub(crate) async fn explain(
        &mut self,
        statement: &Statement,
        explained: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let Some(options) = options(statement)? else {
            return Err(SqlError::new(ErrorKind::InternalError, "no EXPLAIN"));
        };
        let Statement::Explain {
            statement: inner, ..
        } = statement
        else {
            return Err(SqlError::new(ErrorKind::InternalError, "no EXPLAIN"));
        };
        let planning = Instant::now();
        let planned = self.plan_explained(inner, explained, values).await?;
        let mut plan = planned.plan;
        let planning_ms = planning.elapsed().as_secs_f64() * 1000.0;
        let (mut began, mut execution_ms) = (None, 0.0);
        if options.analyze {
            began = Some(chrono::Utc::now());
            let execution = Instant::now();
            match (&planned.target, &plan) {
                (None, Some(plan)) => self.drain(plan).await?,
                _ => {
                    if let Some(run) = self.run_explained(explained, values).await? {
                        plan = plan.map(|_| run);
                    }
                }
            }
            execution_ms = execution.elapsed().as_secs_f64() * 1000.0;
        }
        let mut root = match &plan {
            Some(plan) => Some(node::of_plan(plan, began)),
            None => planned.values.map(|mut node| {
                node.actual = began.map(|_| node::Actual {
                    rows: node.estimate.rows,
                    ..Default::default()
                });
                node
            }),
        };
        if let Some(Target {
            operation,
            relation,
        }) = planned.target
        {
            let mut top = Node::modify(operation, relation, root);
            top.actual = began.map(|_| node::Actual {
                startup_ms: execution_ms,
                total_ms: execution_ms,
                rows: 0,
            });
            root = Some(top);
        }
        let explained = Explained {
            plan: root.unwrap_or_else(|| Node::of_type("Result")),
            planning_ms,
            execution_ms,
        };
        let lines = match options.form {
            Form::Text => format::text(&explained, &options),
            Form::Json => vec![format::json(&explained, &options)],
            Form::Xml => vec![format::xml(&explained, &options)],
            Form::Yaml => vec![format::yaml(&explained, &options)],
        };
        let columns = columns(statement)?.unwrap_or_default();
        let rows: Vec<Vec<Datum>> = lines
            .into_iter()
            .map(|line| vec![Datum::Text(line)])
            .collect();
        let types: Vec<ColumnType> = columns.iter().map(|column| column.ty).collect();
        let batch = output::batch_of_rows(&types, &rows)?;
        Ok(Outcome::Rows {
            columns,
            rows: output::once(batch),
            verb: "EXPLAIN",
        })
    }

    async fn plan_explained(
        &self,
        statement: &Statement,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Planned, SqlError> {
        let types = &prepared.parameters;
        let scope = self.query_scope(prepared.as_of(), types, values).await?;
        let catalog = scope.snapshot.catalog().clone();
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let target = |operation, table: &TableDef| {
            Some(Target {
                operation,
                relation: Relation::of(table),
            })
        };
        let (query, target) = match statement {
            Statement::Query(query) => {
                let mut query = (**query).clone();
                query.locks.clear();
                (self.plan_select(query, &given, &catalog)?, None)
            }
            Statement::Insert(insert) => {
                let target = target("Insert", &*self.insert_target(insert, &catalog)?);
                match insert.source.as_deref() {
                    None => return Ok(Planned::of_values(target, 1)),
                    Some(source) => match &*source.body {
                        SetExpr::Values(values) => {
                            return Ok(Planned::of_values(target, values.rows.len()));
                        }
                        _ => (self.plan_select(source.clone(), &given, &catalog)?, target),
                    },
                }
            }
            Statement::Update(update) => {
                let table = self.update_target(update, &catalog)?;
                let (_, found) = self.update_query(update, &given, &catalog)?;
                (found.plan, target("Update", &table))
            }
            Statement::Delete(delete) => {
                let table = self.delete_target(delete, &catalog)?;
                let found = self.delete_query(delete, &given, &catalog)?;
                (found.plan, target("Delete", &table))
            }
            other => {
                let words = other.to_string();
                let word = words.split_whitespace().next().unwrap_or_default();
                return Err(SqlError::unsupported(format!("EXPLAIN of {word}")));
            }
        };
        let planned = self.physical_plan(ToRun::analyzed(query), scope, types, values);
        Ok(Planned {
            target,
            plan: Some(planned.await?.plan),
            values: None,
        })
    }

    /// Runs a query's plan for what it counts.
    async fn drain(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<(), SqlError> {
        let mut stream = self.execute_plan(plan.clone(), true).await?;
        while let Some(batch) = stream
            .try_next()
            .await
            .map_err(crate::error::from_datafusion)?
        {
            drop(batch);
        }
        Ok(())
    }

    /// Runs the statement itself; the first plan that it ran, if any.
    async fn run_explained(
        &mut self,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>, SqlError> {
        self.record_plans(true);
        let outcome = self.execute_explained(prepared, values).await;
        let mut plans = self.record_plans(false);
        if let Outcome::Rows { mut rows, .. } = outcome? {
            while rows.try_next().await?.is_some() {}
        }
        Ok((!plans.is_empty()).then(|| plans.swap_remove(0)))
    }
}

/// The plan of a statement.
struct Planned {
    target: Option<Target>,
    plan: Option<Arc<dyn ExecutionPlan>>,
    /// The node of an INSERT's VALUES.
    values: Option<Node>,
}

impl Planned {
    fn of_values(target: Option<Target>, rows: usize) -> Planned {
        let mut node = match rows {
            1 => Node::of_type("Result"),
            _ => Node {
                relation: None,
                text_type: Some("Values Scan on \"*VALUES*\"".to_string()),
                ..Node::of_type("Values Scan")
            },
        };
        node.estimate.rows = rows as u64;
        node.estimate.total_cost = rows as f64 * 0.01;
        Planned {
            target,
            plan: None,
            values: Some(node),
        }
    }
}
