//! COPY as a statement: lines into a transaction, rows into lines.

use bytes::Bytes;
use datafusion::sql::sqlparser::ast::{self, Statement};
use futures::StreamExt;
use tidelog_storage::{Datum, datum};

use super::{CopyDecoder, CopyFormat, column_context, line_context};
use crate::error::{ErrorKind, SqlError};
use crate::parse::parse_query;
use crate::row::{RowMaker, Write, targets};
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
        let format = CopyFormat::from_options(options, legacy_options)?;
        let scope = self.query_scope(prepared.as_of(), &[], &[]).await?;
        let catalog = scope.snapshot.catalog().clone();
        if !to {
            self.check_may_write("COPY FROM")?;
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
            let names: Vec<String> = columns.iter().map(ddl::fold).collect();
            let targets = targets(&table, &names, &self.access(&catalog))?;
            let names: Vec<String> = targets
                .iter()
                .map(|target| target.name(&table).to_string())
                .collect();
            let format = format.for_columns(&names, false)?;
            let maker = self.row_maker(&table, targets, &catalog)?;
            let mut expressions = Vec::new();
            for (index, expr) in maker.open_defaults() {
                // COPY evaluates what needs the engine once; ids and clocks above are per row.
                expressions.push((
                    index,
                    self.evaluate_as(&expr, table.columns[index].ty).await?,
                ));
            }
            let decoder = CopyDecoder::new(format, &table.name, names);
            return Ok(Outcome::CopyIn(Box::new(CopyIn {
                maker,
                expressions,
                decoder,
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
                ddl::resolve(&catalog, &self.search_path(), table_name)?;
                let list = if columns.is_empty() {
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
                let values = batch.columns().iter().map(|array| {
                    datum::datum_at(array, row).unwrap_or(tidelog_storage::DatumRef::Null)
                });
                format.write_line(values, &columns, style, &mut out);
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
    maker: RowMaker,
    expressions: Vec<(usize, Datum)>,
    decoder: CopyDecoder,
    rows: u64,
    /// Rows that are not in the transaction yet, and how much data they came from.
    pending: Vec<Write>,
    pending_bytes: usize,
}

/// Clients send a line at a time: so much of them goes into the transaction together.
const PENDING_BYTES: usize = 64 << 10;

impl CopyIn {
    /// How many columns a line has.
    pub fn columns(&self) -> usize {
        self.maker.targets.len()
    }

    /// How many rows came.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a chunk of data, or its end, and gives the rows that are due.
    fn take(&mut self, data: Option<&[u8]>) -> Result<Vec<Write>, SqlError> {
        let CopyIn {
            maker,
            expressions,
            decoder,
            rows,
            pending,
            pending_bytes,
        } = self;
        let mut line = |line: u64, fields: &[Option<&str>]| {
            *rows += 1;
            pending.push(row_of(maker, expressions, line, fields)?);
            Ok(())
        };
        match data {
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
    pub(crate) async fn take_copy_data(
        &mut self,
        copy: &mut CopyIn,
        data: Option<&[u8]>,
    ) -> Result<(), SqlError> {
        let writes = copy.take(data)?;
        if writes.is_empty() {
            return Ok(());
        }
        self.insert_rows(&copy.maker.table, &writes).await
    }
}

fn row_of(
    maker: &RowMaker,
    expressions: &[(usize, Datum)],
    line: u64,
    fields: &[Option<&str>],
) -> Result<Write, SqlError> {
    let mut values = Vec::with_capacity(fields.len());
    for (field, target) in fields.iter().zip(&maker.targets) {
        let Some(field) = field else {
            values.push(Datum::Null);
            continue;
        };
        let parsed =
            text::parse_in(target.ty(&maker.table), field, maker.style).map_err(|mut error| {
                let name = target.name(&maker.table);
                error.context = Some(column_context(&maker.table.name, line, name, Some(field)));
                error
            })?;
        values.push(parsed);
    }
    let made = maker.row(values, expressions).map_err(|mut error| {
        error.context = Some(line_context(&maker.table.name, line, None));
        error
    })?;
    Ok(Write::insert(made))
}
