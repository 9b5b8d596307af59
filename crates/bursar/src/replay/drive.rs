//! Sends calls, so many at a time, and counts what comes of them.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use focus::TenantId;
use indicatif::{ProgressBar, ProgressStyle};
use money::Money;
use tokio::{task::JoinSet, time::Instant};

use super::{Answer, Target, plan::Call};

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as answers come.
    Most,
    /// At the trace's own times, so many times as fast.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Most);
        }
        let times = text.strip_suffix('x').and_then(|times| times.parse::<f64>().ok());
        match times.filter(|times| times.is_finite() && *times > 0.0) {
            Some(times) => Ok(Self::Times(times)),
            None => Err(format!("{text:?} is neither max nor a number of times, as 1x or 10x")),
        }
    }
}

/// What came of one tenant's calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls that were reserved and settled.
    pub accepted: u64,
    /// Those among them that an earlier run had done.
    pub replayed: u64,
    /// Calls that did not fit.
    pub refused: u64,
    /// Calls without an answer.
    pub failed: u64,
    /// The cost of the accepted calls.
    pub spent: Money,
    /// The cost of those that were not replayed.
    pub fresh: Money,
}

impl Tally {
    fn count(&mut self, answer: &Answer) -> Option<()> {
        match answer {
            Answer::Accepted { cost, replayed } => {
                self.accepted += 1;
                self.replayed += u64::from(*replayed);
                self.spent = self.spent.checked_add(*cost)?;
                if !replayed {
                    self.fresh = self.fresh.checked_add(*cost)?;
                }
            }
            Answer::Refused => self.refused += 1,
            Answer::Failed(_) => self.failed += 1,
        }
        Some(())
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) -> Option<()> {
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.refused += other.refused;
        self.failed += other.failed;
        self.spent = self.spent.checked_add(other.spent)?;
        self.fresh = self.fresh.checked_add(other.fresh)?;
        Some(())
    }
}

/// What came of all calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Driven {
    /// By tenant.
    pub tallies: BTreeMap<TenantId, Tally>,
    /// Lines without an answer, and why; the first few.
    pub failures: Vec<(u64, String)>,
}

const FAILURES_MOST: usize = 20;

/// Sends all calls.
pub async fn drive(
    target: &Target,
    calls: Vec<Call>,
    concurrency: usize,
    speed: Speed,
) -> anyhow::Result<Driven> {
    let calls: Arc<[Call]> = calls.into();
    let bar = ProgressBar::new(calls.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} requests, {per_sec}, {eta} left",
    )?);
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency.max(1) {
        let (target, calls, next) = (target.clone(), calls.clone(), next.clone());
        workers.spawn(work(target, calls, next, start, speed, bar.clone()));
    }
    let mut driven = Driven::default();
    while let Some(worker) = workers.join_next().await {
        let part = worker.context("a worker has failed")??;
        for (tenant, tally) in part.tallies {
            let whole = driven.tallies.entry(tenant).or_default();
            whole.add(&tally).context("the trace costs more than can be counted")?;
        }
        driven.failures.extend(part.failures);
    }
    bar.finish_and_clear();
    driven.failures.sort_unstable();
    driven.failures.truncate(FAILURES_MOST);
    Ok(driven)
}

async fn work(
    target: Target,
    calls: Arc<[Call]>,
    next: Arc<AtomicUsize>,
    start: Instant,
    speed: Speed,
    bar: ProgressBar,
) -> anyhow::Result<Driven> {
    let first = calls.iter().find_map(|call| call.at).unwrap_or_default();
    let mut driven = Driven::default();
    while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
        if let (Speed::Times(times), Some(at)) = (speed, call.at) {
            let micros = at.saturating_sub(first).max(0);
            tokio::time::sleep_until(start + due(micros, times)).await;
        }
        let answer = target.send(call).await;
        let tally = driven.tallies.entry(call.tenant.clone()).or_default();
        tally.count(&answer).context("the trace costs more than can be counted")?;
        if let Answer::Failed(reason) = answer
            && driven.failures.len() < FAILURES_MOST
        {
            driven.failures.push((call.line, reason));
        }
        bar.inc(1);
    }
    Ok(driven)
}

fn due(micros: i64, times: f64) -> Duration {
    Duration::try_from_secs_f64(micros as f64 / 1e6 / times).unwrap_or(Duration::ZERO)
}
