//! What the gateway counts, and under which names: an interface, told in
//! `docs/reference/metrics.md`.

/// Counter by `api`, `upstream` and `ending`: calls by how they ended: `whole`, `cut`, `lost`,
/// `rejected`, `billed` (an error that costs all the same) or `unsent`.
pub const CALLS: &str = "bursar_gateway_calls_total";
/// Counter by `reason`: calls that no vendor has seen, by the error's code.
pub const REFUSED: &str = "bursar_gateway_refused_total";
/// Histogram by `upstream`: seconds from the request to the head of the answer.
pub const SECONDS: &str = "bursar_gateway_upstream_seconds";
/// What is told apart of it: a long answer that is not streamed takes minutes to begin.
pub const SECONDS_BUCKETS: [f64; 13] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Gauge: calls in flight.
pub const IN_FLIGHT: &str = "bursar_gateway_calls_in_flight";
/// Gauge: calls that wait for others to settle.
pub const WAITING: &str = "bursar_gateway_calls_waiting";
/// Counter by `upstream`: further attempts.
pub const RETRIES: &str = "bursar_gateway_retries_total";
/// Counter by `upstream`: calls charged by what was seen, as no usage was told.
pub const ESTIMATED: &str = "bursar_gateway_estimated_total";
/// Counter by `upstream`: calls that have cost more than was held for them.
pub const OVERRUNS: &str = "bursar_gateway_overruns_total";
/// Counter: calls let through while the store was down: alert on any.
pub const FAIL_OPEN: &str = "bursar_gateway_fail_open_total";
/// Counter: charges, releases and batches that the store could not take, and how calls ended that
/// were let through.
pub const SPOOLED: &str = "bursar_gateway_spooled_total";
/// Gauge: charges, releases and batches in the spool, still on disk, those of ended processes too.
pub const SPOOL: &str = "bursar_gateway_spool_records";
/// Counter: spooled records that the ledger has refused: they are in `rejected.jsonl`.
pub const SPOOL_REJECTED: &str = "bursar_gateway_spool_rejected_total";
/// Gauge by `upstream`: 1 while it is left alone after repeated failures.
pub const CIRCUIT_OPEN: &str = "bursar_gateway_circuit_open";

/// All of them, and what Prometheus is told of each.
pub const ALL: [(&str, &str); 13] = [
    (CALLS, "Calls to vendors by how they ended"),
    (REFUSED, "Calls that no vendor has seen"),
    (SECONDS, "Seconds from the request to the head of the vendor's answer"),
    (IN_FLIGHT, "Calls in flight"),
    (WAITING, "Calls that wait for others to settle"),
    (RETRIES, "Further attempts of calls"),
    (ESTIMATED, "Calls charged by what was seen"),
    (OVERRUNS, "Calls that have cost more than was held for them"),
    (FAIL_OPEN, "Calls let through while the budget store was down"),
    (SPOOLED, "Charges, releases and batches that were spooled"),
    (SPOOL, "Charges, releases and batches in the spool"),
    (SPOOL_REJECTED, "Spooled charges that the ledger has refused"),
    (CIRCUIT_OPEN, "1 while an upstream is left alone after repeated failures"),
];

/// Tells the metrics' recorder what each shows.
pub fn describe() {
    for (name, help) in ALL {
        match name {
            SECONDS => metrics::describe_histogram!(name, help),
            IN_FLIGHT | WAITING | SPOOL | CIRCUIT_OPEN => metrics::describe_gauge!(name, help),
            _ => metrics::describe_counter!(name, help),
        }
    }
    // Prometheus sees no rise of a counter that was not there: the first call without a budget would
    // be no news.
    metrics::counter!(FAIL_OPEN).absolute(0);
    metrics::counter!(SPOOLED).absolute(0);
    metrics::counter!(SPOOL_REJECTED).absolute(0);
}
