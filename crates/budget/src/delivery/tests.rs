use jiff::civil::{Weekday, time};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn waiting(id: u64, due_at: &str, recipient: Option<&str>, batch: Option<&str>) -> Delivery {
    Delivery {
        id,
        key: format!("key-{id}"),
        topic: Topic::BudgetThreshold,
        severity: Severity::Warning,
        channel: "mail".to_owned(),
        recipient: recipient.map(str::to_owned),
        facts: String::new(),
        at: at(due_at),
        state: DeliveryState::Pending,
        attempts: 0,
        wanted_at: at(due_at),
        due_at: at(due_at),
        batch: batch.map(str::to_owned),
        leased_until: None,
        error: None,
        updated_at: at(due_at),
    }
}

#[test]
fn every_word_is_read_as_it_is_written() {
    for topic in Topic::ALL {
        assert_eq!(topic.as_str().parse(), Ok(*topic));
    }
    for state in DeliveryState::ALL {
        assert_eq!(state.as_str().parse(), Ok(*state));
    }
    let error = "loud".parse::<Severity>().unwrap_err();
    assert_eq!(error.to_string(), "\"loud\" is none of info, warning, critical");
}

#[test]
fn a_channel_takes_what_it_names_from_its_severity_on() {
    let named = |topics: &[Topic]| Some(topics.iter().copied().collect::<BTreeSet<_>>());
    let check = |topics, severity, topic, of, expected| {
        let wanted = Wanted { topics, severity };
        assert_eq!(wanted.takes(topic, of), expected, "{wanted:?} {topic}");
    };
    let (info, warning, critical) = (Severity::Info, Severity::Warning, Severity::Critical);
    check(None, info, Topic::Digest, info, true);
    check(None, warning, Topic::Digest, info, false);
    check(None, warning, Topic::BudgetExhausted, critical, true);
    check(None, critical, Topic::BudgetThreshold, warning, false);
    check(None, critical, Topic::BudgetReset, info, true);
    check(named(&[Topic::Digest]), critical, Topic::Digest, info, true);
    check(named(&[Topic::Digest]), info, Topic::Overrun, info, false);
    check(named(&[Topic::Overrun]), warning, Topic::Overrun, info, false);
}

#[test]
fn quiet_hours_hold_back_what_is_not_critical_until_they_end() {
    let check = |from, to, of: &str, now: &str, expected: Option<&str>| {
        let quiet = Quiet { from, to, zone: zone(of) };
        let end = quiet.end(at(now)).map(|end| end.to_string());
        assert_eq!(end.as_deref(), expected, "{now} {of}");
    };
    let (night, morning) = (time(22, 0, 0, 0), time(7, 0, 0, 0));
    check(night, morning, "UTC", "2026-11-26T21:59:59Z", None);
    check(night, morning, "UTC", "2026-11-26T22:00:00Z", Some("2026-11-27T07:00:00Z"));
    check(night, morning, "UTC", "2026-11-27T06:59:59Z", Some("2026-11-27T07:00:00Z"));
    check(night, morning, "UTC", "2026-11-27T07:00:00Z", None);
    check(morning, night, "UTC", "2026-11-27T07:00:00Z", Some("2026-11-27T22:00:00Z"));
    check(night, morning, "Europe/Berlin", "2026-11-26T21:30:00Z", Some("2026-11-27T06:00:00Z"));
    // The night on which clocks leap from 02:00 to 03:00, and the one on which they go back.
    let (late, leap) = (time(23, 0, 0, 0), time(2, 30, 0, 0));
    check(late, leap, "Europe/Berlin", "2026-03-28T23:00:00Z", Some("2026-03-29T01:30:00Z"));
    check(late, leap, "Europe/Berlin", "2026-10-24T22:00:00Z", Some("2026-10-25T00:30:00Z"));

    let pace = Pace::default();
    let quiet = Quiet { from: night, to: morning, zone: TimeZone::UTC };
    let now = at("2026-11-26T23:00:00Z");
    assert_eq!(pace.due(Severity::Critical, now, Some(&quiet)), now);
    let morning = at("2026-11-27T07:00:00Z");
    assert_eq!(pace.due(Severity::Warning, now, Some(&quiet)), morning);
    assert_eq!(pace.due(Severity::Warning, now, None), at("2026-11-26T23:00:05Z"));
}

#[test]
fn the_calendar_tells_the_last_time_of_a_week_and_a_month() {
    let time = time(9, 0, 0, 0);
    let weekly = Weekly { day: Weekday::Monday, time, zone: zone("Europe/Berlin") };
    let check = |now: &str, expected: &str| {
        assert_eq!(weekly.last(at(now)), Some(at(expected)), "{now}");
    };
    check("2026-11-23T07:59:59Z", "2026-11-16T08:00:00Z");
    check("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z");
    check("2026-11-26T00:00:00Z", "2026-11-23T08:00:00Z");
    check("2026-10-26T12:00:00Z", "2026-10-26T08:00:00Z");
    let monthly = Monthly { time, zone: TimeZone::UTC };
    assert_eq!(monthly.last(at("2026-11-01T08:59:59Z")), Some(at("2026-10-01T09:00:00Z")));
    assert_eq!(monthly.last(at("2026-11-01T09:00:00Z")), Some(at("2026-11-01T09:00:00Z")));
    assert_eq!(monthly.last(at("2026-01-01T00:00:00Z")), Some(at("2025-12-01T09:00:00Z")));
}

#[test]
fn what_was_tried_together_goes_out_together_and_alone() {
    let pace = Pace { group_most: 2, ..Pace::default() };
    let now = "2026-11-26T12:00:10Z";
    let check = |rows: &[Delivery], expected: &[u64]| {
        let chosen = pace.choose(rows, at(now));
        let ids: Vec<u64> = chosen.iter().map(|one| one.id).collect();
        assert_eq!(ids, expected);
    };
    let (past, soon) = ("2026-11-26T12:00:00Z", "2026-11-26T12:00:12Z");
    check(&[], &[]);
    check(&[waiting(1, soon, None, None)], &[]);
    let fresh = |id, due| waiting(id, due, None, None);
    check(&[fresh(1, past), fresh(2, soon), fresh(3, soon)], &[1, 2]);
    check(&[fresh(1, past), waiting(2, past, Some("a@b.c"), None), fresh(3, past)], &[1, 3]);
    let tried = |id| waiting(id, past, None, Some("key-4"));
    check(&[tried(4), tried(5), tried(6), fresh(7, past)], &[4, 5, 6]);
    check(&[fresh(1, past), tried(4)], &[1]);
    let leased = Delivery { leased_until: Some(at(soon)), ..fresh(1, past) };
    check(&[leased, fresh(2, past)], &[2]);
    let ended = Delivery { leased_until: Some(at(now)), ..tried(4) };
    check(&[ended, fresh(8, past)], &[4]);
}

proptest! {
    #[test]
    fn pauses_grow_within_bounds_and_end(attempts in 1_u32..40, luck: u64, asked in 0_i64..10_000) {
        let (pace, now) = (Pace::default(), at("2026-11-26T12:00:00Z"));
        let asked = SignedDuration::from_secs(asked);
        let again = pace.again(attempts, Some(asked), luck, now);
        prop_assert_eq!(again.is_none(), attempts >= pace.attempts_most);
        if let Some(again) = again {
            let pause = again.duration_since(now);
            let least = pace.pause / 2;
            prop_assert!(pause >= least && pause <= pace.pause_most, "{pause}");
            prop_assert!(pause >= asked.min(pace.pause_most), "{pause} of {asked}");
        }
        // The same luck gives the same time: whoever tests can say when.
        prop_assert_eq!(again, pace.again(attempts, Some(asked), luck, now));
    }

    #[test]
    fn no_minute_has_more_messages_than_the_pace_allows(
        gaps in proptest::collection::vec(0_i64..20_000, 1..200),
        per_minute in 1_u32..60,
        burst in 1_u32..10,
    ) {
        let pace = Pace { per_minute, burst, ..Pace::default() };
        let (mut now, mut remembered) = (at("2026-11-26T12:00:00Z"), None);
        let mut sent: Vec<Timestamp> = Vec::new();
        for gap in gaps {
            now += SignedDuration::from_millis(gap);
            match pace.turn(remembered, now) {
                Turn::Now(next) => {
                    remembered = Some(next);
                    sent.push(now);
                }
                Turn::Wait(until) => {
                    prop_assert!(until > now);
                    prop_assert!(matches!(pace.turn(remembered, until), Turn::Now(_)));
                }
            }
            let minute = now - SignedDuration::from_secs(60);
            let recent = sent.iter().filter(|at| **at > minute).count();
            prop_assert!(recent <= (per_minute + burst) as usize, "{recent} in a minute");
        }
        prop_assert!(!sent.is_empty());
    }

    #[test]
    fn quiet_hours_always_end_within_a_day_and_are_over_then(
        from in 0_i8..24, to in 0_i8..24, second in 0_i64..(400 * 86_400),
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"]),
    ) {
        let quiet = Quiet { from: time(from, 0, 0, 0), to: time(to, 0, 0, 0), zone: zone(name) };
        let now = at("2026-01-01T00:00:00Z") + SignedDuration::from_secs(second);
        if let Some(end) = quiet.end(now) {
            prop_assert!(end > now && end <= now + SignedDuration::from_hours(25), "{now} {end}");
            prop_assert!(from == to || quiet.end(end).is_none(), "{now} {end}");
        }
    }
}
