//! COPY as a statement: lines into a transaction, rows into lines.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use datafusion::sql::sqlparser::ast::{self, Statement};
use futures::StreamExt;
use tidelog_storage::{ColumnType, Datum, TableDef};

use super::condition::Condition;
use super::{CopyDecoder, CopyFormat, check_encoding, column_context, line_context};
use crate::error::{ErrorKind, SqlError};
use crate::parse::parse_query;
use crate::row::{RowMaker, Target, Write, check_given, targets};
use crate::session::{Outcome, Prepared, Session};
use crate::{ddl, output, text};

impl Session {
    pub(crate) async fn copy(
        &mut self,
        statement: &Statement,
        prepared: &Prepared,
    ) -> Result<Outcome, SqlError> {
        let Statement::Copy {
            source,
            to,
            target,
            options,
            legacy_options,
            ..
        } = statement
        else {
            return Err(SqlError::new(ErrorKind::InternalError, "COPY was expected"));
        };
        if !matches!(target, ast::CopyTarget::Stdin | ast::CopyTarget::Stdout) {
            return Err(SqlError::unsupported("COPY with a file or program of the server").hint(
                "Use COPY … FROM STDIN or TO STDOUT; psql's \\copy does this with files of the client.",
            ));
        }
        let clauses = prepared.copy_clauses();
        let encoding = clauses.and_then(|clauses| clauses.encoding.as_deref());
        encoding.map_or(Ok(()), check_encoding)?;
        let matches = clauses.is_some_and(|clauses| clauses.matches_header);
        if matches && *to {
            return Err(SqlError::new(
                ErrorKind::FeatureNotSupported,
                "cannot use \"match\" with HEADER in COPY TO",
            ));
        }
        let format = CopyFormat::from_options(options, legacy_options)?.matching_header(matches);
        let scope = self.query_scope(prepared.as_of(), &[], &[]).await?;
        let catalog = scope.snapshot.catalog().clone();
        if !to {
            let target = match source {
                ast::CopySource::Table { table_name, .. } => Some(table_name),
                ast::CopySource::Query(_) => None,
            };
            self.check_may_write_to("COPY FROM", target)?;
            let ast::CopySource::Table {
                table_name,
                columns,
            } = source
            else {
                return Err(SqlError::new(
                    ErrorKind::SyntaxError,
                    "COPY FROM needs a table",
                ));
            };
            let table = ddl::resolve(&catalog, &self.search_path(), table_name)?.clone();
            if table.materialized.is_some() {
                let message = format!("cannot copy to materialized view \"{}\"", table.name);
                return Err(SqlError::new(ErrorKind::WrongObjectType, message));
            }
            let names: Vec<String> = columns.iter().map(ddl::fold).collect();
            let mut targets = targets(&table, &names, &self.access(&catalog))?;
            if names.is_empty() {
                targets.retain(|target| !is_generated(&table, *target));
            }
            if let Some(target) = (targets.iter()).find(|target| is_generated(&table, **target)) {
                return Err(generated_in_copy(target.name(&table)));
            }
            let names: Vec<String> = targets
                .iter()
                .map(|target| target.name(&table).to_string())
                .collect();
            let format = format.for_columns(&names, false)?;
            let condition = clauses.and_then(|clauses| clauses.condition.as_ref());
            let condition = condition.map(|written| self.copy_condition(&table, written));
            let condition = condition.transpose()?;
            let maker = self.row_maker(&table, targets, &catalog)?;
            let binary = format.is_binary();
            let decoder = CopyDecoder::new(format, &table.name, names);
            return Ok(Outcome::CopyIn(Box::new(CopyIn {
                maker,
                condition,
                evaluated: VecDeque::new(),
                decoder,
                binary,
                is_alone: false,
                lines: 0,
                rows: 0,
                pending: Vec::new(),
                pending_bytes: 0,
            })));
        }
        let query = match source {
            ast::CopySource::Query(query) => (**query).clone(),
            ast::CopySource::Table {
                table_name,
                columns,
            } => {
                let table = ddl::resolve(&catalog, &self.search_path(), table_name)?;
                let generated = |name: &ast::Ident| {
                    let at = table.column_index(&ddl::fold(name));
                    at.is_some_and(|at| table.columns[at].generated.is_some())
                };
                if let Some(name) = columns.iter().find(|name| generated(name)) {
                    return Err(generated_in_copy(&ddl::fold(name)));
                }
                let mut names = columns.iter().map(ddl::fold);
                let mut seen = HashSet::new();
                if let Some(twice) = names.find(|name| !seen.insert(name.clone())) {
                    let message = format!("column \"{twice}\" specified more than once");
                    return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
                }
                let list = if columns.is_empty() && table.has_generated() {
                    let own = table.columns.iter();
                    let own = own.filter(|column| column.generated.is_none());
                    let names: Vec<String> = own
                        .map(|column| crate::parse::quoted(&column.name).to_string())
                        .collect();
                    names.join(", ")
                } else if columns.is_empty() {
                    "*".to_string()
                } else {
                    columns
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                parse_query(&format!("SELECT {list} FROM {table_name}"))?
            }
        };
        let plan = self.plan_select(query, &[], &catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        let rows = self.run(plan, scope, &[], &[]).await?;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let format = format.for_columns(&names, true)?;
        if format.is_binary() {
            return Ok(Outcome::CopyRows { columns, rows });
        }
        let width = columns.len();
        let mut head = Vec::new();
        if format.header() {
            format.write_header(&names, &mut head);
        }
        let style = self.style();
        let lines = rows.map(move |batch| {
            let batch = batch?;
            let mut out = Vec::new();
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter();
                let values = values.map(|array| output::value(array, row));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                format.write_line(values.into_iter(), &columns, style, &mut out);
            }
            Ok((Bytes::from(out), batch.num_rows() as u64))
        });
        let head = futures::stream::iter((!head.is_empty()).then(|| Ok((Bytes::from(head), 0))));
        Ok(Outcome::CopyOut {
            columns: width,
            chunks: head.chain(lines).boxed(),
        })
    }
}

/// A COPY … FROM STDIN under way.
pub struct CopyIn {
    pub(crate) maker: RowMaker,
    condition: Option<Condition>,
    /// Values of the defaults that need the engine, by column, for rows that are yet to come.
    evaluated: VecDeque<Vec<(usize, Datum)>>,
    decoder: CopyDecoder,
    /// Whether the server reads the data.
    binary: bool,
    /// Whether it is a transaction by itself, which has changed the table for its rows.
    pub(crate) is_alone: bool,
    /// Rows that came in binary, and those that were taken of all.
    lines: u64,
    rows: u64,
    /// Rows that are not in the transaction yet, and how much data they came from.
    pending: Vec<Write>,
    pending_bytes: usize,
}

/// Lines whose defaults are evaluated before they come, at most.
const LINES_AHEAD_MAX: usize = 1000;

/// Clients send a line at a time: so much of them goes into the transaction together.
const PENDING_BYTES: usize = 64 << 10;

impl CopyIn {
    /// How many columns a line has.
    pub fn columns(&self) -> usize {
        self.maker.targets.len()
    }

    /// Whether the data are in the binary format.
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// Names and types of the columns that are filled.
    pub fn targets(&self) -> Vec<(String, ColumnType)> {
        let table = &self.maker.table;
        let target = self.maker.targets.iter();
        target
            .map(|target| {
                let ty = self.read_type(target.ty(table));
                (target.name(table).to_string(), ty)
            })
            .collect()
    }

    /// The type that values of a column are read as: arrays of other shapes than a column has change the table.
    fn read_type(&self, ty: ColumnType) -> ColumnType {
        read_type(ty, self.condition.is_none())
    }

    /// An error in a line of the data, and in a column of it.
    pub fn locate(&self, mut error: SqlError, line: u64, column: Option<&str>) -> SqlError {
        let table = &self.maker.table.name;
        error.context = Some(match column {
            Some(column) => format!("COPY {table}, line {line}, column {column}"),
            None => line_context(table, line, None),
        });
        error
    }

    /// How many rows were taken.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a chunk of data, or its end, and gives the rows that are due.
    fn take(&mut self, data: Option<&[u8]>) -> Result<Vec<Write>, SqlError> {
        let CopyIn {
            maker,
            condition,
            evaluated,
            decoder,
            binary,
            is_alone: _,
            lines: _,
            rows,
            pending,
            pending_bytes,
        } = self;
        let mut line = |line: u64, fields: &[Option<&str>]| {
            let defaults = evaluated.pop_front().unwrap_or_default();
            let values = values_of(maker, line, fields, condition.is_none())?;
            let made = row_of(maker, condition.as_ref(), values, &defaults);
            let made = made.map_err(|mut error| {
                error.context = Some(line_context(&maker.table.name, line, None));
                error
            })?;
            *rows += u64::from(made.is_some());
            pending.extend(made);
            Ok(())
        };
        match data {
            None if *binary => {}
            Some(data) => decoder.push(data, &mut line)?,
            None => decoder.finish(&mut line)?,
        }
        *pending_bytes += data.map_or(0, <[u8]>::len);
        if data.is_some() && *pending_bytes < PENDING_BYTES {
            return Ok(Vec::new());
        }
        *pending_bytes = 0;
        Ok(std::mem::take(pending))
    }
}

impl Session {
    pub(crate) async fn take_copy_rows(
        &mut self,
        copy: &mut CopyIn,
        rows: Vec<Vec<Datum>>,
    ) -> Result<(), SqlError> {
        let open = copy.maker.open_defaults();
        if !open.is_empty() && !rows.is_empty() {
            let table = &copy.maker.table;
            let sets = self.evaluate_defaults(table, &open, rows.len()).await?;
            copy.evaluated.extend(sets);
        }
        self.deferred_mut().goes_on = true;
        let mut writes = Vec::with_capacity(rows.len());
        for values in rows {
            copy.lines += 1;
            let defaults = copy.evaluated.pop_front().unwrap_or_default();
            let made = row_of(&copy.maker, copy.condition.as_ref(), values, &defaults);
            let made = made.map_err(|error| copy.locate(error, copy.lines, None))?;
            copy.rows += u64::from(made.is_some());
            writes.extend(made);
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.reshape_copied(copy, &writes).await?;
        self.insert_rows(&copy.maker.table, &mut writes).await
    }

    pub(crate) async fn take_copy_data(
        &mut self,
        copy: &mut CopyIn,
        data: Option<&[u8]>,
    ) -> Result<(), SqlError> {
        let open = copy.maker.open_defaults();
        if !open.is_empty() {
            // So many lines end in the data, at most.
            let ends = |byte: &&u8| matches!(byte, b'\n' | b'\r');
            let lines = 1 + data.map_or(0, |data| data.iter().filter(ends).count());
            let missing = lines.saturating_sub(copy.evaluated.len());
            if missing > 0 {
                // Many clients send a line at a time: as many again as there were, so that planning costs little.
                let ahead = usize::try_from(copy.rows).unwrap_or(LINES_AHEAD_MAX);
                let rows = missing.max(ahead.min(LINES_AHEAD_MAX));
                let sets = self.evaluate_defaults(&copy.maker.table, &open, rows);
                copy.evaluated.extend(sets.await?);
            }
        }
        self.deferred_mut().goes_on = true;
        let mut writes = copy.take(data)?;
        if writes.is_empty() {
            return Ok(());
        }
        self.reshape_copied(copy, &writes).await?;
        self.insert_rows(&copy.maker.table, &mut writes).await
    }
}

fn is_generated(table: &TableDef, target: Target) -> bool {
    match target {
        Target::Column(index) => table.columns[index].generated.is_some(),
        Target::User => false,
    }
}

/// 42P10 for a generated column among those that are copied.
fn generated_in_copy(name: &str) -> SqlError {
    let message = format!("column \"{name}\" is a generated column");
    SqlError::new(ErrorKind::InvalidColumnReference, message)
        .detail("Generated columns cannot be used in COPY.")
}

/// The row of these values, if it meets the condition.
fn row_of(
    maker: &RowMaker,
    condition: Option<&Condition>,
    values: Vec<Datum>,
    expressions: &[(usize, Datum)],
) -> Result<Option<Write>, SqlError> {
    let (partition, row) = maker.unchecked(values, expressions)?;
    if let Some(condition) = condition
        && !condition.is_met(&row)?
    {
        return Ok(None);
    }
    check_given(&maker.table, &row)?;
    Ok(Some(Write::insert((partition, row))))
}

/// The type that values of a column are read as.
fn read_type(ty: ColumnType, any_shape: bool) -> ColumnType {
    match ty {
        ColumnType::Array(element) if any_shape => ColumnType::Shaped(element),
        ty => ty,
    }
}

fn values_of(
    maker: &RowMaker,
    line: u64,
    fields: &[Option<&str>],
    any_shape: bool,
) -> Result<Vec<Datum>, SqlError> {
    let mut values = Vec::with_capacity(fields.len());
    for (field, target) in fields.iter().zip(&maker.targets) {
        let Some(field) = field else {
            values.push(Datum::Null);
            continue;
        };
        let parsed = text::parse_in(
            read_type(target.ty(&maker.table), any_shape),
            field,
            maker.style,
        )
        .map_err(|mut error| {
            let name = target.name(&maker.table);
            error.context = Some(column_context(&maker.table.name, line, name, Some(field)));
            error
        })?;
        values.push(parsed);
    }
    Ok(values)
}
