//! The names of the metrics, told in `docs/reference/metrics.md`.

/// Counter by `channel` and `result`: attempts to send a message: `delivered`, `failed` (tried
/// again) or `dead` (given up).
pub const DELIVERIES: &str = "bursar_notify_deliveries_total";
/// Gauge by `channel`: notices that are due and were not taken yet.
pub const PENDING: &str = "bursar_notify_pending";
/// Gauge by `channel`: notices that nobody tries any more: alert on any, see `bursar notify list
/// --state dead`.
pub const DEAD: &str = "bursar_notify_dead";
/// Gauge by `channel`: how long the oldest of those pending has been due: alert from ten minutes
/// on.
pub const OLDEST: &str = "bursar_notify_oldest_pending_seconds";

/// How an attempt ends, as the label says it.
pub const RESULTS: [&str; 3] = ["delivered", "failed", "dead"];

/// Tells what they are.
pub fn describe() {
    metrics::describe_counter!(DELIVERIES, "Attempts to send notices, by how they have ended");
    metrics::describe_gauge!(PENDING, "Notices that are due and were not taken yet");
    metrics::describe_gauge!(DEAD, "Notices that nobody tries any more");
    metrics::describe_gauge!(OLDEST, "Seconds for which the oldest pending notice has been due");
}
