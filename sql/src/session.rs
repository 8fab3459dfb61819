//! A session: one client's statements, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use datafusion::datasource::TableProvider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{self, Statement};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tidelog_storage::{Catalog, ColumnType, CommitError, Datum, Store, TableId};

use crate::activity::Shown;
use crate::advisory::Advisory;
use crate::constraints::ExpressionCache;
use crate::constraints::undo::Undoing;
use crate::ddl::Ddl;
use crate::error::{ErrorKind, SqlError};
use crate::functions;
use crate::locks::Locks;
use crate::modify;
use crate::notify::{ChannelEvent, Outbox, pg_notify, says_something};
use crate::output::{self, OutputColumn, RowStream};
use crate::parse::{self, Body, Definition, Parsed};
use crate::plan;
use crate::provider::{Access, Scope};
use crate::settings::{Lasting, Settings};
use crate::subscribe::Subjects;
use crate::turns::aside;

pub use crate::copy::CopyIn;
pub use cursor::FetchFeed;
pub use engine::{Engine, EngineOptions};
pub use outcome::{Notice, Outcome};
pub use prepared::Prepared;
pub(crate) use prepared::{QueryPlan, ToRun, bind, scalars};
pub use transaction::LiveSnapshots;

mod channels;
mod commands;
mod create_as;
mod cursor;
mod databases;
mod ddl;
mod defaults;
mod engine;
mod expression;
mod isolation;
mod login;
mod maintain;
mod outcome;
mod planning;
mod prepared;
mod procedures;
mod recent;
mod shapes;
mod statements;
mod temporary;
mod transaction;

use cursor::Cursor;
pub(crate) use cursor::CursorInfo;
use defaults::Defaults;
use expression::Expression;
pub(crate) use isolation::Isolation;
pub use login::{Login, Startup};
pub(crate) use planning::{Physical, physical, simplified};
use recent::Recent;
pub(crate) use statements::StatementInfo;
use statements::Statements;
pub use statements::{ClientStatement, Planned};
use temporary::Temporary;
use transaction::{Block, Work};

/// A statement whose rows were superseded under it is run again this often before the client is told.
pub(crate) const RETRIES_MAX: usize = 1000;

/// Query strings of fewer bytes are parsed in a moment.
const PARSE_SHORT: usize = 64 << 10;

/// Where the session stands with transactions (ReadyForQuery's status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// One client's session.
pub struct Session {
    engine: Arc<Engine>,
    login: Arc<Login>,
    settings: Settings,
    notices: Vec<Notice>,
    work: Work,
    drawn: Arc<functions::sequence::Drawn>,
    /// What it listens to.
    listening: BTreeSet<String>,
    /// What of that the server was not told yet.
    channel_events: Vec<ChannelEvent>,
    /// What the transaction under way has to say; the same for all of them.
    outbox: Arc<Outbox>,
    pg_notify: Arc<ScalarUDF>,
    /// Its place in pg_stat_activity.
    shown: Option<Shown>,
    /// Its advisory locks.
    pub(crate) advisory: Arc<Advisory>,
    cursors: BTreeMap<String, Cursor>,
    /// How many cursors it has declared.
    cursors_declared: u64,
    /// The Seq of the newest notification that the client was told.
    heard: Arc<AtomicI64>,
    statements: Statements,
    /// Its temporary tables.
    temporary: Temporary,
    /// Tables that a commit drops or empties.
    on_commit: Vec<(TableId, ast::OnCommit)>,
    /// The plans that an EXPLAIN ANALYZE under way has run.
    plans: Mutex<Option<Vec<Arc<dyn ExecutionPlan>>>>,
    /// What a DDL statement has added and is being brought into force or taken off, though it may have been cut off.
    pub(crate) undoing: Undoing,
    /// Rows that stand in for queries of the statement under way.
    pub(crate) stand_ins: Vec<(String, Arc<dyn TableProvider>)>,
    /// What expressions and columns' defaults mean.
    expressions: Recent<Expression>,
    defaults: Recent<Defaults>,
}

/// A session before it is one.
pub(crate) struct SessionSeed {
    engine: Arc<Engine>,
    login: Arc<Login>,
    settings: Lasting,
    temporary: Temporary,
    /// What the session reads from holds up an erasure as if the one that it comes from read it.
    snapshots: Arc<LiveSnapshots>,
}

impl SessionSeed {
    /// The snapshots of the sessions that grow of it.
    pub(crate) fn live_snapshots(&self) -> &LiveSnapshots {
        &self.snapshots
    }

    pub(crate) fn grow(&self) -> Session {
        let (engine, login) = (self.engine.clone(), self.login.clone());
        let mut session = Session::with(engine, login, self.settings.clone().into());
        session.temporary = self.temporary;
        session.work.snapshots = self.snapshots.clone();
        session
    }
}

impl Session {
    /// A session for a role that may log in; 28000 or 3D000 when it, or the database, was dropped meanwhile. Settings that cannot
    /// be taken become notices.
    pub fn new(engine: Arc<Engine>, login: Login, startup: Startup) -> Result<Session, SqlError> {
        let mut session = Session::with(engine, Arc::new(login), Settings::default());
        let catalog = session.catalog();
        session.check_roles(&catalog)?;
        session.check_database(&catalog)?;
        for (name, value) in &startup {
            if let Err(error) = session.assign(name, Some(value), false) {
                session.notices.push(Notice::Message {
                    severity: "WARNING",
                    error,
                });
            }
        }
        session.settings.keep_as_startup();
        // All settings are told at the start.
        let is_message = |notice: &Notice| matches!(notice, Notice::Message { .. });
        session.notices.retain(is_message);
        Ok(session)
    }

    /// What makes sessions of the same role and settings, with nothing open.
    pub(crate) fn seed(&self) -> SessionSeed {
        SessionSeed {
            engine: self.engine.clone(),
            login: self.login.clone(),
            settings: self.settings.lasting(),
            temporary: self.temporary,
            snapshots: self.work.snapshots.clone(),
        }
    }

    fn with(engine: Arc<Engine>, login: Arc<Login>, settings: Settings) -> Session {
        let outbox = Arc::new(Outbox::default());
        let group = engine.locks.group();
        Session {
            work: Work::new(Locks::of(&engine.locks, group, login.pid)),
            shown: None,
            advisory: Arc::new(Advisory::new(&engine.locks, group, &login)),
            pg_notify: pg_notify(outbox.clone(), &login),
            outbox,
            engine,
            login,
            settings,
            notices: Vec::new(),
            listening: BTreeSet::new(),
            channel_events: Vec::new(),
            cursors: BTreeMap::new(),
            cursors_declared: 0,
            drawn: Arc::default(),
            statements: Statements::default(),
            heard: Arc::default(),
            temporary: Temporary::default(),
            on_commit: Vec::new(),
            plans: Mutex::default(),
            undoing: Undoing::default(),
            stand_ins: Vec::new(),
            expressions: Recent::default(),
            defaults: Recent::default(),
        }
    }

    /// The settings that a client is told at the start (ParameterStatus), names as PostgreSQL spells them.
    pub fn reported_settings(&self) -> Vec<(String, String)> {
        let mut settings = self.settings.reported();
        let superuser = if self.is_superuser() { "on" } else { "off" };
        settings.push(("is_superuser".to_string(), superuser.to_string()));
        settings.push(("session_authorization".to_string(), self.login_name()));
        settings
    }

    /// How long a statement may run; `None` is without end.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.timeout("statement_timeout")
    }

    /// How long the client may be silent between statements, in a transaction block or outside; `None` is without end.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.timeout(match self.transaction_status() {
            TransactionStatus::Idle => "idle_session_timeout",
            _ => "idle_in_transaction_session_timeout",
        })
    }

    pub(crate) fn timeout(&self, setting: &str) -> Option<Duration> {
        self.settings.timeout(setting)
    }

    /// Notices and parameter changes since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let least = self.settings.least_severity();
        let mut notices = std::mem::take(&mut self.notices);
        let warnings = self.advisory.take_warnings().into_iter();
        notices.extend(warnings.map(|error| Notice::Message {
            severity: "WARNING",
            error,
        }));
        notices.retain(|notice| match notice {
            Notice::Message { severity, .. } => crate::settings::severity_rank(severity) >= least,
            Notice::Parameter { .. } => true,
        });
        notices
    }

    /// Splits a query string into statements. A string with a syntax error anywhere gives only the error.
    pub fn parse(&self, sql: &str) -> Result<Vec<Parsed>, SqlError> {
        let catalog = self.catalog();
        let database = catalog.database_name();
        aside(sql.len() > PARSE_SHORT, || parse::parse_in(sql, database))
    }

    /// Resolves and types a statement; `types` are the client's, `None` where it leaves them open.
    pub async fn prepare(
        &mut self,
        statement: &Parsed,
        types: &[Option<ColumnType>],
    ) -> Result<Prepared, SqlError> {
        self.undone().await;
        for (severity, notice) in &statement.notices {
            self.notice(severity, notice.clone());
        }
        let result = self.prepare_inner(statement, types);
        if result.is_err() {
            self.fail();
        }
        result.map_err(|error| statement.locate(error))
    }

    /// Waits until nothing is left of a statement that was cut off.
    async fn undone(&self) {
        let undoing = self.undoing.lock().take();
        if let Some(undoing) = undoing {
            // It has said itself what went wrong.
            let _ = undoing.await;
        }
    }

    pub(crate) fn prepare_inner(
        &self,
        statement: &Parsed,
        given: &[Option<ColumnType>],
    ) -> Result<Prepared, SqlError> {
        if self.work.failed && !statement.ends_transaction() {
            return Err(in_failed_transaction());
        }
        let executed = self.with_executed(statement)?;
        let statement = executed.as_ref().unwrap_or(statement);
        let mut prepared = Prepared {
            parameters: given
                .iter()
                .map(|ty| ty.unwrap_or(ColumnType::Text))
                .collect(),
            columns: None,
            statement: statement.clone(),
            query: None,
            inner: None,
            explained: None,
            locks_inside: false,
            framed: false,
        };
        let unlocked = statement.without_locks_inside();
        let statement = match &unlocked {
            Some(unlocked) => {
                prepared.locks_inside = true;
                unlocked
            }
            None => statement,
        };
        if let Some(explained) = statement.explained() {
            let explained = self.prepare_inner(&explained, given)?;
            prepared.parameters = explained.parameters.clone();
            prepared.explained = Some(Box::new(explained));
        }
        statement.check_as_of()?;
        let catalog = self.catalog();
        match &statement.body {
            Body::Subscribe(subscribe, copy) => {
                let (types, columns) = self.describe_subscription(subscribe, given, &catalog)?;
                prepared.parameters = types;
                prepared.columns = copy.is_none().then_some(columns);
            }
            Body::Listen(_) | Body::Define(_) | Body::Maintain(_) => {}
            Body::Cursor(command) => {
                (prepared.parameters, prepared.columns, prepared.inner) =
                    self.prepare_cursor(command, given)?;
            }
            Body::Sql(statement, _) => match &**statement {
                Statement::Query(query) => {
                    let mut query = (**query).clone();
                    // They change nothing about the rows' form.
                    query.locks.clear();
                    let mut given = given.to_vec();
                    let some = &mut |at, ty: Option<ColumnType>| {
                        crate::row::infer(&mut given, at, ty.unwrap_or(ColumnType::Int8));
                        Ok(ast::Value::Number("1".to_string(), false))
                    };
                    prepared.framed = plan::frames::fill(&mut query, some)?;
                    let plan = self
                        .plan_query(query, &given, &self.read_catalog())?
                        .shortened(self.state());
                    prepared.parameters = plan::parameter_types(&plan.plan, &given)?;
                    prepared.columns = Some(output::columns_of(&plan.plan)?);
                    prepared.query = Some(plan);
                }
                Statement::Insert(insert) => {
                    plan::places::check_statement(statement)?;
                    (prepared.parameters, prepared.query) =
                        self.insert_parameters(insert, given, &catalog)?;
                    prepared.columns =
                        self.returning_columns(statement, &mut prepared.parameters, &catalog)?;
                }
                Statement::Update(update) => {
                    plan::places::check_statement(statement)?;
                    let (types, plan) = self.update_query(update, given, &catalog)?;
                    (prepared.parameters, prepared.query) = (types, Some(plan));
                    prepared.columns =
                        self.returning_columns(statement, &mut prepared.parameters, &catalog)?;
                }
                Statement::Delete(delete) => {
                    plan::places::check_statement(statement)?;
                    let plan = self.delete_query(delete, given, &catalog)?;
                    prepared.parameters = plan::parameter_types(&plan.plan, given)?;
                    prepared.query = Some(plan);
                    prepared.columns =
                        self.returning_columns(statement, &mut prepared.parameters, &catalog)?;
                }
                Statement::Execute { name, .. } => {
                    let name = statements::name_of(name.as_ref());
                    prepared.columns = self.executed_columns(&name)?;
                }
                Statement::Call(function) => {
                    prepared.parameters = procedures::parameters(function, given)?;
                    prepared.columns = procedures::columns(function);
                }
                other => prepared.columns = self.command_columns(other)?,
            },
        }
        let types = std::mem::take(&mut prepared.parameters);
        prepared.parameters = self.as_of_parameters(prepared.as_of(), types, &catalog)?;
        Ok(prepared)
    }

    /// Runs a statement with its parameters' values. Inside a multi-statement query string the server calls
    /// `begin_implicit` first. An error moves an open transaction block to `Failed`.
    pub async fn execute(
        &mut self,
        statement: &Prepared,
        parameters: &[Datum],
    ) -> Result<Outcome, SqlError> {
        if self.work.failed && !statement.statement.ends_transaction() {
            return Err(in_failed_transaction());
        }
        if self.work.block == Block::None {
            self.begin_work();
        }
        self.advisory.set_timeout(self.timeout("lock_timeout"));
        self.begins(&statement.statement);
        let mut result = match self.of_shapes(statement, parameters) {
            None => self.execute_retrying(statement, parameters).await,
            Some(Ok(statement)) => self.execute_retrying(&statement, parameters).await,
            Some(Err(error)) => Err(error),
        };
        if let Some(kinds) = &statement.statement.excused {
            let is_excused = |error: &SqlError| kinds.contains(&error.kind);
            if result.as_ref().err().is_none_or(is_excused) {
                result = Ok(Outcome::Command("DO".to_string()));
            }
        }
        if result.is_err() {
            self.fail();
        }
        let outcome = result.map_err(|error| statement.locate(error))?;
        Ok(match outcome {
            Outcome::Rows {
                columns,
                rows,
                verb,
            } if statement.statement.text().has_literals() => {
                // They are read when rows are asked for.
                let text = statement.statement.text();
                let rows = rows.map_err(move |error| text.locate_literal(error));
                Outcome::Rows {
                    columns,
                    rows: rows.boxed(),
                    verb,
                }
            }
            outcome => outcome,
        })
    }

    async fn execute_retrying(
        &mut self,
        statement: &Prepared,
        parameters: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let mut tries = 0;
        let alone = self.work.block == Block::None;
        let mark = self.work.changes.read().mark();
        let mut reshaped = None;
        loop {
            let statement = reshaped.as_ref().unwrap_or(statement);
            // In memory of its own, which is large: the callers' futures live as long as connections and subscriptions do.
            let tried = Box::pin(self.execute_inner(statement, parameters)).await;
            self.forget_stand_ins();
            let outcome = match tried {
                // It alone is the transaction: the others go on without its locks, then it is run again.
                Err(error)
                    if error.kind.is_of_the_moment()
                        && alone
                        && self.work.block == Block::None
                        && !self.advisory.is_held()
                        && tries < RETRIES_MAX =>
                {
                    self.roll_back();
                    tries += 1;
                    continue;
                }
                Err(error) if error.kind == ErrorKind::OtherShape => {
                    reshaped = Some(self.reshaped(statement, error, mark).await?);
                    continue;
                }
                outcome => outcome?,
            };
            if self.work.block != Block::None || matches!(outcome, Outcome::CopyIn(_)) {
                return Ok(outcome);
            }
            self.act_on_commit()?;
            match self.commit().await {
                Ok(()) => return Ok(outcome),
                // The statement alone is the transaction: run again, it sees the rows as they are now.
                Err(
                    CommitError::Conflict | CommitError::CatalogChanged | CommitError::ReadChanged,
                ) if tries < RETRIES_MAX => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn execute_inner(
        &mut self,
        prepared: &Prepared,
        parameters: &[Datum],
    ) -> Result<Outcome, SqlError> {
        match &prepared.statement.body {
            Body::Subscribe(subscribe, copy) => {
                let types = &prepared.parameters;
                self.subscribe(subscribe, copy.as_ref(), types, parameters)
                    .await
            }
            Body::Listen(listen) => self.listen(listen).await,
            Body::Maintain(maintain) => self.maintain(maintain).await,
            Body::Define(definition) => match &**definition {
                Definition::TableAs(table) => self.create_table_as(prepared, table).await,
                Definition::Refresh {
                    concurrently,
                    name,
                    with_data,
                } => (self.refresh(prepared, name, *with_data, *concurrently)).await,
                definition => {
                    if let Definition::Database(command) = definition {
                        self.clear_database(command).await?;
                    }
                    self.ddl(Ddl::Ours(definition)).await
                }
            },
            Body::Cursor(command) => self.cursor_command(command, prepared, parameters).await,
            Body::Sql(statement, kind) => {
                let locked;
                let statement = match prepared.locks_inside {
                    false => &**statement,
                    true => {
                        locked =
                            Box::pin(self.lock_inside(statement, prepared, parameters)).await?;
                        &locked
                    }
                };
                self.work.queried |= matches!(
                    *statement,
                    Statement::Query(_)
                        | Statement::Insert(_)
                        | Statement::Update(_)
                        | Statement::Delete(_)
                        | Statement::Copy { .. }
                );
                match statement {
                    Statement::Query(query) if !query.locks.is_empty() => {
                        self.select_locking(query, prepared, parameters).await
                    }
                    Statement::Query(query) => self.select(prepared, query, parameters).await,
                    Statement::Insert(insert) => {
                        let target = match &insert.table {
                            ast::TableObject::TableName(name) => Some(name),
                            _ => None,
                        };
                        self.check_may_write_to("INSERT", target)?;
                        let outcome = self.insert(insert, prepared, parameters).await?;
                        prepared.check_outcome(outcome)
                    }
                    Statement::Update(update) => {
                        self.check_may_write_to("UPDATE", modify::relation(&update.table))?;
                        let outcome = self.update(update, prepared, parameters).await?;
                        prepared.check_outcome(outcome)
                    }
                    Statement::Delete(delete) => {
                        let (ast::FromTable::WithFromKeyword(from)
                        | ast::FromTable::WithoutKeyword(from)) = &delete.from;
                        self.check_may_write_to("DELETE", from.first().and_then(modify::relation))?;
                        let outcome = self.delete(delete, prepared, parameters).await?;
                        prepared.check_outcome(outcome)
                    }
                    Statement::Copy { .. } => self.copy(statement, prepared).await,
                    Statement::Explain { .. } => match &prepared.explained {
                        Some(explained) => self.explain(statement, explained, parameters).await,
                        None => Err(SqlError::new(ErrorKind::InternalError, "no EXPLAIN")),
                    },
                    Statement::Prepare {
                        name,
                        data_types,
                        statement,
                    } => {
                        let name = crate::ddl::fold(name);
                        self.prepare_named(&prepared.statement, name, data_types, statement)
                    }
                    Statement::Execute {
                        name, parameters, ..
                    } => {
                        let name = statements::name_of(name.as_ref());
                        self.execute_named(&name, parameters).await
                    }
                    Statement::Call(function) => self.call(function, parameters).await,
                    other => (self.command(other, *kind, prepared.statement.deferrable)).await,
                }
            }
        }
    }

    async fn select(
        &mut self,
        prepared: &Prepared,
        query: &ast::Query,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let configured = self.set_configs(query, values)?;
        let query = configured.as_ref().unwrap_or(query);
        let mut framed = prepared.framed.then(|| query.clone());
        if let Some(framed) = &mut framed {
            plan::frames::fill(framed, &mut |at, _| {
                let value = values.get(at).zip(prepared.parameters.get(at));
                let (value, ty) = value.ok_or_else(|| crate::row::no_parameter(at))?;
                Ok(plan::frames::literal(value, *ty))
            })?;
        }
        let query = framed.as_ref().unwrap_or(query);
        let scope = self
            .query_scope(prepared.as_of(), &prepared.parameters, values)
            .await?;
        let current = self
            .current(prepared, &scope)
            .filter(|_| configured.is_none());
        let planned;
        let plan = match current {
            Some(plan) => plan,
            None => {
                let given: Vec<_> = prepared.parameters.iter().map(|ty| Some(*ty)).collect();
                planned = self.plan_query(query.clone(), &given, scope.snapshot.catalog())?;
                &planned
            }
        };
        let columns = output::columns_of(&plan.plan)?;
        prepared.check_columns(&columns)?;
        let snapshot = scope.snapshot.clone();
        let rows = self
            .run_query(plan, &columns, scope, &prepared.parameters, values)
            .await?;
        self.detach_changes();
        // What is said while rows are made belongs to the transaction, which may end with this statement.
        let rows = match says_something(query) {
            true => output::collected(rows).await?,
            false => rows,
        };
        Ok(Outcome::Rows {
            columns,
            rows: output::holding(rows, snapshot),
            verb: "SELECT",
        })
    }

    /// The plan that was made when the statement was prepared, if it would be made the same now.
    pub(crate) fn current<'a>(
        &self,
        prepared: &'a Prepared,
        scope: &Scope,
    ) -> Option<&'a QueryPlan> {
        prepared.query.as_ref().filter(|plan| {
            !prepared.locks_inside && !prepared.framed && self.is_current(plan, scope)
        })
    }

    /// Whether a plan would be made the same now.
    fn is_current(&self, plan: &QueryPlan, scope: &Scope) -> bool {
        plan.reusable
            && plan.catalog_version == scope.snapshot.catalog().version
            && plan.access == scope.access
            && plan.search_path == self.search_path()
            && plan.style == self.style()
            && plan.showing == self.showing(&scope.access)
    }

    /// Runs a planned query in a scope, the short way where there is one.
    pub(crate) async fn run_query(
        &self,
        query: &QueryPlan,
        columns: &[OutputColumn],
        scope: Arc<Scope>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<RowStream, SqlError> {
        // EXPLAIN ANALYZE shows a physical plan.
        let explained = self.plans.lock().is_some();
        if let Some(short) = query.short.as_ref().filter(|_| !explained)
            && let Some(rows) = (short.run(self.state(), &scope, columns, types, values)).await?
        {
            return Ok(rows);
        }
        if !explained && let Some(row) = self.row_alone(query, columns, types, values)? {
            return Ok(row);
        }
        let plan = query.to_run(self.state());
        self.run_plan(plan, scope, types, values, true).await
    }

    /// Runs a plan in a scope. Rows that a transaction's own changes are part of are read before this returns.
    pub(crate) async fn run(
        &self,
        plan: LogicalPlan,
        scope: Arc<Scope>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<RowStream, SqlError> {
        let plan = ToRun::analyzed(plan);
        self.run_plan(plan, scope, types, values, true).await
    }

    pub(crate) async fn run_plan(
        &self,
        plan: ToRun,
        scope: Arc<Scope>,
        types: &[ColumnType],
        values: &[Datum],
        recorded: bool,
    ) -> Result<RowStream, SqlError> {
        let columns = output::columns(plan.plan.schema().as_arrow())?;
        // An error of constants comes before the columns.
        let constant = expression::is_constant(&plan.plan);
        let eager = constant || !scope.transaction.read().is_empty();
        let Physical { plan, heavy } = self.physical_plan(plan, scope, types, values).await?;
        if recorded && let Some(plans) = &mut *self.plans.lock() {
            plans.push(plan.clone());
        }
        let stream = self.execute_plan(plan, heavy).await?;
        let rows = output::stream(&columns, stream);
        match eager {
            true => output::collected(rows).await,
            false => Ok(rows),
        }
    }

    /// Begins or ends to record what `run` runs; gives what was recorded.
    pub(crate) fn record_plans(&mut self, record: bool) -> Vec<Arc<dyn ExecutionPlan>> {
        let recorded = self.plans.get_mut().take();
        *self.plans.get_mut() = record.then(Vec::new);
        recorded.unwrap_or_default()
    }

    /// Runs the statement that an EXPLAIN ANALYZE is of.
    pub(crate) async fn execute_explained(
        &mut self,
        prepared: &Prepared,
        parameters: &[Datum],
    ) -> Result<Outcome, SqlError> {
        Box::pin(self.execute_inner(prepared, parameters)).await
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.engine.store
    }

    pub(crate) fn expression_cache(&self) -> &ExpressionCache {
        &self.engine.expressions
    }

    pub(crate) fn subjects(&self) -> &Subjects {
        &self.engine.subjects
    }

    pub(crate) fn state(&self) -> &SessionState {
        &self.engine.state
    }

    /// What the present role may reach.
    pub(crate) fn access(&self, catalog: &Catalog) -> Access {
        Access::of(catalog.role(&self.role()))
    }

    pub(crate) fn search_path(&self) -> Vec<String> {
        let mut path = self.settings.search_path(&self.role_name());
        // Nobody finds what is temporary in another session.
        path.retain(|schema| !crate::ddl::temp::is_temporary(schema));
        if let Some(own) = self.temporary_schema() {
            path.insert(0, own);
        }
        path
    }

    /// Whether changes are another server's, which has looked after their foreign keys.
    pub(crate) fn is_replica(&self) -> bool {
        self.settings.is_replica()
    }
}

fn in_failed_transaction() -> SqlError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    SqlError::new(ErrorKind::InFailedTransaction, message)
}
