//! What every request can reach.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use budget::{
    Answer, Escrow, EscrowError, Outcome, Release, Reserve, Resolve, Settle, Standing, Store,
};
use focus::cost::Costs;
use jiff::Timestamp;
use money::PriceBook;
use tokio::sync::Semaphore;

use crate::{
    Beside, Config, Metrics, auth::Auth, calls::Calls, cloud_budget::Spent, clouds::Clouds,
    finish::Finish, overview::Overview, prices::PriceShelf, usage::UsageCounters,
};

/// Questions to the lake at a time.
const QUESTIONS_MOST: usize = 4;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Tells the prices in force.
pub type PriceSource = Arc<dyn Fn() -> Arc<PriceBook> + Send + Sync>;

/// The service before it runs.
pub struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    prices: Arc<PriceShelf>,
    usage: Arc<UsageCounters>,
    beside: Option<Arc<dyn Beside>>,
    costs: Option<Arc<dyn Costs>>,
}

impl Service {
    /// A service on a store, with the system's clock and metrics of its own.
    pub fn new(store: Arc<dyn Store>, config: Config) -> Self {
        Self {
            store,
            usage: Arc::new(UsageCounters::new(config.tenants_named)),
            config,
            clock: Arc::new(Timestamp::now),
            metrics: Metrics::new(),
            prices: Arc::new(PriceShelf::shipped()),
            beside: None,
            costs: None,
        }
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

    /// With another door on the same listener.
    #[must_use]
    pub fn with_beside(mut self, beside: Arc<dyn Beside>) -> Self {
        self.beside = Some(beside);
        self
    }

    /// With the charges of every cloud, to be asked.
    #[must_use]
    pub fn with_costs(mut self, costs: Arc<dyn Costs>) -> Self {
        self.costs = Some(costs);
        self
    }

    /// The store's escrow for another door: what it settles is counted here, too.
    pub fn escrow(&self) -> Arc<dyn Escrow> {
        let (store, usage) = (self.store.clone(), self.usage.clone());
        Arc::new(Counted { store, usage, metrics: self.metrics.clone() })
    }

    /// The prices that the service charges by.
    pub fn prices(&self) -> PriceSource {
        let shelf = self.prices.clone();
        Arc::new(move || shelf.get().book.clone())
    }

    pub(crate) fn into_state(self) -> Shared {
        Arc::new(State {
            auth: Auth::new(&self.config),
            prices: self.prices,
            store: self.store,
            config: self.config,
            clock: self.clock,
            metrics: self.metrics,
            calls: Calls::default(),
            usage: self.usage,
            beside: self.beside,
            costs: self.costs,
            overview: Overview::default(),
            spent: Spent::default(),
            clouds: Clouds::default(),
            questions: Semaphore::new(QUESTIONS_MOST),
            draining: AtomicBool::new(false),
        })
    }
}

/// What every request can reach.
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) prices: Arc<PriceShelf>,
    pub(crate) auth: Auth,
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) calls: Calls,
    pub(crate) usage: Arc<UsageCounters>,
    pub(crate) beside: Option<Arc<dyn Beside>>,
    pub(crate) costs: Option<Arc<dyn Costs>>,
    pub(crate) overview: Overview,
    /// What budgets for cloud cost have spent.
    pub(crate) spent: Spent,
    pub(crate) clouds: Clouds,
    /// Leave to ask what was charged.
    pub(crate) questions: Semaphore,
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
                count(&state.usage, &state.metrics, &outcome);
            }
            Ok(outcome)
        })
        .await
    }

    /// From now on the service says that it is not ready.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Counts what a settle was the first to record.
fn count(usage: &UsageCounters, metrics: &Metrics, outcome: &Outcome) {
    let call = &outcome.reservation;
    usage.count(call, outcome.first_use);
    if call.state == budget::State::Unpriced {
        metrics.unpriced().increment(1);
        tracing::warn!(
            model = %call.call.model,
            "a call has no price and waits for one: import it with `bursar prices import`"
        );
    }
}

/// The store's escrow, whose settles are counted.
struct Counted {
    store: Arc<dyn Store>,
    usage: Arc<UsageCounters>,
    metrics: Metrics,
}

#[async_trait]
impl Escrow for Counted {
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError> {
        self.store.check(request).await
    }

    fn reserve<'s: 'f, 'f>(&'s self, request: Reserve) -> Answer<'f>
    where
        Self: 'f,
    {
        self.store.reserve(request)
    }

    async fn settle(&self, request: Settle) -> Result<Outcome, EscrowError> {
        let outcome = self.store.settle(request).await?;
        if !outcome.replayed {
            count(&self.usage, &self.metrics, &outcome);
        }
        Ok(outcome)
    }

    async fn release(&self, request: Release) -> Result<Outcome, EscrowError> {
        self.store.release(request).await
    }

    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError> {
        self.store.resolve(request).await
    }
}
