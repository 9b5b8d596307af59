use focus::Row as _;

use super::*;

fn costs(lines: &[(&str, &str, &str, &str)]) -> Costs {
    let mut costs = Costs { account: "123456789012".into(), ..Costs::default() };
    for (day, service, region, amount) in lines {
        let amount = Decimal::parse(amount).unwrap();
        let line =
            Line { billed: amount, effective: amount, currency: "USD".into(), estimated: true };
        let key = (day.parse().unwrap(), (*service).to_owned(), (*region).to_owned());
        costs.lines.insert(key, line);
    }
    costs
}

#[test]
fn a_line_is_a_charge_of_its_day_with_every_digit() {
    let costs = costs(&[("2026-11-30", "AWS Lambda", "us-east-1", "0.000000000123456789")]);
    let charges = charges(&costs, &["210987654321".to_owned()]).unwrap();
    let record = charges[0].record();
    for (column, text) in [
        (Column::BilledCost, "0.000000000123456789"),
        (Column::ChargePeriodStart, "2026-11-30T00:00:00Z"),
        (Column::ChargePeriodEnd, "2026-12-01T00:00:00Z"),
        (Column::BillingPeriodStart, "2026-11-01T00:00:00Z"),
        (Column::BillingPeriodEnd, "2026-12-01T00:00:00Z"),
        (Column::RegionId, "us-east-1"),
        (Column::ServiceCategory, "Compute"),
        (Column::BillingAccountId, "123456789012"),
        (Column::SubAccountId, "210987654321"),
    ] {
        assert_eq!(record.text(column), Some(text), "{column}");
    }
    assert_eq!(charges[0].custom().collect::<Vec<_>>(), [(CUSTOM, "true")]);
}

#[test]
fn what_has_no_region_has_none_and_taxes_are_taxes() {
    let costs = costs(&[("2026-11-01", "Tax", "NoRegion", "-1.5")]);
    let record = charges(&costs, &[]).unwrap()[0].record();
    assert_eq!(record.text(Column::RegionId), None);
    assert_eq!(record.text(Column::SubAccountId), None);
    assert_eq!(record.text(Column::ChargeCategory), Some("Tax"));
    assert_eq!(record.text(Column::BilledCost), Some("-1.5"));
}
