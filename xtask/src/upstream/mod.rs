//! The scripted upstream: both vendors' APIs on loopback, answered from transcripts of their shape.
//!
//! Owns: what a vendor says, well and badly, and the journal of what it has served. A request chooses by header
//! (`script.rs` lists them); the answer's usage is what the request wants, so that a test can compute its cost
//! without us. Knows nothing of Bursar but what must not leak from it. Invariant: every request that was
//! answered stands in the journal before its first byte is sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use journal::{Entry, Journal};
pub(crate) use script::mixed;
use script::{Ending, Script};
use told::Told;
use transcript::{Dialect, Transcript};
use wish::Wish;

mod batches;
mod chat;
mod fault;
mod journal;
mod messages;
mod responses;
mod script;
#[cfg(test)]
mod tests;
mod told;
mod transcript;
mod usage;
mod wish;

/// The key that a gateway has to send.
pub(crate) const KEY: &str = "upstream-key";
/// A tenant's key begins so.
const KEY_OF_BURSAR: &str = "bsr_";
/// What stays between a caller and its gateway.
const PRIVATE: [&str; 3] = ["x-tenant-id", "x-user-id", "x-report-type"];

/// Where to listen, and what to keep.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Keep the journal's totals alone, no entry for each request: for benchmarks.
    #[arg(long)]
    totals_only: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.context("failed to listen")?;
        println!("upstream: http://{}", listener.local_addr()?);
        serve(listener, Upstream::new(arguments.totals_only)).await
    })
}

/// What all connections share.
struct Upstream {
    journal: Journal,
    batches: batches::Batches,
}

impl Upstream {
    fn new(totals_only: bool) -> Arc<Self> {
        Arc::new(Self { journal: Journal::new(totals_only), batches: batches::Batches::default() })
    }
}

async fn serve(listener: TcpListener, upstream: Arc<Upstream>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("failed to accept")?;
        // It fails on a connection that is gone, which the next read will tell.
        let _ = stream.set_nodelay(true);
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| answer(&upstream, request));
            let http = hyper::server::conn::http1::Builder::new();
            // A caller that hangs up and an answer that is cut both end a connection, no more.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    upstream: &Upstream,
    request: Request<Incoming>,
) -> Result<Response<Told>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(fault::plain(400, "the body has not arrived"));
    };
    let (path, body) = (head.uri.path(), body.to_bytes());
    if path == "/journal" {
        return Ok(told_journal(&upstream.journal, &head.method));
    }
    let dialect = Dialect::of(path, &head.headers);
    let response = match permitted(&head.headers, &head.uri.to_string(), dialect) {
        Ok(()) => respond(upstream, dialect, &head.method, path, &head.headers, body).await,
        Err(message) => {
            upstream.journal.refused(&message);
            dialect.error(401, &message)
        }
    };
    Ok(response)
}

fn told_journal(journal: &Journal, method: &Method) -> Response<Told> {
    if method == Method::DELETE {
        journal.clear();
    }
    let mut response = Response::new(Told::whole(Bytes::from(journal.told())));
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

/// Whether the vendor's key has come, and nothing that only the gateway should know.
fn permitted(headers: &HeaderMap, target: &str, dialect: Dialect) -> Result<(), String> {
    for name in PRIVATE {
        if headers.contains_key(name) {
            return Err(format!("the header {name} has leaked"));
        }
    }
    for (name, value) in headers {
        if value.as_bytes().windows(KEY_OF_BURSAR.len()).any(|w| w == KEY_OF_BURSAR.as_bytes()) {
            return Err(format!("a tenant's key has leaked in {name}"));
        }
    }
    if target.contains(KEY_OF_BURSAR) {
        return Err("a tenant's key has leaked in the URL".to_owned());
    }
    let key = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let sent = match dialect {
        Dialect::Anthropic => key("x-api-key"),
        Dialect::OpenAi => key("authorization").and_then(|value| value.strip_prefix("Bearer ")),
    };
    match sent {
        Some(KEY) => Ok(()),
        Some(_) => Err("invalid x-api-key or bearer token".to_owned()),
        None => Err("the vendor's key is missing".to_owned()),
    }
}

async fn respond(
    upstream: &Upstream,
    dialect: Dialect,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Told> {
    let script = match Script::read(headers) {
        Ok(script) => script,
        Err(message) => return dialect.error(400, &message),
    };
    let wish = match body.is_empty() {
        true => Wish::default(),
        false => match serde_json::from_slice::<Wish<'_>>(&body) {
            Ok(wish) => wish,
            Err(error) => return dialect.error(400, &format!("unreadable body: {error}")),
        },
    };
    let number = upstream.journal.number();
    let mut usage = script.usage(&wish, body.len(), number);
    if path == "/v1/embeddings" {
        usage.output = 0;
    }
    let id = transcript::id(script.seed.unwrap_or(number));
    let told = match (method.as_str(), path) {
        ("POST", "/v1/messages") => messages::answer(&wish, &script, &usage, &id),
        ("POST", "/v1/messages/count_tokens") => messages::count(&usage),
        ("POST", "/v1/chat/completions") => chat::answer(&wish, &script, &usage, &id),
        ("POST", "/v1/responses") => responses::answer(&wish, &script, &usage, &id),
        ("POST", "/v1/embeddings") => chat::embeddings(&wish, &script, &usage),
        ("GET", "/v1/models") => dialect.models(),
        (_, path) if path.starts_with("/v1/messages/batches") => {
            upstream.batches.answer(method, path, &wish, &usage, &id)
        }
        _ => None,
    };
    let Some(transcript) = told else {
        return dialect.error(404, &format!("there is nothing at {method} {path}"));
    };
    if !script.latency.is_zero() {
        tokio::time::sleep(script.latency).await;
    }
    let status = script.status(&body, &upstream.journal);
    let mut entry = Entry::new(headers, path, &wish, &script, &body, upstream.journal.keeps());
    entry.status = status;
    let bills = status == 200 && transcript.bills;
    entry.usage = bills.then_some(usage);
    let sent = upstream.journal.note(entry);
    match (status, &script.ending) {
        (200, Ending::Timeout) => std::future::pending().await,
        (200, _) => fault::bent(transcript, dialect, &script, sent),
        (status, _) => dialect.error(status, "the script wants an error"),
    }
}

/// An answer as it would be if nothing went wrong, or nothing where there is no such route.
type Plan = Option<Transcript>;
