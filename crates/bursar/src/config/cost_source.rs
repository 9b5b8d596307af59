//! `[cost.source.NAME]`: where bills come from, and how often they are taken in.

use std::{path::PathBuf, time::Duration};

use lake::OnInvalid;

use super::{Fault, file::TableText, value};

/// The keys of a source's table.
const KEYS: &str = "path, every, on_invalid, lacking";
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Bills that are taken in again and again; the same ones change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostSource {
    /// Who delivers.
    pub name: String,
    /// A file, a folder or `s3://bucket/prefix`; `ledger` is what Bursar itself has charged for AI.
    pub path: PathBuf,
    /// How long from the end of one ingest to the next.
    pub every: Duration,
    /// What becomes of rows that break a rule.
    pub on_invalid: OnInvalid,
    /// Take files that lack columns which their version must have.
    pub lacking: bool,
}

/// What a table means; `None` where something is wrong with it.
pub(super) fn read(written: &TableText, faults: &mut Vec<Fault>) -> Option<CostSource> {
    let before = faults.len();
    let table = format!("cost.source.{}", written.name);
    let mut source = CostSource {
        name: written.name.clone(),
        path: PathBuf::new(),
        every: EVERY,
        on_invalid: OnInvalid::default(),
        lacking: false,
    };
    for (key, place, text) in &written.fields {
        if let Err(message) = source.set(key, text) {
            let key = Some(format!("{table}.{key}"));
            faults.push(Fault { source: place.clone(), key, message });
        }
    }
    if source.path.as_os_str().is_empty() {
        let message = "path is missing".to_owned();
        faults.push(Fault { source: written.source.clone(), key: Some(table), message });
    }
    (faults.len() == before).then_some(source)
}

impl CostSource {
    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "path" => self.path = PathBuf::from(text),
            "every" => self.every = value::duration(text)?.unsigned_abs(),
            "on_invalid" => {
                self.on_invalid = match text {
                    "accept" => OnInvalid::Accept,
                    "quarantine" => OnInvalid::Quarantine,
                    "refuse" => OnInvalid::Refuse,
                    _ => return Err(format!("{text:?} is not accept, quarantine or refuse")),
                };
            }
            "lacking" => self.lacking = value::parsed(text, "true or false")?,
            _ => return Err(format!("unknown; there are {KEYS}")),
        }
        Ok(())
    }
}
