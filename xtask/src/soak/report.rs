//! What was seen, as tables.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::calls::Counts;
use super::cast::ROLES;
use super::stage::{POOR, RICH};
use super::trend::{Trend, trend};
use super::watch::Sample;
use super::{AWAY, LOOK_EVERY, REDIS_AWAY, STORE_AWAY, Soaked, WARM};

/// Buckets of a run whose lowest values make the floor.
const BUCKETS: f64 = 20.0;

/// A measure, its unit, how fast its floor may rise in a minute, and where it is found.
type Measure = (&'static str, &'static str, f64, fn(&Sample) -> Option<f64>);

const MEASURES: [Measure; 5] = [
    ("resident memory", " MiB", 1.0, |sample| Some(sample.memory_mib)),
    ("file descriptors", "", 1.0, |sample| Some(sample.descriptors)),
    ("threads", "", 0.5, |sample| Some(sample.threads)),
    ("open connections", "", 1.0, |sample| sample.connections),
    ("open holds", "", 1.0, |sample| sample.holds),
];

/// One measure of one process.
#[derive(Serialize)]
pub(super) struct Line {
    name: &'static str,
    measure: &'static str,
    unit: &'static str,
    begin: f64,
    end: f64,
    most: f64,
    per_minute: f64,
    bound: f64,
}

impl Line {
    pub(super) fn is_flat(&self) -> bool {
        self.per_minute <= self.bound
    }
}

/// The lines after the warm-up. While Postgres is away, and until callers are back, there is less to do: a
/// floor that falls then would make the line rise.
pub(super) fn lines(samples: &[Sample], warm: f64, length: f64) -> Vec<Line> {
    let mut names: Vec<&'static str> = Vec::new();
    for sample in samples {
        if !names.contains(&sample.name) {
            names.push(sample.name);
        }
    }
    let gone = length * STORE_AWAY;
    let back = gone + AWAY.as_secs_f64().min(length / 10.0) + length / BUCKETS;
    let mut lines = Vec::new();
    for name in names {
        for (measure, unit, bound, of) in MEASURES {
            let is_usual = |at: f64| at >= warm && !(gone..back).contains(&at);
            let of_process = samples.iter().filter(|s| s.name == name && is_usual(s.seconds));
            let points: Vec<(f64, f64)> =
                of_process.filter_map(|sample| Some((sample.seconds, of(sample)?))).collect();
            let Some(found) = trend(&points, length / BUCKETS) else { continue };
            let Trend { begin, end, most, per_minute } = found;
            lines.push(Line { name, measure, unit, begin, end, most, per_minute, bound });
        }
    }
    lines
}

pub(super) fn section(
    machine: &str,
    command: &str,
    seed: u64,
    length: Duration,
    soaked: &Soaked,
) -> String {
    let minutes = length.as_secs_f64() / 60.0;
    let away = AWAY.min(length / 10).as_secs();
    let mut text = format!(
        "## Soak\n\n{machine}. Command: `{command}`, seed {seed}. {minutes:.0} minutes of the calls below, at three \
         gateways and\na service behind the meter's layer. From minute {:.1} on Postgres is away for {away} s, from minute \
         {:.1} on Redis.\nEverything is looked at every {} s; a line is the straight one through the floor (the \
         lowest value of every {:.0} s)\nafter the first {:.0} s, without the time in which Postgres is away.\n\n",
        minutes * STORE_AWAY,
        minutes * REDIS_AWAY,
        LOOK_EVERY.as_secs(),
        length.as_secs_f64() / BUCKETS,
        length.as_secs_f64() * WARM,
    );
    text += "| process | measure | floor at first | at the end | most seen | trend a minute | bound | flat |\n";
    text += "|---|---|---|---|---|---|---|---|\n";
    for line in &soaked.lines {
        text += &format!(
            "| {} | {} | {:.1}{unit} | {:.1}{unit} | {:.0}{unit} | {:+.2} | ≤ {} | {} |\n",
            line.name,
            line.measure,
            line.begin,
            line.end,
            line.most,
            line.per_minute,
            line.bound,
            met(line.is_flat()),
            unit = line.unit,
        );
    }
    text += "\n| at the end | found | wanted | met |\n|---|---|---|---|\n";
    for finding in &soaked.findings {
        let value = finding.value.replace('|', "/");
        text += &format!(
            "| {} | {value} | {} | {} |\n",
            finding.what,
            finding.wanted,
            met(finding.is_met)
        );
    }
    text += "\n| callers | calls | answered 200 | other answers | no answer, or none waited for |\n|---|---|---|---|---|\n";
    let names = ROLES.iter().map(|role| role.name).chain([RICH, POOR]);
    let counts = soaked.field.counts();
    for name in names {
        let mut sum = Counts::default();
        counts.iter().filter(|((_, role), _)| *role == name).for_each(|(_, c)| sum.add(c));
        text += &row(name, &sum.statuses, sum.calls);
    }
    text
}

fn row(name: &str, statuses: &BTreeMap<u16, u64>, calls: u64) -> String {
    let name = match name {
        RICH => "metered, with room",
        POOR => "metered, without room",
        name => name,
    };
    let of = |status: u16| statuses.get(&status).copied().unwrap_or(0);
    let others = statuses.iter().filter(|(status, _)| ![0, 200].contains(*status));
    let others: Vec<String> = others.map(|(status, count)| format!("{count} × {status}")).collect();
    let others = if others.is_empty() { "–".to_owned() } else { others.join(", ") };
    format!("| {name} | {calls} | {} | {others} | {} |\n", of(200), of(0))
}

fn met(is: bool) -> &'static str {
    if is { "yes" } else { "**no**" }
}
