use budget::{AccountId, BudgetId, Outcome, Quote, Reservation, Standing, State};
use focus::{Attribution, ModelName, Scope, TenantId, UserId};
use money::{Money, ServiceTier, TokenUsage};

use super::moment;
use crate::{BudgetScope, Percent, ReservationView, Usd};

fn outcome(amount: Option<Money>) -> Outcome {
    let usage = TokenUsage { input: 1, output: 2, cache_read: 3, ..TokenUsage::default() };
    let given = amount.is_some();
    let quote = Quote { usage, tier: ServiceTier::Flex, amount, given, estimated: given };
    let at = |text: &str| moment(text).unwrap();
    let budget = BudgetId(uuid::Uuid::from_u128(9));
    let reservation = Reservation {
        key: uuid::Uuid::from_u128(7),
        call: Attribution {
            tenant: TenantId::parse("acme").unwrap(),
            model: ModelName::parse("m").unwrap(),
            user: Some(UserId::parse("ada").unwrap()),
            report_type: None,
        },
        state: State::Settled,
        estimate: None,
        // Beyond what a request may name.
        hold: Money::MAX,
        actual: Some(quote),
        cost: amount,
        accounts: vec![AccountId { budget, start: at("2026-11-01T00:00:00Z") }],
        standing: Standing {
            settled: Money::MAX,
            counted: Money::from_nanos(1),
            limit: Money::ZERO,
            would_refuse: true,
        },
        created_at: at("2026-11-25T10:00:00.000001Z"),
        expires_at: at("2026-11-25T10:15:00.000001Z"),
        updated_at: at("2026-11-25T10:00:01Z"),
    };
    Outcome { reservation: reservation.into(), replayed: true, first_use: false }
}

#[test]
fn an_outcome_is_read_back_as_it_was() {
    for amount in [None, Some(Money::from_nanos(1)), Some(Money::MAX)] {
        let outcome = outcome(amount);
        let text = serde_json::to_string(&ReservationView::from(&outcome)).unwrap();
        let view: ReservationView = serde_json::from_str(&text).unwrap();
        assert_eq!(Outcome::try_from(&view).unwrap(), outcome);
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_told_apart() {
    let view = ReservationView::from(&outcome(None));
    let wrong = [
        ReservationView { tenant_id: String::new(), ..view.clone() },
        ReservationView { state: "gone".to_owned(), ..view.clone() },
        ReservationView { created_at: "yesterday".to_owned(), ..view.clone() },
    ];
    for view in wrong {
        assert!(Outcome::try_from(&view).is_err(), "{view:?}");
    }
}

#[test]
fn a_budgets_scope_is_read_back_as_it_was() {
    let tenant = TenantId::parse("acme").unwrap();
    let model = ModelName::parse("m").unwrap();
    let user = Some(UserId::parse("ada").unwrap());
    for scope in [
        Scope::tenant(tenant.clone()),
        Scope::model(tenant.clone(), model),
        Scope { user, ..Scope::tenant(tenant) },
    ] {
        assert_eq!(Scope::try_from(&BudgetScope::from(&scope)).unwrap(), scope);
    }
}

#[test]
fn percentages_are_exact_digits() {
    for (text, hundredths) in [
        ("0", 0),
        ("105", 10_500),
        ("83.5", 8_350),
        ("0.01", 1),
        ("-0.5", -50),
        ("100000000000000000000", 10_000_000_000_000_000_000_000),
    ] {
        let percent: Percent = serde_json::from_str(text).unwrap();
        assert_eq!((percent, percent.to_string().as_str()), (Percent { hundredths }, text));
    }
    for wrong in ["1.234", "1e2", "\"1\"", "null", "1."] {
        assert!(serde_json::from_str::<Percent>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn requests_name_no_more_than_they_may() {
    for wrong in ["-1", "1000000000.1"] {
        assert!(serde_json::from_str::<Usd>(wrong).is_err(), "{wrong}");
    }
}
