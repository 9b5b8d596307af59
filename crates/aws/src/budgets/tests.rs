use super::*;

fn told(json: &str) -> Told {
    let base = r#"{"BudgetName":"web","BudgetType":"COST","TimeUnit":"MONTHLY",
        "BudgetLimit":{"Amount":"1200.50","Unit":"USD"}}"#;
    let mut base: serde_json::Value = serde_json::from_str(base).unwrap();
    let more: serde_json::Value = serde_json::from_str(json).unwrap();
    for (key, value) in more.as_object().unwrap() {
        base[key] = value.clone();
    }
    serde_json::from_value(base).unwrap()
}

fn imported(json: &str) -> Result<Imported, String> {
    import(&told(json), &[], Timestamp::UNIX_EPOCH)
}

#[test]
fn what_bursar_can_watch_is_taken_with_its_filters() {
    let all = imported("{}").unwrap();
    assert_eq!(all.budget.name, "aws:web");
    assert_eq!(all.budget.limit.to_string(), "1200.5");
    assert_eq!(all.budget.watched.to_string(), "all charges");
    assert!(all.notes.is_empty());

    let filters = [
        r#"{"CostFilters":{"Service":["AWS Lambda"],"Region":["us-east-1"],
            "LinkedAccount":["123456789012"],"TagKeyValue":["user:team$web"]}}"#,
        r#"{"FilterExpression":{"And":[
            {"Dimensions":{"Key":"SERVICE","Values":["AWS Lambda"]}},
            {"Dimensions":{"Key":"REGION","Values":["us-east-1"],"MatchOptions":["EQUALS"]}},
            {"Dimensions":{"Key":"LINKED_ACCOUNT","Values":["123456789012"]}},
            {"Tags":{"Key":"team","Values":["web"]}}]}}"#,
    ];
    for filter in filters {
        let budget = imported(filter).unwrap().budget;
        assert_eq!(
            budget.watched.to_string(),
            "RegionId = us-east-1, ServiceName = AWS Lambda, SubAccountId = 123456789012, \
             tag:team = web",
        );
    }
    let yearly = imported(
        r#"{"TimeUnit":"ANNUALLY","CostTypes":{"UseAmortized":true,
        "IncludeCredit":false,"IncludeTax":true,"IncludeRefund":false}}"#,
    )
    .unwrap();
    let watched = &yearly.budget.watched;
    assert_eq!((watched.period, watched.basis), (CloudPeriod::Year, Basis::Effective));
    assert_eq!(yearly.notes, ["AWS's leaves out credits, refunds; this counts them"]);
}

#[test]
fn what_it_can_not_watch_is_named_with_the_reason() {
    for (json, reason) in [
        (r#"{"BudgetType":"USAGE"}"#, "it is of type USAGE"),
        (r#"{"TimeUnit":"DAILY"}"#, "its period is DAILY"),
        (r#"{"BudgetLimit":null}"#, "it has no limit"),
        (r#"{"BudgetLimit":{"Amount":"much","Unit":"USD"}}"#, "its limit \"much\""),
        (r#"{"BudgetLimit":{"Amount":"-1","Unit":"USD"}}"#, "a limit is between"),
        (r#"{"BudgetLimit":{"Amount":"1","Unit":"dollars"}}"#, "a currency is its code"),
        (r#"{"PlannedBudgetLimits":{"1":{"Amount":"1","Unit":"USD"}}}"#, "its limit differs"),
        (r#"{"CostFilters":{"Service":["a","b"]}}"#, "it filters Service by 2 values"),
        (r#"{"CostFilters":{"UsageType":["a"]}}"#, "it filters by UsageType"),
        (r#"{"CostFilters":{"TagKeyValue":["user:team"]}}"#, "its tag \"user:team\""),
        (r#"{"CostTypes":{"UseBlended":true}}"#, "it counts blended"),
        (r#"{"Metrics":["NetUnblendedCost"]}"#, "it counts NetUnblendedCost"),
        (r#"{"BudgetName":"a/b"}"#, "a name is 1 to 100"),
        (r#"{"FilterExpression":{"Not":{"Dimensions":{}}}}"#, "its filter is no list"),
        (r#"{"FilterExpression":{"Or":[]}}"#, "its filter is no list"),
        (r#"{"FilterExpression":{"And":[{"And":[]}]}}"#, "its filter is no list"),
        (
            r#"{"FilterExpression":{"Tags":{"Key":"t","Values":["x"],
                "MatchOptions":["STARTS_WITH"]}}}"#,
            "it matches t by other",
        ),
    ] {
        let error = imported(json).unwrap_err();
        assert!(error.starts_with(reason), "{json}: {error}");
    }
}

#[test]
fn whole_percentages_of_what_was_spent_are_its_thresholds() {
    let told: Vec<Notification> = serde_json::from_str(
        r#"[{"NotificationType":"ACTUAL","Threshold":90.0,"ThresholdType":"PERCENTAGE"},
            {"NotificationType":"ACTUAL","Threshold":50},
            {"NotificationType":"ACTUAL","Threshold":100.0,"ThresholdType":"PERCENTAGE"},
            {"NotificationType":"ACTUAL","Threshold":12.5,"ThresholdType":"PERCENTAGE"},
            {"NotificationType":"FORECASTED","Threshold":80.0,"ThresholdType":"PERCENTAGE"},
            {"NotificationType":"ACTUAL","Threshold":70.0,"ThresholdType":"ABSOLUTE_VALUE"}]"#,
    )
    .unwrap();
    let mut notes = Vec::new();
    let thresholds = thresholds(&told, &mut notes).unwrap();
    assert_eq!(thresholds.percents(), [50, 90, 100]);
    assert_eq!(
        notes,
        [
            "its notification (actual percentage 12.5) is not taken",
            "its notification (forecasted percentage 80.0) is not taken",
            "its notification (actual absolute_value 70.0) is not taken",
        ]
    );
}
