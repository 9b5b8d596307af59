//! What every store must do: one suite for SQLite, Postgres, the in-memory model and clients.
//!
//! [`run`] opens a fresh store for each case and panics, naming the case, where one fails.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use focus::{Attribution, ModelName, ReportType, Scope, TenantId, UserId};
use jiff::{SignedDuration, Timestamp};
use money::{Money, ServiceTier, TokenUsage};

use crate::{Budget, EscrowError, Key, Line, Outcome, Quote, Release, Reserve, Settle, Store};

#[expect(clippy::unwrap_used, reason = "a case that panics has failed, as it should")]
mod cases;
#[expect(clippy::unwrap_used, reason = "a case that panics has failed, as it should")]
mod cloud;
#[expect(clippy::unwrap_used, reason = "a case that panics has failed, as it should")]
mod deliver;
mod history;
#[expect(clippy::unwrap_used, reason = "a case that panics has failed, as it should")]
mod kept;
mod split;

pub use history::{History, Step, apply};
pub use split::Split;

/// A clock that stands until it is moved.
#[derive(Debug, Clone)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    /// Starts at an instant.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_microsecond())))
    }

    /// What the clock says.
    pub fn now(&self) -> Timestamp {
        let micros = self.0.load(Ordering::SeqCst);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Moves it on.
    pub fn pass(&self, time: SignedDuration) {
        let micros = i64::try_from(time.as_micros()).unwrap_or(0);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

/// A store under test, and its clock.
pub struct Bench {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its clock.
    pub hands: Hands,
}

type Case = for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs every case on a store of its own, opened with the clock it is given.
pub async fn run<F, O>(open: F)
where
    F: Fn(Hands) -> O,
    O: Future<Output = Arc<dyn Store>>,
{
    for (name, case) in cases::ALL {
        let start = "2026-10-15T12:00:00Z".parse().expect("an instant");
        let hands = Hands::at(start);
        let store = open(hands.clone()).await;
        println!("conformance: {name}");
        let bench = Bench { store, hands };
        case(&bench).await;
        let verified = bench.store.verify().await.expect("verification runs");
        assert_eq!(verified.faults, Vec::<String>::new(), "{name}: the ledger has faults");
        bench.store.close().await;
    }
}

/// The tenant of most cases.
pub fn tenant() -> TenantId {
    TenantId::parse("acme").expect("a name")
}

/// A model name.
pub fn model(name: &str) -> ModelName {
    ModelName::parse(name).expect("a name")
}

/// A key that tests can repeat.
pub fn key(number: u64) -> Key {
    Key::from_u64_pair(0xbead, number)
}

/// Dollars from text.
pub fn usd(text: &str) -> Money {
    text.parse().expect("an amount")
}

/// A call of the tenant's.
pub fn call(model_name: &str, user: Option<&str>, report: Option<&str>) -> Attribution {
    Attribution {
        tenant: tenant(),
        model: model(model_name),
        user: user.map(|user| UserId::parse(user).expect("a name")),
        report_type: report.map(|report| ReportType::parse(report).expect("a name")),
    }
}

/// Tokens with a price that says what they cost.
pub fn quote(tokens: u64, amount: Option<&str>) -> Quote {
    let usage = TokenUsage { input: tokens, output: tokens / 2, ..TokenUsage::default() };
    Quote {
        usage,
        tier: ServiceTier::Standard,
        amount: amount.map(usd),
        given: false,
        estimated: false,
    }
}

impl Bench {
    /// Sets a hard monthly budget.
    pub async fn budget(&self, scope: Scope, limit: &str) -> Budget {
        let budget = Budget::new(scope, usd(limit), self.hands.now()).expect("a budget");
        self.store.put(budget).await.expect("the budget is kept")
    }

    /// Reserves an amount.
    pub async fn reserve(
        &self,
        number: u64,
        call: &Attribution,
        amount: &str,
    ) -> Result<Outcome, EscrowError> {
        let estimate = quote(100, Some(amount));
        let call = call.clone();
        let covered = number.is_multiple_of(2);
        let request =
            Reserve { key: key(number), call, estimate, timeout: None, covered, fresh: false };
        self.store.reserve(request).await
    }

    /// Settles a reservation at an amount.
    pub async fn settle(&self, number: u64, amount: &str) -> Result<Outcome, EscrowError> {
        let actual = quote(90, Some(amount));
        self.store.settle(Settle { key: key(number), call: None, actual }).await
    }

    /// Charges a call whether it was reserved or not.
    pub async fn track(
        &self,
        number: u64,
        call: &Attribution,
        amount: Option<&str>,
    ) -> Result<Outcome, EscrowError> {
        let (actual, call) = (quote(90, amount), Some(call.clone()));
        self.store.settle(Settle { key: key(number), call, actual }).await
    }

    /// Releases a reservation.
    pub async fn release(&self, number: u64) -> Result<Outcome, EscrowError> {
        self.store.release(Release { key: key(number) }).await
    }

    /// How the tenant's budget for a model stands; `None` for the one over all.
    pub async fn line(&self, model: Option<&str>) -> Line {
        let lines = self.store.status(&tenant(), self.hands.now()).await.expect("a status");
        let found = lines.into_iter().find(|line| {
            let scope = &line.budget.scope;
            scope.model.as_ref().map(ModelName::as_str) == model && scope.is_tenant_wide()
        });
        found.unwrap_or_else(|| panic!("no budget for {model:?}"))
    }

    /// Settled, held and unresolved of that budget, as text.
    pub async fn balances(&self, model: Option<&str>) -> (String, String, String) {
        let account = self.line(model).await.account;
        let text = |money: Money| money.to_string();
        (text(account.settled), text(account.held), text(account.unresolved))
    }
}
