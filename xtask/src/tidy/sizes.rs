//! Limits in numbers: what stays small stays readable.

use std::collections::BTreeSet;

use super::{File, Finding};

const RUST_LINES_MAX: usize = 600;
const RUST_LINES_WANTED: usize = 400;
const ROOT_ENTRIES_MAX: usize = 22;
const CRATES_MAX: usize = 16;
/// Files with a limit of their own, by name.
const NAMED: &[(&str, usize, &str)] = &[
    ("main.rs", 60, "main assembles; move the work into a module"),
    ("router.rs", 150, "one line a route; move handlers out"),
    ("ARCHITECTURE.md", 200, "a map, not a book; move detail into the module it describes"),
];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<_> = files.iter().filter_map(length).collect();
    findings.extend(count(files, "", ROOT_ENTRIES_MAX, "entries in the root; put it in a folder"));
    let crates = count(files, "crates/", CRATES_MAX, "crates; a new one needs a new wall or noun");
    findings.extend(crates);
    findings
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text().lines().count();
    let named = NAMED.iter().find(|(name, max, _)| file.name() == *name && lines > *max);
    if let Some((_, max, advice)) = named {
        return Some(Finding::new(
            &file.path,
            *max,
            format!("{lines} lines, at most {max}: {advice}"),
        ));
    }
    if !file.is_rust() || lines <= RUST_LINES_WANTED {
        return None;
    }
    Some(match lines > RUST_LINES_MAX {
        true => {
            let say = format!("{lines} lines, at most {RUST_LINES_MAX}: split it by noun or verb");
            Finding::new(&file.path, RUST_LINES_MAX, say)
        }
        false => {
            let say = format!("{lines} lines, wanted under {RUST_LINES_WANTED}: split it soon");
            Finding::warning(&file.path, RUST_LINES_WANTED, say)
        }
    })
}

fn count(files: &[File], under: &str, max: usize, what: &str) -> Option<Finding> {
    let entries: BTreeSet<_> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(under))
        .filter_map(|rest| rest.split('/').next())
        .collect();
    let say = || format!("{} (at most {max}) {what}: {entries:?}", entries.len());
    let place = if under.is_empty() { "." } else { under };
    (entries.len() > max).then(|| Finding::new(place, 0, say()))
}
