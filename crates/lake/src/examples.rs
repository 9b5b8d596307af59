//! The specification's worked examples: every one of them comes in with the totals it states.
//!
//! Source: `specification/data` of FOCUS_Spec, 26 tables beside the chapters on commitment
//! discounts, SaaS agreements and virtual currencies. They are written for readers:
//!
//! | tables | rows that come in as they stand | what the others contradict |
//! |---|---|---|
//! | `commitment_discount_flexibility/*` | all, with `lacking` | |
//! | `…_usage_scenario_*`, `…_purchase_scenario_1` | all, with `lacking` | |
//! | `…_purchase_scenario_2`, `…_3` | all but the last | `DateTimeFormat`: `2023-02-01T30:00:00Z` |
//! | `saas_examples/*` | none | `DateTimeFormat`: `4/1/25` |
//! | of them `simple_agreements/*` | none | `NumericFormat`, too: `$50,000.00` |
//!
//! All lack columns that their version must have: they show those that matter.
//!
//! `DateTimeFormat` wants ISO 8601 in UTC, whose days have no thirtieth hour. `4/1/25` is the first
//! of April to some and the fourth of January to others, and a guess would put charges into the
//! wrong month without a word. `NumericFormat` wants one number without currency signs and commas:
//! `1,000` is a thousand here and one there. So what does not come in is in quarantine with the
//! value that breaks the rule. Written as the specification's own rules want it, every table gives
//! what it states.

use std::fs;

use focus::cost::Value;

use crate::{
    Ingested, Lake, Options,
    testing::{Place, real},
};

const FOLDER: &str = "focus/spec-examples/data";

/// A table, how many rows it has and how many of them come in as they stand; the sums of
/// `BilledCost`, `EffectiveCost`, `ListCost` and `ContractedCost` over all of its rows.
type Example = (&'static str, u64, u64, [&'static str; 4]);

const FLEXIBLE: &str = "commitment_discount_flexibility";
const SCENARIOS: &str = "commitment_discount_scenarios";
const SAAS: &str = "saas_examples";

#[rustfmt::skip]
const EXAMPLES: &[(&str, &[Example])] = &[
    (FLEXIBLE, &[
        ("one_hundred_percent_utilization_with_commitment_discount_flexibility_with_1_resource",
            3, 3, ["2.75", "2.75", "6.25", "0"]),
        ("one_hundred_percent_utilization_with_commitment_discount_flexibility_with_2_resources",
            3, 3, ["2", "2", "8", "0"]),
        ("one_hundred_percent_utilization_without_commitment_discount_flexibility",
            2, 2, ["1.5", "1.5", "6", "0"]),
        ("zero_percent_utilization_without_commitment_discount_flexibility",
            3, 3, ["3.5", "3.5", "8", "0"]),
    ]),
    (SCENARIOS, &[
        ("commitment_discount_purchase_scenario_1", 1, 1, ["8760", "0", "0", "0"]),
        ("commitment_discount_purchase_scenario_2", 3, 2, ["3", "0", "0", "0"]),
        ("commitment_discount_purchase_scenario_3", 4, 3, ["4381.5", "0", "0", "0"]),
        ("commitment_discount_usage_scenario_1", 1, 1, ["0", "1", "0", "0"]),
        ("commitment_discount_usage_scenario_2", 1, 1, ["0", "1", "0", "0"]),
        ("commitment_discount_usage_scenario_3", 2, 2, ["0", "1", "0", "0"]),
        ("commitment_discount_usage_scenario_4", 2, 2, ["0.5", "1.5", "0", "0"]),
    ]),
    (SAAS, &[
        ("simple_agreements/simple_saas_agreements_a1", 1, 0, ["10000"; 4]),
        ("simple_agreements/simple_saas_agreements_a2", 1, 0, ["50000"; 4]),
        ("simple_agreements/simple_saas_agreements_a3", 1, 0, ["1000"; 4]),
        ("simple_agreements/simple_saas_agreements_b", 1, 0, ["50000"; 4]),
        ("simple_agreements/simple_saas_agreements_c", 3, 0, ["35800"; 4]),
        ("spend_agreements/saas_spend_agreements_a1", 4, 0, ["1200", "1200", "1257", "1200"]),
        ("spend_agreements/saas_spend_agreements_a2", 13, 0, ["1200", "1200", "1257", "1200"]),
        ("spend_agreements/saas_spend_agreements_b1", 5, 0, ["1200", "1200", "2457", "2400"]),
        ("spend_agreements/saas_spend_agreements_b2", 14, 0, ["1200", "1200", "2457", "2400"]),
        ("virtual_currency_pricing_model_a1", 1, 0, ["200000", "0", "200000", "200000"]),
        ("virtual_currency_pricing_model_a2", 3, 0, ["0", "1230", "1230", "1230"]),
        ("virtual_currency_pricing_model_b1", 1, 0, ["100000", "0", "200000", "100000"]),
        ("virtual_currency_pricing_model_b2", 3, 0, ["0", "615", "1230", "615"]),
        ("virtual_currency_pricing_model_b3", 3, 0, ["0", "495", "1230", "495"]),
        ("virtual_currency_pricing_model_c", 2, 0, ["53000", "0", "53000", "53000"]),
    ]),
];

fn all() -> impl Iterator<Item = (String, &'static Example)> {
    EXAMPLES.iter().flat_map(|(folder, examples)| {
        examples
            .iter()
            .map(move |example| (format!("{FOLDER}/{folder}/{}.csv", example.0), example))
    })
}

async fn ingested(lake: &Lake, path: &std::path::Path, source: &str) -> Ingested {
    let options =
        Options { source: Some(source.into()), lacking: true, threads: 1, ..Options::default() };
    lake.ingest(path, &options).await.unwrap_or_else(|error| panic!("{source}: {error}"))
}

async fn sums(lake: &Lake) -> Vec<String> {
    let sql = "select sum(BilledCost), sum(EffectiveCost), coalesce(sum(ListCost), 0), \
               coalesce(sum(ContractedCost), 0) from focus_data_table";
    let answer = lake.sql(sql, &[], None).await.unwrap();
    answer.rows[0].iter().map(Value::to_string).collect()
}

#[test]
fn no_table_is_forgotten() {
    let mut found = Vec::new();
    let mut folders = vec![real(FOLDER)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    let mut listed: Vec<_> = all().map(|(path, _)| real(&path)).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_they_stand_what_can_be_read_comes_in_and_the_rest_is_told() {
    for (path, (name, rows, readable, _)) in all() {
        let place = Place::new();
        let lake = place.lake().await;
        let done = ingested(&lake, &real(&path), name).await;
        let kept_apart = done.quarantined.map_or(0, |(_, rows)| rows);
        assert_eq!((done.charges(), kept_apart), (*readable, rows - readable), "{name}: {done:#?}");
        let Some((id, _)) = done.quarantined else { continue };
        for kept in lake.quarantined(id, 0, 100).await.unwrap() {
            assert_contradicts(name, &kept);
        }
    }
}

/// A row is kept apart for a value that the specification's own rules forbid, and it is named.
fn assert_contradicts(name: &str, kept: &crate::Kept) {
    let says = |values: &[&str], why: &str| {
        kept.reasons.iter().any(|reason| {
            reason.say.contains(why) && values.iter().any(|value| reason.say.contains(value))
        })
    };
    let is_date = match name.contains("scenario") {
        true => says(&["T30:00:00Z"], "is no date and time"),
        false => says(&["/25\"", "/26\""], "is no date and time"),
    };
    assert!(is_date, "{name}: {kept:?}");
    let is_simple = name.starts_with("simple_agreements/");
    assert_eq!(says(&["\"$"], "is no decimal number"), is_simple, "{name}: {kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gives_the_totals_that_it_states() {
    for (path, (name, rows, _, stated)) in all() {
        let place = Place::new();
        let lake = place.lake().await;
        let text = respelled(&fs::read_to_string(real(&path)).unwrap());
        let done = ingested(&lake, &place.write("example.csv", text), name).await;
        assert_eq!((done.charges(), done.quarantined), (*rows, None), "{name}: {done:#?}");
        assert_eq!(sums(&lake).await, *stated, "{name}");
    }
}

/// Dates and amounts as `DateTimeFormat` and `NumericFormat` have them.
fn respelled(text: &str) -> String {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(reader.byte_headers().unwrap()).unwrap();
    for record in reader.records() {
        writer.write_record(record.unwrap().iter().map(value)).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

fn value(text: &str) -> String {
    let parts: Vec<u32> = text.split('/').filter_map(|part| part.parse().ok()).collect();
    if let ([month, day, year], 2) = (parts.as_slice(), text.matches('/').count()) {
        return format!("20{year:02}-{month:02}-{day:02}T00:00:00Z");
    }
    if let Some(amount) = text.strip_prefix('$') {
        return amount.trim().replace(',', "");
    }
    // The thirtieth hour of the first is the sixth of the second.
    text.replace("-01T30:", "-02T06:")
}
