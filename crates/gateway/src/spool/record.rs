//! What is kept: a charge, a release or a batch, as a line of JSON.

use budget::{Key, Quote, Settle, VendorBatch};
use focus::{Attribution, TenantId};
use money::{Money, ServiceTier, TokenUsage};
use serde::{Deserialize, Serialize};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    Charge(Record),
    Release { release: Key },
    Batch { batch: VendorBatch },
}

/// A charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    key: Key,
    call: Attribution,
    usage: TokenUsage,
    tier: ServiceTier,
    /// In nano-dollars; none where the model has no price.
    amount: Option<String>,
    given: bool,
    #[serde(default)]
    estimated: bool,
}

/// What a call is charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) key: Key,
    pub(crate) call: Attribution,
    pub(crate) actual: Quote,
}

impl Charge {
    /// The charge, also where nothing is held under its key.
    pub(crate) fn settle(&self) -> Settle {
        Settle { key: self.key, call: Some(self.call.clone()), actual: self.actual }
    }
}

/// What the store could not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Untold {
    Charge(Charge),
    /// A hold to be freed; perhaps it has never been made.
    Release(Key),
    /// A batch that the vendor has made.
    Batch(VendorBatch),
}

impl Line {
    /// What the line of a batch begins with.
    pub(super) fn batch_start(id: &str, tenant: &TenantId) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        format!("{{\"batch\":{{\"id\":{},\"tenant\":{}", text(id), text(tenant.as_str()))
    }
}

impl From<&Untold> for Line {
    fn from(untold: &Untold) -> Self {
        match untold {
            Untold::Charge(charge) => Self::Charge(charge.into()),
            Untold::Release(key) => Self::Release { release: *key },
            Untold::Batch(batch) => Self::Batch { batch: batch.clone() },
        }
    }
}

impl From<&Charge> for Record {
    fn from(charge: &Charge) -> Self {
        let Quote { usage, tier, amount, given, estimated } = charge.actual;
        let amount = amount.map(|amount| amount.nanos().to_string());
        let call = charge.call.clone();
        Self { key: charge.key, call, usage, tier, amount, given, estimated }
    }
}

impl Record {
    pub(super) fn into_settle(self) -> Option<Settle> {
        let amount = match self.amount {
            Some(nanos) => Some(Money::from_nanos(nanos.parse().ok()?)),
            None => None,
        };
        let Self { usage, tier, given, estimated, .. } = self;
        let actual = Quote { usage, tier, amount, given, estimated };
        Some(Settle { key: self.key, call: Some(self.call), actual })
    }
}
