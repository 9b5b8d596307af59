//! A vendor that answers chat completions at once, always with the same usage: 1,000 tokens in, 500 out.
//!
//! An ordinary small server, as the one that the peers were measured with: it reads its JSON and writes it. The `lean`
//! one does next to nothing, so that a gateway's own work stands out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

mod lean;

/// Where to listen.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    /// Read nothing but a word, and say bytes made once.
    #[arg(long)]
    lean: bool,
}

/// How long a stream that is told to hang stays open.
const HANG: Duration = Duration::from_secs(120);
/// Pieces of text in a stream.
const PIECES: usize = 20;

const ID: &str = "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT";
const MODEL: &str = "gpt-4o-2024-08-06";
const FINGERPRINT: &str = "fp_fc9f1d7035";
const CREATED: u64 = 1_741_569_952;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await?;
        if arguments.lean {
            return lean::serve(listener).await;
        }
        let router = Router::new().route("/v1/chat/completions", post(answer));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // It fails on a connection that is gone, which the next read will tell.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}

#[derive(Deserialize)]
struct Asked {
    model: String,
    messages: Vec<Message<String>>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    user: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Serialize, Deserialize)]
struct Message<T> {
    role: T,
    content: T,
}

#[derive(Serialize)]
struct Completion<'a, C> {
    id: &'a str,
    object: &'a str,
    created: u64,
    model: &'a str,
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    service_tier: &'a str,
    system_fingerprint: &'a str,
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    message: Message<String>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Piece {
    index: u32,
    delta: Delta,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Delta {
    content: &'static str,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Cached,
    completion_tokens_details: Reasoning,
}

#[derive(Serialize)]
struct Cached {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct Reasoning {
    reasoning_tokens: u64,
}

const USAGE: Usage = Usage {
    prompt_tokens: 1_000,
    completion_tokens: 500,
    total_tokens: 1_500,
    prompt_tokens_details: Cached { cached_tokens: 0 },
    completion_tokens_details: Reasoning { reasoning_tokens: 0 },
};

fn completion<C>(
    object: &'static str,
    choices: Vec<C>,
    usage: Option<Usage>,
) -> Completion<'static, C> {
    Completion {
        id: ID,
        object,
        created: CREATED,
        model: MODEL,
        choices,
        usage,
        service_tier: "default",
        system_fingerprint: FINGERPRINT,
    }
}

async fn answer(Json(asked): Json<Asked>) -> Response {
    let said: usize = asked.messages.iter().map(|said| said.role.len() + said.content.len()).sum();
    if asked.model.is_empty() || said == 0 {
        return axum::http::StatusCode::BAD_REQUEST.into_response();
    }
    if asked.stream {
        return streamed(&asked);
    }
    let content = "Budgets are limits that hold. ".repeat(40);
    let message = Message { role: "assistant".to_owned(), content };
    let choice = Choice { index: 0, message, logprobs: None, finish_reason: "stop" };
    Json(completion("chat.completion", vec![choice], Some(USAGE))).into_response()
}

/// Pieces, the usage where it is asked for, and the end; or the first piece, and then nothing for long.
fn streamed(asked: &Asked) -> Response {
    let hangs = asked.user.as_deref() == Some("hang");
    let has_usage = asked.stream_options.as_ref().is_some_and(|options| options.include_usage);
    let pieces = if hangs { 1 } else { PIECES };
    let last = pieces + usize::from(has_usage);
    let events = stream::unfold(0, move |at| async move {
        if hangs && at == pieces {
            tokio::time::sleep(HANG).await;
            return None;
        }
        let event = Event::default();
        let event = if at < pieces {
            let delta = Delta { content: " budgets are limits" };
            let piece = Piece { index: 0, delta, logprobs: None, finish_reason: None };
            event.json_data(completion("chat.completion.chunk", vec![piece], None))
        } else if at < last {
            event.json_data(completion::<Piece>("chat.completion.chunk", vec![], Some(USAGE)))
        } else if at == last {
            Ok(event.data("[DONE]"))
        } else {
            return None;
        };
        let event = event.unwrap_or_else(|_| Event::default().comment("no JSON"));
        Some((Ok::<_, Infallible>(event), at + 1))
    });
    Sse::new(events).into_response()
}
