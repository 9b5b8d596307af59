//! The leanest vendor that there can be: it looks for a word in what it is asked and sends bytes made once.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{HANG, PIECES};

pub(super) async fn serve(listener: TcpListener) -> Result<()> {
    let answers = std::sync::Arc::new(Answers::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = answers.clone();
        // Whoever hangs up ends the connection, no more.
        tokio::spawn(async move { drop(talk(stream, &answers).await) });
    }
}

/// What is said, made once.
struct Answers {
    plain: Vec<u8>,
    stream: Vec<u8>,
    stream_with_usage: Vec<u8>,
    beginning: Vec<u8>,
}

const USAGE: &str = r#"{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

impl Answers {
    fn new() -> Self {
        let body = format!(
            r#"{{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-2024-08-06","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE},"service_tier":"default","system_fingerprint":"fp_fc9f1d7035"}}"#,
            "Budgets are limits that hold. ".repeat(40)
        );
        let plain = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self {
            plain: plain.into_bytes(),
            stream: stream(PIECES, false, true),
            stream_with_usage: stream(PIECES, true, true),
            beginning: stream(1, false, false),
        }
    }
}

fn stream(pieces: usize, has_usage: bool, has_end: bool) -> Vec<u8> {
    let null = if has_usage { r#","usage":null"# } else { "" };
    let head = r#""id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_fc9f1d7035""#;
    let mut text = STREAM_HEAD.to_owned();
    let mut say = |data: &str| {
        let event = format!("data: {data}\n\n");
        text += &format!("{:x}\r\n{event}\r\n", event.len());
    };
    for _ in 0..pieces {
        let delta = r#"{"content":" budgets are limits"}"#;
        let choice =
            format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}"#);
        say(&format!(r#"{{{head},"choices":[{choice}]{null}}}"#));
    }
    if has_usage {
        say(&format!(r#"{{{head},"choices":[],"usage":{USAGE}}}"#));
    }
    if has_end {
        say("[DONE]");
        text += "0\r\n\r\n";
    }
    text.into_bytes()
}

async fn talk(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        bytes.clear();
        let body = loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            if let Some(body) = body(&bytes)? {
                break body;
            }
        };
        let has = |word: &str| {
            let text = &bytes[body..];
            text.windows(word.len()).rev().take(4096).any(|window| window == word.as_bytes())
                || text.windows(word.len()).take(256).any(|window| window == word.as_bytes())
        };
        if !has(r#""stream":true"#) {
            stream.write_all(&answers.plain).await?;
        } else if has(r#""user":"hang""#) {
            stream.write_all(&answers.beginning).await?;
            tokio::time::sleep(HANG).await;
            return Ok(());
        } else if has("include_usage") {
            stream.write_all(&answers.stream_with_usage).await?;
        } else {
            stream.write_all(&answers.stream).await?;
        }
    }
}

/// Where the body begins, once all of the request is there.
fn body(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let begin = end + 4;
    Ok((bytes.len() >= begin + length.unwrap_or(0)).then_some(begin))
}
