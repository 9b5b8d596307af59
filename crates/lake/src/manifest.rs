//! What the lake holds: which files, of which import, with which sums.
//!
//! Owns the words of the log ([`Commit`]) and the state that they add up to ([`State`]). Knows
//! nothing of where it is stored. Invariant: of a source and a billing period there is at most one
//! [`Import`], and its sums are those of its files.

use focus::cost::Month;
use std::collections::{BTreeMap, BTreeSet};

use focus::Decimal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The form of the log that this Bursar writes.
pub(crate) const FORMAT: u32 = 1;

/// One step of the lake from one state to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) format: u32,
    pub(crate) version: u64,
    pub(crate) at: Timestamp,
    pub(crate) operation: Operation,
    /// Imports that are no more, by id.
    #[serde(default)]
    pub(crate) removed: Vec<Uuid>,
    #[serde(default)]
    pub(crate) added: Vec<Import>,
    /// Quarantines that are no more, by id.
    #[serde(default)]
    pub(crate) released: Vec<Uuid>,
    #[serde(default)]
    pub(crate) quarantined: Vec<Quarantine>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Charges came in.
    Ingest,
    /// Small files were put together; no charge changed.
    Compact,
    /// A source's charges were taken out.
    Remove,
}

/// The charges of one source in one billing period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// Its name in the log.
    pub id: Uuid,
    /// Who delivered it, as the ingest named them.
    pub source: String,
    /// The billing period.
    pub period: Month,
    /// The export's execution, or the content's hash.
    pub execution: String,
    /// Names the delivered files and what they were when they were listed: the same again need not
    /// be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
    /// Bytes of what was delivered, over all periods.
    pub delivered: u64,
    /// The FOCUS version it was delivered in.
    pub focus: String,
    /// The header of its last file.
    pub header: Vec<String>,
    /// When it was ingested.
    pub at: Timestamp,
    /// Charges.
    pub rows: u64,
    /// Sums by billing currency.
    pub sums: BTreeMap<String, Sums>,
    /// Custom columns (`x_…`) that its files have beside the 65.
    pub columns: BTreeSet<String>,
    /// Its files.
    pub files: Vec<DataFile>,
    /// What there was to know when it came in, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A Parquet file; it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Where it is, from the lake's root.
    pub path: String,
    /// Charges, or their aggregates by day.
    pub dataset: Dataset,
    /// The service provider whose charges it holds.
    pub provider: String,
    /// Rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataset {
    /// A row a charge.
    Charges,
    /// Sums of a day.
    Days,
}

impl Dataset {
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Charges => "charges",
            Self::Days => "days",
        }
    }
}

/// Sums of one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// `BilledCost`.
    pub billed: Decimal,
    /// `EffectiveCost`.
    pub effective: Decimal,
    /// `ListCost`.
    pub list: Decimal,
    /// `ContractedCost`.
    pub contracted: Decimal,
}

impl Sums {
    /// Both together; `None` where 38 digits are too few.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            billed: self.billed.checked_add(other.billed)?,
            effective: self.effective.checked_add(other.effective)?,
            list: self.list.checked_add(other.list)?,
            contracted: self.contracted.checked_add(other.contracted)?,
        })
    }
}

/// Rows that were kept apart because they broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Its name.
    pub id: Uuid,
    /// Who delivered them.
    pub source: String,
    /// In which execution.
    pub execution: String,
    /// The FOCUS version they were delivered in.
    pub focus: String,
    /// When.
    pub at: Timestamp,
    /// Rows.
    pub rows: u64,
    /// The billing periods that the rows name; rows with an unreadable one name none.
    pub periods: BTreeSet<Month>,
    /// The header they came under.
    pub header: Vec<String>,
    /// How many rows broke each rule.
    pub rules: BTreeMap<String, u64>,
    /// Where they are.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// The lake at a version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) format: u32,
    /// 0 is the empty lake, before the first commit.
    pub(crate) version: u64,
    pub(crate) at: Timestamp,
    pub(crate) imports: Vec<Import>,
    pub(crate) quarantines: Vec<Quarantine>,
}

impl State {
    pub(crate) fn apply(&mut self, commit: &Commit) {
        self.format = FORMAT;
        self.version = commit.version;
        self.at = commit.at;
        self.imports.retain(|import| !commit.removed.contains(&import.id));
        self.imports.extend(commit.added.iter().cloned());
        self.imports.sort_by(|a, b| (a.period, &a.source).cmp(&(b.period, &b.source)));
        self.quarantines.retain(|quarantine| !commit.released.contains(&quarantine.id));
        self.quarantines.extend(commit.quarantined.iter().cloned());
    }

    pub(crate) fn import(&self, source: &str, period: Month) -> Option<&Import> {
        self.imports.iter().find(|import| import.source == source && import.period == period)
    }

    /// Files of a dataset with the period they are of.
    pub(crate) fn files(&self, dataset: Dataset) -> impl Iterator<Item = (Month, &DataFile)> {
        self.imports.iter().flat_map(move |import| {
            let files = import.files.iter().filter(move |file| file.dataset == dataset);
            files.map(|file| (import.period, file))
        })
    }

    /// The custom columns of all imports.
    pub(crate) fn custom_columns(&self) -> BTreeSet<&str> {
        self.imports.iter().flat_map(|i| i.columns.iter().map(String::as_str)).collect()
    }

    /// Every path that this state needs.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let data = self.imports.iter().flat_map(|i| i.files.iter().map(|f| f.path.as_str()));
        data.chain(self.quarantines.iter().map(|quarantine| quarantine.path.as_str()))
    }
}
