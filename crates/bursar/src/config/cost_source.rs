//! `[cost.source.NAME]`: where bills come from, and how often they are taken in.

use std::{path::PathBuf, time::Duration};

use lake::OnInvalid;

use super::{Fault, file::TableText, value};
use crate::command::cost::cost_explorer;

/// The keys of a source's table.
const KEYS: &str = "path, every, on_invalid, lacking, accounts, profile";
const EVERY: Duration = Duration::from_secs(60 * 60);
/// AWS counts anew up to three times a day, and each look is paid.
const EVERY_EXPLORER: Duration = Duration::from_secs(6 * 60 * 60);
/// The path that stands for AWS Cost Explorer.
const EXPLORER: &str = cost_explorer::PATH;

/// Bills that are taken in again and again; the same ones change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostSource {
    /// Who delivers.
    pub name: String,
    /// A file, a folder or `s3://bucket/prefix`; `ledger` is what Bursar itself has charged for AI,
    /// `cost-explorer` what AWS tells.
    pub path: PathBuf,
    /// How long from the end of one ingest to the next.
    pub every: Duration,
    /// What becomes of rows that break a rule.
    pub on_invalid: OnInvalid,
    /// Take files that lack columns which their version must have.
    pub lacking: bool,
    /// Of Cost Explorer: only these member accounts; all that are seen without any.
    pub accounts: Vec<String>,
    /// Of Cost Explorer: the profile of AWS's config files.
    pub profile: Option<String>,
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
        accounts: Vec::new(),
        profile: None,
    };
    let given = |wanted: &str| written.fields.iter().find(|(key, _, _)| key == wanted);
    let is_explorer = given("path").is_some_and(|(_, _, path)| path == EXPLORER);
    if is_explorer {
        source.every = EVERY_EXPLORER;
    }
    for (key, place, text) in &written.fields {
        if let Err(message) = source.set(key, text) {
            let key = Some(format!("{table}.{key}"));
            faults.push(Fault { source: place.clone(), key, message });
        }
    }
    for key in ["accounts", "profile"] {
        if let Some((_, place, _)) = given(key).filter(|_| !is_explorer) {
            let message = format!("is for path = \"{EXPLORER}\" alone");
            let key = Some(format!("{table}.{key}"));
            faults.push(Fault { source: place.clone(), key, message });
        }
    }
    if let Some((_, place, _)) = given("on_invalid")
        && is_explorer
        && source.on_invalid != OnInvalid::Accept
    {
        let key = Some(format!("{table}.on_invalid"));
        let message = cost_explorer::ON_INVALID.to_owned();
        faults.push(Fault { source: place.clone(), key, message });
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
            "accounts" => {
                let accounts = text.split(',').map(|part| value::account(part.trim()));
                self.accounts = accounts.collect::<Result<_, _>>()?;
            }
            "profile" => self.profile = Some(text.to_owned()),
            "lacking" => self.lacking = value::parsed(text, "true or false")?,
            _ => return Err(format!("unknown; there are {KEYS}")),
        }
        Ok(())
    }
}
