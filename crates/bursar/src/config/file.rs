//! The config file: TOML tables to settings' texts, each with its line.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Fault, Source,
    setting::{self, SETTINGS, Setting},
};

/// A setting's text and where it stands.
pub type Given = (&'static Setting, Source, String);

/// A table that has a name of the user's choice, as it was written.
pub struct TableText {
    pub(super) name: String,
    pub(super) source: Source,
    /// Keys and texts, each where it stands; those of a table in it after its key and a point.
    pub(super) fields: Vec<(String, Source, String)>,
}

/// What a file says.
#[derive(Default)]
pub struct Texts {
    pub(super) settings: Vec<Given>,
    pub(super) upstreams: Vec<TableText>,
    pub(super) cloud_budgets: Vec<TableText>,
    pub(super) cost_sources: Vec<TableText>,
    pub(super) channels: Vec<TableText>,
}

/// Reads a file's text. What can't be read is added to the faults, everything else is answered.
pub fn read(path: &Path, text: &str, faults: &mut Vec<Fault>) -> Texts {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, given: Vec::new(), named: Vec::new(), faults };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.fault(at, None, error.message().to_owned());
    }
    reader.table("", table.get_ref());
    // The first upstream that takes a model has it, so their order in the file counts.
    reader.named.sort_by_key(|(at, _, _)| *at);
    let mut texts = Texts { settings: reader.given, ..Texts::default() };
    for (_, kind, table) in reader.named {
        let tables = match kind {
            UPSTREAM => &mut texts.upstreams,
            COST_SOURCE => &mut texts.cost_sources,
            CHANNEL => &mut texts.channels,
            _ => &mut texts.cloud_budgets,
        };
        tables.push(table);
    }
    texts
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    given: Vec<Given>,
    named: Vec<(usize, &'static str, TableText)>,
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
                (DeValue::Table(inner), None) if NAMED.contains(&key.as_str()) => {
                    let kind = NAMED.into_iter().find(|kind| *kind == key);
                    self.named(kind.unwrap_or(UPSTREAM), inner);
                }
                (DeValue::Table(inner), None) if key == COST || is_table(&key) => {
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
    fn named(&mut self, kind: &'static str, tables: &DeTable<'_>) {
        for (name, value) in tables {
            let at = name.span().start;
            let key = format!("{kind}.{}", name.get_ref());
            let DeValue::Table(table) = value.get_ref() else {
                self.fault(at, Some(key), "must be a table".to_owned());
                continue;
            };
            let mut fields = Vec::new();
            for (field, value) in table {
                match value.get_ref() {
                    DeValue::Table(inner) => {
                        for (inner, value) in inner {
                            let name = format!("{}.{}", field.get_ref(), inner.get_ref());
                            self.field(&key, name, inner.span().start, value, &mut fields);
                        }
                    }
                    _ => {
                        let name = field.get_ref().to_string();
                        self.field(&key, name, field.span().start, value, &mut fields);
                    }
                }
            }
            let (name, source) = (name.get_ref().to_string(), self.source(at));
            self.named.push((at, kind, TableText { name, source, fields }));
        }
    }

    fn field(
        &mut self,
        table: &str,
        name: String,
        at: usize,
        value: &Spanned<DeValue<'_>>,
        fields: &mut Vec<(String, Source, String)>,
    ) {
        let text = match value.get_ref() {
            DeValue::Boolean(is) => Some(is.to_string()),
            _ => scalar(value).or_else(|| list(value)),
        };
        match text {
            Some(text) => fields.push((name, self.source(at), text)),
            None => {
                let key = format!("{table}.{name}");
                self.fault(at, Some(key), "must be a text or a number".to_owned());
            }
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

/// What is about cloud cost: the tables of its budgets and of where bills come from, which have
/// names of the user's choice.
const COST: &str = "cost";
const CLOUD_BUDGET: &str = "cost.budget";
const COST_SOURCE: &str = "cost.source";

/// The table of channels.
const CHANNEL: &str = "notify.channel";

/// Tables of tables that have names of the user's choice.
const NAMED: [&str; 4] = [UPSTREAM, CLOUD_BUDGET, COST_SOURCE, CHANNEL];

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
        if !names.contains(&COST) {
            names.push(COST);
        }
    }
    let inside = NAMED.into_iter().filter(|_| prefix.len() > COST.len());
    names.extend(inside.filter_map(|table| table.strip_prefix(prefix)));
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
