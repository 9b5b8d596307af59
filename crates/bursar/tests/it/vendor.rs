//! A vendor on loopback that speaks Anthropic's API: every answer uses what the test wants, and
//! every request that was served is noted under the name that the ledger has for it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use uuid::Uuid;

/// How it answers.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// From the request to the first byte.
    pub(crate) latency: Duration,
    /// Between two pieces of a stream.
    pub(crate) pause: Duration,
    /// The output's tokens: the limit, or some number up to it.
    pub(crate) is_random: bool,
}

/// What was served: usage by the ledger's name of the call.
pub(crate) type Served = Arc<Mutex<Vec<(Uuid, u64, u64)>>>;

pub(crate) struct Vendor {
    pub(crate) address: SocketAddr,
    pub(crate) served: Served,
    /// Requests that have come in.
    pub(crate) asked: Arc<AtomicUsize>,
}

/// Every answer's prompt.
pub(crate) const INPUT: u64 = 1_000;
/// Output where the request sets no limit.
const OUTPUT: u64 = 500;

impl Vendor {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let served = Served::default();
        let all = served.clone();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (all, count) = (all.clone(), count.clone());
                // Callers and gateways hang up, and are killed: that ends a connection, no more.
                thread::spawn(move || drop(talk(stream, manner, &all, &count)));
            }
        });
        Self { address, served, asked }
    }

    /// The config of a gateway in front of it.
    pub(crate) fn config(&self, folder: &std::path::Path, more: &str) -> std::path::PathBuf {
        let path = folder.join(format!("{}.toml", Uuid::new_v4()));
        let text = format!(
            "data_dir = {:?}\n{more}\n[upstream.vendor]\napi = \"anthropic\"\n\
             url = \"http://{}\"\nkey = \"the-vendors-key\"\n",
            folder, self.address
        );
        std::fs::write(&path, text).expect("a config file");
        path
    }
}

fn talk(
    stream: TcpStream,
    manner: Manner,
    served: &Served,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut key) = (0, None);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(": ") else {
                if line == "\r\n" {
                    break;
                }
                continue;
            };
            match name {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "x-client-request-id" => key = value.trim().parse().ok(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        let limit = body["max_tokens"].as_u64().unwrap_or(OUTPUT).min(OUTPUT);
        let number = count.fetch_add(1, Ordering::Relaxed) as u64;
        let output = if manner.is_random { 1 + number * 7919 % limit } else { limit };
        thread::park_timeout(manner.latency);
        // From here on the vendor bills it.
        served.lock().expect("a lock").push((key.expect("a call's name"), INPUT, output));
        let out = reader.get_mut();
        if body["stream"] == true {
            stream_answer(out, manner, output)?;
        } else {
            let answer = format!(
                r#"{{"type":"message","content":[],"usage":{{"input_tokens":{INPUT},"output_tokens":{output}}}}}"#
            );
            let length = answer.len();
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{answer}"
            )?;
        }
    }
}

fn stream_answer(out: &mut TcpStream, manner: Manner, output: u64) -> std::io::Result<()> {
    out.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let mut say = |name: &str, data: &str| {
        let event = format!("event: {name}\ndata: {data}\n\n");
        write!(out, "{:x}\r\n{event}\r\n", event.len())
    };
    say(
        "message_start",
        &format!(
            r#"{{"type":"message_start","message":{{"usage":{{"input_tokens":{INPUT},"output_tokens":1}}}}}}"#
        ),
    )?;
    for _ in 0..5 {
        thread::park_timeout(manner.pause);
        let delta = r#"{"type":"text_delta","text":"some words"}"#;
        let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
        say("content_block_delta", &data)?;
    }
    say(
        "message_delta",
        &format!(r#"{{"type":"message_delta","usage":{{"output_tokens":{output}}}}}"#),
    )?;
    say("message_stop", r#"{"type":"message_stop"}"#)?;
    out.write_all(b"0\r\n\r\n")
}
