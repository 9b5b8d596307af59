//! A budget of $10 under load: how many calls at $0.0105 it serves, and what is left of it at the end.
//!
//! The vendor's journal says what was served, and is priced here once more; the ledger must agree to the nano-dollar.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::report::Row;
use super::super::server::Server;
use super::super::{Setting, client};

/// Calls of one case, and how many at a time.
const CALLS: u64 = 5_000;
const CONCURRENCY: u64 = 100;
/// The vendor takes its time.
const LATENCY_MS: u64 = 50;
const LIMIT: i128 = 10_000_000_000;
/// Of the model: $3 and $15 per million tokens, in nano-dollars a token.
const MODEL: &str = "claude-3-5-sonnet-20241022";
const INPUT: i128 = 3_000;
const OUTPUT: i128 = 15_000;
/// 1,000 tokens in, 500 out.
const CALL: i128 = 10_500_000;

/// What the calls are like.
#[derive(Clone, Copy)]
struct Kind {
    is_stream: bool,
    /// Output as long as permitted, or of any length up to that.
    is_random: bool,
    max_tokens: Option<u64>,
}

/// What a case has come to.
struct Outcome {
    answered: u64,
    served: u64,
    /// By the vendor's journal, priced here.
    spent: i128,
    /// The least that was held for one call: with as much left, one more would have been served.
    hold: i128,
    elapsed: Duration,
}

/// Every case: one gateway on SQLite, then two on one Postgres database.
pub(super) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let vendor = Server::upstream(setting)?;
    let mut rows = Vec::new();
    for (gateways, database) in [(1, None), (2, Some(setting.postgres.as_str()))] {
        for wait in ["2s", "0s"] {
            let servers = (0..gateways).map(|number| {
                let name = format!("budget-{gateways}-{number}-{wait}");
                Server::gateway_on(setting, &name, vendor.address, database, wait)
            });
            let servers = servers.collect::<Result<Vec<_>>>()?;
            for (name, kind) in kinds() {
                let tenant = format!("ten-{gateways}-{wait}-{}", name.replace([' ', ','], "-"));
                eprintln!("bench: $10, {gateways} gateways, wait {wait}, {name}");
                let outcome = case(&vendor, &servers, &tenant, kind)?;
                rows.push(row(gateways, wait, name, kind, &outcome));
            }
        }
    }
    Ok(rows)
}

fn kinds() -> [(&'static str, Kind); 4] {
    let fixed = Kind { is_stream: false, is_random: false, max_tokens: Some(500) };
    [
        ("plain", fixed),
        ("streamed", Kind { is_stream: true, ..fixed }),
        ("streamed, random output", Kind { is_stream: true, is_random: true, ..fixed }),
        ("plain, no max_tokens", Kind { max_tokens: None, ..fixed }),
    ]
}

fn row(gateways: usize, wait: &str, name: &str, kind: Kind, outcome: &Outcome) -> Row {
    let left = LIMIT - outcome.spent;
    let waits = wait != "0s";
    let is_exact = !kind.is_random && kind.max_tokens.is_some();
    let exact = u64::try_from(LIMIT / CALL).unwrap_or(u64::MAX);
    // Without waiting, what is left at the end is at most what the calls then in flight had held.
    let left_most = outcome.hold * if waits { 1 } else { i128::from(CONCURRENCY) };
    let met = match (waits, is_exact) {
        (true, true) => outcome.served == exact && left >= 0,
        _ => left >= 0 && left < left_most,
    };
    Row {
        measure: format!("$10, {gateways} gateway(s), wait {wait}, {name}"),
        baseline: format!("{exact} served is all that fits"),
        subject: format!(
            "{} of {} served, {} spent",
            outcome.served,
            outcome.answered,
            usd(outcome.spent)
        ),
        value: format!("{} left, {:.0} s", usd(left), outcome.elapsed.as_secs_f64()),
        target: match (waits, is_exact) {
            (true, true) => format!("{exact}"),
            _ => format!("never over, left < {}", usd(left_most)),
        },
        met: Some(met),
        cpu: String::new(),
    }
}

fn usd(nano: i128) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    format!("{sign}${}.{:04}", nano / 1_000_000_000, nano % 1_000_000_000 / 100_000)
}

fn case(vendor: &Server, servers: &[Server], tenant: &str, kind: Kind) -> Result<Outcome> {
    let gateway = servers.first().context("no gateway")?.address;
    let limit = format!(r#"{{"tenant_id":"{tenant}","model":"*","monthly_limit_usd":10}}"#);
    ask(gateway, "POST", "/api/ai-budget/set", &limit)?;
    ask(vendor.address, "DELETE", "/journal", "")?;
    let started = Instant::now();
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let (served, refused) = local.block_on(&runtime, flood(&addresses, tenant, kind))?;
    let elapsed = started.elapsed();

    let journal: Value = serde_json::from_str(&ask(vendor.address, "GET", "/journal", "")?)?;
    let total = &journal["totals"][MODEL];
    let of = |name: &str| total[name].as_i64().map(i128::from).unwrap_or_default();
    let spent = of("input") * INPUT + of("output") * OUTPUT;
    ensure!(of("requests") == i128::from(served), "the vendor has served {total}, not {served}");
    let charged = charged(gateway, tenant)?;
    ensure!(charged == spent, "the ledger has charged {charged}, the vendor served {spent}");
    let hold = hold_least(gateway, tenant)?;
    Ok(Outcome { answered: served + refused, served, spent, hold, elapsed })
}

/// Nano-dollars in the ledger, once nothing of the tenant is held any more.
fn charged(gateway: SocketAddr, tenant: &str) -> Result<i128> {
    let until = Instant::now() + Duration::from_secs(30);
    let held = format!("/api/v1/reservations?tenant_id={tenant}&state=held&limit=1");
    while !ask(gateway, "GET", &held, "")?.contains(r#""reservations":[]"#) {
        ensure!(Instant::now() < until, "holds of {tenant} stay");
        std::thread::sleep(Duration::from_millis(20));
    }
    let report = ask(gateway, "GET", &format!("/api/v1/usage?tenant_id={tenant}"), "")?;
    Ok(amounts(&report, "cost_usd")?.into_iter().sum())
}

/// The least that was held for any call of the tenant.
fn hold_least(gateway: SocketAddr, tenant: &str) -> Result<i128> {
    let mut least = None;
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/reservations?tenant_id={tenant}&limit=100{cursor}");
        let page = ask(gateway, "GET", &path, "")?;
        least = amounts(&page, "held_usd")?.into_iter().chain(least).min();
        let told: Value = serde_json::from_str(&page)?;
        match told["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return least.context("no call was held"),
        }
    }
}

/// Nano-dollars of every member of that name; a number of JSON's readers would have lost digits.
fn amounts(text: &str, name: &str) -> Result<Vec<i128>> {
    let mark = format!("\"{name}\":");
    let amount = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (whole, fraction) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
        format!("{whole}{fraction:0<9}").parse().context("failed to read an amount")
    };
    text.split(&mark).skip(1).map(amount).collect()
}

/// All calls, as many at a time as connections: how many were served, and how many refused.
async fn flood(gateways: &[SocketAddr], tenant: &str, kind: Kind) -> Result<(u64, u64)> {
    let left = Rc::new(Cell::new(CALLS));
    let counts = Rc::new(Cell::new((0, 0)));
    let failure = Rc::new(RefCell::new(None));
    let request: Rc<[u8]> = request(tenant, kind).into();
    let mut tasks = tokio::task::JoinSet::new();
    for (&gateway, _) in gateways.iter().cycle().zip(0..CONCURRENCY) {
        let (left, counts) = (Rc::clone(&left), Rc::clone(&counts));
        let (failure, request) = (Rc::clone(&failure), Rc::clone(&request));
        tasks.spawn_local(async move {
            if let Err(error) = converse(gateway, &request, &left, &counts).await {
                left.set(0);
                failure.borrow_mut().get_or_insert(error);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(counts.get()),
    }
}

async fn converse(
    gateway: SocketAddr,
    request: &[u8],
    left: &Cell<u64>,
    counts: &Cell<(u64, u64)>,
) -> Result<()> {
    let mut stream = tokio::net::TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    while left.get() > 0 {
        left.set(left.get() - 1);
        stream.write_all(request).await?;
        bytes.clear();
        let answer = loop {
            ensure!(stream.read_buf(&mut bytes).await? > 0, "the gateway closed a connection");
            if let Some(answer) = client::parse(&bytes)? {
                break answer;
            }
        };
        let (served, refused) = counts.get();
        counts.set(match answer.status {
            200 => (served + 1, refused),
            429 => (served, refused + 1),
            status => {
                let body = String::from_utf8_lossy(&bytes[answer.body..answer.end]);
                bail!("a call was answered {status}: {body}")
            }
        });
    }
    Ok(())
}

/// About a thousand tokens.
fn request(tenant: &str, kind: Kind) -> Vec<u8> {
    let prompt: String = (0..70)
        .map(|number| format!("Item {number} of the month's bill came to {} dollars. ", number * 7))
        .collect();
    let limit = kind.max_tokens.map(|most| format!(r#","max_tokens":{most}"#)).unwrap_or_default();
    let body = format!(
        r#"{{"model":"{MODEL}","stream":{}{limit},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#,
        kind.is_stream
    );
    let script = if kind.is_random { "random-output" } else { "plain" };
    let mut request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-tenant-id: {tenant}\r\nx-script: {script}\r\nx-script-latency-ms: {LATENCY_MS}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    request.push_str(&body);
    request.into_bytes()
}

/// Asks once, on a connection of its own; the body of a good answer.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    let answer = loop {
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "{method} {path}: the connection ended");
        bytes.extend_from_slice(&piece[..read]);
        if let Some(answer) = client::parse(&bytes)? {
            break answer;
        }
    };
    let text = String::from_utf8_lossy(&bytes[answer.body..answer.end]).into_owned();
    ensure!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
    Ok(text)
}
