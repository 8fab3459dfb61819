//! The statements that a client has prepared, by the protocol's Parse or by PREPARE: they share their names. EXECUTE and DEALLOCATE.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, SetExpr, Statement,
    TableFactor, Value,
};
use tidelog_storage::{ColumnType, Datum};

use super::{Outcome, Prepared, Session, TransactionStatus};
use crate::ddl;
use crate::ddl::table::like::written_type;
use crate::error::{ErrorKind, SqlError};
use crate::output::OutputColumn;
use crate::parse::forms::EXECUTE;
use crate::parse::walk::WalkMut;
use crate::parse::{Body, Parsed, literal_text, parse_expression};
use crate::row::{assign, placeholder};
use crate::text::datetime::now_micros;
use crate::types;

/// A statement that a client has prepared.
pub struct ClientStatement {
    /// `None` for an empty query string.
    pub plan: Option<Planned>,
    /// The types that the client gave its parameters, `None` where it left them open.
    pub types: Vec<Option<ColumnType>>,
    /// What the client sent.
    text: Arc<str>,
    by_sql: bool,
    prepared_us: i64,
    generic_plans: AtomicI64,
    custom_plans: AtomicI64,
}

/// A statement as it was parsed and planned.
pub struct Planned {
    /// As it was parsed.
    pub parsed: Parsed,
    /// As it was planned first: what the client knows of it.
    first: Arc<Prepared>,
    /// As it was planned last, and the catalog that it was planned with.
    last: Mutex<(u64, Arc<Prepared>)>,
}

impl Planned {
    fn new(parsed: Parsed, prepared: Prepared, catalog_version: u64) -> Planned {
        let first = Arc::new(prepared);
        Planned {
            parsed,
            last: Mutex::new((catalog_version, first.clone())),
            first,
        }
    }

    fn last(&self) -> MutexGuard<'_, (u64, Arc<Prepared>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientStatement {
    /// The types of `$1`, `$2`, …
    pub fn parameters(&self) -> &[ColumnType] {
        let plan = self.plan.as_ref();
        plan.map_or(&[], |plan| &plan.first.parameters)
    }

    /// The result's columns; `None` when it returns no rows.
    pub fn columns(&self) -> Option<&[OutputColumn]> {
        self.plan.as_ref()?.first.columns.as_deref()
    }

    /// It gets the values of its parameters, to be run.
    pub fn counts(&self) {
        let plan = self.plan.as_ref();
        let generic = plan.is_none_or(|plan| plan.last().1.is_generic());
        let plans = match generic {
            true => &self.generic_plans,
            false => &self.custom_plans,
        };
        plans.fetch_add(1, Ordering::Relaxed);
    }

    /// What EXECUTE runs.
    fn executable(&self) -> Result<&Planned, SqlError> {
        let plan = self.plan.as_ref();
        let plan = plan.filter(|plan| is_preparable(&plan.parsed.body));
        plan.ok_or_else(|| SqlError::unsupported("EXECUTE of this statement"))
    }
}

/// What PREPARE takes.
fn is_preparable(body: &Body) -> bool {
    matches!(body, Body::Sql(statement, _) if matches!(
        **statement,
        Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
    ))
}

/// What pg_prepared_statements tells of a statement.
pub(crate) struct StatementInfo {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) prepared_us: i64,
    pub(crate) parameters: Vec<ColumnType>,
    pub(crate) by_sql: bool,
    pub(crate) generic_plans: i64,
    pub(crate) custom_plans: i64,
}

/// A session's.
#[derive(Default)]
pub(super) struct Statements {
    named: BTreeMap<String, Arc<ClientStatement>>,
    unnamed: Option<Arc<ClientStatement>>,
}

impl Statements {
    /// Those that have names are forgotten.
    pub(super) fn clear(&mut self) {
        self.named.clear();
    }

    /// What pg_prepared_statements tells.
    pub(super) fn infos(&self) -> Vec<StatementInfo> {
        let info = |(name, statement): (&String, &Arc<ClientStatement>)| StatementInfo {
            name: name.clone(),
            text: statement.text.to_string(),
            prepared_us: statement.prepared_us,
            parameters: statement.parameters().to_vec(),
            by_sql: statement.by_sql,
            generic_plans: statement.generic_plans.load(Ordering::Relaxed),
            custom_plans: statement.custom_plans.load(Ordering::Relaxed),
        };
        self.named.iter().map(info).collect()
    }
}

impl Session {
    /// Makes a statement of a query string that has one or none.
    pub async fn prepare_text(
        &mut self,
        sql: &str,
        types: Vec<Option<ColumnType>>,
    ) -> Result<ClientStatement, SqlError> {
        let mut statements = self.parse(sql)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        let Some(parsed) = statements.pop() else {
            return Ok(self.prepared_now(None, types, sql.into(), false));
        };
        let catalog_version = self.catalog_version();
        let prepared = self.prepare(&parsed, &types).await?;
        let text = parsed.source().clone();
        check_told(&text, &prepared, &types).inspect_err(|_| self.fail())?;
        let plan = Planned::new(parsed, prepared, catalog_version);
        Ok(self.prepared_now(Some(plan), types, text, false))
    }

    fn prepared_now(
        &self,
        plan: Option<Planned>,
        types: Vec<Option<ColumnType>>,
        text: Arc<str>,
        by_sql: bool,
    ) -> ClientStatement {
        ClientStatement {
            plan,
            types,
            text,
            by_sql,
            prepared_us: now_micros(),
            generic_plans: AtomicI64::new(0),
            custom_plans: AtomicI64::new(0),
        }
    }

    /// A statement as it is planned with the present catalog; 0A000 when its columns or parameters are others then.
    pub async fn up_to_date(
        &mut self,
        plan: &Planned,
        types: &[Option<ColumnType>],
    ) -> Result<Arc<Prepared>, SqlError> {
        let (version, prepared) = plan.last().clone();
        let present = self.catalog_version();
        if version == present || self.transaction_status() == TransactionStatus::Failed {
            return Ok(prepared);
        }
        let prepared = Arc::new(self.prepare(&plan.parsed, types).await?);
        plan.first.check_anew(&prepared)?;
        *plan.last() = (present, prepared.clone());
        Ok(prepared)
    }

    /// Keeps a statement; 42P05 where there is one of that name, which is no other than the empty one.
    pub fn keep_statement(
        &mut self,
        name: String,
        statement: ClientStatement,
    ) -> Result<(), SqlError> {
        let statements = &mut self.statements;
        if name.is_empty() {
            statements.unnamed = Some(Arc::new(statement));
            return Ok(());
        }
        if statements.named.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(ErrorKind::DuplicateStatement, message));
        }
        statements.named.insert(name, Arc::new(statement));
        Ok(())
    }

    /// Forgets a statement, if it is there.
    pub fn forget_statement(&mut self, name: &str) -> bool {
        let forgotten = match name {
            "" => self.statements.unnamed.take(),
            name => self.statements.named.remove(name),
        };
        forgotten.is_some()
    }

    /// The statement of a name; 26000 without one.
    pub fn statement(&self, name: &str) -> Result<&Arc<ClientStatement>, SqlError> {
        let statement = match name {
            "" => self.statements.unnamed.as_ref(),
            name => self.statements.named.get(name),
        };
        statement.ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_string(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            SqlError::new(ErrorKind::InvalidStatementName, message)
        })
    }

    /// PREPARE.
    pub(super) fn prepare_named(
        &mut self,
        whole: &Parsed,
        name: String,
        given: &[DataType],
        statement: &Statement,
    ) -> Result<Outcome, SqlError> {
        let parsed = whole.of(statement.clone());
        if !is_preparable(&parsed.body) {
            return Err(SqlError::unsupported("PREPARE of this statement"));
        }
        let (catalog, path) = (self.catalog(), self.search_path());
        let user_types =
            |schema: Option<&str>, name: &str| ddl::enums::find(&catalog, &path, schema, name);
        let ty = |ty: &DataType| match ty.to_string().eq_ignore_ascii_case("unknown") {
            true => Ok(None),
            false => types::column_type_among(ty, &user_types).map(Some),
        };
        let given = given.iter().map(ty).collect::<Result<Vec<_>, _>>()?;
        let prepared = self.prepare_inner(&parsed, &given)?;
        check_told(whole.source(), &prepared, &given)?;
        let plan = Planned::new(parsed, prepared, catalog.version);
        let statement = self.prepared_now(Some(plan), given, whole.source().clone(), true);
        self.keep_statement(name, statement)?;
        Ok(Outcome::Command("PREPARE".to_string()))
    }

    /// The statement that EXECUTE names, as it was planned first.
    pub(super) fn named(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        Ok(self.statement(name)?.executable()?.first.clone())
    }

    /// The columns that an EXECUTE gives.
    pub(super) fn executed_columns(
        &self,
        name: &str,
    ) -> Result<Option<Vec<OutputColumn>>, SqlError> {
        Ok(self.named(name)?.columns.clone())
    }

    /// The statement that an EXECUTE stands for, with its arguments in the place of the parameters.
    pub(super) fn executed(&self, name: &str, arguments: &[Expr]) -> Result<Statement, SqlError> {
        struct Fill<'a>(&'a [Expr]);
        impl ast::VisitorMut for Fill<'_> {
            type Break = ();

            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if let Expr::Value(value) = expr
                    && let Value::Placeholder(id) = &value.value
                    && let Some(argument) = placeholder(id).ok().and_then(|at| self.0.get(at))
                {
                    *expr = argument.clone();
                }
                ControlFlow::Continue(())
            }
        }
        let kept = self.statement(name)?;
        let prepared = &kept.executable()?.first;
        check_count(name, prepared, arguments)?;
        kept.counts();
        if prepared.as_of().is_some() {
            return Err(SqlError::unsupported("EXECUTE here of a query AS OF"));
        }
        let typed = arguments.iter().zip(&prepared.parameters);
        let typed = typed.map(|(argument, ty)| {
            parse_expression(&format!("CAST({argument} AS {})", written_type(*ty)))
        });
        let typed = typed.collect::<Result<Vec<_>, _>>()?;
        let statement = prepared.statement.clone().into_statement();
        let mut statement = statement.expect("only statements of PostgreSQL's are executable");
        let _ = statement.walk_mut(&mut Fill(&typed));
        Ok(statement)
    }

    /// An EXPLAIN of EXECUTE as one of what that stands for; `None` for other statements.
    pub(super) fn with_executed(&self, whole: &Parsed) -> Result<Option<Parsed>, SqlError> {
        let Body::Sql(statement, _) = &whole.body else {
            return Ok(None);
        };
        let Statement::Explain { statement: of, .. } = &**statement else {
            return Ok(None);
        };
        let Statement::Execute {
            name, parameters, ..
        } = &**of
        else {
            return Ok(None);
        };
        let executed = self.executed(&name_of(name.as_ref()), parameters)?;
        let mut explain = (**statement).clone();
        if let Statement::Explain { statement: of, .. } = &mut explain {
            **of = executed;
        }
        Ok(Some(whole.of(explain)))
    }

    /// The query that `CREATE TABLE … AS EXECUTE` means; `None` for other queries.
    pub(super) fn executed_query(&self, query: &Query) -> Result<Option<Box<Query>>, SqlError> {
        let SetExpr::Select(select) = &*query.body else {
            return Ok(None);
        };
        let [from] = select.from.as_slice() else {
            return Ok(None);
        };
        let TableFactor::Table {
            name,
            args: Some(args),
            ..
        } = &from.relation
        else {
            return Ok(None);
        };
        if name_of(Some(name)) != EXECUTE {
            return Ok(None);
        }
        let argument = |arg: &FunctionArg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        };
        let arguments: Vec<Expr> = args.args.iter().filter_map(argument).collect();
        let (statement, arguments) = arguments.split_first().expect("the name stands first");
        match self.executed(&literal_text(statement).unwrap_or_default(), arguments)? {
            Statement::Query(query) => Ok(Some(query)),
            _ => {
                let message = "prepared statement is not a SELECT";
                Err(SqlError::new(ErrorKind::WrongObjectType, message))
            }
        }
    }

    pub(super) async fn execute_named(
        &mut self,
        name: &str,
        arguments: &[Expr],
    ) -> Result<Outcome, SqlError> {
        let kept = self.statement(name)?.clone();
        let plan = kept.executable()?;
        check_count(name, &plan.first, arguments)?;
        let prepared = self.up_to_date(plan, &kept.types).await?;
        let mut values: Vec<Datum> = Vec::with_capacity(arguments.len());
        for (at, (argument, ty)) in arguments.iter().zip(&prepared.parameters).enumerate() {
            values.push(self.argument(at, argument, *ty).await?);
        }
        kept.counts();
        let reshaped = self.of_shapes(&prepared, &values).transpose()?;
        let prepared = reshaped.as_ref().unwrap_or(&prepared);
        Box::pin(self.execute_inner(prepared, &values)).await
    }

    async fn argument(&self, at: usize, expr: &Expr, ty: ColumnType) -> Result<Datum, SqlError> {
        let name = format!("parameter ${}", at + 1);
        let ty = ty.elements().map_or(ty, ColumnType::Shaped);
        if let Some(value) = crate::row::constant(expr, ty, &[], &[], &name, self.style())? {
            return Ok(value);
        }
        let (value, from) = self.evaluate(expr, &[], &[]).await?;
        assign(value, from, ty, &name, self.style())
    }

    /// DEALLOCATE of a statement, or of all that have names.
    pub(super) fn deallocate(&mut self, name: Option<String>) -> Result<Outcome, SqlError> {
        let tag = match name {
            Some(name) => {
                self.statement(&name)?;
                self.forget_statement(&name);
                "DEALLOCATE"
            }
            None => {
                self.statements.clear();
                "DEALLOCATE ALL"
            }
        };
        Ok(Outcome::Command(tag.to_string()))
    }
}

fn check_count(name: &str, prepared: &Prepared, arguments: &[Expr]) -> Result<(), SqlError> {
    let (wanted, given) = (prepared.parameters.len(), arguments.len());
    if wanted == given {
        return Ok(());
    }
    let message = format!("wrong number of parameters for prepared statement \"{name}\"");
    Err(SqlError::new(ErrorKind::SyntaxError, message)
        .detail(format!("Expected {wanted} parameters but got {given}.")))
}

/// The name that EXECUTE gives.
pub(super) fn name_of(name: Option<&ObjectName>) -> String {
    let last = name
        .and_then(|name| name.0.last())
        .and_then(|part| part.as_ident());
    last.map(ddl::fold).unwrap_or_default()
}

/// 42P18 where a parameter has no type from the client and no place in the text, as `$1` of `SELECT $2`.
fn check_told(
    text: &str,
    prepared: &Prepared,
    given: &[Option<ColumnType>],
) -> Result<(), SqlError> {
    let count = prepared.parameters.len();
    let is_given = |at: &usize| given.get(*at).copied().flatten().is_some();
    if count < 2 || (0..count).all(|at| is_given(&at)) {
        return Ok(());
    }
    let numbers = text.split('$').skip(1).filter_map(|behind| {
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        behind[..digits].parse::<usize>().ok()
    });
    let named: HashSet<usize> = numbers.collect();
    match (0..count).find(|at| !is_given(at) && !named.contains(&(at + 1))) {
        None => Ok(()),
        Some(at) => {
            let message = format!("could not determine data type of parameter ${}", at + 1);
            Err(SqlError::new(ErrorKind::IndeterminateDatatype, message))
        }
    }
}
