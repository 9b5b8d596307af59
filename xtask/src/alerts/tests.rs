use super::proofs::{self, seconds};
use super::rules::{File, Told};
use super::{MADE, prometheus_rule};

/// One alert in a group of the five; what is lacking besides is a fault of its own.
fn rules(alert: &str) -> File {
    let text = format!("groups:\n  - name: finops-storage\n    rules:\n      - {alert}");
    File::parse(&text).unwrap()
}

const GOOD: &str = r#"alert: S3BucketLarge
        expr: max by (bucket) (aws_s3_bucket_size_bytes{bucket!="(other)"}) > 1e12
        for: 1h
        labels: { severity: info, team: data-platform }
        annotations:
          summary: s
          description: d
          runbook_url: docs/runbooks/storage.md#s3bucketlarge
"#;

fn told() -> Told {
    let pages = [
        ("docs/runbooks/storage.md", "# Storage\n\n## S3BucketLarge\n"),
        (
            "docs/reference/metrics.md",
            "| `aws_s3_bucket_size_bytes`, `aws_s3_other` | gauge | `bucket` | bytes |\n\
             | `ai_token_usage_total` | counter | | tokens |\n",
        ),
    ];
    let pages = pages.map(|(path, text)| (path.to_owned(), text.to_owned()));
    Told { pages: pages.into() }
}

/// The faults but that most of the 18 are not there.
fn faults(alert: &str) -> Vec<String> {
    let mut faults = rules(alert).faults(&told());
    assert!(faults.remove(0).starts_with("groups and alerts are"));
    faults
}

#[test]
fn an_alert_says_what_people_need() {
    assert_eq!(faults(GOOD), Vec::<String>::new());
    for (part, without, fault) in [
        ("        for: 1h\n", "", "has no `for`"),
        ("severity: info", "severity: page", "its severity is \"page\""),
        (", team: data-platform", "", "has no team"),
        ("summary: s", "summary: ''", "has no summary"),
        ("description: d", "other: d", "has no description"),
        ("storage.md#", "nothing.md#", "is no page of docs/runbooks"),
        ("#s3bucketlarge", "#storage", "let it end in #s3bucketlarge"),
    ] {
        assert!(GOOD.contains(part), "{part}");
        let said = faults(&GOOD.replace(part, without));
        assert!(said.len() == 1 && said[0].contains(fault), "{fault}: {said:?}");
    }
}

#[test]
fn an_alert_asks_for_what_there_is() {
    for (expr, fault) in [
        ("aws_s3_bucket_bytes > 1", Some("`aws_s3_bucket_bytes` is not in")),
        ("job:aws:sum > 1", Some("`job:aws:sum` is recorded nowhere")),
        ("increase(aws_s3_other[1h]) > 1", Some("increase(aws_s3_other) is of no counter")),
        ("rate(ai_token_usage_total[1h]) > 1", None),
        ("kube_pod_info{a=\"ai_none\"} > 1", None),
    ] {
        let line = GOOD.lines().find(|line| line.contains("expr:")).unwrap();
        let said = faults(&GOOD.replace(line, &format!("        expr: {expr}")));
        assert_eq!(said.len(), usize::from(fault.is_some()), "{expr}: {said:?}");
        assert!(fault.is_none_or(|fault| said[0].contains(fault)), "{expr}: {said:?}");
    }
}

/// A test by its name and what is expected of the alert: times, and `alertstate` or none.
fn proof(ways: &str, expected: &[(&str, &str, Option<&str>)]) -> Vec<proofs::Test> {
    let mut text = format!(
        "tests:\n  - name: 'S3BucketLarge ({ways}): a sentence'\n    input_series: [{{}}]\n    \
         promql_expr_test:\n"
    );
    for (alert, at, state) in expected {
        text += &format!(
            "      - expr: count by (alertstate) (ALERTS{{alertname=\"{alert}\"}})\n        \
             eval_time: {at}\n"
        );
        match state {
            Some(state) => {
                let labels = format!("'{{alertstate=\"{state}\"}}'");
                text += &format!("        exp_samples: [{{ labels: {labels}, value: 1 }}]\n");
            }
            None => text += "        exp_samples: []\n",
        }
    }
    proofs::parse(&text).unwrap()
}

#[test]
fn a_test_shows_what_its_name_says() {
    const X: &str = "S3BucketLarge";
    const WATCHER: &str = "FinOpsDataStale";
    for (ways, expected, good) in [
        ("below", &[(X, "1h", None)][..], true),
        ("below", &[(X, "1h", Some("firing"))], false),
        ("below", &[("ClickHouseDiskHigh", "1h", None)], false),
        ("pending", &[(X, "1h", Some("pending"))], true),
        ("pending", &[(X, "1h", Some("firing"))], false),
        ("resolves", &[(X, "1h", Some("firing")), (X, "1h30m", None)], true),
        ("resolves", &[(X, "1h", None), (X, "1h30m", Some("firing"))], false),
        ("resolves", &[(X, "1h", None)], false),
        ("absent", &[(X, "1h", None), (WATCHER, "1h", Some("firing"))], true),
        ("absent", &[(X, "1h", None)], false),
        ("fires", &[(X, "1h", Some("firing"))], false),
        ("shines", &[(X, "1h", Some("firing"))], false),
    ] {
        let said = proofs::faults(&rules(GOOD), &proof(ways, expected));
        let mine = said.iter().filter(|fault| fault.starts_with("test `")).count();
        assert_eq!(mine == 0, good, "{ways} {expected:?}: {said:?}");
        // The four other ways are missing, and this one where nothing shows it.
        assert_eq!(said.len() - mine, if good { 4 } else { 5 }, "{ways}: {said:?}");
    }
}

#[test]
fn durations_are_prometheus() {
    for (text, wanted) in [("15s", 15), ("2m15s", 135), ("1d7h30m", 113_400), ("7d", 604_800)] {
        assert_eq!(seconds(text), wanted, "{text}");
    }
}

#[test]
fn a_prometheus_rule_has_the_plain_lines() {
    let text = prometheus_rule(&MADE[0], "# c\ngroups:\n\n  - name: a\n");
    assert!(text.ends_with("spec:\n  # c\n  groups:\n\n    - name: a\n"), "{text}");
    assert!(text.contains("kind: PrometheusRule\n"), "{text}");
}
