//! The one who writes.
//!
//! A thread takes what waits, commits it in one transaction, syncs it to disk, answers, and takes
//! what has come in meanwhile: the busier, the larger the batches, the fewer the syncs. A hold that
//! may be answered before it is on the disk is committed by whoever asks for it, while nobody else
//! writes, and the thread syncs it beside.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

use ::budget::{Book, Command, CommandResult, Reserve, StoreError};
use focus::TenantId;
use quick_cache::sync::Cache;
use rusqlite::Connection;
use tokio::{
    runtime::{self, Handle, Runtime},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{behind::Recent, log::Checkpointer, seat::State, unavailable};
use crate::{
    Options, names,
    queue::{self, Job},
};

/// So long a store counts as failing after a commit that did.
const FAILING: Duration = Duration::from_secs(10);

/// When the last commit failed, unless it did not.
pub(super) type Failed = Arc<Mutex<Option<Instant>>>;

/// Committed books by tenant.
pub(super) type Books = Arc<Cache<TenantId, Arc<Book>>>;

type Work = Box<dyn FnOnce(&mut State, Option<&TenantId>) + Send>;

enum Message {
    Command(Job),
    /// A change of something else than balances, in a transaction of its own.
    Write(Work, Option<TenantId>),
    /// Remember this tenant's book.
    Warm(TenantId),
    /// Somebody has committed and not synced, or nobody has asked for anything for a while.
    Sync,
    /// See whether another process has written.
    Look,
    Close,
}

/// The handle of the writing thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Taken for a commit, and kept by the thread until it is on the disk.
    state: Arc<Mutex<State>>,
    /// Committed books, kept by who commits alone.
    pub(super) books: Books,
    /// What is committed and can't be found by name, kept by who commits alone.
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
    ) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(options.queue_max.max(1));
        let batch_max = options.batch_max;
        let checkpointer = Checkpointer::start(path, &mut db).map_err(StoreError::unavailable)?;
        let mut state = State::new(db, options)?;
        state.recover()?;
        let (books, recent, failed) = state.shared();
        let state = Arc::new(Mutex::new(state));
        let seat = state.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let work = move || match Ear::new(waiting) {
            Ok(ear) => {
                let _ = tell.send(Ok(()));
                run(&seat, checkpointer, ear, batch_max);
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        let thread = thread::Builder::new().name("bursar-writer".into()).spawn(work);
        let thread = Mutex::new(Some(thread.map_err(StoreError::unavailable)?));
        let heard = told.recv().map_err(StoreError::unavailable)?;
        heard.map_err(StoreError::unavailable)?;
        Ok(Self { queue, state, books, recent, failed, thread })
    }

    /// Hands a command in and waits until it is durable, or covered where it asks for no more.
    pub(super) async fn submit(&self, command: Command) -> CommandResult {
        let hand_in = |job| match self.commit_at_once(job) {
            Some(job) => self.try_send(Message::Command(job)),
            None => Ok(()),
        };
        queue::submit(command, hand_in).await
    }

    /// Commits a hold that may be answered before it is on the disk, if nobody else writes or waits
    /// to, and everything that it needs is at hand. It is given back otherwise.
    fn commit_at_once(&self, job: Job) -> Option<Job> {
        let Command::Reserve(Reserve { covered: true, call, .. }) = &job.command else {
            return Some(job);
        };
        let nobody_waits = self.queue.capacity() == self.queue.max_capacity();
        if !nobody_waits || !self.books.contains_key(&call.tenant) {
            return Some(job);
        }
        let left = match self.state.try_lock() {
            Ok(mut state) => state.commit_at_once(job),
            Err(_) => return Some(job),
        };
        if left.is_none() {
            let (queue, state) = (self.queue.clone(), self.state.clone());
            // Whoever has asked goes on first: to wake the thread takes as long as the commit.
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { have_synced(&queue, &state) })),
                Err(_) => have_synced(&queue, &state),
            }
        }
        left
    }

    /// Runs a change in a transaction of its own, and forgets the book of the tenant it concerns.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        concerns: Option<TenantId>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let books = self.books.clone();
        let work = move |state: &mut State, concerns: Option<&TenantId>| {
            let result = state.write(|db| in_transaction(db, work));
            if let Some(tenant) = concerns {
                books.remove(tenant);
                state.uncover();
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
        match self.state.try_lock() {
            Ok(state) => state.check(),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Poisoned(_)) => Err(StoreError::Closed),
        }
    }

    /// Whether something is not on the disk yet.
    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        self.queue.capacity() < self.queue.max_capacity()
            || self.state.try_lock().map_or(true, |state| state.is_ahead())
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

/// Tells the thread that something is committed; does its work where it is told nothing any more.
fn have_synced(queue: &mpsc::Sender<Message>, state: &Mutex<State>) {
    // Where others wait the thread comes by anyway.
    if let Err(mpsc::error::TrySendError::Closed(_)) = queue.try_send(Message::Sync)
        && let Ok(mut state) = state.lock()
    {
        state.sync();
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

/// Hears what the thread is asked for.
struct Ear {
    waiting: mpsc::Receiver<Message>,
    /// Knows when it has waited for long.
    clock: Runtime,
}

impl Ear {
    fn new(waiting: mpsc::Receiver<Message>) -> std::io::Result<Self> {
        let clock = runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { waiting, clock })
    }

    /// What comes next; a sync where nothing comes for so long.
    fn next(&mut self, longest: Option<Duration>) -> Option<Message> {
        let Some(longest) = longest else { return self.waiting.blocking_recv() };
        let next = async { timeout(longest, self.waiting.recv()).await };
        self.clock.block_on(next).unwrap_or(Some(Message::Sync))
    }
}

/// The thread: it ends when it is told to, and when a commit has panicked.
fn run(seat: &Mutex<State>, checkpointer: Checkpointer, mut ear: Ear, batch_max: usize) {
    let mut jobs = Vec::with_capacity(batch_max);
    let mut asked_for = Vec::new();
    let mut next = ear.next(None);
    while let Some(message) = next.take() {
        let Ok(mut state) = seat.lock() else { return };
        // What was committed at once.
        state.sync();
        let mut other = None;
        match message {
            Message::Command(job) => jobs.push(job),
            Message::Warm(tenant) => asked_for.push(tenant),
            message => other = Some(message),
        }
        while other.is_none() && jobs.len() + asked_for.len() < batch_max {
            match ear.waiting.try_recv() {
                Ok(Message::Command(job)) => jobs.push(job),
                Ok(Message::Warm(tenant)) => asked_for.push(tenant),
                Ok(Message::Sync) => {}
                Ok(message) => other = Some(message),
                Err(_) => break,
            }
        }
        if !jobs.is_empty() || !asked_for.is_empty() {
            names::waiting(ear.waiting.len());
            state.commit(&mut jobs, &mut asked_for);
            state.sync();
        }
        match other {
            Some(Message::Write(work, concerns)) => work(&mut state, concerns.as_ref()),
            Some(Message::Look) => state.look(),
            Some(Message::Close) => ear.waiting.close(),
            Some(Message::Command(_) | Message::Warm(_) | Message::Sync) | None => {}
        }
        if ear.waiting.is_empty() {
            state.tidy();
        }
        state.checkpoint(&checkpointer);
        let longest = state.rest();
        drop(state);
        next = ear.next(longest);
    }
    if let Ok(mut state) = seat.lock() {
        state.close(checkpointer);
    }
}
