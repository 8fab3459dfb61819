//! SUBSCRIBE over the wire: a feed's rows as DataRows, or as lines of COPY.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tidelog_sql::subscribe::SubscribePlan;
use tidelog_sql::{ErrorKind, FetchFeed, SqlError};
use tidelog_storage::{DatumRef, Seq};
use tidelog_subscriptions::Stretch;
use tokio::time::Instant;

use crate::feed::{AtHand, Feed, Feeds, Part};
use crate::interrupts::Stop;
use crate::pg::client::{CHUNK_BYTES, Client};
use crate::pg::connection::Connection;
use crate::pg::encode::Format;
use crate::pg::reply;
use crate::pg::results::{Formats, Portion, RowWriter};

/// Parts that one FETCH gives at most, so that what it may have to give again stays bounded.
const FETCH_PARTS_MAX: usize = 16;

/// A feed that is being sent.
pub(super) struct Sending {
    feed: Feed,
    /// Parts that were read and not sent to their end. A FETCH that fails has sent nothing of them.
    parts: VecDeque<Part>,
    /// The next row of the first part.
    at: usize,
}

impl Sending {
    pub(super) fn new(feeds: &Arc<Feeds>, plan: SubscribePlan) -> Sending {
        Sending {
            feed: feeds.open(plan),
            parts: VecDeque::new(),
            at: 0,
        }
    }

    /// RowDescription or CopyOutResponse, for the simple protocol.
    pub(super) fn describe(&self, client: &mut Client) {
        if self.feed.plan().copy.is_none() {
            let columns = &self.feed.plan().subject.columns;
            reply::row_description(&mut client.out, columns, |_| Format::Text);
        }
        self.describe_copy(client);
    }

    /// CopyOutResponse and the header line, if it is a COPY.
    pub(super) fn describe_copy(&self, client: &mut Client) {
        let plan = self.feed.plan();
        let Some(format) = &plan.copy else {
            return;
        };
        let columns = &plan.subject.columns;
        reply::copy_response(&mut client.out, b'H', columns.len(), Format::Text);
        if format.header() {
            let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
            let mut line = Vec::new();
            format.write_header(&names, &mut line);
            reply::copy_data(&mut client.out, &line);
        }
    }

    /// Ends it: CopyDone if it is a COPY. Gives the verb of the tag.
    pub(super) fn end(&self, client: &mut Client) -> &'static str {
        match self.feed.plan().copy {
            Some(_) => {
                reply::bare(&mut client.out, b'c');
                "COPY"
            }
            None => "SUBSCRIBE",
        }
    }

    /// Sends rows, each part of them at once, to the end of the feed or for `limit` rows: then what there is is
    /// sent without waiting for more. A stalled client is waited for; the changes stay in the log meanwhile.
    async fn send(
        &mut self,
        client: &mut Client,
        formats: &Formats,
        limit: Option<u64>,
    ) -> Result<Portion, Stop> {
        let mut rows = 0;
        while limit.is_none_or(|limit| rows < limit) {
            if let Some(part) = self.parts.front() {
                let lines = part.len();
                let turn = self.feed.feeds().turn(lines).await;
                let bytes = match part {
                    Part::Changes(stretch) if limit.is_none() && self.at == 0 => {
                        shared(self.feed.plan(), part, stretch, formats)?
                    }
                    _ => None,
                };
                if let Some(bytes) = bytes {
                    drop(turn);
                    let goes_on = bytes.len() >= CHUNK_BYTES;
                    client.send(bytes).await?;
                    rows += lines as u64;
                    self.parts.pop_front();
                    if goes_on {
                        // As after each chunk of rows: others have their turn.
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                if self.at < lines {
                    while self.at < lines
                        && client.out.len() < CHUNK_BYTES
                        && limit.is_none_or(|limit| rows < limit)
                    {
                        write_line(self.feed.plan(), part, self.at, &mut client.out, formats)?;
                        self.at += 1;
                        rows += 1;
                    }
                    drop(turn);
                    client.flush_full().await?;
                    continue;
                }
                drop(turn);
                self.parts.pop_front();
                self.at = 0;
            }
            let at_hand = match limit {
                // Who waits anyway is woken by what is not known yet.
                None => self.feed.known(Seq::ZERO).await?,
                Some(_) => self.feed.at_hand().await?,
            };
            match at_hand {
                AtHand::Part(part) => {
                    self.parts.push_back(part);
                    continue;
                }
                AtHand::End => {
                    return Ok(Portion {
                        rows,
                        complete: true,
                    });
                }
                AtHand::Tip if limit.is_some() && rows > 0 => break,
                AtHand::Tip => {}
            }
            client.flush().await?;
            let next = self.feed.next().await?;
            self.parts.extend(next);
        }
        Ok(Portion {
            rows,
            complete: false,
        })
    }
}

impl Sending {
    /// Sends what there is, `fetch.rows_max` rows or fewer; waits only for the first, and that not longer than
    /// `fetch.timeout`. When this fails or is dropped, the next one gives the same rows again.
    async fn fetch(
        &mut self,
        fetch: &FetchFeed,
        client: &mut Client,
        formats: &Formats,
    ) -> Result<u64, Stop> {
        let until = fetch.timeout.map(|timeout| Instant::now() + timeout);
        let (mut index, mut at, mut rows) = (0, self.at, 0);
        while fetch.rows_max.is_none_or(|max| rows < max) {
            if let Some(part) = self.parts.get(index) {
                if at < part.len() {
                    if !fetch.moves {
                        write_line(self.feed.plan(), part, at, &mut client.out, formats)?;
                        client.flush_full().await?;
                    }
                    at += 1;
                    rows += 1;
                    continue;
                }
                (index, at) = (index + 1, 0);
                if index == FETCH_PARTS_MAX {
                    break;
                }
                continue;
            }
            let part = match self.feed.at_hand().await {
                Ok(AtHand::Part(part)) => part,
                // What came before the feed's end or its failure is not lost: the next one tells of that.
                Ok(AtHand::End | AtHand::Tip) | Err(_) if rows > 0 => break,
                Err(error) => return Err(error.into()),
                Ok(AtHand::End) => break,
                Ok(AtHand::Tip) => {
                    client.flush().await?;
                    let next = self.feed.next();
                    let next = match until {
                        None => next.await?,
                        Some(until) => match tokio::time::timeout_at(until, next).await {
                            Ok(next) => next?,
                            Err(_) => break,
                        },
                    };
                    match next {
                        Some(part) => part,
                        None => break,
                    }
                }
            };
            self.parts.push_back(part);
        }
        self.parts.drain(..index.min(self.parts.len()));
        self.at = at;
        Ok(rows)
    }
}

/// The DataRows of a stretch that others read, too, which the first of them encodes.
fn shared(
    plan: &SubscribePlan,
    part: &Part,
    stretch: &Arc<Stretch>,
    formats: &Formats,
) -> Result<Option<Bytes>, SqlError> {
    if Arc::strong_count(stretch) == 1 || plan.copy.is_some() || !formats.is_text() {
        return Ok(None);
    }
    let bytes = stretch.encoded("DataRow, text", |changes| {
        let mut out = BytesMut::new();
        for at in 0..changes.len() {
            write_line(plan, part, at, &mut out, formats)?;
        }
        Ok::<_, SqlError>(out.into())
    })?;
    Ok(Some(Bytes::from_owner(bytes)))
}

/// Writes one row as a DataRow or as a line of COPY.
fn write_line(
    plan: &SubscribePlan,
    part: &Part,
    at: usize,
    out: &mut BytesMut,
    formats: &Formats,
) -> Result<(), SqlError> {
    let line = part.line(at, plan)?;
    let subject = &plan.subject;
    let old = match plan.options.upsert {
        true => None,
        false => Some(line.old(plan)),
    };
    let head = [
        DatumRef::Int8(line.seq.as_i64()),
        DatumRef::Text(line.op),
        DatumRef::Bool(line.commit),
    ];
    let old = old
        .iter()
        .map(|old| Ok(old.as_deref().map_or(DatumRef::Null, DatumRef::Text)));
    let values = (head.into_iter().map(Ok))
        .chain((0..subject.selected().len()).map(|column| line.value(column)))
        .chain(old);
    match &plan.copy {
        None => RowWriter::new(&subject.columns, formats)
            .in_style(subject.style)
            .write(out, values),
        Some(format) => {
            let values = values.collect::<Result<Vec<_>, _>>()?;
            let mut text = Vec::new();
            format.write_line(
                values.into_iter(),
                &subject.columns,
                subject.style,
                &mut text,
            );
            reply::copy_data(out, &text);
            Ok(())
        }
    }
}

impl Connection {
    /// Streams a subscription until it is ended from outside or comes to its end, or for `limit` rows.
    pub(super) async fn run_feed(
        &mut self,
        feed: &mut Sending,
        formats: &Formats,
        limit: Option<u64>,
    ) -> Result<Portion, Stop> {
        let sending = pin!(feed.send(&mut self.client, formats, limit));
        self.interrupts.guard_endless(sending).await
    }

    /// FETCH or MOVE on the cursor of a subscription.
    pub(super) async fn fetch_feed(
        &mut self,
        fetch: &FetchFeed,
        formats: &Formats,
    ) -> Result<(), Stop> {
        let Some(feed) = self.feeds.get_mut(&fetch.name) else {
            let message = format!("cursor \"{}\" has no subscription", fetch.name);
            return Err(SqlError::new(ErrorKind::InternalError, message).into());
        };
        let rows = feed.fetch(fetch, &mut self.client, formats);
        let rows = self.interrupts.guard_waiting(pin!(rows)).await?;
        let verb = if fetch.moves { "MOVE" } else { "FETCH" };
        self.complete(&reply::row_tag(verb, rows));
        Ok(())
    }
}
