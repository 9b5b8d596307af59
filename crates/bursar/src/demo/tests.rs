use std::collections::BTreeMap;

use jiff::Timestamp;
use money::{Money, PriceBook, Rounding, ServiceTier};

use super::{
    tenants::{COMPANIES, Story},
    traffic::{Request, Span, traffic},
};

fn made(seed: u64, now: &str) -> (Span, Vec<Request>) {
    let span = Span::at(now.parse().unwrap()).unwrap();
    (span, traffic(seed, span, &PriceBook::shipped()).unwrap())
}

#[test]
fn the_same_seed_and_moment_make_the_same_traffic() {
    let now = "2026-11-24T10:00:00Z";
    assert_eq!(made(7, now), made(7, now));
    assert_ne!(made(7, now), made(8, now));
}

#[test]
fn every_story_is_told_whatever_day_it_is() {
    for now in ["2026-11-24T10:00:00Z", "2026-11-01T00:00:00.000001Z", "2026-03-01T00:03:00Z"] {
        let (span, requests) = made(1, now);
        let mut spent: BTreeMap<String, Money> = BTreeMap::new();
        for Request { at, call, usage } in &requests {
            assert!(span.begin <= *at && *at <= span.now, "{at} is outside {span:?}");
            let cost = PriceBook::shipped().charge(
                call.model.as_str(),
                usage,
                ServiceTier::Standard,
                *at,
                Rounding::HalfEven,
            );
            if *at >= span.month {
                let sum = spent.entry(call.tenant.to_string()).or_default();
                *sum = sum.checked_add(cost.unwrap()).unwrap();
            }
        }
        for company in COMPANIES {
            let wanted = match company.story {
                Story::Spent(percent) | Story::Runaway(percent) => i128::from(percent) * 100,
                Story::Over => 11_800,
            };
            let share = spent[company.id].percent_of(Money::from_dollars(company.limit)).unwrap();
            assert!((share - wanted).abs() < 50, "{}: {share} is not {wanted}", company.id);
        }
    }
}

#[test]
fn nights_and_weekends_are_quiet() {
    let (_, requests) = made(1, "2026-11-24T10:00:00Z");
    let hour = |at: &Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).hour();
    let night = requests.iter().filter(|request| hour(&request.at) < 5).count();
    let morning = requests.iter().filter(|request| (8..13).contains(&hour(&request.at))).count();
    assert!(night * 8 < morning, "{night} at night, {morning} in the morning");
}
