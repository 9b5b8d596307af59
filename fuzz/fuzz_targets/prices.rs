//! The price import: any bytes are prices, a list of what was skipped, or an error in words. What
//! was taken is kept as JSON, comes back the same, and never charges more than it holds.
#![no_main]

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::date};
use libfuzzer_sys::fuzz_target;
use money::{Price, PriceBook, Rounding, ServiceTier, TokenUsage};

fuzz_target!(|data: &[u8]| {
    match money::litellm::import(data, date(2024, 1, 1)) {
        Ok(import) => {
            let names = |models: Vec<&String>| models.into_iter().cloned().collect::<BTreeSet<_>>();
            let taken = names(import.prices.iter().map(|price| &price.model).collect());
            let skipped = names(import.skipped.iter().map(|skipped| &skipped.model).collect());
            assert!(taken.is_disjoint(&skipped), "a model is taken and skipped");
            assert_eq!(taken.len(), import.prices.len(), "a model is taken twice");
            assert!(import.notes.iter().all(|note| taken.contains(&note.model)));
            for skipped in &import.skipped {
                assert!(!skipped.reason.to_string().is_empty());
            }
            use_up(import.prices);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(text) = std::str::from_utf8(data) {
        match money::catalogue::parse(text) {
            Ok(prices) => use_up(prices),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    // As the service takes them.
    if let Ok(api::Prices(prices)) = serde_json::from_slice(data)
        && money::catalogue::check(&prices).is_ok()
    {
        use_up(prices);
    }
});

fn use_up(prices: Vec<Price>) {
    for price in &prices {
        let text = serde_json::to_string(price).expect("a price is JSON");
        let again: Price = serde_json::from_str(&text).expect("its own JSON is a price");
        assert_eq!(&again, price);
    }
    let names: Vec<String> = prices
        .iter()
        .flat_map(|price| price.aliases.iter().chain([&price.model]))
        .cloned()
        .collect();
    let book = PriceBook::default().with(prices);
    let most = TokenUsage { input: u64::MAX, output: u64::MAX, ..TokenUsage::default() };
    let few = TokenUsage {
        input: 1_000,
        output: 501,
        cache_read: 7,
        cache_write_5m: 11,
        cache_write_1h: 13,
    };
    let long = TokenUsage { input: 1_000_003, ..few };
    let tiers =
        [ServiceTier::Standard, ServiceTier::Batch, ServiceTier::Priority, ServiceTier::Flex];
    for name in &names {
        for year in [0, 55, 8_000] {
            let at = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * 365 * year);
            for (tier, usage) in tiers.iter().flat_map(|tier| [few, long, most].map(|u| (*tier, u)))
            {
                let charge = book.charge(name, &usage, tier, at, Rounding::HalfEven);
                let hold = book.charge(name, &usage, tier, at, Rounding::Up);
                if let (Ok(charge), Ok(hold)) = (charge, hold) {
                    assert!(!charge.is_negative(), "{name}: less than nothing");
                    assert!(charge <= hold, "{name}: a hold below its charge");
                }
                let _ = book.hold(name, &usage, tier, at);
            }
        }
    }
}
