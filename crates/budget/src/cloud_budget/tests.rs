use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn number(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

fn watched(period: CloudPeriod) -> Watched {
    let filter = vec![("service".parse().unwrap(), "AWS Lambda".to_owned())];
    Watched::new(filter, Basis::Billed, "USD", period).unwrap()
}

fn budget(limit: &str, period: CloudPeriod) -> CloudBudget {
    let budget =
        CloudBudget::new("lambda", watched(period), number(limit), at("2026-10-15T12:00:00Z"));
    let thresholds = Thresholds::new(vec![50, 80, 100]).unwrap();
    CloudBudget { thresholds, ..budget.unwrap() }
}

fn text(months: Months) -> String {
    format!("{}..{}", months.0, months.1)
}

#[test]
fn a_period_is_whole_months_of_the_calendar() {
    for (period, instant, wanted) in [
        (CloudPeriod::Month, "2026-10-31T23:59:59Z", "2026-10..2026-10"),
        (CloudPeriod::Month, "2026-11-01T00:00:00Z", "2026-11..2026-11"),
        (CloudPeriod::Quarter, "2026-10-01T00:00:00Z", "2026-10..2026-12"),
        (CloudPeriod::Quarter, "2026-09-30T23:59:59Z", "2026-07..2026-09"),
        (CloudPeriod::Year, "2026-12-31T23:59:59Z", "2026-01..2026-12"),
        (CloudPeriod::Year, "2027-01-01T00:00:00Z", "2027-01..2027-12"),
    ] {
        let months = budget("1", period).period(at(instant)).unwrap();
        assert_eq!(text(months), wanted, "{period} at {instant}");
    }
}

#[test]
fn the_period_before_is_looked_at_where_the_budget_was_there_in_it() {
    let budget = budget("1", CloudPeriod::Month);
    let periods = |now| budget.periods(at(now)).into_iter().map(text).collect::<Vec<_>>();
    assert_eq!(periods("2026-10-20T00:00:00Z"), ["2026-10..2026-10"]);
    assert_eq!(periods("2026-11-02T00:00:00Z"), ["2026-10..2026-10", "2026-11..2026-11"]);
    assert_eq!(periods("2027-01-01T00:00:00Z"), ["2026-12..2026-12", "2027-01..2027-01"]);
}

#[test]
fn thresholds_are_reached_to_the_last_digit() {
    let budget = budget("10", CloudPeriod::Month);
    let now = budget.since;
    let months = budget.period(now).unwrap();
    let names = |spent: &str| {
        let events = budget.crossed(months, number(spent), now);
        let kind = |event: &CloudEvent| match event.kind {
            Crossing::Threshold { percent } => percent.to_string(),
            Crossing::Exhausted => "exhausted".to_owned(),
        };
        events.iter().map(kind).collect::<Vec<_>>().join(" ")
    };
    for (spent, wanted) in [
        ("-3", ""),
        ("0", ""),
        ("4.999999999999999999", ""),
        ("5", "50"),
        ("7.999999999999999999", "50"),
        ("8", "50 80"),
        ("10", "50 80 100"),
        ("10.000000000000000001", "50 80 100 exhausted"),
        ("99999999999999999999", "50 80 100 exhausted"),
    ] {
        assert_eq!(names(spent), wanted, "{spent}");
    }
    assert_eq!(budget.percent(number("9.9999999")), Some(9_999));
    assert_eq!(budget.percent(number("-1")), Some(-1_000));
}

#[test]
fn of_a_limit_of_nothing_anything_is_all() {
    let budget = budget("0", CloudPeriod::Month);
    let months = budget.period(budget.since).unwrap();
    assert_eq!(budget.crossed(months, Decimal::ZERO, budget.since), []);
    assert_eq!(budget.crossed(months, number("0.01"), budget.since).len(), 4);
    assert_eq!(budget.percent(number("1")), None);
}

#[test]
fn what_no_budget_can_mean_is_refused() {
    let now = at("2026-10-15T12:00:00Z");
    let make = |name: &str, limit: &str| {
        CloudBudget::new(name, watched(CloudPeriod::Month), number(limit), now)
    };
    for name in ["", " a", "a ", "a/b", "a\\b", "a\nb", ".", "..", &"x".repeat(101)] {
        assert!(matches!(make(name, "1"), Err(CloudBudgetError::Name(_))), "{name:?}");
    }
    for name in ["a", "My monthly budget", "…", &"é".repeat(100)] {
        assert!(make(name, "1").is_ok(), "{name:?}");
    }
    for limit in ["-0.01", "1000000000000.01"] {
        assert!(matches!(make("a", limit), Err(CloudBudgetError::Limit(_))), "{limit}");
    }
    let watch = |filter: &[(&str, &str)], currency: &str| {
        let pair = |(name, value): &(&str, &str)| (name.parse().unwrap(), (*value).to_owned());
        let filter = filter.iter().map(pair).collect();
        Watched::new(filter, Basis::Billed, currency, CloudPeriod::Month)
    };
    for filter in [
        &[("day", "2026-10-01")][..],
        &[("month", "2026-10")],
        &[("service", "a"), ("ServiceName", "b")],
        &[("tag:env", "a\nb")],
    ] {
        assert!(matches!(watch(filter, "USD"), Err(CloudBudgetError::Filter(_))), "{filter:?}");
    }
    for currency in ["", "usd", "US", "USDX", "ÄÖ"] {
        let wanted = CloudBudgetError::Currency(currency.to_owned());
        assert_eq!(watch(&[], currency), Err(wanted));
    }
}

#[test]
fn a_budget_that_watches_something_else_is_another() {
    let one = budget("10", CloudPeriod::Month);
    let now = at("2026-12-01T00:00:00Z");
    let again = CloudBudget::new("lambda", watched(CloudPeriod::Month), number("5"), now).unwrap();
    assert_eq!(again.clone().after(Some(&one)).since, one.since);
    assert_eq!(again.id, one.id);
    let other =
        CloudBudget::new("lambda", watched(CloudPeriod::Quarter), number("5"), now).unwrap();
    assert_ne!(other.id, one.id);
    assert_eq!(other.after(Some(&one)).since, now);
}

proptest! {
    /// Whatever bills say in whatever order, each threshold is told at most once a period, and all
    /// that the highest sum has reached are told.
    #[test]
    fn restated_bills_fire_each_threshold_once(
        sums in prop::collection::vec(-1_000i128..3_000, 1..20),
        limits in prop::collection::vec(1i128..2_000, 20),
    ) {
        let mut told = std::collections::BTreeSet::new();
        let mut wanted = std::collections::BTreeSet::new();
        for (sum, limit) in sums.iter().zip(&limits) {
            let mut budget = budget("1", CloudPeriod::Quarter);
            budget.limit = Decimal::new(*limit, 2);
            let months = budget.period(budget.since).unwrap();
            for event in budget.crossed(months, Decimal::new(*sum, 2), budget.since) {
                told.insert(event.name());
            }
            let reached = |percent: &i128| *sum > 0 && sum * 100 >= limit * percent;
            for percent in [50i128, 80, 100].into_iter().filter(reached) {
                wanted.insert(format!("{}/{}/threshold/{percent}", budget.id, months.0.start()));
            }
            if sum > limit {
                wanted.insert(format!("{}/{}/exhausted", budget.id, months.0.start()));
            }
        }
        prop_assert_eq!(told, wanted);
    }
}
