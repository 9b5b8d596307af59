//! The one thread that writes.
//!
//! It takes what waits, commits it in one transaction with one sync to disk, answers, and takes what
//! has come in meanwhile: the busier, the larger the batches, the fewer the syncs.

use std::{fmt, sync::Arc, sync::Mutex, sync::PoisonError, thread};

use ::budget::{Book, Command, CommandResult, EscrowError, StoreError};
use focus::TenantId;
use moka::sync::Cache;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{batch, load, unavailable};
use crate::{Options, queue::Job};

type Work = Box<dyn FnOnce(&mut Connection, Option<&TenantId>) + Send>;

enum Message {
    Command(Job),
    /// A change of something else than balances, in a transaction of its own.
    Write(Work, Option<TenantId>),
    /// Remember this tenant's book.
    Warm(TenantId),
    Close,
}

/// After so many commands the write-ahead log's pages are moved into the file, between two batches:
/// often enough to keep the log at a few megabytes that are written over and over (a log that grows
/// makes every sync wait for the file system's journal), seldom enough not to be felt.
const COMMANDS_PER_CHECKPOINT: usize = 1_024;

/// The handle of the writing thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Committed books, kept by the writing thread alone.
    pub(super) books: Cache<TenantId, Arc<Book>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn start(db: Connection, options: Options) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(options.queue_max.max(1));
        let books = Cache::new(options.cache_tenants);
        let state = State { db, options, books: books.clone(), version: None, in_log: 0 };
        let thread = thread::Builder::new().name("bursar-writer".into());
        let thread = thread.spawn(move || state.run(waiting))?;
        Ok(Self { queue, books, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a command in and waits until it is durable.
    pub(super) async fn submit(&self, command: Command) -> CommandResult {
        let (reply, outcome) = oneshot::channel();
        self.try_send(Message::Command(Job { command, reply }))?;
        outcome.await.unwrap_or(Err(EscrowError::Store(StoreError::Closed)))
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
                books.invalidate(tenant);
            }
            let _ = reply.send(result);
        };
        self.try_send(Message::Write(Box::new(work), concerns))?;
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Asks for a tenant's book to be remembered; not worth waiting for.
    pub(super) fn warm(&self, tenant: TenantId) {
        let _ = self.queue.try_send(Message::Warm(tenant));
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
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
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

struct State {
    db: Connection,
    options: Options,
    books: Cache<TenantId, Arc<Book>>,
    /// What SQLite said of other connections' commits when it was last asked.
    version: Option<i64>,
    /// Commands since the log was last moved into the file.
    in_log: usize,
}

impl State {
    fn run(mut self, mut waiting: mpsc::Receiver<Message>) {
        let mut jobs = Vec::with_capacity(self.options.batch_max);
        let mut next = waiting.blocking_recv();
        while let Some(message) = next.take() {
            let mut other = None;
            match message {
                Message::Command(job) => jobs.push(job),
                message => other = Some(message),
            }
            while other.is_none() && jobs.len() < self.options.batch_max {
                match waiting.try_recv() {
                    Ok(Message::Command(job)) => jobs.push(job),
                    Ok(message) => other = Some(message),
                    Err(_) => break,
                }
            }
            self.in_log += jobs.len() + 1;
            if !jobs.is_empty() {
                self.commit(&mut jobs);
            }
            match other {
                Some(Message::Write(work, concerns)) => work(&mut self.db, concerns.as_ref()),
                Some(Message::Warm(tenant)) => self.warm(&tenant),
                Some(Message::Close) => waiting.close(),
                Some(Message::Command(_)) | None => {}
            }
            self.checkpoint(false);
            next = waiting.blocking_recv();
        }
        self.checkpoint(true);
    }

    fn commit(&mut self, jobs: &mut Vec<Job>) {
        let commands: Vec<&Command> = jobs.iter().map(|job| &job.command).collect();
        match batch::commit(self, &commands) {
            Ok(results) => {
                for (job, result) in jobs.drain(..).zip(results) {
                    let _ = job.reply.send(result);
                }
            }
            Err(error) => {
                tracing::error!(error = ?error, commands = jobs.len(), "a commit has failed");
                // What is remembered may be ahead of the file.
                self.books.invalidate_all();
                for job in jobs.drain(..) {
                    let _ = job.reply.send(Err(EscrowError::Store(error.clone())));
                }
            }
        }
    }

    fn warm(&mut self, tenant: &TenantId) {
        self.notice_others();
        if self.books.contains_key(tenant) {
            return;
        }
        let now = (self.options.clock)();
        let read = load::book(&self.db, tenant, now);
        let warmed = match read {
            Ok(book) if book.unopened(now).is_ok_and(|unopened| unopened.is_empty()) => {
                self.books.insert(tenant.clone(), Arc::new(book));
                Ok(())
            }
            Ok(_) => batch::open(self, tenant),
            Err(error) => Err(error),
        };
        if let Err(error) = warmed {
            tracing::warn!(error = ?error, "a book can't be read");
        }
    }

    /// Forgets the books when another connection has committed since the last look.
    fn notice_others(&mut self) {
        let version = self.db.query_row("pragma data_version", [], |row| row.get(0)).ok();
        if version.is_none() || version != self.version {
            self.books.invalidate_all();
        }
        self.version = version;
    }

    /// Moves the log's pages into the file once they are many. `passive` waits for no reader.
    fn checkpoint(&mut self, all: bool) {
        if self.in_log < COMMANDS_PER_CHECKPOINT && !all {
            return;
        }
        self.in_log = 0;
        let mode = if all { "truncate" } else { "passive" };
        let pragma = format!("pragma wal_checkpoint({mode})");
        if let Err(error) = self.db.query_row(&pragma, [], |_| Ok(())) {
            tracing::warn!(error = ?error, "the log can't be moved into the file");
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

    fn books(&self) -> &Cache<TenantId, Arc<Book>> {
        &self.books
    }

    fn began(&mut self) {
        self.notice_others();
    }
}
