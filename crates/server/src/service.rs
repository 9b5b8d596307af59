//! What every request can reach.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use budget::{EscrowError, Outcome, Settle, Store};
use jiff::Timestamp;

use crate::{
    Config, Metrics, auth::Auth, calls::Calls, finish::Finish, overview::Overview,
    prices::PriceShelf, usage::UsageCounters,
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The service before it runs.
pub struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl Service {
    /// A service on a store, with the system's clock and metrics of its own.
    pub fn new(store: Arc<dyn Store>, config: Config) -> Self {
        Self { store, config, clock: Arc::new(Timestamp::now), metrics: Metrics::new() }
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// With metrics that other rooms write into too.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    pub(crate) fn into_state(self) -> Shared {
        Arc::new(State {
            auth: Auth::new(&self.config),
            prices: PriceShelf::shipped(),
            store: self.store,
            config: self.config,
            clock: self.clock,
            metrics: self.metrics,
            calls: Calls::default(),
            usage: UsageCounters::default(),
            overview: Overview::default(),
            draining: AtomicBool::new(false),
        })
    }
}

/// What every request can reach.
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) prices: PriceShelf,
    pub(crate) auth: Auth,
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) calls: Calls,
    pub(crate) usage: UsageCounters,
    pub(crate) overview: Overview,
    clock: Clock,
    draining: AtomicBool,
}

pub(crate) type Shared = Arc<State>;

impl State {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Charges what a call has cost and counts it, also when the caller does not wait for it.
    pub(crate) async fn settle(self: &Arc<Self>, settle: Settle) -> Result<Outcome, EscrowError> {
        let state = self.clone();
        Finish::new(async move {
            let key = settle.key;
            let outcome = state.store.settle(settle).await?;
            state.calls.forget(key);
            if !outcome.replayed {
                state.settled(&outcome);
            }
            Ok(outcome)
        })
        .await
    }

    fn settled(&self, outcome: &Outcome) {
        let call = &outcome.reservation;
        self.usage.count(call, outcome.first_use);
        if call.state == budget::State::Unpriced {
            self.metrics.unpriced().increment(1);
            tracing::warn!(
                model = %call.call.model,
                "a call has no price and waits for one: import it with `bursar prices import`"
            );
        }
    }

    /// From now on the service says that it is not ready.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
