//! Prompts to measure the gateway's bounds with: real text in nine languages and real code, as
//! chat requests.
//!
//! The text is fetched and cut anew on each machine and never committed: manual pages from Debian's
//! translated packages (each under its page's licence, named in the package's `copyright`), and the
//! sources of the crates that Bursar is built with (MIT or Apache-2.0 and the like). The same
//! packages give the same prompts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{shell, workspace};

/// Where tests look for the folder.
pub(crate) const VARIABLE: &str = "BURSAR_TEST_PROMPTS";

const PROMPTS: usize = 2_000;
const FILE: &str = "prompts.jsonl";

/// Debian's packages, and the folder of each language in them.
const LANGUAGES: [(&str, &str); 9] = [
    ("manpages-de", "de"),
    ("manpages-es", "es"),
    ("manpages-fr", "fr"),
    ("manpages-ja", "ja"),
    ("manpages-pl", "pl"),
    ("manpages-pt-br", "pt_BR"),
    ("manpages-ru", "ru"),
    ("manpages-uk", "uk"),
    ("manpages-zh", "zh_CN"),
];

/// The models with a public tokenizer that requests are made for.
const MODELS: [&str; 6] = [
    "gpt-4o-2024-08-06",
    "gpt-4o-mini-2024-07-18",
    "gpt-4.1",
    "gpt-5",
    "gpt-4-0613",
    "gpt-3.5-turbo-0125",
];

/// Makes the prompts, unless they are there, and returns their folder.
pub(crate) fn prepare() -> Result<PathBuf> {
    let folder = workspace::target()?.join("prompts");
    let file = folder.join(FILE);
    if file.is_file() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {folder:?}"))?;
    let mut sources = vec![code()?];
    sources.extend(manuals(&folder)?);
    let mut text = String::new();
    for index in 0..PROMPTS {
        writeln!(text, "{}", request(index, &sources))?;
    }
    std::fs::write(&file, text).with_context(|| format!("failed to write {file:?}"))?;
    Ok(folder)
}

/// The translated manuals, a text a language.
fn manuals(folder: &Path) -> Result<Vec<String>> {
    let packages = folder.join("packages");
    std::fs::create_dir_all(&packages)?;
    let names: Vec<_> = LANGUAGES.iter().map(|(package, _)| *package).collect();
    let download = || {
        let mut apt = Command::new("apt-get");
        shell::run(apt.current_dir(&packages).args(["download", "-q"]).args(&names))
    };
    if download().is_err() {
        // An old package list names versions that are gone; installing anything refreshes it.
        shell::run(Command::new("apt-get").args(["update", "-q"]))?;
        download()?;
    }
    for package in files_below(&packages, &["deb"])? {
        shell::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
    }
    let manuals = folder.join("usr/share/man");
    let mut unpack = Command::new("find");
    unpack.arg(&manuals).args(["-type", "f", "-name", "*.gz", "-exec", "gzip", "-df", "{}", "+"]);
    shell::run(&mut unpack)?;
    let read = |(_, language): &(&str, &str)| {
        let folder = manuals.join(language);
        let pages = files_below(&folder, &["1", "2", "3", "5", "7", "8"])?;
        joined(&pages, |line| !line.starts_with(['.', '\'']) && !line.is_empty())
    };
    LANGUAGES.iter().map(read).collect()
}

/// Sources of the crates in the lock file, from cargo's own store.
fn code() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let store = home.or(user).context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock"))?;
    let lines: Vec<_> = lock.lines().collect();
    let field = |line: &str, name: &str| {
        line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned)
    };
    let mut files = Vec::new();
    for pair in lines.windows(2) {
        let (Some(name), Some(version)) = (field(pair[0], "name"), field(pair[1], "version"))
        else {
            continue;
        };
        for registry in folders_in(&store)? {
            let source = registry.join(format!("{name}-{version}"));
            if source.is_dir() && files.len() < 1_500 {
                files.extend(files_below(&source, &["rs", "md", "c", "toml"])?);
            }
        }
    }
    joined(&files, |_| true)
}

/// Files with one of the endings, in order.
fn files_below(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("failed to read {folder:?}"))?
        {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file()
                && path.extension().is_some_and(|end| endings.iter().any(|ending| end == *ending))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("failed to read {folder:?}"))?;
    let mut folders: Vec<_> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    folders.sort();
    Ok(folders)
}

/// Up to a few megabytes of the files that are UTF-8, with the lines that `keep` wants.
fn joined(files: &[PathBuf], keep: impl Fn(&str) -> bool) -> Result<String> {
    const MOST: usize = 3_000_000;
    let mut text = String::new();
    for file in files {
        let Ok(page) = std::fs::read_to_string(file) else { continue };
        for line in page.lines().filter(|line| keep(line)) {
            text.push_str(line);
            text.push('\n');
        }
        if text.len() > MOST {
            break;
        }
    }
    if text.len() < 100_000 {
        bail!("only {} bytes of text in {} files", text.len(), files.len());
    }
    Ok(text)
}

/// One request, decided by its number alone.
fn request(index: usize, sources: &[String]) -> Value {
    let mut dice = Dice(index as u64 + 1);
    // A third is code, the rest is shared by the languages.
    let source = match index % 3 {
        0 => &sources[0],
        _ => &sources[index % (sources.len() - 1) + 1],
    };
    let mut messages = Vec::new();
    if dice.roll(2) == 0 {
        let text = dice.excerpt(source, 800);
        messages.push(json!({"role": "system", "content": text}));
    }
    for turn in 0..=dice.roll(5) * 2 {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let text = dice.excerpt(source, 1_000);
        messages.push(match (role, dice.roll(4)) {
            ("user", 0) => json!({"role": role, "name": "anna", "content": text}),
            ("user", 1) => json!({"role": role, "content": [{"type": "text", "text": text}]}),
            _ => json!({"role": role, "content": text}),
        });
    }
    let mut request = json!({
        "model": MODELS[dice.roll(MODELS.len())],
        "messages": messages,
        "max_tokens": 500,
    });
    if dice.roll(3) == 0 {
        let tools: Vec<_> = (0..=dice.roll(6)).map(|_| tool(&mut dice, source)).collect();
        request["tools"] = Value::Array(tools);
    }
    request
}

fn tool(dice: &mut Dice, source: &str) -> Value {
    let mut properties = serde_json::Map::new();
    for number in 0..dice.roll(6) {
        let mut property = json!({"type": "string", "description": dice.excerpt(source, 120)});
        if dice.roll(3) == 0 {
            property["enum"] = json!(["celsius", "fahrenheit", dice.excerpt(source, 20)]);
        }
        properties.insert(format!("argument_{number}"), property);
    }
    json!({"type": "function", "function": {
        "name": format!("tool_{}", dice.roll(1_000)),
        "description": dice.excerpt(source, 300),
        "parameters": {"type": "object", "properties": properties},
    }})
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // The multiplier and increment of Knuth's MMIX generator; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }

    /// A stretch of up to so many letters.
    fn excerpt(&mut self, source: &str, letters: usize) -> String {
        let mut start = self.roll(source.len());
        while !source.is_char_boundary(start) {
            start -= 1;
        }
        let length = 1 + self.roll(letters);
        source[start..].chars().take(length).collect()
    }
}
