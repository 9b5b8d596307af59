//! The config file: TOML tables to settings' texts, each with its line.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Fault, Source,
    setting::{self, SETTINGS, Setting},
    upstream::UpstreamText,
};

/// A setting's text and where it stands.
pub type Given = (&'static Setting, Source, String);

/// Reads a file's text. What can't be read is added to the faults, everything else is answered.
pub fn read(path: &Path, text: &str, faults: &mut Vec<Fault>) -> (Vec<Given>, Vec<UpstreamText>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, given: Vec::new(), upstreams: Vec::new(), faults };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.fault(at, None, error.message().to_owned());
    }
    reader.table("", table.get_ref());
    // The first upstream that takes a model has it, so their order in the file counts.
    reader.upstreams.sort_by_key(|(at, _)| *at);
    (reader.given, reader.upstreams.into_iter().map(|(_, upstream)| upstream).collect())
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    given: Vec<Given>,
    upstreams: Vec<(usize, UpstreamText)>,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn source(&self, at: usize) -> Source {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Source::File(self.path.to_owned(), line)
    }

    fn fault(&mut self, at: usize, key: Option<String>, message: String) {
        self.faults.push(Fault { source: self.source(at), key, message });
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            let key = format!("{prefix}{}", name.get_ref());
            match (value.get_ref(), setting::by_key(&key)) {
                (DeValue::Table(inner), None) if key == UPSTREAM => self.upstreams(inner),
                (DeValue::Table(inner), None) if is_table(&key) => {
                    self.table(&format!("{key}."), inner);
                }
                (_, None) if is_table(&key) => {
                    self.fault(at, Some(key), "must be a table".to_owned());
                }
                (_, None) => self.fault(at, Some(key), unknown(prefix)),
                (_, Some(setting)) => match scalar(value) {
                    Some(text) => {
                        let source = self.source(at);
                        self.given.push((setting, source, text));
                    }
                    None => {
                        let wanted = "must be a text or a number".to_owned();
                        self.fault(at, Some(key), wanted);
                    }
                },
            }
        }
    }
}

impl Reader<'_> {
    fn upstreams(&mut self, tables: &DeTable<'_>) {
        for (name, value) in tables {
            let at = name.span().start;
            let key = format!("{UPSTREAM}.{}", name.get_ref());
            let DeValue::Table(table) = value.get_ref() else {
                self.fault(at, Some(key), "must be a table".to_owned());
                continue;
            };
            let mut fields = Vec::new();
            for (field, value) in table {
                let at = field.span().start;
                let text = match value.get_ref() {
                    DeValue::Boolean(is) => Some(is.to_string()),
                    _ => scalar(value).or_else(|| list(value)),
                };
                match text {
                    Some(text) => fields.push((field.get_ref().to_string(), self.source(at), text)),
                    None => {
                        let key = format!("{key}.{}", field.get_ref());
                        self.fault(at, Some(key), "must be a text or a number".to_owned());
                    }
                }
            }
            let (name, source) = (name.get_ref().to_string(), self.source(at));
            self.upstreams.push((at, UpstreamText { name, source, fields }));
        }
    }
}

/// A list of texts, as one with commas.
fn list(value: &Spanned<DeValue<'_>>) -> Option<String> {
    let DeValue::Array(items) = value.get_ref() else { return None };
    let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
    texts.map(|texts| texts.join(","))
}

/// The table of upstreams, which have names of the user's choice.
const UPSTREAM: &str = "upstream";

fn is_table(key: &str) -> bool {
    let inside =
        |setting: &Setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    SETTINGS.iter().any(inside)
}

fn unknown(prefix: &str) -> String {
    let names: Vec<&str> = SETTINGS
        .iter()
        .filter_map(|setting| setting.key.strip_prefix(prefix))
        .map(|rest| rest.split_once('.').map_or(rest, |(table, _)| table))
        .collect();
    let mut names = names;
    names.dedup();
    if prefix.is_empty() {
        names.push(UPSTREAM);
    }
    format!("unknown; there are {}", names.join(", "))
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        // The digits as written: a limit never goes through a float.
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}
