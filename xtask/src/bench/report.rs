//! The table in the reference documentation. Owns one section between two markers; the rest is prose.

use anyhow::{Context, Result};

use super::{ROUNDS, Setting};
use crate::workspace;

/// One promise and how it was kept.
#[derive(serde::Deserialize)]
pub(super) struct Row {
    pub(super) measure: String,
    pub(super) baseline: String,
    pub(super) subject: String,
    pub(super) value: String,
    pub(super) target: String,
    /// Nothing where there is no target.
    pub(super) met: Option<bool>,
    /// CPU microseconds per request.
    #[serde(default)]
    pub(super) cpu: String,
}

const FILE: &str = "docs/reference/benchmarks.md";
const HEAD: &str = "# Benchmarks\n\nMeasured by `cargo xtask bench budget`, which rewrites the table. Ratios and \
                    CPU per request carry over to\nother machines; rates do not.\n\n";

pub(super) fn section(machine: &str, command: &str, setting: &Setting, rows: &[Row]) -> String {
    let text = format!(
        "{machine}. Command: `{command}`. Medians of {ROUNDS} rounds of {} s, interleaved with the \
         baseline.\nEach call of a pair counts as one request; a ledger's size is counted in calls. CPU is \
         that of Bursar's process: a\nPostgres server's own is not in it.\n\n",
        setting.measure.as_secs()
    );
    text + &table(rows, true)
}

/// The rows, with their CPU time where requests were counted.
pub(super) fn table(rows: &[Row], with_cpu: bool) -> String {
    let (head, line) = if with_cpu { (" CPU µs a request |", "---|") } else { ("", "") };
    let mut text = format!("| measure | baseline | Bursar | value | target | met |{head}\n");
    text += &format!("|---|---|---|---|---|---|{line}\n");
    for row in rows {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let mut cells =
            vec![&*row.measure, &row.baseline, &row.subject, &row.value, &row.target, met];
        if with_cpu {
            cells.push(&row.cpu);
        }
        let cells = cells.into_iter().map(|cell| if cell.is_empty() { "–" } else { cell });
        text += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// A word of the command line as it may be shown: a URL loses its user and password.
pub(super) fn masked(word: &str) -> String {
    match (word.split_once("://"), word.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => {
            let scheme = scheme.rsplit('=').next().unwrap_or(scheme);
            format!("{scheme}://…@{host}")
        }
        _ => word.to_owned(),
    }
}

/// Puts a benchmark's section in its place.
pub(crate) fn write(name: &str, section: &str) -> Result<()> {
    let path = workspace::root().join(FILE);
    let old = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, replaced(&old, name, section))
        .with_context(|| format!("failed to write {FILE}"))?;
    println!("bench: wrote {FILE}");
    Ok(())
}

/// The text with the section between the markers replaced, or added at the end where there are none.
pub(super) fn replaced(old: &str, name: &str, section: &str) -> String {
    let (begin_mark, end_mark) =
        (format!("<!-- bench {name}: begin -->"), format!("<!-- bench {name}: end -->"));
    let block = format!("{begin_mark}\n\n{section}\n{end_mark}");
    match (old.find(&begin_mark), old.find(&end_mark)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{block}{}", &old[..begin], &old[end + end_mark.len()..])
        }
        _ => format!("{}\n\n{block}\n", old.trim_end()),
    }
}
