//! From what was written to a commit: files are moved to their places, and the log is told.
//!
//! Owns what makes a restatement atomic: of each billing period that an execution has, its files
//! take the place of the source's former ones in one commit. Invariant: what is published and not
//! committed is nobody's, and is swept up later.

use std::collections::{BTreeMap, BTreeSet};

use focus::cost::Month;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    import::{Ingested, OnInvalid},
    ingest::{IngestError, Outcome},
    lake::Lake,
    manifest::{Commit, DataFile, Dataset, FORMAT, Import, Operation, Quarantine, State},
    partition::{Finished, WriteError},
    storage::StorageError,
    stretch::{Apart, Stretch},
};

/// Files on their way to their places at once: mostly they wait for the disk or the bucket.
const PUBLISHED_AT_ONCE: usize = 4;

/// An execution that is as current as the one at hand.
pub(crate) struct Other {
    pub(crate) execution: String,
    pub(crate) listing: Option<String>,
    pub(crate) months: Option<(Month, Month)>,
}

impl Other {
    /// Whether this is what brought an import. The name alone doesn't tell: one execution may have
    /// delivered several periods, of which some were restated since.
    fn brought(&self, import: &Import) -> bool {
        self.execution == import.execution
            && match (&self.listing, &import.listing) {
                (Some(ours), Some(its)) => ours == its,
                _ => self
                    .months
                    .is_some_and(|(first, last)| first <= import.period && import.period <= last),
            }
    }
}

/// What the log is told of a delivery.
pub(crate) struct Facts {
    pub(crate) header: Vec<String>,
    pub(crate) focus: String,
    pub(crate) custom: BTreeSet<String>,
    pub(crate) bytes: u64,
    /// Names its files as they were listed.
    pub(crate) listing: Option<String>,
    /// Executions of the same delivery that count as well.
    pub(crate) others: Vec<Other>,
    /// Its charges come beside those of the same source, and don't replace them.
    pub(crate) merge: bool,
    /// The quarantine that they were in.
    pub(crate) releases: Option<Uuid>,
}

/// Moves what was written to its places. It is nobody's until it is committed.
pub(crate) async fn publish(
    lake: &Lake,
    outcome: Outcome,
    on_invalid: OnInvalid,
) -> Result<Stretch, IngestError> {
    if on_invalid == OnInvalid::Refuse && outcome.breaches > 0 {
        let (rows, tally) = (outcome.breaches, Box::new(outcome.tally));
        return Err(IngestError::Invalid { rows, tally });
    }
    let mut stretch = Stretch {
        sums: outcome.written.sums,
        rows: outcome.written.rows,
        odd: outcome.odd,
        hash: outcome.hash,
        read: outcome.rows,
        ..Stretch::default()
    };
    if let Some(finished) = outcome.quarantine {
        let id = Uuid::now_v7();
        let path = format!("quarantine/{id}.parquet");
        lake.storage().publish(finished.file, &path).await?;
        let (rows, bytes) = (finished.rows, finished.bytes);
        let (periods, rules) = (outcome.quarantined, outcome.tally.rules.clone());
        stretch.apart.push(Apart { id, path, rows, bytes, periods, rules });
    }
    stretch.tally = outcome.tally;
    let days = outcome.days.into_iter().map(|finished| (Dataset::Days, finished));
    let charges = outcome.written.files.into_iter().map(|one| (Dataset::Charges, one));
    let ways = days.chain(charges).map(|(dataset, finished)| {
        let (lake, period) = (lake.clone(), finished.period);
        async move { Ok::<_, IngestError>((period, place(&lake, dataset, finished).await?)) }
            .boxed()
    });
    let published = stream::iter(ways).buffered(PUBLISHED_AT_ONCE);
    stretch.files = published.try_collect().await?;
    Ok(stretch)
}

/// Commits what was published of a delivery, all of it at once.
pub(crate) async fn finish(
    lake: &Lake,
    state: State,
    stretches: Vec<Stretch>,
    facts: Facts,
    mut report: Ingested,
) -> Result<Ingested, IngestError> {
    let mut whole = Stretch::default();
    for stretch in stretches {
        whole.add(stretch)?;
    }
    report.notes.extend(whole.odd.notes());
    report.tally = whole.tally;
    report.rows = whole.rows;
    report.sums = whole.sums;
    let quarantines: Vec<Quarantine> =
        whole.apart.into_iter().map(|apart| quarantine(apart, &facts, &report)).collect();
    let imports = imports(whole.files, &facts, &report);
    if imports.is_empty() && quarantines.is_empty() && facts.releases.is_none() {
        report.notes.push("it holds no rows; nothing changed".into());
        return Ok(report);
    }
    let mut replaced = BTreeSet::new();
    let decide = |state: &State| -> Result<Option<Commit>, IngestError> {
        replaced.clear();
        decide(state, &imports, &quarantines, &facts, &report, &mut replaced)
    };
    let (state, changed) = lake.log().append(state, decide).await?;
    if !changed {
        report.notes.push("another ingest of the same execution was first; nothing changed".into());
    }
    for one in quarantines {
        report.keep_apart(one.id, one.rows);
    }
    report.version = state.version;
    report.changed = changed;
    report.replaced = replaced;
    lake.set_state(state);
    Ok(report)
}

fn decide(
    state: &State,
    imports: &[Import],
    quarantines: &[Quarantine],
    facts: &Facts,
    report: &Ingested,
    replaced: &mut BTreeSet<Month>,
) -> Result<Option<Commit>, IngestError> {
    if let Some(id) = facts.releases
        && !state.quarantines.iter().any(|quarantine| quarantine.id == id)
    {
        return Err(IngestError::NoQuarantine(id));
    }
    let mut commit = Commit {
        format: FORMAT,
        version: 0,
        at: Timestamp::MIN,
        operation: Operation::Ingest,
        removed: Vec::new(),
        added: Vec::new(),
        released: facts.releases.into_iter().collect(),
        quarantined: quarantines.to_vec(),
    };
    let mut same = !imports.is_empty();
    for import in imports {
        let former = state.import(&import.source, import.period);
        same &= former.is_some_and(|former| former.execution == import.execution);
        let mut import = import.clone();
        if let Some(former) = former {
            beside(former, import.period, facts, report)?;
            commit.removed.push(former.id);
            if facts.merge {
                import = merged(former, import)?;
            } else {
                replaced.insert(import.period);
            }
        }
        commit.added.push(import);
    }
    if same && !facts.merge {
        replaced.clear();
        return Ok(None);
    }
    if !facts.merge {
        let periods: BTreeSet<Month> = imports.iter().map(|import| import.period).collect();
        let of_source = state.quarantines.iter().filter(|old| old.source == report.source);
        let restated = of_source.filter(|old| old.periods.is_subset(&periods));
        commit.released.extend(restated.map(|old| old.id));
    }
    Ok(Some(commit))
}

/// Refuses to replace charges of an execution that is as current as this one.
fn beside(
    former: &Import,
    period: Month,
    facts: &Facts,
    report: &Ingested,
) -> Result<(), IngestError> {
    let is_current = facts.others.iter().any(|other| other.brought(former));
    if former.execution == report.execution || !is_current {
        return Ok(());
    }
    let say = format!(
        "executions {} and {} both have charges that are billed in {period}; ingest them as \
         sources of their own",
        former.execution, report.execution
    );
    Err(IngestError::Refused { file: report.source.clone().into(), line: 0, say })
}

/// Charges of a quarantine beside those that came in at first.
fn merged(former: &Import, mut import: Import) -> Result<Import, IngestError> {
    import.execution.clone_from(&former.execution);
    import.listing.clone_from(&former.listing);
    import.delivered = former.delivered;
    import.rows += former.rows;
    import.columns.extend(former.columns.iter().cloned());
    import.files.extend(former.files.iter().cloned());
    let mut notes = former.notes.clone();
    notes.extend(import.notes.into_iter().filter(|note| !former.notes.contains(note)));
    import.notes = notes;
    for (currency, sums) in &former.sums {
        let sum = import.sums.entry(currency.clone()).or_default();
        *sum = sum.checked_add(*sums).ok_or(WriteError::Sum(import.period))?;
    }
    Ok(import)
}

fn quarantine(apart: Apart, facts: &Facts, report: &Ingested) -> Quarantine {
    Quarantine {
        id: apart.id,
        source: report.source.clone(),
        execution: report.execution.clone(),
        focus: facts.focus.clone(),
        at: Timestamp::now(),
        rows: apart.rows,
        periods: apart.periods,
        header: facts.header.clone(),
        rules: apart.rules,
        path: apart.path,
        bytes: apart.bytes,
    }
}

/// An import for each billing period that has files.
fn imports(stored: Vec<(Month, DataFile)>, facts: &Facts, report: &Ingested) -> Vec<Import> {
    let mut files: BTreeMap<Month, Vec<DataFile>> = BTreeMap::new();
    for (period, file) in stored {
        files.entry(period).or_default().push(file);
    }
    let at = Timestamp::now();
    let imports = files.into_iter().map(|(period, files)| Import {
        id: Uuid::now_v7(),
        source: report.source.clone(),
        period,
        execution: report.execution.clone(),
        listing: facts.listing.clone(),
        delivered: facts.bytes,
        focus: facts.focus.clone(),
        header: facts.header.clone(),
        at,
        rows: report.rows.get(&period).copied().unwrap_or(0),
        sums: report.sums.get(&period).cloned().unwrap_or_default(),
        columns: facts.custom.clone(),
        notes: report.notes.clone(),
        files,
    });
    imports.collect()
}

/// Moves a file to its place.
pub(crate) async fn place(
    lake: &Lake,
    dataset: Dataset,
    finished: Finished,
) -> Result<DataFile, StorageError> {
    let path = path(dataset, finished.period, &finished.provider);
    lake.storage().publish(finished.file, &path).await?;
    let (provider, rows, bytes) = (finished.provider, finished.rows, finished.bytes);
    Ok(DataFile { path, dataset, provider, rows, bytes })
}

/// Where a new file goes.
fn path(dataset: Dataset, period: Month, provider: &str) -> String {
    let (folder, id) = (dataset.folder(), Uuid::now_v7());
    match dataset {
        Dataset::Days => format!("data/{folder}/period={period}/{id}.parquet"),
        Dataset::Charges => {
            let provider = slug(provider);
            format!("data/{folder}/period={period}/provider={provider}/{id}.parquet")
        }
    }
}

/// A provider's name as a folder's.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().take(60) {
        match letter {
            letter if letter.is_ascii_alphanumeric() => slug.push(letter.to_ascii_lowercase()),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "unnamed".to_owned() } else { slug.to_owned() }
}
