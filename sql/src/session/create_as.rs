//! CREATE TABLE AS and SELECT INTO: a table made and filled in one transaction.

use datafusion::sql::sqlparser::ast::Statement;

use super::{Block, Outcome, Prepared, Session};
use crate::ddl::table::like::{parse_column, written_type};
use crate::ddl::{self, Ddl};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{Parsed, TableAs, quoted};

impl Session {
    pub(super) async fn create_table_as(
        &mut self,
        whole: &Prepared,
        table: &TableAs,
    ) -> Result<Outcome, SqlError> {
        let alone = self.work.block == Block::None;
        if alone {
            self.begin_implicit();
        }
        let made = self.make_and_fill(whole, table).await;
        if alone {
            match made {
                Ok(_) => self.end_implicit().await?,
                Err(_) => self.abort(),
            }
        }
        made
    }

    async fn make_and_fill(
        &mut self,
        whole: &Prepared,
        table: &TableAs,
    ) -> Result<Outcome, SqlError> {
        let catalog = self.catalog();
        let described = self.describe(&catalog, &table.query)?;
        if table.columns.len() > described.len() {
            let message = "too many column names were specified";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        let mut create = (*table.create).clone();
        let mut names = Vec::with_capacity(described.len());
        for (at, (name, ty)) in described.into_iter().enumerate() {
            let name = quoted(&table.columns.get(at).map_or(name, ddl::fold));
            create
                .columns
                .push(parse_column(&format!("{name} {}", written_type(ty)))?);
            names.push(name);
        }
        let name = create.name.clone();
        let statement = Statement::CreateTable(create);
        let before = self.catalog_version();
        self.ddl(Ddl::Sql(&statement, table.kind)).await?;
        // With IF NOT EXISTS there may have been nothing to make.
        if self.catalog_version() == before || !table.with_data {
            return Ok(Outcome::Command("CREATE TABLE AS".to_string()));
        }
        let columns: Vec<String> = names.iter().map(ToString::to_string).collect();
        let insert = format!("INSERT INTO {name} ({}) SELECT 1", columns.join(", "));
        let mut parsed = crate::parse::parse(&insert)?;
        let Some(Statement::Insert(mut insert)) = parsed.pop().and_then(Parsed::into_statement)
        else {
            return Err(SqlError::new(ErrorKind::InternalError, "no INSERT"));
        };
        insert.source = Some(table.query.clone());
        let statement = whole.statement.of(Statement::Insert(insert));
        let prepared = self.prepare_inner(&statement, &[])?;
        let filled = Box::pin(self.execute_inner(&prepared, &[])).await?;
        Ok(match filled {
            Outcome::Command(tag) => Outcome::Command(tag.replacen("INSERT 0", "SELECT", 1)),
            other => other,
        })
    }
}
