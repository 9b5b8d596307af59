//! Calls that share HTTP/2 connections, in front of a vendor that allows so many on each.

use std::{
    convert::Infallible,
    future::pending,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_util::future::join_all;
use http::{Response, Uri, uri::PathAndQuery};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::{
    tls::{acceptor, authority},
    *,
};
use crate::{
    pool::{Answer, Failure, Pool},
    roots,
};

/// What the vendor says at a time: as little as an event.
const PIECE: Bytes = Bytes::from_static(&[b'x'; 100]);
/// How many of them a stream's window takes.
const PIECES: usize = 256 * 1024 / 100;

/// A vendor that counts; its clones are one.
#[derive(Clone)]
struct Desk {
    /// Connections that were made. Their limit is told while `greets` is true.
    made: watch::Sender<usize>,
    greets: watch::Sender<bool>,
    /// Connections that have ended.
    ended: watch::Sender<usize>,
    /// Requests that have arrived.
    heard: watch::Sender<usize>,
    /// Pieces that were said.
    said: watch::Sender<usize>,
    /// Connections end when it changes: what they have is finished before, where it is true.
    leave: watch::Sender<bool>,
}

impl Desk {
    /// A vendor that allows so many calls on a connection, and connections to it.
    async fn start(streams: u32) -> (Self, Arc<Pool>) {
        let authority = authority("Test CA");
        let acceptor = acceptor(&authority);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let zero = || watch::Sender::new(0);
        let leave = watch::Sender::new(false);
        let (made, ended, heard, said) = (zero(), zero(), zero(), zero());
        let greets = watch::Sender::new(true);
        let desk = Self { made, greets, ended, heard, said, leave };
        let vendor = desk.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(vendor.clone().serve(acceptor.clone(), stream, streams));
            }
        });
        (desk, pool(port, &authority.pem()))
    }

    async fn serve(self, acceptor: TlsAcceptor, stream: TcpStream, streams: u32) {
        let mut leave = self.leave.subscribe();
        let stream = acceptor.accept(stream).await.unwrap();
        add(&self.made);
        self.greets.subscribe().wait_for(|greets| *greets).await.unwrap();
        let service = service_fn(|request| self.clone().answer(request));
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(streams)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            _ = connection.as_mut() => {}
            changed = leave.changed() => {
                changed.unwrap();
                if *leave.borrow() {
                    connection.as_mut().graceful_shutdown();
                    // Whoever of both is the first to close it.
                    let _ = connection.await;
                }
            }
        }
        add(&self.ended);
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Said>, h2::Error> {
        add(&self.heard);
        let (pieces, hangs) = match request.uri().path() {
            "/refuse" => return Err(h2::Reason::REFUSED_STREAM.into()),
            "/reset" => return Err(h2::Reason::INTERNAL_ERROR.into()),
            "/say" => (1, false),
            "/hang" => (1, true),
            "/flood" => (usize::MAX, true),
            _ => pending().await,
        };
        Ok(Response::new(Said { pieces, hangs, said: self.said }))
    }

    fn made(&self) -> usize {
        *self.made.borrow()
    }
}

/// So many pieces, then the end, or nothing more for ever.
struct Said {
    pieces: usize,
    hangs: bool,
    said: watch::Sender<usize>,
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pieces > 0 {
            self.pieces -= 1;
            add(&self.said);
            return Poll::Ready(Some(Ok(Frame::data(PIECE))));
        }
        if self.hangs { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// Connections to a vendor at this port.
fn pool(port: u16, authority: &str) -> Arc<Pool> {
    let url: Uri = format!("https://localhost:{port}").parse().unwrap();
    let mut upstream = Upstream::new("claude", Dialect::Anthropic, url.clone());
    upstream.authority = Some(authority.as_bytes().to_vec());
    Pool::new(&url, roots::client(&upstream).unwrap()).unwrap()
}

fn add(count: &watch::Sender<usize>) {
    count.send_modify(|count| *count += 1);
}

/// Waits until it is so many.
async fn reaches(count: &watch::Sender<usize>, number: usize) {
    let mut count = count.subscribe();
    let wait = count.wait_for(|count| *count >= number);
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it happens").unwrap();
}

fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from("{}")));
    *request.method_mut() = http::Method::POST;
    request
}

async fn send(pool: &Arc<Pool>, path: &'static str) -> Result<Response<Answer>, Failure> {
    let sent = async {
        pool.send(&PathAndQuery::from_static(path), request, &AtomicBool::default()).await
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("the vendor answers")
}

async fn begin(pool: &Arc<Pool>, path: &'static str) -> Answer {
    send(pool, path).await.unwrap().into_body()
}

/// A call, to the end of its answer.
async fn say(pool: &Arc<Pool>) {
    assert_eq!(begin(pool, "/say").await.collect().await.unwrap().to_bytes(), PIECE);
}

#[tokio::test]
async fn a_call_beyond_a_connections_streams_goes_by_another() {
    let (desk, pool) = Desk::start(2).await;
    let mut open = Vec::new();
    for (calls, connections) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
        open.push(begin(&pool, "/hang").await);
        assert_eq!(desk.made(), connections, "{calls} calls");
    }
    say(&pool).await;
    assert_eq!(desk.made(), 3);
    // Also all at once, when there is no connection yet.
    let (desk, pool) = Desk::start(2).await;
    for _ in 0..3 {
        let open = join_all((0..7).map(|_| begin(&pool, "/hang"))).await;
        say(&pool).await;
        assert!((4..=8).contains(&desk.made()), "{} connections", desk.made());
        drop(open);
    }
}

#[tokio::test]
async fn a_connection_whose_limit_is_unknown_has_one_call() {
    let (desk, pool) = Desk::start(1).await;
    desk.greets.send_replace(false);
    let second = async {
        reaches(&desk.made, 1).await;
        begin(&pool, "/hang").await
    };
    let greet = async {
        reaches(&desk.made, 2).await;
        desk.greets.send_replace(true);
    };
    let _open = tokio::join!(begin(&pool, "/hang"), second, greet);
    assert_eq!(desk.made(), 2);
}

#[tokio::test]
async fn a_stream_is_free_again_however_its_call_ends() {
    let (desk, pool) = Desk::start(2).await;
    for _ in 0..5 {
        say(&pool).await;
        // Nobody reads the answer, or waits for it.
        drop(begin(&pool, "/hang").await);
        let heard = *desk.heard.borrow() + 1;
        tokio::select! {
            _ = send(&pool, "/mute") => panic!("the vendor never answers"),
            () = reaches(&desk.heard, heard) => {}
        }
    }
    assert_eq!(desk.made(), 1);
}

#[tokio::test]
async fn what_the_vendor_refuses_to_begin_was_not_made() {
    let (desk, pool) = Desk::start(2).await;
    for _ in 0..3 {
        assert!(matches!(send(&pool, "/refuse").await, Err(Failure::Refused(_))));
        assert!(matches!(send(&pool, "/reset").await, Err(Failure::Lost(_))), "it may have begun");
        say(&pool).await;
    }
    assert_eq!(desk.made(), 1, "the connection is as good as before");
}

/// A vendor who says something in frames, and no more, once he has heard a call; when he has.
async fn curt(last_words: Option<[u8; 17]>) -> (Arc<Notify>, Arc<Pool>) {
    let heard = Arc::new(Notify::new());
    let hears = heard.clone();
    let authority = authority("Test CA");
    let acceptor = acceptor(&authority);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        // RFC 9113, section 4.1: a frame's length in three bytes, its type, flags and stream.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut rest = vec![0; length as usize];
            stream.read_exact(&mut rest).await.unwrap();
            if head[3] == 1 {
                break;
            }
        }
        hears.notify_one();
        let Some(last_words) = last_words else { return pending().await };
        stream.write_all(&last_words).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    (heard, pool(port, &authority.pem()))
}

#[tokio::test]
async fn a_vendor_that_does_not_answer_a_ping_is_gone() {
    let (heard, pool) = curt(None).await;
    let call = tokio::spawn(async move {
        pool.send(&PathAndQuery::from_static("/say"), request, &AtomicBool::default()).await.err()
    });
    heard.notified().await;
    // Nobody waits for the half minute: time passes where there is nothing to do.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert!(matches!(call.await.unwrap(), Some(Failure::Lost(_))));
    assert!(began.elapsed() <= Duration::from_secs(31));
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (desk, pool) = Desk::start(2).await;
    for made in [1, 2] {
        say(&pool).await;
        pool.prune();
        say(&pool).await;
        assert_eq!(desk.made(), made);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(51)).await;
        tokio::time::resume();
        pool.prune();
        reaches(&desk.ended, made).await;
    }
}

/// The frame by which a vendor leaves who has taken calls up to one.
fn leave(last: u8) -> [u8; 17] {
    [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0]
}

#[tokio::test]
async fn a_call_after_the_last_that_a_leaving_vendor_takes_was_not_made() {
    let late = send(&curt(Some(leave(0))).await.1, "/say").await.err().expect("it is refused");
    assert!(matches!(late, Failure::Refused(_)), "{late}");
    let taken = send(&curt(Some(leave(1))).await.1, "/say").await.err().expect("it is lost");
    assert!(matches!(taken, Failure::Lost(_)), "{taken}");
}

#[tokio::test]
async fn a_connection_that_the_vendor_closes_is_replaced() {
    for is_graceful in [true, false] {
        let (desk, pool) = Desk::start(2).await;
        say(&pool).await;
        let cut = if is_graceful { None } else { Some(begin(&pool, "/hang").await) };
        desk.leave.send_replace(is_graceful);
        reaches(&desk.ended, 1).await;
        if let Some(cut) = cut {
            cut.collect().await.unwrap_err();
        }
        for _ in 0..5 {
            say(&pool).await;
        }
        assert_eq!(desk.made(), 2, "graceful: {is_graceful}");
    }
}

#[tokio::test]
async fn callers_that_stop_reading_stop_nobody_else() {
    let (desk, pool) = Desk::start(1000).await;
    let mut open = Vec::new();
    for _ in 0..99 {
        open.push(begin(&pool, "/flood").await);
    }
    // Each has got what its window takes.
    reaches(&desk.said, open.len() * PIECES).await;
    say(&pool).await;
    assert_eq!(desk.made(), 1);
    open.push(begin(&pool, "/hang").await);
    say(&pool).await;
    assert_eq!(desk.made(), 2, "a hundred calls are enough for the first");
}
