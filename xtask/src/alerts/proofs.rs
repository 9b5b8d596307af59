//! That every alert is tested in each way that matters. A test says in its name what it shows, as
//! `AIBudgetWarning (pending, fires): …`, and has to show it: `promtool` finds out whether that is so.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::rules::{File, WATCHER};
use super::{TESTS, folder};

/// What a test may show of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// It fires, with all labels and texts.
    Fires,
    /// It does not, just below.
    Below,
    /// It waits before it fires.
    Pending,
    /// It has fired and is over.
    Resolves,
    /// It is silent without data, and the watcher tells.
    Absent,
}

const ALL: [(&str, Shown); 5] = [
    ("fires", Shown::Fires),
    ("below", Shown::Below),
    ("pending", Shown::Pending),
    ("resolves", Shown::Resolves),
    ("absent", Shown::Absent),
];

#[derive(Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
pub(super) struct Test {
    name: String,
    input_series: Vec<serde_yaml_ng::Value>,
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExprTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    eval_time: String,
    #[serde(default)]
    exp_alerts: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    exp_annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ExprTest {
    expr: String,
    eval_time: String,
    #[serde(default)]
    exp_samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    labels: String,
}

/// The tests of the alerts on cost.
pub(super) fn read(names: &[String]) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    let files = names.iter().filter(|name| name.starts_with("finops-") && name.ends_with(TESTS));
    for name in files {
        let text = std::fs::read_to_string(folder().join(name))
            .with_context(|| format!("failed to read {name}"))?;
        tests.extend(parse(&text).with_context(|| format!("failed to read {name}"))?);
    }
    Ok(tests)
}

pub(super) fn parse(text: &str) -> Result<Vec<Test>> {
    Ok(serde_yaml_ng::from_str::<Tests>(text)?.tests)
}

/// Alerts that are not tested in each way, and tests that don't show what their names say.
pub(super) fn faults(rules: &File, tests: &[Test]) -> Vec<String> {
    let alerts: Vec<&str> = rules.alerts().map(|(name, _)| name).collect();
    let mut faults = Vec::new();
    let mut shown = Vec::new();
    for test in tests {
        let name = &test.name;
        let Some((alert, ways)) = test.says().filter(|(alert, _)| alerts.contains(alert)) else {
            faults.push(format!("test `{name}`: its name is not `Alert (way, way): sentence`"));
            continue;
        };
        for way in ways {
            let Some((_, known)) = ALL.iter().find(|(word, _)| *word == way) else {
                faults.push(format!("test `{name}`: `{way}` is no way to test an alert"));
                continue;
            };
            match test.shows(alert, *known) {
                true => shown.push((alert, *known)),
                false => faults.push(format!("test `{name}`: nothing in it shows `{way}`")),
            }
        }
    }
    for alert in alerts {
        for (word, way) in ALL {
            if !shown.contains(&(alert, way)) {
                faults.push(format!("{alert}: no test `{alert} ({word}): …`"));
            }
        }
    }
    faults
}

impl Test {
    /// The alert that it is of, and what it says it shows.
    fn says(&self) -> Option<(&str, impl Iterator<Item = &str>)> {
        let (alert, rest) = self.name.split_once(" (")?;
        let (ways, _) = rest.split_once("): ")?;
        Some((alert, ways.split(',').map(str::trim)))
    }

    fn shows(&self, alert: &str, way: Shown) -> bool {
        let is_firing = |state: &State| state.has("firing");
        let states = self.states(alert);
        match way {
            Shown::Fires => self.alert_rule_test.iter().any(|test| {
                let told = |expected: &Expected| !expected.exp_annotations.is_empty();
                test.alertname == alert
                    && !test.exp_alerts.is_empty()
                    && test.exp_alerts.iter().all(told)
            }),
            Shown::Below => !states.is_empty() && !states.iter().any(is_firing),
            Shown::Pending => states.iter().any(|state| state.has("pending") && !is_firing(state)),
            Shown::Resolves => states.iter().any(|end| {
                let fired = |state: &State| is_firing(state) && state.at < end.at;
                end.is_quiet() && states.iter().any(fired)
            }),
            Shown::Absent if alert == WATCHER => {
                self.input_series.is_empty() && states.iter().any(is_firing)
            }
            Shown::Absent => {
                let quiet = !states.is_empty() && states.iter().all(State::is_quiet);
                quiet && self.states(WATCHER).iter().any(is_firing)
            }
        }
    }

    /// What is expected of an alert, and when.
    fn states(&self, alert: &str) -> Vec<State> {
        let asked = format!("ALERTS{{alertname=\"{alert}\"");
        let exprs = self.promql_expr_test.iter().filter(|test| test.expr.contains(&asked));
        let exprs = exprs.map(|test| State {
            at: seconds(&test.eval_time),
            labels: test.exp_samples.iter().map(|sample| sample.labels.clone()).collect(),
        });
        let rules = self.alert_rule_test.iter().filter(|test| test.alertname == alert);
        // An alert that is pending is none to `alert_rule_test`: that there is none shows little.
        let rules = rules.filter(|test| !test.exp_alerts.is_empty()).map(|test| State {
            at: seconds(&test.eval_time),
            labels: vec!["alertstate=\"firing\"".to_owned()],
        });
        exprs.chain(rules).collect()
    }
}

/// How an alert has to stand at a time.
struct State {
    at: u64,
    labels: Vec<String>,
}

impl State {
    fn has(&self, state: &str) -> bool {
        self.labels.iter().any(|labels| labels.contains(&format!("alertstate=\"{state}\"")))
    }

    fn is_quiet(&self) -> bool {
        self.labels.is_empty()
    }
}

/// The seconds of a duration as Prometheus writes it: `1d7h30m`.
pub(super) fn seconds(text: &str) -> u64 {
    let (mut sum, mut number) = (0, 0);
    for c in text.chars() {
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            digit => {
                number = number * 10 + u64::from(digit.to_digit(10).unwrap_or(0));
                continue;
            }
        };
        sum += number * unit;
        number = 0;
    }
    sum
}
