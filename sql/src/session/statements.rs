//! PREPARE, EXECUTE and DEALLOCATE.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, SetExpr, Statement,
    TableFactor, Value,
};
use tidelog_storage::{ColumnType, Datum};

use super::{Outcome, Prepared, Session};
use crate::ddl;
use crate::ddl::table::like::written_type;
use crate::error::{ErrorKind, SqlError};
use crate::parse::forms::EXECUTE;
use crate::parse::walk::WalkMut;
use crate::parse::{Body, Parsed, literal_text, parse_expression};
use crate::row::{assign, placeholder};
use crate::types;

impl Session {
    /// Keeps a statement under a name, as long as the session lives.
    pub(super) fn prepare_named(
        &mut self,
        whole: &Parsed,
        name: String,
        given: &[DataType],
        statement: &Statement,
    ) -> Result<Outcome, SqlError> {
        if self.named.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(ErrorKind::DuplicateStatement, message));
        }
        let preparable = matches!(
            statement,
            Statement::Query(_)
                | Statement::Insert(_)
                | Statement::Update(_)
                | Statement::Delete(_)
        );
        if !preparable {
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
        let prepared = self.prepare_inner(&whole.of(statement.clone()), &given)?;
        self.named.insert(name, prepared);
        Ok(Outcome::Command("PREPARE".to_string()))
    }

    /// The statement that EXECUTE names.
    pub(super) fn named(&self, name: &str) -> Result<&Prepared, SqlError> {
        self.named.get(name).ok_or_else(|| {
            let message = format!("prepared statement \"{name}\" does not exist");
            SqlError::new(ErrorKind::InvalidStatementName, message)
        })
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
        let prepared = self.named(name)?;
        check_count(name, prepared, arguments)?;
        if prepared.as_of().is_some() {
            return Err(SqlError::unsupported("EXECUTE here of a query AS OF"));
        }
        let typed = arguments.iter().zip(&prepared.parameters);
        let typed = typed.map(|(argument, ty)| {
            parse_expression(&format!("CAST({argument} AS {})", written_type(*ty)))
        });
        let typed = typed.collect::<Result<Vec<_>, _>>()?;
        let statement = prepared.statement.clone().into_statement();
        let mut statement = statement.expect("only statements of PostgreSQL's are prepared");
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
        let prepared = self.named(name)?.clone();
        check_count(name, &prepared, arguments)?;
        let mut values: Vec<Datum> = Vec::with_capacity(arguments.len());
        for (at, (argument, ty)) in arguments.iter().zip(&prepared.parameters).enumerate() {
            values.push(self.argument(at, argument, *ty).await?);
        }
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

    /// Forgets a statement of PREPARE, or all of them; the server does the same with those of the protocol.
    pub(super) fn deallocate(&mut self, name: Option<String>) -> Outcome {
        let known = match &name {
            Some(name) => self.named.remove(name).is_some(),
            None => {
                self.named.clear();
                true
            }
        };
        Outcome::Deallocate { name, known }
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
