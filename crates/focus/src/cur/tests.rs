use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::{Row, Source, requirement, value::Number};

fn number(record: &Record, column: Column) -> Number {
    Number::parse(record.text(column).unwrap()).unwrap()
}

/// The charges that a row makes: by part, in order.
fn charges(row: &[(&str, &str)]) -> Vec<Record> {
    let (names, values): (Vec<&str>, Vec<&str>) = row.iter().copied().unzip();
    let source = Source::new(&names, &values);
    PARTS.iter().filter_map(|part| part.record(&source)).collect()
}

/// What every line item has, and what this one has.
fn line<'a>(own: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut row = vec![
        ("bill_billing_entity", "AWS"),
        ("bill_billing_period_end_date", "2026-11-01 00:00:00.000"),
        ("bill_billing_period_start_date", "2026-10-01 00:00:00.000"),
        ("bill_invoicing_entity", "Amazon Web Services, Inc."),
        ("bill_payer_account_id", "1"),
        ("line_item_currency_code", "USD"),
        ("line_item_line_item_description", "Linux"),
        ("line_item_product_code", "AmazonEC2"),
        ("line_item_usage_account_id", "2"),
        ("line_item_usage_end_date", "2026-10-01 01:00:00.000"),
        ("line_item_usage_start_date", "2026-10-01 00:00:00.000"),
        ("product", r#"{"product_name": "Amazon Elastic Compute Cloud"}"#),
        ("product_region_code", "us-east-1"),
    ];
    row.extend(own);
    row
}

fn faults(record: &Record) -> Vec<String> {
    let broken = requirement::all().iter().filter(|r| !requirement::check(record, r));
    broken.map(|requirement| requirement.explain(record)).collect()
}

const PRICED: [(&str, &str); 6] = [
    ("line_item_usage_amount", "1.0"),
    ("line_item_usage_type", "BoxUsage:m5.large"),
    ("pricing_public_on_demand_cost", "0.096"),
    ("pricing_public_on_demand_rate", "0.096"),
    ("pricing_rate_code", "S.O.R"),
    ("pricing_unit", "Hrs"),
];

#[test]
fn names_of_legacy_reports_are_those_of_newer_ones() {
    for (legacy, name) in [
        ("\u{feff}identity/LineItemId", "identity_line_item_id"),
        ("lineItem/LineItemType", TYPE),
        ("savingsPlan/SavingsPlanARN", "savings_plan_savings_plan_a_r_n"),
        ("pricing/publicOnDemandCost", "pricing_public_on_demand_cost"),
        ("product/ProductName", "product_product_name"),
        ("product/servicecode", "product_servicecode"),
        ("resourceTags/user:CostCenter", "resource_tags_user:CostCenter"),
        ("line_item_usage_amount", "line_item_usage_amount"),
    ] {
        assert_eq!(normalized(legacy), name);
    }
}

const TYPE: &str = "line_item_line_item_type";

#[test]
fn usage_is_billed_at_what_was_invoiced() {
    let mut row = line(&PRICED);
    row.extend([
        (TYPE, "Usage"),
        ("line_item_unblended_cost", "0.096"),
        ("line_item_unblended_rate", "0.096"),
        ("product_sku", "S"),
        ("line_item_resource_id", "i-1"),
        ("resource_tags_user:Team", "a"),
    ]);
    let charges = charges(&row);
    assert_eq!(charges.len(), 1);
    assert_eq!(faults(&charges[0]), [""; 0]);
    for (column, text) in [
        (Column::BilledCost, "0.096"),
        (Column::ChargePeriodStart, "2026-10-01T00:00:00Z"),
        (Column::ServiceName, "Amazon Elastic Compute Cloud"),
        (Column::ServiceCategory, "Compute"),
        (Column::SkuMeter, "BoxUsage:m5.large"),
        (Column::Tags, r#"{"user:Team":"a"}"#),
    ] {
        assert_eq!(charges[0].text(column), Some(text), "{column}");
    }
}

#[test]
fn a_savings_plans_month_adds_up_billed_and_effective() {
    let plan = ("savings_plan_savings_plan_a_r_n", "arn:sp");
    // Ten cents an hour committed, six used for what would have cost 9.6 cents.
    let mut covered = line(&PRICED);
    covered.extend([
        plan,
        (TYPE, "SavingsPlanCoveredUsage"),
        ("line_item_unblended_cost", "0.096"),
        ("line_item_unblended_rate", "0.096"),
        ("product_sku", "S"),
        ("savings_plan_savings_plan_effective_cost", "0.06"),
    ]);
    let negation =
        line(&[plan, (TYPE, "SavingsPlanNegation"), ("line_item_unblended_cost", "-0.096")]);
    let mut fee = line(&[
        plan,
        (TYPE, "SavingsPlanRecurringFee"),
        ("line_item_unblended_cost", "0.1"),
        ("savings_plan_total_commitment_to_date", "0.1"),
        ("savings_plan_used_commitment", "0.06"),
    ]);
    let all: Vec<Record> =
        [&covered, &negation, &fee].iter().flat_map(|row| charges(row)).collect();
    assert_eq!(all.len(), 3);
    for column in [Column::BilledCost, Column::EffectiveCost] {
        let numbers = all.iter().map(|record| number(record, column));
        let sum = numbers.reduce(|sum, number| sum.plus(&number)).unwrap();
        assert_eq!(sum.to_string(), "0.1", "{column}");
    }
    assert_eq!(faults(&all[0]), [""; 0]);
    assert_eq!(all[2].text(Column::CommitmentDiscountStatus), Some("Unused"));
    assert_eq!(all[2].text(Column::CommitmentDiscountQuantity), Some("0.04"));
    // Used up, nothing is told as unused.
    fee.retain(|(name, _)| *name != "savings_plan_used_commitment");
    fee.push(("savings_plan_used_commitment", "0.1"));
    assert_eq!(charges(&fee).len(), 1);
}

#[test]
fn a_reservations_month_adds_up() {
    let reservation = ("reservation_reservation_a_r_n", "arn:ri");
    let mut used = line(&PRICED);
    used.extend([
        reservation,
        (TYPE, "DiscountedUsage"),
        ("line_item_unblended_cost", "0"),
        ("line_item_unblended_rate", "0"),
        ("product_sku", "S"),
        ("reservation_effective_cost", "0.05"),
    ]);
    let fee = line(&[
        reservation,
        (TYPE, "RIFee"),
        ("line_item_unblended_cost", "0.08"),
        ("reservation_unused_amortized_upfront_fee_for_billing_period", "0.01"),
        ("reservation_unused_recurring_fee", "0.02"),
        ("reservation_unused_quantity", "0.6"),
    ]);
    let all: Vec<Record> = [&used, &fee].iter().flat_map(|row| charges(row)).collect();
    let effective: Vec<&str> =
        all.iter().map(|record| record.text(Column::EffectiveCost).unwrap()).collect();
    assert_eq!(effective, ["0.05", "0", "0.03"]);
    assert_eq!(faults(&all[0]), [""; 0]);
    assert_eq!(all[0].text(Column::ContractedUnitPrice), Some("0.096"));
}

#[test]
fn taxes_credits_and_discounts_have_no_prices() {
    for (kind, category) in [
        ("Tax", "Tax"),
        ("Credit", "Credit"),
        ("Refund", "Credit"),
        ("EdpDiscount", "Adjustment"),
        ("BundledDiscount", "Adjustment"),
    ] {
        let mut row = line(&PRICED);
        row.extend([(TYPE, kind), ("line_item_unblended_cost", "-1"), ("product_sku", "S")]);
        let charges = charges(&row);
        assert_eq!(charges[0].text(Column::ChargeCategory), Some(category));
        assert_eq!(faults(&charges[0]), [""; 0], "{kind}");
    }
}

#[test]
fn every_column_is_mapped_or_a_gap() {
    let gaps: HashSet<Column> = GAPS.iter().map(|gap| gap.column).collect();
    for column in Column::ALL {
        let made = PARTS.iter().any(|part| part.expression(*column) != Expression::Null);
        assert!(made || gaps.contains(column), "{column} is neither mapped nor told as a gap");
    }
}

/// The anonymised report: its rows, converted.
fn real() -> (Vec<String>, Vec<csv::StringRecord>) {
    let path = crate::data::folder().join("focus/aws-cur-legacy-anon.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.records().map(Result::unwrap).collect())
}

#[test]
fn a_real_report_keeps_its_total_and_breaks_only_what_it_doesnt_tell() {
    let (header, rows) = real();
    assert!(is_report(&header));
    assert!(!is_report(&["BilledCost"]));
    let names: Vec<String> = header.iter().map(|name| normalized(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let cost = names.iter().position(|name| *name == "line_item_unblended_cost").unwrap();
    let zero = Number::parse("0").unwrap();
    let (mut told, mut billed, mut effective) = (zero.clone(), zero.clone(), zero);
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        let values: Vec<&str> = row.iter().collect();
        told = told.plus(&Number::parse(values[cost]).unwrap_or_else(|_| {
            panic!("{:?} is no cost", values[cost]);
        }));
        let source = Source::new(&names, &values);
        let record = PARTS[0].record(&source).unwrap();
        assert!(PARTS[1].record(&source).is_none());
        billed = billed.plus(&number(&record, Column::BilledCost));
        effective = effective.plus(&number(&record, Column::EffectiveCost));
        for requirement in requirement::all() {
            if !requirement::check(&record, requirement) {
                *found.entry(requirement.id).or_default() += 1;
            }
        }
    }
    assert_eq!(rows.len(), 1281);
    assert_eq!(billed.to_string(), told.to_string());
    assert_eq!(effective.to_string(), told.to_string());
    assert_eq!(told.to_string(), "1.6823086974");
    assert_eq!(found, BTreeMap::new(), "the report's columns fit the specification's rules");
}
