//! What the store counts, and under which names: an interface, told in
//! `docs/reference/metrics.md`.

use std::{sync::LazyLock, time::Instant};

use budget::{Command, CommandResult, EscrowError, StoreError};
use metrics::{Counter, Gauge, Histogram};

/// Histogram by `command`: seconds from a `reserve`, `settle`, `release`, `resolve` or `expire` to
/// its answer.
pub const COMMAND_SECONDS: &str = "bursar_store_command_seconds";
/// Histogram: commands that one commit, with one sync to disk, has made durable together.
pub const COMMIT_COMMANDS: &str = "bursar_store_commit_commands";
/// What is told apart of it.
pub const COMMIT_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Histogram: seconds of a commit.
pub const COMMIT_SECONDS: &str = "bursar_store_commit_seconds";
/// Gauge: commands that waited when the last commit began.
pub const QUEUE: &str = "bursar_store_queue_commands";
/// Counter by `reason`: commands that were not carried out: the database is `unavailable`, the
/// queue `overloaded` or `closed`, a row `corrupt`.
pub const FAILURES: &str = "bursar_store_failures_total";

/// Counter: holds that were answered before they were on the disk, where a cover stood in for them
/// (SQLite).
pub const COVERED: &str = "bursar_store_covered_total";

/// What commands do, as the label says it.
const VERBS: [&str; 5] = ["reserve", "settle", "release", "resolve", "expire"];
/// Its reasons: the kinds of [`StoreError`].
const REASONS: [&str; 4] = ["unavailable", "overloaded", "closed", "corrupt"];

/// All of them, and what Prometheus is told of each.
pub const ALL: [(&str, &str); 6] = [
    (COMMAND_SECONDS, "Seconds from a command to its answer"),
    (COMMIT_COMMANDS, "Commands that one commit has made durable together"),
    (COMMIT_SECONDS, "Seconds of a commit, its sync to disk included"),
    (QUEUE, "Commands that wait for a commit"),
    (FAILURES, "Commands that the store did not carry out"),
    (COVERED, "Holds answered before they were on the disk, under a cover that was"),
];

/// Tells the metrics' recorder what each shows.
pub fn describe() {
    for (name, help) in ALL {
        match name {
            QUEUE => metrics::describe_gauge!(name, help),
            FAILURES | COVERED => metrics::describe_counter!(name, help),
            _ => metrics::describe_histogram!(name, help),
        }
    }
    metrics::counter!(COVERED).absolute(0);
    // From nothing to one is no increase: what counts up begins at 0.
    for reason in REASONS {
        metrics::counter!(FAILURES, "reason" => reason).absolute(0);
    }
}

/// What each command is told to. Looked up once, for that takes longer than to tell it: a recorder is
/// installed before the first command, or never.
struct Told {
    commands: [Histogram; 5],
    commit_commands: Histogram,
    commit_seconds: Histogram,
    queue: Gauge,
    covered: Counter,
}

static TOLD: LazyLock<Told> = LazyLock::new(|| Told {
    commands: VERBS.map(|verb| metrics::histogram!(COMMAND_SECONDS, "command" => verb)),
    commit_commands: metrics::histogram!(COMMIT_COMMANDS),
    commit_seconds: metrics::histogram!(COMMIT_SECONDS),
    queue: metrics::gauge!(QUEUE),
    covered: metrics::counter!(COVERED),
});

/// Records how long a command took, and why it failed where that is the store's doing.
pub(crate) fn answered(verb: Verb, since: Instant, result: &CommandResult) {
    TOLD.commands[verb.0].record(since.elapsed().as_secs_f64());
    if let Err(EscrowError::Store(error)) = result {
        metrics::counter!(FAILURES, "reason" => reason(error)).increment(1);
    }
}

/// Records a commit of so many commands that was made.
pub(crate) fn committed(commands: usize, since: Instant) {
    TOLD.commit_commands.record(count(commands));
    TOLD.commit_seconds.record(since.elapsed().as_secs_f64());
}

/// Records holds that were answered before they were on the disk.
pub(crate) fn covered(holds: u64) {
    if holds > 0 {
        TOLD.covered.increment(holds);
    }
}

/// Records how many commands wait while others are carried out.
pub(crate) fn waiting(commands: usize) {
    TOLD.queue.set(count(commands));
}

/// What a command does: its place in [`VERBS`].
#[derive(Clone, Copy)]
pub(crate) struct Verb(usize);

impl From<&Command> for Verb {
    fn from(command: &Command) -> Self {
        Self(match command {
            Command::Reserve(_) => 0,
            Command::Settle(_) => 1,
            Command::Release(_) => 2,
            Command::Resolve(_) => 3,
            Command::Expire(_) => 4,
        })
    }
}

fn reason(error: &StoreError) -> &'static str {
    let [unavailable, overloaded, closed, corrupt] = REASONS;
    match error {
        StoreError::Unavailable(_) => unavailable,
        StoreError::Overloaded => overloaded,
        StoreError::Closed => closed,
        StoreError::Corrupt(_) => corrupt,
    }
}

fn count(commands: usize) -> f64 {
    u32::try_from(commands).map_or(f64::INFINITY, f64::from)
}
