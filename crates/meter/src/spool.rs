//! Records on disk, a JSON line each, until they are delivered.
//!
//! A thread of its own writes: what arrives while it syncs shares the next sync. A file is never
//! changed while it is read: what is to be delivered is first renamed and locked, so that several
//! processes may share a path, and what a process has left behind is found by the next. A record
//! leaves the disk only after it was delivered. It may be delivered twice, and is charged once.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use tokio::sync::oneshot;

use crate::record::Record;

mod file;

use file::Files;
pub(crate) use file::{Claim, Line};

/// Called with whether the record is on disk.
type Told = Box<dyn FnOnce(bool) + Send>;

enum Job {
    Append(Record, Told),
    Claim(oneshot::Sender<Vec<Claim>>),
    Finish(Claim, oneshot::Sender<Option<Claim>>),
    Reject(String),
}

#[derive(Clone)]
pub(crate) struct Spool {
    jobs: SyncSender<Job>,
    bytes: Arc<AtomicU64>,
}

impl Spool {
    /// Opens the spool, with what an earlier process has left, and starts its thread, which ends with
    /// the last clone. At most `waiting` records wait for the disk.
    pub(crate) fn open(path: PathBuf, limit: u64, waiting: usize) -> io::Result<Self> {
        let bytes = Arc::new(AtomicU64::new(0));
        let files = Files::open(path, limit, bytes.clone())?;
        let (jobs, work) = sync_channel(waiting.max(1));
        thread::Builder::new().name("meter-spool".to_owned()).spawn(move || run(files, &work))?;
        Ok(Self { jobs, bytes })
    }

    /// Bytes on disk, as far as this process knows.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes a record and says whether it is on disk. Never waits: a disk that does not keep up must
    /// neither hold requests up nor fill the memory.
    pub(crate) fn append(&self, record: Record, told: impl FnOnce(bool) + Send + 'static) {
        match self.jobs.try_send(Job::Append(record, Box::new(told))) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                if let Job::Append(_, told) = job {
                    told(false);
                }
            }
        }
    }

    /// Sets what was written apart, to be delivered: own files and those of processes that are gone,
    /// a bounded number at a time.
    pub(crate) async fn claim(&self) -> Vec<Claim> {
        let (answer, claims) = oneshot::channel();
        match self.jobs.try_send(Job::Claim(answer)) {
            Ok(()) => claims.await.unwrap_or_default(),
            // The disk is busy with what arrives: there will be another time.
            Err(_) => Vec::new(),
        }
    }

    /// Everything in the file is done with, or was left for later. It is given back while the disk is
    /// busy with what arrives, or does not let it go.
    pub(crate) async fn finish(&self, claim: Claim) -> Option<Claim> {
        let (answer, done) = oneshot::channel();
        match self.jobs.try_send(Job::Finish(claim, answer)) {
            Ok(()) => done.await.unwrap_or_default(),
            Err(TrySendError::Full(Job::Finish(claim, _))) => Some(claim),
            // Its thread is gone: it is delivered once more, and charged once.
            Err(_) => None,
        }
    }

    /// Keeps what the service will never take, for a person to look at.
    pub(crate) fn reject(&self, line: String) {
        // It is counted and logged, too; a busy disk may miss it here.
        let _ = self.jobs.try_send(Job::Reject(line));
    }
}

/// Lines written with one sync at most.
const BATCH_MOST: usize = 1024;

fn run(mut files: Files, work: &Receiver<Job>) {
    let mut next = None;
    while let Some(job) = next.take().or_else(|| work.recv().ok()) {
        match job {
            Job::Append(record, told) => {
                let mut batch = vec![(record, told)];
                while batch.len() < BATCH_MOST {
                    match work.try_recv() {
                        Ok(Job::Append(record, told)) => batch.push((record, told)),
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                append(&mut files, batch);
            }
            // An answer that nobody waits for any more is dropped, and its locks with it.
            Job::Claim(answer) => {
                let _ = answer.send(files.claim());
            }
            Job::Finish(claim, answer) => {
                let _ = answer.send(files.finish(claim));
            }
            Job::Reject(line) => files.reject(&line),
        }
    }
}

fn append(files: &mut Files, batch: Vec<(Record, Told)>) {
    let mut lines = Vec::with_capacity(batch.len());
    let mut told = Vec::with_capacity(batch.len());
    for (record, tell) in batch {
        match serde_json::to_string(&record) {
            Ok(line) => {
                lines.push(line);
                told.push(tell);
            }
            Err(_) => tell(false),
        }
    }
    let written = files.append(&lines).unwrap_or_else(|error| {
        tracing::error!("failed to write usage to the spool: {error}");
        0
    });
    for (place, tell) in told.into_iter().enumerate() {
        tell(place < written);
    }
}

#[cfg(test)]
mod tests;
