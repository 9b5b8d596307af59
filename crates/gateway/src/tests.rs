//! Calls through the whole gateway, to a vendor that says what it is told to say, byte for byte.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use budget::{
    Budget, Budgets, Defaults, Escrow, EscrowError, Keys, Memory, Outcome, Overflow, Page, Records,
    Release, Reservation, ReservationFilter, Reserve, Resolve, Settle, Standing, State, StoreError,
};
use bytes::Bytes;
use focus::{Scope, TenantId};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use money::{Money, PriceBook};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{Auth, Config, Dialect, Fail, Gateway, Reply, Rooms, Upstream};

mod auth;
mod batches;
mod bending;
mod endings;
mod failing;
mod passing;
mod store;
mod streams;
mod tls;
mod unheld;
mod waiting;

use store::{Shared, Store};

pub(crate) const SONNET: &str = "claude-3-5-sonnet-20241022";
pub(crate) const GPT: &str = "gpt-4o-2024-08-06";

/// What a vendor does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these pieces, then closes.
    Say(Vec<Vec<u8>>),
    /// Sends these pieces, then nothing more for ever.
    Hang(Vec<Vec<u8>>),
    /// Sends the piece again and again.
    Repeat(Vec<u8>, Vec<u8>),
    /// Sends a whole answer after a while.
    After(Duration, Vec<u8>),
    /// Sends a whole answer to what was asked.
    Reply(fn(&str) -> Vec<u8>),
}

/// A vendor on loopback.
pub(crate) struct Vendor {
    pub(crate) address: std::net::SocketAddr,
    /// Requests as they came, head and body.
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicUsize>,
}

impl Vendor {
    /// Does for the nth request what `act` says.
    pub(crate) async fn start(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let open: Arc<AtomicUsize> = Arc::default();
        let (all, count, act) = (heard.clone(), open.clone(), Arc::new(act));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (all, count, act) = (all.clone(), count.clone(), act.clone());
                tokio::spawn(async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    if let Some(request) = hear(&mut stream).await {
                        let number = {
                            let mut all = all.lock().unwrap();
                            all.push(request.clone());
                            all.len() - 1
                        };
                        perform(&mut stream, act(number), &request).await;
                    }
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, heard, open }
    }

    pub(crate) fn requests(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

async fn hear(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 8192];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text.into_owned());
        }
    }
}

async fn perform(stream: &mut TcpStream, act: Act, request: &str) {
    match act {
        Act::Say(pieces) => say(stream, &pieces).await,
        Act::Hang(pieces) => {
            say(stream, &pieces).await;
            // Until the other end has had enough.
            let mut rest = [0; 64];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
        Act::Repeat(first, piece) => {
            say(stream, &[first]).await;
            while stream.write_all(&piece).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
        Act::After(pause, answer) => {
            // A vendor at work: nothing else tells when it has done.
            let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            say(stream, &[answer]).await;
        }
        Act::Reply(answer) => say(stream, &[answer(request)]).await,
    }
}

async fn say(stream: &mut TcpStream, pieces: &[Vec<u8>]) {
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A whole answer of JSON.
pub(crate) fn answer(status: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The head of a stream that ends with its connection.
pub(crate) fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec()
}

pub(crate) fn event(data: &Value) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// A gateway in front of a vendor.
pub(crate) struct Bench {
    pub(crate) gateway: Gateway,
    pub(crate) store: Arc<Store>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) vendor: Vendor,
    pub(crate) spool: tempfile::TempDir,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body broke off.
    pub(crate) is_broken: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Bench {
    pub(crate) async fn start(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        Self::with(act, |_| {}).await
    }

    pub(crate) async fn with(
        act: impl Fn(usize) -> Act + Send + Sync + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let vendor = Vendor::start(act).await;
        let memory = Arc::new(Memory::new(Defaults::default(), Arc::new(Timestamp::now)));
        let store = Arc::new(Store::new());
        let spool = tempfile::tempdir().unwrap();
        let mut config = Config::new(spool.path().to_owned());
        let url = |path: &str| format!("http://{}{path}", vendor.address).parse().unwrap();
        for (name, dialect, path) in
            [("claude", Dialect::Anthropic, ""), ("gpt", Dialect::OpenAi, "/v1")]
        {
            let mut upstream = Upstream::new(name, dialect, url(path));
            upstream.timeout = Duration::from_secs(2);
            upstream.idle_timeout = Duration::from_millis(300);
            upstream.key = Some("the-vendors-key".into());
            config.upstreams.push(upstream);
        }
        config.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        config.drain = Duration::from_secs(1);
        change(&mut config);
        let book = Arc::new(PriceBook::shipped());
        let rooms = Rooms {
            escrow: store.clone(),
            keys: Arc::new(Shared(store.clone())),
            budgets: Arc::new(Shared(store.clone())),
            batches: store.clone(),
            prices: Arc::new(move || book.clone()),
            clock: Arc::new(Timestamp::now),
        };
        let gateway = Gateway::new(config, rooms).unwrap();
        Self { gateway, store, memory, vendor, spool }
    }

    pub(crate) async fn send(&self, path: &str, body: &Value) -> Answer {
        read(self.open(path, body).await).await
    }

    pub(crate) async fn open(&self, path: &str, body: &Value) -> http::Response<Reply> {
        let request = Request::post(path)
            .header("x-tenant-id", "acme")
            .header("content-type", "application/json")
            .header("authorization", "Bearer the-callers-key")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        self.gateway.answer(request, IpAddr::from([127, 0, 0, 1])).await
    }

    /// All calls, once nothing is in flight.
    pub(crate) async fn calls(&self) -> Vec<Reservation> {
        self.settled().await;
        let filter = ReservationFilter { page: Page::first(10_000), ..Default::default() };
        self.store.memory.reservations(filter).await.unwrap()
    }

    /// Waits until every call has been charged or freed.
    pub(crate) async fn settled(&self) {
        let held = || async {
            let filter = ReservationFilter {
                state: Some(State::Held),
                page: Page::first(1),
                ..Default::default()
            };
            !self.store.memory.reservations(filter).await.unwrap().is_empty()
        };
        let wait = async {
            while held().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("calls are settled");
    }

    pub(crate) async fn limit(&self, dollars: &str, overflow: Overflow) {
        let scope = Scope::tenant(TenantId::parse("acme").unwrap());
        let budget = Budget::new(scope, usd(dollars), Timestamp::now()).unwrap();
        self.store.memory.put(Budget { overflow, ..budget }).await.unwrap();
    }
}

pub(crate) async fn read(response: http::Response<Reply>) -> Answer {
    let (head, mut body) = response.into_parts();
    let (mut bytes, mut is_broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(_) => is_broken = true,
        }
    }
    Answer { status: head.status, headers: head.headers, body: bytes, is_broken }
}

pub(crate) fn usd(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn message() -> Value {
    json!({ "model": SONNET, "max_tokens": 500,
        "messages": [{ "role": "user", "content": "Tell me about budgets." }] })
}

pub(crate) fn chat(is_stream: bool) -> Value {
    json!({ "model": GPT, "max_tokens": 500, "stream": is_stream,
        "messages": [{ "role": "user", "content": "Tell me about budgets." }] })
}

pub(crate) fn message_answer(input: u64, output: u64) -> Value {
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": SONNET,
        "content": [{ "type": "text", "text": "Budgets are limits." }],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": input, "output_tokens": output,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0 } })
}
