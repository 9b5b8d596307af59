use super::*;
use focus::cost::Basis;

use crate::testing::{Place, Row, bill, decimal, lenient};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_split_and_the_parts_add_up() {
    let place = Place::new();
    let lake = place.lake().await;
    let used = |month, service, list: &str, billed: &str, quantity: &str| Row {
        list: list.to_owned(),
        quantity: quantity.to_owned(),
        ..Row::of(month, service, billed)
    };
    let rows = [
        // Twice the hours, at a list price that rose from 1 to 1.1, with a discount of 2 more.
        used("2026-09", "EC2", "10", "10", "10"),
        used("2026-10", "EC2", "22", "20", "20"),
        used("2026-09", "Old", "3", "3", "1"),
        used("2026-10", "New", "4", "4", "1"),
        used("2026-09", "Flat", "5", "5", ""),
        used("2026-10", "Flat", "6", "6", ""),
    ];
    let path = place.write("bill.csv", bill(&rows));
    lake.ingest(&path, &lenient("aws")).await.unwrap();
    let compared = Compared {
        before: "2026-09".parse().unwrap(),
        after: "2026-10".parse().unwrap(),
        basis: Basis::Billed,
        by: vec!["service".parse().unwrap()],
        ..Compared::default()
    };
    let table = lake.diff(&compared).await.unwrap();
    let line = |service: &str| -> Vec<String> {
        let row = table.rows.iter().find(|row| row[0].to_string() == service).unwrap();
        row[2..].iter().map(ToString::to_string).collect()
    };
    // before, after, change, price, usage, new, gone, discount, other
    assert_eq!(line("EC2"), ["10", "20", "10", "2", "10", "0", "0", "-2", "0"]);
    assert_eq!(line("Old"), ["3", "0", "-3", "0", "0", "0", "-3", "0", "0"]);
    assert_eq!(line("New"), ["0", "4", "4", "0", "0", "4", "0", "0", "0"]);
    assert_eq!(line("Flat"), ["5", "6", "1", "0", "0", "0", "0", "0", "1"]);
    assert_eq!(table.rows[0][0].to_string(), "EC2", "what changed most comes first");
    for row in &table.rows {
        let parts = row[5..].iter().map(|part| part.as_decimal().unwrap());
        let sum = parts.fold(Decimal::ZERO, |sum, part| sum.checked_add(part).unwrap());
        assert_eq!(Some(sum), row[4].as_decimal());
    }
    assert_eq!(
        decimal("12"),
        table.rows.iter().fold(Decimal::ZERO, |sum, row| {
            sum.checked_add(row[4].as_decimal().unwrap()).unwrap()
        })
    );
}
