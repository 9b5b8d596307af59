use focus::cost::{Asked, Compared};

use crate::{
    Lake,
    testing::{Place, Row, bill, lenient},
};

const RATES: &str = "From,To,Month,Rate,Source\n\
    USD,EUR,2026-09,0.9,ECB\n\
    USD,EUR,2026-10,0.333333333333333333,ECB\n\
    GBP,EUR,2026-10,1.15,ECB\n";

/// Two months in dollars, the later one in pounds as well.
async fn lake(place: &Place, rates: &str) -> Lake {
    let lake = place.lake().await;
    let pounds = Row { currency: "GBP", ..Row::of("2026-10", "EC2", "10") };
    let euros = Row { currency: "EUR", ..Row::of("2026-10", "S3", "1") };
    let dollars =
        [Row::of("2026-09", "EC2", "100"), Row::of("2026-10", "EC2", "0.5"), pounds, euros];
    let path = place.write("bill.csv", bill(&dollars));
    lake.ingest(&path, &lenient("bank")).await.unwrap();
    lake.with_rates(Some(place.write("rates.csv", rates)))
}

fn asked(by: &str, currency: &str) -> Asked {
    let by = by.split(',').map(|by| by.parse().unwrap()).collect();
    Asked { by, currency: Some(currency.to_owned()), ..Asked::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_converted_by_the_rate_of_each_month_and_tells_them() {
    let place = Place::new();
    let lake = lake(&place, RATES).await;
    let report = lake.report(&asked("service", "EUR")).await.unwrap();
    // 100 × 0.9 + 0.5 × 0.333… (half to even at the 18th digit) + 10 × 1.15, and one euro.
    let sum = "101.666666666666666666";
    assert_eq!(report.totals["EUR"].to_string(), "102.666666666666666666");
    let rows: Vec<String> =
        report.table.rows.iter().map(|row| format!("{} {} {}", row[0], row[1], row[2])).collect();
    assert_eq!(rows, [format!("EC2 EUR {sum}"), "S3 EUR 1".to_owned()]);
    let told: Vec<String> = report.table.rates.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.contains(&"1 GBP = 1.15 EUR in 2026-10, ECB".to_owned()), "{told:?}");
    // However it is split, the lines add up to the total.
    let months = lake.report(&asked("month,service", "EUR")).await.unwrap();
    assert_eq!(months.totals, report.totals);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_rate_is_named_with_its_month() {
    let place = Place::new();
    let without = RATES.replace("GBP,EUR", "GBP,USD");
    let lake = lake(&place, &without).await;
    let error = lake.report(&asked("service", "EUR")).await.unwrap_err().to_string();
    assert!(error.contains("no rate from GBP to EUR in 2026-10"), "{error}");
    for (rates, said) in [
        ("From,To,Rate,Source\n", "line 1: no column month"),
        ("From,To,Month,Rate,Source\nUSD,EUR,2026-13,1,x\n", "line 2: \"2026-13\" is neither"),
        ("From,To,Date,Rate,Source\nUSD,EUR,2026-10-31,one,x\n", "line 2: \"one\" is no rate"),
        ("From,To,Date,Rate,Source\nUSD,EUR,2026-10-31,1,\n", "Source are needed"),
    ] {
        let lake = lake.clone().with_rates(Some(place.write("bad.csv", rates)));
        let error = lake.report(&asked("service", "EUR")).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = lake.with_rates(None).report(&asked("service", "EUR")).await.unwrap_err();
    assert!(error.to_string().contains("set cost.rates"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rate_has_changed_is_a_part_of_its_own() {
    let place = Place::new();
    let lake = place.lake().await;
    let rows = [Row::of("2026-09", "EC2", "100"), Row::of("2026-10", "EC2", "100")];
    lake.ingest(&place.write("bill.csv", bill(&rows)), &lenient("bank")).await.unwrap();
    let rates =
        "From,To,Date,Rate,Source\nUSD,EUR,2026-09-30,0.9,ECB\nUSD,EUR,2026-10-31,0.95,ECB\n";
    let lake = lake.with_rates(Some(place.write("rates.csv", rates)));
    let compared = Compared {
        before: "2026-09".parse().unwrap(),
        after: "2026-10".parse().unwrap(),
        by: vec!["service".parse().unwrap()],
        currency: Some("EUR".into()),
        ..Compared::default()
    };
    let table = lake.diff(&compared).await.unwrap();
    let value = |name: &str| table.value(0, name).unwrap().to_string();
    let found = ["BillingCurrency", "2026-09", "2026-10", "Change", "Rate", "Price"].map(value);
    assert_eq!(found, ["EUR", "90", "95", "5", "5", "0"]);
    assert_eq!(table.rates.len(), 2);
}
