//! What may not stand in our files, and what must. Patterns are written in two halves, so that this file does
//! not find itself.

use std::collections::BTreeSet;

use super::{File, Finding};

/// A pattern, where it is searched, and what to do about it.
struct Ban {
    pattern: &'static str,
    applies: fn(&File) -> bool,
    advice: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        pattern: concat!("[al", "low("),
        applies: File::is_rust,
        advice: "use #[expect(lint, reason = \"…\")], or mend what the lint found",
    },
    Ban {
        pattern: concat!("#[ig", "nore"),
        applies: File::is_rust,
        advice: "a test runs or goes: mend it or delete it",
    },
    Ban {
        pattern: concat!("todo", "!("),
        applies: File::is_rust,
        advice: "write it, or leave it out until it is wanted",
    },
    Ban {
        pattern: concat!("unimple", "mented!("),
        applies: File::is_rust,
        advice: "write it, or leave it out until it is wanted",
    },
    Ban { pattern: concat!("TO", "DO"), applies: is_code, advice: "do it now or open an issue" },
    Ban { pattern: concat!("FIX", "ME"), applies: is_code, advice: "fix it now or open an issue" },
    Ban {
        pattern: concat!("thread::", "sleep"),
        applies: File::is_test,
        advice: "tests don't sleep: pass the time in, or wait for what must happen",
    },
    Ban {
        pattern: concat!("time::", "sleep"),
        applies: File::is_test,
        advice: "tests don't sleep: pass the time in, or wait for what must happen",
    },
    Ban { pattern: "Timestamp::now", applies: is_decision, advice: NO_CLOCK },
    Ban { pattern: "Zoned::now", applies: is_decision, advice: NO_CLOCK },
    Ban { pattern: "SystemTime::now", applies: is_decision, advice: NO_CLOCK },
    Ban { pattern: "Instant::now", applies: is_decision, advice: NO_CLOCK },
    Ban { pattern: "std::env", applies: is_decision, advice: NO_OUTSIDE },
    Ban { pattern: "std::fs", applies: is_decision, advice: NO_OUTSIDE },
    Ban { pattern: "std::net", applies: is_decision, advice: NO_OUTSIDE },
    Ban { pattern: concat!("/wo", "rk/"), applies: anywhere, advice: NO_MACHINE },
    Ban { pattern: concat!("/ro", "ot/"), applies: anywhere, advice: NO_MACHINE },
    Ban { pattern: concat!("/Us", "ers/"), applies: anywhere, advice: NO_MACHINE },
    Ban { pattern: concat!("registry.", "npmjs.org"), applies: anywhere, advice: NO_REGISTRY },
    Ban { pattern: concat!("registry.", "yarnpkg.com"), applies: anywhere, advice: NO_REGISTRY },
    Ban { pattern: concat!("index.", "crates.io"), applies: anywhere, advice: NO_REGISTRY },
    Ban { pattern: concat!("static.", "crates.io"), applies: anywhere, advice: NO_REGISTRY },
    Ban { pattern: concat!("pypi", ".org"), applies: anywhere, advice: NO_REGISTRY },
    Ban { pattern: concat!("python", "hosted.org"), applies: anywhere, advice: NO_REGISTRY },
    Ban { pattern: concat!("proxy.", "golang.org"), applies: anywhere, advice: NO_REGISTRY },
];

const NO_CLOCK: &str = "a decision has no clock: take `now: Timestamp` as an argument";
const NO_OUTSIDE: &str = "a decision sees nothing outside: take the fact as an argument";
const NO_MACHINE: &str = "a path of one machine: make it relative, or read it from a setting";
const NO_REGISTRY: &str = "a package registry's host: leave it to the user's own configuration (npm: omit-lockfile-registry-resolved)";

fn anywhere(_: &File) -> bool {
    true
}

fn is_code(file: &File) -> bool {
    const ENDINGS: &[&str] =
        &["rs", "toml", "sql", "ts", "js", "mjs", "css", "html", "sh", "yaml", "yml", "run"];
    ENDINGS.iter().any(|ending| file.name().rsplit(['.', '/']).next() == Some(ending))
}

fn is_decision(file: &File) -> bool {
    let of = |name: &str| file.path.starts_with(&format!("crates/{name}/src/"));
    file.is_rust() && !file.is_test() && ["budget", "forecast", "plan"].iter().any(|name| of(name))
}

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<_> = files.iter().flat_map(banned).collect();
    findings.extend(files.iter().filter_map(inline_tests));
    findings.extend(files.iter().filter(|f| f.path == "Cargo.toml").flat_map(uncommented));
    findings.extend(files.iter().filter(|f| f.path != "Cargo.toml").flat_map(unshared));
    findings.extend(files.iter().filter(|f| f.path == "Cargo.lock").flat_map(foreign_sources));
    findings.extend(mirrored(files));
    findings
}

fn banned(file: &File) -> Vec<Finding> {
    let bans: Vec<_> = BANS.iter().filter(|ban| (ban.applies)(file)).collect();
    let found = |line: &str, ban: &Ban| {
        line.match_indices(ban.pattern).any(|(at, _)| stands_alone(line, at, ban.pattern))
    };
    file.lines()
        .flat_map(|(number, line)| {
            let hits = bans.iter().filter(move |ban| found(line, ban));
            hits.map(move |ban| (number, *ban))
        })
        .map(|(number, ban)| {
            Finding::new(&file.path, number, format!("`{}`: {}", ban.pattern, ban.advice))
        })
        .collect()
}

/// Whether the match is a word or path of its own, not the middle of a longer one.
fn stands_alone(line: &str, at: usize, pattern: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let before = line[..at].chars().next_back();
    let after = line[at + pattern.len()..].chars().next();
    let first_bound = match pattern.starts_with('/') {
        // `https://host/work/…` and `./work/…` are no machine's paths.
        true => before.is_some_and(|c| word(c) || matches!(c, '.' | '-' | '}' | '*' | '~')),
        false => pattern.starts_with(word) && before.is_some_and(word),
    };
    let last_bound = pattern.ends_with(word) && after.is_some_and(word);
    !first_bound && !last_bound
}

/// Tests inside a module make it long; a warning, as it may still be short.
fn inline_tests(file: &File) -> Option<Finding> {
    let (line, _) =
        file.lines().find(|(_, line)| file.is_rust() && line.trim() == "mod tests {")?;
    Some(Finding::warning(
        &file.path,
        line,
        "tests inside a module: move them to `tests.rs` beside it",
    ))
}

/// Lines of the sections whose name ends in `dependencies`, as (number, line).
fn dependency_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    file.lines().filter(move |(_, line)| {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with("dependencies]");
            return false;
        }
        inside
    })
}

/// Dependencies without a comment above: alone, or over their group.
fn uncommented(file: &File) -> Vec<Finding> {
    let mut commented = false;
    let mut last = 0;
    let mut findings = Vec::new();
    for (number, line) in dependency_lines(file) {
        // A gap in the numbers is another section; an empty line ends a group.
        if line.trim().is_empty() || number != last + 1 {
            commented = false;
        }
        last = number;
        if line.starts_with('#') {
            commented = true;
        } else if line.starts_with(|c: char| c.is_ascii_alphabetic()) && !commented {
            let name = line.split([' ', '=']).next().unwrap_or(line);
            let say = format!("`{name}` has no comment above: say what it is for");
            findings.push(Finding::new(&file.path, number, say));
        }
    }
    findings
}

/// Versions named outside the root, where nobody explains them.
fn unshared(file: &File) -> Vec<Finding> {
    let ours = file.name() == "Cargo.toml"
        && (file.path.starts_with("crates/") || file.path.starts_with("xtask/"));
    dependency_lines(file)
        .filter(|(_, line)| ours && line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter(|(_, line)| !line.replace(' ', "").contains("workspace=true"))
        .map(|(number, _)| {
            let say = "name it in the root's [workspace.dependencies] with its reason, here `.workspace = true`";
            Finding::new(&file.path, number, say)
        })
        .collect()
}

/// Packages from anywhere but the public index.
fn foreign_sources(file: &File) -> Vec<Finding> {
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    file.lines()
        .filter(|(_, line)| line.starts_with("source = ") && *line != public)
        .map(|(number, line)| {
            Finding::new(&file.path, number, format!("{line}: take it from the public index"))
        })
        .collect()
}

/// How each database is reached: an embedded file has a writer with what it does behind and what stands
/// in for what is not on its disk, readers and a copy, a server has a pool, a wire to be secured, an archive of its log, and programs beside us that its tests play.
const REACHED: [&str; 11] = [
    "backup.rs",
    "behind.rs",
    "cover.rs",
    "log.rs",
    "pool.rs",
    "reader.rs",
    "seat.rs",
    "tests.rs",
    "tls.rs",
    "wal.rs",
    "writer.rs",
];

/// SQLite and Postgres are told module by module in the same words; the statements are each its own.
fn mirrored(files: &[File]) -> Vec<Finding> {
    let names = |folder: &str| -> BTreeSet<String> {
        let inside = files.iter().filter_map(|file| file.path.strip_prefix(folder));
        let nouns = inside
            .filter(|name| name.ends_with(".rs") && !name.contains('/') && !REACHED.contains(name));
        nouns.map(str::to_owned).collect()
    };
    let (sqlite, postgres) = ("crates/store/src/sqlite/", "crates/store/src/postgres/");
    let missing = |has: &str, lacks: &str| -> Vec<Finding> {
        let lacking = names(lacks);
        let gaps = names(has).into_iter().filter(|name| !lacking.contains(name));
        gaps.map(|name| {
            let say = format!("{has}{name} has no twin here: the two folders list the same files");
            Finding::new(&format!("{lacks}{name}"), 0, say)
        })
        .collect()
    };
    [missing(sqlite, postgres), missing(postgres, sqlite)].concat()
}
