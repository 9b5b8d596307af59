//! A budget: what it covers, how much it allows, and what happens at the edges.

use std::{fmt, str::FromStr};

use focus::{ModelName, PeriodRule, PeriodUnit, Scope};
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

/// A budget's name: derived from what it covers and its period's unit, so that there is one of each
/// and any writer, a hand in SQL included, arrives at the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BudgetId(pub Uuid);

impl BudgetId {
    /// The first 16 bytes of SHA-256 over tenant, model (or `*`), user, report type and unit, each
    /// ended by a line feed; what is `None` is empty.
    pub fn of(scope: &Scope, unit: PeriodUnit) -> Self {
        let mut hash = Sha256::new();
        let user = scope.user.as_ref().map_or("", |user| user.as_str());
        let kind = scope.report_type.as_ref().map_or("", |kind| kind.as_str());
        for part in [scope.tenant.as_str(), scope.model_or_star(), user, kind, unit.as_str()] {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for BudgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BudgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why values make no budget.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BudgetError {
    /// A limit below zero or above what accounts can hold.
    #[error("limit must be between 0 and 1000000000 USD, this is {0}")]
    Limit(Money),
    /// A threshold of no use.
    #[error("thresholds are 1 to 16 whole percentages from 1 to 1000, this is {0:?}")]
    Thresholds(Vec<u16>),
    /// No such tier.
    #[error("tier {0:?} is none of starter, professional, enterprise, custom")]
    Tier(String),
    /// A custom tier starts at $50,000.
    #[error("a custom tier starts at 50000 USD, this is {0}")]
    Custom(Money),
}

/// What happens to a request that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// It is refused.
    #[default]
    Hard,
    /// It is let through and counted: shadow mode, to see what a limit would do.
    Shadow,
}

/// What happens instead of a refusal where a caller's way in can bend a call: the gateway's can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Nothing: it is refused.
    #[default]
    Refuse,
    /// Its answer is limited to what is still affordable.
    Clamp,
    /// The first of these models that fits is called.
    Fallback(Vec<ModelName>),
}

impl Overflow {
    /// Models that a budget may fall back to, at most.
    pub const MODELS_MOST: usize = 16;
}

/// As tables keep it: `refuse`, `clamp`, or `fallback` and the models behind it.
impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refuse"),
            Self::Clamp => f.write_str("clamp"),
            Self::Fallback(models) => {
                f.write_str("fallback")?;
                models.iter().try_for_each(|model| write!(f, " {model}"))
            }
        }
    }
}

impl FromStr for Overflow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let word = words.next().unwrap_or_default();
        let parse = |name| ModelName::parse(name).map_err(|error| format!("{name}: {error}"));
        let models: Vec<ModelName> = words.map(parse).collect::<Result<_, _>>()?;
        match word {
            "refuse" if models.is_empty() => Ok(Self::Refuse),
            "clamp" if models.is_empty() => Ok(Self::Clamp),
            "fallback" if (1..=Self::MODELS_MOST).contains(&models.len()) => {
                Ok(Self::Fallback(models))
            }
            "fallback" => Err(format!("fallback takes 1 to {} models", Self::MODELS_MOST)),
            _ => Err(format!("{text:?} is none of refuse, clamp, fallback MODEL...")),
        }
    }
}

/// Who made a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// An operator, by API, command line or SQL.
    #[default]
    Set,
    /// Nobody: the tenant called a model that no budget covered. It stops counting as soon as a
    /// budget that was set covers the call.
    Default,
}

/// Percentages of the limit at which somebody is told. The first is the soft limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds(Vec<u16>);

impl Thresholds {
    /// Sorts and checks percentages.
    pub fn new(mut percents: Vec<u16>) -> Result<Self, BudgetError> {
        percents.sort_unstable();
        percents.dedup();
        let fits = (1..=16).contains(&percents.len())
            && percents.iter().all(|percent| (1..=1000).contains(percent));
        if fits { Ok(Self(percents)) } else { Err(BudgetError::Thresholds(percents)) }
    }

    /// The percentages, rising.
    pub fn percents(&self) -> &[u16] {
        &self.0
    }

    /// The first percentage.
    pub fn soft(&self) -> u16 {
        self.0.first().copied().unwrap_or(80)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self(vec![80, 100])
    }
}

/// A limit on what a scope may spend in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Derived from scope and unit.
    pub id: BudgetId,
    /// The calls that count.
    pub scope: Scope,
    /// What they may cost together in one period.
    pub limit: Money,
    /// The periods.
    pub rule: PeriodRule,
    /// When to tell.
    pub thresholds: Thresholds,
    /// Whether to refuse.
    pub enforcement: Enforcement,
    /// What to do instead of refusing.
    pub overflow: Overflow,
    /// Who made it.
    pub origin: Origin,
    /// From when its accounts count by themselves; what the running period had spent before is
    /// brought in when its account opens.
    pub since: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Budget {
    /// The highest limit: $1,000,000,000.
    pub const LIMIT_MOST: Money = Money::from_nanos(1_000_000_000 * 1_000_000_000);

    /// A hard monthly budget with the default thresholds.
    pub fn new(scope: Scope, limit: Money, now: Timestamp) -> Result<Self, BudgetError> {
        Self::with_rule(scope, limit, PeriodRule::default(), now)
    }

    /// A hard budget over other periods.
    pub fn with_rule(
        scope: Scope,
        limit: Money,
        rule: PeriodRule,
        now: Timestamp,
    ) -> Result<Self, BudgetError> {
        if limit.is_negative() || limit > Self::LIMIT_MOST {
            return Err(BudgetError::Limit(limit));
        }
        Ok(Self {
            id: BudgetId::of(&scope, rule.unit()),
            scope,
            limit,
            rule,
            thresholds: Thresholds::default(),
            enforcement: Enforcement::Hard,
            overflow: Overflow::Refuse,
            origin: Origin::Set,
            since: now,
            updated_at: now,
        })
    }

    /// The budget in the place of the one with its id: its accounts go on, unless the periods are
    /// others now, or a default is set, whose calls others may have covered meanwhile.
    pub fn in_place_of(self, before: Option<&Self>) -> Self {
        let is_set = |before: &Self| (before.origin, self.origin) == (Origin::Default, Origin::Set);
        let goes_on = before.filter(|before| before.rule == self.rule && !is_set(before));
        let since = goes_on.map_or(self.since, |before| before.since);
        Self { since, ..self }
    }
}

/// The commercial tiers, each a monthly limit over all models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// $500 a month.
    Starter,
    /// $2,000 a month.
    Professional,
    /// $10,000 a month.
    Enterprise,
    /// Agreed, from $50,000 a month.
    Custom,
}

impl Tier {
    /// The monthly limit; for a custom tier the agreed one, from $50,000, which is also its default.
    pub fn limit(self, agreed: Option<Money>) -> Result<Money, BudgetError> {
        let floor = Money::from_dollars(match self {
            Self::Starter => 500,
            Self::Professional => 2_000,
            Self::Enterprise => 10_000,
            Self::Custom => 50_000,
        });
        match agreed {
            Some(agreed) if self == Self::Custom && agreed < floor => {
                Err(BudgetError::Custom(agreed))
            }
            Some(agreed) if self == Self::Custom => Ok(agreed),
            _ => Ok(floor),
        }
    }

    /// The tier as the wire and the tables write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Professional => "professional",
            Self::Enterprise => "enterprise",
            Self::Custom => "custom",
        }
    }
}

impl FromStr for Tier {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        [Self::Starter, Self::Professional, Self::Enterprise, Self::Custom]
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or_else(|| BudgetError::Tier(text.to_owned()))
    }
}
