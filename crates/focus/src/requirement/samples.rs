//! The specification's own rows, checked. Each fault that is found was looked up in the file and
//! is in it; the comments say what it is.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::*;
use crate::{Source, Version, upgrade, value::Number};

type Findings = BTreeMap<String, usize>;

/// How many rows break each requirement, and how many rows there are.
fn findings(path: &Path) -> (Findings, usize) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let detected = Version::detect(&header);
    let plan = upgrade::plan(&header, &detected);
    let names = Source::names(&header, &detected);
    let asked = asked(|column| plan.gives(column));
    let (mut found, mut rows) = (BTreeMap::new(), 0);
    for row in reader.records() {
        let row = row.unwrap();
        let values: Vec<&str> = row.iter().collect();
        let record = plan.record(&Source::new(&names, &values));
        for requirement in asked.iter().filter(|requirement| !check(&record, requirement)) {
            *found.entry(requirement.id.to_owned()).or_insert(0) += 1;
        }
        rows += 1;
    }
    (found, rows)
}

fn expected(counts: &[(&str, usize)]) -> Findings {
    counts.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect()
}

#[test]
fn the_official_sample_breaks_only_what_it_breaks() {
    let (found, rows) = findings(&crate::data::folder().join("focus/focus-1.0-sample.csv"));
    assert_eq!(rows, 1000);
    let expected = expected(&[
        // All instants are written "2024-10-01 00:00:00".
        ("BillingPeriodEnd-format", 1000),
        ("BillingPeriodStart-format", 1000),
        ("ChargePeriodEnd-format", 1000),
        ("ChargePeriodStart-format", 1000),
        // Oracle's seven rows: "Usage-based", no ContractedCost, names of unnamed regions.
        ("ChargeFrequency-format", 7),
        ("ContractedCost-null", 7),
        ("RegionName-pair", 9),
        // An adjustment and a credit of Microsoft's with quantities and prices, without SKU price.
        ("ConsumedQuantity-unpriced", 2),
        ("ConsumedQuantity-usage", 2),
        ("ContractedUnitPrice-format", 1),
        ("ContractedUnitPrice-unpriced", 1),
        ("EffectiveCost-billed", 1),
        ("ListUnitPrice-unpriced", 2),
        ("PricingCategory-unpriced", 1),
        ("PricingQuantity-unpriced", 3),
        // Usage without prices.
        ("ContractedUnitPrice-priced", 5),
        ("PricingCategory-priced", 5),
        ("SkuPriceId-priced", 5),
        // Costs that are not price × quantity: tiers, signs, prices of another unit.
        ("ContractedCost-product", 18),
        ("ListCost-product", 31),
        // AWS names few types.
        ("ResourceType-pair", 788),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn the_official_samples_totals_survive_the_upgrade_to_the_last_digit() {
    let path = crate::data::folder().join("focus/focus-1.0-sample.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let detected = Version::detect(&header);
    let (plan, names) = (upgrade::plan(&header, &detected), Source::names(&header, &detected));
    let mut sums = [Column::BilledCost, Column::EffectiveCost, Column::ListCost]
        .map(|column| (column, Number::parse("0").unwrap()));
    for row in reader.records() {
        let row = row.unwrap();
        let values: Vec<&str> = row.iter().collect();
        let record = plan.record(&Source::new(&names, &values));
        for (column, sum) in &mut sums {
            if let Some(text) = record.text(*column) {
                *sum = sum.plus(&Number::parse(text).unwrap());
            }
        }
    }
    let sums = sums.map(|(_, sum)| sum.to_string());
    assert_eq!(sums, ["20.52022672899", "14.97651418586", "20.39090575119"]);
}

/// In the SaaS examples dates are written `4/1/25`.
const DATES: &[&str] = &[
    "BillingPeriodEnd-format",
    "BillingPeriodStart-format",
    "ChargePeriodEnd-format",
    "ChargePeriodStart-format",
];

/// In the simple agreements amounts are written `$10,000.00 `.
const DOLLARS: &[&str] = &[
    "BilledCost-format",
    "ContractedCost-format",
    "ContractedUnitPrice-format",
    "EffectiveCost-format",
    "ListCost-format",
    "ListUnitPrice-format",
    "PricingCurrencyEffectiveCost-format",
];

/// The examples: the file, what all of its rows break, what some of them do.
type Example = (&'static str, &'static [&'static [&'static str]], &'static [(&'static str, usize)]);
const EXAMPLES: &[Example] = &[
    // A third of an hour at 3.00 an hour is told as 3.00.
    (
        "one_hundred_percent_utilization_with_commitment_discount_flexibility_with_1_resource",
        &[],
        &[("ListCost-product", 1)],
    ),
    (
        "one_hundred_percent_utilization_with_commitment_discount_flexibility_with_2_resources",
        &[],
        &[],
    ),
    ("one_hundred_percent_utilization_without_commitment_discount_flexibility", &[], &[]),
    // An unused hour is told as consumed.
    (
        "zero_percent_utilization_without_commitment_discount_flexibility",
        &[],
        &[("ConsumedQuantity-usage", 1)],
    ),
    ("commitment_discount_purchase_scenario_1", &[], &[]),
    // The hour 30: 2023-02-01T30:00:00Z.
    ("commitment_discount_purchase_scenario_2", &[], &[("ChargePeriodEnd-format", 1)]),
    ("commitment_discount_purchase_scenario_3", &[], &[("ChargePeriodEnd-format", 1)]),
    ("commitment_discount_usage_scenario_1", &[], &[]),
    ("commitment_discount_usage_scenario_2", &[], &[]),
    ("commitment_discount_usage_scenario_3", &[], &[]),
    ("commitment_discount_usage_scenario_4", &[], &[]),
    ("simple_saas_agreements_a1", &[DATES, DOLLARS], &[]),
    ("simple_saas_agreements_a2", &[DATES, DOLLARS], &[]),
    ("simple_saas_agreements_a3", &[DATES, DOLLARS], &[]),
    ("simple_saas_agreements_b", &[DATES, DOLLARS], &[]),
    ("simple_saas_agreements_c", &[DATES, DOLLARS], &[]),
    // "Database" and "No-SQL DB" are no categories; a fee for what was not used is told as usage.
    (
        "saas_spend_agreements_a1",
        &[DATES, &["ServiceCategory-format", "ServiceSubcategory-format"]],
        &[("ConsumedQuantity-told", 1)],
    ),
    (
        "saas_spend_agreements_a2",
        &[DATES, &["ServiceCategory-format", "ServiceSubcategory-format"]],
        &[("ConsumedQuantity-told", 10)],
    ),
    // The purchase names no service.
    (
        "saas_spend_agreements_b1",
        &[DATES],
        &[
            ("ConsumedQuantity-told", 1),
            ("ServiceCategory-format", 4),
            ("ServiceSubcategory-format", 4),
            ("ServiceCategory-null", 1),
            ("ServiceSubcategory-null", 1),
            ("ServiceName-null", 1),
        ],
    ),
    (
        "saas_spend_agreements_b2",
        &[DATES],
        &[
            ("ConsumedQuantity-told", 10),
            ("ServiceCategory-format", 13),
            ("ServiceSubcategory-format", 13),
            ("ServiceCategory-null", 1),
            ("ServiceSubcategory-null", 1),
            ("ServiceName-null", 1),
        ],
    ),
    ("virtual_currency_pricing_model_a1", &[DATES], &[]),
    // Prices in tokens: well before 1.4, a hint since.
    ("virtual_currency_pricing_model_a2", &[DATES, &["PricingCurrency-format"]], &[]),
    // "0.00 " with a space.
    ("virtual_currency_pricing_model_b1", &[DATES], &[("EffectiveCost-format", 1)]),
    ("virtual_currency_pricing_model_b2", &[DATES, &["PricingCurrency-format"]], &[]),
    ("virtual_currency_pricing_model_b3", &[DATES, &["PricingCurrency-format"]], &[]),
    ("virtual_currency_pricing_model_c", &[DATES], &[]),
];

#[test]
fn the_worked_examples_break_only_what_they_break() {
    let mut files = Vec::new();
    list(&crate::data::folder().join("focus/spec-examples"), &mut files);
    assert_eq!(files.len(), EXAMPLES.len());
    for file in files {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let (found, rows) = findings(&file);
        let (_, all, some) = EXAMPLES.iter().find(|(name, ..)| *name == stem).unwrap();
        let mut expected = expected(some);
        expected.extend(all.iter().flat_map(|ids| ids.iter()).map(|id| ((*id).to_owned(), rows)));
        assert_eq!(found, expected, "{stem}");
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}
