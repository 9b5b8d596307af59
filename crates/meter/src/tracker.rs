//! Delivers usage and releases off the path of requests: from memory, and when that does not work,
//! from disk.
//!
//! Invariant: a record is in memory until the service has answered for it or the spool has it on
//! disk. What is lost is counted.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    sync::{Mutex, mpsc, watch},
};

use crate::{
    Remote,
    backoff::{Backoff, jittered},
    client::{RemoteError, SetupError},
    names::Counters,
    record::Record,
    remote::Delivered,
    spool::Spool,
};

mod replay;

/// How usage is delivered.
#[derive(Debug, Clone)]
pub struct TrackerConfig {
    /// Records kept in memory; more go to the spool.
    pub queue_most: usize,
    /// Records delivered at the same time.
    pub concurrency: usize,
    /// A file for usage that can't be delivered, on a disk that lasts; without one it stays in memory
    /// and dies with the process. Its folder is made.
    pub spool: Option<PathBuf>,
    /// How large the spool may become, in bytes.
    pub spool_most: u64,
    /// How often the spool is tried again, with jitter.
    pub spool_every: Duration,
    /// How long a delivery may take.
    pub timeout: Duration,
    /// How often a record is tried before it goes to the spool.
    pub attempts: u32,
    /// The pause after the first try, doubled each time, with jitter.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_most: Duration,
    /// How long [`Tracker::close`] waits for deliveries before the rest goes to the spool.
    pub close_timeout: Duration,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            queue_most: 10_000,
            concurrency: 4,
            spool: None,
            spool_most: 64 * 1024 * 1024,
            spool_every: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            attempts: 5,
            pause_first: Duration::from_millis(100),
            pause_most: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// The queue of what the service is to be told. Clones share it. Call [`Tracker::close`] at the end.
#[derive(Clone)]
pub struct Tracker(Arc<Inner>);

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    remote: Remote,
    config: TrackerConfig,
    pub(crate) counters: Arc<Counters>,
    spool: Option<Spool>,
    runtime: Handle,
    queue: mpsc::Sender<Waiting>,
    /// Records of which nobody has answered yet, in memory or on their way to disk.
    waiting: watch::Sender<usize>,
    /// Deliveries fail, so what comes goes to the spool until one succeeds.
    is_down: AtomicBool,
    phase: watch::Sender<Phase>,
}

/// A record, and what is done once it is safe: the service has answered for it, or it is on disk.
struct Waiting {
    record: Record,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl From<Record> for Waiting {
    fn from(record: Record) -> Self {
        Self { record, then: None }
    }
}

/// How far closing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// The spool is not delivered any more; what is in memory is.
    Closing,
    /// Everything goes to the spool.
    Closed,
}

impl Tracker {
    /// Opens the spool and starts to deliver what is in it. Within a Tokio runtime.
    pub fn open(remote: Remote, config: TrackerConfig) -> Result<Self, SetupError> {
        let waiting = config.queue_most.saturating_mul(2);
        let open = |path| Spool::open(path, config.spool_most, waiting);
        let spool = config.spool.clone().map(open).transpose().map_err(SetupError::Spool)?;
        let (queue, records) = mpsc::channel(config.queue_most.max(1));
        let concurrency = config.concurrency.max(1);
        let inner = Arc::new(Inner {
            remote: remote.with_timeout(config.timeout).with_attempts(1),
            config,
            counters: Arc::new(Counters::new()),
            spool,
            runtime: Handle::current(),
            queue,
            waiting: watch::Sender::new(0),
            is_down: AtomicBool::new(false),
            phase: watch::Sender::new(Phase::Open),
        });
        let records = Arc::new(Mutex::new(records));
        for _ in 0..concurrency {
            tokio::spawn(work(inner.clone(), records.clone()));
        }
        if let Some(spool) = inner.spool.clone() {
            tokio::spawn(replay::run(inner.clone(), spool));
        }
        Ok(Self(inner))
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// Records in memory, or on their way to disk.
    pub fn waiting(&self) -> usize {
        *self.0.waiting.borrow()
    }

    /// Bytes in the spool.
    pub fn spooled_bytes(&self) -> u64 {
        self.0.spool.as_ref().map_or(0, Spool::bytes)
    }

    /// Takes a record. Never waits.
    pub(crate) fn put(&self, record: Record) {
        self.0.put(record.into());
    }

    /// Takes a record and does something once it is safe; never, where it is lost.
    pub(crate) fn put_then(&self, record: Record, then: impl FnOnce() + Send + 'static) {
        self.0.put(Waiting { record, then: Some(Box::new(then)) });
    }

    /// Takes a record that must not be delivered before a while has passed, or the end.
    pub(crate) fn put_later(&self, record: Record, delay: Duration) {
        let inner = self.0.clone();
        inner.begin();
        self.0.runtime.spawn(async move {
            let mut phase = inner.phase.subscribe();
            let closing = phase.wait_for(|phase| *phase > Phase::Open);
            // Both ways lead on: it is only a question of when.
            let _ = tokio::time::timeout(delay, closing).await;
            inner.enqueue(record.into());
        });
    }

    /// Waits until nothing is in memory any more: all was delivered, or is on disk.
    pub async fn flush(&self) {
        self.0.flushed().await;
    }

    /// Delivers what it can within the configured time; the rest goes to the spool. What comes later
    /// goes there, too.
    pub async fn close(&self) {
        let inner = &self.0;
        inner.phase.send_modify(|phase| *phase = Phase::Closing.max(*phase));
        let flushed = inner.flushed();
        if tokio::time::timeout(inner.config.close_timeout, flushed).await.is_err() {
            tracing::warn!("closing: some usage was not delivered in time and goes to the spool");
        }
        inner.phase.send_replace(Phase::Closed);
        inner.flushed().await;
    }
}

impl Inner {
    fn put(self: &Arc<Self>, waiting: Waiting) {
        self.begin();
        self.enqueue(waiting);
    }

    fn begin(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.counters.queued.increment(1);
    }

    fn end(&self) {
        self.waiting.send_modify(|waiting| *waiting -= 1);
        self.counters.queued.decrement(1);
    }

    /// Puts a record that is counted as waiting where it is to wait.
    fn enqueue(self: &Arc<Self>, waiting: Waiting) {
        if self.is_closed() || (self.is_down() && self.spool.is_some()) {
            return self.keep(waiting);
        }
        if let Err(error) = self.queue.try_send(waiting) {
            tracing::debug!("the queue of usage is full");
            self.keep(error.into_inner());
        }
    }

    /// Puts a record for which it is too early where it holds none up: back into the queue after a
    /// pause, or, at the end, on disk where there is one.
    fn again(self: &Arc<Self>, waiting: Waiting) {
        let inner = self.clone();
        let last = if self.spool.is_some() { Phase::Open } else { Phase::Closing };
        self.runtime.spawn(async move {
            let mut phase = inner.phase.subscribe();
            let ending = phase.wait_for(|phase| *phase > last);
            let is_ending = tokio::time::timeout(inner.config.pause_most, ending).await.is_ok();
            if is_ending {
                inner.keep(waiting);
            } else {
                inner.counters.retried.increment(1);
                inner.enqueue(waiting);
            }
        });
    }

    /// Lets the others in memory go first. What comes meanwhile does not take its place; at the end it
    /// is tried at once.
    fn aside(self: &Arc<Self>, waiting: Waiting) {
        let inner = self.clone();
        self.runtime.spawn(async move {
            let mut phase = inner.phase.subscribe();
            let ending = phase.wait_for(|phase| *phase > Phase::Open);
            let _ = tokio::time::timeout(inner.config.pause_most, ending).await;
            let closed = phase.wait_for(|phase| *phase == Phase::Closed);
            let place = tokio::select! {
                place = inner.queue.clone().reserve_owned() => place.ok(),
                _ = closed => None,
            };
            match place {
                Some(place) => {
                    inner.counters.retried.increment(1);
                    drop(place.send(waiting));
                }
                None => inner.keep(waiting),
            }
        });
    }

    /// Writes a record to disk, or loses it.
    fn keep(self: &Arc<Self>, waiting: Waiting) {
        let inner = self.clone();
        let Waiting { record, then } = waiting;
        let told = move |is_written: bool| {
            if is_written {
                inner.counters.spooled.increment(1);
                then.into_iter().for_each(|then| then());
            } else {
                inner.counters.undelivered.increment(1);
                tracing::error!("a record of usage is lost: there is no spool, or it is full");
            }
            inner.show_spool();
            inner.end();
        };
        match &self.spool {
            Some(spool) => spool.append(record, told),
            None => told(false),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and a spool is below 2^53 bytes"
    )]
    fn show_spool(&self) {
        let bytes = self.spool.as_ref().map_or(0, Spool::bytes);
        self.counters.spool_bytes.set(bytes as f64);
    }

    fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    fn is_closed(&self) -> bool {
        *self.phase.borrow() == Phase::Closed
    }

    async fn flushed(&self) {
        // It fails when the sender is gone, which is in `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// One try. `Ok` once the service has answered for the record, for good or ill.
    async fn deliver(&self, record: &Record) -> Result<Delivered, RemoteError> {
        match self.remote.deliver(record, Timestamp::now()).await {
            Ok(Delivered::Done) => {
                self.counters.delivered.increment(1);
                Ok(Delivered::Done)
            }
            Err(RemoteError::Invalid(problem)) => {
                let (id, code) = (record.request_id(), &problem.code);
                tracing::error!(%id, code, field = problem.field, "usage was refused for good");
                self.counters.undelivered.increment(1);
                if let (Some(spool), Ok(line)) = (&self.spool, serde_json::to_string(record)) {
                    spool.reject(line);
                }
                Ok(Delivered::Done)
            }
            other => other,
        }
    }

    /// Remembers whether others would fare better than this answer, or worse.
    fn note(&self, answer: &Result<Delivered, RemoteError>) {
        if self.is_down.swap(answer.is_err(), Ordering::Relaxed) != answer.is_err() {
            match answer {
                Ok(_) => tracing::info!("usage is delivered again"),
                Err(error) => tracing::warn!("failed to deliver usage: {error}"),
            }
        }
    }

    /// Tries until the service has answered; after so many tries it waits where it holds none up.
    async fn insist(self: &Arc<Self>, waiting: Waiting) {
        let mut backoff = Backoff::new(self.config.pause_first, self.config.pause_most);
        let mut phase = self.phase.subscribe();
        let mut tries = 0;
        loop {
            if self.is_closed() || (self.spool.is_some() && tries >= self.config.attempts) {
                return self.keep(waiting);
            }
            if tries >= self.config.attempts.max(1) {
                // It may be this record's own trouble.
                return self.aside(waiting);
            }
            tries += 1;
            let closed = phase.wait_for(|phase| *phase == Phase::Closed);
            let answer = tokio::select! {
                answer = self.deliver(&waiting.record) => answer,
                _ = closed => return self.keep(waiting),
            };
            self.note(&answer);
            let error = match answer {
                Ok(Delivered::Done) => {
                    waiting.then.into_iter().for_each(|then| then());
                    return self.end();
                }
                Ok(Delivered::Early) => return self.again(waiting),
                Err(error) => error,
            };
            let wanted = match error {
                RemoteError::Busy { retry_after: Some(seconds), .. } => {
                    Duration::from_secs(seconds)
                }
                _ => Duration::ZERO,
            };
            let pause = backoff.next().max(wanted.min(self.config.pause_most));
            let closed = phase.wait_for(|phase| *phase == Phase::Closed);
            if tokio::time::timeout(pause, closed).await.is_err() {
                self.counters.retried.increment(1);
            }
        }
    }
}

/// Delivers one record after the other.
async fn work(inner: Arc<Inner>, records: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let waiting = records.lock().await.recv().await;
        let Some(waiting) = waiting else { return };
        // Where one could not be delivered, those behind it go to disk without a try of their own.
        if inner.is_down() && inner.spool.is_some() {
            inner.keep(waiting);
        } else {
            inner.insist(waiting).await;
        }
    }
}

/// A pause between two looks at the spool.
fn pause(config: &TrackerConfig) -> Duration {
    jittered(config.spool_every.saturating_mul(2))
}
