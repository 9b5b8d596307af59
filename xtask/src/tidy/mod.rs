//! Architecture tests and house rules, read from `cargo metadata` and from the files.
//!
//! Owns: every rule a machine can check. Each finding says the file, the line and what to do. The checks are
//! functions of text, so that their tests need no repository.

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::workspace;

mod documents;
mod edges;
mod made;
mod metrics;
mod sizes;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use documents::has_heading;
pub(crate) use metrics::write as write_metrics;

/// A broken rule, or with `warning` one that is about to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    /// From 1; 0 when the file as a whole is meant.
    line: usize,
    say: String,
    warning: bool,
}

impl Finding {
    fn new(file: &str, line: usize, say: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, say: say.into(), warning: false }
    }

    fn warning(file: &str, line: usize, say: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(file, line, say) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.warning { "warning: " } else { "" };
        match self.line {
            0 => write!(f, "{}: {kind}{}", self.file, self.say),
            line => write!(f, "{}:{line}: {kind}{}", self.file, self.say),
        }
    }
}

/// A file of ours: its path from the root, and its text unless it is binary.
struct File {
    path: String,
    text: Option<String>,
}

impl File {
    #[cfg(test)]
    fn of(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: Some(text.to_owned()) }
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Lines with their numbers from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text().lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tests stand in `tests.rs` beside a module or in a `tests` folder.
    fn is_test(&self) -> bool {
        self.is_rust() && (self.name() == "tests.rs" || self.path.split('/').any(|p| p == "tests"))
    }
}

pub(crate) fn run() -> Result<()> {
    let files = read()?;
    let metadata = workspace::metadata()?;
    let members = edges::members(&metadata).context("failed to read the members")?;

    let mut findings = edges::check(&members);
    findings.extend(sizes::check(&files));
    findings.extend(source::check(&files));
    findings.extend(documents::check(&files));
    findings.extend(made::check(&files));
    findings.extend(metrics::check(&files));
    findings.sort();

    let (warnings, errors): (Vec<_>, Vec<_>) = findings.into_iter().partition(|f| f.warning);
    for finding in warnings.iter().chain(&errors) {
        println!("{finding}");
    }
    println!("tidy: {} files, {} warnings, {} errors", files.len(), warnings.len(), errors.len());
    if !errors.is_empty() {
        bail!("{} rules broken: each line above says what to do", errors.len());
    }
    Ok(())
}

fn read() -> Result<Vec<File>> {
    let paths = workspace::files()?;
    paths
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(workspace::root().join(&path))
                .with_context(|| format!("failed to read {path}"))?;
            Ok(File { path, text: String::from_utf8(bytes).ok() })
        })
        .collect()
}
