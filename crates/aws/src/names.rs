//! The names of what is counted: an interface, told in `docs/reference/metrics.md`.

/// Counter: requests by `api` and `result` (`ok`, `throttled`, `refused`, `failed`).
pub const REQUESTS: &str = "bursar_aws_requests_total";
/// Gauge: paid calls that were made today (UTC).
pub const PAID: &str = "bursar_aws_paid_calls_today";
/// Gauge: paid calls that may be made in a day.
pub const PAID_MOST: &str = "bursar_aws_paid_calls_most";

/// Tells the recorder what each of them shows.
pub fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests to AWS by API and result");
    metrics::describe_gauge!(PAID, "Paid calls of AWS's APIs that were made today (UTC)");
    metrics::describe_gauge!(PAID_MOST, "Paid calls of AWS's APIs that may be made in a day");
}
