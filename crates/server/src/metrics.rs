//! What is counted, under which names. Handles are looked up once, at the start.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::router;

/// The names of all metrics of the service: an interface.
pub mod names {
    /// Counter: answers by `route` and `status` class.
    pub const HTTP_REQUESTS: &str = "bursar_http_requests_total";
    /// Histogram in seconds by `route`.
    pub const HTTP_SECONDS: &str = "bursar_http_request_duration_seconds";
    /// Gauge: open connections.
    pub const HTTP_CONNECTIONS: &str = "bursar_http_connections";
    /// Counter: tracked calls whose model has no price.
    pub const UNPRICED_CALLS: &str = "bursar_unpriced_calls_total";
    /// Counter: failed background jobs by `job`.
    pub const JOB_FAILURES: &str = "bursar_job_failures_total";
    /// Gauge: charged in the running period by `tenant_id` and `model`.
    pub const CURRENT_USAGE: &str = "ai_budget_current_usage_usd";
    /// Gauge: the period's limit by `tenant_id` and `model`.
    pub const MONTHLY_LIMIT: &str = "ai_budget_monthly_limit_usd";
    /// Gauge: 1 where requests are refused, by `tenant_id` and `model`.
    pub const HARD_LIMIT_REACHED: &str = "ai_budget_hard_limit_reached";
}

const BUCKETS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Handles of what is counted.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    handle: PrometheusHandle,
    routes: Vec<(Histogram, [Counter; 5])>,
    connections: Gauge,
    unpriced: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of one service alone.
    pub fn new() -> Self {
        Self::register(&recorder())
    }

    /// Metrics that the whole process writes into; those of one service where another recorder
    /// was installed before.
    pub fn install() -> Self {
        let recorder = recorder();
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
            Self(Arc::new(Inner {
                handle: recorder.handle(),
                routes: paths.map(route).collect(),
                connections: metrics::gauge!(names::HTTP_CONNECTIONS),
                unpriced: metrics::counter!(names::UNPRICED_CALLS),
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

    pub(crate) fn render(&self) -> String {
        self.0.handle.render()
    }

    /// Folds samples together. Without it they would pile up between two scrapes.
    pub(crate) fn tidy(&self) {
        self.0.handle.run_upkeep();
    }
}

fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new();
    match builder.set_buckets(&BUCKETS) {
        Ok(builder) => builder.build_recorder(),
        // Only without buckets; there are some.
        Err(_) => PrometheusBuilder::new().build_recorder(),
    }
}

fn describe() {
    metrics::describe_counter!(names::HTTP_REQUESTS, "Answers by route and class of status");
    metrics::describe_histogram!(names::HTTP_SECONDS, "Seconds from request to answer");
    metrics::describe_gauge!(names::HTTP_CONNECTIONS, "Open connections");
    metrics::describe_counter!(names::UNPRICED_CALLS, "Tracked calls whose model has no price");
    metrics::describe_counter!(names::JOB_FAILURES, "Failed background jobs");
}
