use super::path::find;
use crate::testing::{Place, Row, bill, lenient};

#[test]
fn paths_lead_where_duckdb_says() {
    let cases: [(&str, &str, &[&str]); 16] = [
        (r#"{"a":{"b":1}}"#, "$.a", &[r#"{"b":1}"#]),
        (r#"{"a":{"b":1}}"#, "$.a.b", &["1"]),
        (r#"{"a":{"b":1}}"#, "a.b", &[]),
        (r#"{"a.b":5}"#, "a.b", &["5"]),
        (r#"{"a":{"b":1}}"#, "/a/b", &["1"]),
        (r#"{"user:env":"x"}"#, "$.user:env", &["\"x\""]),
        (r#"{"user env":"x"}"#, "$.\"user env\"", &["\"x\""]),
        (r#"{"E":[{"a":1},{"a":2}]}"#, "$.E[*].a", &["1", "2"]),
        (r#"{"E":[{"a":1},{"a":2}]}"#, "$.E[-1].a", &["2"]),
        (r#"{"E":[{"a":1},{"a":2}]}"#, "$.E[#-1].a", &["2"]),
        (r#"{"E":1}"#, "$.E[*]", &[]),
        (r#"{"a":1}"#, "$.a.b", &[]),
        (r#"{"a":1}"#, "$", &[r#"{"a":1}"#]),
        (r#"{"a":1,"b":2}"#, "$.*", &["1", "2"]),
        (r#"{"n":1.50}"#, "$.n", &["1.50"]),
        (r#"{"a":1,"a":2}"#, "$.a", &["1"]),
    ];
    for (text, path, want) in cases {
        let steps = super::path::parse(path).unwrap();
        assert_eq!(find(text, &steps).unwrap(), want, "{path} of {text}");
    }
    for path in ["$.", "$a", "$[x]", "$[", "$.\"a"] {
        assert!(super::path::parse(path).is_err(), "{path}");
    }
    assert!(find("not json", &[]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_as_the_official_queries_need_them() {
    let place = Place::new();
    let lake = place.lake().await;
    let row = Row {
        tags: r#"{"Application":"shop","n":null,"l":[1,2],"q":2.50}"#,
        ..Row::of("2026-10", "EC2", "10")
    };
    let path = place.write("bill.csv", bill(&[row]));
    lake.ingest(&path, &lenient("aws")).await.unwrap();
    let cases = [
        ("Tags->>'Application'", "shop"),
        ("tags -> 'Application'", "\"shop\""),
        ("json_extract_string(Tags, '$.' || 'Application')", "shop"),
        ("json_extract_string(Tags, '$.n')", ""),
        ("json_extract_string(Tags, '$.l')", "[1,2]"),
        ("json_extract(Tags, '$.l[*]')", "[1, 2]"),
        ("json_value(Tags, '$.l')", ""),
        ("json_value(Tags, '$.q')", "2.50"),
        ("json_exists(Tags, '$.n')", "true"),
        ("json_exists(Tags, '$.m')", "false"),
        ("month(BillingPeriodStart)", "10"),
        ("YEAR(BillingPeriodStart)", "2026"),
        ("year_month(BillingPeriodStart)", "2026-10"),
        ("year_month('2026-03-01T00:00:00Z')", "2026-03"),
        ("quarter(BillingPeriodStart)", "4"),
        ("date(ChargePeriodEnd)", "2026-10-02"),
        ("cast(ChargePeriodStart as date)", "2026-10-01"),
        ("month('2026-03-01T00:00:00Z')", "3"),
        ("BilledCost / 3", "3.333333333333333333"),
        ("BilledCost * EffectiveCost", "100"),
        ("BilledCost / 0", ""),
        ("BilledCost * 0.1", "1"),
        ("sum(BilledCost) / nullif(sum(ListCost), 0) * 100", "100"),
        ("round(sum(EffectiveCost), 2)", "10"),
        ("Tags->>'Application' = 'shop' and BilledCost > 1", "true"),
        ("sum(case when 1 = 2 then 0 else BilledCost end) / sum(ListCost)", "1"),
        ("ProviderName", "AWS"),
        ("PublisherName", "AWS"),
        ("x_team", "blue"),
        ("cast(1e30 as double)", "1e30"),
        ("cast(0.1 as double)", "0.1"),
        ("-cast(3 as float)", "-3.0"),
    ];
    for (expression, want) in cases {
        let sql = format!("select {expression} as v from focus_data_table");
        let answer = lake.sql(&sql, &[], None).await;
        let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(answer.rows[0][0].to_string(), want, "{sql}");
    }
    let missing = lake.sql("select BiledCost from focus_data_table", &[], None).await;
    let said = missing.unwrap_err().to_string();
    assert!(said.contains("the nearest are BilledCost, ") && said.len() < 150, "{said}");
    let unnested = "select json_value(e, '$') from focus_data_table c \
                    cross join unnest(json_extract(c.Tags, '$.l[*]')) as _u(e) order by 1";
    let answer = lake.sql(unnested, &[], None).await.unwrap();
    assert_eq!(answer.rows.iter().map(|row| row[0].to_string()).collect::<Vec<_>>(), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_januaries_are_two() {
    let place = Place::new();
    let lake = place.lake().await;
    let rows = [Row::of("2026-01", "EC2", "3"), Row::of("2027-01", "EC2", "4")];
    lake.ingest(&place.write("bill.csv", bill(&rows)), &lenient("aws")).await.unwrap();
    let lines = async |sql: &str| {
        let answer = lake.sql(sql, &[], None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let lines = answer.rows.iter().map(|row| format!("{} {}", row[0], row[1]));
        lines.collect::<Vec<_>>()
    };
    let sum = |month: &str, from: &str| {
        format!("select {month}, sum(BilledCost) from {from} group by {month} order by 1")
    };
    // As the use-case library asks, and as it ought to.
    let month = sum("month(BillingPeriodStart)", "focus_data_table");
    assert_eq!(lines(&month).await, ["1 7"]);
    let wanted = ["2026-01 3", "2027-01 4"];
    assert_eq!(lines(&sum("year_month(BillingPeriodStart)", "focus_data_table")).await, wanted);
    assert_eq!(lines(&sum("year_month(BillingMonth)", "charges_by_month")).await, wanted);
}
