//! The soak: the real program for minutes, under calls of every kind, with its store and Redis gone in between.
//!
//! Owns: what happens when, and the judgement. Trusts no number of the program itself where another can be had:
//! memory and descriptors are the kernel's, what was served is the vendor's, and the ledger is read when all
//! processes have ended.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;

use crate::bench::{self, machine};
use crate::services;
use crate::workspace::{self, Folder};
use calls::{Field, Target};
use judge::{Finding, finding};
use stage::{POOR, RICH, Stage};
use watch::Sample;

mod calls;
mod cast;
mod judge;
mod outage;
mod report;
mod stage;
#[cfg(test)]
mod tests;
mod trend;
mod watch;

/// How long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Minutes of load.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Seed of the callers, to repeat a run; else one of its own, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the tables alone, and leave the documentation as it is.
    #[arg(long)]
    dry: bool,
}

/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a store or Redis stays away, if the run is long enough.
const AWAY: Duration = Duration::from_secs(60);
/// How long what the load has left behind may take to end: its drains, and the spool.
const QUIET: Duration = Duration::from_secs(60);

/// When what happens, in parts of the whole.
const WARM: f64 = 0.1;
const STORE_AWAY: f64 = 0.3;
const REDIS_AWAY: f64 = 0.55;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // Callers in a debug build would soak themselves.
    if cfg!(debug_assertions) {
        return bench::again_in_release();
    }
    stage::build()?;
    let machine = machine::describe()?;
    let seed = arguments.seed.unwrap_or_else(machine::seed);
    println!("soak: seed {seed}");
    let folder = Folder::fresh("soak")?;
    let postgres = services::Postgres::find_or_start()?;
    let database = postgres.database("soak")?;
    let url = database.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{mark}sslmode=disable");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let length = Duration::from_secs_f64(60.0 * arguments.minutes);
    let soaked = runtime.block_on(soak(&folder.0, &url, length, seed))?;
    runtime.shutdown_background();
    let section = report::section(&machine, &bench::command_line(), seed, length, &soaked);
    println!("{section}");
    let figures = workspace::target()?.join("soak.json");
    std::fs::write(&figures, serde_json::to_string(&soaked.figures())?)?;
    println!("soak: every figure is in {}", figures.display());
    if !arguments.dry {
        bench::report::write("soak", &section)?;
    }
    match soaked.unmet() {
        0 => Ok(()),
        unmet => {
            bail!("the soak has {unmet} findings that are not as wanted: see the tables above")
        }
    }
}

/// All that was seen.
struct Soaked {
    samples: Vec<Sample>,
    lines: Vec<report::Line>,
    findings: Vec<Finding>,
    field: Arc<Field>,
}

impl Soaked {
    fn unmet(&self) -> usize {
        let lines = self.lines.iter().filter(|line| !line.is_flat()).count();
        lines + self.findings.iter().filter(|finding| !finding.is_met).count()
    }

    fn figures(&self) -> serde_json::Value {
        serde_json::json!({
            "lines": self.lines, "findings": self.findings, "samples": self.samples,
        })
    }
}

async fn soak(folder: &Path, postgres: &str, length: Duration, seed: u64) -> Result<Soaked> {
    let mut stage = Stage::set(folder, postgres).await?;
    let field = Arc::new(Field::default());
    let mut callers = JoinSet::new();
    for gateway in &stage.gateways {
        let needs_store = gateway.is_cut && !gateway.is_open;
        let target = Target { name: gateway.name, address: gateway.address, needs_store };
        calls::start(&mut callers, &field, target, seed ^ u64::from(target.address.port()));
    }
    calls::start_metered(&mut callers, &field, stage.service, RICH, &[200]);
    calls::start_metered(&mut callers, &field, stage.service, POOR, &[429]);
    let samples = watch_on(&mut stage, &field, length).await?;
    field.stop();
    while callers.join_next().await.is_some() {}
    let mut findings = calm(&stage).await?;
    let journal = judge::journal(&stage).await?;
    findings.extend(metered(&stage, &field).await?);
    let ended = stage.end();
    let said = ended.as_ref().map_or_else(|error| format!("{error:#}"), |()| "well".to_owned());
    findings.push(finding("every process has ended", said, "well", ended.is_ok()));
    findings.extend(judge::ledgers(&stage, &journal)?);
    findings.extend(answers(&field));
    let lines = report::lines(&samples, length.as_secs_f64() * WARM, length.as_secs_f64());
    Ok(Soaked { samples, lines, findings, field })
}

/// Looks at everything again and again while the store and Redis go and come.
async fn watch_on(stage: &mut Stage, field: &Field, length: Duration) -> Result<Vec<Sample>> {
    let away = AWAY.min(length / 10);
    let at = |part: f64| length.mul_f64(part);
    let mut plan = vec![
        (at(STORE_AWAY), Happens::StoreGoes),
        (at(STORE_AWAY) + away, Happens::StoreComes),
        (at(REDIS_AWAY), Happens::RedisGoes),
        (at(REDIS_AWAY) + away, Happens::RedisComes),
    ]
    .into_iter()
    .peekable();
    let watched = stage.watched();
    let mut samples = Vec::new();
    let began = Instant::now();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    while began.elapsed() < length {
        ticks.tick().await;
        while let Some((_, happens)) = plan.next_if(|(when, _)| *when <= began.elapsed()) {
            eprintln!("soak: {:.0} s: {happens:?}", began.elapsed().as_secs_f64());
            match happens {
                Happens::StoreGoes => {
                    field.store_is_down(true);
                    stage.way.cut();
                }
                Happens::StoreComes => {
                    stage.way.mend();
                    field.store_is_down(false);
                }
                Happens::RedisGoes => stage.kill_redis(),
                Happens::RedisComes => stage.start_redis()?,
            }
        }
        for process in &watched {
            samples.push(process.look(began.elapsed().as_secs_f64()).await?);
        }
    }
    Ok(samples)
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    StoreGoes,
    StoreComes,
    RedisGoes,
    RedisComes,
}

/// Waits until nothing is in flight any more, and tells what is left all the same.
async fn calm(stage: &Stage) -> Result<Vec<Finding>> {
    let began = Instant::now();
    loop {
        let mut last = Vec::new();
        for process in stage.watched() {
            last.push(process.look(0.0).await?);
        }
        // One connection is the one that asks.
        let is_calm = |sample: &Sample| {
            sample.connections.is_none_or(|open| open <= 1.0)
                && sample.calls_in_flight.is_none_or(|calls| calls == 0.0)
                && sample.spool_records.is_none_or(|records| records == 0.0)
                && (sample.connections.is_none() || sample.holds == Some(0.0))
        };
        let is_over = began.elapsed() > QUIET;
        if !is_over && !last.iter().all(is_calm) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let mut findings = vec![finding(
            "until nothing was in flight any more",
            format!("{:.0} s", began.elapsed().as_secs_f64()),
            format!("≤ {} s", QUIET.as_secs()),
            !is_over,
        )];
        for sample in last.iter().filter(|sample| sample.connections.is_some()) {
            let left = |value: Option<f64>| value.map_or("unknown".to_owned(), |v| v.to_string());
            let text = format!(
                "{} holds, {} spooled, {} in flight",
                left(sample.holds),
                left(sample.spool_records),
                left(sample.calls_in_flight)
            );
            let what = format!("{}: left at the end", sample.name);
            findings.push(finding(what, text, "0, 0, 0", is_calm(sample)));
        }
        return Ok(findings);
    }
}

/// Every call that the metered service has answered is charged, and once.
async fn metered(stage: &Stage, field: &Field) -> Result<Vec<Finding>> {
    let first = stage.gateways.first().context("no gateway")?;
    let path = format!("/api/v1/usage?tenant_id={RICH}");
    let began = Instant::now();
    let served = field.counts().get(&("meter", RICH)).map_or(0, |counts| counts.calls);
    loop {
        let report: serde_json::Value =
            serde_json::from_str(&watch::ask(first.address, &path).await?)?;
        let charged = report["rows"][0]["requests"].as_u64().unwrap_or(0);
        if charged == served || began.elapsed() > QUIET {
            let what = "calls of the metered service charged";
            let is_met = charged == served && served > 0;
            return Ok(vec![finding(what, charged, served.to_string(), is_met)]);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Nobody was forgotten, and nobody was told anything that nothing excuses.
fn answers(field: &Field) -> Vec<Finding> {
    let counts = field.counts();
    let sum = |of: fn(&calls::Counts) -> u64| counts.values().map(of).sum::<u64>();
    let (forgotten, wrong) = (sum(|c| c.forgotten), sum(|c| c.wrong));
    let wrongs = field.wrongs();
    let first = wrongs.iter().next().map(|((gateway, role), said)| {
        let said: String = said.chars().filter(|sign| !sign.is_control()).take(200).collect();
        format!("{wrong}; {gateway}, {role}: {said}")
    });
    vec![
        finding(
            "callers whom nobody answered and nobody sent away",
            forgotten,
            "0",
            forgotten == 0,
        ),
        finding(
            "wrong answers that nothing excuses",
            first.unwrap_or_else(|| wrong.to_string()),
            "0",
            wrong == 0,
        ),
    ]
}
