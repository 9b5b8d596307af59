use jiff::civil::date;
use proptest::prelude::*;

use super::*;

fn check(unit: PeriodUnit, anchor: Option<Date>, zone: &str, at: &str, start: &str, end: &str) {
    let days = (unit == PeriodUnit::Custom).then_some(10);
    let rule = PeriodRule::new(unit, anchor, days, zone).unwrap();
    let period = rule.period(at.parse().unwrap()).unwrap();
    assert_eq!((period.start.to_string(), period.end.to_string()), (start.into(), end.into()));
}

#[test]
fn a_calendar_month_turns_on_the_first() {
    let last = "2026-10-31T23:59:59.999999999Z";
    check(PeriodUnit::Month, None, "UTC", last, "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z");
    let first = "2026-11-01T00:00:00Z";
    check(PeriodUnit::Month, None, "UTC", first, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
}

#[test]
fn a_month_in_oslo_turns_at_midnight_there() {
    let at = "2026-10-31T23:30:00Z";
    let zone = "Europe/Oslo";
    check(PeriodUnit::Month, None, zone, at, "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
}

#[test]
fn anchored_months_weeks_quarters_years_and_custom_stretches() {
    let at = "2026-03-01T12:00:00Z";
    let the_31st = Some(date(2025, 1, 31));
    check(PeriodUnit::Month, the_31st, "UTC", at, "2026-02-28T00:00:00Z", "2026-03-28T00:00:00Z");
    check(PeriodUnit::Week, None, "UTC", at, "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z");
    let april = Some(date(2025, 4, 1));
    check(PeriodUnit::Year, april, "UTC", at, "2025-04-01T00:00:00Z", "2026-04-01T00:00:00Z");
    check(PeriodUnit::Quarter, None, "UTC", at, "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
    let later = Some(date(2026, 3, 5));
    check(PeriodUnit::Custom, later, "UTC", at, "2026-02-23T00:00:00Z", "2026-03-05T00:00:00Z");
}

#[test]
fn rules_without_periods_are_refused() {
    assert!(PeriodRule::new(PeriodUnit::Custom, None, Some(7), "UTC").is_err());
    assert!(PeriodRule::new(PeriodUnit::Custom, Some(date(2026, 1, 1)), Some(0), "UTC").is_err());
    assert!(PeriodRule::new(PeriodUnit::Month, None, Some(3), "UTC").is_err());
    assert!(PeriodRule::new(PeriodUnit::Month, None, None, "Mars/Olympus").is_err());
}

#[test]
fn a_zone_that_nobody_knows_is_refused() {
    for zone in ["Etc/Unknown", "Europe/Atlantis", "+05:45", ""] {
        let refused = PeriodRule::new(PeriodUnit::Month, None, None, zone).unwrap_err();
        assert_eq!(refused, PeriodError::Zone(zone.to_owned()));
    }
}

proptest! {
    #[test]
    fn every_instant_is_in_exactly_one_period(
        second in 0i64..4_000_000_000,
        unit in prop::sample::select(vec![PeriodUnit::Day, PeriodUnit::Week, PeriodUnit::Month,
            PeriodUnit::Quarter, PeriodUnit::Year, PeriodUnit::Custom]),
        zone in prop::sample::select(vec!["UTC", "Europe/Oslo", "America/Sao_Paulo", "Asia/Kolkata"]),
        anchor in prop::option::of((1i8..=12, 1i8..=28)),
    ) {
        let at = Timestamp::from_second(second).unwrap();
        let custom = unit == PeriodUnit::Custom;
        let anchor = anchor.or(custom.then_some((5, 17))).map(|(m, d)| date(2024, m, d));
        let rule = PeriodRule::new(unit, anchor, custom.then_some(13), zone).unwrap();
        let period = rule.period(at).unwrap();
        prop_assert!(period.contains(at));
        prop_assert_eq!(rule.period(period.start).unwrap(), period);
        prop_assert_eq!(rule.period(period.end).unwrap().start, period.end);
    }
}
