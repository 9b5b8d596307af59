//! Drives the demo's traffic through the real engine, at the times at which it would have happened.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use anyhow::Context as _;
use budget::{Budget, Defaults, EscrowError, Reserve, Settle, Tenant, Thresholds};
use focus::{Attribution, ModelName, ReportType, Scope, TenantId};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use money::{Money, PriceBook, TokenUsage};
use tokio::task::JoinSet;
use uuid::Builder;

use super::{
    tenants::COMPANIES,
    traffic::{Request, Span},
};
use crate::{context::Store, replay::engine::Engine, seed::Random};

/// A clock that stands where it is set, and runs once it is let go.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// The time: as set, or the real one.
    pub fn now(&self) -> Timestamp {
        match self.0.load(Ordering::Acquire) {
            0 => Timestamp::now(),
            micros => Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Moves it forward, never back.
    pub fn set(&self, at: Timestamp) {
        self.0.fetch_max(at.as_microsecond(), Ordering::AcqRel);
    }

    /// Lets it run.
    pub fn run(&self) {
        self.0.store(0, Ordering::Release);
    }
}

/// What came of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// Calls that were charged.
    pub accepted: u64,
    /// Calls that were refused.
    pub refused: u64,
}

/// Requests in one stretch share transactions; the clock stands within it.
const STRETCH: SignedDuration = SignedDuration::from_mins(30);

/// Sets the budgets and makes the calls.
pub async fn fill(
    store: &Store,
    book: &PriceBook,
    clock: &Clock,
    seed: u64,
    span: Span,
    traffic: Vec<Request>,
) -> anyhow::Result<Filled> {
    clock.set(span.begin);
    set_budgets(store, span.begin).await?;
    let engine = Arc::new(Engine::new(store.clone(), book.clone()));
    let bar = ProgressBar::new(traffic.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} requests")?);
    let mut random = Random::new(seed.wrapping_add(1));
    let mut filled = Filled::default();
    for (_, stretch) in stretches(traffic) {
        let mut calls = JoinSet::new();
        for request in stretch {
            clock.set(request.at);
            let (key, engine) = (key(&mut random), engine.clone());
            calls.spawn(
                async move { engine.spend(key, request.call, request.usage, request.at).await },
            );
        }
        while let Some(called) = calls.join_next().await {
            match called.context("a call has failed")? {
                Ok(_) => filled.accepted += 1,
                Err(EscrowError::Refused(_)) => filled.refused += 1,
                Err(error) => return Err(error.into()),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    leave_open(store, &engine, clock, &mut random, span).await?;
    clock.run();
    Ok(filled)
}

fn stretches(traffic: Vec<Request>) -> BTreeMap<i128, Vec<Request>> {
    let mut stretches: BTreeMap<i128, Vec<Request>> = BTreeMap::new();
    for request in traffic {
        let stretch = request.at.as_nanosecond() / STRETCH.as_nanos();
        stretches.entry(stretch).or_default().push(request);
    }
    stretches
}

async fn set_budgets(store: &Store, now: Timestamp) -> anyhow::Result<()> {
    for company in &COMPANIES {
        let id = TenantId::parse(company.id)?;
        let tenant = Tenant {
            id: id.clone(),
            name: Some(company.name.to_owned()),
            tier: Some(company.tier),
            admin_email: Some(format!("finance@{}.example", company.id)),
            created_at: now,
        };
        store.put_tenant(tenant).await?;
        let limit = Money::from_dollars(company.limit);
        store.put(Budget::new(Scope::tenant(id), limit, now)?).await?;
    }
    // Narrower ones: a model, and a report type that is told about early.
    let polaris = TenantId::parse("polaris-bank")?;
    let opus = Scope::model(polaris.clone(), ModelName::parse("claude-3-opus-20240229")?);
    store.put(Budget::new(opus, Money::from_dollars(25_000), now)?).await?;
    let annual = Scope {
        report_type: Some(ReportType::parse("annual-csr")?),
        ..Scope::tenant(TenantId::parse("northwind-energy")?)
    };
    let annual = Budget::new(annual, Money::from_dollars(6_000), now)?;
    store.put(Budget { thresholds: Thresholds::new(vec![50, 80, 100])?, ..annual }).await?;
    Ok(())
}

/// A call past the limit, a few in flight, and one of which nothing more was heard.
async fn leave_open(
    store: &Store,
    engine: &Engine,
    clock: &Clock,
    random: &mut Random,
    span: Span,
) -> anyhow::Result<()> {
    let usage = TokenUsage { input: 120_000, output: 9_000, ..TokenUsage::default() };
    let model = "claude-3-5-sonnet-20241022";
    let timeout = Defaults::default().timeout;
    let hours = SignedDuration::from_hours(2);
    let second = SignedDuration::from_secs(1);
    let open = [
        // It was due a moment ago.
        ("kestrel-labs", second),
        ("polaris-bank", hours),
        ("polaris-bank", hours),
        ("atlas-logistics", hours),
        ("cobalt-insurance", timeout),
    ];
    clock.set(span.now);
    // A call that happened without asking: it is recorded in full, and passes the limit.
    let opus = ModelName::parse("claude-3-opus-20240229")?;
    let actual = engine.charge_quote(opus.as_str(), usage, span.now);
    let harvest = TenantId::parse("harvest-foods")?;
    let call = Attribution { tenant: harvest, model: opus, user: None, report_type: None };
    store.settle(Settle { key: key(random), call: Some(call), actual }).await?;
    for (tenant, timeout) in open {
        let call = Attribution {
            tenant: TenantId::parse(tenant)?,
            model: ModelName::parse(model)?,
            user: None,
            report_type: Some(ReportType::parse("monthly-impact")?),
        };
        let estimate = engine.hold_quote(model, usage, span.now);
        let (key, timeout) = (key(random), Some(timeout));
        store
            .reserve(Reserve { key, call, estimate, timeout, covered: false, fresh: false })
            .await?;
    }
    let later = span.now.checked_add(second)?;
    clock.set(later);
    store.sweep(later).await?;
    Ok(())
}

fn key(random: &mut Random) -> uuid::Uuid {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}
