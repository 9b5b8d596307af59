//! From a delivery to files: read, upgrade, check, sort, write, sum up.
//!
//! Owns the work of the threads: one reads and cuts, the others turn what it cut into charges and
//! write them, each into files of its own. Knows nothing of the log. Invariant: memory is bounded
//! by the number of threads, whatever the delivery holds; nothing that is written here is part of
//! the lake before it is committed.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use focus::cost::Month;
use thiserror::Error;

use crate::{
    aggregate::{self, Aggregate},
    bill::{Counted, Layout, cutter},
    charges::Maker,
    csv::{self, Block, Refusal},
    findings::{Findings, Tally},
    limit::Limits,
    odd::Odd,
    parquet::Foot,
    partition::{Finished, Partitions, WriteError, Written},
    quarantine,
    source::{Bill, Form, SourceError},
    storage::{Storage, StorageError},
    validate::Validator,
};

/// Blocks that wait for a thread.
const WAITING: usize = 2;

/// Why a delivery was not ingested. Nothing of it is in the lake then.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The path can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file is not read.
    #[error("{}{}: {say}", .file.display(), at(.line))]
    Refused {
        /// The file.
        file: PathBuf,
        /// The line; 0 where there are none.
        line: u64,
        /// What is wrong, and what to do.
        say: String,
    },
    /// Rows broke rules, and the config says that the file is refused then.
    #[error("{rows} rows break rules, first: {}", first(.tally))]
    Invalid {
        /// How many.
        rows: u64,
        /// What was found.
        tally: Box<Tally>,
    },
    /// The charges can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The lake can't be read or written.
    #[error(transparent)]
    Log(#[from] crate::commit::LogError),
    /// An execution of a delivery failed, and others before it did not.
    #[error("{error}; the {done} executions before it are in the lake")]
    After {
        /// How many.
        done: usize,
        /// What went wrong.
        error: Box<Self>,
    },
    /// A quarantine that is not there.
    #[error("the lake has no quarantine {0}")]
    NoQuarantine(uuid::Uuid),
}

impl From<StorageError> for IngestError {
    fn from(error: StorageError) -> Self {
        Self::Write(error.into())
    }
}

fn at(line: &u64) -> String {
    if *line == 0 { String::new() } else { format!(", line {line}") }
}

fn first(tally: &Tally) -> String {
    let example = tally.examples.iter().find_map(|(rule, all)| Some((rule, all.first()?)));
    example.map_or_else(String::new, |(rule, finding)| {
        let file = finding.file.display();
        format!("{file}, row {}: {} ({rule})", finding.row, finding.say)
    })
}

impl IngestError {
    pub(crate) fn refused(file: &std::path::Path, refusal: Refusal) -> Self {
        Self::Refused { file: file.to_owned(), line: refusal.line, say: refusal.say }
    }
}

/// How far an ingest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read, as they are on disk.
    pub bytes: u64,
    /// Bytes of the delivery.
    pub bytes_total: u64,
    /// Rows written or set aside.
    pub rows: u64,
    /// How many of these an earlier ingest of the same has left.
    pub resumed: u64,
    /// Whether it is still fetching from a bucket; reading begins with no bytes again.
    pub is_fetching: bool,
}

/// Told of progress, from any thread, some times a second at most.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What the threads need.
pub(crate) struct Work {
    pub(crate) storage: Storage,
    pub(crate) bills: Vec<(Bill, Arc<Layout>)>,
    pub(crate) schema: SchemaRef,
    pub(crate) limits: Limits,
    /// Rows that break a rule are not kept.
    pub(crate) strict: bool,
    pub(crate) threads: usize,
    pub(crate) progress: Option<OnProgress>,
    pub(crate) bytes_total: u64,
    pub(crate) before: Before,
}

/// What of a delivery was done when some of it is worked on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// Those of the rows that an earlier ingest has left.
    pub(crate) resumed: u64,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) written: Written,
    /// Sums by day.
    pub(crate) days: Vec<Finished>,
    pub(crate) quarantine: Option<quarantine::Finished>,
    /// Billing periods that rows in quarantine name.
    pub(crate) quarantined: std::collections::BTreeSet<Month>,
    pub(crate) tally: Tally,
    /// Rows that broke a rule, kept or not.
    pub(crate) breaches: u64,
    pub(crate) odd: Odd,
    /// The hash of all files' bytes.
    pub(crate) hash: String,
    /// Rows that were read, whatever became of them.
    pub(crate) rows: u64,
}

enum Job {
    Block(Arc<Layout>, Block),
    Group(Arc<Layout>, Arc<Foot>, crate::parquet::Group),
    Rows(Arc<Layout>, Vec<ArrayRef>, u64, Findings),
}

struct Shared {
    stop: AtomicBool,
    rows: AtomicU64,
    counted: Counted,
    told: Mutex<std::time::Instant>,
    quarantine: Mutex<quarantine::Writer>,
}

/// Does the work; blocks until it is done.
pub(crate) fn run(work: &Work) -> Result<Outcome, IngestError> {
    over(work, |shared, jobs| read(work, shared, jobs))
}

/// The same for rows that are in memory already.
pub(crate) fn run_rows(
    work: &Work,
    rows: Vec<(Arc<Layout>, Vec<ArrayRef>, Findings)>,
) -> Result<Outcome, IngestError> {
    over(work, |_, jobs| {
        let mut first = 1;
        for (layout, columns, findings) in rows {
            let count = columns.first().map_or(0, |column| column.len()) as u64;
            let sent = jobs.send(Job::Rows(layout, columns, first, findings));
            first += count;
            if sent.is_err() {
                break;
            }
        }
        Ok(())
    })
}

fn over(
    work: &Work,
    reader: impl FnOnce(&Shared, SyncSender<Job>) -> Result<(), IngestError>,
) -> Result<Outcome, IngestError> {
    let shared = Shared {
        stop: AtomicBool::new(false),
        rows: AtomicU64::new(0),
        counted: Counted::default(),
        told: Mutex::new(std::time::Instant::now()),
        quarantine: Mutex::new(quarantine::Writer::new(work.storage.clone())),
    };
    let (jobs, waiting) = sync_channel(WAITING);
    let waiting = Mutex::new(waiting);
    let (read, workers) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..work.threads.max(1))
            .map(|_| scope.spawn(|| Worker::new(work, &shared).run(&waiting)))
            .collect();
        let read = reader(&shared, jobs);
        if read.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        (read, done)
    });
    read?;
    let mut outcome = Outcome::default();
    let mut aggregates = Vec::new();
    for worker in workers {
        // A reader of broken files that panics is a file that is refused.
        let done = worker.map_err(|_| IngestError::Refused {
            file: work.bills.first().map(|(bill, _)| bill.path.clone()).unwrap_or_default(),
            line: 0,
            say: "reading it failed in a way that must not happen; please report it".into(),
        })??;
        outcome.written.add(done.written)?;
        outcome.tally.add(done.tally);
        outcome.breaches += done.breaches;
        outcome.odd.add(done.odd)?;
        outcome.quarantined.extend(done.quarantined);
        aggregates.extend(done.aggregate);
    }
    outcome.days = aggregate::merge(&work.storage, aggregates, work.threads)?;
    outcome.hash = shared.counted.hash();
    outcome.rows = shared.rows.load(Ordering::Relaxed);
    let quarantine = shared.quarantine.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.quarantine = quarantine.finish()?;
    Ok(outcome)
}

/// Reads and cuts; what is cut goes to the threads.
fn read(work: &Work, shared: &Shared, jobs: SyncSender<Job>) -> Result<(), IngestError> {
    for (bill, layout) in &work.bills {
        let refused = |refusal| IngestError::refused(&bill.path, refusal);
        if bill.form == Form::Parquet {
            let foot = Foot::open(&bill.file, bill.bytes, work.limits).map_err(refused)?;
            let foot = Arc::new(foot);
            for group in foot.groups() {
                if jobs.send(Job::Group(Arc::clone(layout), Arc::clone(&foot), group)).is_err() {
                    return Ok(());
                }
            }
            // While the last groups are worked on.
            shared
                .counted
                .file(&bill.file)
                .map_err(|e| IngestError::Source(crate::source::io_error("read", &bill.path, e)))?;
            continue;
        }
        let mut cutter = cutter(bill, work.limits, &shared.counted).map_err(refused)?;
        let header = cutter.header().map_err(refused)?;
        if header != layout.names {
            let say = "it changed while it was read; ingest it when it is written".to_owned();
            return Err(refused(Refusal { line: 1, say }));
        }
        while let Some(block) = cutter.block().map_err(refused)? {
            if jobs.send(Job::Block(Arc::clone(layout), block)).is_err() {
                // Every thread has stopped; one of them says why.
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Worker<'a> {
    work: &'a Work,
    shared: &'a Shared,
    partitions: Partitions,
    aggregate: Aggregate,
    validator: Validator,
    done: Done,
}

#[derive(Default)]
struct Done {
    written: Written,
    aggregate: Option<Aggregate>,
    quarantined: std::collections::BTreeSet<Month>,
    tally: Tally,
    breaches: u64,
    odd: Odd,
}

impl<'a> Worker<'a> {
    fn new(work: &'a Work, shared: &'a Shared) -> Self {
        let memory = work.limits.write_bytes / work.threads.max(1);
        let schema = Arc::clone(&work.schema);
        let storage = work.storage.clone();
        Self {
            work,
            shared,
            aggregate: Aggregate::new(storage.clone()),
            partitions: Partitions::new(storage, schema, memory, work.limits.partitions),
            validator: Validator::default(),
            done: Done::default(),
        }
    }

    fn run(mut self, waiting: &Mutex<Receiver<Job>>) -> Result<Done, IngestError> {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { break };
            if self.shared.stop.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.take(job) {
                self.shared.stop.store(true, Ordering::Relaxed);
                // The others and the reader have to come to their end.
                while waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok() {}
                return Err(error);
            }
        }
        if self.shared.stop.load(Ordering::Relaxed) {
            return Ok(Done::default());
        }
        self.done.written = self.partitions.finish()?;
        self.aggregate.close();
        self.done.aggregate = Some(self.aggregate);
        Ok(self.done)
    }

    fn take(&mut self, job: Job) -> Result<(), IngestError> {
        match job {
            Job::Block(layout, block) => {
                let mut findings = Findings::default();
                let columns = csv::columns(&block, layout.names.len(), &mut findings);
                self.rows(&layout, &columns, block.row, findings)
            }
            Job::Rows(layout, columns, row, findings) => {
                self.rows(&layout, &columns, row, findings)
            }
            Job::Group(layout, foot, group) => {
                let refused = |refusal| IngestError::refused(&layout.path, refusal);
                let mut row = group.row;
                for columns in foot.read(&layout.file, group.index).map_err(refused)? {
                    let columns = columns.map_err(refused)?;
                    let count = columns.first().map_or(0, |column| column.len()) as u64;
                    self.rows(&layout, &columns, row, Findings::default())?;
                    row += count;
                }
                Ok(())
            }
        }
    }

    fn rows(
        &mut self,
        layout: &Layout,
        columns: &[ArrayRef],
        first: u64,
        mut findings: Findings,
    ) -> Result<(), IngestError> {
        let (schema, validator) = (&self.work.schema, &self.validator);
        findings.doubles = layout.plan.is_report;
        let maker = Maker { layout, schema, validator, every: self.work.strict };
        let made = maker.make(columns, &mut findings).map_err(WriteError::from)?;
        let refused = findings.refused(self.work.strict);
        self.done.odd.count(layout, columns, &findings, &refused)?;
        if !findings.is_empty() {
            self.done.tally.add(findings.tally(&layout.path, first));
            self.done.breaches += findings.refused(true).len() as u64;
        }
        if !refused.is_empty() {
            for part in &made {
                self.done.quarantined.extend(months(&part.charges, &part.refused(&refused)));
            }
            let mut quarantine =
                self.shared.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
            quarantine.keep(layout, columns, first, &refused, &findings)?;
        }
        for part in made {
            let accepted = part.accepted(&refused).map_err(WriteError::from)?;
            if accepted.num_rows() > 0 {
                self.partitions.write(&accepted)?;
                self.aggregate.add(&accepted)?;
            }
        }
        self.tell(columns.first().map_or(0, |column| column.len()) as u64);
        Ok(())
    }

    fn tell(&self, rows: u64) {
        let rows = self.shared.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let Some(progress) = &self.work.progress else { return };
        // Whoever finds the clock free and old enough tells.
        if let Ok(mut told) = self.shared.told.try_lock()
            && told.elapsed() >= std::time::Duration::from_millis(200)
        {
            *told = std::time::Instant::now();
            let Before { bytes, rows: before, resumed } = self.work.before;
            let bytes = bytes + self.shared.counted.bytes.load(Ordering::Relaxed);
            let bytes_total = self.work.bytes_total;
            let rows = before + rows;
            progress(Progress { bytes, bytes_total, rows, resumed, is_fetching: false });
        }
    }
}

fn months(charges: &RecordBatch, rows: &[usize]) -> std::collections::BTreeSet<Month> {
    use arrow::array::{Array, AsArray};
    let starts = crate::partition::column(charges, focus::Column::BillingPeriodStart);
    let starts = starts.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let valid = rows.iter().filter(|row| starts.is_valid(**row));
    valid.filter_map(|row| Month::of_micros(starts.value(*row))).collect()
}
