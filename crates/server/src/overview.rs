//! How the budgets stand, read for `/metrics` now and then.
//!
//! Scrapes read the store at most every few seconds, one of them at a time: a storm of them costs
//! the store nothing. A store that does not answer breaks no scrape: what was read last is shown
//! with its age, and left out when it is too old to be believed.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use budget::{BudgetFilter, Line, Origin, Page, StoreError};
use focus::TenantId;
use jiff::Timestamp;
use money::Money;

use crate::{jobs, metrics::Job, routes::in_force, service::Shared, usage::OTHER};

/// How old a reading may be before a scrape reads again.
const READ_EVERY: Duration = Duration::from_secs(10);
/// How long a reading may take: half of what Prometheus waits for an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// From this age on a reading is not shown.
const AGE_MOST: Duration = Duration::from_secs(300);
/// Tenants whose spending is known to `other`.
const SPENDERS_MOST: usize = 100_000;
/// Budgets of one tenant that are shown apart: unknown models may have made many.
const BUDGETS_MOST: usize = 50;

/// How the budgets stood at an instant.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) at: Timestamp,
    /// One a tenant and model.
    pub(crate) lines: Vec<Line>,
    /// What the models that are not among the lines have cost, by tenant.
    pub(crate) other_models: Vec<(TenantId, Money)>,
    /// What each tenant that is named has spent in the calendar month (UTC).
    pub(crate) spent: Vec<(TenantId, Money)>,
    /// What the tenants that are not named have spent in it.
    pub(crate) other_tenants: Money,
    /// How many have spent something in it.
    pub(crate) spenders: usize,
}

impl Reading {
    /// Whether it may still be shown.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        age(self.at, now) < AGE_MOST
    }
}

/// The time that has passed; none when the clock was put back.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Kept {
    reading: Option<Arc<Reading>>,
    tried_at: Option<Timestamp>,
}

/// The latest reading, and when the next may be made.
#[derive(Debug, Default)]
pub(crate) struct Overview(Mutex<Kept>);

impl Overview {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the caller's turn to read the store.
    fn is_due(&self, now: Timestamp) -> bool {
        let mut kept = self.lock();
        let waits = |at| (now.duration_since(at).unsigned_abs()) < READ_EVERY;
        if kept.tried_at.is_some_and(waits) {
            return false;
        }
        kept.tried_at = Some(now);
        true
    }

    /// How the budgets stood a few seconds ago, or when the store last answered.
    pub(crate) async fn latest(&self, state: &Shared) -> Option<Arc<Reading>> {
        let now = state.now();
        if self.is_due(now) {
            match tokio::time::timeout(READ_TIMEOUT, read(state, now)).await {
                Ok(Ok(reading)) => self.lock().reading = Some(Arc::new(reading)),
                Ok(Err(error)) => jobs::failed(state, Job::Metrics, &error),
                Err(error) => jobs::failed(state, Job::Metrics, &error),
            }
        }
        self.lock().reading.clone()
    }
}

async fn read(state: &Shared, now: Timestamp) -> Result<Reading, StoreError> {
    let spenders = state.store.top(now, SPENDERS_MOST).await?;
    let most = state.config.tenants_named;
    let mut tenants: BTreeSet<TenantId> =
        spenders.iter().take(most).map(|one| one.tenant.clone()).collect();
    state.usage.name(tenants.iter());
    if tenants.len() < most {
        let page = Page { after: None, limit: 1_000 };
        let budgets = state.store.list(BudgetFilter { tenant: None, page }).await?;
        for budget in budgets {
            if tenants.len() < most {
                tenants.insert(budget.scope.tenant.clone());
            }
        }
    }
    tenants.retain(|tenant| tenant.as_str() != OTHER);
    let (named, rest): (Vec<_>, Vec<_>) =
        spenders.iter().partition(|one| tenants.contains(&one.tenant));
    let mut reading = Reading {
        at: now,
        lines: Vec::new(),
        other_models: Vec::new(),
        spent: named.iter().map(|one| (one.tenant.clone(), one.usage)).collect(),
        other_tenants: sum(rest.iter().map(|one| one.usage)),
        spenders: spenders.iter().filter(|one| one.usage > Money::ZERO).count(),
    };
    for tenant in tenants {
        let (shown, rest) = select(in_force(state.store.status(&tenant, now).await?));
        reading.lines.extend(shown);
        if !rest.is_empty() {
            let settled = sum(rest.iter().map(|line| line.account.settled));
            reading.other_models.push((tenant, settled));
        }
    }
    Ok(reading)
}

/// A tenant's lines: those that are shown, and the rest.
fn select(mut lines: Vec<Line>) -> (Vec<Line>, Vec<Line>) {
    lines.retain(|line| line.budget.scope.is_tenant_wide());
    // One a tenant and model: that of the longest unit, a month before a day.
    lines.sort_by(|a, b| {
        let unit = |line: &Line| Reverse(line.budget.rule.unit());
        (&a.budget.scope, unit(a)).cmp(&(&b.budget.scope, unit(b)))
    });
    lines.dedup_by(|a, b| a.budget.scope == b.budget.scope);
    lines.sort_by_key(|line| {
        let is_other = line.budget.scope.model_or_star() == OTHER;
        (is_other, line.budget.origin != Origin::Set, Reverse(line.account.settled))
    });
    let is_other = |line: &&Line| line.budget.scope.model_or_star() == OTHER;
    let named = lines.len() - lines.iter().filter(is_other).count();
    let rest = lines.split_off(named.min(BUDGETS_MOST));
    (lines, rest)
}

fn sum(amounts: impl Iterator<Item = Money>) -> Money {
    amounts.fold(Money::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Money::MAX))
}
