//! The gateway against a vendor asked directly, and against a proxy that passes everything and meters nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::load::{self, Outcome};
use super::report::Row;
use super::script::{Script, Speaker};
use super::server::Server;
use super::{CONNECTIONS, ROUNDS, Setting, cases, machine};

mod budget;
pub(crate) mod proxy;
pub(crate) mod vendor;

/// Rate of the latency cases.
const OPEN_PER_SECOND: u32 = 100;
/// Streams that are open at once.
const STREAMS: usize = 1_000;
/// Of the vendor's and of the bare proxy's rate.
const DIRECT_MIN: f64 = 0.25;
const PROXY_MIN: f64 = 0.6;
/// CPU of one call, the store's included, in microseconds.
const CPU_MAX: f64 = 120.0;
const ADDED_P50_MAX: f64 = 0.37;
const ADDED_P99_MAX: f64 = 3.0;
const FIRST_TOKEN_MAX: f64 = 0.5;
const MEMORY_MAX: f64 = 128.0;

/// The three that are compared.
struct Bench {
    direct: Server,
    proxy: Server,
    gateway: Server,
}

impl Bench {
    fn start(setting: &Setting, is_lean: bool) -> Result<Self> {
        let direct = Server::vendor(setting, is_lean)?;
        let proxy = Server::proxy(setting, &direct)?;
        let gateway = Server::gateway(setting, &direct)?;
        Ok(Self { direct, proxy, gateway })
    }
}

/// A group of measures.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// Calls a second and CPU, plain and streamed.
    Throughput,
    /// The same with a vendor that does next to nothing.
    Lean,
    /// What the gateway adds to a call.
    Latency,
    /// What it adds to the time until a stream begins.
    First,
    /// Memory with a thousand streams.
    Streams,
    /// How exactly a budget of $10 is kept to.
    Budget,
}

/// The cases of the gateway, or some of them.
pub(super) fn run(setting: &Setting, only: &[Part]) -> Result<Vec<Row>> {
    let wants = |part| only.is_empty() || only.contains(&part);
    let mut rows = Vec::new();
    if only != [Part::Budget] {
        let bench = Bench::start(setting, false)?;
        if wants(Part::Throughput) {
            for is_stream in [false, true] {
                rows.extend(throughput(setting, &bench, is_stream)?);
            }
        }
        if wants(Part::Lean) {
            let bench = Bench::start(setting, true)?;
            for is_stream in [false, true] {
                // The targets, as the peers' figures, are those of an ordinary vendor.
                let shown = throughput(setting, &bench, is_stream)?;
                rows.extend(shown.into_iter().map(|row| Row {
                    measure: format!("{}, lean vendor", row.measure),
                    target: String::new(),
                    met: None,
                    ..row
                }));
            }
        }
        if wants(Part::Latency) {
            rows.extend(latency(setting, &bench)?);
        }
        if wants(Part::First) {
            rows.push(first_token(setting, &bench)?);
        }
        if wants(Part::Streams) {
            rows.push(open_streams(&bench)?);
        }
    }
    if wants(Part::Budget) {
        rows.extend(budget::run(setting)?);
    }
    Ok(rows)
}

/// Calls a second at 64 connections.
fn throughput(setting: &Setting, bench: &Bench, is_stream: bool) -> Result<Vec<Row>> {
    let kind = if is_stream { "streamed" } else { "plain" };
    eprintln!("bench: {kind} calls");
    let script = Script::Chat { is_stream };
    let (mut directs, mut proxies, mut gateways) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        directs.push(cases::round(setting, script, &bench.direct)?);
        proxies.push(cases::round(setting, script, &bench.proxy)?);
        gateways.push(cases::round(setting, script, &bench.gateway)?);
    }
    let rate = |outcomes: &[Outcome]| cases::median(outcomes, Outcome::per_second);
    let (direct, proxy, gateway) = (rate(&directs), rate(&proxies), rate(&gateways));
    let cpu = cases::median(&gateways, Outcome::cpu_server_micros);
    let row = |baseline: String, value: f64, of: &str, target: f64| Row {
        measure: format!("{kind} calls, {CONNECTIONS} connections"),
        baseline,
        subject: format!("{gateway:.0}/s"),
        value: format!("{value:.2} of {of}"),
        target: format!("≥ {target}"),
        met: Some(value >= target),
        cpu: format!("{cpu:.1} (proxy {:.1})", cases::median(&proxies, Outcome::cpu_server_micros)),
    };
    let mut rows = vec![
        row(format!("{direct:.0}/s direct"), gateway / direct, "direct", DIRECT_MIN),
        row(format!("{proxy:.0}/s bare proxy"), gateway / proxy, "the bare proxy", PROXY_MIN),
    ];
    rows.push(Row {
        measure: format!("CPU of a {kind} call, store included"),
        baseline: "240 µs TensorZero, Valkey rule (its own machine)".to_owned(),
        subject: format!("{cpu:.0} µs"),
        value: String::new(),
        target: format!("≤ {CPU_MAX:.0} µs"),
        met: Some(cpu <= CPU_MAX),
        cpu: String::new(),
    });
    Ok(rows)
}

/// What the gateway adds to a call at a rate that leaves it idle most of the time.
fn latency(setting: &Setting, bench: &Bench) -> Result<Vec<Row>> {
    eprintln!("bench: added latency");
    let script = Script::Chat { is_stream: false };
    let duration = setting.measure.max(Duration::from_secs(5));
    let mut added: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    // How quick the machine is to wake, in this very run: what passing through adds by itself.
    let mut passing: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut disks = Vec::new();
    let quantiles = [0.5, 0.99];
    for _ in 0..ROUNDS {
        let direct = load::open(bench.direct.address, script, OPEN_PER_SECOND, duration)?;
        let proxy = load::open(bench.proxy.address, script, OPEN_PER_SECOND, duration)?;
        let gateway = load::open(bench.gateway.address, script, OPEN_PER_SECOND, duration)?;
        let disk = machine::raw_disk(&setting.folder, OPEN_PER_SECOND, duration)?;
        disks.push(disk.value_at_quantile(0.5) as f64 / 1e3);
        for (index, quantile) in quantiles.into_iter().enumerate() {
            let of = |latencies: &hdrhistogram::Histogram<u64>| {
                latencies.value_at_quantile(quantile) as f64 / 1e3
            };
            added[index].push(of(&gateway) - of(&direct));
            passing[index].push(of(&proxy) - of(&direct));
        }
    }
    let disk = cases::median(&disks, |value| *value);
    let rows = added.iter().zip(&passing);
    let rows = rows.zip(["p50", "p99"]).zip([ADDED_P50_MAX, ADDED_P99_MAX]);
    Ok(rows
        .map(|(((added, passing), name), target)| {
            let value = cases::median(added, |value| *value);
            let passing = cases::median(passing, |value| *value);
            Row {
                measure: format!("added {name} of a call at {OPEN_PER_SECOND}/s"),
                baseline: format!(
                    "{passing:.2} ms bare proxy; {disk:.2} ms fdatasync of 8 KiB, p50"
                ),
                subject: format!("{value:.2} ms"),
                value: String::new(),
                target: format!("≤ {target} ms"),
                met: Some(value <= target),
                cpu: String::new(),
            }
        })
        .collect())
}

/// What the gateway adds until the first bytes of a stream.
fn first_token(setting: &Setting, bench: &Bench) -> Result<Row> {
    eprintln!("bench: time to the first token");
    let calls = if setting.measure > Duration::from_secs(4) { 400 } else { 100 };
    let (mut added, mut passing) = (Vec::new(), Vec::new());
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let direct = first_bytes(bench.direct.address, calls)?;
        passing.push(first_bytes(bench.proxy.address, calls)? - direct);
        let gateway = first_bytes(bench.gateway.address, calls)?;
        added.push(gateway - direct);
        firsts.push(direct);
        lasts.push(gateway);
    }
    let median = |values: &[f64]| cases::median(values, |value| *value);
    let value = median(&added);
    Ok(Row {
        measure: "added time to the first token, p50".to_owned(),
        baseline: format!(
            "{:.2} ms direct, a bare proxy adds {:.2}",
            median(&firsts),
            median(&passing)
        ),
        subject: format!("{:.2} ms", median(&lasts)),
        value: format!("{value:.2} ms"),
        target: format!("≤ {FIRST_TOKEN_MAX} ms"),
        met: Some(value <= FIRST_TOKEN_MAX),
        cpu: String::new(),
    })
}

/// Milliseconds to the first bytes of a body, the median of so many calls one after the other.
fn first_bytes(address: SocketAddr, calls: usize) -> Result<f64> {
    let mut stream = connect(address)?;
    let mut speaker = Speaker::new(Script::Chat { is_stream: true }, 0, 1, machine::seed());
    let (mut request, mut times) = (Vec::new(), Vec::new());
    for _ in 0..calls {
        speaker.write(&mut request);
        let started = Instant::now();
        stream.write_all(&request)?;
        let mut bytes = Vec::new();
        let mut first = None;
        while !bytes.ends_with(b"0\r\n\r\n") {
            let mut piece = [0; 16 * 1024];
            let read = stream.read(&mut piece)?;
            if read == 0 {
                bail!("a stream broke off: {}", String::from_utf8_lossy(&bytes));
            }
            bytes.extend_from_slice(&piece[..read]);
            if first.is_none() && bytes.windows(5).any(|five| five == b"data:") {
                first = Some(started.elapsed());
            }
        }
        times.push(first.context("a stream without data")?.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(cases::median(&times, |value| *value))
}

/// Memory with many streams open, each of which has begun and not ended.
fn open_streams(bench: &Bench) -> Result<Row> {
    eprintln!("bench: {STREAMS} open streams");
    let mut streams = Vec::new();
    for index in 0..STREAMS {
        let mut stream = connect(bench.gateway.address)?;
        let mut request = Vec::new();
        let script = Script::HangingChat;
        Speaker::new(script, index as u64, 1, machine::seed()).write(&mut request);
        stream.write_all(&request)?;
        streams.push(stream);
    }
    for stream in &mut streams {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece)?;
        if !piece[..read].starts_with(b"HTTP/1.1 200") {
            bail!("a stream was not let in: {}", String::from_utf8_lossy(&piece[..read]));
        }
    }
    let memory = bench.gateway.memory()?;
    Ok(Row {
        measure: format!("resident memory, {STREAMS} open streams"),
        baseline: String::new(),
        subject: format!("{memory:.0} MiB"),
        value: String::new(),
        target: format!("< {MEMORY_MAX} MiB"),
        met: Some(memory < MEMORY_MAX),
        cpu: String::new(),
    })
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("failed to connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}
