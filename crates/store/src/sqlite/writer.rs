//! The one thread that writes.
//!
//! It takes what waits, commits it in one transaction with one sync to disk, answers, and takes what
//! has come in meanwhile: the busier, the larger the batches, the fewer the syncs.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ::budget::{Book, Command, CommandResult, EscrowError, StoreError};
use focus::TenantId;
use quick_cache::sync::Cache;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    batch,
    behind::{Behind, Recent},
    load,
    log::Checkpointer,
    unavailable,
};
use crate::{
    Options, names,
    queue::{self, Job},
};

/// So long a store counts as failing after a commit that did.
const FAILING: Duration = Duration::from_secs(10);

/// When the last commit failed, unless it did not.
type Failed = Arc<Mutex<Option<Instant>>>;

/// Committed books by tenant.
pub(super) type Books = Arc<Cache<TenantId, Arc<Book>>>;

type Work = Box<dyn FnOnce(&mut Connection, Option<&TenantId>) + Send>;

enum Message {
    Command(Job),
    /// A change of something else than balances, in a transaction of its own.
    Write(Work, Option<TenantId>),
    /// Remember this tenant's book.
    Warm(TenantId),
    /// See whether another process has written.
    Look,
    Close,
}

/// The handle of the writing thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Committed books, kept by the writing thread alone.
    pub(super) books: Books,
    /// What is committed and can't be found by name, kept by the writing thread alone.
    pub(super) recent: Recent,
    failed: Failed,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        mut db: Connection,
        options: Options,
    ) -> std::io::Result<Self> {
        let checkpointer = Checkpointer::start(path, &mut db)?;
        let (queue, waiting) = mpsc::channel(options.queue_max.max(1));
        let books = Arc::new(Cache::new(options.cache_tenants));
        let behind = Behind::default();
        let recent = behind.recent.clone();
        let failed = Failed::default();
        let state = State {
            db,
            options,
            books: books.clone(),
            behind,
            version: None,
            failed: failed.clone(),
            checkpointer,
        };
        let thread = thread::Builder::new().name("bursar-writer".into());
        let thread = thread.spawn(move || state.run(waiting))?;
        Ok(Self { queue, books, recent, failed, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a command in and waits until it is durable.
    pub(super) async fn submit(&self, command: Command) -> CommandResult {
        queue::submit(&self.queue, command, Message::Command).await
    }

    /// Runs a change in a transaction of its own, and forgets the book of the tenant it concerns.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        concerns: Option<TenantId>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let books = self.books.clone();
        let work = move |db: &mut Connection, concerns: Option<&TenantId>| {
            let result = in_transaction(db, work);
            if let Some(tenant) = concerns {
                books.remove(tenant);
            }
            let _ = reply.send(result);
        };
        self.try_send(Message::Write(Box::new(work), concerns))?;
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Whether commits succeed, as far as is known: an error for a while after one that did not,
    /// unless another did since. Then whoever asks may try again.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some_and(|at| at.elapsed() < FAILING) {
            return Err(StoreError::unavailable(std::io::Error::other("the last commit failed")));
        }
        Ok(())
    }

    /// Asks for a tenant's book to be remembered; not worth waiting for.
    pub(super) fn warm(&self, tenant: TenantId) {
        // Books that were asked for never stand in the way of commands.
        if self.queue.capacity() < self.queue.max_capacity() / 2 {
            return;
        }
        let _ = self.queue.try_send(Message::Warm(tenant));
    }

    /// Sees to it that what another process has written is shown from now on.
    pub(super) fn look(&self) {
        let _ = self.queue.try_send(Message::Look);
    }

    /// Finishes what waits, empties the log, and ends the thread.
    pub(super) async fn close(&self) {
        let _ = self.queue.send(Message::Close).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn try_send(&self, message: Message) -> Result<(), StoreError> {
        self.queue.try_send(message).map_err(|error| queue::refused(&error))
    }
}

fn in_transaction<T>(
    db: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let step = db
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(unavailable)?;
    let result = work(&step)?;
    step.commit().map_err(unavailable)?;
    Ok(result)
}

/// Changes whenever another connection has committed.
fn data_version(db: &Connection) -> Result<Option<i64>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| row.get(0).map_err(unavailable);
    Ok(load::rows(db, "pragma data_version", &[], read)?.pop())
}

struct State {
    db: Connection,
    options: Options,
    books: Books,
    behind: Behind,
    /// What SQLite said of other connections' commits when it was last asked.
    version: Option<i64>,
    failed: Failed,
    checkpointer: Checkpointer,
}

impl State {
    fn run(mut self, mut waiting: mpsc::Receiver<Message>) {
        let mut jobs = Vec::with_capacity(self.options.batch_max);
        let mut asked_for = Vec::new();
        let mut next = waiting.blocking_recv();
        while let Some(message) = next.take() {
            let mut other = None;
            match message {
                Message::Command(job) => jobs.push(job),
                Message::Warm(tenant) => asked_for.push(tenant),
                message => other = Some(message),
            }
            while other.is_none() && jobs.len() + asked_for.len() < self.options.batch_max {
                match waiting.try_recv() {
                    Ok(Message::Command(job)) => jobs.push(job),
                    Ok(Message::Warm(tenant)) => asked_for.push(tenant),
                    Ok(message) => other = Some(message),
                    Err(_) => break,
                }
            }
            asked_for.retain(|tenant| !self.books.contains_key(tenant));
            if !jobs.is_empty() || !asked_for.is_empty() {
                names::waiting(waiting.len());
                self.commit(&mut jobs, &asked_for);
                asked_for.clear();
            }
            match other {
                Some(Message::Write(work, concerns)) => {
                    work(&mut self.db, concerns.as_ref());
                }
                Some(Message::Look) => self.look(),
                Some(Message::Close) => waiting.close(),
                Some(Message::Command(_) | Message::Warm(_)) | None => {}
            }
            self.checkpointer.look(&self.db);
            next = waiting.blocking_recv();
        }
        self.checkpointer.close(&self.db);
    }

    /// Forgets everything that is remembered: it may be ahead of the file.
    fn forget(&mut self) {
        self.books.clear();
        self.behind.forget();
        self.version = None;
    }

    /// Forgets what is remembered when another connection has committed.
    fn look(&mut self) {
        if self.version.is_some() && data_version(&self.db).ok() != Some(self.version) {
            self.forget();
        }
    }

    fn commit(&mut self, jobs: &mut Vec<Job>, asked_for: &[TenantId]) {
        let since = Instant::now();
        let commands: Vec<&Command> = jobs.iter().map(|job| &job.command).collect();
        let done = batch::commit(self, &commands, asked_for);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) =
            done.is_err().then(Instant::now);
        match done {
            Ok(results) => {
                names::committed(results.len(), since);
                for (job, result) in jobs.drain(..).zip(results) {
                    let _ = job.reply.send(result);
                }
            }
            Err(error) => {
                tracing::error!(error = ?error, commands = jobs.len(), "a commit has failed");
                self.forget();
                for job in jobs.drain(..) {
                    let _ = job.reply.send(Err(EscrowError::Store(error.clone())));
                }
            }
        }
    }
}

/// What [`batch::commit`] needs of the writing thread.
impl batch::Seat for State {
    fn db(&self) -> &Connection {
        &self.db
    }

    fn options(&self) -> &Options {
        &self.options
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

    /// Reads again what is remembered when another connection has committed since the last look.
    fn began(&mut self) -> Result<(), StoreError> {
        let version = data_version(&self.db)?;
        if version != self.version {
            self.books.clear();
            self.behind.rebuild(&self.db)?;
        }
        self.version = version;
        Ok(())
    }
}
