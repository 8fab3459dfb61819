//! One client's socket, seen from the session: decoded messages in, bytes out.
//!
//! Messages come through a bounded queue from `pump`, a task of the same runtime: the thread that finds bytes at the socket goes on
//! with the session. Bytes go straight to the socket; what it does not take at once goes to `pump` through another bounded queue.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::interrupts::{Ask, Asker, Stop};
use crate::pg::messages::{Frontend, Malformed, take_message};

/// What is sent to the socket at once.
pub(super) const CHUNK_BYTES: usize = 32 << 10;
/// Chunks that wait for the socket, beside one of the session's and one of last words.
const CHUNKS_QUEUED_MAX: usize = 2;
/// What an answer is written to at first.
const ANSWER_BYTES: usize = 512;
/// Bytes of messages that wait for the session; a single larger message may stand alone.
const INCOMING_BYTES_MAX: usize = 1 << 20;
const BATCHES_QUEUED_MAX: usize = 64;
/// Bytes that are read at once: at first, and when a message goes on behind them.
const FIRST_READ_BYTES: usize = 8 << 10;
const READ_BYTES: usize = 64 << 10;
/// How long a connection that the server ends is read on, so that the client gets the last message.
const LINGER: Duration = Duration::from_millis(500);

pub(super) type Incoming = Result<Frontend, Malformed>;

/// The messages of one read from the socket; their share of the queue is free again when it is dropped.
struct Batch {
    messages: VecDeque<Incoming>,
    _share: OwnedSemaphorePermit,
}

/// Where bytes go.
struct Outlet {
    // Its drop tells the client that no more comes.
    socket: OwnedWriteHalf,
    /// Chunks that `pump` has to write before anything else is written.
    queued: AtomicUsize,
}

/// The session's side.
pub(super) struct Client {
    // Of these channels an empty one is small: tokio's have room for 32 from the beginning.
    incoming: mpsc::Receiver<Box<Batch>>,
    batch: Option<Box<Batch>>,
    outgoing: mpsc::Sender<Bytes>,
    outlet: Arc<Outlet>,
    /// Messages that are not sent yet; whole ones, but for the beginning of one that was sent in part.
    pub(super) out: BytesMut,
    authenticated: Arc<AtomicBool>,
}

impl Client {
    /// Sends what is buffered. Cancel-safe: nothing is lost or cut when the future is dropped.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        // Otherwise nothing more comes at once: an idle connection keeps no memory to write into.
        let goes_on = self.out.len() >= CHUNK_BYTES;
        self.outlet.write(&mut self.out);
        if !self.out.is_empty() {
            self.room().await?;
            let chunk = self.out.split().freeze();
            self.queue(chunk)?;
        }
        match goes_on {
            // Others of its thread have their turn, which a socket that takes all never gives them.
            true => tokio::task::yield_now().await,
            false => self.out = BytesMut::new(),
        }
        Ok(())
    }

    /// Sends whole messages that are not in the buffer, after what is. Cancel-safe: all of them or none.
    pub(super) async fn send(&mut self, mut messages: Bytes) -> Result<(), Stop> {
        self.flush().await?;
        self.room().await?;
        self.outlet.write(&mut messages);
        match messages.is_empty() {
            true => Ok(()),
            false => self.queue(messages),
        }
    }

    /// Hands a chunk to `pump`, which has room for it.
    fn queue(&mut self, chunk: Bytes) -> Result<(), Stop> {
        self.outlet.queued.fetch_add(1, Ordering::Relaxed);
        self.outgoing.start_send(chunk).map_err(|_| Stop::Gone)
    }

    /// Waits until there is room for a chunk. Cancel-safe.
    async fn room(&mut self) -> Result<(), Stop> {
        let room = poll_fn(|context| self.outgoing.poll_ready(context)).await;
        room.map_err(|_| Stop::Gone)
    }

    /// An answer is going to be written.
    pub(super) fn answers(&mut self) {
        if self.out.capacity() == 0 {
            self.out.reserve(ANSWER_BYTES);
        }
    }

    /// Sends what is buffered once it is worth it. Cancel-safe.
    pub(super) async fn flush_full(&mut self) -> Result<(), Stop> {
        if self.out.len() >= CHUNK_BYTES {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// The next message, if it has been received already.
    pub(super) fn received(&mut self) -> Option<Incoming> {
        self.peek()?;
        let batch = self.batch.as_mut()?;
        let message = batch.messages.pop_front();
        if batch.messages.is_empty() {
            // What the message does may last.
            self.batch = None;
        }
        message
    }

    /// Looks at the next message, if it has been received already.
    pub(super) fn peek(&mut self) -> Option<&Incoming> {
        while self
            .batch
            .as_ref()
            .is_none_or(|batch| batch.messages.is_empty())
        {
            self.batch = None;
            self.batch = Some(self.incoming.try_recv().ok()?);
        }
        self.batch.as_ref()?.messages.front()
    }

    /// Waits for the next message; `Gone` at the end of the connection. Cancel-safe. Does not flush.
    pub(super) async fn receive(&mut self) -> Result<Incoming, Stop> {
        loop {
            if let Some(message) = self.received() {
                return Ok(message);
            }
            self.batch = Some(self.incoming.next().await.ok_or(Stop::Gone)?);
        }
    }

    /// From now on the client may send messages of any size.
    pub(super) fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }
}

impl Outlet {
    /// Writes what the socket takes at once of what comes next, unless something else comes before it. `pump` tells of a socket
    /// that takes nothing any more.
    fn write(&self, bytes: &mut impl Buf) {
        while bytes.has_remaining() && self.queued.load(Ordering::Acquire) == 0 {
            match self.socket.try_write(bytes.chunk()) {
                Ok(written) if written > 0 => bytes.advance(written),
                _ => break,
            }
        }
    }
}

/// The socket's side.
pub(super) struct Pump {
    incoming: mpsc::Sender<Box<Batch>>,
    outgoing: mpsc::Receiver<Bytes>,
    outlet: Arc<Outlet>,
    authenticated: Arc<AtomicBool>,
}

/// Both sides, and a sender for last words when the session itself cannot speak any more.
pub(super) fn client(socket: OwnedWriteHalf) -> (Client, Pump, mpsc::Sender<Bytes>) {
    let (incoming_sender, incoming) = mpsc::channel(BATCHES_QUEUED_MAX);
    let (outgoing, outgoing_receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    let authenticated = Arc::new(AtomicBool::new(false));
    let last_words = outgoing.clone();
    let outlet = Arc::new(Outlet {
        socket,
        queued: AtomicUsize::new(0),
    });
    let client = Client {
        incoming,
        batch: None,
        outgoing,
        outlet: outlet.clone(),
        out: BytesMut::new(),
        authenticated: authenticated.clone(),
    };
    let pump = Pump {
        incoming: incoming_sender,
        outgoing: outgoing_receiver,
        outlet,
        authenticated,
    };
    (client, pump, last_words)
}

/// Moves bytes between the socket and the session until both directions have ended.
///
/// Not an `async fn`, which would keep its arguments twice as long as the connection lives.
pub(super) fn pump(
    pump: Pump,
    mut read: OwnedReadHalf,
    mut received: BytesMut,
    session: Asker,
) -> impl Future<Output = ()> {
    let Pump {
        mut incoming,
        outgoing,
        outlet,
        authenticated,
    } = pump;
    async move {
        let mut writing = std::pin::pin!(write_out(outgoing, outlet));
        let end = tokio::select! {
            end = read_in(&mut read, &mut received, &mut incoming, &authenticated) => {
                // The session hears that no more comes.
                drop(incoming);
                session.ask(Ask::CLOSING);
                if end == ReadEnd::Lost {
                    session.ask(Ask::GONE);
                }
                writing.as_mut().await;
                end
            }
            () = writing.as_mut() => {
                // The session is over, or the client does not take bytes any more.
                session.ask(Ask::CLOSING);
                session.ask(Ask::GONE);
                ReadEnd::Stopped
            }
        };
        if end == ReadEnd::Stopped {
            Box::pin(linger(read)).await;
        }
    }
}

/// Closing a socket with unread bytes would reset it and take the last message from the client.
async fn linger(mut read: OwnedReadHalf) {
    let mut sink = Vec::with_capacity(4096);
    let drain = async {
        while matches!(read.read_buf(&mut sink).await, Ok(n) if n > 0) {
            sink.clear();
        }
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadEnd {
    /// Terminate.
    Goodbye,
    /// End of file, or the network failed.
    Lost,
    /// Nothing more is wanted: a malformed frame, or the session is over.
    Stopped,
}

async fn read_in(
    read: &mut OwnedReadHalf,
    buffer: &mut BytesMut,
    incoming: &mut mpsc::Sender<Box<Batch>>,
    authenticated: &AtomicBool,
) -> ReadEnd {
    let budget = Arc::new(Semaphore::new(INCOMING_BYTES_MAX));
    loop {
        let before = buffer.len();
        let mut messages = VecDeque::new();
        let mut end = None;
        while end.is_none() {
            match take_message(buffer, authenticated.load(Ordering::Relaxed)) {
                Ok(Some(message)) => {
                    end = (message == Frontend::Terminate).then_some(ReadEnd::Goodbye);
                    messages.push_back(Ok(message));
                }
                Ok(None) => break,
                Err(malformed) => {
                    end = malformed.fatal.then_some(ReadEnd::Stopped);
                    messages.push_back(Err(malformed));
                }
            }
        }
        if !messages.is_empty() {
            let share = (before - buffer.len()).clamp(1, INCOMING_BYTES_MAX) as u32;
            let Ok(share) = budget.clone().acquire_many_owned(share).await else {
                return ReadEnd::Stopped;
            };
            if incoming
                .send(Box::new(Batch {
                    messages,
                    _share: share,
                }))
                .await
                .is_err()
            {
                return ReadEnd::Stopped;
            }
        }
        if let Some(end) = end {
            return end;
        }
        if buffer.is_empty() {
            // An idle connection keeps no memory to read into.
            *buffer = BytesMut::new();
        }
        if read.readable().await.is_err() {
            return ReadEnd::Lost;
        }
        buffer.reserve(match buffer.is_empty() {
            true => FIRST_READ_BYTES,
            false => READ_BYTES,
        });
        match read.try_read_buf(buffer) {
            Ok(0) => return ReadEnd::Lost,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return ReadEnd::Lost,
        }
    }
}

async fn write_out(mut outgoing: mpsc::Receiver<Bytes>, outlet: Arc<Outlet>) {
    while let Some(mut chunk) = outgoing.next().await {
        while chunk.has_remaining() {
            if outlet.socket.writable().await.is_err() {
                return;
            }
            match outlet.socket.try_write(&chunk) {
                Ok(written) => chunk.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        outlet.queued.fetch_sub(1, Ordering::Release);
    }
}
