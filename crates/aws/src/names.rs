//! The names of what is counted: an interface, told in `docs/reference/metrics.md`.

/// Counter by `api` and `result`: requests to `cost-explorer`, `budgets`, `cloudwatch`, `s3` and
/// `sts`: `ok`, `throttled`, `refused` or `failed`.
pub const REQUESTS: &str = "bursar_aws_requests_total";
/// Gauge: paid calls of Cost Explorer that were made in the UTC day of the last one.
pub const PAID: &str = "bursar_aws_paid_calls_today";
/// Gauge: paid calls of Cost Explorer that may be made in a day.
pub const PAID_MOST: &str = "bursar_aws_paid_calls_most";

/// Tells the recorder what each of them shows.
pub fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests to AWS by API and result");
    metrics::describe_gauge!(PAID, "Paid calls of AWS's APIs that were made today (UTC)");
    metrics::describe_gauge!(PAID_MOST, "Paid calls of AWS's APIs that may be made in a day");
}
