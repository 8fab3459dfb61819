//! Arrays of several dimensions, or that do not begin at 1, where a statement was planned for others: as parameters, for which it
//! is planned again, and in columns, which are made ones of arrays of any shape first.

use datafusion::sql::sqlparser::ast::Statement;
use tidelog_storage::transaction::Mark;
use tidelog_storage::{ColumnType, Datum, TableDef};

use super::prepared::is_of_other_shape;
use super::statements::name_of;
use super::{Block, Prepared, Session};
use crate::copy::CopyIn;
use crate::ddl::Ddl;
use crate::ddl::table::like::written_type;
use crate::error::SqlError;
use crate::parse::{Body, identifier};
use crate::row::Write;
use crate::text::unshaped;

impl Session {
    /// The statement, prepared for parameters that are such arrays; `None` where none is.
    pub(super) fn of_shapes(
        &self,
        statement: &Prepared,
        parameters: &[Datum],
    ) -> Option<Result<Prepared, SqlError>> {
        let given = statement.parameters.iter().zip(parameters);
        let mut others = given
            .clone()
            .filter(|(ty, value)| is_of_other_shape(value, **ty));
        others.next()?;
        let given = given.map(|(ty, value)| match *ty {
            ColumnType::Array(element) if is_of_other_shape(value, *ty) => {
                Some(ColumnType::Shaped(element))
            }
            ty => Some(ty),
        });
        let given: Vec<_> = given.collect();
        let prepared = self.prepare_inner(&statement.statement, &given);
        Some(prepared.and_then(|prepared| {
            if let Some(columns) = &prepared.columns {
                statement.check_columns(columns)?;
            }
            Ok(prepared)
        }))
    }

    /// The statement, prepared again once a column takes the array that it did not take; the error where it is none of
    /// the table that an INSERT or UPDATE writes to. What the statement did since the mark is forgotten.
    pub(super) async fn reshaped(
        &mut self,
        statement: &Prepared,
        error: SqlError,
        mark: Mark,
    ) -> Result<Prepared, SqlError> {
        let Some(change) = self.reshaping(statement, &error) else {
            return Err(error);
        };
        let alone = self.work.block == Block::None;
        match alone {
            true => self.roll_back(),
            false => self.work.changes.write().rollback_to_mark(mark),
        }
        // What stands in its way, such as an expression over the column, is nothing that the statement asked for.
        if self.reshape(&change).await.is_err() {
            return Err(error);
        }
        if alone {
            self.commit().await?;
        }
        let types: Vec<_> = statement.parameters.iter().map(|ty| Some(*ty)).collect();
        self.prepare_inner(&statement.statement, &types)
    }

    /// Makes columns ones of arrays of any shape where rows of COPY have such arrays for them.
    pub(crate) async fn reshape_copied(
        &mut self,
        copy: &mut CopyIn,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        let table = copy.maker.table.clone();
        let is_other = |at: &usize| {
            let rows = writes.iter().filter_map(|write| write.new.as_ref());
            let ty = table.columns[*at].ty;
            matches!(ty, ColumnType::Array(_))
                && rows.into_iter().any(|row| is_of_other_shape(&row[*at], ty))
        };
        let others: Vec<usize> = (0..table.columns.len()).filter(is_other).collect();
        if others.is_empty() {
            return Ok(());
        }
        // The change goes with the rows.
        if self.work.block == Block::None {
            self.work.block = Block::Implicit;
            copy.is_alone = true;
        }
        for at in others {
            let changed = match change_of(&table, at) {
                Some(change) => self.reshape(&change).await,
                None => Err(unshaped()),
            };
            changed.map_err(|_| unshaped())?;
        }
        let catalog = self.catalog();
        let changed = catalog.table(&table.schema, &table.name);
        copy.maker.table = changed.cloned().ok_or_else(unshaped)?;
        Ok(())
    }

    /// Ends a transaction that a COPY was by itself, or that it was in, with an error.
    pub(super) fn fail_copy(&mut self, copy: &CopyIn) {
        match copy.is_alone && self.work.block == Block::Implicit {
            true => self.abort(),
            false => self.fail(),
        }
    }

    /// Runs such a change of a table.
    async fn reshape(&mut self, change: &str) -> Result<(), SqlError> {
        let mut parsed = crate::parse::parse(change)?;
        match parsed.pop().map(|parsed| parsed.body) {
            Some(Body::Sql(change, _)) => {
                Box::pin(self.ddl(Ddl::Shapes(&change))).await?;
                Ok(())
            }
            _ => Err(unshaped()),
        }
    }

    /// The change of the table that makes the column one of arrays of any shape which an error is about.
    fn reshaping(&self, statement: &Prepared, error: &SqlError) -> Option<String> {
        let catalog = self.catalog();
        let Body::Sql(written, _) = &statement.statement.body else {
            return None;
        };
        if let Statement::Execute { name, .. } = &**written {
            let named = self.named(&name_of(name.as_ref())).ok()?;
            return self.reshaping(&named, error);
        }
        let table = match &**written {
            Statement::Insert(insert) => self.insert_target(insert, &catalog).ok()?,
            Statement::Update(update) => self.update_target(update, &catalog).ok()?,
            _ => return None,
        };
        change_of(&table, table.column_index(error.column.as_deref()?)?)
    }
}

/// The change of a table that makes a column one of arrays of any shape; `None` where it is none of arrays of one.
fn change_of(table: &TableDef, at: usize) -> Option<String> {
    let column = &table.columns[at];
    let ColumnType::Array(element) = column.ty else {
        return None;
    };
    Some(format!(
        "ALTER TABLE {}.{} ALTER COLUMN {} TYPE {}",
        identifier(&table.schema),
        identifier(&table.name),
        identifier(&column.name),
        written_type(ColumnType::Shaped(element))
    ))
}
