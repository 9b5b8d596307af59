//! Who makes which request of a trace: the same for the same file, seed and options.

use std::collections::BTreeMap;

use anyhow::Context as _;
use focus::{ModelName, TenantId};
use jiff::Timestamp;
use money::{Money, PriceBook, Rounding, ServiceTier, TokenUsage};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::{
    seed::{Random, zipf},
    trace::Request,
};

/// How to spread a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// Tenants, where the trace names none.
    pub tenants: usize,
    /// Zipf's exponent: 0 spreads evenly, more gives the first tenant more.
    pub skew: f64,
    /// Of tenants and keys.
    pub seed: u64,
    /// The model, where the trace names none.
    pub model: ModelName,
}

/// One call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Derived from file, seed and line: a second run replays the first.
    pub key: Uuid,
    /// Its line in the trace.
    pub line: u64,
    /// When it was made, in microseconds from any beginning.
    pub at: Option<i64>,
    /// Who makes it.
    pub tenant: TenantId,
    /// With what, by its canonical name.
    pub model: ModelName,
    /// What it uses.
    pub usage: TokenUsage,
}

/// Spreads requests over tenants; `file` are the trace's bytes.
pub fn spread(
    requests: &[Request],
    file: &[u8],
    spread: &Spread,
    book: &PriceBook,
) -> anyhow::Result<Vec<Call>> {
    let digest = Sha256::digest(file);
    let weights = zipf(spread.tenants.max(1), spread.skew);
    let width = weights.len().to_string().len().max(2);
    let names = (1..=weights.len()).map(|rank| TenantId::parse(&format!("tenant-{rank:0width$}")));
    let names: Vec<TenantId> = names.collect::<Result<_, _>>()?;
    let calls = requests.iter().map(|request| {
        // Each line has a generator of its own, so that what comes before does not matter.
        let mut random = Random::new(spread.seed ^ request.line.wrapping_mul(0x9e37_79b9));
        random.bits();
        let drawn = names.get(random.pick(&weights)).context("no tenant to draw")?;
        let asked = request.model.as_ref().unwrap_or(&spread.model);
        let (input, output) = (request.tokens_input, request.tokens_output);
        Ok(Call {
            key: key(&digest, spread, request.line),
            line: request.line,
            at: request.at,
            tenant: request.tenant.clone().unwrap_or_else(|| drawn.clone()),
            model: ModelName::parse(book.canonical(asked.as_str()))?,
            usage: TokenUsage { input, output, ..TokenUsage::default() },
        })
    });
    calls.collect()
}

fn key(file: &[u8], spread: &Spread, line: u64) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(file);
    hash.update(format!("{},{},{}\n", spread.tenants, spread.skew, spread.model).as_bytes());
    hash.update(spread.seed.to_be_bytes());
    hash.update(line.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// What each tenant's calls cost together at the prices of `at`.
pub fn costs(
    calls: &[Call],
    book: &PriceBook,
    at: Timestamp,
) -> anyhow::Result<BTreeMap<TenantId, Money>> {
    let mut costs = BTreeMap::new();
    for call in calls {
        let model = call.model.as_str();
        let cost =
            book.charge(model, &call.usage, ServiceTier::Standard, at, Rounding::HalfEven)?;
        let total = costs.entry(call.tenant.clone()).or_insert(Money::ZERO);
        *total = total.checked_add(cost).context("the trace costs more than can be counted")?;
    }
    Ok(costs)
}

/// A share of an amount in percent, rounded down to the nano-dollar.
pub fn share(amount: Money, percent: u16) -> Money {
    Money::from_nanos(amount.nanos() * i128::from(percent) / 100)
}
