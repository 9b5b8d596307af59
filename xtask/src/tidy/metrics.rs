//! `docs/reference/metrics.md`: its tables say what the code says of each metric, in the words above its name.
//!
//! A row stands where people have put it; what it says is made of the constant's comment, `/// Gauge by `tenant_id`:
//! what it shows.` So a metric is described in one place.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{File, Finding};
use crate::workspace;

const PAGE: &str = "docs/reference/metrics.md";
const KINDS: [&str; 3] = ["Counter", "Gauge", "Histogram"];

/// A metric as its constant describes it.
struct Metric<'a> {
    file: &'a str,
    line: usize,
    row: String,
}

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![Finding::new(PAGE, 0, "it is missing")];
    };
    let metrics = described(files);
    let mut findings = Vec::new();
    let mut missing: BTreeMap<&str, &Metric<'_>> =
        metrics.iter().map(|(name, metric)| (name.as_str(), metric)).collect();
    for (number, line) in page.lines() {
        let Some(name) = name_of(line) else { continue };
        let say = match metrics.get(name) {
            None => format!("no constant has the name {name}: take the row out"),
            Some(_) if missing.remove(name).is_none() => format!("{name} has two rows"),
            Some(metric) if metric.row != line => {
                format!("the row of {name} is not what the code says: `cargo xtask metrics`")
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(PAGE, number, say));
    }
    for (name, metric) in missing {
        let say = format!(
            "{name} has no row in {PAGE}: add `| `{name}` |` where it belongs, and run `cargo xtask metrics`"
        );
        findings.push(Finding::new(metric.file, metric.line, say));
    }
    findings
}

/// Writes the rows anew.
pub(crate) fn write() -> Result<()> {
    let files = super::read()?;
    let metrics = described(&files);
    let page =
        files.iter().find(|file| file.path == PAGE).context("there is no page of metrics")?;
    let row = |line: &str| match name_of(line).and_then(|name| metrics.get(name)) {
        Some(metric) => format!("{}\n", metric.row),
        None => format!("{line}\n"),
    };
    let text: String = page.text().lines().map(row).collect();
    std::fs::write(workspace::root().join(PAGE), text)
        .with_context(|| format!("failed to write {PAGE}"))?;
    println!("metrics: {} are described in {PAGE}", metrics.len());
    Ok(())
}

/// The metric that a row of a table is about.
fn name_of(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("| `")?.split_once("` |")?;
    let is_name = name.contains('_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit());
    is_name.then_some(name)
}

/// What the code says of each metric: constants whose comment begins with a kind.
fn described(files: &[File]) -> BTreeMap<String, Metric<'_>> {
    let mut metrics = BTreeMap::new();
    for file in files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && file.is_rust() && !file.is_test())
    {
        let mut comment = String::new();
        for (line, text) in file.lines() {
            let text = text.trim();
            if let Some(words) = text.strip_prefix("/// ") {
                comment = format!("{comment} {words}").trim_start().to_owned();
                continue;
            }
            let said = std::mem::take(&mut comment);
            let Some((_, value)) = text.split_once(": &str = \"") else { continue };
            let Some(name) = value.strip_suffix("\";") else { continue };
            if let Some(row) = row(name, &said) {
                metrics.insert(name.to_owned(), Metric { file: &file.path, line, row });
            }
        }
    }
    metrics
}

/// The row of a metric whose comment is `Gauge by `tenant_id`: what it shows.`
fn row(name: &str, comment: &str) -> Option<String> {
    let (head, shows) = comment.split_once(": ")?;
    let (kind, labels) = head
        .split_once(" by ")
        .map_or((head, String::new()), |(kind, labels)| (kind, labels.replace(" and ", ", ")));
    if !KINDS.contains(&kind) {
        return None;
    }
    let labels = if labels.is_empty() { String::new() } else { format!("{labels} ") };
    let shows = shows.strip_suffix('.').unwrap_or(shows);
    Some(format!("| `{name}` | {} | {labels}| {shows} |", kind.to_lowercase()))
}
