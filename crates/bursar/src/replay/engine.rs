//! Calls straight through the engine.

use std::fmt;

use anyhow::Context as _;
use budget::{Budget, EscrowError, Origin, Quote, Reserve, Settle, State, UsageGroup, UsageQuery};
use focus::{Attribution, Period, Scope, TenantId};
use jiff::Timestamp;
use money::{Money, PriceBook, Rounding, ServiceTier, TokenUsage};

use super::{AccountView, Answer, LedgerView, plan::Call};
use crate::context::Store;

/// A store and the prices.
pub struct Engine {
    store: Store,
    book: PriceBook,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What a call has led to.
#[derive(Debug)]
pub struct Settled {
    /// What was charged.
    pub cost: Money,
    /// An earlier run had done it.
    pub replayed: bool,
}

impl Engine {
    /// The engine on an open store.
    pub fn new(store: Store, book: PriceBook) -> Self {
        Self { store, book }
    }

    /// What is promised before usage, at the prices of `at`.
    pub fn hold_quote(&self, model: &str, usage: TokenUsage, at: Timestamp) -> Quote {
        let tier = ServiceTier::Standard;
        Quote {
            usage,
            tier,
            amount: self.book.hold(model, &usage, tier, at).ok(),
            given: false,
            estimated: false,
        }
    }

    /// What usage costs at the prices of `at`.
    pub fn charge_quote(&self, model: &str, usage: TokenUsage, at: Timestamp) -> Quote {
        let tier = ServiceTier::Standard;
        let amount = self.book.charge(model, &usage, tier, at, Rounding::HalfEven).ok();
        Quote { usage, tier, amount, given: false, estimated: false }
    }

    /// Reserves with the true usage, then settles it.
    pub async fn spend(
        &self,
        key: uuid::Uuid,
        call: Attribution,
        usage: TokenUsage,
        now: Timestamp,
    ) -> Result<Settled, EscrowError> {
        let model = call.model.clone();
        let estimate = self.hold_quote(model.as_str(), usage, now);
        let reserve = Reserve {
            key,
            call: call.clone(),
            estimate,
            timeout: None,
            covered: false,
            fresh: false,
        };
        let held = self.store.reserve(reserve).await?;
        let created_at = held.reservation.created_at;
        let actual = self.charge_quote(model.as_str(), usage, created_at);
        let settled = self.store.settle(Settle { key, call: Some(call), actual }).await?;
        match settled.reservation.cost {
            Some(cost) if settled.reservation.state == State::Settled => {
                Ok(Settled { cost, replayed: settled.replayed })
            }
            _ => Err(EscrowError::State { key, state: settled.reservation.state }),
        }
    }

    pub(super) async fn send(&self, call: &Call) -> Answer {
        let attribution = Attribution {
            tenant: call.tenant.clone(),
            model: call.model.clone(),
            user: None,
            report_type: None,
        };
        match self.spend(call.key, attribution, call.usage, Timestamp::now()).await {
            Ok(Settled { cost, replayed }) => Answer::Accepted { cost, replayed },
            Err(EscrowError::Refused(_) | EscrowError::NoBudget(_)) => Answer::Refused,
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    pub(super) async fn set_limit(&self, tenant: &TenantId, limit: Money) -> anyhow::Result<()> {
        let scope = Scope::tenant(tenant.clone());
        self.store.put(Budget::new(scope, limit, Timestamp::now())?).await?;
        Ok(())
    }

    pub(super) async fn ledger(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> anyhow::Result<LedgerView> {
        let lines = self.store.status(tenant, now).await?;
        let set_for_all = lines
            .iter()
            .any(|line| line.budget.origin == Origin::Set && line.budget.scope.is_tenant_wide());
        let mut accounts = Vec::new();
        for line in &lines {
            let (budget, account) = (&line.budget, &line.account);
            // A default budget stops counting as soon as one that was set covers its calls.
            let counts =
                budget.scope.is_tenant_wide() && (budget.origin == Origin::Set || !set_for_all);
            if counts {
                let period = Period { start: account.id.start, end: account.end };
                accounts.push(AccountView {
                    model: budget.scope.model_or_star().to_owned(),
                    limit: budget.limit,
                    settled: account.settled,
                    counted: account.counted().context("a balance is out of range")?,
                    recorded: self.recorded(tenant, period, &budget.scope).await?,
                });
            }
        }
        let all = Period { start: Timestamp::UNIX_EPOCH, end: year_after(now)? };
        let recorded = self.recorded(tenant, all, &Scope::tenant(tenant.clone())).await?;
        Ok(LedgerView { recorded, accounts })
    }

    async fn recorded(
        &self,
        tenant: &TenantId,
        period: Period,
        scope: &Scope,
    ) -> anyhow::Result<Money> {
        let rows = self.store.usage(UsageQuery {
            tenant: Some(tenant.clone()),
            from: period.start,
            to: period.end,
            group_by: vec![UsageGroup::Model],
        });
        let rows = rows.await?;
        let covered = rows.iter().filter(|row| scope.model.is_none() || scope.model == row.model);
        covered
            .map(|row| row.cost)
            .try_fold(Money::ZERO, Money::checked_add)
            .context("the recorded cost is out of range")
    }
}

fn year_after(now: Timestamp) -> anyhow::Result<Timestamp> {
    Ok(now.checked_add(jiff::SignedDuration::from_hours(24 * 366))?)
}
