//! Every URL of the service, on one page.

use axum::{
    Router,
    routing::{MethodRouter, delete, get, post, put},
};

use crate::{
    page,
    routes::{
        ai_budget, alerts, budgets, cloud_budgets, cost, events, keys, ledger, prices, probes,
        reservations, tenants, usage,
    },
    scrape,
    service::Shared,
};

/// All of them.
pub(crate) fn routes() -> Routes {
    Routes::default()
        // For people.
        .public("/", get(page::budgets))
        .public("/docs", get(page::docs))
        .public("/openapi.json", get(page::openapi))
        // For orchestrators and Prometheus.
        .public("/healthz", get(probes::healthz))
        .public("/readyz", get(probes::readyz))
        .keyed("/metrics", get(scrape::metrics))
        // What existing clients speak.
        .public("/api/ai-budget/health", get(ai_budget::health))
        .keyed("/api/ai-budget/check", post(ai_budget::check))
        .keyed("/api/ai-budget/track", post(ai_budget::track))
        .keyed("/api/ai-budget/set", post(ai_budget::set))
        .keyed("/api/ai-budget/tenant/{id}", get(ai_budget::tenant))
        .keyed("/api/ai-budget/top-consumers", get(ai_budget::top_consumers))
        // Money held, charged and freed.
        .keyed("/api/v1/reservations", get(reservations::list).post(reservations::reserve))
        .keyed("/api/v1/reservations/{id}", get(reservations::show))
        .keyed("/api/v1/reservations/{id}/settle", post(reservations::settle))
        .keyed("/api/v1/reservations/{id}/release", post(reservations::release))
        .keyed("/api/v1/reservations/{id}/resolve", post(reservations::resolve))
        // Limits.
        .keyed("/api/v1/budgets", get(budgets::list).post(budgets::create))
        .keyed(
            "/api/v1/budgets/{id}",
            get(budgets::show).put(budgets::update).delete(budgets::remove),
        )
        .keyed("/api/v1/budgets/{id}/history", get(budgets::history))
        .keyed("/api/v1/cost/budgets", get(cloud_budgets::list).post(cloud_budgets::create))
        .keyed(
            "/api/v1/cost/budgets/{name}",
            put(cloud_budgets::update).delete(cloud_budgets::remove),
        )
        // Who and with what.
        .keyed("/api/v1/tenants", get(tenants::list).post(tenants::put))
        .keyed("/api/v1/tenants/{id}", get(tenants::show))
        .keyed("/api/v1/keys", get(keys::list).post(keys::create))
        .keyed("/api/v1/keys/{id}", delete(keys::revoke))
        .keyed("/api/v1/keys/{id}/rotate", post(keys::rotate))
        .keyed("/api/v1/prices", get(prices::list).post(prices::import))
        // Some models have slashes in their names.
        .keyed("/api/v1/prices/{*id}", get(prices::show))
        // What was charged, by every cloud.
        .keyed("/api/v1/cost/report", get(cost::report))
        .keyed("/api/v1/cost/diff", get(cost::diff))
        .keyed("/api/v1/cost/tags", get(cost::tags))
        .keyed("/api/v1/cost/imports", get(cost::imports))
        .keyed("/api/v1/cost/reconcile", post(cost::reconcile))
        .keyed("/api/v1/cost/query", post(cost::query))
        // What has happened.
        .keyed("/api/v1/ledger", get(ledger::list))
        .keyed("/api/v1/events", get(events::list))
        .keyed(alerts::PATH, post(alerts::note))
        .keyed("/api/v1/usage", get(usage::report))
        .keyed("/api/v1/usage/unpriced", get(usage::unpriced))
        .keyed("/api/v1/usage/export.csv", get(usage::export))
}

/// Who may use a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Who has the admin token or a key.
    Keyed,
}

/// The URLs, and what is known of them before a request is routed.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Shared>,
    paths: Vec<&'static str>,
    index: Index,
}

/// Finds a path's place and access.
#[derive(Default, Clone)]
pub(crate) struct Index(matchit::Router<(usize, Access)>);

impl Index {
    /// A path that is none of ours has a place beyond all and needs a key.
    pub(crate) fn find(&self, path: &str) -> (usize, Access) {
        self.0.at(path).map_or((usize::MAX, Access::Keyed), |found| *found.value)
    }
}

impl Routes {
    fn public(self, path: &'static str, methods: MethodRouter<Shared>) -> Self {
        self.add(path, Access::Public, methods)
    }

    fn keyed(self, path: &'static str, methods: MethodRouter<Shared>) -> Self {
        self.add(path, Access::Keyed, methods)
    }

    fn add(mut self, path: &'static str, access: Access, methods: MethodRouter<Shared>) -> Self {
        self.router = self.router.route(path, methods);
        if self.index.0.insert(path, (self.paths.len(), access)).is_err() {
            // The router above has refused it, too.
            unreachable!("{path} stands on the page twice");
        }
        self.paths.push(path);
        self
    }

    pub(crate) fn paths(&self) -> &[&'static str] {
        &self.paths
    }

    pub(crate) fn build(self) -> (Router<Shared>, Index) {
        (self.router, self.index)
    }
}
