//! What the rules must be: all of them there, each with what people need, over metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{tidy, workspace};

/// The groups and their alerts.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "finops-cloud-budget",
        &[
            "BudgetExceeded80Percent",
            "BudgetExceededCritical",
            "CloudCostSpike",
            "ForecastExceedsBudget",
        ],
    ),
    (
        "finops-ai-budget",
        &[
            "AIBudgetWarning",
            "AIBudgetExceeded",
            "TotalAISpendHigh",
            "AITokenAnomaly",
            "AIReportCostHigh",
        ],
    ),
    ("finops-storage", &["S3BucketLarge", "ClickHouseDiskHigh", "PostgresWALGrowth"]),
    ("finops-waste", &["OverprovisionedPod", "IdleLoadBalancer", "UnusedPVC"]),
    ("finops-trends", &["CostGrowthHigh", "UnitEconomicsWorsening", WATCHER]),
];
/// Who tells that data are missing.
pub(super) const WATCHER: &str = "FinOpsDataStale";

pub(super) const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];
const ANNOTATIONS: [&str; 3] = ["summary", "description", "runbook_url"];
const REFERENCE: &str = "docs/reference/metrics.md";

/// A file of rules.
#[derive(Deserialize)]
pub(super) struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

/// An alert, or what is recorded.
#[derive(Deserialize)]
struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What the documents tell: pages with their text, and the kinds of Bursar's metrics.
pub(super) struct Told {
    pub(super) pages: BTreeMap<String, String>,
}

impl Told {
    pub(super) fn read() -> Result<Self> {
        let mut pages = BTreeMap::new();
        for path in workspace::files()? {
            if path.starts_with("docs/") && path.ends_with(".md") {
                let text = std::fs::read_to_string(workspace::root().join(&path))
                    .with_context(|| format!("failed to read {path}"))?;
                pages.insert(path, text);
            }
        }
        Ok(Self { pages })
    }

    /// Bursar's metrics with their kinds, from the tables of the reference.
    fn metrics(&self) -> BTreeMap<&str, &str> {
        let text = self.pages.get(REFERENCE).map_or("", String::as_str);
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.flat_map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let (names, kind) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
            names.split('`').skip(1).step_by(2).map(move |name| (name, kind))
        })
        .collect()
    }
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("failed to read {}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(serde_yaml_ng::from_str(text)?)
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }

    /// The alerts' names with their labels.
    pub(super) fn alerts(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        self.rules().filter_map(|rule| Some((rule.alert.as_deref()?, &rule.labels)))
    }

    /// What is wrong with the rules, a sentence each.
    pub(super) fn faults(&self, told: &Told) -> Vec<String> {
        let mut faults = self.lacking();
        for rule in self.rules() {
            if let Some(name) = &rule.alert {
                faults.extend(rule.mute().into_iter().map(|say| format!("{name}: {say}")));
                faults.extend(rule.lost(name, told).map(|say| format!("{name}: {say}")));
            }
        }
        faults.extend(self.unfounded(&told.metrics()));
        faults
    }

    /// Groups and alerts that are not those that there have to be.
    fn lacking(&self) -> Vec<String> {
        let found: Vec<(&str, Vec<&str>)> = self
            .groups
            .iter()
            .map(|group| {
                let alerts = group.rules.iter().filter_map(|rule| rule.alert.as_deref());
                (group.name.as_str(), alerts.collect())
            })
            .collect();
        let wanted = GROUPS.map(|(name, alerts)| (name, alerts.to_vec()));
        if found == wanted {
            return Vec::new();
        }
        vec![format!("groups and alerts are {found:?}, and have to be {wanted:?}")]
    }

    /// Metrics of Bursar that it does not export, and rates of what is no counter.
    fn unfounded(&self, kinds: &BTreeMap<&str, &str>) -> Vec<String> {
        let recorded: BTreeSet<&str> =
            self.rules().filter_map(|rule| rule.record.as_deref()).collect();
        let mut faults = Vec::new();
        for rule in self.rules() {
            let name = rule.alert.as_deref().or(rule.record.as_deref()).unwrap_or_default();
            for word in words(&rule.expr) {
                // A subquery's range, `7d:1h`, has a colon, too.
                let is_range = word.starts_with(|first: char| first.is_ascii_digit());
                if word.contains(':') && !is_range && !recorded.contains(word) {
                    faults.push(format!("{name}: `{word}` is recorded nowhere"));
                }
                let is_ours = OURS.iter().any(|prefix| word.starts_with(prefix));
                if is_ours && !kinds.contains_key(word) {
                    faults.push(format!("{name}: `{word}` is not in {REFERENCE}"));
                }
            }
            for function in ["rate(", "increase("] {
                for (at, _) in rule.expr.match_indices(function) {
                    let metric = words(&rule.expr[at + function.len()..]).next().unwrap_or("");
                    if kinds.get(metric).is_some_and(|kind| *kind != "counter") {
                        faults.push(format!("{name}: {function}{metric}) is of no counter"));
                    }
                }
            }
        }
        faults
    }
}

/// How metrics begin that are Bursar's own.
const OURS: [&str; 8] = [
    "ai_",
    "aws_cost_",
    "aws_budget_",
    "aws_s3_",
    "bursar_",
    "cloud_cost_",
    "clickhouse_disk_",
    "pg_wal_",
];

/// Names in an expression: not what stands in quotes, which may be anything.
fn words(expr: &str) -> impl Iterator<Item = &str> {
    let code = expr.split('"').step_by(2);
    code.flat_map(|part| {
        part.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))
            .filter(|word| !word.is_empty())
    })
}

impl Rule {
    /// What people need and the alert does not say.
    fn mute(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.hold.is_none() {
            faults.push("has no `for`".to_owned());
        }
        let severity = self.labels.get("severity").map_or("", String::as_str);
        if !SEVERITIES.contains(&severity) {
            faults.push(format!("its severity is {severity:?}, none of {SEVERITIES:?}"));
        }
        if self.labels.get("team").is_none_or(String::is_empty) {
            faults.push("has no team".to_owned());
        }
        for annotation in ANNOTATIONS {
            if self.annotations.get(annotation).is_none_or(|text| text.trim().is_empty()) {
                faults.push(format!("has no {annotation}"));
            }
        }
        faults
    }

    /// A runbook that is not there, or has no heading for this alert.
    fn lost(&self, name: &str, told: &Told) -> Option<String> {
        let url = self.annotations.get("runbook_url")?;
        let (page, heading) = url.split_once('#').unwrap_or((url, ""));
        let Some(text) = told.pages.get(page).filter(|_| page.starts_with("docs/runbooks/")) else {
            return Some(format!("its runbook {page} is no page of docs/runbooks"));
        };
        let own = name.to_lowercase();
        if heading != own {
            return Some(format!("its runbook is {url}: let it end in #{own}"));
        }
        (!tidy::has_heading(text, heading)).then(|| format!("{page} has no heading `{name}`"))
    }
}
