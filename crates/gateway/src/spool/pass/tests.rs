use budget::{Key, Quote, StoreError};
use focus::{Attribution, ModelName};
use money::{Money, ServiceTier, TokenUsage};

use super::*;
use crate::spool::{Charge, Untold};

fn charges(tenant: &str, count: usize) -> Vec<String> {
    lines(tenant, count, Untold::Charge)
}

fn lines(tenant: &str, count: usize, untold: fn(Charge) -> Untold) -> Vec<String> {
    let call = Attribution {
        tenant: tenant.parse().unwrap(),
        model: ModelName::parse("claude-3-5-sonnet-20241022").unwrap(),
        user: None,
        report_type: None,
    };
    let actual = Quote {
        usage: TokenUsage::default(),
        tier: ServiceTier::Standard,
        amount: Some(Money::from_nanos(1)),
        given: false,
        estimated: false,
    };
    let line = || {
        let charge = Charge { key: Key::now_v7(), call: call.clone(), actual };
        serde_json::to_string(&Line::from(&untold(charge))).unwrap()
    };
    std::iter::repeat_with(line).take(count).collect()
}

/// The store's answer, by whose it is.
fn answer(pass: &mut Pass, items: Vec<Item>, fails: impl Fn(&str) -> bool) {
    let away = || StoreError::unavailable(std::io::Error::other("connection refused")).into();
    let told = |item: &Item| match &item.tenant {
        Some(tenant) if fails(tenant.as_str()) => Err(away()),
        Some(_) => Ok(Told::Taken),
        None => Ok(Told::Torn),
    };
    let told = items.iter().map(told).collect();
    pass.told(items, told);
}

/// How many are told together, each time.
fn run(pass: &mut Pass, fails: impl Fn(&str) -> bool) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        let items = pass.next();
        if items.is_empty() {
            return sizes;
        }
        sizes.push(items.len());
        answer(pass, items, &fails);
    }
}

#[test]
fn one_tenants_trouble_is_seen_once_and_its_others_wait() {
    let lines = [charges("acme", 100), charges("brite", 100), charges("corta", 1)].concat();
    let mut pass = Pass::new(lines.clone());
    // Of those behind acme's, one each; then all.
    assert_eq!(run(&mut pass, |tenant| tenant == "acme"), [64, 2, 64, 35]);
    assert!(pass.has_answered() && !pass.is_down());
    let left = pass.left().records;
    // Those that have failed go behind those that nobody has tried.
    assert_eq!((&left[..36], &left[36..]), (&lines[64..100], &lines[..64]));
}

#[test]
fn a_store_that_is_down_is_asked_twice() {
    let tenants = (0..200).map(|number| charges(&format!("tenant-{number}"), 2));
    let lines: Vec<_> = tenants.flatten().collect();
    let mut pass = Pass::new(lines.clone());
    assert_eq!(run(&mut pass, |_| true), [64, 64]);
    assert!(pass.is_down() && !pass.has_answered());
    let mut left = pass.left().records;
    left.sort_unstable();
    let mut all = lines;
    all.sort_unstable();
    assert_eq!(left, all);
}

#[test]
fn a_record_that_is_not_whole_says_nothing_about_the_store() {
    let torn = vec!["{\"key\":".to_owned()];
    let mut pass = Pass::new([torn, charges("acme", 2)].concat());
    assert_eq!(run(&mut pass, |_| true), [3]);
    assert!(!pass.has_answered());
}

#[test]
fn others_are_one_of_each_tenant_that_is_in_no_trouble() {
    let mut pass = Pass::new(charges("acme", 3));
    run(&mut pass, |_| true);
    let mut others = pass.others([charges("acme", 5), charges("brite", 5)].concat());
    let items = others.next();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].tenant.as_ref().map(TenantId::as_str), Some("brite"));
}

#[test]
fn what_is_only_noted_is_not_told() {
    let noted = lines("acme", 2, Untold::Begun);
    let mut pass = Pass::new([noted.clone(), charges("acme", 3)].concat());
    assert_eq!(run(&mut pass, |_| false), [3]);
    let left = pass.left();
    let texts: Vec<_> = left.noted.into_iter().map(|noted| noted.text).collect();
    assert_eq!((texts, left.records.len(), left.ended.len()), (noted, 0, 3));
}

#[test]
fn of_a_pass_that_stops_midway_every_note_and_ending_is_known() {
    let tenants = (0..200).flat_map(|number| charges(&format!("tenant-{number}"), 2));
    let lines: Vec<_> = tenants.chain(lines("late", 1, Untold::Begun)).collect();
    let mut pass = Pass::new(lines);
    let first = pass.next();
    answer(&mut pass, first, |_| false);
    assert_eq!(run(&mut pass, |_| true), [64, 64]);
    let left = pass.left();
    assert_eq!((left.noted.len(), left.ended.len(), left.records.len()), (1, 400, 336));
}
