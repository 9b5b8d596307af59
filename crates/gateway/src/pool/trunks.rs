//! The HTTP/2 connections to one vendor; each has many calls at a time.
//!
//! Here their streams are counted. What goes beyond the vendor's limit would wait inside hyper,
//! where nobody sees that it was never sent: such a call gets another connection. How many there
//! are is bounded by the calls that the gateway admits. Invariant: a connection has no more calls
//! than its vendor allows, nor more than `STREAMS_MOST`.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::{IDLE_TIMEOUT, Sent, Socket};

/// Calls on one connection, also where its vendor allows more: what RFC 9113, section 6.5.2,
/// recommends as the least that a server allows.
const STREAMS_MOST: usize = 100;
/// Calls on a connection whose vendor has not told his limit yet: the one that it was made for.
const STREAMS_FIRST: usize = 1;
/// What one answer may have lying here unread: much for tokens, which come one by one.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all answers may have lying here unread. Those whose callers have stopped reading fill
/// their own windows, 25 MiB together, and must stop nobody else. h2 moreover closes a connection
/// whose unread small frames cost more than half of this (its `data_frame_budget`): events of 100
/// bytes, 40 MiB together.
const CONNECTION_WINDOW: u32 = 128 * 1024 * 1024;
/// A vendor that has been silent for so long, and has calls, is asked whether he is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// One that doesn't say so within this time is not: his calls are lost, and others go elsewhere.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

type Connection = http2::Connection<Socket, Full<Bytes>, TokioExecutor>;
/// Empty once the connection is closed.
type Driven = Arc<Mutex<Option<Connection>>>;

/// The HTTP/2 connections to one vendor.
#[derive(Default)]
pub(super) struct Trunks {
    /// The vendor has spoken HTTP/2. Calls to others take no lock here.
    is_spoken: AtomicBool,
    /// The oldest first. Calls take the first that has room, so that the last become idle.
    all: Mutex<Vec<Arc<Trunk>>>,
}

/// One connection.
struct Trunk {
    sender: http2::SendRequest<Full<Bytes>>,
    /// It knows what the vendor allows.
    connection: Driven,
    load: Mutex<Load>,
}

struct Load {
    streams: usize,
    /// The most that the vendor allows, as it was last looked at.
    limit: usize,
    /// When the last stream has ended.
    since: Instant,
}

/// A place on a connection, which is free again when this is dropped.
pub(super) struct Stream(Arc<Trunk>);

impl Trunks {
    /// A place on a connection that has room.
    pub(super) fn take(&self) -> Option<Stream> {
        if !self.is_spoken.load(Ordering::Relaxed) {
            return None;
        }
        lock(&self.all).iter().find_map(Trunk::take)
    }

    /// Makes a connection; the first place on it.
    pub(super) async fn open(&self, socket: Socket) -> hyper::Result<Stream> {
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_max_send_streams(STREAMS_FIRST)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(socket);
        let (sender, connection) = handshake.await?;
        let connection = Arc::new(Mutex::new(Some(connection)));
        tokio::spawn(drive(connection.clone()));
        let load = Mutex::new(Load { streams: 1, limit: STREAMS_FIRST, since: Instant::now() });
        let trunk = Arc::new(Trunk { sender, connection, load });
        lock(&self.all).push(trunk.clone());
        self.is_spoken.store(true, Ordering::Relaxed);
        Ok(Stream(trunk))
    }

    /// Takes out the connection of a place on which nothing could be sent.
    pub(super) fn remove(&self, stream: &Stream) {
        lock(&self.all).retain(|trunk| !Arc::ptr_eq(trunk, &stream.0));
    }

    /// Closes those that have had no call for long, and takes out those that are closed.
    pub(super) fn prune(&self) {
        lock(&self.all).retain(|trunk| trunk.is_good());
    }
}

impl Trunk {
    /// It is open, and has calls or had one lately.
    fn is_good(&self) -> bool {
        let load = lock(&self.load);
        let is_used = load.streams > 0 || load.since.elapsed() <= IDLE_TIMEOUT;
        is_used && !self.sender.is_closed()
    }

    fn take(self: &Arc<Self>) -> Option<Stream> {
        if !self.is_good() {
            return None;
        }
        let limit = match self.connection.try_lock() {
            Ok(connection) => Some(connection.as_ref()?.current_max_send_streams()),
            // It is being driven, which nobody waits for: it has said its limit before.
            Err(_) => None,
        };
        let mut load = lock(&self.load);
        load.limit = limit.unwrap_or(load.limit);
        if load.streams >= load.limit.min(STREAMS_MOST) {
            return None;
        }
        load.streams += 1;
        Some(Stream(self.clone()))
    }
}

impl Stream {
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Sent {
        self.0.sender.clone().try_send_request(request).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut load = lock(&self.0.load);
        load.streams -= 1;
        load.since = Instant::now();
    }
}

/// Drives a connection until it is closed: by the vendor, or here once nobody has it any more. How
/// it has ended, its calls are told.
async fn drive(connection: Driven) {
    poll_fn(|context| {
        let mut connection = lock(&connection);
        if let Some(open) = &mut *connection {
            let _ = ready!(Pin::new(open).poll(context));
            *connection = None;
        }
        Poll::Ready(())
    })
    .await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
