//! PREPARE, EXECUTE and DEALLOCATE.

use datafusion::sql::sqlparser::ast::{DataType, Expr, ObjectName, Statement};
use tidelog_storage::{ColumnType, Datum};

use super::{Outcome, Prepared, Session};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::Parsed;
use crate::row::assign;
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

    pub(super) async fn execute_named(
        &mut self,
        name: &str,
        arguments: &[Expr],
    ) -> Result<Outcome, SqlError> {
        let prepared = self.named(name)?.clone();
        let (wanted, given) = (prepared.parameters.len(), arguments.len());
        if wanted != given {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(SqlError::new(ErrorKind::SyntaxError, message)
                .detail(format!("Expected {wanted} parameters but got {given}.")));
        }
        let mut values: Vec<Datum> = Vec::with_capacity(given);
        for (at, (argument, ty)) in arguments.iter().zip(&prepared.parameters).enumerate() {
            values.push(self.argument(at, argument, *ty).await?);
        }
        Box::pin(self.execute_inner(&prepared, &values)).await
    }

    async fn argument(&self, at: usize, expr: &Expr, ty: ColumnType) -> Result<Datum, SqlError> {
        let name = format!("parameter ${}", at + 1);
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

/// The name that EXECUTE gives.
pub(super) fn name_of(name: Option<&ObjectName>) -> String {
    let last = name
        .and_then(|name| name.0.last())
        .and_then(|part| part.as_ident());
    last.map(ddl::fold).unwrap_or_default()
}
