use proptest::prelude::*;

use super::*;

struct Values(Vec<(Column, &'static str)>);

impl Row for Values {
    fn text(&self, column: Column) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == column).map(|(_, text)| *text)
    }
}

use Column::{BilledCost, ChargePeriodEnd, ChargePeriodStart, EffectiveCost, ListCost};

fn holds(condition: Condition, values: &[(Column, &'static str)]) -> bool {
    condition.holds(&Values(values.to_vec()))
}

#[test]
fn instants_and_numbers_are_compared_by_what_they_mean() {
    let less = Condition::Less(ChargePeriodStart, ChargePeriodEnd);
    for (a, b, expected) in [
        ("2024-10-01T00:00:00Z", "2024-10-01T00:00:01Z", true),
        ("2024-10-01T02:00:00+02:00", "2024-10-01T00:00:00Z", false),
        ("9", "10", true),
        ("-1E1", "-9.99", true),
        ("10", "9", false),
        ("soon", "2024-10-01T00:00:00Z", true),
    ] {
        assert_eq!(holds(less, &[(ChargePeriodStart, a), (ChargePeriodEnd, b)]), expected);
    }
    assert!(holds(less, &[(ChargePeriodEnd, "2024-10-01T00:00:00Z")]));
}

#[test]
fn equal_numbers_may_be_written_apart_and_texts_may_not() {
    let values = [(BilledCost, "1.50"), (EffectiveCost, "15E-1"), (ListCost, "1.5000001")];
    assert!(holds(Condition::EqualNumbers(BilledCost, EffectiveCost), &values));
    assert!(!holds(Condition::EqualNumbers(BilledCost, ListCost), &values));
    assert!(!holds(Condition::Same(BilledCost, EffectiveCost), &values));
    assert!(!holds(Condition::Same(Column::Tags, Column::Tags), &values));
}

#[test]
fn a_product_may_be_off_by_a_billionth_and_not_by_more() {
    let product = Condition::Product {
        product: ListCost,
        factors: [Column::ListUnitPrice, Column::PricingQuantity],
    };
    for (cost, price, quantity, expected) in [
        ("0.3", "0.1", "3", true),
        ("0.333333333", "0.3333333333", "1", true),
        ("0.33333333", "0.3333333333", "1", false),
        ("3000000000", "1", "3000000003", true),
        ("3000000000", "1", "3000000004", false),
        ("-2", "1", "-2", true),
    ] {
        let values =
            [(ListCost, cost), (Column::ListUnitPrice, price), (Column::PricingQuantity, quantity)];
        assert_eq!(holds(product, &values), expected, "{price} × {quantity} = {cost}");
    }
}

proptest! {
    #[test]
    fn not_all_and_any_are_those_of_logic(values in prop::collection::vec(prop::bool::ANY, 2)) {
        const A: Condition = Condition::NotNull(BilledCost);
        const B: Condition = Condition::NotNull(ListCost);
        let columns = [(BilledCost, "1"), (ListCost, "1")];
        let told = columns.iter().zip(&values).filter(|(_, on)| **on);
        let row: Vec<_> = told.map(|(column, _)| *column).collect();
        prop_assert_eq!(holds(Condition::All(&[A, B]), &row), values[0] && values[1]);
        prop_assert_eq!(holds(Condition::Any(&[A, B]), &row), values[0] || values[1]);
        prop_assert_eq!(holds(Condition::Not(&A), &row), !values[0]);
        prop_assert_eq!(holds(Condition::Null(BilledCost), &row), !values[0]);
    }
}
