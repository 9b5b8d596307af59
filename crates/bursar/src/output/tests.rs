use super::*;

fn written(format: Format) -> String {
    let mut report = Report::new("calls", &["who", "cost", "share"]);
    let cost = Money::from_nanos(1_234_500_000_001);
    report.rows.push(vec![Cell::text("a},{b"), Cell::Money(cost), Cell::Percent(8_512)]);
    report.rows.push(vec![Cell::None, Cell::Money(Money::ZERO), Cell::Percent(0)]);
    report.sum_up([("total", Cell::Money(cost))]);
    let mut out = Vec::new();
    Printer { format, colored: false }.write(&report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn people_read_cents_and_small_amounts_in_full() {
    let shown = |nanos| dollars(Money::from_nanos(nanos));
    assert_eq!(shown(0), "$0.00");
    assert_eq!(shown(10_500_000), "$0.0105");
    assert_eq!(shown(1_234_500_000_001), "$1,234.50");
    assert_eq!(shown(-1_000_000_000_000_000), "-$1,000,000.00");
    assert_eq!(shown(1_005_000_000), "$1.00");
    assert_eq!(shown(1_015_000_000), "$1.02");
}

#[test]
fn json_has_every_digit_and_keeps_texts() {
    let json = written(Format::Json);
    assert!(json.contains(r#""total":1234.500000001"#), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["calls"][0]["who"], "a},{b");
}

#[test]
fn csv_has_nine_decimals() {
    assert_eq!(
        written(Format::Csv),
        "who,cost,share\n\"a},{b\",1234.500000001,85.12\n,0.000000000,0.00\n"
    );
}

#[test]
fn a_table_is_for_people() {
    let table = written(Format::Table);
    assert!(table.contains("$1,234.50") && table.contains("85.12 %"), "{table}");
}
