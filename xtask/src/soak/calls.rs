//! Calls as they are made: one after the other by each of many callers, and what came of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::cast::{Act, ROLES, Role, somebody};
use crate::bench::client;
use crate::upstream::mixed;

/// Callers of one gateway at a time.
const CALLERS: u64 = 20;
/// Longer than any limit that is set: who waits so long was forgotten.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the store's return may still be felt.
const AFTERMATH: Duration = Duration::from_secs(10);

/// What came of the calls of one role.
#[derive(Default, Clone)]
pub(super) struct Counts {
    pub(super) calls: u64,
    /// By status; 0 where there was none, or no end.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Other answers than 200 that nothing excuses.
    pub(super) wrong: u64,
    /// Callers whom nobody answered, and nobody sent away.
    pub(super) forgotten: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.wrong += other.wrong;
        self.forgotten += other.forgotten;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }
}

/// What all callers share.
#[derive(Default)]
pub(super) struct Field {
    stop: AtomicBool,
    is_store_down: AtomicBool,
    /// Until when a store that came back excuses what goes wrong.
    excused_until: Mutex<Option<Instant>>,
    /// By gateway and role.
    counts: Mutex<BTreeMap<(&'static str, &'static str), Counts>>,
    /// The first answer of each role that was wrong.
    wrongs: Mutex<BTreeMap<(&'static str, &'static str), String>>,
}

impl Field {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn store_is_down(&self, is_down: bool) {
        self.is_store_down.store(is_down, Ordering::SeqCst);
        if !is_down {
            let mut until = self.excused_until.lock().unwrap_or_else(PoisonError::into_inner);
            *until = Some(Instant::now() + AFTERMATH);
        }
    }

    fn is_excused(&self) -> bool {
        let until = *self.excused_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_store_down.load(Ordering::SeqCst)
            || until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn counts(&self) -> BTreeMap<(&'static str, &'static str), Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn wrongs(&self) -> BTreeMap<(&'static str, &'static str), String> {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, gateway: &Target, role: &'static str, came: Came, is_good: bool) {
        let excused = gateway.needs_store && self.is_excused();
        let place = (gateway.name, role);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(place).or_default();
        counts.calls += 1;
        *counts.statuses.entry(came.status).or_default() += 1;
        counts.forgotten += u64::from(came.is_forgotten);
        if is_good && came.status != 200 && !excused {
            counts.wrong += 1;
            let mut wrongs = self.wrongs.lock().unwrap_or_else(PoisonError::into_inner);
            wrongs.entry(place).or_insert(came.said);
        }
    }
}

/// A gateway to be called.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Whether it may say no while the store is down.
    pub(super) needs_store: bool,
}

/// What one call has come to.
struct Came {
    status: u16,
    is_forgotten: bool,
    /// The beginning of it.
    said: String,
}

/// Calls until told to stop.
pub(super) fn start(callers: &mut JoinSet<()>, field: &Arc<Field>, target: Target, seed: u64) {
    for number in 0..CALLERS {
        let field = Arc::clone(field);
        callers.spawn(async move {
            let mut random = seed ^ mixed(number);
            while !field.stop.load(Ordering::SeqCst) {
                random = mixed(random);
                let Some(role) = ROLES.get(somebody(random >> 20)) else { continue };
                for came in call(target.address, role, random).await {
                    field.note(&target, role.name, came, role.is_good);
                }
                sleep(Duration::from_millis(20 + random % 160)).await;
            }
        });
    }
}

async fn call(address: SocketAddr, role: &Role, random: u64) -> Vec<Came> {
    let mut said = Vec::new();
    let talking = timeout(PATIENCE, talk(address, role, random, &mut said)).await;
    let is_forgotten = talking.is_err();
    let times = if role.act == Act::Keeps { 3 } else { 1 };
    let mut came: Vec<Came> = match talking {
        Ok(Ok(answers)) => answers.into_iter().map(|status| Came::of(status, &said)).collect(),
        Ok(Err(error)) => vec![Came { said: error.to_string(), ..Came::of(0, &said) }],
        Err(_) => vec![Came::of(0, b"no answer, and no end")],
    };
    if let Some(first) = came.first_mut() {
        first.is_forgotten = is_forgotten;
    }
    debug_assert!(came.len() <= times, "one answer for each call");
    came
}

impl Came {
    fn of(status: u16, said: &[u8]) -> Self {
        let beginning = String::from_utf8_lossy(&said[..said.len().min(400)]).into_owned();
        Self { status, is_forgotten: false, said: beginning }
    }
}

/// The statuses of what was answered.
async fn talk(
    address: SocketAddr,
    role: &Role,
    random: u64,
    said: &mut Vec<u8>,
) -> std::io::Result<Vec<u16>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let asked = role.asks(random);
    let whole = [asked.head.as_bytes(), asked.body.as_bytes()].concat();
    match role.act {
        Act::Keeps => {
            let mut statuses = Vec::new();
            for _ in 0..3 {
                stream.write_all(&whole).await?;
                said.clear();
                statuses.push(one_answer(&mut stream, said).await?);
            }
            return Ok(statuses);
        }
        Act::Reads => {
            stream.write_all(&whole).await?;
            // An answer without an end is left by its caller.
            let most = Duration::from_secs(10);
            let _ = timeout(most, to_the_end(&mut stream, said, Duration::ZERO)).await;
        }
        Act::ReadsSlowly => {
            stream.write_all(&whole).await?;
            to_the_end(&mut stream, said, Duration::from_millis(50)).await?;
        }
        Act::HangsUp => {
            stream.write_all(&whole).await?;
            stream.read_buf(said).await?;
        }
        Act::HangsUpEarly => {
            stream.write_all(&whole).await?;
            sleep(Duration::from_millis(50)).await;
        }
        Act::HalfCloses => {
            stream.write_all(&whole).await?;
            stream.shutdown().await?;
            to_the_end(&mut stream, said, Duration::ZERO).await?;
        }
        Act::SlowHead => trickle(&mut stream, b"", asked.head.as_bytes(), said).await?,
        Act::SlowBody => {
            trickle(&mut stream, asked.head.as_bytes(), asked.body.as_bytes(), said).await?;
        }
    }
    Ok(vec![status(said)])
}

/// Sends some bytes at once and others one by one, for as long as anybody listens.
async fn trickle(
    stream: &mut TcpStream,
    first: &[u8],
    rest: &[u8],
    said: &mut Vec<u8>,
) -> std::io::Result<()> {
    stream.write_all(first).await?;
    let (mut reading, mut writing) = stream.split();
    let heard = async {
        // What ends it is the other side, and how it does is told by what it has said.
        while reading.read_buf(said).await.is_ok_and(|read| read > 0) {}
    };
    let sent = async {
        for byte in rest {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(300)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = heard => {}
        () = sent => {}
    }
    Ok(())
}

async fn one_answer(stream: &mut TcpStream, said: &mut Vec<u8>) -> std::io::Result<u16> {
    loop {
        if let Some(answer) = client::parse(said).map_err(std::io::Error::other)? {
            return Ok(answer.status);
        }
        if stream.read_buf(said).await? == 0 {
            return Err(std::io::Error::other("the connection ended before an answer"));
        }
    }
}

/// Reads to the end and keeps the beginning.
async fn to_the_end(
    stream: &mut TcpStream,
    said: &mut Vec<u8>,
    pause: Duration,
) -> std::io::Result<()> {
    let mut piece = vec![0; if pause.is_zero() { 64 * 1024 } else { 512 }];
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        let room = 4096_usize.saturating_sub(said.len());
        said.extend_from_slice(&piece[..read.min(room)]);
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

fn status(said: &[u8]) -> u16 {
    let digits = said.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Calls a service behind the meter's layer until told to stop: who pays, and how many were served.
pub(super) fn start_metered(
    callers: &mut JoinSet<()>,
    field: &Arc<Field>,
    address: SocketAddr,
    tenant: &'static str,
    expected: &'static [u16],
) {
    for _ in 0..4 {
        let field = Arc::clone(field);
        let target = Target { name: "meter", address, needs_store: false };
        callers.spawn(async move {
            while !field.stop.load(Ordering::SeqCst) {
                let came = match timeout(PATIENCE, ask_service(address, tenant)).await {
                    Ok(Ok((status, said))) => Came::of(status, &said),
                    Ok(Err(error)) => Came { said: error.to_string(), ..Came::of(0, b"") },
                    Err(_) => Came { is_forgotten: true, ..Came::of(0, b"no answer") },
                };
                let is_wrong = !expected.contains(&came.status);
                // Counted as it came; a status that is expected is as good as 200.
                field.note(&target, tenant, came, is_wrong);
                sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

async fn ask_service(address: SocketAddr, tenant: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST /summaries HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: {tenant}\r\n\
         connection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    to_the_end(&mut stream, &mut said, Duration::ZERO).await?;
    Ok((status(&said), said))
}
