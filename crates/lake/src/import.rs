//! An ingest as a whole: from a path to a commit, once per execution.
//!
//! Owns what makes an ingest idempotent and a restatement atomic: of each billing period that a
//! delivery has, its files take the place of the source's former ones in one commit. Knows nothing
//! of columns. Invariant: what is published and not committed is nobody's, and is swept up later.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use arrow::record_batch::RecordBatch;
use focus::cost::Month;
use focus::{Drift, Version};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use uuid::Uuid;

use crate::{
    bill::{self, Counted, Layout, Reading},
    findings::Tally,
    ingest::{self, IngestError, OnProgress, Outcome, Work},
    lake::Lake,
    limit::Limits,
    manifest::{Commit, DataFile, Dataset, FORMAT, Import, Operation, Quarantine, State, Sums},
    partition::{WriteError, properties},
    schema,
    source::{Bill, Delivery, Skipped, io_error},
    storage::StorageError,
};

#[cfg(test)]
mod tests;

/// What becomes of rows that break a rule. Rows that can't be kept as charges at all (an amount
/// that is no number, no billing period) go into quarantine in any case, or the delivery is
/// refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalid {
    /// They are charges nevertheless; the report tells of them.
    #[default]
    Accept,
    /// They are kept apart, listed, and can be taken in later.
    Quarantine,
    /// One such row, and nothing of the delivery is taken.
    Refuse,
}

/// How to ingest a delivery.
#[derive(Clone, Default)]
pub struct Options {
    /// Who delivers: what a restatement replaces is what the same source delivered before. Without
    /// it, the path.
    pub source: Option<String>,
    /// The export's execution id: the same again changes nothing. Without it, the content's hash.
    pub execution: Option<String>,
    /// The FOCUS version, if the export's manifest tells it. Without it, it follows from the
    /// header.
    pub version: Option<Version>,
    /// Take files that lack columns which their version must have.
    pub lacking: bool,
    /// What becomes of rows that break a rule.
    pub on_invalid: OnInvalid,
    /// What it may take.
    pub limits: Limits,
    /// Threads that turn rows into charges; 0 is one a processor.
    pub threads: usize,
    /// Told how far it is.
    pub progress: Option<OnProgress>,
}

/// What an ingest did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Who delivered.
    pub source: String,
    /// The execution, or the content's hash.
    pub execution: String,
    /// Whether the lake has changed; the same execution again does not change it.
    pub changed: bool,
    /// The lake's version now.
    pub version: u64,
    /// A line a file: its FOCUS version and what is odd about its columns.
    pub files: Vec<String>,
    /// Files that were passed over.
    pub skipped: Vec<Skipped>,
    /// What else there is to know, a line each.
    pub notes: Vec<String>,
    /// Charges by billing period.
    pub rows: BTreeMap<Month, u64>,
    /// Sums by billing period and currency.
    pub sums: BTreeMap<Month, BTreeMap<String, Sums>>,
    /// Billing periods whose former charges were replaced.
    pub replaced: BTreeSet<Month>,
    /// Rows in quarantine, and under which name.
    pub quarantined: Option<(Uuid, u64)>,
    /// Rules that rows broke.
    pub tally: Tally,
}

impl Ingested {
    /// Charges that were taken in.
    pub fn charges(&self) -> u64 {
        self.rows.values().sum()
    }
}

struct Prepared {
    source: String,
    bills: Vec<(Bill, Arc<Layout>)>,
    skipped: Vec<Skipped>,
    bytes: u64,
    custom: BTreeSet<String>,
}

/// Ingests what a path holds.
pub(crate) async fn ingest(
    lake: &Lake,
    path: &Path,
    options: &Options,
) -> Result<Ingested, IngestError> {
    let state = lake.refreshed().await?;
    let (owned, wanted) = (path.to_owned(), options.clone());
    let prepared = blocking(move || prepare(&owned, &wanted)).await?;
    let mut report = Ingested {
        source: prepared.source.clone(),
        skipped: prepared.skipped.clone(),
        version: state.version,
        ..Ingested::default()
    };
    if let Some(execution) = known(&state, &prepared, options).await? {
        report.execution = execution;
        report.notes.push("this execution is in the lake already; nothing changed".into());
        return Ok(report);
    }
    describe(&state, &prepared, &mut report);
    let header = prepared.bills.last().map(|(_, layout)| layout.names.clone()).unwrap_or_default();
    let (focus, custom, bytes) = (version_of(&prepared), prepared.custom.clone(), prepared.bytes);
    let work = work(lake, prepared, options);
    let outcome = blocking(move || ingest::run(&work)).await?;
    report.execution = options.execution.clone().unwrap_or_else(|| outcome.hash.clone());
    let delivered = Facts { header, focus, custom, bytes, merge: false, releases: None };
    finish(lake, state, outcome, delivered, options.on_invalid, report).await
}

/// What the log is told of a delivery.
pub(crate) struct Facts {
    pub(crate) header: Vec<String>,
    pub(crate) focus: String,
    pub(crate) custom: BTreeSet<String>,
    pub(crate) bytes: u64,
    /// Its charges come beside those of the same source, and don't replace them.
    pub(crate) merge: bool,
    /// The quarantine that they were in.
    pub(crate) releases: Option<Uuid>,
}

fn prepare(path: &Path, options: &Options) -> Result<Prepared, IngestError> {
    let delivery = Delivery::at(path)?;
    let canonical = path.canonicalize().map_err(|e| io_error("open", path, e))?;
    let source = options.source.clone().unwrap_or_else(|| canonical.display().to_string());
    let reading = Reading { version: options.version, lacking: options.lacking };
    let bytes = delivery.bytes();
    let mut bills = Vec::new();
    let mut custom: BTreeMap<String, String> = BTreeMap::new();
    for bill in delivery.bills {
        let layout = bill::layout(&bill, reading, options.limits);
        let layout = layout.map_err(|refusal| IngestError::refused(&bill.path, refusal))?;
        for (_, name) in &layout.kept {
            custom.entry(name.to_ascii_lowercase()).or_insert_with(|| name.clone());
        }
        bills.push((bill, layout));
    }
    // One spelling a column, whichever file it is in.
    let bills = bills.into_iter().map(|(bill, mut layout)| {
        for (_, name) in &mut layout.kept {
            if let Some(spelling) = custom.get(&name.to_ascii_lowercase()) {
                name.clone_from(spelling);
            }
        }
        (bill, Arc::new(layout))
    });
    let bills = bills.collect();
    let custom = custom.into_values().collect();
    Ok(Prepared { source, bills, skipped: delivery.skipped, bytes, custom })
}

/// The execution, if the lake has it already.
async fn known(
    state: &State,
    prepared: &Prepared,
    options: &Options,
) -> Result<Option<String>, IngestError> {
    let mine = || state.imports.iter().filter(|import| import.source == prepared.source);
    if let Some(execution) = &options.execution {
        return Ok(mine().any(|import| import.execution == *execution).then(|| execution.clone()));
    }
    // The same content has the same length; only then is it worth reading it twice.
    if !mine().any(|import| import.delivered == prepared.bytes) {
        return Ok(None);
    }
    let paths: Vec<_> = prepared.bills.iter().map(|(bill, _)| bill.path.clone()).collect();
    let hash = blocking(move || {
        let counted = Counted::default();
        for path in &paths {
            counted.file(path).map_err(|e| io_error("read", path, e))?;
        }
        Ok::<_, IngestError>(counted.hash())
    })
    .await?;
    Ok(mine().any(|import| import.execution == hash).then_some(hash))
}

fn describe(state: &State, prepared: &Prepared, report: &mut Ingested) {
    for (bill, layout) in &prepared.bills {
        let name = bill.path.file_name().unwrap_or_default().to_string_lossy();
        report.files.push(format!("{name}: {}", layout.say));
        if !layout.floats.is_empty() {
            let columns = layout.floats.join(", ");
            report.notes.push(format!(
                "{name} holds amounts as floats ({columns}); each was read as the shortest \
                 decimal that names it"
            ));
        }
    }
    let before = state.imports.iter().filter(|import| import.source == prepared.source);
    let before = before.max_by_key(|import| import.at);
    let now = prepared.bills.last();
    if let (Some(before), Some((_, now))) = (before, now)
        && !before.header.is_empty()
    {
        let drift = Drift::between(&before.header, &now.names);
        if !drift.is_none() {
            report.notes.push(format!("{drift}"));
        }
    }
}

fn version_of(prepared: &Prepared) -> String {
    let versions: BTreeSet<_> = prepared.bills.iter().map(|(_, l)| l.plan.focus).collect();
    versions.into_iter().collect::<Vec<_>>().join(", ")
}

fn work(lake: &Lake, prepared: Prepared, options: &Options) -> Work {
    Work {
        storage: lake.storage().clone(),
        schema: schema::charges(prepared.custom.iter().map(String::as_str)),
        bills: prepared.bills,
        limits: options.limits,
        strict: options.on_invalid != OnInvalid::Accept,
        threads: threads(options.threads),
        progress: options.progress.clone(),
        bytes_total: prepared.bytes,
    }
}

pub(crate) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        wanted => wanted,
    }
}

/// Publishes what was written and commits it.
pub(crate) async fn finish(
    lake: &Lake,
    state: State,
    mut outcome: Outcome,
    facts: Facts,
    on_invalid: OnInvalid,
    mut report: Ingested,
) -> Result<Ingested, IngestError> {
    if on_invalid == OnInvalid::Refuse && outcome.breaches > 0 {
        let (rows, tally) = (outcome.breaches, Box::new(outcome.tally));
        return Err(IngestError::Invalid { rows, tally });
    }
    report.notes.extend(outcome.odd.notes());
    let quarantine = quarantine(lake, &mut outcome, &facts, &report).await?;
    report.quarantined = quarantine.as_ref().map(|one| (one.id, one.rows));
    report.tally = outcome.tally.clone();
    report.rows = outcome.written.rows.clone();
    report.sums = outcome.written.sums.clone();
    let imports = publish(lake, outcome, &facts, &report).await?;
    if imports.is_empty() && quarantine.is_none() && facts.releases.is_none() {
        report.notes.push("it holds no rows; nothing changed".into());
        return Ok(report);
    }
    let mut replaced = BTreeSet::new();
    let decide = |state: &State| -> Result<Option<Commit>, IngestError> {
        replaced.clear();
        decide(state, &imports, quarantine.as_ref(), &facts, &report, &mut replaced)
    };
    let (state, changed) = lake.log().append(state, decide).await?;
    if !changed {
        report.notes.push("another ingest of the same execution was first; nothing changed".into());
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
    quarantine: Option<&Quarantine>,
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
        quarantined: quarantine.cloned().into_iter().collect(),
    };
    let mut same = !imports.is_empty();
    for import in imports {
        let former = state.import(&import.source, import.period);
        same &= former.is_some_and(|former| former.execution == import.execution);
        let mut import = import.clone();
        if let Some(former) = former {
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

/// Charges of a quarantine beside those that came in at first.
fn merged(former: &Import, mut import: Import) -> Result<Import, IngestError> {
    import.execution.clone_from(&former.execution);
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

async fn quarantine(
    lake: &Lake,
    outcome: &mut Outcome,
    facts: &Facts,
    report: &Ingested,
) -> Result<Option<Quarantine>, IngestError> {
    let Some(finished) = outcome.quarantine.take() else { return Ok(None) };
    let id = Uuid::now_v7();
    let path = format!("quarantine/{id}.parquet");
    lake.storage().publish(finished.file, &path).await?;
    Ok(Some(Quarantine {
        id,
        source: report.source.clone(),
        execution: report.execution.clone(),
        focus: facts.focus.clone(),
        at: Timestamp::now(),
        rows: finished.rows,
        periods: outcome.quarantined.clone(),
        header: facts.header.clone(),
        rules: outcome.tally.rules.clone(),
        path,
        bytes: finished.bytes,
    }))
}

/// Moves the files to their places.
async fn publish(
    lake: &Lake,
    outcome: Outcome,
    facts: &Facts,
    report: &Ingested,
) -> Result<Vec<Import>, IngestError> {
    let mut files: BTreeMap<Month, Vec<DataFile>> = BTreeMap::new();
    for finished in outcome.written.files {
        let path = path(Dataset::Charges, finished.period, &finished.provider);
        lake.storage().publish(finished.file, &path).await?;
        files.entry(finished.period).or_default().push(DataFile {
            path,
            dataset: Dataset::Charges,
            provider: finished.provider,
            rows: finished.rows,
            bytes: finished.bytes,
        });
    }
    for (period, batches) in outcome.days {
        let file = write_days(lake, period, batches).await?;
        files.entry(period).or_default().push(file);
    }
    let at = Timestamp::now();
    let imports = files.into_iter().map(|(period, files)| Import {
        id: Uuid::now_v7(),
        source: report.source.clone(),
        period,
        execution: report.execution.clone(),
        delivered: facts.bytes,
        focus: facts.focus.clone(),
        header: facts.header.clone(),
        at,
        rows: report.rows.get(&period).copied().unwrap_or(0),
        sums: report.sums.get(&period).cloned().unwrap_or_default(),
        columns: facts.custom.clone(),
        files,
        notes: report.notes.clone(),
    });
    Ok(imports.collect())
}

/// Writes the aggregates of a billing period to their place.
pub(crate) async fn write_days(
    lake: &Lake,
    period: Month,
    batches: Vec<RecordBatch>,
) -> Result<DataFile, WriteError> {
    let storage = lake.storage().clone();
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let (file, bytes) = blocking(move || {
        let file = storage.scratch()?;
        let schema = schema::days();
        let handle = file.reopen().map_err(|e| crate::storage::file("open", file.path(), e))?;
        let properties = properties(&schema);
        let mut writer = ArrowWriter::try_new(handle, schema, Some(properties))?;
        for batch in batches {
            writer.write(&batch)?;
        }
        writer.close()?;
        let meta = file.as_file().metadata();
        let bytes = meta.map_err(|e| crate::storage::file("read", file.path(), e))?.len();
        Ok::<_, WriteError>((file, bytes))
    })
    .await?;
    let path = path(Dataset::Days, period, "");
    lake.storage().publish(file, &path).await?;
    Ok(DataFile { path, dataset: Dataset::Days, provider: String::new(), rows, bytes })
}

/// Where a new file goes.
pub(crate) fn path(dataset: Dataset, period: Month, provider: &str) -> String {
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

/// Runs what blocks beside the runtime's own threads.
pub(crate) async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StorageError> + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(join) => {
            let source = std::io::Error::other(join);
            Err(crate::storage::file("work on", Path::new("the lake"), source).into())
        }
    }
}
