//! The alert rules in `deploy/prometheus`: read by Prometheus' own tool, and tried on series that are made up.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{shell, workspace};

const RULES: &str = ".rules.yml";
const TESTS: &str = ".test.yml";

/// Fails on a rule that Prometheus would not load, one whose test fails, and a file of rules without tests.
pub(crate) fn check() -> Result<()> {
    if shell::which("promtool").is_none() {
        shell::apt_install(&["prometheus"])?;
    }
    let folder = workspace::root().join("deploy").join("prometheus");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).context("failed to read deploy/prometheus")? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    let rules: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(RULES)).collect();
    ensure!(!rules.is_empty(), "there are no alert rules in {}", folder.display());
    for rules in rules {
        let tests = format!("{rules}{TESTS}");
        ensure!(names.contains(&tests), "{rules}{RULES} has no tests: write {tests} beside it");
        let promtool = |what: &str, file: &str| {
            shell::run(Command::new("promtool").current_dir(&folder).args([what, "rules", file]))
        };
        promtool("check", &format!("{rules}{RULES}"))?;
        promtool("test", &tests)?;
    }
    Ok(())
}
