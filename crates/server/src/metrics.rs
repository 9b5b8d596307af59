//! What is counted, under which names. Handles are looked up once, at the start.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::router;

/// The names of all metrics of the service: an interface, told in `docs/reference/metrics.md`.
pub mod names {
    /// Counter by `route` and `status`: answers; `status` is `2xx` and so on, `route` a path of the
    /// API or `unmatched`.
    pub const HTTP_REQUESTS: &str = "bursar_http_requests_total";
    /// Histogram by `route`: seconds from request to answer.
    pub const HTTP_SECONDS: &str = "bursar_http_request_duration_seconds";
    /// Gauge: open connections.
    pub const HTTP_CONNECTIONS: &str = "bursar_http_connections";
    /// Counter: calls whose model had no price when they were tracked.
    pub const UNPRICED_CALLS: &str = "bursar_unpriced_calls_total";
    /// Counter by `task`: failed turns of `sweep` (time-outs), `maintain` (the database's upkeep),
    /// `prices` (imported prices), `metrics` (reading the budgets above), `clouds` (reading the
    /// lake) and `cloud_budgets` (summing what budgets for cloud cost watch).
    pub const JOB_FAILURES: &str = "bursar_job_failures_total";
    /// Gauge: how long ago budgets and months were read; `+Inf` before the first time.
    pub const BUDGETS_AGE: &str = "bursar_budgets_age_seconds";
    /// Gauge by `tenant_id` and `model`: US dollars charged in the running period, holds charged by
    /// policy included.
    pub const CURRENT_USAGE: &str = "ai_budget_current_usage_usd";
    /// Gauge by `tenant_id` and `model`: the period's limit in US dollars.
    pub const MONTHLY_LIMIT: &str = "ai_budget_monthly_limit_usd";
    /// Gauge by `tenant_id` and `model`: 1 where requests are refused.
    pub const HARD_LIMIT_REACHED: &str = "ai_budget_hard_limit_reached";
    /// Counter by `tenant_id`, `model` and `type`: tokens; `type` is `input`, `output`,
    /// `cache_read`, `cache_write_5m` or `cache_write_1h`, and no token is in two of them.
    pub const TOKEN_USAGE: &str = "ai_token_usage_total";
    /// Counter by `tenant_id`, `model` and `report_type`: US dollars charged; `report_type` is
    /// empty where a call named none.
    pub const TOKEN_COST: &str = "ai_token_usage_cost_usd";
    /// Counter by `tenant_id`, `model` and `report_type`: calls charged: with the costs, what one
    /// of a kind costs on average.
    pub const TOKEN_CALLS: &str = "ai_token_usage_calls_total";
    /// Gauge by `tenant_id`: US dollars charged in the running calendar month (UTC), whatever the
    /// periods of the budgets are.
    pub const AI_MONTHLY: &str = "ai_cost_monthly_usd";
    /// Gauge: how many tenants were charged something in it.
    pub const AI_TENANTS: &str = "ai_tenants_monthly";
    /// Gauge by `month`, `region` and `service`: US dollars billed by AWS; `month` is `current`,
    /// `previous` and each of the last 13 as `2026-10`.
    pub const AWS_MONTHLY: &str = "aws_cost_monthly_usd";
    /// Gauge by `region` and `service`: US dollars billed by AWS for the last day that is over and
    /// has charges.
    pub const AWS_DAILY: &str = "aws_cost_daily_usd";
    /// Gauge: US dollars that AWS will have billed at the end of the running month.
    pub const AWS_FORECAST: &str = "aws_cost_forecast_usd";
    /// Gauge by `provider`, `currency`, `month`, `region` and `service`: billed by each provider,
    /// as above.
    pub const CLOUD_MONTHLY: &str = "cloud_cost_monthly";
    /// Gauge by `provider`, `currency`, `month` and `tenant_id`: billed for what is tagged with a
    /// `tenant`, in the months `current` and `previous`; what has no such tag is `none`.
    pub const CLOUD_TENANTS: &str = "cloud_cost_tenant_monthly";
    /// Gauge by `provider`, `currency`, `region` and `service`: billed for the last day that is
    /// over.
    pub const CLOUD_DAILY: &str = "cloud_cost_daily";
    /// Gauge by `provider` and `currency`: billed at the end of the running month.
    pub const CLOUD_FORECAST: &str = "cloud_cost_forecast";
    /// Gauge by `provider` and `currency`: how far forecasts in the middle of the last three whole
    /// months were off, as a share of the cost.
    pub const CLOUD_ERROR: &str = "cloud_cost_forecast_error_ratio";
    /// Gauge by `source`: when charges of a source last came in.
    pub const CLOUD_INGESTED: &str = "cloud_cost_last_ingest_timestamp_seconds";
    /// Gauge by `provider` and `currency`: the end of the last day that has charges.
    pub const CLOUD_UNTIL: &str = "cloud_cost_data_until_timestamp_seconds";

    /// Gauge by `budget`: limits of the monthly budgets in US dollars that are not for another
    /// provider.
    pub const AWS_BUDGET: &str = "aws_budget_monthly_limit_usd";
    /// Gauge by `budget`, `currency` and `period`: limits of all budgets for cloud cost.
    pub const CLOUD_BUDGET: &str = "cloud_cost_budget_limit";
    /// Gauge by `budget`, `currency` and `period`: spent of them in the running `month`, `quarter`
    /// or `year`.
    pub const CLOUD_SPENT: &str = "cloud_cost_budget_spent";
    /// Gauge by `budget`, `currency` and `period`: what they will have spent when their period
    /// ends; from the third day of it that is over and has charges.
    pub const CLOUD_END: &str = "cloud_cost_budget_forecast";
    /// Gauge: how long ago the lake was read, because it or the day had changed.
    pub const CLOUD_AGE: &str = "cloud_cost_reading_age_seconds";

    /// All of them, and what Prometheus is told of each.
    pub const ALL: [(&str, &str); 29] = [
        (HTTP_REQUESTS, "Answers by route and class of status"),
        (HTTP_SECONDS, "Seconds from request to answer"),
        (HTTP_CONNECTIONS, "Open connections"),
        (UNPRICED_CALLS, "Tracked calls whose model has no price"),
        (JOB_FAILURES, "Failed background jobs"),
        (BUDGETS_AGE, "Seconds since the budgets below were read; +Inf before the first time"),
        (CURRENT_USAGE, "Charged in the running period, US dollars"),
        (MONTHLY_LIMIT, "The period's limit, US dollars"),
        (HARD_LIMIT_REACHED, "1 where requests are refused"),
        (TOKEN_USAGE, "Tokens of the calls that this process has recorded"),
        (TOKEN_COST, "Cost of the calls that this process has charged, US dollars"),
        (TOKEN_CALLS, "Calls that this process has charged"),
        (AI_MONTHLY, "Charged in the running calendar month (UTC), US dollars"),
        (AI_TENANTS, "Tenants that were charged in the running calendar month (UTC)"),
        (AWS_MONTHLY, "Billed by AWS in a month, US dollars"),
        (AWS_DAILY, "Billed by AWS for the last whole day, US dollars"),
        (AWS_FORECAST, "What AWS will have billed at the end of the running month, US dollars"),
        (CLOUD_MONTHLY, "Billed in a month"),
        (CLOUD_TENANTS, "Billed in a month for what is tagged with a tenant"),
        (CLOUD_DAILY, "Billed for the last whole day"),
        (CLOUD_FORECAST, "What will have been billed at the end of the running month"),
        (CLOUD_ERROR, "Mean error of forecasts made in the middle of the last months"),
        (CLOUD_INGESTED, "When charges last came in"),
        (CLOUD_UNTIL, "The end of the last whole day with charges"),
        (AWS_BUDGET, "Limits of monthly budgets for what AWS bills, US dollars"),
        (CLOUD_BUDGET, "Limits of budgets for cloud cost"),
        (CLOUD_SPENT, "Spent of budgets for cloud cost in their running period"),
        (CLOUD_END, "What budgets for cloud cost will have spent at their period's end"),
        (CLOUD_AGE, "Seconds since the costs above were read from the lake"),
    ];

    /// What a metric shows, in a line.
    pub(crate) fn help(name: &str) -> &'static str {
        ALL.iter().find(|(known, _)| *known == name).map_or("", |(_, help)| help)
    }
}

const BUCKETS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What goes on beside requests and may fail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    Sweep,
    Maintain,
    Prices,
    Metrics,
    Clouds,
    CloudBudgets,
}

impl Job {
    const ALL: [Self; 6] = [
        Self::Sweep,
        Self::Maintain,
        Self::Prices,
        Self::Metrics,
        Self::Clouds,
        Self::CloudBudgets,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Maintain => "maintain",
            Self::Prices => "prices",
            Self::Metrics => "metrics",
            Self::Clouds => "clouds",
            Self::CloudBudgets => "cloud_budgets",
        }
    }
}

/// Handles of what is counted.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    handle: PrometheusHandle,
    routes: Vec<(Histogram, [Counter; 5])>,
    connections: Gauge,
    unpriced: Counter,
    /// In the order of [`Job::ALL`].
    failures: [Counter; 6],
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of one service alone.
    pub fn new() -> Self {
        Self::register(&recorder(&[]))
    }

    /// Metrics that the whole process writes into; those of one service where another recorder
    /// was installed before. Histograms that are named have buckets of their own.
    pub fn install(histograms: &[(&str, &[f64])]) -> Self {
        let recorder = recorder(histograms);
        let metrics = Self::register(&recorder);
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!(
                "another metrics recorder is installed; /metrics shows the service alone"
            );
        }
        metrics
    }

    fn register(recorder: &PrometheusRecorder) -> Self {
        metrics::with_local_recorder(recorder, || {
            describe();
            let route = |path: &'static str| {
                let class = |class: &'static str| metrics::counter!(names::HTTP_REQUESTS, "route" => path, "status" => class);
                (metrics::histogram!(names::HTTP_SECONDS, "route" => path), CLASSES.map(class))
            };
            let routes = router::routes();
            let paths = routes.paths().iter().copied().chain(["unmatched"]);
            let failures =
                |job: Job| metrics::counter!(names::JOB_FAILURES, "task" => job.as_str());
            Self(Arc::new(Inner {
                handle: recorder.handle(),
                routes: paths.map(route).collect(),
                connections: metrics::gauge!(names::HTTP_CONNECTIONS),
                unpriced: metrics::counter!(names::UNPRICED_CALLS),
                failures: Job::ALL.map(failures),
            }))
        })
    }

    /// Counts one answer of a route, by its place among the paths; beyond them, of none.
    pub(crate) fn answered(&self, route: usize, status: StatusCode, took: Duration) {
        let routes = &self.0.routes;
        let Some((seconds, classes)) = routes.get(route).or(routes.last()) else { return };
        seconds.record(took.as_secs_f64());
        if let Some(class) = classes.get(usize::from(status.as_u16() / 100).saturating_sub(1)) {
            class.increment(1);
        }
    }

    pub(crate) fn connections(&self) -> &Gauge {
        &self.0.connections
    }

    pub(crate) fn unpriced(&self) -> &Counter {
        &self.0.unpriced
    }

    pub(crate) fn failed(&self, job: Job) {
        self.0.failures[job as usize].increment(1);
    }

    pub(crate) fn render(&self) -> String {
        self.0.handle.render()
    }

    /// Folds samples together. Without it they would pile up between two scrapes.
    pub(crate) fn tidy(&self) {
        self.0.handle.run_upkeep();
    }
}

fn recorder(histograms: &[(&str, &[f64])]) -> PrometheusRecorder {
    let named = histograms.iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
    });
    match named.and_then(|builder| builder.set_buckets(&BUCKETS)) {
        Ok(builder) => builder.build_recorder(),
        // Only without buckets; there are some.
        Err(_) => PrometheusBuilder::new().build_recorder(),
    }
}

fn describe() {
    metrics::describe_counter!(names::HTTP_REQUESTS, names::help(names::HTTP_REQUESTS));
    metrics::describe_histogram!(names::HTTP_SECONDS, names::help(names::HTTP_SECONDS));
    metrics::describe_gauge!(names::HTTP_CONNECTIONS, names::help(names::HTTP_CONNECTIONS));
    metrics::describe_counter!(names::UNPRICED_CALLS, names::help(names::UNPRICED_CALLS));
    metrics::describe_counter!(names::JOB_FAILURES, names::help(names::JOB_FAILURES));
}
