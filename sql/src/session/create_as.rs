//! CREATE TABLE AS and SELECT INTO: a table made and filled in one transaction. Materialized views are made and refreshed
//! so, too.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Statement};
use tidelog_storage::catalog::{Concern, UniqueKey};
use tidelog_storage::{CatalogChange, TableDef};

use super::{Block, Outcome, Prepared, Session};
use crate::ddl::table::like::{parse_column, written_type};
use crate::ddl::{self, Ddl, materialized};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{Parsed, TableAs, parse_query, quoted};
use crate::plan::reg::is_named;

impl Session {
    pub(super) async fn create_table_as(
        &mut self,
        whole: &Prepared,
        table: &TableAs,
    ) -> Result<Outcome, SqlError> {
        let mut table = table.clone();
        if let Some(executed) = self.executed_query(&table.query)? {
            table.query = executed;
        }
        let alone = self.work.block == Block::None;
        if alone {
            self.begin_implicit();
        }
        let made = self.make_and_fill(whole, &table).await;
        self.end_alone(alone, made).await
    }

    /// Ends the transaction that was begun for one statement.
    pub(super) async fn end_alone(
        &mut self,
        alone: bool,
        done: Result<Outcome, SqlError>,
    ) -> Result<Outcome, SqlError> {
        if alone {
            match done {
                Ok(_) => self.end_implicit().await?,
                Err(_) => self.abort(),
            }
        }
        done
    }

    /// REFRESH MATERIALIZED VIEW: the rows that its query gives now instead of its own.
    pub(super) async fn refresh(
        &mut self,
        whole: &Prepared,
        name: &ObjectName,
        with_data: bool,
        concurrently: bool,
    ) -> Result<Outcome, SqlError> {
        const TAG: &str = "REFRESH MATERIALIZED VIEW";
        self.require_superuser(TAG)?;
        self.check_may_write(TAG)?;
        let alone = self.work.block == Block::None;
        if alone {
            self.begin_implicit();
        }
        let done = self
            .empty_and_fill(whole, name, with_data, concurrently)
            .await;
        let done = done.map(|()| Outcome::Command(TAG.to_string()));
        self.end_alone(alone, done).await
    }

    async fn empty_and_fill(
        &mut self,
        whole: &Prepared,
        name: &ObjectName,
        with_data: bool,
        concurrently: bool,
    ) -> Result<(), SqlError> {
        let catalog = self.catalog();
        materialized::to_refresh(&catalog, &self.search_path(), name)?;
        self.lock_catalog(&[Concern::Lasting].into()).await?;
        let (catalog, emptied) = loop {
            let (catalog, _) = self.catalog_to_change();
            let table = materialized::to_refresh(&catalog, &self.search_path(), name)?;
            let emptied = materialized::emptied(table, &catalog);
            let change = CatalogChange::PutTable(Box::new(emptied.clone()));
            if self.engine.store.reserve_ids(&catalog, &[change]) {
                break (catalog, emptied);
            }
        };
        let table = materialized::to_refresh(&catalog, &self.search_path(), name)?;
        materialized::check_readable(&catalog, table)?;
        let Some(kept) = table.materialized.clone() else {
            return Err(SqlError::new(ErrorKind::InternalError, "no query"));
        };
        if concurrently {
            check_concurrent(table, with_data)?;
        }
        let filled = materialized::filled(&emptied, kept.query.clone(), with_data);
        let columns = table.columns.iter().map(|column| quoted(&column.name));
        let columns: Vec<Ident> = columns.collect();
        let name = ObjectName::from(vec![quoted(&table.schema), quoted(&table.name)]);
        if with_data {
            self.change_with_block(vec![CatalogChange::PutTable(Box::new(emptied))])?;
            let query = Box::new(parse_query(&kept.query)?);
            self.fill_table(whole, &name, &columns, query).await?;
        }
        self.change_with_block(vec![CatalogChange::PutTable(Box::new(filled))])
    }

    /// Inserts the rows of a query.
    async fn fill_table(
        &mut self,
        whole: &Prepared,
        name: &ObjectName,
        columns: &[Ident],
        query: Box<Query>,
    ) -> Result<Outcome, SqlError> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let columns = match columns.is_empty() {
            true => String::new(),
            false => format!("({})", columns.join(", ")),
        };
        let insert = format!("INSERT INTO {name} {columns} SELECT 1");
        let mut parsed = crate::parse::parse(&insert)?;
        let Some(Statement::Insert(mut insert)) = parsed.pop().and_then(Parsed::into_statement)
        else {
            return Err(SqlError::new(ErrorKind::InternalError, "no INSERT"));
        };
        insert.source = Some(query);
        let statement = whole.statement.of(Statement::Insert(insert));
        let prepared = self.prepare_inner(&statement, &[])?;
        Box::pin(self.execute_inner(&prepared, &[])).await
    }

    async fn make_and_fill(
        &mut self,
        whole: &Prepared,
        table: &TableAs,
    ) -> Result<Outcome, SqlError> {
        let catalog = self.catalog();
        let described = self.describe(&catalog, &table.query)?;
        if let Some((name, _)) = described.iter().find(|(_, ty)| is_named(*ty)) {
            let what = format!("column \"{name}\" of type regclass or the like");
            return Err(SqlError::unsupported(what).hint("Cast it to text or oid."));
        }
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
        let is_made = self.catalog_version() != before;
        if !is_made || !table.with_data {
            if is_made && table.materialized {
                self.keep_query(&name, &table.query, false)?;
            }
            let tag = match table.materialized {
                true => "CREATE MATERIALIZED VIEW",
                false => "CREATE TABLE AS",
            };
            return Ok(Outcome::Command(tag.to_string()));
        }
        let filled = self
            .fill_table(whole, &name, &names, table.query.clone())
            .await?;
        if table.materialized {
            self.keep_query(&name, &table.query, true)?;
        }
        Ok(match filled {
            Outcome::Command(tag) => Outcome::Command(tag.replacen("INSERT 0", "SELECT", 1)),
            other => other,
        })
    }

    /// Makes the new table a materialized view.
    fn keep_query(
        &mut self,
        name: &ObjectName,
        query: &Query,
        populated: bool,
    ) -> Result<(), SqlError> {
        let (catalog, path) = (self.catalog(), self.search_path());
        let table = ddl::resolve(&catalog, &path, name)?;
        let query = ddl::view::lasting(query, &catalog, &path)?;
        let filled = materialized::filled(table, query, populated);
        materialized::check_readable(&catalog, &filled)?;
        self.change_with_block(vec![CatalogChange::PutTable(Box::new(filled))])
    }
}

/// What PostgreSQL asks for before it refreshes beside readers, which see the old rows here in any case.
fn check_concurrent(table: &TableDef, with_data: bool) -> Result<(), SqlError> {
    if !with_data {
        let message = "REFRESH options CONCURRENTLY and WITH NO DATA cannot be used together";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let populated = table.materialized.as_ref().is_some_and(|of| of.populated);
    if !populated {
        let message = "CONCURRENTLY cannot be used when the materialized view is not populated";
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    let of_columns = |key: &UniqueKey<'_>| !key.columns.iter().any(|id| id.is_computed());
    if !table.referable_keys().any(|key| of_columns(&key)) {
        let message = format!(
            "cannot refresh materialized view \"{}.{}\" concurrently",
            table.schema, table.name
        );
        let kind = ErrorKind::ObjectNotInPrerequisiteState;
        return Err(SqlError::new(kind, message).hint(
            "Create a unique index with no WHERE clause on one or more columns of the materialized view.",
        ));
    }
    Ok(())
}
