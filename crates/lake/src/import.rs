//! An ingest as a whole: from a path or an address to commits, each execution once.
//!
//! Owns what makes an ingest idempotent: which execution a delivery is, and whether the lake has
//! it. Knows nothing of columns. Invariant: an execution comes in whole or not at all; those before
//! it in the same delivery are whole as well, and an ingest that was killed goes on with the next,
//! and within a large one behind the last stretch that it had finished.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use focus::cost::Month;
use focus::{Drift, Version};
use uuid::Uuid;

use crate::{
    bill::{self, Counted, Layout, Reading},
    findings::Tally,
    ingest::{self, Before, IngestError, OnProgress, Work},
    lake::Lake,
    limit::Limits,
    manifest::{State, Sums},
    publish::{Facts, Other, finish, publish},
    schema,
    source::{Bill, Delivery, Fetched, Part, Skipped, SourceError, io_error},
    storage::StorageError,
    stretch::{self, Described, Stretches},
};

#[cfg(test)]
mod deliveries;
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
    /// Rows that were taken over from an earlier ingest of the same, which did not come to its end.
    pub resumed: u64,
}

impl Ingested {
    /// Charges that were taken in.
    pub fn charges(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Tells of rows in quarantine; of those before in a note.
    pub(crate) fn keep_apart(&mut self, id: Uuid, rows: u64) {
        if let Some((id, rows)) = self.quarantined.replace((id, rows)) {
            self.notes.push(format!("{rows} rows are in quarantine {id}"));
        }
    }

    /// Adds what another execution of the same delivery did.
    fn add(&mut self, other: Self) {
        if self.execution.is_empty() {
            self.execution = other.execution;
        } else if self.execution != other.execution {
            self.execution = format!("{}, {}", self.execution, other.execution);
        }
        self.changed |= other.changed;
        self.version = self.version.max(other.version);
        self.files.extend(other.files);
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        self.rows.extend(other.rows);
        self.sums.extend(other.sums);
        self.replaced.extend(other.replaced);
        if let Some((id, rows)) = other.quarantined {
            self.keep_apart(id, rows);
        }
        self.tally.add(other.tally);
        self.resumed += other.resumed;
    }
}

/// Ingests what a path or an address holds, an execution after the other.
pub(crate) async fn ingest(
    lake: &Lake,
    at: &Path,
    options: &Options,
) -> Result<Ingested, IngestError> {
    let delivery = Delivery::list(at, lake.settings(), options.limits).await?;
    let count = delivery.parts.len();
    if options.execution.is_some() && count > 1 {
        let reason = format!("holds {count} executions with names of their own; don't name one");
        return Err(SourceError::Foreign { path: at.to_owned(), reason: reason.into() }.into());
    }
    let source = options.source.clone().unwrap_or_else(|| delivery.name());
    let mut report = Ingested { source, skipped: delivery.skipped.clone(), ..Ingested::default() };
    let mut done = 0;
    for part in &delivery.parts {
        match execution(lake, &delivery, part, &report.source, options).await {
            Ok(one) => {
                done += usize::from(one.changed);
                report.add(one);
            }
            Err(error) if done > 0 => {
                return Err(IngestError::After { done, error: Box::new(error) });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// Ingests one execution: all of it or, on an error, nothing.
async fn execution(
    lake: &Lake,
    delivery: &Delivery,
    part: &Part,
    source: &str,
    options: &Options,
) -> Result<Ingested, IngestError> {
    let state = lake.refreshed().await?;
    let mut report =
        Ingested { source: source.to_owned(), version: state.version, ..Ingested::default() };
    if let Some(execution) = known(lake, &state, delivery, part, source, options).await? {
        report.execution = execution;
        report.notes.push("this execution is in the lake already; nothing changed".into());
        return Ok(report);
    }
    let (mut stretches, described) = stretches(lake, delivery, part, &mut report, options).await?;
    tell(&state, &described, &mut report);
    let name = options.execution.clone().or_else(|| part.execution.clone());
    report.execution = name.unwrap_or_else(|| stretches.hash());
    let others = delivery.parts.iter().filter_map(|part| {
        let (listing, months) = (part.listing.clone(), part.months);
        Some(Other { execution: part.execution.clone()?, listing, months })
    });
    let others = others.collect();
    let listing = part.listing.clone();
    let Described { header, focus, custom, .. } = described;
    let (bytes, merge, releases) = (part.bytes, false, None);
    let facts = Facts { header, focus, custom, bytes, listing, others, merge, releases };
    let report = finish(lake, state, stretches.take(), facts, report).await?;
    stretches.forget().await;
    if !report.changed {
        lake.remember(source, part.listing.as_deref(), &report.execution);
    }
    Ok(report)
}

/// Works through an execution, a stretch after the other, behind those that an earlier ingest has
/// left.
async fn stretches(
    lake: &Lake,
    delivery: &Delivery,
    part: &Part,
    report: &mut Ingested,
    options: &Options,
) -> Result<(Stretches, Described), IngestError> {
    let cut = delivery.cut(part, options.limits.stretch_bytes);
    // What is one stretch is committed as soon as it is done: there is nothing to write down.
    let name = stretch::name(&delivery.name(), part, &report.source, options);
    let name = name.filter(|_| cut.len() > 1);
    let mut stretches = Stretches::open(lake.storage(), name, cut.len()).await?;
    let (done, rest) = cut.split_at(stretches.count());
    report.resumed = stretches.read();
    let mut before = Before {
        bytes: done.iter().map(|stretch| stretch.bytes).sum(),
        rows: report.resumed,
        resumed: report.resumed,
    };
    let files = rest.iter().flat_map(|stretch| stretch.files.iter().cloned()).collect();
    let rest_of = part.with(files, part.bytes.saturating_sub(before.bytes));
    let fetched = delivery.fetch(&rest_of, lake.storage(), options.progress.as_ref()).await?;
    let (bills, wanted) = (fetched.bills.clone(), options.clone());
    let known = stretches.described().cloned();
    let (bills, described) = blocking(move || prepare(bills, known, &wanted)).await?;
    let mut bills = bills.into_iter();
    for stretch in rest {
        let files = bills.by_ref().take(stretch.files.len()).collect();
        let mut work = work(lake, files, &described, options);
        (work.bytes_total, work.before) = (part.bytes, before);
        let outcome = blocking(move || ingest::run(&work)).await?;
        before.bytes += stretch.bytes;
        before.rows += outcome.rows;
        if stretches.count() + 1 == cut.len() {
            delivery.unchanged(part).await?;
            counted(part, before.rows)?;
        } else {
            delivery.unchanged(stretch).await?;
        }
        let published = publish(lake, outcome, options.on_invalid).await?;
        stretches.add(published, &described).await?;
    }
    if rest.is_empty() {
        delivery.unchanged(part).await?;
        counted(part, before.rows)?;
    }
    Ok((stretches, described))
}

/// Refuses files that hold other than the rows that the manifests tell of.
fn counted(part: &Part, rows: u64) -> Result<(), IngestError> {
    let Some(told) = part.rows.filter(|told| *told != rows) else { return Ok(()) };
    let file = part.manifest.clone().unwrap_or_default();
    let say = format!("it tells of {told} rows, its files have {rows}; deliver it again");
    Err(IngestError::Refused { file, line: 0, say })
}

type Bills = Vec<(Bill, Arc<Layout>)>;

/// Reads the headers of files. What is known of them was read by an ingest that began with all.
fn prepare(
    delivered: Vec<Bill>,
    known: Option<Described>,
    options: &Options,
) -> Result<(Bills, Described), IngestError> {
    let reading = Reading { version: options.version, lacking: options.lacking };
    let mut bills = Vec::new();
    let spelled = known.iter().flat_map(|known| &known.custom);
    let mut custom: BTreeMap<String, String> =
        spelled.map(|name| (name.to_ascii_lowercase(), name.clone())).collect();
    for bill in delivered {
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
    let bills: Bills = bills.collect();
    let described = known.unwrap_or_else(|| describe(&bills, custom.into_values().collect()));
    Ok((bills, described))
}

/// The execution, if the lake has it already. Where a manifest names it, or the files are listed as
/// they were, nothing is read.
async fn known(
    lake: &Lake,
    state: &State,
    delivery: &Delivery,
    part: &Part,
    source: &str,
    options: &Options,
) -> Result<Option<String>, IngestError> {
    let mine = || state.imports.iter().filter(|import| import.source == source);
    if let Some(execution) = &options.execution {
        return Ok(mine().any(|import| import.execution == *execution).then(|| execution.clone()));
    }
    if let Some(listing) = &part.listing {
        let same = mine().find(|import| import.listing.as_ref() == Some(listing));
        let before = lake.remembered(source, listing);
        let before = before.filter(|before| mine().any(|import| import.execution == *before));
        if let Some(execution) = same.map(|import| import.execution.clone()).or(before) {
            return Ok(Some(execution));
        }
    }
    if let Some(execution) = &part.execution {
        // One execution may have several periods' manifests.
        let has =
            |period| part.months.is_none_or(|(first, last)| first <= period && period <= last);
        let same = mine().any(|one| one.execution == *execution && has(one.period));
        return Ok(same.then(|| execution.clone()));
    }
    // The same content has the same length; only then is it worth reading it twice, and nothing is
    // worth fetching it twice.
    if delivery.is_remote() || !mine().any(|import| import.delivered == part.bytes) {
        return Ok(None);
    }
    let fetched = delivery.fetch(part, lake.storage(), None).await?;
    let stretches = delivery.cut(part, options.limits.stretch_bytes);
    let hash = blocking(move || hash(&fetched, &stretches)).await?;
    let same = mine().any(|import| import.execution == hash);
    if same {
        delivery.unchanged(part).await?;
        lake.remember(source, part.listing.as_deref(), &hash);
    }
    Ok(same.then_some(hash))
}

/// The hash of all files, as an ingest of them in these stretches makes it.
fn hash(fetched: &Fetched, stretches: &[Part]) -> Result<String, IngestError> {
    let mut bills = fetched.bills.iter();
    let mut hashes = Vec::new();
    for stretch in stretches {
        let counted = Counted::default();
        for bill in bills.by_ref().take(stretch.files.len()) {
            counted.file(&bill.file).map_err(|e| io_error("read", &bill.path, e))?;
        }
        hashes.push(counted.hash());
    }
    Ok(stretch::hash(&hashes))
}

fn describe(bills: &[(Bill, Arc<Layout>)], custom: BTreeSet<String>) -> Described {
    let versions: BTreeSet<_> = bills.iter().map(|(_, layout)| layout.plan.focus).collect();
    let mut described = Described {
        header: bills.last().map(|(_, layout)| layout.names.clone()).unwrap_or_default(),
        focus: versions.into_iter().collect::<Vec<_>>().join(", "),
        custom,
        ..Described::default()
    };
    for (bill, layout) in bills {
        let name = bill.path.file_name().unwrap_or_default().to_string_lossy();
        described.files.push(format!("{name}: {}", layout.say));
        if !layout.floats.is_empty() {
            let columns = layout.floats.join(", ");
            described.notes.push(format!(
                "{name} holds amounts as floats ({columns}); each was read as the shortest \
                 decimal that names it"
            ));
        }
    }
    described
}

/// Tells of the files, and how the header has drifted since the source's last one.
fn tell(state: &State, described: &Described, report: &mut Ingested) {
    report.files.extend(described.files.iter().cloned());
    report.notes.extend(described.notes.iter().cloned());
    let before = state.imports.iter().filter(|import| import.source == report.source);
    if let Some(before) = before.max_by_key(|import| import.at)
        && !before.header.is_empty()
        && !described.header.is_empty()
    {
        let drift = Drift::between(&before.header, &described.header);
        if !drift.is_none() {
            report.notes.push(format!("{drift}"));
        }
    }
}

fn work(lake: &Lake, bills: Bills, described: &Described, options: &Options) -> Work {
    Work {
        storage: lake.storage().clone(),
        schema: schema::charges(described.custom.iter().map(String::as_str)),
        bills,
        limits: options.limits,
        strict: options.on_invalid != OnInvalid::Accept,
        threads: threads(options.threads),
        progress: options.progress.clone(),
        bytes_total: 0,
        before: Before::default(),
    }
}

pub(crate) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        wanted => wanted,
    }
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
