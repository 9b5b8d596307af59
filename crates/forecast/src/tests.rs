use focus::{Decimal, cost::Months};
use jiff::{
    ToSpan,
    civil::{Date, Weekday, date},
};

use crate::{Daily, Foreseen, anomalies, anomaly, error, foresee, month_end};

/// Days from a first to a last, each at its cost.
fn days(first: Date, last: Date, cost: impl Fn(i32, Date) -> f64) -> Daily {
    let all = first.series(1.day()).take_while(|day| *day <= last);
    Daily::new(all.enumerate().map(|(at, day)| (day, cost(i32::try_from(at).unwrap(), day))))
        .unwrap()
}

fn close(left: f64, right: f64) {
    assert!((left - right).abs() < right.abs() * 1e-9 + 1e-9, "{left} is not {right}");
}

#[test]
fn a_steady_cost_goes_on() {
    close(month_end(&days(date(2026, 9, 1), date(2026, 10, 10), |_, _| 10.0)), 310.0);
    // Two days are enough for a mean.
    close(month_end(&days(date(2026, 10, 1), date(2026, 10, 2), |_, _| 10.0)), 310.0);
    // A whole month has nothing left to forecast.
    close(month_end(&days(date(2026, 10, 1), date(2026, 10, 31), |at, _| f64::from(at))), 465.0);
}

#[test]
fn a_trend_and_weekends_are_foreseen() {
    let cost = |at, day: Date| {
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        100.0 + f64::from(at) * 2.0 - if weekend { 60.0 } else { 0.0 }
    };
    let whole = days(date(2026, 8, 3), date(2026, 10, 31), cost);
    let known = whole.until(date(2026, 10, 11)).unwrap();
    let cost = whole.sum(date(2026, 10, 1), date(2026, 10, 31));
    let forecast = month_end(&known);
    assert!((forecast - cost).abs() / cost < 0.01, "{forecast} for {cost}");
}

#[test]
fn a_falling_cost_never_goes_below_nothing() {
    let falling = days(date(2026, 9, 1), date(2026, 10, 2), |at, _| f64::from(31 - at) * 10.0);
    let so_far = falling.sum(date(2026, 10, 1), date(2026, 10, 2));
    let end = month_end(&falling);
    assert!(end >= so_far && end < so_far + 60.0, "{end} after {so_far}");
}

#[test]
fn the_error_is_what_past_forecasts_were_wrong_by() {
    let steady = days(date(2026, 7, 1), date(2026, 10, 20), |_, _| 10.0);
    close(error(&steady).unwrap(), 0.0);
    // From the middle of September on everything costs twice as much: 150 + 150 were foreseen,
    // 150 + 300 it was; the middle of October is already the new price.
    let doubled = days(date(2026, 9, 1), date(2026, 10, 20), |_, day| {
        if day <= date(2026, 9, 15) { 10.0 } else { 20.0 }
    });
    close(error(&doubled).unwrap(), 1.0 / 3.0);
    assert_eq!(error(&days(date(2026, 10, 1), date(2026, 10, 20), |_, _| 10.0)), None);
    assert_eq!(error(&days(date(2026, 9, 10), date(2026, 10, 20), |_, _| 10.0)), None);
}

#[test]
fn days_that_are_not_named_cost_nothing() {
    let known = Daily::new([(date(2026, 10, 3), 2.0), (date(2026, 10, 1), 1.0)]).unwrap();
    assert_eq!((known.first(), known.last()), (date(2026, 10, 1), date(2026, 10, 3)));
    close(known.sum(date(2026, 10, 1), date(2026, 10, 31)), 3.0);
    assert_eq!(Daily::new([]), None);
}

/// Ten units a day from a first day to a last.
fn steady(first: Date, last: Date) -> Vec<(Date, Decimal)> {
    let days = first.series(1.day()).take_while(|day| *day <= last);
    days.map(|day| (day, Decimal::new(100, 1))).collect()
}

fn months(first: &str, last: &str) -> Months {
    (first.parse().unwrap(), last.parse().unwrap())
}

#[test]
fn the_end_of_any_period_is_foreseen_from_its_days_and_those_before() {
    let days = steady(date(2026, 8, 1), date(2026, 10, 12));
    let whole = |number: i128| Decimal::new(number, 0);
    // The running day has not ended: its 10 are spent, and are foreseen anew.
    let today = date(2026, 10, 12);
    let said = foresee(&days, months("2026-10", "2026-10"), today).unwrap();
    assert_eq!((said.spent, said.end), (whole(120), whole(310)));
    let quarter = foresee(&days, months("2026-10", "2026-12"), today).unwrap();
    assert_eq!(quarter.end, whole(920));
    let year = foresee(&days, months("2026-01", "2026-12"), today).unwrap();
    assert_eq!((year.spent, year.end), (whole(730), whole(1_530)));
}

#[test]
fn nothing_is_foreseen_of_two_days_or_of_a_period_without_bills() {
    let days = steady(date(2026, 9, 1), date(2026, 10, 3));
    let october = months("2026-10", "2026-10");
    assert_eq!(foresee(&days, october, date(2026, 10, 3)), None);
    assert!(foresee(&days, october, date(2026, 10, 4)).is_some());
    let late = steady(date(2026, 8, 1), date(2026, 9, 30));
    assert_eq!(foresee(&late, october, date(2026, 10, 12)), None);
    assert_eq!(foresee(&[], october, date(2026, 10, 12)), None);
}

#[test]
fn a_trend_is_followed_for_a_month_alone() {
    let rising = |at: i32| Decimal::new(i128::from(100 + at), 0);
    let first = date(2026, 8, 3);
    let days: Vec<_> = (0..70).map(|at| (first.saturating_add(at.days()), rising(at))).collect();
    // The 70th day is 11 October: the day costs 169, and one more each day for 31 days.
    let today = date(2026, 10, 12);
    let Foreseen { end, .. } = foresee(&days, months("2026-10", "2026-12"), today).unwrap();
    let so_far: i128 = (59..70).map(|at| 100 + at).sum();
    let month: i128 = (1..=31).map(|ahead| 169 + ahead).sum();
    let rest = 50 * 200;
    let error = end.checked_add(Decimal::new(-(so_far + month + rest), 0)).unwrap();
    assert!(error.to_string().parse::<f64>().unwrap().abs() < 1.0, "{end}");
}

/// Days up to one, the last of which costs something of its own.
fn days_before(
    day: Date,
    count: i32,
    usual: impl Fn(i32, Date) -> i128,
    last: i128,
) -> Vec<(Date, Decimal)> {
    let before = (1..=count).map(|ago| (day.saturating_sub(ago.days()), ago));
    let before = before.map(|(at, ago)| (at, Decimal::new(usual(ago, at), 2)));
    before.chain([(day, Decimal::new(last, 2))]).collect()
}

fn is_anomaly(days: &[(Date, Decimal)]) -> bool {
    anomaly(days, days.iter().map(|(day, _)| *day).max().unwrap(), Decimal::new(10, 0)).is_some()
}

const THURSDAY: Date = date(2026, 11, 26);

#[test]
fn three_times_the_usual_is_an_anomaly_and_a_tenth_more_is_none() {
    let steady =
        |last| days_before(THURSDAY, 56, |ago, _| 10_000 + i128::from(ago % 5) * 100, last);
    let told = anomaly(&steady(30_000), THURSDAY, Decimal::new(10, 0)).unwrap();
    assert_eq!((told.day, told.cost.to_string().as_str()), (THURSDAY, "300"));
    let expected: f64 = told.expected.to_string().parse().unwrap();
    assert!((expected - 102.0).abs() < 3.0, "{expected}");
    for usual in [0, 5_000, 10_000, 11_000, 13_000] {
        assert!(!is_anomaly(&steady(usual)), "{usual}");
    }
}

#[test]
fn weekends_months_ends_and_growth_are_usual() {
    let week = |_: i32, day: Date| match day.weekday() {
        Weekday::Saturday | Weekday::Sunday => 1_000,
        _ => 9_000,
    };
    assert!(!is_anomaly(&days_before(THURSDAY, 56, week, 9_500)));
    // A working day's cost on a Sunday is none, though any other day has it.
    let sunday = date(2026, 11, 22);
    assert!(is_anomaly(&days_before(sunday, 56, week, 9_000)));
    // Each week costs a fifth more.
    let grows = |ago: i32, _: Date| 40_000 - i128::from(ago / 7) * 4_000;
    assert!(!is_anomaly(&days_before(THURSDAY, 56, grows, 42_000)));
}

#[test]
fn what_comes_once_a_month_is_usual_and_three_times_as_much_is_not() {
    let first = date(2026, 11, 1);
    let fees = |_: i32, day: Date| if day.day() == 1 { 50_000 } else { 1_000 };
    assert!(!is_anomaly(&days_before(first, 56, fees, 55_000)));
    assert!(is_anomaly(&days_before(first, 56, fees, 150_000)));
    let last = date(2026, 10, 31);
    assert!(is_anomaly(&days_before(last, 56, fees, 50_000)), "there is no 31st of September");
}

#[test]
fn of_days_in_a_row_the_first_is_told() {
    let mut days = days_before(THURSDAY, 56, |_, _| 10_000, 30_000);
    let friday = THURSDAY.tomorrow().unwrap();
    days.push((friday, Decimal::new(31_000, 2)));
    let told = |first, last| anomalies(&days, (first, last), Decimal::new(10, 0));
    let [one] = told(date(2026, 11, 22), friday).try_into().unwrap();
    assert_eq!(one.day, THURSDAY);
    assert!(told(friday, friday).is_empty(), "it goes on");
    assert!(anomaly(&days, friday, Decimal::new(10, 0)).is_some());
}

#[test]
fn a_spike_does_not_hide_the_next_one_and_a_new_level_is_usual_after_a_week() {
    let spiked = |ago: i32, _: Date| if ago % 14 == 4 { 90_000 } else { 10_000 };
    assert!(is_anomaly(&days_before(THURSDAY, 56, spiked, 60_000)));
    let risen = |ago: i32, _: Date| if ago <= 7 { 30_000 } else { 10_000 };
    assert!(!is_anomaly(&days_before(THURSDAY, 56, risen, 31_000)));
    let just = |ago: i32, _: Date| if ago <= 2 { 30_000 } else { 10_000 };
    assert!(is_anomaly(&days_before(THURSDAY, 56, just, 31_000)));
}

#[test]
fn little_money_few_days_and_refunds_are_none() {
    let steady = |_: i32, _: Date| 100;
    assert!(!is_anomaly(&days_before(THURSDAY, 56, steady, 1_099)));
    assert!(is_anomaly(&days_before(THURSDAY, 56, steady, 1_100)));
    assert!(!is_anomaly(&days_before(THURSDAY, 13, steady, 90_000)));
    assert!(is_anomaly(&days_before(THURSDAY, 14, steady, 90_000)));
    assert!(!is_anomaly(&days_before(THURSDAY, 56, |_, _| 90_000, -90_000)));
    // What began weeks ago and has paused since is expected to cost nothing.
    let paused = |ago: i32, _: Date| if ago <= 20 { 0 } else { 10_000 };
    assert!(is_anomaly(&days_before(THURSDAY, 56, paused, 10_000)));
    let mut gap = days_before(THURSDAY, 56, |_, _| 10_000, 10_000);
    gap.retain(|(day, _)| *day == THURSDAY || *day < date(2026, 11, 6));
    assert!(is_anomaly(&gap), "days that are not named have cost nothing");
}

#[test]
fn chance_alone_is_told_once_in_years() {
    // SplitMix64, from a seed that is here.
    let mut seed = 20_261_126_u64;
    let mut uniform = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i128::from((z ^ (z >> 31)) % 1_000)
    };
    // The sum of four of them is close to a normal distribution; days differ by about a fifth.
    let first = date(2020, 1, 1);
    let days: Vec<_> = (0..2_000)
        .map(|at| {
            let noise: i128 = (0..4).map(|_| uniform()).sum();
            (first.saturating_add(at.days()), Decimal::new(10_000 + (noise - 2_000) * 3, 2))
        })
        .collect();
    let told = (56..days.len()).filter(|at| is_anomaly(&days[at - 56..=*at])).count();
    assert!(told <= 6, "{told} in 1,944 days");
}
