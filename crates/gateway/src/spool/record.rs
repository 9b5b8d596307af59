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
    Release {
        release: Key,
        /// Who paid; of lines of an earlier version that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantId>,
    },
    Batch {
        batch: VendorBatch,
    },
    /// A call without a hold that goes out, with what it is charged should nobody tell how it ended.
    Begun {
        begun: Record,
    },
}

/// What a line of [`Line::Begun`] begins with.
pub(super) const BEGUN: &[u8] = b"{\"begun\":";

/// A charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: Key,
    pub(super) call: Attribution,
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
    /// A hold of a tenant to be freed; perhaps it has never been made.
    Release(Key, TenantId),
    /// A batch that the vendor has made.
    Batch(VendorBatch),
    /// A call without a hold that is about to go out.
    Begun(Charge),
}

impl Line {
    /// Who pays.
    pub(super) fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Charge(record) | Self::Begun { begun: record } => Some(&record.call.tenant),
            Self::Release { tenant, .. } => tenant.as_ref(),
            Self::Batch { batch } => Some(&batch.tenant),
        }
    }

    /// The calls whose ending it tells.
    pub(super) fn ended(&self) -> Vec<Key> {
        match self {
            Self::Charge(record) => vec![record.key],
            Self::Release { release, .. } => vec![*release],
            Self::Batch { batch } => batch.holds.iter().map(|hold| hold.key).collect(),
            Self::Begun { .. } => Vec::new(),
        }
    }

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
            Untold::Release(key, tenant) => {
                Self::Release { release: *key, tenant: Some(tenant.clone()) }
            }
            Untold::Batch(batch) => Self::Batch { batch: batch.clone() },
            Untold::Begun(charge) => Self::Begun { begun: charge.into() },
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
