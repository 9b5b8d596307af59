use super::*;

fn taken(json: &str) -> Result<Costs, String> {
    let page: Page = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let month: Month = "2026-11".parse().unwrap();
    let end = "2026-11-27".parse().unwrap();
    let asked = Asked { first: month.previous(), end, accounts: Vec::new() };
    let mut costs = Costs::default();
    for day in page.results_by_time {
        take(&mut costs, &asked, day)?;
    }
    Ok(costs)
}

fn page(day: &str, group: &str) -> String {
    let (start, end) = day.split_once(' ').unwrap();
    format!(
        r#"{{"ResultsByTime":[{{"TimePeriod":{{"Start":"{start}","End":"{end}"}},"Total":{{}},
            "Groups":[{group}],"Estimated":true}}],"GroupDefinitions":[]}}"#
    )
}

fn group(keys: &str, unblended: &str, amortized: &str) -> String {
    format!(
        r#"{{"Keys":[{keys}],"Metrics":{{"UnblendedCost":{unblended},
            "AmortizedCost":{amortized}}}}}"#
    )
}

const KEYS: &str = r#""AWS Lambda","us-east-1""#;
const DAY: &str = "2026-11-26 2026-11-27";
const CENT: &str = r#"{"Amount":"0.0100000000000001","Unit":"USD"}"#;

#[test]
fn amounts_are_taken_as_they_are_written() {
    let costs = taken(&page(DAY, &group(KEYS, CENT, r#"{"Amount":"2.5E-9","Unit":"USD"}"#)));
    let costs = costs.unwrap();
    let (_, line) = costs.lines.first_key_value().unwrap();
    assert_eq!(line.billed.to_string(), "0.0100000000000001");
    assert_eq!(line.effective.to_string(), "0.0000000025");
    assert!(line.estimated);
    let nothing = r#"{"Amount":"0","Unit":"N/A"}"#;
    assert!(taken(&page(DAY, &group(KEYS, nothing, nothing))).unwrap().lines.is_empty());
}

#[test]
fn an_answer_that_can_not_be_meant_is_an_error() {
    let good = group(KEYS, CENT, CENT);
    for (json, said) in [
        (page("2026-09-30 2026-10-01", &good), "2026-09-30 to 2026-10-01 is no day"),
        (page("2026-11-27 2026-11-28", &good), "2026-11-27 to 2026-11-28 is no day"),
        (page("2026-11-01 2026-11-03", &good), "2026-11-01 to 2026-11-03 is no day"),
        (
            page(DAY, &format!("{good},{good}")),
            "AWS Lambda in us-east-1 on 2026-11-26 is told twice",
        ),
        (
            page(DAY, &group(r#""AWS Lambda""#, CENT, CENT)),
            "a group of 2026-11-26 has not two keys",
        ),
        (page(DAY, &group(KEYS, r#"{"Amount":"NaN","Unit":"USD"}"#, CENT)), "AWS Lambda in"),
        (page(DAY, &group(KEYS, r#"{"Amount":"1e400","Unit":"USD"}"#, CENT)), "AWS Lambda in"),
        (page(DAY, &group(KEYS, r#"{"Amount":"1","Unit":"EUR"}"#, CENT)), "AWS Lambda in"),
        (page(DAY, r#"{"Keys":["a","b"],"Metrics":{}}"#), "a in b on 2026-11-26 has no Unbl"),
        (page("soon later", &good), ""),
        ("[]".to_owned(), ""),
    ] {
        let error = taken(&json).unwrap_err();
        assert!(error.starts_with(said), "{json}: {error}");
    }
}
