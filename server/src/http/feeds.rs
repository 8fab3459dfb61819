//! A subscription as JSON, for event streams and WebSockets alike: `subscribed`, then batches, and `reset` when what the
//! client has can be brought up to date by nothing but a new start.

use std::fmt::Write;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use tidelog_sql::json::{write_exact, write_string};
use tidelog_sql::subscribe::{Begin, SubscribePlan};
use tidelog_sql::{ErrorKind, Outcome, SqlError};
use tidelog_storage::Seq;

use crate::auth::Admitted;
use crate::feed::{AtHand, Feed, Line, Mark, Part};
use crate::http::params::Statement;
use crate::http::rows::{write_columns, write_row};
use crate::http::statement::session;
use crate::http::{CHUNK_BYTES, HttpServer, error};
use crate::interrupts::{Interrupts, Stop};

/// Changes that are made into text for several readers at once; more of them are cut into batches for each reader.
const SHARED_CHANGES_MAX: usize = 100;

/// Something to send: the members of a JSON object.
pub(super) struct Frame {
    /// `"type":…` and the other members.
    pub(super) members: String,
    /// With this a client goes on behind it.
    pub(super) resume: Option<Seq>,
}

/// Who may follow something. Subscriptions of one socket share it.
pub(super) struct Guest {
    pub(super) server: Arc<HttpServer>,
    pub(super) who: Admitted,
}

/// What is to be followed, and for whom.
pub(super) struct Order {
    pub(super) guest: Arc<Guest>,
    pub(super) statement: Statement,
    /// What the client has seen already.
    pub(super) from: Option<Seq>,
    /// How many of the newest rows it wants, where rows as they stand come first.
    pub(super) last_rows: Option<u64>,
}

/// A subscription of one client.
pub(super) struct Subscription {
    feed: Feed,
    /// The part that is being given, and the next row in it. In memory of its own: most wait for one.
    part: Option<Box<(Part, usize)>>,
    /// Frames that are made, the last one first.
    due: Box<[Frame]>,
    /// Whether everything was given that the statement asks for.
    ended: bool,
}

impl Subscription {
    /// Subscribes: from the statement's own beginning, or from behind `from` on.
    pub(super) async fn open(
        order: Box<Order>,
        interrupts: &mut Interrupts,
    ) -> Result<Box<Subscription>, Stop> {
        // A client may know more than the server, if that was set back to a backup: resuming would leave a gap.
        let visible = order.guest.server.backend.engine.store().visible();
        let unknown = order.from.filter(|from| *from > visible);
        let begin = match (unknown, order.from) {
            (None, Some(from)) => Begin::After(from),
            (None, None) => Begin::AsWritten,
            (Some(_), _) => Begin::Over,
        };
        let feed = open(*order, begin, interrupts).await?;
        let mut due = vec![subscribed(feed.plan())];
        if let Some(from) = unknown {
            let message = format!("no change has the position {from} yet");
            let error = SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message);
            due.push(reset(&error));
        }
        Ok(Box::new(Subscription {
            feed,
            part: None,
            due: due.into(),
            ended: false,
        }))
    }

    /// Whether the next frame is a batch.
    pub(super) fn is_due_batch(&self) -> bool {
        self.due.is_empty() && !self.ended
    }

    /// The next frame, or `None` at the end; waits for it. An error ends the subscription.
    #[expect(clippy::manual_async_fn, reason = "it would hold its arguments twice")]
    pub(super) fn next(
        &mut self,
        interrupts: &Interrupts,
    ) -> impl Future<Output = Result<Option<Frame>, Stop>> {
        async move {
            let mut fresh = Seq::ZERO;
            loop {
                if let Some(frame) = self.take_due() {
                    return Ok(Some(frame));
                }
                if self.ended {
                    return Ok(None);
                }
                // In memory of its own, which is gone while the subscription waits.
                if !Box::pin(self.go_on(fresh, interrupts)).await? {
                    let waiting = self.feed.wait().map(Ok::<_, Stop>);
                    fresh = interrupts.guard_endless(pin!(waiting)).await?;
                }
            }
        }
    }

    fn take_due(&mut self) -> Option<Frame> {
        let mut due = Vec::from(std::mem::take(&mut self.due));
        let frame = due.pop();
        self.due = due.into();
        frame
    }

    /// Makes it the next frame.
    fn put_due(&mut self, frame: Frame) {
        let mut due = Vec::from(std::mem::take(&mut self.due));
        due.push(frame);
        self.due = due.into();
    }

    /// Takes what comes next, or begins again if the changes have other columns now: everything up to `fresh` is known. Says whether
    /// there was something.
    async fn go_on(&mut self, fresh: Seq, interrupts: &Interrupts) -> Result<bool, Stop> {
        let batch = self.batch(fresh).map(Ok::<_, Stop>);
        let mut error = match interrupts.guard_endless(pin!(batch)).await? {
            Ok(something) => return Ok(something),
            Err(error) => error,
        };
        // The table was altered: the rows as they are now have other columns. Who said `on_lag = 'disconnect'` wants none of them.
        if error.kind != ErrorKind::ObjectNotInPrerequisiteState
            || !self.feed.plan().options.catch_up
        {
            return Err(error.into());
        }
        let again = self.feed.begin_again(true);
        interrupts.guard_endless(pin!(again)).await?;
        self.part = None;
        // Here it does go on.
        error.hint = None;
        self.due = Box::new([subscribed(self.feed.plan()), reset(&error)]);
        Ok(true)
    }

    /// Makes a frame of at least one row or change, at most about a chunk of them, if there is one: everything up to `fresh` is known.
    /// Says whether there was something, also if it is not for the client.
    async fn batch(&mut self, fresh: Seq) -> Result<bool, SqlError> {
        if self.part.is_none() && !self.read(fresh).await? {
            return Ok(false);
        }
        let mut members = String::from("\"type\":\"batch\",\"changes\":[");
        let empty = members.len();
        let mut resume = None;
        while members.len() < CHUNK_BYTES
            && let Some((part, at)) = self.part.as_deref_mut()
        {
            let turn = self.feed.feeds().turn(part.len()).await;
            let plan = self.feed.plan();
            if *at == 0
                && members.len() == empty
                && let Some((text, seq)) = shared(part, plan)?
            {
                members.push_str(&text);
                resume = Some(seq);
                self.part = None;
                break;
            }
            if *at < part.len() {
                while *at < part.len() && members.len() < CHUNK_BYTES {
                    let line = part.line(*at, plan)?;
                    *at += 1;
                    if members.len() > empty {
                        members.push(',');
                    }
                    write_change(&line, plan, &mut members)?;
                    resume = (line.op != "snapshot").then_some(line.seq);
                }
                continue;
            }
            drop(turn);
            self.part = None;
            self.read(Seq::ZERO).await?;
        }
        if members.len() > empty {
            members.push(']');
            if let Some(seq) = resume {
                // Writing to a String cannot fail.
                let _ = write!(members, ",\"seq\":\"{seq}\"");
            }
            // Before what else was read.
            self.put_due(Frame { members, resume });
        }
        Ok(true)
    }

    /// Reads the next part of what is known, which is everything up to `fresh` and perhaps more; says whether there was
    /// one, or the end.
    async fn read(&mut self, fresh: Seq) -> Result<bool, SqlError> {
        match self.feed.known(fresh).await? {
            AtHand::Tip => return Ok(false),
            AtHand::End => self.ended = true,
            AtHand::Part(Part::Mark(Mark::Reset, _)) => {
                let error = self.feed.why_void();
                self.due = Box::new([subscribed(self.feed.plan()), reset(&error)]);
            }
            AtHand::Part(part) => self.part = Some(Box::new((part, 0))),
        }
        Ok(true)
    }
}

/// The changes of a part that others read, too: the first of them makes the text.
fn shared(part: &Part, plan: &SubscribePlan) -> Result<Option<(String, Seq)>, SqlError> {
    let Part::Changes(stretch) = part else {
        return Ok(None);
    };
    let Some(last) = stretch.changes().last() else {
        return Ok(None);
    };
    if Arc::strong_count(stretch) == 1 || part.len() > SHARED_CHANGES_MAX {
        return Ok(None);
    }
    let text = stretch.encoded("JSON", |_| {
        let mut text = String::new();
        for at in 0..part.len() {
            if at > 0 {
                text.push(',');
            }
            write_change(&part.line(at, plan)?, plan, &mut text)?;
        }
        Ok::<_, SqlError>(text.into_bytes())
    })?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Some((text, last.seq)))
}

/// Appends a change: `{"op":"insert","seq":"7","row":[…],"commit":true}`.
fn write_change(line: &Line<'_>, plan: &SubscribePlan, out: &mut String) -> Result<(), SqlError> {
    let columns = plan.subject.selected();
    // Writing to a String cannot fail.
    let _ = write!(out, "{{\"op\":\"{}\",\"seq\":\"{}\"", line.op, line.seq);
    if !matches!(line.op, "ready" | "progress") {
        out.push_str(",\"row\":[");
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            write_exact(line.value(n)?, column.ty, out);
        }
        out.push(']');
    }
    if let Some(old) = line.old_row() {
        out.push_str(",\"old\":");
        write_row(old, columns, out);
    }
    out.push_str(if line.commit {
        ",\"commit\":true}"
    } else {
        "}"
    });
    Ok(())
}

/// Plans the statement, in a session of its own.
async fn open(order: Order, begin: Begin, interrupts: &mut Interrupts) -> Result<Feed, Stop> {
    let Order {
        guest,
        statement,
        from: _,
        last_rows,
    } = order;
    let Guest { server, who } = &*guest;
    let mut session = session(server, who, interrupts)?;
    interrupts.attach(&session);
    interrupts.statement_begins(session.statement_timeout());
    let mut parsed = statement.parse(&session)?;
    if !parsed.is_endless() {
        let message = "only SUBSCRIBE can be followed";
        return Err(SqlError::new(ErrorKind::SyntaxError, message)
            .hint("Send other statements to /v1/sql, or in a query frame over /v1/ws.")
            .into());
    }
    parsed.begin(begin, last_rows);
    let prepared = interrupts
        .guard(pin!(session.prepare(&parsed, &[])))
        .await?;
    let values = statement.values(&prepared)?;
    let outcome = interrupts
        .guard(pin!(session.execute(&prepared, &values)))
        .await?;
    interrupts.detach();
    match outcome {
        Outcome::Subscribe(plan) if plan.copy.is_none() => Ok(server.backend.feeds.open(*plan)),
        _ => Err(SqlError::unsupported("COPY over HTTP").into()),
    }
}

fn subscribed(plan: &SubscribePlan) -> Frame {
    let mut members = String::from("\"type\":\"subscribed\",\"columns\":");
    write_columns(plan.subject.selected(), &mut members);
    members.push_str(",\"key\":");
    write_key(plan, &mut members);
    // Writing to a String cannot fail.
    let _ = write!(members, ",\"snapshot\":{}", plan.snapshot.is_some());
    Frame {
        members,
        resume: None,
    }
}

/// Appends the names of the columns that tell rows apart, or `null` if the rows do not have them or the names do not tell them.
fn write_key(plan: &SubscribePlan, out: &mut String) {
    let selected = plan.subject.selected();
    let is_of_one = |at: &usize| {
        let name = &selected[*at].name;
        selected
            .iter()
            .filter(|column| column.name == *name)
            .count()
            == 1
    };
    let key = (plan.subject.row_key()).filter(|key| key.iter().all(is_of_one));
    let Some(key) = key else {
        out.push_str("null");
        return;
    };
    out.push('[');
    for (n, at) in key.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write_string(&selected[at].name, out);
    }
    out.push(']');
}

fn reset(why: &SqlError) -> Frame {
    let mut members = String::from("\"type\":\"reset\",\"reason\":");
    error::write_error(why, &mut members);
    Frame {
        members,
        resume: None,
    }
}
