use super::*;
use focus::cost::Tagged;

use crate::testing::{Place, Row, bill, lenient};

#[tokio::test(flavor = "multi_thread")]
async fn invoices_are_compared_with_the_lake_to_the_cent() {
    let place = Place::new();
    let lake = place.lake().await;
    let billed = |invoice, cost| Row { invoice, ..Row::of("2026-10", "EC2", cost) };
    let rows = [
        billed("A", "10.004"),
        billed("A", "0.001"),
        billed("B", "5"),
        billed("D", "1"),
        Row { tags: r#"{"team":"blue"}"#, ..billed("B", "0.02") },
    ];
    let path = place.write("bill.csv", bill(&rows));
    lake.ingest(&path, &lenient("aws")).await.unwrap();
    let invoice = "Invoice ID,Currency,Amount\nA,USD,10.00\nB,USD,5.00\nC,USD,7.5\n";
    let lines = read_invoice(&place.write("invoice.csv", invoice)).unwrap();
    let invoices = Invoices { lines, issuer: Some("AWS".into()), as_of: None };
    let table = lake.reconcile(&invoices).await.unwrap();
    let told: Vec<(String, String, String)> = table
        .rows
        .iter()
        .map(|row| (row[0].to_string(), row[5].to_string(), row[6].to_string()))
        .collect();
    let want = [
        ("A", "0", "equal"),
        ("B", "0.02", "the lake has more"),
        ("C", "-7.5", "missing in the lake"),
        ("D", "1", "on no invoice"),
    ];
    let want = want.map(|(id, by, verdict)| (id.into(), by.into(), verdict.into()));
    assert_eq!(told, want);
    assert_eq!(table.rows[0][4].to_string(), "10.005", "the exact sum is told too");

    let tags = lake.tags(&Tagged { tags: vec!["team".into()], ..Tagged::default() }).await.unwrap();
    let row: Vec<String> = tags.rows[0].iter().map(ToString::to_string).collect();
    assert_eq!(row, ["team", "USD", "0.02", "16.025", "0.12"]);
    let any = lake.tags(&Tagged::default()).await.unwrap();
    assert_eq!(any.rows[0][2].to_string(), "0.02");
}

#[test]
fn an_invoice_that_cant_be_read_says_where() {
    let place = Place::new();
    let path = place.write("invoice.csv", "InvoiceId,Currency,Amount\nA,USD,1\nB,USD,x\n");
    let error = read_invoice(&path).unwrap_err().to_string();
    assert!(error.contains("invoice.csv, line 3: \"x\" is no amount"), "{error}");
    let path = place.write("invoice.csv", "Number,Amount\n1,2\n");
    let error = read_invoice(&path).unwrap_err().to_string();
    assert!(error.contains("no column named one of invoiceid"), "{error}");
}
