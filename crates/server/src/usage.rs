//! What calls have used and cost: counted for `/metrics` as this process records them.
//!
//! Each call is counted by the process whose settle was the first, so a repeat counts nothing and
//! Prometheus may add up the replicas. Counters start at zero with the process, as Prometheus
//! expects; exact sums are in the ledger. Invariant: a sample never falls, and all of them together
//! are what was counted, whatever is named apart and whatever is summed up as `other`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use budget::{Reservation, State};
use focus::{ModelName, ReportType, TenantId};
use money::{Money, TokenUsage};

/// What a label reads where nothing is named.
pub(crate) const OTHER: &str = "other";

/// Samples of one tenant that have names of their own: models and report types come from callers.
const SAMPLES_MOST: usize = 130;
/// Samples of a report type: its cost and its calls.
const SAMPLES_OF_REPORT: usize = 2;
/// Samples of a model: five classes of tokens, and what has no report type.
const SAMPLES_OF_MODEL: usize = 5 + SAMPLES_OF_REPORT;

/// A name, or all that are not named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label<N> {
    Other,
    Named(N),
}

impl<N> Label<N> {
    pub(crate) fn text<'a>(&'a self, text: impl FnOnce(&'a N) -> &'a str) -> &'a str {
        match self {
            Self::Other => OTHER,
            Self::Named(name) => text(name),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) models: BTreeMap<Label<ModelName>, Model>,
    samples: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) tokens: TokenUsage,
    pub(crate) charged: BTreeMap<Label<Option<ReportType>>, Charged>,
}

/// What calls have cost, and how many they were.
#[derive(Debug, Default)]
pub(crate) struct Charged {
    pub(crate) cost: Money,
    pub(crate) calls: u64,
}

pub(crate) type Tenants = BTreeMap<Label<TenantId>, Tenant>;

/// The counters.
#[derive(Debug)]
pub(crate) struct UsageCounters {
    /// Tenants that are named apart because they came first; as many more may be, that came later
    /// and spend most.
    named: usize,
    tenants: Mutex<Tenants>,
}

impl UsageCounters {
    pub(crate) fn new(named: usize) -> Self {
        Self { named, tenants: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a settle has recorded. Tokens count when they are first told, which for a model
    /// without a price is before the cost.
    pub(crate) fn count(&self, call: &Reservation, first_use: bool) {
        let names = &call.call;
        let mut tenants = self.lock();
        let label = tenant_label(&tenants, &names.tenant, self.named);
        let tenant = tenants.entry(label).or_default();
        let label = tenant.model_label(&names.model);
        if first_use && let Some(actual) = call.actual {
            let tokens = &mut tenant.models.entry(label.clone()).or_default().tokens;
            // At the end of the range a counter stands still.
            *tokens = tokens.checked_add(&actual.usage).unwrap_or(*tokens);
        }
        if let (State::Settled, Some(cost)) = (call.state, call.cost) {
            let report_type = tenant.report_label(&label, names.report_type.as_ref());
            let model = tenant.models.entry(label).or_default();
            let charged = model.charged.entry(report_type).or_default();
            charged.cost = charged.cost.checked_add(cost).unwrap_or(charged.cost);
            charged.calls = charged.calls.saturating_add(1);
        }
    }

    /// Names these tenants apart from now on: those that spend most.
    pub(crate) fn name<'a>(&self, tenants: impl Iterator<Item = &'a TenantId>) {
        let mut known = self.lock();
        for tenant in tenants.filter(|tenant| tenant.as_str() != OTHER) {
            if known.len() >= 2 * self.named {
                return;
            }
            known.entry(Label::Named(tenant.clone())).or_default();
        }
    }

    /// Shows them.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Tenants) -> T) -> T {
        read(&self.lock())
    }
}

fn tenant_label(tenants: &Tenants, tenant: &TenantId, named: usize) -> Label<TenantId> {
    // Who has the name of the sum goes into it: no two samples may look the same.
    if tenant.as_str() == OTHER {
        return Label::Other;
    }
    let label = Label::Named(tenant.clone());
    if tenants.len() < named || tenants.contains_key(&label) { label } else { Label::Other }
}

impl Tenant {
    fn model_label(&mut self, model: &ModelName) -> Label<ModelName> {
        if model.as_str() == OTHER {
            return Label::Other;
        }
        let label = Label::Named(model.clone());
        if self.models.contains_key(&label) {
            return label;
        }
        if self.samples + SAMPLES_OF_MODEL > SAMPLES_MOST {
            return Label::Other;
        }
        self.samples += SAMPLES_OF_MODEL;
        self.models.insert(label.clone(), Model::default());
        label
    }

    fn report_label(
        &mut self,
        model: &Label<ModelName>,
        report_type: Option<&ReportType>,
    ) -> Label<Option<ReportType>> {
        let Some(name) = report_type else { return Label::Named(None) };
        if name.as_str() == OTHER {
            return Label::Other;
        }
        let label = Label::Named(Some(name.clone()));
        if self.models.get(model).is_some_and(|model| model.charged.contains_key(&label)) {
            return label;
        }
        if self.samples + SAMPLES_OF_REPORT > SAMPLES_MOST {
            return Label::Other;
        }
        self.samples += SAMPLES_OF_REPORT;
        label
    }
}
