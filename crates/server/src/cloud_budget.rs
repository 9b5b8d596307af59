//! Budgets for cloud cost against the bills: what each has spent, and what has to be told of it.
//!
//! Sums are asked once for each version of the lake and remembered, forecasts once for each day of it;
//! so is what was told, so that a turn in which nothing has changed writes nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use budget::{BudgetId, CloudBudget, CloudEvent, StoreError};
use focus::{
    Decimal,
    cost::{AsOf, Costs, CostsError, Months},
};
use jiff::{civil::Date, tz::TimeZone};
use tokio::sync::Semaphore;

use crate::{jobs, metrics::Job, service::Shared};

/// Names of events that are remembered, at most; what is forgotten is told to the store again,
/// which knows that it was told.
const TOLD_MOST: usize = 100_000;

/// What is known of one version of the lake.
#[derive(Default)]
struct Known {
    version: u64,
    sums: HashMap<(BudgetId, Months), Decimal>,
    /// What is foreseen on a day.
    ends: HashMap<(BudgetId, Date), Option<Decimal>>,
    told: HashSet<String>,
    /// How the budgets stood at the last turn of the job.
    standings: Vec<Standing>,
}

/// How a budget stands in its running period.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) budget: CloudBudget,
    pub(crate) spent: Decimal,
    /// What will have been spent when the period ends, as far as that can be told.
    pub(crate) end: Option<Decimal>,
}

/// What budgets for cloud cost have spent.
#[derive(Default)]
pub(crate) struct Spent(Mutex<Known>);

impl Spent {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the budgets stood at the last turn of the job.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        self.known().standings.clone()
    }

    /// The sum of what a budget watches in some months, by a version of the lake.
    pub(crate) async fn of(
        &self,
        costs: &dyn Costs,
        questions: &Semaphore,
        version: u64,
        budget: &CloudBudget,
        months: Months,
    ) -> Result<Decimal, CostsError> {
        let place = (budget.id, months);
        if let Some(sum) = self.of_version(version).sums.get(&place) {
            return Ok(*sum);
        }
        let mut asked = budget.watched.asked(months);
        asked.as_of = AsOf::version(version);
        // Nobody closes it; without leave the question would be asked all the same.
        let _leave = questions.acquire().await;
        let totals = costs.report(&asked).await?.totals;
        let sum = totals.get(&budget.watched.currency).copied().unwrap_or_default();
        let mut known = self.known();
        if known.version == version {
            known.sums.insert(place, sum);
        }
        Ok(sum)
    }

    /// What is known of a version of the lake; what was known of another one is forgotten.
    fn of_version(&self, version: u64) -> MutexGuard<'_, Known> {
        let mut known = self.known();
        if known.version != version {
            known.version = version;
            known.sums.clear();
            known.ends.clear();
        }
        known
    }

    /// What a budget will have spent at the end of some months, by a version of the lake.
    async fn foreseen(
        &self,
        costs: &dyn Costs,
        questions: &Semaphore,
        version: u64,
        budget: &CloudBudget,
        (months, today): (Months, Date),
    ) -> Result<Option<Decimal>, CostsError> {
        let place = (budget.id, today);
        if let Some(end) = self.of_version(version).ends.get(&place) {
            return Ok(*end);
        }
        let mut asked = budget.watched.asked_by_day(forecast::with_history(months));
        asked.as_of = AsOf::version(version);
        let _leave = questions.acquire().await;
        let days = budget.watched.days(&costs.report(&asked).await?.table);
        let end = forecast::foresee(&days, months, today).map(|foreseen| foreseen.end);
        let mut known = self.known();
        if known.version == version {
            known.ends.retain(|(_, day), _| *day == today);
            known.ends.insert(place, end);
        }
        Ok(end)
    }
}

/// One turn of the job: looks at every budget and tells what was not told before. A budget that
/// can't be summed keeps none of the others from being told of.
pub(crate) async fn watch(state: Shared) {
    match turn(&state).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "budgets for cloud cost have crossed thresholds"),
        Err(Trouble::Store(error)) => jobs::failed(&state, Job::CloudBudgets, &error),
        Err(Trouble::Costs(error)) => jobs::failed(&state, Job::CloudBudgets, &error),
    }
}

enum Trouble {
    Store(StoreError),
    Costs(CostsError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CostsError> for Trouble {
    fn from(error: CostsError) -> Self {
        Self::Costs(error)
    }
}

async fn turn(state: &Shared) -> Result<u64, Trouble> {
    let Some(costs) = &state.costs else { return Ok(0) };
    let budgets = state.store.cloud_budgets().await?;
    let (now, version) = (state.now(), costs.version().await?);
    let (mut events, mut running) = (Vec::new(), Vec::new());
    for budget in &budgets {
        for months in budget.periods(now) {
            match state.spent.of(&**costs, &state.questions, version, budget, months).await {
                Ok(spent) => {
                    events.extend(budget.crossed(months, spent, now));
                    if budget.period(now) == Some(months) {
                        running.push((budget, months, spent));
                    }
                }
                Err(error) => unsummed(state, budget, &error),
            }
        }
    }
    let told = tell(state, events).await;
    // After what has to be told: a forecast may wait.
    let today = now.to_zoned(TimeZone::UTC).date();
    let mut standings = Vec::with_capacity(running.len());
    for (budget, months, spent) in running {
        let when = (months, today);
        let end = state.spent.foreseen(&**costs, &state.questions, version, budget, when).await;
        let end = end.unwrap_or_else(|error| {
            unsummed(state, budget, &error);
            None
        });
        standings.push(Standing { budget: budget.clone(), spent, end });
    }
    state.spent.known().standings = standings;
    told
}

fn unsummed(state: &Shared, budget: &CloudBudget, error: &CostsError) {
    state.metrics.failed(Job::CloudBudgets);
    let (name, cause) = (&budget.name, std::error::Error::source(error));
    tracing::warn!(cause, "budget {name:?} for cloud cost can't be summed: {error}");
}

/// Writes into the outbox what was not told before. How many that were.
async fn tell(state: &Shared, mut events: Vec<CloudEvent>) -> Result<u64, Trouble> {
    let mut names: Vec<String> = Vec::new();
    events.retain(|event| {
        let name = event.name();
        let is_new = !state.spent.known().told.contains(&name);
        names.extend(is_new.then_some(name));
        is_new
    });
    if events.is_empty() {
        return Ok(0);
    }
    let told = state.store.tell_cloud(events).await?;
    let mut known = state.spent.known();
    if known.told.len() + names.len() > TOLD_MOST {
        known.told.clear();
    }
    known.told.extend(names);
    Ok(told)
}
