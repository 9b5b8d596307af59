//! The cases: each one promise, its baseline and its target.

use std::time::Duration;

use anyhow::{Result, bail};

use super::load::{self, Limit, Outcome};
use super::report::Row;
use super::script::Script;
use super::server::Server;
use super::{CONNECTIONS, Case, ROUNDS, Setting, machine};

/// Rate of the latency case.
const OPEN_PER_SECOND: u32 = 500;
const TENANTS_MANY: u64 = 100_000;
/// Long enough for any machine to set up a case.
const SET_UP_MAX: Duration = Duration::from_secs(600);

/// Every case of the budget service.
pub(super) fn budget(setting: &Setting) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let bare = Server::bare(setting)?;
    let sqlite = Server::sqlite(setting, "sqlite")?;
    set_limits(&sqlite, 1_000)?;
    let hot = Script::Pairs { tenants: 1 };
    let spread = Script::Pairs { tenants: 1_000 };
    let check = Script::Check { tenants: 1 };
    for (case, name, script, target) in [
        (Case::Check, "check", check, 0.6),
        (Case::Hot, "reserve + settle, SQLite, one budget", hot, 0.25),
        (Case::Spread, "reserve + settle, SQLite, 1,000 tenants", spread, 0.25),
    ] {
        if setting.wants(case) {
            rows.push(ratio(setting, name, script, &bare, &sqlite, target)?);
        }
    }
    // Before Postgres, which goes on writing to the same disk when its own turn is over.
    if setting.wants(Case::Latency) {
        rows.push(latency(setting, &sqlite)?);
    }
    if setting.wants(Case::Postgres) {
        let postgres = Server::postgres(setting)?;
        set_limits(&postgres, 1)?;
        let name = "reserve + settle, Postgres, one budget";
        rows.push(ratio(setting, name, hot, &bare, &postgres, 0.12)?);
    }
    drop((bare, sqlite));
    if setting.wants(Case::Tenants) {
        rows.extend(many_tenants(setting)?);
    }
    if setting.wants(Case::Ledger) {
        rows.extend(ledger(setting)?);
    }
    Ok(rows)
}

/// What the machine does with the baseline and the bare disk.
pub(super) fn baseline(setting: &Setting) -> Result<Vec<String>> {
    let bare = Server::bare(setting)?;
    let mut lines = Vec::new();
    for (name, script) in [
        ("check", Script::Check { tenants: 1 }),
        ("reserve + settle", Script::Pairs { tenants: 1 }),
    ] {
        let outcomes = (0..ROUNDS).map(|_| round(setting, script, &bare));
        let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
        lines.push(format!(
            "{name}: {:.0} requests/s, {:.1} µs CPU a request, generator {:.1} µs",
            median(&outcomes, Outcome::per_second),
            median(&outcomes, Outcome::cpu_server_micros),
            median(&outcomes, Outcome::cpu_generator_micros)
        ));
    }
    let script = Script::Reserve { tenants: 1 };
    let open = load::open(bare.address, script, OPEN_PER_SECOND, setting.measure)?;
    let raw = machine::raw_disk(&setting.folder, OPEN_PER_SECOND, setting.measure)?;
    for (name, histogram) in [("reserve, open loop", open), ("8 KiB append + fdatasync", raw)] {
        lines.push(format!(
            "{name} at {OPEN_PER_SECOND}/s: p50 {} µs, p99 {} µs, {} done",
            histogram.value_at_quantile(0.5),
            histogram.value_at_quantile(0.99),
            histogram.len()
        ));
    }
    Ok(lines)
}

/// Plain and streamed calls through a gateway, then those of the service's own API.
pub(super) fn exercise(setting: &Setting) -> Result<()> {
    let vendor = Server::vendor(setting, false)?;
    let bursar = Server::gateway(setting, &vendor)?;
    set_limits(&bursar, 1_000)?;
    for script in [
        Script::Chat { is_stream: false },
        Script::Chat { is_stream: true },
        Script::Pairs { tenants: 1 },
        Script::Pairs { tenants: 1_000 },
        Script::Check { tenants: 1 },
    ] {
        eprintln!("exercise: {script:?}");
        round(setting, script, &bursar)?;
    }
    bursar.stop()
}

fn set_limits(server: &Server, tenants: u64) -> Result<()> {
    let limit = Limit::Count { requests: tenants, time_max: SET_UP_MAX };
    let connections = CONNECTIONS.min(tenants as usize);
    let done = load::closed(server, Script::SetEach { tenants }, connections, limit)?.requests;
    if done < tenants {
        bail!("only {done} of {tenants} limits were set in {SET_UP_MAX:?}");
    }
    Ok(())
}

pub(super) fn round(setting: &Setting, script: Script, server: &Server) -> Result<Outcome> {
    let limit = Limit::Time { warm: setting.warm, measure: setting.measure };
    load::closed(server, script, CONNECTIONS, limit)
}

/// Throughput against the baseline, round by round.
fn ratio(
    setting: &Setting,
    name: &str,
    script: Script,
    bare: &Server,
    subject: &Server,
    target: f64,
) -> Result<Row> {
    eprintln!("bench: {name}");
    let (mut bares, mut subjects) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bares.push(round(setting, script, bare)?);
        subjects.push(round(setting, script, subject)?);
    }
    let per_second = |outcomes: &[Outcome]| median(outcomes, Outcome::per_second);
    let value = per_second(&subjects) / per_second(&bares);
    Ok(Row {
        measure: format!("{name}, {CONNECTIONS} connections"),
        baseline: format!("{:.0}/s bare axum", per_second(&bares)),
        subject: format!("{:.0}/s", per_second(&subjects)),
        value: format!("{value:.2} of bare"),
        target: format!("≥ {target}"),
        met: Some(value >= target),
        cpu: format!(
            "{:.1} (bare {:.1}, generator {:.1})",
            median(&subjects, Outcome::cpu_server_micros),
            median(&bares, Outcome::cpu_server_micros),
            median(&subjects, Outcome::cpu_generator_micros)
        ),
    })
}

/// The tail of a durable hold against the tail of the bare disk.
fn latency(setting: &Setting, server: &Server) -> Result<Row> {
    eprintln!("bench: latency of a durable reserve");
    const TIMES_MAX: f64 = 3.0;
    let p99 = |histogram: hdrhistogram::Histogram<u64>| histogram.value_at_quantile(0.99) as f64;
    let script = Script::Reserve { tenants: 1 };
    let duration = setting.measure.max(Duration::from_secs(5));
    let (mut raws, mut subjects) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raws.push(p99(machine::raw_disk(&setting.folder, OPEN_PER_SECOND, duration)?));
        subjects.push(p99(load::open(server.address, script, OPEN_PER_SECOND, duration)?));
    }
    let (raw, subject) = (median(&raws, |v| *v), median(&subjects, |v| *v));
    Ok(Row {
        measure: format!("p99 of a durable reserve, SQLite, open loop at {OPEN_PER_SECOND}/s"),
        baseline: format!("{:.2} ms fdatasync of 8 KiB", raw / 1e3),
        subject: format!("{:.2} ms", subject / 1e3),
        value: format!("{:.1} times the disk", subject / raw),
        target: format!("≤ {TIMES_MAX}"),
        met: Some(subject <= TIMES_MAX * raw),
        cpu: String::new(),
    })
}

/// Memory idle and with many budgets, then CPU per request as tenants grow in that same database.
fn many_tenants(setting: &Setting) -> Result<Vec<Row>> {
    let server = Server::sqlite(setting, "many")?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = server.memory()?;
    eprintln!("bench: {TENANTS_MANY} budgets");
    set_limits(&server, TENANTS_MANY)?;
    let limit = Limit::Count { requests: TENANTS_MANY, time_max: SET_UP_MAX };
    let touch = Script::CheckEach { tenants: TENANTS_MANY };
    let touched = load::closed(&server, touch, CONNECTIONS, limit)?.requests;
    if touched < TENANTS_MANY {
        bail!("only {touched} of {TENANTS_MANY} budgets were touched in {SET_UP_MAX:?}");
    }
    let full = server.memory()?;
    let mut rows = vec![
        memory("resident memory, idle", idle, 64.0),
        memory("resident memory, 100,000 budgets touched", full, 256.0),
    ];
    let counts = [10, 1_000, TENANTS_MANY];
    let mut outcomes = counts.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (tenants, outcomes) in counts.into_iter().zip(&mut outcomes) {
            outcomes.push(round(setting, Script::Pairs { tenants }, &server)?);
        }
    }
    let first = median(&outcomes[0], Outcome::cpu_server_micros);
    for (tenants, outcomes) in counts.into_iter().zip(&outcomes) {
        rows.push(growth(&format!("CPU per durable request, {tenants} tenants"), first, outcomes));
    }
    Ok(rows)
}

/// CPU per request as the ledger grows, filled through the same door.
fn ledger(setting: &Setting) -> Result<Vec<Row>> {
    let mut server = Server::sqlite(setting, "ledger")?;
    set_limits(&server, 1_000)?;
    let script = Script::Pairs { tenants: 1_000 };
    let mut entries = 0;
    let mut first = None;
    let mut rows = Vec::new();
    for &wanted in &setting.ledger {
        eprintln!("bench: filling the ledger up to {wanted} entries");
        let missing = wanted.saturating_sub(entries);
        let limit = Limit::Count { requests: missing, time_max: setting.fill_max };
        let filled = load::closed(&server, script, CONNECTIONS, limit)?.requests;
        entries += filled;
        let mut name = format!("CPU per durable request, ledger of {entries} calls");
        if filled < missing {
            let minutes = setting.fill_max.as_secs() / 60;
            name += &format!(" ({wanted} wanted, filling stopped after {minutes} min)");
        }
        let mut outcomes = Vec::new();
        for _ in 0..ROUNDS {
            outcomes.push(round(setting, script, &server)?);
        }
        entries += outcomes.iter().map(|outcome| outcome.requests).sum::<u64>();
        let first = *first.get_or_insert(median(&outcomes, Outcome::cpu_server_micros));
        rows.push(growth(&name, first, &outcomes));
        let mut restarts = Vec::new();
        for _ in 0..ROUNDS {
            let (restarted, took) = server.killed_and_restarted(setting)?;
            server = restarted;
            restarts.push(took.as_secs_f64());
        }
        rows.push(restart(entries, median(&restarts, |seconds| *seconds)));
        if filled < missing {
            break;
        }
    }
    Ok(rows)
}

fn memory(name: &str, mebibytes: f64, max: f64) -> Row {
    Row {
        measure: name.to_owned(),
        baseline: String::new(),
        subject: format!("{mebibytes:.0} MiB"),
        value: String::new(),
        target: format!("< {max} MiB"),
        met: Some(mebibytes < max),
        cpu: String::new(),
    }
}

/// From SIGKILL back to the first answered check.
fn restart(calls: u64, seconds: f64) -> Row {
    const SECONDS_MAX: f64 = 1.0;
    Row {
        measure: format!("restart after SIGKILL, ledger of {calls} calls"),
        baseline: String::new(),
        subject: format!("{:.0} ms", seconds * 1e3),
        value: String::new(),
        target: format!("< {SECONDS_MAX} s"),
        met: Some(seconds < SECONDS_MAX),
        cpu: String::new(),
    }
}

/// CPU against that of the first size.
fn growth(name: &str, first: f64, outcomes: &[Outcome]) -> Row {
    const TIMES_MAX: f64 = 1.2;
    let micros = median(outcomes, Outcome::cpu_server_micros);
    Row {
        measure: name.to_owned(),
        baseline: String::new(),
        subject: format!("{:.0}/s", median(outcomes, Outcome::per_second)),
        value: format!("{:.2} times the first", micros / first),
        target: format!("≤ {TIMES_MAX}"),
        met: Some(micros <= TIMES_MAX * first),
        cpu: format!("{micros:.1}"),
    }
}

/// The middle of an odd number of rounds.
pub(super) fn median<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
