//! The price import: any bytes are prices, a list of what was skipped, or an error in words.
#![no_main]

use jiff::civil::date;
use libfuzzer_sys::fuzz_target;
use money::{PriceBook, Rounding, ServiceTier, TokenUsage};

fuzz_target!(|data: &[u8]| {
    if let Ok(import) = money::litellm::import(data, date(2024, 1, 1)) {
        let models: Vec<_> = import.prices.iter().map(|price| price.model.to_string()).collect();
        let book = PriceBook::default().with(import.prices);
        let usage = TokenUsage { input: 1_000, output: 500, cache_read: 7, ..TokenUsage::default() };
        let at = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * 365 * 55);
        for model in models {
            for tier in [ServiceTier::Standard, ServiceTier::Batch, ServiceTier::Priority] {
                let charge = book.charge(&model, &usage, tier, at, Rounding::HalfEven);
                let hold = book.charge(&model, &usage, tier, at, Rounding::Up);
                if let (Ok(charge), Ok(hold)) = (charge, hold) {
                    assert!(charge <= hold, "{model}: a hold below its charge");
                }
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = money::catalogue::parse(text);
    }
});
