//! A settled AI request as charges: one row for each class of tokens, as the specification wants
//! one quantity a row.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use money::{Money, Rounding, ServiceTier, UnitPrice};
use thiserror::Error;

use super::{Charge, Value};
use crate::{
    Attribution, Column, Decimal, PeriodError, PeriodRule, PeriodUnit,
    value::{object, string},
};

/// A class that tokens are billed in. No token is in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenClass {
    /// Prompt tokens neither read from nor written to a cache.
    Input,
    /// Generated tokens.
    Output,
    /// Prompt tokens read from a cache.
    CacheRead,
    /// Prompt tokens written to a cache that lives five minutes.
    CacheWrite5m,
    /// Prompt tokens written to a cache that lives an hour.
    CacheWrite1h,
}

impl TokenClass {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Input, Self::Output, Self::CacheRead, Self::CacheWrite5m, Self::CacheWrite1h];

    /// The class as ids write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
        }
    }

    /// What `SkuMeter` calls it.
    pub const fn meter(self) -> &'static str {
        match self {
            Self::Input => "Input Tokens",
            Self::Output => "Output Tokens",
            Self::CacheRead => "Cache Read Tokens",
            Self::CacheWrite5m => "Cache Write Tokens (5 Minutes)",
            Self::CacheWrite1h => "Cache Write Tokens (1 Hour)",
        }
    }
}

/// Tokens of one class and what a million of them costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLine {
    /// The class.
    pub class: TokenClass,
    /// How many.
    pub quantity: u64,
    /// The price that was in force.
    pub unit_price: UnitPrice,
}

/// Who bills the tenants: the operator of Bursar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Biller {
    /// `InvoiceIssuerName`.
    pub issuer: Arc<str>,
    /// `BillingAccountId`.
    pub account_id: Arc<str>,
    /// `BillingAccountName`.
    pub account_name: Arc<str>,
}

/// A settled request.
#[derive(Debug, Clone, Copy)]
pub struct AiUsage<'a> {
    /// Who bills it.
    pub biller: &'a Biller,
    /// Tenant, model, user and report type.
    pub attribution: &'a Attribution,
    /// Who serves the model: `anthropic`.
    pub vendor: &'a str,
    /// The request's key, which names it in the ledger.
    pub request: &'a str,
    /// How it was served.
    pub tier: ServiceTier,
    /// When it began; its month (UTC) is the billing period.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// What was used. Lines without tokens make no row.
    pub lines: &'a [TokenLine],
    /// What the ledger charged, to the nano-dollar. The rows' costs sum to it.
    pub cost: Money,
}

/// Why a request makes no charges.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AiUsageError {
    /// Its time is in no month.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// Its quantities and prices are beyond any amount.
    #[error("request {request:?} has quantities and prices beyond any amount")]
    Overflow {
        /// The request's key.
        request: String,
    },
}

/// Digits of a dollar that a price for one token has: nine of the dollar, six of the million.
const PRICE_SCALE: u8 = 15;
/// Nano-dollars per million tokens, times tokens, in one nano-dollar.
const PER_NANO: i128 = 1_000_000;

impl AiUsage<'_> {
    /// The request's charges, one for each class of tokens that was used. A request with a cost
    /// and without tokens makes one for the request itself.
    ///
    /// `ListCost` and `ContractedCost` are quantity times price, exactly; `BilledCost` and
    /// `EffectiveCost` are whole nano-dollars that sum to what the ledger charged.
    pub fn charges(&self) -> Result<Vec<Charge>, AiUsageError> {
        let month = PeriodRule::calendar(PeriodUnit::Month)?.period(self.started)?;
        let lines: Vec<&TokenLine> = self.lines.iter().filter(|line| line.quantity > 0).collect();
        let list_costs: Option<Vec<i128>> = lines.iter().map(|line| exact_cost(line)).collect();
        let overflow = || AiUsageError::Overflow { request: self.request.to_owned() };
        let list_costs = list_costs.ok_or_else(overflow)?;
        let mut base = self.base();
        put(&mut base, Column::BillingPeriodStart, Value::Instant(month.start));
        put(&mut base, Column::BillingPeriodEnd, Value::Instant(month.end));
        if lines.is_empty() {
            let rows = (!self.cost.is_zero()).then(|| self.request_row(base));
            return Ok(rows.into_iter().collect());
        }
        let costs = split(self.cost, &list_costs).ok_or_else(overflow)?;
        let rows = lines.iter().zip(list_costs).zip(costs);
        Ok(rows
            .map(|((line, list), cost)| self.token_row(base.clone(), line, list, cost))
            .collect())
    }

    /// What all rows have in common.
    fn base(&self) -> Charge {
        let mut row = Charge::default();
        // A charge period is no moment, and clocks may step back.
        let least = self.started.checked_add(SignedDuration::from_micros(1));
        let ended = self.ended.max(least.unwrap_or(self.started));
        let tenant = self.attribution.tenant.as_str();
        let model = self.attribution.model.as_str();
        for (column, text) in [
            (Column::BillingAccountId, &*self.biller.account_id),
            (Column::BillingAccountName, &*self.biller.account_name),
            (Column::BillingAccountType, "Ledger"),
            (Column::BillingCurrency, "USD"),
            (Column::ChargeCategory, "Usage"),
            (Column::ChargeFrequency, "Usage-Based"),
            (Column::HostProviderName, self.vendor),
            (Column::InvoiceIssuerName, &*self.biller.issuer),
            (Column::PricingCategory, "Standard"),
            (Column::PricingCurrency, "USD"),
            (Column::ResourceId, model),
            (Column::ResourceName, model),
            (Column::ResourceType, "Model"),
            (Column::ServiceCategory, "AI and Machine Learning"),
            (Column::ServiceName, "AI Models"),
            (Column::ServiceProviderName, self.vendor),
            (Column::ServiceSubcategory, "Generative AI"),
            (Column::SubAccountId, tenant),
            (Column::SubAccountName, tenant),
            (Column::SubAccountType, "Tenant"),
        ] {
            put(&mut row, column, Value::Text(text.into()));
        }
        put(&mut row, Column::ChargePeriodStart, Value::Instant(self.started));
        put(&mut row, Column::ChargePeriodEnd, Value::Instant(ended));
        put(&mut row, Column::Tags, Value::Json(self.tags().into()));
        row.add_custom("x_RequestId", self.request);
        row
    }

    fn tags(&self) -> String {
        let call = self.attribution;
        let tags = [
            ("tenant", Some(call.tenant.as_str())),
            ("user", call.user.as_ref().map(|user| user.as_str())),
            ("report_type", call.report_type.as_ref().map(|kind| kind.as_str())),
        ];
        let tags = tags.into_iter().filter_map(|(key, text)| Some((key, string(text?))));
        object(&tags.collect::<Vec<_>>())
    }

    fn token_row(&self, mut row: Charge, line: &TokenLine, list: i128, cost: i128) -> Charge {
        let (model, tier) = (self.attribution.model.as_str(), self.tier);
        let class = line.class.as_str();
        let details = [
            ("x_Model", string(model)),
            ("x_ServiceTier", string(tier.as_str())),
            ("x_TokenClass", string(class)),
        ];
        put(&mut row, Column::SkuPriceDetails, Value::Json(object(&details).into()));
        let description = format!("{} of {model}", line.class.meter());
        self.price(
            &mut row,
            &Priced {
                description,
                meter: line.class.meter(),
                sku: format!("{model}/{class}"),
                unit: "Tokens",
                quantity: Decimal::new(i128::from(line.quantity), 0),
                unit_price: Decimal::new(line.unit_price.nanos_per_million(), PRICE_SCALE),
                list_cost: Decimal::new(list, PRICE_SCALE),
                cost: Decimal::new(cost, 9),
            },
        );
        row
    }

    /// The row of a request whose tokens nobody knows: one request at its cost.
    fn request_row(&self, mut row: Charge) -> Charge {
        let model = self.attribution.model.as_str();
        let cost = Decimal::from(self.cost);
        // Unit prices are never negative: what is given back is a negative quantity.
        let sign = if self.cost.is_negative() { -1 } else { 1 };
        self.price(
            &mut row,
            &Priced {
                description: format!("Request to {model}"),
                meter: "Requests",
                sku: format!("{model}/request"),
                unit: "Requests",
                quantity: Decimal::new(sign, 0),
                unit_price: Decimal::new(cost.digits() * sign, cost.scale()),
                list_cost: cost,
                cost,
            },
        );
        row
    }

    fn price(&self, row: &mut Charge, priced: &Priced) {
        let sku_price = format!("{}/{}", priced.sku, self.tier);
        for (column, text) in [
            (Column::ChargeDescription, priced.description.as_str()),
            (Column::ConsumedUnit, priced.unit),
            (Column::PricingUnit, priced.unit),
            (Column::SkuId, &priced.sku),
            (Column::SkuMeter, priced.meter),
            (Column::SkuPriceId, &sku_price),
        ] {
            put(row, column, Value::Text(text.into()));
        }
        for (column, number) in [
            (Column::BilledCost, priced.cost),
            (Column::ConsumedQuantity, priced.quantity),
            (Column::ContractedCost, priced.list_cost),
            (Column::ContractedUnitPrice, priced.unit_price),
            (Column::EffectiveCost, priced.cost),
            (Column::ListCost, priced.list_cost),
            (Column::ListUnitPrice, priced.unit_price),
            (Column::PricingCurrencyContractedUnitPrice, priced.unit_price),
            (Column::PricingCurrencyEffectiveCost, priced.cost),
            (Column::PricingCurrencyListUnitPrice, priced.unit_price),
            (Column::PricingQuantity, priced.quantity),
        ] {
            put(row, column, Value::Decimal(number));
        }
    }
}

/// What differs from row to row.
struct Priced {
    description: String,
    meter: &'static str,
    sku: String,
    unit: &'static str,
    quantity: Decimal,
    unit_price: Decimal,
    list_cost: Decimal,
    cost: Decimal,
}

/// Sets a column whose kind is known to fit: a test reads every row back.
fn put(row: &mut Charge, column: Column, value: Value) {
    row.values[column.index()] = Some(value);
}

/// Quantity times price at [`PRICE_SCALE`].
fn exact_cost(line: &TokenLine) -> Option<i128> {
    i128::from(line.quantity).checked_mul(line.unit_price.nanos_per_million())
}

/// Parts of the total, in nano-dollars, in the proportion of the exact costs. They sum to it.
///
/// Where the total is the exact costs' sum, rounded, each part is its own cost, rounded, and what
/// rounding leaves wanders on to the next. Where it is another (a cost that the caller told), it
/// is split in proportion; where all is free, it goes to the last.
fn split(total: Money, exact: &[i128]) -> Option<Vec<i128>> {
    let sum = exact.iter().try_fold(0i128, |sum, cost| sum.checked_add(*cost))?;
    let own = rounded(sum) == total.nanos();
    // Parts of a nano-dollar don't matter to the proportion, and without them it can't overflow.
    let coarse = |cost: i128| cost / PER_NANO + i128::from(cost % PER_NANO > 0);
    let weights = exact.iter().map(|cost| if own { *cost } else { coarse(*cost) });
    let weights: Vec<i128> = weights.collect();
    let whole: i128 = weights.iter().sum();
    let (mut reached, mut given) = (0i128, 0i128);
    let mut parts = Vec::with_capacity(weights.len());
    for weight in weights {
        reached += weight;
        let until = match (own, whole) {
            (true, _) => rounded(reached),
            (false, 0) => 0,
            (false, whole) => total.nanos().checked_mul(reached)? / whole,
        };
        parts.push(until - given);
        given = until;
    }
    if let Some(last) = parts.last_mut() {
        *last += total.nanos() - given;
    }
    Some(parts)
}

/// Nano-dollars from a cost at [`PRICE_SCALE`], half to even, as the ledger rounds.
fn rounded(cost: i128) -> i128 {
    Money::from_millionths(cost, Rounding::HalfEven).nanos()
}
