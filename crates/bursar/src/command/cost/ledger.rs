//! What Bursar itself has charged for AI, as a FOCUS bill.

use budget::{Page, Reservation, ReservationFilter};
use focus::charge::{AiUsage, Biller, Charge, TokenClass, TokenLine};
use money::{PriceBook, ServiceTier};
use tempfile::NamedTempFile;

use super::bill::Bill;
use crate::context::{Store, price_book};

/// Who delivers these charges.
pub(crate) const SOURCE: &str = "bursar-ledger";

const CUSTOM: &str = "x_RequestId";
const PAGE: usize = 1_000;

/// Every charged call as FOCUS 1.4, a row a class of tokens.
pub(crate) async fn bill(store: &Store) -> anyhow::Result<NamedTempFile> {
    let book = price_book(store).await?;
    let mut bill = Bill::new(CUSTOM)?;
    let mut after = None;
    loop {
        let page = Page { after, limit: PAGE };
        let calls = store.reservations(ReservationFilter { page, ..Default::default() }).await?;
        for call in &calls {
            for charge in charges(&book, call)? {
                bill.add(&charge)?;
            }
        }
        after = calls.last().map(|call| (call.created_at, call.key));
        if calls.len() < PAGE {
            break;
        }
    }
    bill.done()
}

/// A call's charges; none while it has no cost.
fn charges(book: &PriceBook, call: &Reservation) -> anyhow::Result<Vec<Charge>> {
    let Some(cost) = call.cost else { return Ok(Vec::new()) };
    let biller = Biller {
        issuer: "Bursar".into(),
        account_id: "bursar".into(),
        account_name: "Bursar's ledger".into(),
    };
    let price = book.price(call.call.model.as_str(), call.created_at);
    // What is estimated has been charged by its hold: its tokens are not known.
    let known = call.actual.as_ref().filter(|actual| !actual.estimated);
    let lines = known.zip(price).and_then(|(actual, price)| {
        let tier = |tier| price.unit_prices(&actual.usage, tier).ok();
        // A tier without rates was charged by the standard ones.
        let prices = tier(actual.tier).or_else(|| tier(ServiceTier::Standard))?;
        let usage = &actual.usage;
        let units = [
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
        ];
        let lines = TokenClass::ALL.iter().zip(units).zip(prices);
        let line = |((&class, quantity), unit_price)| TokenLine { class, quantity, unit_price };
        Some(lines.map(line).collect::<Vec<_>>())
    });
    let usage = AiUsage {
        biller: &biller,
        attribution: &call.call,
        vendor: price.map_or("unknown", |price| price.vendor.as_str()),
        request: &call.key.to_string(),
        tier: known.map_or(ServiceTier::Standard, |actual| actual.tier),
        started: call.created_at,
        ended: call.updated_at,
        lines: lines.as_deref().unwrap_or_default(),
        cost,
    };
    Ok(usage.charges()?)
}
