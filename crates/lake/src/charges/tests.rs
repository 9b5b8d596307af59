use std::{path::Path, sync::Arc};

use arrow::array::{Array, AsArray, StringArray};
use focus::{Column, Kind, Record, Row as _, Source, cur, value};

use super::*;
use crate::{
    Lake, Limits, OnInvalid, Options,
    bill::{self, Reading},
    partition::column,
    schema,
    testing::{Place, billed, one, real},
};

/// A report's row: what every line item has, then what this one has.
type Line = Vec<(&'static str, &'static str)>;

fn line(own: &[(&'static str, &'static str)]) -> Line {
    let mut row = vec![
        ("bill/BillingEntity", "AWS"),
        ("bill/BillingPeriodEndDate", "2026-11-01T00:00:00.000Z"),
        ("bill/BillingPeriodStartDate", "2026-10-01 00:00:00"),
        ("bill/PayerAccountId", "1"),
        ("lineItem/CurrencyCode", "USD"),
        ("lineItem/LineItemDescription", "Linux"),
        ("lineItem/ProductCode", "AmazonEC2"),
        ("lineItem/UsageAccountId", "2"),
        ("lineItem/UsageEndDate", "2026-10-01T01:00:00Z"),
        ("lineItem/UsageStartDate", "2026-10-01T00:00:00Z"),
    ];
    row.extend(own);
    row
}

const KIND: &str = "lineItem/LineItemType";
const COST: &str = "lineItem/UnblendedCost";
const PLAN: (&str, &str) = ("savingsPlan/SavingsPlanARN", "arn:sp");
const RESERVED: (&str, &str) = ("reservation/ReservationARN", "arn:ri");

/// A line of every kind: what they bill is 1.2345678901 + 0.1 + 0.08 - 0.5 + 3.
fn lines() -> Vec<Line> {
    let usage = [
        ("lineItem/UsageAmount", "1.5"),
        ("lineItem/UsageType", "BoxUsage:m5.large"),
        ("pricing/publicOnDemandCost", "0.096"),
        ("pricing/publicOnDemandRate", "0.064"),
        ("pricing/unit", "Hrs"),
        ("product/sku", "S"),
    ];
    let priced = |own: &[(&'static str, &'static str)]| line(&[&usage[..], own].concat());
    vec![
        priced(&[
            (KIND, "Usage"),
            (COST, "1.2345678901"),
            ("resourceTags/user:Team", "a"),
            ("resourceTags/user:team", "b"),
        ]),
        priced(&[
            PLAN,
            (KIND, "SavingsPlanCoveredUsage"),
            (COST, "0.096"),
            ("savingsPlan/SavingsPlanEffectiveCost", "0.06"),
        ]),
        line(&[PLAN, (KIND, "SavingsPlanNegation"), (COST, "-0.096")]),
        line(&[
            PLAN,
            (KIND, "SavingsPlanRecurringFee"),
            (COST, "0.1"),
            ("savingsPlan/TotalCommitmentToDate", "0.1"),
            ("savingsPlan/UsedCommitment", "0.06"),
        ]),
        priced(&[
            RESERVED,
            (KIND, "DiscountedUsage"),
            (COST, "0"),
            ("reservation/EffectiveCost", "0.05"),
        ]),
        line(&[
            RESERVED,
            (KIND, "RIFee"),
            (COST, "8E-2"),
            ("reservation/UnusedQuantity", "0.6"),
            ("reservation/UnusedAmortizedUpfrontFeeForBillingPeriod", "0.01"),
            ("reservation/UnusedRecurringFee", "0.02"),
        ]),
        line(&[(KIND, "Credit"), (COST, "-0.5")]),
        line(&[(KIND, "Tax"), (COST, "3"), ("bill/InvoiceId", "I-1")]),
    ]
}

/// Header and rows, with a column for whatever some line has.
fn table(lines: &[Line]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut names: Vec<&str> = lines.iter().flatten().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let value = |line: &Line, name: &str| {
        let found = line.iter().rfind(|(own, _)| *own == name);
        found.map_or_else(String::new, |(_, text)| (*text).to_owned())
    };
    let rows = lines.iter().map(|line| names.iter().map(|name| value(line, name)).collect());
    let rows = rows.collect();
    (names.into_iter().map(str::to_owned).collect(), rows)
}

fn csv_of(names: &[String], rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(names).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

fn same(charges: &RecordBatch, row: usize, of: Column, want: Option<&str>) -> bool {
    let array = column(charges, of);
    let Some(want) = want.filter(|want| !value::is_null(want)) else { return array.is_null(row) };
    if array.is_null(row) {
        return false;
    }
    match of.kind() {
        Kind::Decimal => {
            let digits = array.as_primitive::<arrow::datatypes::Decimal128Type>().value(row);
            focus::Decimal::amount(digits) == focus::Decimal::parse(want).unwrap()
        }
        Kind::Instant => {
            let micros =
                array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row);
            value::instant(want).unwrap().0.as_microsecond() == micros
        }
        Kind::Text | Kind::Json => array.as_string::<i32>().value(row) == want,
    }
}

/// Compares what the lake makes of rows with the row-wise evaluation.
fn agree(names: &[String], rows: &[Vec<String>]) -> usize {
    let columns: Vec<ArrayRef> = (0..names.len())
        .map(|at| {
            let values = rows.iter().map(|row| Some(&row[at]).filter(|v| !value::is_null(v)));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let layout = bill::of_header(
        Path::new("cur.csv"),
        names.to_vec(),
        &[],
        Reading::default(),
        Limits::default(),
    )
    .unwrap();
    let (schema, validator) = (schema::charges([]), Validator::default());
    let maker = Maker { layout: &layout, schema: &schema, validator: &validator, every: false };
    let made = maker.make(&columns, &mut Findings::default()).unwrap();
    let known: Vec<String> = names.iter().map(|name| cur::normalized(name)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut compared = 0;
    let mut made = made.iter();
    for part in cur::PARTS {
        let records: Vec<Record> = rows
            .iter()
            .filter_map(|row| {
                let values: Vec<&str> = row.iter().map(String::as_str).collect();
                part.record(&Source::new(&known, &values))
            })
            .collect();
        if records.is_empty() {
            continue;
        }
        let charges = &made.next().unwrap().charges;
        assert_eq!(charges.num_rows(), records.len(), "{}", part.name);
        for (row, record) in records.iter().enumerate() {
            for of in Column::ALL {
                let want = record.text(*of);
                assert!(same(charges, row, *of, want), "{} {of} of {row}: {want:?}", part.name);
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn reports_become_what_the_row_wise_evaluation_makes_of_them() {
    let (names, rows) = table(&lines());
    assert_eq!(agree(&names, &rows), 9 * Column::ALL.len(), "seven line items and two left over");
    let mut reader = csv::Reader::from_path(real("focus/aws-cur-legacy-anon.csv")).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    assert_eq!(agree(&names, &rows), 1_281 * Column::ALL.len());
}

async fn ingested(lake: &Lake, path: &Path) -> crate::Ingested {
    let options = Options { source: Some("cur".into()), ..Options::default() };
    lake.ingest(path, &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn billed_costs_sum_to_a_reports_unblended_costs() {
    let place = Place::new();
    let lake = place.lake().await;
    let (names, rows) = table(&lines());
    let done = ingested(&lake, &place.write("cur.csv", csv_of(&names, &rows))).await;
    assert_eq!((done.charges(), done.quarantined), (9, None), "{done:#?}");
    assert!(done.files[0].contains("AWS CUR, "), "{:?}", done.files);
    assert_eq!(lake.imports(None).await.unwrap()[0].focus, "CUR");
    assert_eq!(billed(&lake).await, "3.9145678901");
    let effective = "select sum(EffectiveCost) from focus_data_table";
    // Used 0.06 and left 0.04 of the plan, used 0.05 and left 0.03 of the reservation.
    assert_eq!(one(&lake, effective).await.to_string(), "3.9145678901");
    let tags = "select Tags from focus_data_table where Tags is not null";
    assert_eq!(one(&lake, tags).await.to_string(), r#"{"user:Team":"a","user:team":"b"}"#);
    let kinds = "select count(*) from focus_data_table \
                 where x_line_item_line_item_type = 'SavingsPlanRecurringFee'";
    assert_eq!(one(&lake, kinds).await.to_string(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_report_keeps_its_total() {
    let place = Place::new();
    let lake = place.lake().await;
    let done = ingested(&lake, &real("focus/aws-cur-legacy-anon.csv")).await;
    assert_eq!((done.charges(), done.quarantined), (1_281, None), "{done:#?}");
    assert_eq!(billed(&lake).await, "1.6823086974");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_broken_comes_in_with_none_of_its_charges() {
    let place = Place::new();
    let lake = place.lake().await;
    let (names, mut rows) = table(&lines());
    let cost = names.iter().position(|name| name == COST).unwrap();
    rows[3][cost] = "a dime".into();
    let path = place.write("cur.csv", csv_of(&names, &rows));
    let done = ingested(&lake, &path).await;
    let (id, kept) = done.quarantined.unwrap();
    assert_eq!((done.charges(), kept), (7, 1), "{done:#?}");
    assert_eq!(billed(&lake).await, "3.8145678901");
    let kept = lake.quarantined(id, 0, 10).await.unwrap();
    assert_eq!((kept[0].row, kept[0].focus.as_str()), (4, "CUR"));
    assert!(kept[0].reasons[0].say.contains("a dime"), "{kept:?}");
    // Tried again, it is read as the report's row that it was.
    let accept = Options { on_invalid: OnInvalid::Accept, ..Options::default() };
    assert_eq!(lake.release(id, &accept).await.unwrap().quarantined.unwrap().1, 1);
}

#[test]
fn a_report_that_lacks_a_column_is_told() {
    let (mut names, _) = table(&lines());
    names.retain(|name| name != "lineItem/CurrencyCode");
    let read = Reading::default();
    let read = bill::of_header(Path::new("cur.csv"), names, &[], read, Limits::default());
    let say = read.unwrap_err().say;
    assert!(say.contains("without line_item_currency_code"), "{say}");
}
