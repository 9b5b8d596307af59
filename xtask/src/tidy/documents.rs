//! Links between our documents: each leads to a file, and to a heading where it names one.

use std::collections::BTreeSet;

use super::{File, Finding};

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut places = BTreeSet::new();
    for file in files {
        // A link may lead to any folder on the way to a file.
        let ends = file.path.match_indices('/').map(|(at, _)| &file.path[..at]);
        places.extend(ends);
        places.insert(file.path.as_str());
    }
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    documents
        .flat_map(|file| links(file).into_iter().map(move |(line, link)| (file, line, link)))
        .filter_map(|(file, line, link)| {
            let say = broken(files, &places, file, &link)?;
            Some(Finding::new(&file.path, line, format!("link `{link}`: {say}")))
        })
        .collect()
}

/// Targets of `[text](target)` outside code, with their lines.
fn links(file: &File) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut links = Vec::new();
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part lies between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("_");
        for (at, _) in prose.match_indices("](") {
            let rest = &prose[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or(rest);
            links.push((number, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    links
}

fn broken(files: &[File], places: &BTreeSet<&str>, from: &File, link: &str) -> Option<String> {
    let outside = link.contains("://") || link.starts_with("mailto:");
    if outside || link.is_empty() {
        return None;
    }
    let (path, heading) = link.split_once('#').map_or((link, None), |(p, h)| (p, Some(h)));
    let target = match path {
        "" => from.path.clone(),
        path => match resolve(&from.path, path) {
            Some(target) => target,
            None => return Some("leads out of the repository".to_owned()),
        },
    };
    if !target.is_empty() && !places.contains(target.as_str()) {
        return Some(format!("there is no {target}: mend the link or write the file"));
    }
    let document = files.iter().find(|file| file.path == target && target.ends_with(".md"))?;
    let heading = heading?;
    (!has_heading(document.text(), heading))
        .then(|| format!("{target} has no heading `{heading}`: mend the link"))
}

/// The link's target as a path from the root; nothing when it climbs above it.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = match link.starts_with('/') {
        true => Vec::new(),
        false => {
            from.rsplit_once('/').map_or(Vec::new(), |(folder, _)| folder.split('/').collect())
        }
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a page has the heading that a link to it names.
pub(crate) fn has_heading(page: &str, heading: &str) -> bool {
    headings(page).contains(heading)
}

/// Headings as the links to them are written: lower case, words joined by hyphens, repeats numbered.
fn headings(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut slugs = BTreeSet::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug = kept.collect::<String>().replace(' ', "-");
        let repeat = (1..).map(|n| format!("{slug}-{n}")).find(|s| !slugs.contains(s));
        let free = if slugs.contains(&slug) { repeat.unwrap_or(slug) } else { slug };
        slugs.insert(free);
    }
    slugs
}
