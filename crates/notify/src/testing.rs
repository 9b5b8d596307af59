//! Real listeners for the tests: an HTTP sink and a mail server that behave, or don't.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use budget::{Severity, Topic};
use jiff::{Timestamp, tz::TimeZone};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{Amount, Facts, Item, MailTls, Message};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A certificate for this machine that nobody vouches for, and its key, as PEM.
pub(crate) fn authority() -> (String, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn acceptor(certificate: &str, key: &str) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A message about so many budgets.
pub(crate) fn message(count: usize) -> Message {
    let item = |number: usize| {
        let facts = Facts {
            name: format!("name/{number}"),
            incident: "budget/2026-11-01T00:00:00Z".to_owned(),
            tenant_id: Some("acme".to_owned()),
            spent: Some(Amount { amount: focus::Decimal::new(80, 0), currency: "USD".to_owned() }),
            limit: Some(Amount { amount: focus::Decimal::new(100, 0), currency: "USD".to_owned() }),
            ..Facts::default()
        };
        let rows = facts.rows(&TimeZone::UTC);
        Item {
            topic: Topic::BudgetThreshold,
            severity: Severity::Warning,
            at: Timestamp::UNIX_EPOCH,
            subject: format!("budget {number} has crossed 80 %"),
            what: "It has.".to_owned(),
            todo: vec!["Look.".to_owned()],
            rows: rows.into_iter().filter(|(name, _)| name != "Tenant").collect(),
            facts,
        }
    };
    let items: Vec<Item> = (0..count).map(item).collect();
    Message {
        key: format!("key of {count}"),
        recipient: None,
        severity: Severity::Warning,
        subject: items[0].subject.clone(),
        items,
        text: "It has.\n".to_owned(),
        html: "<p>It has.</p>".to_owned(),
    }
}

/// What an HTTP sink answers.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: &'static str,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: "", body: String::new() }
    }

    /// Nothing, for ever.
    pub(crate) fn silence() -> Self {
        Self::status(0)
    }

    /// The end of the connection.
    pub(crate) fn hang_up() -> Self {
        Self::status(1)
    }
}

/// A request that a sink has taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Taken {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct Kept {
    replies: VecDeque<Reply>,
    taken: Vec<Taken>,
}

/// An HTTP server that answers one reply after the other, the last one for good.
pub(crate) struct Sink {
    port: u16,
    scheme: &'static str,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sink {
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        Self::serve(replies, None).await
    }

    pub(crate) async fn start_tls(replies: Vec<Reply>, certificate: &str, key: &str) -> Self {
        Self::serve(replies, Some(acceptor(certificate, key))).await
    }

    async fn serve(replies: Vec<Reply>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let kept = Arc::new(Mutex::new(Kept { replies: replies.into(), taken: Vec::new() }));
        let shared = kept.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, tls.clone(), shared.clone()));
            }
        });
        Self { port, scheme, kept, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/hook?key=secret", self.scheme, self.port)
    }

    /// Waits until so many requests have come.
    pub(crate) async fn wait_for(&self, count: usize) {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
        let came = async {
            while self.taken().len() < count {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), came).await.unwrap();
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.kept.lock().unwrap().taken.clone()
    }
}

async fn answer(stream: TcpStream, tls: Option<TlsAcceptor>, kept: Arc<Mutex<Kept>>) {
    let stream: Box<dyn Stream> = match tls {
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        None => Box::new(stream),
    };
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let mut taken = Taken { head, body: String::new() };
    let mut body = vec![0; taken.header("content-length").parse().unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    taken.body = String::from_utf8(body).unwrap();
    let reply = {
        let mut kept = kept.lock().unwrap();
        kept.taken.push(taken);
        match kept.replies.len() {
            0 => Reply::hang_up(),
            1 => kept.replies[0].clone(),
            _ => kept.replies.pop_front().unwrap(),
        }
    };
    let Reply { status, headers, body } = reply;
    match status {
        0 => std::future::pending().await,
        1 => return,
        _ => {}
    }
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// What a mail server says.
#[derive(Clone, Copy)]
pub(crate) struct Post {
    /// Nothing at all where it is empty.
    pub(crate) greeting: &'static str,
    pub(crate) auth: &'static str,
    pub(crate) rcpt: &'static str,
    pub(crate) data: &'static str,
}

impl Default for Post {
    fn default() -> Self {
        Self {
            greeting: "220 localhost ESMTP",
            auth: "235 2.7.0 welcome",
            rcpt: "250 2.1.5 fine",
            data: "250 2.0.0 taken",
        }
    }
}

/// A mail that was taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letter {
    pub(crate) tls: bool,
    pub(crate) login: Option<String>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

/// A mail server.
pub(crate) struct Mail {
    port: u16,
    taken: Arc<Mutex<Vec<Letter>>>,
    serving: JoinHandle<()>,
}

impl Drop for Mail {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Mail {
    pub(crate) async fn start(tls: MailTls, certificate: &str, key: &str, post: Post) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (acceptor, shared) = (acceptor(certificate, key), taken.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), shared.clone());
                tokio::spawn(receive(stream, tls, acceptor, post, shared));
            }
        });
        Self { port, taken, serving }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn taken(&self) -> Vec<Letter> {
        self.taken.lock().unwrap().clone()
    }
}

async fn receive(
    stream: TcpStream,
    tls: MailTls,
    acceptor: TlsAcceptor,
    post: Post,
    taken: Arc<Mutex<Vec<Letter>>>,
) {
    let mut letter = Letter { tls: tls == MailTls::Tls, ..Letter::default() };
    let stream: Box<dyn Stream> = match tls {
        MailTls::Tls => match acceptor.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        _ => Box::new(stream),
    };
    let mut stream = BufReader::new(stream);
    if post.greeting.is_empty() {
        std::future::pending::<()>().await;
    }
    say(&mut stream, post.greeting).await;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end();
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let offers = tls == MailTls::StartTls && !letter.tls;
                let offer = if offers { "250-STARTTLS\r\n" } else { "" };
                let said = format!("250-localhost\r\n{offer}250 AUTH PLAIN");
                say(&mut stream, &said).await;
            }
            "STARTTLS" => {
                say(&mut stream, "220 2.0.0 go on").await;
                let inner: Box<dyn Stream> = match acceptor.accept(stream.into_inner()).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                };
                stream = BufReader::new(inner);
                letter.tls = true;
            }
            "AUTH" => {
                letter.login = rest.split_once(' ').map(|(_, login)| login.to_owned());
                say(&mut stream, post.auth).await;
            }
            "MAIL" => {
                letter.from = between(rest);
                say(&mut stream, "250 2.1.0 fine").await;
            }
            "RCPT" => {
                letter.to.push(between(rest));
                say(&mut stream, post.rcpt).await;
            }
            "DATA" => {
                say(&mut stream, "354 go on").await;
                while !letter.data.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut letter.data).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                if post.data.starts_with('2') {
                    taken.lock().unwrap().push(letter.clone());
                }
                say(&mut stream, post.data).await;
            }
            "QUIT" => {
                say(&mut stream, "221 2.0.0 bye").await;
                return;
            }
            _ => say(&mut stream, "502 5.5.1 what").await,
        }
    }
}

fn between(rest: &str) -> String {
    let inside = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(inside, _)| inside.to_owned()).unwrap_or_default()
}

async fn say(stream: &mut BufReader<Box<dyn Stream>>, line: &str) {
    let _ = stream.write_all(format!("{line}\r\n").as_bytes()).await;
    let _ = stream.flush().await;
}
