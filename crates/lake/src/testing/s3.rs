//! An S3 server that keeps to a script: objects in memory, and what goes wrong with which request.
//!
//! It knows listings (`ListObjectsV2`), `HEAD`, ranges and `If-Match`, as the S3 API reference has
//! them, and no signatures.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// What happens to a request instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(u16),
    /// The body ends in the middle of what was promised.
    Reset,
    /// Nothing comes for so long.
    Slow(Duration),
    /// The object is another one from now on.
    Replaced,
}

#[derive(Default)]
struct Script {
    objects: BTreeMap<String, (Vec<u8>, u32)>,
    /// Parts of request lines, and what happens to so many of them.
    faults: Vec<(String, Fault, usize)>,
    /// Request lines.
    log: Vec<String>,
}

/// The server; it ends with the test's process.
#[derive(Clone)]
pub(crate) struct S3 {
    script: Arc<Mutex<Script>>,
    port: u16,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { script: Arc::default(), port };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(&stream));
            }
        });
        server
    }

    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let settings = [
            ("aws_endpoint_url", endpoint.as_str()),
            ("aws_allow_http", "true"),
            ("aws_access_key_id", "test"),
            ("aws_secret_access_key", "test"),
            ("aws_region", "us-east-1"),
        ];
        settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Stores an object of the bucket `bills`.
    pub(crate) fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let mut script = self.script();
        let object = script.objects.entry(key.to_owned()).or_default();
        *object = (bytes.into(), object.1 + 1);
    }

    pub(crate) fn fail(&self, part: &str, fault: Fault, times: usize) {
        self.script().faults.push((part.to_owned(), fault, times));
    }

    /// Requests since the last time that it was asked, of those that have this in their line.
    pub(crate) fn requests(&self, part: &str) -> usize {
        let log = std::mem::take(&mut self.script().log);
        log.iter().filter(|line| line.contains(part)).count()
    }

    fn fault(&self, line: &str) -> Option<Fault> {
        let mut script = self.script();
        script.log.push(line.to_owned());
        let found = script
            .faults
            .iter_mut()
            .find(|(part, _, left)| line.contains(part.as_str()) && *left > 0)?;
        found.2 -= 1;
        Some(found.1)
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((line, headers)) = request(&mut reader) {
            let fault = self.fault(&line);
            match fault {
                Some(Fault::Slow(time)) => std::thread::sleep(time),
                Some(Fault::Replaced) => {
                    let mut script = self.script();
                    script.objects.values_mut().for_each(|object| object.1 += 1);
                }
                _ => {}
            }
            let (status, head, body) = match fault {
                Some(Fault::Status(status)) => (status, String::new(), error(status)),
                _ => self.answer(&line, &headers),
            };
            let is_head = line.starts_with("HEAD");
            let length = body.len();
            let mut out = stream;
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n{head}connection: \
                 keep-alive\r\n\r\n"
            );
            let sent = match (is_head, fault) {
                (true, _) => 0,
                (false, Some(Fault::Reset)) => length / 2,
                (false, _) => length,
            };
            let written =
                out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body[..sent]));
            if written.is_err() || fault == Some(Fault::Reset) {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }

    fn answer(&self, line: &str, headers: &[String]) -> (u16, String, Vec<u8>) {
        let target = line.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path);
        let Some(key) = path.strip_prefix("/bills") else {
            return (404, String::new(), error(404));
        };
        let script = self.script();
        if query.contains("list-type=2") {
            let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix="));
            return (200, String::new(), list(&script, &decoded(prefix.unwrap_or_default())));
        }
        let Some((bytes, version)) = script.objects.get(key.trim_start_matches('/')) else {
            return (404, String::new(), error(404));
        };
        let tag = format!("\"v{version}\"");
        let header = |name: &str| headers.iter().find_map(|header| header.strip_prefix(name));
        if header("if-match: ").is_some_and(|wanted| wanted != tag) {
            return (412, String::new(), error(412));
        }
        let told = format!("etag: {tag}\r\nlast-modified: Thu, 01 Oct 2026 00:00:00 GMT\r\n");
        let range = header("range: bytes=").and_then(|range| {
            let (from, to) = range.split_once('-')?;
            Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?.min(bytes.len() - 1)))
        });
        match range {
            None => (200, told, bytes.clone()),
            Some((from, to)) => {
                let told = format!("{told}content-range: bytes {from}-{to}/{}\r\n", bytes.len());
                (206, told, bytes[from..=to].to_vec())
            }
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first()?.clone();
    let lower = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        Some(format!("{}: {value}", name.to_ascii_lowercase()))
    };
    Some((first, lines.iter().skip(1).filter_map(lower).collect()))
}

fn decoded(text: &str) -> String {
    text.replace("%2F", "/").replace("%3D", "=").replace("%3A", ":").replace("%20", " ")
}

fn error(status: u16) -> Vec<u8> {
    format!("<Error><Code>Scripted{status}</Code><Message>as scripted</Message></Error>").into()
}

fn list(script: &Script, prefix: &str) -> Vec<u8> {
    let found = script.objects.iter().filter(|(key, _)| key.starts_with(prefix));
    let contents: String = found
        .map(|(key, (bytes, version))| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified>\
                 <ETag>\"v{version}\"</ETag><Size>{}</Size></Contents>",
                bytes.len()
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}\
         </ListBucketResult>"
    )
    .into()
}
