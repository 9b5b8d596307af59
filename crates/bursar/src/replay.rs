//! Replay: a trace of real requests, through the engine or through a running service, and the check
//! that what was accepted is what the ledger holds, to the nano-dollar.

pub mod check;
pub mod drive;
pub mod engine;
pub mod http;
pub mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use focus::TenantId;
use jiff::Timestamp;
use money::Money;

use plan::Call;

/// What came of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was reserved and settled.
    Accepted {
        /// What was charged.
        cost: Money,
        /// An earlier run had done it; nothing changed.
        replayed: bool,
    },
    /// It did not fit its budgets.
    Refused,
    /// It could not be answered.
    Failed(String),
}

/// An account that counts all that a tenant spends, beside what the records say of its period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// The model, or `*`.
    pub model: String,
    /// The limit.
    pub limit: Money,
    /// Settled in the account.
    pub settled: Money,
    /// Settled, held and unresolved.
    pub counted: Money,
    /// The cost of all recorded calls of its period.
    pub recorded: Money,
}

/// What the ledger says of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerView {
    /// The cost of all recorded calls.
    pub recorded: Money,
    /// The accounts that can be compared with it.
    pub accounts: Vec<AccountView>,
}

/// Where the calls go.
#[derive(Debug, Clone)]
pub enum Target {
    /// Straight through the engine on a database.
    Engine(Arc<engine::Engine>),
    /// Through a running service.
    Http(Arc<http::Http>),
}

impl Target {
    /// Reserves with the true tokens, then settles.
    pub async fn send(&self, call: &Call) -> Answer {
        match self {
            Self::Engine(engine) => engine.send(call).await,
            Self::Http(http) => http.send(call).await,
        }
    }

    /// Sets a tenant's monthly limit over all models.
    pub async fn set_limit(&self, tenant: &TenantId, limit: Money) -> anyhow::Result<()> {
        match self {
            Self::Engine(engine) => engine.set_limit(tenant, limit).await,
            Self::Http(http) => http.set_limit(tenant, limit).await,
        }
    }

    /// What the ledger says of a tenant now.
    pub async fn ledger(&self, tenant: &TenantId) -> anyhow::Result<LedgerView> {
        let now = Timestamp::now();
        match self {
            Self::Engine(engine) => engine.ledger(tenant, now).await,
            Self::Http(http) => http.ledger(tenant, now).await,
        }
    }
}
