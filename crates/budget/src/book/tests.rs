use focus::{PeriodRule, PeriodUnit};

use super::*;
use crate::Batch;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rule(unit: PeriodUnit) -> PeriodRule {
    PeriodRule::new(unit, None, None, "UTC").unwrap()
}

fn budget(unit: PeriodUnit) -> Budget {
    let tenant = TenantId::parse("acme").unwrap();
    let limit = Money::from_dollars(10);
    let budget = Budget::new(Scope::tenant(tenant), limit, at("2026-01-01T00:00:00Z")).unwrap();
    Budget { rule: rule(unit), ..budget }
}

/// A book with a budget, and the account of a period in which it was used.
fn book(budget: &Budget, used: Option<(PeriodUnit, &str)>) -> Book {
    let tenant = budget.scope.tenant.clone();
    let account = used.map(|(unit, day)| {
        let day = at(day);
        Account::open(budget.id, rule(unit).period(day).unwrap(), day)
    });
    let head = Head { tenant, seq: 0, hash: EntryHash::default() };
    Book::new(head, vec![Arc::new(budget.clone())], account.into_iter().collect())
}

#[test]
fn a_new_period_has_nothing_to_bring_in() {
    let month = budget(PeriodUnit::Month);
    let now = at("2026-11-02T00:00:00Z");
    for used in [None, Some((PeriodUnit::Month, "2026-10-15T00:00:00Z"))] {
        let mut book = book(&month, used);
        book.forget_past(now);
        assert_eq!(book.accounts().len(), usize::from(used.is_some()));
        assert!(!book.is_whole(now));
        assert_eq!(book.unopened(now).unwrap(), []);
        assert!(book.is_whole(at("2026-11-30T23:59:59Z")));
        assert!(!book.is_whole(at("2026-12-01T00:00:00Z")));
    }
}

#[test]
fn a_period_that_began_before_the_last_one_ended_has() {
    let (year, month) = (budget(PeriodUnit::Year), budget(PeriodUnit::Month));
    let cases = [
        (&year, PeriodUnit::Month, "2026-10-15T00:00:00Z"),
        // It began with that one, and under its name.
        (&year, PeriodUnit::Month, "2026-01-15T00:00:00Z"),
        (&month, PeriodUnit::Day, "2026-11-01T10:00:00Z"),
    ];
    for (budget, unit, day) in cases {
        let now = at("2026-11-02T00:00:00Z");
        let mut book = book(budget, Some((unit, day)));
        book.forget_past(now);
        let unopened = book.unopened(now).unwrap();
        let [(opened, period)] = unopened.as_slice() else { panic!("{unopened:?}") };
        assert_eq!((opened.id, *period), (budget.id, budget.rule.period(now).unwrap()));
        // They are told once.
        assert_eq!(book.unopened(now).unwrap(), []);
        let mut batch = Batch::new(Defaults::default(), now);
        batch.add_book(book);
        let settled = Money::from_dollars(4);
        let (budget, period) = (opened.clone(), *period);
        let (tokens_input, tokens_output, open) = (0, 0, Vec::new());
        let opening = crate::Opening { budget, period, settled, tokens_input, tokens_output, open };
        batch.open(opening).unwrap();
        let books = batch.finish().books;
        let lines = books[0].lines(now).unwrap();
        assert_eq!((lines[0].account.settled, lines[0].account.end), (settled, period.end));
    }
}
