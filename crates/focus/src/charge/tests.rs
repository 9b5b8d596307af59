use money::{Money, Rounding, ServiceTier, UnitPrice};
use proptest::prelude::*;

use super::*;
use crate::{
    Attribution, ModelName, ReportType, Row, TenantId, UserId, requirement, value::Number,
};

fn biller() -> Biller {
    Biller { issuer: "Example Ltd".into(), account_id: "ai".into(), account_name: "AI".into() }
}

fn attribution() -> Attribution {
    Attribution {
        tenant: TenantId::parse("tenant\"1").unwrap(),
        model: ModelName::parse("claude-sonnet-4-5").unwrap(),
        user: Some(UserId::parse("u-1").unwrap()),
        report_type: Some(ReportType::parse("monthly-impact").unwrap()),
    }
}

/// The charges of a request that used these tokens and cost this.
fn charges(lines: &[TokenLine], cost: Money) -> Vec<Charge> {
    let (biller, attribution) = (biller(), attribution());
    let usage = AiUsage {
        biller: &biller,
        attribution: &attribution,
        vendor: "anthropic",
        request: "0197",
        tier: ServiceTier::Standard,
        started: "2026-10-31T23:59:59.5Z".parse().unwrap(),
        ended: "2026-11-01T00:00:03Z".parse().unwrap(),
        lines,
        cost,
    };
    usage.charges().unwrap()
}

fn line(class: TokenClass, quantity: u64, price: &str) -> TokenLine {
    TokenLine { class, quantity, unit_price: UnitPrice::per_million(price).unwrap() }
}

/// Every requirement is asked but those on columns that no row of ours has.
fn faults(charge: &Charge) -> Vec<String> {
    let record = charge.record();
    let asked = requirement::all().iter().filter(|r| !requirement::check(&record, r));
    asked.map(|requirement| requirement.explain(&record)).collect()
}

fn text(charge: &Charge, column: Column) -> String {
    charge.record().text(column).unwrap_or("null").to_owned()
}

fn sum(charges: &[Charge], column: Column) -> Number {
    let numbers = charges.iter().map(|charge| Number::parse(&text(charge, column)).unwrap());
    numbers.reduce(|sum, number| sum.plus(&number)).unwrap()
}

#[test]
fn a_request_becomes_a_row_for_each_class_it_used() {
    let lines = [
        line(TokenClass::Input, 1200, "3"),
        line(TokenClass::Output, 350, "15"),
        line(TokenClass::CacheRead, 0, "0.3"),
    ];
    let rows = charges(&lines, "0.00885".parse().unwrap());
    assert_eq!(rows.len(), 2);
    for (column, expected) in [
        (Column::BilledCost, "0.0036"),
        (Column::EffectiveCost, "0.0036"),
        (Column::ListCost, "0.0036"),
        (Column::ListUnitPrice, "0.000003"),
        (Column::PricingQuantity, "1200"),
        (Column::ConsumedQuantity, "1200"),
        (Column::ConsumedUnit, "Tokens"),
        (Column::BillingPeriodStart, "2026-10-01T00:00:00Z"),
        (Column::BillingPeriodEnd, "2026-11-01T00:00:00Z"),
        (Column::ChargePeriodStart, "2026-10-31T23:59:59.5Z"),
        (Column::ServiceCategory, "AI and Machine Learning"),
        (Column::SubAccountId, "tenant\"1"),
        (Column::SkuPriceId, "claude-sonnet-4-5/input/standard"),
        (Column::Tags, r#"{"tenant":"tenant\"1","user":"u-1","report_type":"monthly-impact"}"#),
    ] {
        assert_eq!(text(&rows[0], column), expected, "{column}");
    }
    assert_eq!(text(&rows[1], Column::BilledCost), "0.00525");
    assert_eq!(rows[0].custom().collect::<Vec<_>>(), [("x_RequestId", "0197")]);
}

#[test]
fn what_rounding_leaves_is_lost_by_none() {
    // A third of a nano-dollar each: of three rows one is billed the nano.
    let third = |class| line(class, 1, "0.000333333");
    let lines = [
        third(TokenClass::Input),
        third(TokenClass::Output),
        line(TokenClass::CacheRead, 1, "0.000333334"),
    ];
    let rows = charges(&lines, Money::from_nanos(1));
    assert_eq!(sum(&rows, Column::BilledCost).to_string(), "0.000000001");
    assert_eq!(sum(&rows, Column::ListCost).to_string(), "0.000000001");
}

#[test]
fn a_request_whose_tokens_nobody_knows_is_one_row() {
    for cost in ["0.25", "-0.25"] {
        let rows = charges(&[], cost.parse().unwrap());
        assert_eq!(rows.len(), 1);
        assert_eq!(text(&rows[0], Column::BilledCost), cost);
        assert_eq!(faults(&rows[0]), [""; 0]);
    }
    assert_eq!(charges(&[], Money::ZERO).len(), 0);
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    let mut charge = Charge::default();
    let wrong = charge.set(Column::BilledCost, Value::Text("1".into())).unwrap_err();
    assert_eq!(wrong.to_string(), "BilledCost takes values of kind Decimal, not Text");
    assert_eq!(charge.set(Column::BilledCost, Value::Decimal(Decimal::new(1, 0))), Ok(()));
}

fn any_lines() -> impl Strategy<Value = Vec<TokenLine>> {
    let line = (0..5usize, 0..3_000_000u64, 0..100_000_000_000i128);
    prop::collection::vec(line, 0..6).prop_map(|lines| {
        let lines = lines.into_iter().map(|(class, quantity, price)| TokenLine {
            class: TokenClass::ALL[class],
            quantity,
            unit_price: UnitPrice::from_nanos_per_million(price).unwrap(),
        });
        lines.collect()
    })
}

proptest! {
    /// Rows are FOCUS in every respect, and their costs are the ledger's to the nano-dollar,
    /// whether the ledger computed the cost or was told another.
    #[test]
    fn rows_keep_every_requirement_and_sum_to_the_ledger(
        lines in any_lines(), told in prop::option::of(-1_000_000_000_000i128..9_000_000_000_000),
    ) {
        let exact: i128 = lines
            .iter()
            .map(|line| i128::from(line.quantity) * line.unit_price.nanos_per_million())
            .sum();
        let own = Money::from_millionths(exact, Rounding::HalfEven);
        let cost = told.map_or(own, Money::from_nanos);
        let rows = charges(&lines, cost);
        for row in &rows {
            prop_assert_eq!(faults(row), Vec::<String>::new());
        }
        if !rows.is_empty() {
            for column in [
                Column::BilledCost, Column::EffectiveCost, Column::PricingCurrencyEffectiveCost,
            ] {
                prop_assert_eq!(sum(&rows, column).to_string(), cost.to_string());
            }
        } else {
            prop_assert!(cost.is_zero());
        }
        let sold: u64 = lines.iter().map(|line| line.quantity).sum();
        if sold > 0 {
            prop_assert_eq!(sum(&rows, Column::ConsumedQuantity).to_string(), sold.to_string());
        }
    }

    #[test]
    fn values_are_of_their_columns_kind(lines in any_lines()) {
        for row in charges(&lines, Money::from_nanos(7)) {
            for column in Column::ALL {
                if let Some(value) = row.value(*column) {
                    prop_assert_eq!(value.kind(), column.kind());
                }
            }
        }
    }
}
