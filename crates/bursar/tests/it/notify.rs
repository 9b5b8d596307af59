//! Notices, from a call that crosses a threshold to a mail and a signed request, through the running
//! program: on SQLite, and on Postgres with two replicas that share the work.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Client, Database, Server, bursar_json, program, sqlite};

const SECRET: &str = "a secret of the receiver's";

/// A mail's recipients and its text.
type Mail = (Vec<String>, String);
/// A request's headers and its body.
type Attempt = (BTreeMap<String, String>, String);

/// What has come in.
struct Taken<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T: Clone> Taken<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn push(&self, one: T) {
        self.0.0.lock().expect("a lock").push(one);
        self.0.1.notify_all();
    }

    fn all(&self) -> Vec<T> {
        self.0.0.lock().expect("a lock").clone()
    }

    /// Waits until so many have come.
    fn wait_for(&self, count: usize) -> Vec<T> {
        let (taken, came) = &*self.0;
        let taken = taken.lock().expect("a lock");
        let patience = Duration::from_secs(60);
        let waited = came.wait_timeout_while(taken, patience, |taken| taken.len() < count);
        let (taken, time) = waited.expect("a lock");
        assert!(!time.timed_out(), "{} of {count} have come", taken.len());
        taken.clone()
    }
}

impl<T> Clone for Taken<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A mail server on this machine.
fn mail_server() -> (SocketAddr, Taken<Mail>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let taken = Taken::new();
    let shared = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = shared.clone();
            thread::spawn(move || receive(stream, &shared));
        }
    });
    (address, taken)
}

fn receive(stream: TcpStream, taken: &Taken<Mail>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut say = stream;
    let mut to = Vec::new();
    say.write_all(b"220 localhost ESMTP\r\n").ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let answer = match line.get(..4)?.to_ascii_uppercase().as_str() {
            "RCPT" => {
                to.push(line.split(['<', '>']).nth(1)?.to_owned());
                "250 fine"
            }
            "DATA" => {
                say.write_all(b"354 go on\r\n").ok()?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    if reader.read_line(&mut text).ok()? == 0 {
                        return None;
                    }
                }
                taken.push((std::mem::take(&mut to), text));
                "250 taken"
            }
            "QUIT" => {
                say.write_all(b"221 bye\r\n").ok()?;
                return None;
            }
            _ => "250 fine",
        };
        say.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
    }
}

/// A webhook that fails once, and takes everything from then on.
fn webhook() -> (SocketAddr, Taken<Attempt>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let taken = Taken::new();
    let shared = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &shared);
        }
    });
    (address, taken)
}

fn answer(stream: TcpStream, taken: &Taken<Attempt>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let status =
        if taken.all().is_empty() { "500 Internal Server Error" } else { "204 No Content" };
    taken.push((headers, String::from_utf8(body).ok()?));
    let mut stream = stream;
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()
}

fn config(folder: &Path, mail: SocketAddr, hook: SocketAddr) -> PathBuf {
    let file = folder.join("bursar.toml");
    let text = format!(
        r#"
        [notify.channel.mail]
        type = "email"
        host = "127.0.0.1"
        port = {}
        tls = "none"
        from = "Bursar <bursar@example.com>"
        to = "ops@example.com"
        group = "1s"
        [notify.channel.hook]
        type = "webhook"
        url = "http://{hook}/bursar"
        secret = "{SECRET}"
        group = "0s"
        "#,
        mail.port()
    );
    fs::write(&file, text).expect("a config file");
    file
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} has not come");
    }
}

fn track(client: &mut Client, number: u32, tokens: u32) {
    let body = format!(
        r#"{{"request_id":"018f6d2e-0000-7000-8000-{number:012}","tenant_id":"acme",
            "model":"claude-3-5-sonnet-20241022","prompt_tokens":{tokens},"completion_tokens":0}}"#
    );
    let (status, text) = client.send("POST", "/api/ai-budget/track", &body).expect("an answer");
    assert_eq!(status, 200, "{text}");
}

fn run(database: &str, config: &Path, arguments: &[&str]) -> Output {
    let mut command = program(database);
    command.arg("--config").arg(config).args(arguments).output().expect("bursar runs")
}

/// A threshold is told to the tenant's admin and the operator, each once, however many replicas
/// there are; a webhook that has failed gets the same again.
fn tells(database: &str, replicas: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mail, mails) = mail_server();
    let (hook, requests) = webhook();
    let config = config(folder.path(), mail, hook);
    // One after the other: the first one makes the schema.
    let servers: Vec<Server> =
        (0..replicas).map(|_| Server::start_with(database, &config).answering()).collect();
    let mut client = Client::connect(servers[0].address).expect("a service");
    let tenant = r#"{"tenant_id":"acme","name":"Acme","admin_email":"admin@acme.test"}"#;
    client.post("/api/v1/tenants", tenant, 201);
    bursar_json(database, &["budget", "set", "acme", "10"]);
    track(&mut client, 1, 2_700_000);

    let sent = mails.wait_for(2);
    let mut to: Vec<&str> = sent.iter().flat_map(|(to, _)| to).map(String::as_str).collect();
    to.sort_unstable();
    assert_eq!(to, ["admin@acme.test", "ops@example.com"]);
    for (_, text) in &sent {
        assert!(text.contains("Subject: Acme has used 80 % of its AI budget"), "{text}");
        assert!(text.contains("$8.10") && text.contains("$10.00"), "{text}");
    }
    let attempts = requests.wait_for(2);
    let key = |attempt: usize| attempts[attempt].0["idempotency-key"].clone();
    assert_eq!((key(0), &attempts[0].1), (key(1), &attempts[1].1));
    let (headers, body) = &attempts[1];
    let time = &headers["bursar-timestamp"];
    let now = jiff::Timestamp::now();
    let signature = &headers["bursar-signature"];
    notify::verify(SECRET.as_bytes(), time, signature, body.as_bytes(), now).expect("a signature");

    // From 100 % on it is critical: nothing waits for others.
    track(&mut client, 2, 700_000);
    mails.wait_for(4);
    requests.wait_for(3);
    let listed = until("every delivery's end", || {
        let listed = bursar_json(database, &["notify", "list", "--state", "delivered"]);
        (listed.as_array()?.len() >= 6).then_some(listed)
    });
    let count = |event: &str, channel: &str| {
        let fits = |one: &&Value| one["event"] == event && one["channel"] == channel;
        listed.as_array().expect("rows").iter().filter(fits).count()
    };
    assert_eq!(count("budget_threshold", "mail"), 4);
    assert_eq!(count("budget_threshold", "hook"), 2);
    // What waits for the next month is no backlog.
    let waiting = bursar_json(database, &["notify", "list", "--state", "pending"]);
    assert!(waiting.as_array().expect("rows").iter().all(|one| one["event"] == "budget_reset"));
    client.wait_for("/metrics", |_, text| {
        text.contains("bursar_notify_pending{channel=\"mail\"} 0")
            && text.contains("bursar_notify_dead{channel=\"hook\"} 0")
    });
    for server in servers {
        assert_eq!(server.stop(), Some(0));
    }
    // Nobody has sent anything twice.
    assert_eq!((mails.all().len(), requests.all().len()), (4, 3));
}

#[test]
fn a_threshold_is_told_once_to_each() {
    let (_folder, database) = sqlite();
    tells(&database, 1);
}

#[test]
fn two_replicas_tell_it_once_to_each() {
    let database = Database::make();
    tells(&database.url(), 2);
}

#[test]
fn a_channel_can_be_tried_and_a_notice_looked_at() {
    let (folder, database) = sqlite();
    let (mail, mails) = mail_server();
    let (hook, _) = webhook();
    let config = config(folder.path(), mail, hook);
    let output = run(&database, &config, &["notify", "test", "mail", "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [(to, text)] = mails.all().try_into().expect("one mail");
    assert_eq!(to, ["ops@example.com"]);
    assert!(text.contains("Subject: A test from Bursar"), "{text}");

    let failed = run(&database, &config, &["notify", "test", "hook"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1));
    assert!(said.contains("127.0.0.1 answers 500") && !said.contains(SECRET), "{said}");
    let unknown = run(&database, &config, &["notify", "test", "fax"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("there are mail, hook"), "{said}");

    let text = run(&database, &config, &["notify", "preview", "budget_exhausted"]).stdout;
    let text = String::from_utf8(text).expect("text");
    assert!(text.starts_with("Subject: Acme Corporation has used up its AI budget\n"), "{text}");
    let page = run(&database, &config, &["notify", "preview", "digest", "--html"]).stdout;
    assert!(String::from_utf8(page).expect("text").starts_with("<!doctype html>"));
    let none = run(&database, &config, &["notify", "retry", "7"]);
    assert_eq!(none.status.code(), Some(4));
}
