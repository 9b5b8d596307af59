use super::*;
use proptest::prelude::*;

fn rate(text: &str) -> UnitPrice {
    UnitPrice::per_million(text).unwrap()
}

fn rates(input: &str, output: &str) -> Rates {
    Rates {
        input: rate(input),
        output: rate(output),
        cache_read: None,
        cache_write_5m: None,
        cache_write_1h: None,
    }
}

fn price(standard: Rates) -> Price {
    Price {
        model: "m".into(),
        vendor: "v".into(),
        aliases: vec![],
        effective_from: jiff::civil::date(2024, 1, 1),
        source: "test".into(),
        max_input_tokens: None,
        max_output_tokens: None,
        standard,
        batch: None,
        priority: None,
        flex: None,
        long_context: vec![],
    }
}

fn usage(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input, output, ..Default::default() }
}

#[track_caller]
fn check(price: &Price, usage: TokenUsage, tier: ServiceTier, wanted: &str) {
    let charge = price.charge(&usage, tier, Rounding::HalfEven).unwrap();
    assert_eq!(charge, wanted.parse().unwrap(), "{charge} is not {wanted}");
}

#[test]
fn a_thousand_in_and_five_hundred_out_at_three_and_fifteen() {
    check(&price(rates("3", "15")), usage(1000, 500), ServiceTier::Standard, "0.0105");
}

#[test]
fn a_tie_goes_to_the_even_nano_and_a_hold_goes_up() {
    // 0.0005 USD per million is half a nano-dollar a token.
    let price = price(rates("0.0005", "0"));
    for (tokens, charged, held) in [(1, 0, 1), (2, 1, 1), (3, 2, 2), (5, 2, 3), (7, 4, 4)] {
        let of = |rounding| price.charge(&usage(tokens, 0), ServiceTier::Standard, rounding);
        assert_eq!(of(Rounding::HalfEven), Ok(Money::from_nanos(charged)), "{tokens}");
        assert_eq!(of(Rounding::Up), Ok(Money::from_nanos(held)), "{tokens}");
    }
}

#[test]
fn the_sum_is_rounded_once() {
    // Two halves make a whole; rounded line by line they would make nothing.
    check(&price(rates("0.0005", "0.0005")), usage(1, 1), ServiceTier::Standard, "0.000000001");
}

#[test]
fn a_cache_class_without_a_rate_is_billed_at_the_input_rate() {
    let all = TokenUsage { cache_read: 1, cache_write_5m: 10, cache_write_1h: 100, ..usage(0, 0) };
    check(&price(rates("1", "2")), all, ServiceTier::Standard, "0.000111");
}

#[test]
fn a_cache_class_without_a_rate_in_a_cheaper_tier_is_not_billed_below_the_standard_rate() {
    let mut price = price(rates("2", "4"));
    price.standard.cache_write_5m = Some(rate("2.5"));
    price.standard.cache_read = Some(rate("0.2"));
    price.batch = Some(rates("1", "2"));
    check(
        &price,
        TokenUsage { cache_write_5m: 1_000_000, ..usage(0, 0) },
        ServiceTier::Batch,
        "2.5",
    );
    check(&price, TokenUsage { cache_read: 1_000_000, ..usage(0, 0) }, ServiceTier::Batch, "1");
    // An hour of cache is never cheaper than five minutes of it.
    check(
        &price,
        TokenUsage { cache_write_1h: 1_000_000, ..usage(0, 0) },
        ServiceTier::Standard,
        "2.5",
    );
}

#[test]
fn a_prompt_above_the_threshold_switches_every_rate() {
    let mut price = price(rates("3", "15"));
    let band = |above_input_tokens, standard| LongContext {
        above_input_tokens,
        standard,
        batch: None,
        priority: None,
        flex: None,
    };
    price.long_context = vec![band(400_000, rates("9", "45")), band(200_000, rates("6", "22.5"))];
    check(&price, usage(200_000, 1000), ServiceTier::Standard, "0.615");
    check(&price, usage(200_001, 1000), ServiceTier::Standard, "1.222506");
    check(&price, usage(400_001, 0), ServiceTier::Standard, "3.600009");
    // Cache reads and writes belong to the prompt.
    let cached = TokenUsage { input: 1, cache_read: 199_999, cache_write_5m: 1, ..usage(0, 0) };
    check(&price, cached, ServiceTier::Standard, "1.200006");
    // Batch without rates in the band costs the band's standard.
    price.batch = Some(rates("1.5", "7.5"));
    check(&price, usage(200_001, 0), ServiceTier::Batch, "1.200006");
    check(&price, usage(200_000, 0), ServiceTier::Batch, "0.3");
}

#[test]
fn batch_and_flex_fall_back_to_standard_and_priority_does_not() {
    let price = price(rates("1", "1"));
    check(&price, usage(1_000_000, 0), ServiceTier::Batch, "1");
    check(&price, usage(1_000_000, 0), ServiceTier::Flex, "1");
    let error = price.charge(&usage(1, 0), ServiceTier::Priority, Rounding::Up).unwrap_err();
    assert_eq!(error, PriceError::TierUnpriced { model: "m".into(), tier: ServiceTier::Priority });
}

#[test]
fn the_largest_counts_at_the_dearest_price_overflow_without_a_panic() {
    let dearest = Rates {
        cache_read: Some(rate("9000000000")),
        cache_write_5m: Some(rate("9000000000")),
        cache_write_1h: Some(rate("9000000000")),
        ..rates("9000000000", "9000000000")
    };
    let most = TokenUsage {
        input: u64::MAX,
        output: u64::MAX,
        cache_read: u64::MAX,
        cache_write_5m: u64::MAX,
        cache_write_1h: u64::MAX,
    };
    let error = price(dearest).charge(&most, ServiceTier::Standard, Rounding::Up).unwrap_err();
    assert_eq!(error, PriceError::Overflow { model: "m".into() });
    check(&price(dearest), usage(1_000_000, 0), ServiceTier::Standard, "9000000000");
    assert!(
        price(dearest)
            .charge(&usage(1_000_001, 0), ServiceTier::Standard, Rounding::HalfEven)
            .is_err()
    );
}

#[test]
fn a_price_is_the_same_in_json_and_toml() {
    let mut price = price(rates("3", "15"));
    price.batch = Some(rates("1.5", "7.5"));
    price.long_context = vec![LongContext {
        above_input_tokens: 200_000,
        standard: rates("6", "22.5"),
        batch: None,
        priority: None,
        flex: None,
    }];
    let json = serde_json::to_string(&price).unwrap();
    assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
    assert_eq!(toml::from_str::<Price>(&toml::to_string(&price).unwrap()).unwrap(), price);
}

fn any_usage() -> impl Strategy<Value = TokenUsage> {
    let count = 0u64..2_000_000_000;
    (count.clone(), count.clone(), count.clone(), count.clone(), count).prop_map(
        |(input, output, cache_read, cache_write_5m, cache_write_1h)| TokenUsage {
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
        },
    )
}

fn any_price() -> impl Strategy<Value = Price> {
    let rate =
        || (0i128..100_000_000_000).prop_map(|n| UnitPrice::from_nanos_per_million(n).unwrap());
    let maybe = move || proptest::option::of(rate());
    let rates = (rate(), rate(), maybe(), maybe(), maybe()).prop_map(
        |(input, output, cache_read, cache_write_5m, cache_write_1h)| Rates {
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
        },
    );
    rates.prop_map(price)
}

proptest! {
    #[test]
    fn more_usage_never_costs_less(price in any_price(), less in any_usage(), more in any_usage()) {
        let sum = less.checked_add(&more).unwrap();
        for rounding in [Rounding::HalfEven, Rounding::Up] {
            let of = |usage| price.charge(usage, ServiceTier::Standard, rounding).unwrap();
            prop_assert!(of(&less) <= of(&sum));
        }
    }

    #[test]
    fn a_hold_is_at_least_its_charge_and_at_most_a_nano_more(
        price in any_price(), usage in any_usage(),
    ) {
        let of = |rounding| price.charge(&usage, ServiceTier::Standard, rounding).unwrap().nanos();
        let difference = of(Rounding::Up) - of(Rounding::HalfEven);
        prop_assert!((0..=1).contains(&difference));
    }
}
