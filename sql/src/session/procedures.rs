//! CALL: the procedures of the `tidelog` schema.

use datafusion::sql::sqlparser::ast::{self, ObjectName};
use tidelog_storage::{ColumnType, Datum};

use super::commands::known_text;
use super::{Outcome, Session};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::output::{self, OutputColumn};
use crate::row::infer_placeholder;

impl Session {
    pub(super) async fn call(
        &mut self,
        function: &ast::Function,
        parameters: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let name = function.name.to_string().to_ascii_lowercase();
        if name == "tidelog.trim" {
            return self.trim(&function.args).await;
        }
        let (takes, example) = match name.as_str() {
            "tidelog.flush" | "tidelog.compact" => ("the name of one table", "chat.messages"),
            "tidelog.erase_user" => ("the name of one user", "alice"),
            "tidelog.backup" => (
                "the folder or URL of the backups",
                "file:///var/backups/tidelog",
            ),
            _ => {
                let message = format!("procedure {name} does not exist");
                return Err(SqlError::new(ErrorKind::UndefinedFunction, message));
            }
        };
        self.require_superuser(&format!("CALL {name}"))?;
        self.refuse_in_block(&format!("CALL {name}"))?;
        let is_one =
            matches!(&function.args, ast::FunctionArguments::List(list) if list.args.len() == 1);
        let argument = (arguments(function).next().filter(|_| is_one))
            .and_then(|argument| known_text(argument, parameters).flatten());
        let Some(argument) = argument else {
            let message = format!("{name} takes {takes}");
            return Err(SqlError::new(ErrorKind::UndefinedFunction, message)
                .hint(format!("For example: CALL {name}('{example}').")));
        };
        let store = self.store().clone();
        match name.as_str() {
            "tidelog.erase_user" => return self.erase_user(&argument).await,
            "tidelog.backup" => return self.back_up(&argument).await,
            "tidelog.flush" => drop(store.flush(self.table_named(&argument)?).await?),
            _ => drop(store.compact(self.table_named(&argument)?).await?),
        }
        Ok(Outcome::Command("CALL".to_string()))
    }

    /// CALL tidelog.trim(): the logs of all tables, as the background job cuts them every minute.
    async fn trim(&self, args: &ast::FunctionArguments) -> Result<Outcome, SqlError> {
        self.require_superuser("CALL tidelog.trim")?;
        self.refuse_in_block("CALL tidelog.trim")?;
        if !matches!(args, ast::FunctionArguments::List(list) if list.args.is_empty()) {
            let message = "tidelog.trim takes no argument";
            return Err(SqlError::new(ErrorKind::UndefinedFunction, message));
        }
        self.store().trim().await?;
        Ok(Outcome::Command("CALL".to_string()))
    }

    fn table_named(&self, name: &str) -> Result<tidelog_storage::TableId, SqlError> {
        // As it is, or as SQL writes it where there are quotes.
        let parts: Vec<String> = match name.contains('"') {
            true => crate::system::functions::name_parts(name),
            false => name.split('.').map(str::to_string).collect(),
        };
        let idents: Vec<ast::Ident> = parts
            .iter()
            .map(|part| crate::parse::quoted(part))
            .collect();
        let catalog = self.committed_catalog();
        let table = ddl::resolve(&catalog, &self.search_path(), &ObjectName::from(idents))?;
        Ok(table.id)
    }

    async fn erase_user(&self, user: &str) -> Result<Outcome, SqlError> {
        let known = self.committed_catalog().roles.contains_key(user);
        let erased = self.store().erase_user(user).await?;
        if !known && erased.tables == 0 {
            let message = format!("role \"{user}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedObject, message));
        }
        one_row(
            &ERASED,
            &[erased.tables, erased.rows, erased.files, erased.bytes],
        )
    }

    async fn back_up(&self, url: &str) -> Result<Outcome, SqlError> {
        let done = self.store().backup(url).await?;
        let seq = u64::try_from(done.backup.seq.as_i64()).unwrap_or(0);
        let values = [
            done.backup.number,
            seq,
            done.backup.files,
            done.backup.bytes,
            done.copied_files,
            done.copied_bytes,
        ];
        one_row(&BACKED_UP, &values)
    }
}

const ERASED: [&str; 4] = ["tables", "rows", "files", "bytes"];
const BACKED_UP: [&str; 6] = [
    "number",
    "seq",
    "files",
    "bytes",
    "copied_files",
    "copied_bytes",
];

/// What a procedure gives back, as one with OUT parameters does.
fn one_row(names: &[&str], values: &[u64]) -> Result<Outcome, SqlError> {
    let row = (values.iter()).map(|value| Datum::Int8(i64::try_from(*value).unwrap_or(i64::MAX)));
    let batch = output::batch_of_rows(
        &vec![ColumnType::Int8; names.len()],
        &[row.collect::<Vec<_>>()],
    )?;
    Ok(Outcome::Rows {
        columns: output_columns(names),
        rows: output::once(batch),
        verb: "CALL",
    })
}

fn output_columns(names: &[&str]) -> Vec<OutputColumn> {
    let column = |name: &&str| OutputColumn::new(*name, ColumnType::Int8);
    names.iter().map(column).collect()
}

/// The arguments that are plain expressions.
fn arguments(function: &ast::Function) -> impl Iterator<Item = &ast::Expr> {
    let args = match &function.args {
        ast::FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    args.iter().filter_map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// The types of the parameters among a procedure's arguments: text, where the client left them open.
pub(super) fn parameters(
    function: &ast::Function,
    given: &[Option<ColumnType>],
) -> Result<Vec<ColumnType>, SqlError> {
    let mut types: Vec<Option<ColumnType>> = given.to_vec();
    for mut argument in arguments(function) {
        while let ast::Expr::Cast { expr, .. } = argument {
            argument = expr;
        }
        infer_placeholder(&mut types, argument, ColumnType::Text)?;
    }
    Ok((types.into_iter())
        .map(|ty| ty.unwrap_or(ColumnType::Text))
        .collect())
}

/// The columns of what a procedure gives back; `None` when that is nothing.
pub(super) fn columns(function: &ast::Function) -> Option<Vec<OutputColumn>> {
    match function.name.to_string().to_ascii_lowercase().as_str() {
        "tidelog.erase_user" => Some(output_columns(&ERASED)),
        "tidelog.backup" => Some(output_columns(&BACKED_UP)),
        _ => None,
    }
}
