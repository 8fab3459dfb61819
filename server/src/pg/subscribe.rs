//! SUBSCRIBE: the rows as they stand, `ready`, then each change as it is committed.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use tidelog_sql::subscribe::SubscribePlan;
use tidelog_sql::{ErrorKind, SqlError, json};
use tidelog_storage::{Change, DatumRef, Store};
use tidelog_subscriptions::{RowFilter, Tail};

use crate::feed::{Where, op_name, sql_error};
use crate::interrupts::Stop;
use crate::pg::client::Client;
use crate::pg::connection::Connection;
use crate::pg::encode::Format;
use crate::pg::reply;
use crate::pg::results::{Formats, Portion, RowWriter, next, value};

/// A subscription under way.
pub(super) struct Feed {
    plan: SubscribePlan,
    tail: Tail,
    /// The snapshot batch that is being sent and the next row in it.
    batch: Option<(RecordBatch, usize)>,
    ready_sent: bool,
    /// Changes that were read and not yet sent.
    changes: VecDeque<Change>,
}

impl Feed {
    pub(super) fn new(store: Arc<Store>, plan: SubscribePlan) -> Feed {
        let filter = plan
            .filter
            .clone()
            .map(|filter| Arc::new(Where(filter)) as Arc<dyn RowFilter>);
        let tail = Tail::new(
            store,
            plan.scope.clone(),
            plan.table.schema_version,
            filter,
            plan.after,
        );
        Feed {
            plan,
            tail,
            batch: None,
            ready_sent: false,
            changes: VecDeque::new(),
        }
    }

    /// RowDescription or CopyOutResponse, for the simple protocol.
    pub(super) fn describe(&self, client: &mut Client) {
        if self.plan.copy.is_none() {
            reply::row_description(&mut client.out, &self.plan.columns, |_| Format::Text);
        }
        self.describe_copy(client);
    }

    /// CopyOutResponse and the header line, if it is a COPY.
    pub(super) fn describe_copy(&self, client: &mut Client) {
        let Some(format) = &self.plan.copy else {
            return;
        };
        reply::copy_response(&mut client.out, b'H', self.plan.columns.len());
        if format.header() {
            let names: Vec<String> = self
                .plan
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect();
            let mut line = Vec::new();
            format.write_header(&names, &mut line);
            reply::copy_data(&mut client.out, &line);
        }
    }

    /// Sends rows, each stretch of them at once, until `limit`. A stalled client is waited for; the changes
    /// stay in the log meanwhile.
    async fn send(
        &mut self,
        client: &mut Client,
        formats: &Formats,
        limit: Option<u64>,
    ) -> Result<Portion, Stop> {
        let mut sent = 0;
        while limit.is_none_or(|limit| sent < limit) {
            if self.send_one(client, formats)? {
                sent += 1;
                client.flush_full().await?;
                continue;
            }
            if let Some(snapshot) = &mut self.plan.snapshot {
                match next(snapshot, client).await? {
                    Some(batch) if batch.num_columns() + 2 != self.plan.columns.len() => {
                        let message = "the snapshot has not the columns that were announced";
                        return Err(SqlError::new(ErrorKind::InternalError, message).into());
                    }
                    Some(batch) => self.batch = Some((batch, 0)),
                    None => self.plan.snapshot = None,
                }
                continue;
            }
            client.flush().await?;
            let changes = self
                .tail
                .next()
                .await
                .map_err(|error| sql_error(error, &self.plan.table))?;
            self.changes = changes.into();
        }
        Ok(Portion {
            rows: sent,
            complete: false,
        })
    }

    /// Sends the next row that is at hand; `false` when there is none.
    fn send_one(&mut self, client: &mut Client, formats: &Formats) -> Result<bool, SqlError> {
        let mut line = Line {
            plan: &self.plan,
            writer: RowWriter::new(&self.plan.columns, formats),
        };
        if let Some((batch, row)) = &mut self.batch {
            if *row < batch.num_rows() {
                let (seq, values) = batch
                    .columns()
                    .split_first()
                    .expect("its columns were counted");
                let seq = value(seq, *row)?;
                line.write(
                    client,
                    seq,
                    "snapshot",
                    values.iter().map(|array| value(array, *row)),
                    DatumRef::Null,
                )?;
                *row += 1;
                return Ok(true);
            }
            self.batch = None;
        }
        if self.plan.snapshot.is_some() {
            return Ok(false);
        }
        if !self.ready_sent {
            let nulls = self.plan.table.columns.iter().map(|_| Ok(DatumRef::Null));
            line.write(
                client,
                DatumRef::Int8(self.plan.after.as_i64()),
                "ready",
                nulls,
                DatumRef::Null,
            )?;
            self.ready_sent = true;
            return Ok(true);
        }
        let Some(change) = self.changes.pop_front() else {
            return Ok(false);
        };
        let old = change
            .old
            .as_ref()
            .map(|old| json::row_object(&self.plan.table, old));
        let old = old.as_deref().map_or(DatumRef::Null, DatumRef::Text);
        let seq = DatumRef::Int8(change.seq.as_i64());
        line.write(
            client,
            seq,
            op_name(change.op),
            change.row.iter().map(|datum| Ok(datum.as_ref())),
            old,
        )?;
        Ok(true)
    }
}

/// Writes one row as a DataRow or as a line of COPY.
struct Line<'a> {
    plan: &'a SubscribePlan,
    writer: RowWriter<'a>,
}

impl Line<'_> {
    fn write<'v>(
        &mut self,
        client: &mut Client,
        seq: DatumRef<'v>,
        op: &'v str,
        row: impl Iterator<Item = Result<DatumRef<'v>, SqlError>>,
        old: DatumRef<'v>,
    ) -> Result<(), SqlError> {
        let values = [Ok(seq), Ok(DatumRef::Text(op))]
            .into_iter()
            .chain(row)
            .chain([Ok(old)]);
        match &self.plan.copy {
            None => self.writer.write(client, values),
            Some(format) => {
                let values = values.collect::<Result<Vec<_>, _>>()?;
                let mut line = Vec::new();
                let style = tidelog_sql::text::Style::default();
                format.write_line(values.into_iter(), &self.plan.columns, style, &mut line);
                reply::copy_data(&mut client.out, &line);
                Ok(())
            }
        }
    }
}

impl Connection {
    /// Streams a subscription until it is ended from outside, or for `limit` rows.
    pub(super) async fn run_feed(
        &mut self,
        feed: &mut Feed,
        formats: &Formats,
        limit: Option<u64>,
    ) -> Result<Portion, Stop> {
        self.interrupts
            .guard_endless(feed.send(&mut self.client, formats, limit))
            .await
    }
}
