//! Connections to one vendor.
//!
//! An HTTP/1.1 connection has no task of its own: the call that has it drives it, so that bytes
//! go from socket to socket without a change of tasks. hyper-util's pooled client gives each its
//! own, which took half of a streamed call's time (docs/reference/benchmarks.md). Between calls it
//! lies here, and nobody looks at it. HTTP/2 connections are shared by calls and drive themselves
//! (`trunks`). Invariant: a connection that comes back here has nothing left of its last call.

mod trunks;

use std::{
    collections::VecDeque,
    error::Error as _,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header, uri::PathAndQuery};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connection as _, HttpConnector},
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tower_service::Service;

use self::trunks::{Stream, Trunks};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that has not been used for longer is closed: vendors close theirs after a minute
/// and more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// As many as there is room for without asking for memory for each answer (hyper's own default).
const HEADERS_MOST: usize = 100;

type Socket = MaybeHttpsStream<TokioIo<TcpStream>>;
type Sent = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing has reached the vendor.
    #[error("nothing was sent: {0}")]
    Unsent(String),
    /// The vendor has not begun it, and says so: later he may.
    #[error("the vendor would not begin it: {0}")]
    Refused(String),
    /// It was sent, and nothing came back in time.
    #[error("nothing came back in time")]
    Timeout,
    /// It was sent, and the connection failed.
    #[error("it was sent, and the connection failed: {0}")]
    Lost(String),
}

/// The connections to one vendor.
pub(crate) struct Pool {
    base: Uri,
    host: HeaderValue,
    connector: HttpsConnector<HttpConnector>,
    /// Those that nobody uses, the last used at the end.
    idle: Mutex<VecDeque<(Instant, Line)>>,
    trunks: Trunks,
}

/// An HTTP/1.1 connection, driven by whoever has it.
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Pin<Box<http1::Connection<Socket, Full<Bytes>>>>,
}

/// A connection that has just been made.
enum Made {
    Own(Line),
    Shared(Stream),
}

impl Pool {
    /// Connections to the vendor at a base URL.
    pub(crate) fn new(base: &Uri, tls: ClientConfig) -> io::Result<Arc<Self>> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.enforce_http(false);
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = https.https_or_http().enable_all_versions().wrap_connector(connector);
        let authority = base.authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = HeaderValue::from_str(host)
            .map_err(|_| io::Error::other("its host is no text for a header"))?;
        let (idle, trunks) = (Mutex::default(), Trunks::default());
        Ok(Arc::new(Self { base: base.clone(), host, connector, idle, trunks }))
    }

    /// Sends a request to a path of the vendor. On connections that he has closed meanwhile nothing
    /// was sent: it is made anew for another. `is_sent` tells whether anything may have been.
    pub(crate) async fn send(
        self: &Arc<Self>,
        path: &PathAndQuery,
        request: impl Fn() -> Request<Full<Bytes>>,
        is_sent: &AtomicBool,
    ) -> Result<Response<Answer>, Failure> {
        is_sent.store(true, Ordering::Relaxed);
        while let Some(stream) = self.trunks.take() {
            match self.share(stream, path, request()).await {
                Err(Failure::Unsent(_)) => {}
                result => return result,
            }
        }
        while let Some(line) = self.idle() {
            match self.ask(line, path, request()).await {
                Err(Failure::Unsent(_)) => {}
                result => return result,
            }
        }
        is_sent.store(false, Ordering::Relaxed);
        // Few calls need one: boxed, so that every call's future is not as large as a handshake.
        let made = Box::pin(self.connect()).await?;
        is_sent.store(true, Ordering::Relaxed);
        match made {
            Made::Own(line) => self.ask(line, path, request()).await,
            Made::Shared(stream) => self.share(stream, path, request()).await,
        }
    }

    /// Closes what has lain here for long.
    pub(crate) fn prune(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|(since, _)| since.elapsed() > IDLE_TIMEOUT) {
            idle.pop_front();
        }
        drop(idle);
        self.trunks.prune();
    }

    async fn ask(
        self: &Arc<Self>,
        mut line: Line,
        path: &PathAndQuery,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Answer>, Failure> {
        *request.uri_mut() = Uri::from(path.clone());
        request.headers_mut().insert(header::HOST, self.host.clone());
        let mut sent = std::pin::pin!(line.sender.try_send_request(request));
        let mut connection = Some(line.connection);
        let sent = poll_fn(|context| {
            if let Some(open) = &mut connection
                && open.as_mut().poll(context).is_ready()
            {
                // What it has to say of this call, it says as it is dropped.
                connection = None;
            }
            sent.as_mut().poll(context)
        });
        let response = answered(sent.await)?;
        let line = connection.map(|connection| Line { sender: line.sender, connection });
        let is_line = line.is_some();
        let home = is_line.then(|| self.clone());
        Ok(response.map(|incoming| Answer { incoming, stream: None, line, home }))
    }

    async fn share(
        &self,
        stream: Stream,
        path: &PathAndQuery,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Answer>, Failure> {
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path.clone());
        let sent = match Uri::from_parts(parts) {
            Ok(uri) => {
                *request.uri_mut() = uri;
                answered(stream.send(request).await)
            }
            Err(error) => Err(Failure::Unsent(error.to_string())),
        };
        if let Err(Failure::Unsent(_)) = sent {
            self.trunks.remove(&stream);
        }
        let stream = Some(stream);
        sent.map(|response| {
            response.map(|incoming| Answer { incoming, stream, line: None, home: None })
        })
    }

    /// A connection that has lain here and is still open.
    fn idle(&self) -> Option<Line> {
        loop {
            let (since, mut line) =
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back()?;
            // Nobody waits for what it has to say now: the call looks at it again.
            let context = &mut Context::from_waker(Waker::noop());
            let is_open = line.connection.as_mut().poll(context).is_pending();
            if is_open && since.elapsed() <= IDLE_TIMEOUT && line.sender.is_ready() {
                return Some(line);
            }
        }
    }

    fn keep(&self, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back((Instant::now(), line));
    }

    async fn connect(&self) -> Result<Made, Failure> {
        let unsent = |error: &dyn std::error::Error| Failure::Unsent(chain(error));
        let connecting = self.connector.clone().call(self.base.clone());
        let late = || {
            let seconds = CONNECT_TIMEOUT.as_secs();
            Failure::Unsent(format!("no connection was made within {seconds} s"))
        };
        let socket = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| late())?;
        let socket = socket.map_err(|error| unsent(&*error))?;
        if socket.connected().is_negotiated_h2() {
            let stream = self.trunks.open(socket).await;
            return stream.map(Made::Shared).map_err(|error| unsent(&error));
        }
        let handshake = http1::Builder::new().max_headers(HEADERS_MOST).handshake(socket).await;
        let (sender, connection) = handshake.map_err(|error| unsent(&error))?;
        Ok(Made::Own(Line { sender, connection: Box::pin(connection) }))
    }
}

fn answered(sent: Sent) -> Result<Response<Incoming>, Failure> {
    sent.map_err(|failed| {
        let (is_unsent, error) = (failed.message().is_some(), failed.error());
        match chain(error) {
            why if is_unsent || error.is_canceled() => Failure::Unsent(why),
            why if is_refused(error) => Failure::Refused(why),
            why => Failure::Lost(why),
        }
    })
}

/// Whether the vendor has done nothing for a call, and says so (RFC 9113, section 8.7): he has reset
/// it for that reason, or it came after the last one that he takes on a connection that he leaves.
/// Calls up to that one fail otherwise, if they fail.
fn is_refused(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    let is_reset =
        |error: &h2::Error| error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    cause.is_some_and(|error| error.is_remote() && (error.is_go_away() || is_reset(error)))
}

/// The body of a vendor's answer.
pub(crate) struct Answer {
    incoming: Incoming,
    /// Its place on a connection that it shares.
    stream: Option<Stream>,
    /// The connection that it comes by alone, until its end.
    line: Option<Line>,
    /// Where the connection goes then.
    home: Option<Arc<Pool>>,
}

impl Answer {
    /// It is over: its connection may have another call.
    fn end(&mut self, context: &mut Context<'_>) {
        self.stream = None;
        let Some(mut line) = self.line.take() else { return };
        let is_open = line.connection.as_mut().poll(context).is_pending();
        if let Some(home) = self.home.take().filter(|_| is_open && line.sender.is_ready()) {
            home.keep(line);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut frame = Pin::new(&mut self.incoming).poll_frame(context);
        if frame.is_pending()
            && let Some(line) = &mut self.line
        {
            if line.connection.as_mut().poll(context).is_ready() {
                self.line = None;
            }
            frame = Pin::new(&mut self.incoming).poll_frame(context);
        }
        if matches!(frame, Poll::Ready(None)) {
            self.end(context);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        // Its connection is to be given back first.
        self.line.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
