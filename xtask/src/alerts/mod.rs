//! Alerts: the rules in `deploy/prometheus` and the routes in `deploy/alertmanager`, read by Prometheus' and
//! Alertmanager's own tools and tried on series that are made up.
//!
//! Owns: which alerts there have to be, what each must say, and that each is tested in every way.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{shell, workspace};

mod kubernetes;
mod proofs;
mod routes;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use kubernetes::{MADE, Made, prometheus_rule};

const RULES: &str = ".rules.yml";
const TESTS: &str = ".test.yml";
const FINOPS: &str = "finops-alerts.yaml";

/// What to do with the alerts.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Write the PrometheusRules anew, of the plain files, and check nothing.
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.write { kubernetes::write() } else { check() }
}

/// Fails on a rule that Prometheus would not load, one whose test fails, one that is not tested, a route that
/// leads elsewhere than it should, and a ConfigMap that is not what was tested.
pub(crate) fn check() -> Result<()> {
    let programs = [
        ("promtool", "prometheus"),
        ("amtool", "prometheus-alertmanager"),
        ("kubectl", "kubernetes-client"),
    ];
    for (program, package) in programs {
        if shell::which(program).is_none() {
            shell::apt_install(&[package])?;
        }
    }
    let names = names()?;
    let rules: Vec<&String> =
        names.iter().filter(|name| name.ends_with(RULES) || *name == FINOPS).collect();
    ensure!(rules.len() > 1, "there are no alert rules in {}", folder().display());
    for rules in rules {
        promtool(&["check", "rules", "--lint=all", "--lint-fatal", rules])?;
        let Some(stem) = rules.strip_suffix(RULES) else { continue };
        let tests = format!("{stem}{TESTS}");
        ensure!(names.contains(&tests), "{rules} has no tests: write {tests} beside it");
    }
    let finops = rules::File::read(&folder().join(FINOPS))?;
    let mut faults = finops.faults(&rules::Told::read()?);
    faults.extend(proofs::faults(&finops, &proofs::read(&names)?));
    if !faults.is_empty() {
        bail!("{} faults in the alerts:\n{}", faults.len(), faults.join("\n"));
    }
    for tests in names.iter().filter(|name| name.ends_with(TESTS)) {
        promtool(&["test", "rules", tests])?;
    }
    routes::check(&finops)?;
    kubernetes::check()
}

fn folder() -> PathBuf {
    workspace::root().join("deploy").join("prometheus")
}

/// The files beside the rules, in order.
fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).context("failed to read deploy/prometheus")? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn promtool(words: &[&str]) -> Result<()> {
    shell::run(Command::new("promtool").current_dir(folder()).args(words))
}
