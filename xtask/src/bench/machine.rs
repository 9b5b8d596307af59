//! What the machine says of itself: processors, memory, a process's share of both, the bare disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::load;
use crate::{shell, workspace};

/// Date, commit, processors, memory, in a line.
pub(crate) fn describe() -> Result<String> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let mut git = Command::new("git");
    git.current_dir(workspace::root()).args(["describe", "--always", "--dirty", "--abbrev=10"]);
    let commit = shell::output(&mut git)?;
    let processors = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let memory = kibibytes(&memory, "MemTotal:").context("no MemTotal in /proc/meminfo")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    Ok(format!(
        "{date}, commit {}, {processors} cores, {:.0} GiB, load {load} before the run",
        commit.trim(),
        memory / 1024.0 / 1024.0
    ))
}

/// CPU time of a process, its threads and its kernel work included.
pub(super) fn cpu(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
        .with_context(|| format!("failed to read the CPU time of process {process}"))?;
    let ticks = ticks(&stat).context("failed to read /proc/PID/stat")?;
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_second()))
}

/// utime + stime; the name before them may hold anything, so count from its closing bracket.
pub(super) fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let said = shell::output(Command::new("getconf").arg("CLK_TCK")).unwrap_or_default();
        // 100 on every Linux that still counts in ticks.
        said.trim().parse().unwrap_or(100.0)
    })
}

/// Resident memory of a process in MiB.
pub(crate) fn memory(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("failed to read the memory of process {process}"))?;
    Ok(kibibytes(&status, "VmRSS:").context("no VmRSS in /proc/PID/status")? / 1024.0)
}

fn kibibytes(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().split(' ').next()?.parse().ok()
}

/// A seed no other run had, for request ids that must be new.
pub(crate) fn seed() -> u64 {
    let seed = jiff::Timestamp::now().as_nanosecond() as u64;
    seed ^ u64::from(std::process::id()).rotate_left(48)
}

/// How long an append of 8 KiB and its fdatasync take at a given rate, in microseconds.
///
/// Only the calls count, not the wait for a late turn: the stricter thing to be compared with.
pub(super) fn raw_disk(
    folder: &Path,
    per_second: u32,
    duration: Duration,
) -> Result<Histogram<u64>> {
    let path = folder.join("raw");
    let mut file = File::create(&path)?;
    let page = [0x5a; 8192];
    let mut latencies = load::histogram()?;
    let interval = Duration::from_secs(1) / per_second;
    let start = Instant::now();
    for turn in 0.. {
        let due = start + interval * turn;
        if due - start > duration {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        // A disk too slow for the rate runs as fast as it can, for the time given.
        if begin - start > duration {
            break;
        }
        file.write_all(&page)?;
        file.sync_data()?;
        latencies.record(load::micros(begin.elapsed()))?;
    }
    std::fs::remove_file(&path)?;
    Ok(latencies)
}
