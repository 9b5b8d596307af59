//! `[cost.source.NAME]`: where bills come from, and how often they are taken in.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lake::OnInvalid;

use super::{Fault, file::TableText, value};

/// The keys of a source's table.
const KEYS: &str = "path, every, on_invalid, lacking, accounts, profile";
const EVERY: Duration = Duration::from_secs(30 * 60);
/// AWS counts anew up to three times a day, and each look is paid.
const EVERY_EXPLORER: Duration = Duration::from_secs(6 * 60 * 60);

/// Why no row of Cost Explorer may be refused or kept apart.
pub(crate) const EXPLORER_ON_INVALID: &str = "Cost Explorer tells no quantities and prices, so \
                                              that every row breaks rules of FOCUS: accept them";

/// Where bills come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, a folder or `s3://bucket/prefix`.
    Delivered(PathBuf),
    /// What Bursar itself has charged for AI; written `ledger`.
    Ledger,
    /// What AWS tells; written `cost-explorer`.
    CostExplorer {
        /// Only these member accounts; all that are seen without any.
        accounts: Vec<String>,
        /// The profile of AWS's config files; the usual one without it.
        profile: Option<String>,
    },
}

impl Origin {
    /// What a path stands for.
    pub fn of(path: &Path) -> Self {
        match path.to_str() {
            Some("ledger") => Self::Ledger,
            Some("cost-explorer") => Self::CostExplorer { accounts: Vec::new(), profile: None },
            _ => Self::Delivered(path.to_owned()),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delivered(path) => path.display().fmt(f),
            Self::Ledger => f.write_str("ledger"),
            Self::CostExplorer { .. } => f.write_str("cost-explorer"),
        }
    }
}

/// Bills that are taken in again and again; the same ones change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostSource {
    /// Who delivers.
    pub name: String,
    /// Where from.
    pub origin: Origin,
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
    let path = written.fields.iter().find(|(key, ..)| key == "path");
    let path = path.map(|(.., path)| path.as_str()).filter(|path| !path.is_empty());
    let mut source =
        CostSource::new(&written.name, Origin::of(Path::new(path.unwrap_or_default())));
    for (key, place, text) in &written.fields {
        if let Err(message) = source.set(key, text) {
            let key = Some(format!("{table}.{key}"));
            faults.push(Fault { source: place.clone(), key, message });
        }
    }
    if path.is_none() {
        let message = "path is missing".to_owned();
        faults.push(Fault { source: written.source.clone(), key: Some(table), message });
    }
    (faults.len() == before).then_some(source)
}

impl CostSource {
    /// A source as it is where nothing else is said.
    pub fn new(name: &str, origin: Origin) -> Self {
        let every = match origin {
            Origin::CostExplorer { .. } => EVERY_EXPLORER,
            Origin::Delivered(_) | Origin::Ledger => EVERY,
        };
        let (on_invalid, lacking) = (OnInvalid::default(), false);
        Self { name: name.to_owned(), origin, every, on_invalid, lacking }
    }

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match (key, &mut self.origin) {
            // It was read first: the other keys depend on it.
            ("path", _) => {}
            ("every", _) => self.every = value::duration(text)?.unsigned_abs(),
            ("on_invalid", origin) => {
                self.on_invalid = match (text, origin) {
                    ("accept", _) => OnInvalid::Accept,
                    ("quarantine" | "refuse", Origin::CostExplorer { .. }) => {
                        return Err(EXPLORER_ON_INVALID.to_owned());
                    }
                    ("quarantine", _) => OnInvalid::Quarantine,
                    ("refuse", _) => OnInvalid::Refuse,
                    _ => return Err(format!("{text:?} is not accept, quarantine or refuse")),
                };
            }
            ("accounts", Origin::CostExplorer { accounts, .. }) => {
                let given = text.split(',').map(|part| value::account(part.trim()));
                *accounts = given.collect::<Result<_, _>>()?;
            }
            ("profile", Origin::CostExplorer { profile, .. }) => *profile = Some(text.to_owned()),
            ("accounts" | "profile", _) => {
                return Err("is for path = \"cost-explorer\" alone".to_owned());
            }
            ("lacking", _) => self.lacking = value::parsed(text, "true or false")?,
            _ => return Err(format!("unknown; there are {KEYS}")),
        }
        Ok(())
    }
}
