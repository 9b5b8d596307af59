//! What the store counts, and under which names: an interface, told in
//! `docs/reference/metrics.md`.

use std::time::Instant;

use budget::{Command, CommandResult, EscrowError, StoreError};

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

/// Records how long a command took, and why it failed where that is the store's doing.
pub(crate) fn answered(command: &'static str, since: Instant, result: &CommandResult) {
    let seconds = since.elapsed().as_secs_f64();
    // Each by itself: a name that is known at compile time is not put together for each call.
    match command {
        "reserve" => metrics::histogram!(COMMAND_SECONDS, "command" => "reserve"),
        "settle" => metrics::histogram!(COMMAND_SECONDS, "command" => "settle"),
        command => metrics::histogram!(COMMAND_SECONDS, "command" => command),
    }
    .record(seconds);
    if let Err(EscrowError::Store(error)) = result {
        metrics::counter!(FAILURES, "reason" => reason(error)).increment(1);
    }
}

/// Records a commit of so many commands that was made.
pub(crate) fn committed(commands: usize, since: Instant) {
    metrics::histogram!(COMMIT_COMMANDS).record(count(commands));
    metrics::histogram!(COMMIT_SECONDS).record(since.elapsed().as_secs_f64());
}

/// Records holds that were answered before they were on the disk.
pub(crate) fn covered(holds: u64) {
    if holds > 0 {
        metrics::counter!(COVERED).increment(holds);
    }
}

/// Records how many commands wait while others are carried out.
pub(crate) fn waiting(commands: usize) {
    metrics::gauge!(QUEUE).set(count(commands));
}

/// What a command does, as the label says it.
pub(crate) fn verb(command: &Command) -> &'static str {
    match command {
        Command::Reserve(_) => "reserve",
        Command::Settle(_) => "settle",
        Command::Release(_) => "release",
        Command::Resolve(_) => "resolve",
        Command::Expire(_) => "expire",
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
