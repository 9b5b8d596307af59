use crate::{
    Options,
    testing::{Place, billed, one},
};

const HEADER: &str = "bill/BillingPeriodStartDate,bill/BillingPeriodEndDate,bill/InvoiceId,\
    bill/PayerAccountId,lineItem/CurrencyCode,lineItem/LineItemType,lineItem/UnblendedCost,\
    lineItem/UsageStartDate,lineItem/UsageEndDate,savingsPlan/SavingsPlanEffectiveCost";

/// A report whose rows are an invoice, a type, an unblended cost and what a plan paid.
fn report(rows: &[(&str, &str, &str, &str)]) -> String {
    let mut text = format!("{HEADER}\n");
    for (invoice, kind, cost, plan) in rows {
        text.push_str(&format!(
            "2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,{invoice},1,USD,{kind},{cost},\
             2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,{plan}\n"
        ));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_a_plan_covers_and_nobody_takes_back_is_told_by_invoice() {
    let place = Place::new();
    let lake = place.lake().await;
    let covered = "SavingsPlanCoveredUsage";
    let negation = "SavingsPlanNegation";
    let text = report(&[
        ("even", covered, "0.30", "0.2"),
        ("even", negation, "-0.1", ""),
        ("even", negation, "-0.2", ""),
        ("odd", covered, "0.50", "0.2"),
        ("odd", negation, "-0.2", ""),
        ("", covered, "7", "0.2"),
        ("odd", "Usage", "1", ""),
    ]);
    let done = lake.ingest(&place.write("cur.csv", text), &Options::default()).await.unwrap();
    let told: Vec<&String> = done.notes.iter().filter(|note| note.contains("plans")).collect();
    assert_eq!(told.len(), 2, "{:?}", done.notes);
    assert!(told[0].starts_with("2026-10, not yet invoiced: savings plans cover usage of 7 USD"));
    assert!(told[1].starts_with("invoice odd of 2026-10: savings plans cover usage of 0.5 USD"));
    assert!(told[1].contains("come to -0.2; ") && told[1].contains("are 0.3 USD above"));
    assert_eq!(billed(&lake).await, "1");
    // The log remembers.
    assert_eq!(lake.imports(None).await.unwrap()[0].notes, done.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn doubles_of_reports_are_rounded_and_told_and_no_row_is_lost() {
    let place = Place::new();
    let lake = place.lake().await;
    let text = report(&[
        ("1", "Usage", "0.0033081407948853505", ""),
        ("1", "Usage", "1.7076689469071875e-21", ""),
        ("1", "Usage", "0.1", ""),
        ("1", "SavingsPlanCoveredUsage", "0", "None"),
    ]);
    let done = lake.ingest(&place.write("cur.csv", text), &Options::default()).await.unwrap();
    assert_eq!((done.charges(), done.quarantined), (4, None), "{done:#?}");
    assert_eq!(billed(&lake).await, "0.10330814079488535");
    let notes = done.notes.join("\n");
    assert!(notes.contains("2 rows have amounts as doubles with digits beyond"), "{notes}");
    assert!(notes.contains("1 rows have \"None\" where an amount"), "{notes}");
    let kept = "select count(*) from focus_data_table \
                where x_line_item_unblended_cost = '0.0033081407948853505'";
    assert_eq!(one(&lake, kept).await.to_string(), "1", "the digits stay beside");
}

#[test]
fn what_was_odd_is_the_same_when_it_was_written_down() {
    let mut odd = super::Odd { unzoned: 1, rounded: 2, absent: 3, ..super::Odd::default() };
    for id in ["", "one"] {
        let period = "2026-10".parse().unwrap();
        let invoice = super::Invoice { period, id: id.into(), currency: "USD".into() };
        let plans = super::Plans { covered: 10i128.pow(37), negated: -3 };
        odd.plans.insert(invoice, plans);
    }
    let written = serde_json::to_vec(&odd).unwrap();
    let read: super::Odd = serde_json::from_slice(&written).unwrap();
    assert_eq!(read.notes(), odd.notes());
    assert_eq!(read.notes().len(), 5);
}
