use super::*;

fn rate(month: &str, day: Option<&str>, rate: &str) -> Rate {
    Rate {
        from: "USD".into(),
        to: "EUR".into(),
        month: month.parse().unwrap(),
        day: day.map(|day| day.parse().unwrap()),
        rate: Decimal::parse(rate).unwrap(),
        source: "a bank".into(),
    }
}

#[test]
fn the_last_day_of_a_month_counts_and_nothing_is_inferred() {
    let mut rates = Rates::default();
    rates.add(rate("2026-10", Some("2026-10-15"), "0.9")).unwrap();
    rates.add(rate("2026-10", Some("2026-10-31"), "0.91")).unwrap();
    rates.add(rate("2026-10", Some("2026-10-01"), "0.89")).unwrap();
    let october: Month = "2026-10".parse().unwrap();
    let found = rates.of("USD", "EUR", october).unwrap();
    assert_eq!(found.to_string(), "1 USD = 0.91 EUR in 2026-10 (of 2026-10-31), a bank");
    for (from, to, month) in [("EUR", "USD", october), ("USD", "EUR", october.next())] {
        let missing = rates.of(from, to, month).unwrap_err().to_string();
        assert!(missing.starts_with(&format!("no rate from {from} to {to} in {month}")));
    }
}

#[test]
fn a_rate_stands_once_and_is_above_zero() {
    let mut rates = Rates::default();
    rates.add(rate("2026-10", None, "0.9")).unwrap();
    for other in [rate("2026-10", None, "0.9"), rate("2026-10", Some("2026-10-31"), "1")] {
        assert!(matches!(rates.add(other), Err(RateError::Twice { .. })));
    }
    assert!(matches!(rates.add(rate("2026-11", None, "0")), Err(RateError::Worthless(_))));
}
