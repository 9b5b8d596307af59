//! What a commit is made with: the connection that writes and what is remembered of the file.

mod recover;

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use ::budget::{Command, CommandResult, EscrowError, StoreError};
use focus::TenantId;
use jiff::Timestamp;
use quick_cache::sync::Cache;
use rusqlite::{Connection, ErrorCode, config::DbConfig};
use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    batch::{self, Told},
    behind::{Behind, Recent},
    cover::Covers,
    load,
    log::{Checkpointer, Log},
    reader, unavailable,
    writer::{Books, Failed},
};
use crate::{Moment, Options, names, queue::Job};

/// An answer that waits for the disk, and who waits for it.
type Waiting = (oneshot::Sender<CommandResult>, CommandResult);

/// At most one commit is not on the disk.
pub(super) struct State {
    db: Connection,
    options: Options,
    books: Books,
    behind: Behind,
    covers: Covers,
    /// The time of the last batch.
    latest: Timestamp,
    /// What SQLite said of other connections' commits when it was last asked.
    version: Option<i64>,
    failed: Failed,
    log: Log,
    /// Something is committed that may not be on the disk.
    is_ahead: bool,
    /// A caller commits, who must not wait for anybody.
    is_alone: bool,
    is_closed: bool,
    waiting: Vec<Waiting>,
    /// When it was begun, and how many commands are in it.
    since: Instant,
    commands: usize,
    /// The disk did not take the log: what it has of it nobody knows until the file is opened again.
    broken: Option<StoreError>,
}

impl State {
    pub(super) fn new(db: Connection, options: Options) -> Result<Self, StoreError> {
        // It is synced here, after each commit.
        db.pragma_update(None, "synchronous", "normal").map_err(unavailable)?;
        let log = Log::open(&db).map_err(StoreError::unavailable)?;
        Ok(Self {
            db,
            books: Arc::new(Cache::new(options.cache_tenants)),
            behind: Behind::default(),
            covers: Covers::new(&options),
            latest: Timestamp::MIN,
            version: None,
            failed: Failed::default(),
            log,
            is_ahead: true,
            is_alone: false,
            is_closed: false,
            waiting: Vec::new(),
            since: Instant::now(),
            commands: 0,
            broken: None,
            options,
        })
    }

    /// What readers look at, too.
    pub(super) fn shared(&self) -> (Books, Recent, Failed) {
        (self.books.clone(), self.behind.recent.clone(), self.failed.clone())
    }

    #[cfg(test)]
    pub(super) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Whether it can be written to, as far as is known.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Moves the log into the file, where it is time to.
    pub(super) fn checkpoint(&self, checkpointer: &Checkpointer) {
        // What the disk may not have of the log must not come into the file.
        if self.broken.is_none() {
            checkpointer.look(&self.db);
        }
    }

    /// Empties the log.
    pub(super) fn close(&mut self, checkpointer: Checkpointer) {
        self.is_closed = true;
        self.sync();
        if self.broken.is_some() {
            return checkpointer.end();
        }
        if let Err(error) = self.covers.close(&self.db) {
            tracing::warn!(error = ?error, "covers are left in the file");
        }
        checkpointer.close(&self.db);
    }

    /// Budgets have changed: a cover would be held in others than its calls were.
    pub(super) fn uncover(&mut self) {
        self.covers.forget();
    }

    /// Forgets everything that is remembered: it may be ahead of the file.
    fn forget(&mut self) {
        self.books.clear();
        self.behind.forget();
        self.covers.forget();
        self.version = None;
    }

    /// Forgets what is remembered when another connection has committed.
    pub(super) fn look(&mut self) {
        if self.version.is_some() && data_version(&self.db).ok() != Some(self.version) {
            self.forget();
        }
    }

    /// Writes something else than balances, to the disk.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check()?;
        self.is_ahead = true;
        let result = work(&mut self.db)?;
        self.sync();
        self.check()?;
        Ok(result)
    }

    /// Commits a job alone, without waiting for anybody; gives it back if that can't be done.
    pub(super) fn commit_at_once(&mut self, job: Job) -> Option<Job> {
        if self.is_ahead || self.is_closed || self.broken.is_some() {
            return Some(job);
        }
        let waits = |db: &Connection, time| db.busy_timeout(time).is_ok();
        if !waits(&self.db, Duration::ZERO) {
            return Some(job);
        }
        self.since = Instant::now();
        self.is_alone = true;
        let done = batch::commit(self, &[&job.command], &[]);
        self.is_alone = false;
        waits(&self.db, reader::BUSY);
        if done.as_ref().is_err_and(|error| is_busy(error) || is_stale(error)) {
            // Another process writes, or has written; the thread has the time for it.
            return Some(job);
        }
        self.answer([job], done);
        None
    }

    /// Commits jobs and brings the books that were asked for; answers what may be answered now.
    pub(super) fn commit(&mut self, jobs: &mut Vec<Job>, asked_for: &mut Vec<TenantId>) {
        asked_for.retain(|tenant| !self.books.contains_key(tenant));
        if jobs.is_empty() && asked_for.is_empty() {
            return;
        }
        self.since = Instant::now();
        let commands: Vec<&Command> = jobs.iter().map(|job| &job.command).collect();
        let done = self.check().and_then(|()| batch::commit(self, &commands, asked_for));
        self.answer(jobs.drain(..), done);
        asked_for.clear();
    }

    fn answer(&mut self, jobs: impl IntoIterator<Item = Job>, done: Result<Vec<Told>, StoreError>) {
        // Also where it is not known whether it was committed.
        self.is_ahead = true;
        match done {
            Ok(told) => {
                self.commands = told.len();
                let mut covered = 0;
                for (job, (result, is_early)) in jobs.into_iter().zip(told) {
                    if is_early {
                        covered += u64::from(result.is_ok());
                        let _ = job.reply.send(result);
                    } else {
                        self.waiting.push((job.reply, result));
                    }
                }
                names::covered(covered);
            }
            Err(error) => {
                tracing::error!(error = ?error, "a commit has failed");
                self.failed();
                for job in jobs {
                    let _ = job.reply.send(Err(EscrowError::Store(error.clone())));
                }
            }
        }
    }

    /// Puts rows in their places while nobody waits.
    pub(super) fn tidy(&mut self) {
        let due = self.behind.due().filter(|_| self.broken.is_none());
        let Some(commands) = due else { return };
        self.is_ahead = true;
        // Nobody waits for another process that writes: there is time later.
        let done = self.db.busy_timeout(Duration::ZERO).map_err(unavailable);
        let done = done.and_then(|()| batch::tidy(self, commands));
        let _ = self.db.busy_timeout(reader::BUSY);
        if let Err(error) = done
            && !is_busy(&error)
        {
            tracing::error!(error = ?error, "rows could not be put in their places");
            self.failed();
        }
        self.sync();
        self.behind.rested();
    }

    /// When to tidy again, if there is anything to.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.behind.rest().filter(|_| self.broken.is_none())
    }

    fn failed(&mut self) {
        self.forget();
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Brings what is committed to the disk, and answers who has waited for it.
    pub(super) fn sync(&mut self) {
        if !self.is_ahead || self.broken.is_some() {
            return;
        }
        let synced = self.options.strike(Moment::BeforeSync);
        let synced = synced.and_then(|()| self.log.sync().map_err(StoreError::unavailable));
        match synced {
            Ok(()) => {
                self.is_ahead = false;
                if self.commands > 0 {
                    names::committed(std::mem::take(&mut self.commands), self.since);
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                let _ = self.options.strike(Moment::AfterSync);
                for (reply, result) in self.waiting.drain(..) {
                    let _ = reply.send(result);
                }
            }
            Err(error) => {
                tracing::error!(
                    error = ?error,
                    "the disk does not take the log; nothing more is written until Bursar is \
                     started again"
                );
                self.failed();
                for (reply, _) in self.waiting.drain(..) {
                    let _ = reply.send(Err(EscrowError::Store(error.clone())));
                }
                let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
                let _ = self.db.set_db_config(config, true);
                if let Err(error) = self.log.refused() {
                    tracing::error!(error = ?error, "nor does it take a note of that");
                }
                self.broken = Some(error);
            }
        }
    }
}

/// Whether another process was writing: then nothing was begun.
fn is_busy(error: &StoreError) -> bool {
    let StoreError::Unavailable(cause) = error else { return false };
    let cause = cause.downcast_ref::<rusqlite::Error>();
    cause.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseBusy)
}

/// What is remembered has to be read again, which takes its time.
#[derive(Debug, Error)]
#[error("another process has written")]
struct Stale;

fn is_stale(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(cause) if cause.is::<Stale>())
}

/// Changes whenever another connection has committed.
fn data_version(db: &Connection) -> Result<Option<i64>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| row.get(0).map_err(unavailable);
    Ok(load::rows(db, "pragma data_version", &[], read)?.pop())
}

/// What [`batch::commit`] needs.
impl batch::Seat for State {
    fn db(&self) -> &Connection {
        &self.db
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn now(&mut self) -> Timestamp {
        let now = (self.options.clock)();
        if now < self.latest {
            self.books.clear();
        }
        self.latest = now;
        now
    }

    fn books(&self) -> &Books {
        &self.books
    }

    fn behind(&mut self) -> &mut Behind {
        &mut self.behind
    }

    fn db_and_behind(&mut self) -> (&Connection, &mut Behind) {
        (&self.db, &mut self.behind)
    }

    fn covers(&mut self) -> &mut Covers {
        &mut self.covers
    }

    fn db_and_covers(&mut self) -> (&Connection, &mut Covers) {
        (&self.db, &mut self.covers)
    }

    /// Reads again what is remembered when another connection has committed since the last look.
    fn began(&mut self) -> Result<(), StoreError> {
        let version = data_version(&self.db)?;
        if version != self.version && self.is_alone {
            return Err(StoreError::unavailable(Stale));
        }
        if version != self.version {
            self.books.clear();
            self.covers.forget();
            self.behind.rebuild(&self.db)?;
        }
        self.version = version;
        Ok(())
    }
}
