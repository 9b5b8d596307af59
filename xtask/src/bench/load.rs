//! The load generator. Closed loop: each connection asks as soon as it was answered, for throughput. Open
//! loop: a fixed schedule, latency from the moment a request was due, so that a stalled server can't hide.
//!
//! Any answer but a success ends the run: a rate of refusals is not a rate.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{self, Answer};
use super::machine;
use super::script::{Script, Speaker};
use super::server::Server;

/// When a closed-loop run ends.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// Measure for a while after warming up.
    Time { warm: Duration, measure: Duration },
    /// So many requests, or what fits into the time.
    Count { requests: u64, time_max: Duration },
}

/// What a closed-loop run saw.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) elapsed: Duration,
    /// CPU of the server's process; a database server's own is not in it.
    pub(super) cpu_server: Duration,
    pub(super) cpu_generator: Duration,
}

impl Outcome {
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    pub(super) fn cpu_server_micros(&self) -> f64 {
        self.cpu_server.as_secs_f64() * 1e6 / self.requests as f64
    }

    pub(super) fn cpu_generator_micros(&self) -> f64 {
        self.cpu_generator.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// What the connections of one run share; they live on one thread.
struct Shared {
    done: Cell<u64>,
    left: Cell<u64>,
    stop: Cell<bool>,
    error: RefCell<Option<anyhow::Error>>,
}

pub(super) fn closed(
    server: &Server,
    script: Script,
    connections: usize,
    limit: Limit,
) -> Result<Outcome> {
    // One thread: the server is what should have the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, run_closed(server, script, connections, limit))
}

async fn run_closed(
    server: &Server,
    script: Script,
    connections: usize,
    limit: Limit,
) -> Result<Outcome> {
    let left = match limit {
        Limit::Time { .. } => u64::MAX,
        Limit::Count { requests, .. } => requests,
    };
    let shared = Rc::new(Shared {
        done: Cell::new(0),
        left: Cell::new(left),
        stop: Cell::new(false),
        error: RefCell::new(None),
    });
    let seed = machine::seed();
    // Everyone connects before anyone speaks, so that no request is answered before counting begins.
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(server.address).await.context("failed to connect")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mark = || -> Result<_> {
        Ok((Instant::now(), shared.done.get(), server.cpu()?, machine::cpu(std::process::id())?))
    };
    let mut begin = mark()?;
    let mut tasks = tokio::task::JoinSet::new();
    for (index, stream) in (0..).zip(streams) {
        let speaker = Speaker::new(script, index, connections as u64, seed);
        let shared = Rc::clone(&shared);
        tasks.spawn_local(async move {
            if let Err(error) = converse(&shared, stream, speaker).await {
                shared.stop.set(true);
                shared.error.borrow_mut().get_or_insert(error);
            }
        });
    }
    let end = match limit {
        Limit::Time { warm, measure } => {
            tokio::time::sleep(warm).await;
            begin = mark()?;
            tokio::time::sleep(measure).await;
            mark()?
        }
        Limit::Count { time_max, .. } => {
            let all = async { while tasks.join_next().await.is_some() {} };
            // Running out of time is an answer too: the caller sees the count.
            let _ = tokio::time::timeout(time_max, all).await;
            mark()?
        }
    };
    // Not joined: a server that hangs must not hang us.
    tasks.shutdown().await;
    if let Some(error) = shared.error.take() {
        return Err(error.context(format!("failed to run {script:?} on {}", server.name)));
    }
    Ok(Outcome {
        requests: end.1 - begin.1,
        elapsed: end.0 - begin.0,
        cpu_server: end.2.saturating_sub(begin.2),
        cpu_generator: end.3.saturating_sub(begin.3),
    })
}

async fn converse(shared: &Shared, mut stream: TcpStream, mut speaker: Speaker) -> Result<()> {
    let mut request = Vec::with_capacity(512);
    let mut bytes = Vec::with_capacity(4096);
    while !shared.stop.get() && shared.left.get() > 0 {
        if !speaker.write(&mut request) {
            break;
        }
        shared.left.set(shared.left.get() - 1);
        stream.write_all(&request).await?;
        bytes.clear();
        let answer = loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                bail!("the server closed a connection");
            }
            if let Some(answer) = client::parse(&bytes)? {
                break answer;
            }
        };
        expect_success(&request, &bytes, &answer)?;
        shared.done.set(shared.done.get() + 1);
    }
    Ok(())
}

fn expect_success(request: &[u8], bytes: &[u8], answer: &Answer) -> Result<()> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let line = String::from_utf8_lossy(request.split(|b| *b == b'\r').next().unwrap_or(request));
    let body = String::from_utf8_lossy(&bytes[answer.body..answer.end]);
    Err(anyhow!("`{line}` was answered {}: {body}", answer.status))
}

/// Latencies of a fixed schedule, in microseconds from when each request was due.
///
/// Threads that block, because a runtime's timers tick in whole milliseconds.
pub(super) fn open(
    address: SocketAddr,
    script: Script,
    per_second: u32,
    duration: Duration,
) -> Result<Histogram<u64>> {
    const THREADS: u64 = 32;
    let interval = Duration::from_secs(1) / per_second;
    let count = (duration.as_secs_f64() * f64::from(per_second)) as u64;
    let next = AtomicU64::new(0);
    let all = Mutex::new(histogram()?);
    let start = Instant::now() + Duration::from_millis(100);
    let seed = machine::seed();
    let worker = |index: u64| -> Result<()> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut speaker = Speaker::new(script, index, THREADS, seed);
        let mut latencies = histogram()?;
        let (mut request, mut bytes) = (Vec::new(), Vec::new());
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= count {
                break;
            }
            if !speaker.write(&mut request) {
                break;
            }
            let due = start + interval * u32::try_from(turn)?;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            stream.write_all(&request)?;
            let answer = read(&mut stream, &mut bytes)?;
            latencies.record(micros(due.elapsed()))?;
            expect_success(&request, &bytes, &answer)?;
        }
        let mut all = all.lock().map_err(|_| anyhow!("another thread failed"))?;
        Ok(all.add(&latencies)?)
    };
    std::thread::scope(|scope| {
        let worker = &worker;
        let workers: Vec<_> =
            (0..THREADS).map(|index| scope.spawn(move || worker(index))).collect();
        workers.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a load thread ended badly"))?
        })
    })
    .context("failed to run the open loop")?;
    all.into_inner().map_err(|_| anyhow!("a load thread ended badly"))
}

/// Sends one request and waits for its answer.
pub(super) fn first(address: SocketAddr, script: Script) -> Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut request, mut bytes) = (Vec::new(), Vec::new());
    Speaker::new(script, 0, 1, machine::seed()).write(&mut request);
    stream.write_all(&request)?;
    let answer = read(&mut stream, &mut bytes)?;
    expect_success(&request, &bytes, &answer)
}

fn read(stream: &mut std::net::TcpStream, bytes: &mut Vec<u8>) -> Result<Answer> {
    bytes.clear();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            bail!("the server closed a connection");
        }
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(answer) = client::parse(bytes)? {
            return Ok(answer);
        }
    }
}

pub(super) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new(3).context("failed to make a histogram")
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
