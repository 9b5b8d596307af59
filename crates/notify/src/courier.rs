//! Takes what is told from the store's outbox to the channels.
//!
//! Each channel has a task: it follows the outbox, plans deliveries, claims those that are due and
//! sends them. Whatever dies between two steps is made up for: a step along the outbox and its
//! deliveries are one commit, and a claim ends by itself. Several processes may run one on one
//! store.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use budget::{Claimed, Ended, Notice, Pace, Page, Quiet, Step, Store, StoreError, Tenant, Wanted};
use focus::cost::Costs;
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinSet};
use tracing::{info, warn};

use crate::{Channel, Facts, SendError, Templates, names, plan};

mod calendar;
#[cfg(test)]
mod tests;

pub use calendar::Calendar;

/// From the end of a channel's turn to the next.
const EVERY: Duration = Duration::from_secs(1);
/// From the end of one look at the calendar to the next.
const CALENDAR_EVERY: Duration = Duration::from_secs(60);
/// From one count of what waits to the next.
const GAUGES_EVERY: Duration = Duration::from_secs(5);
/// Events that are read at a time.
const PAGE: usize = 500;
/// Messages of a turn, at most: then the outbox is looked at again.
const MESSAGES_MOST: usize = 100;
/// How long what was delivered is kept: keys are known for longer than anything is told late.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// For what is on its way when the senders are told to stop.
const STOP_MOST: Duration = Duration::from_secs(20);
/// What is left of a lease when a channel that does not come back is given up.
const LEASE_REST: SignedDuration = SignedDuration::from_secs(30);

/// Names of what the calendar has brought that are remembered, at most.
const PLANNED_MOST: usize = 10_000;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A channel and how it is used.
pub struct Post {
    /// Its name in the config.
    pub name: String,
    /// What it takes.
    pub wanted: Wanted,
    /// How often it is used.
    pub pace: Pace,
    /// Whether it tells tenants' admins, too, where it can reach them.
    pub tenants: bool,
    /// Whether it has somebody of its own to tell.
    pub own: bool,
    /// The channel.
    pub channel: Arc<dyn Channel>,
}

/// Takes deliveries to channels.
pub struct Courier {
    /// Where the outbox is.
    pub store: Arc<dyn Store>,
    /// What the clouds cost, where somebody knows.
    pub costs: Option<Arc<dyn Costs>>,
    /// The channels.
    pub posts: Vec<Post>,
    /// The words.
    pub templates: Templates,
    /// When only what is critical goes out.
    pub quiet: Option<Quiet>,
    /// What comes by itself.
    pub calendar: Calendar,
    /// Tells the time.
    pub clock: Clock,
    /// Random numbers, for pauses.
    pub luck: Box<dyn Fn() -> u64 + Send + Sync>,
    /// What this process remembers.
    pub memory: Memory,
}

/// What a process remembers while it runs.
#[derive(Debug, Default)]
pub struct Memory {
    /// What it has planned of the calendar.
    planned: Mutex<HashSet<String>>,
    /// It is told to stop.
    ending: AtomicBool,
}

/// Senders at work. They end when this is dropped; what they were at is sent again then, when its
/// lease has ended.
pub struct Running {
    courier: Arc<Courier>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Has nothing more sent, and waits for what is on its way.
    pub async fn stop(mut self) {
        self.courier.memory.ending.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MOST, ended).await.is_err() {
            warn!("a channel has not come back: what it was given is sent again");
        }
    }
}

impl Courier {
    /// Starts the senders.
    pub fn start(self) -> Running {
        names::describe();
        for post in &self.posts {
            for result in names::RESULTS {
                count(post, result, 0);
            }
        }
        let courier = Arc::new(self);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for at in 0..courier.posts.len() {
            let (courier, stopped) = (courier.clone(), stopped.clone());
            tasks.spawn(every(EVERY, stopped, move || {
                let courier = courier.clone();
                async move {
                    let Some(post) = courier.posts.get(at) else { return };
                    survive(&post.name, courier.turn(post)).await;
                }
            }));
        }
        let (calendar, told) = (courier.clone(), stopped.clone());
        tasks.spawn(every(CALENDAR_EVERY, told, move || {
            let calendar = calendar.clone();
            async move { survive("calendar", calendar.plan_calendar()).await }
        }));
        let counted = courier.clone();
        tasks.spawn(every(GAUGES_EVERY, stopped, move || {
            let counted = counted.clone();
            async move { survive("gauges", counted.tidy()).await }
        }));
        Running { courier, tasks, stop }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Follows the outbox and sends what is due by a channel.
    pub async fn turn(&self, post: &Post) -> Result<(), StoreError> {
        self.follow(post).await?;
        self.send_due(post).await
    }

    /// Plans what the outbox has that a channel was not told yet.
    async fn follow(&self, post: &Post) -> Result<(), StoreError> {
        loop {
            let now = self.now();
            let from = self.store.follow(&post.name, now).await?.after;
            let page = Page { after: Some(from), limit: PAGE };
            let events = self.store.events(page).await?;
            let Some((to, _)) = events.last() else { return Ok(()) };
            let step = Step { from, to: *to };
            let mut new = Vec::new();
            for (_, notice) in &events {
                new.extend(self.deliveries(post, notice, now).await?);
            }
            let planned = self.store.plan(&post.name, Some(step), new, now).await?;
            if planned > 0 {
                info!(channel = post.name, planned, "notices planned");
            }
            if events.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn deliveries(
        &self,
        post: &Post,
        notice: &Notice,
        now: Timestamp,
    ) -> Result<Vec<budget::NewDelivery>, StoreError> {
        // What is too old, or not wanted, is not looked up either.
        let (topic, severity) = (budget::Topic::of(notice), budget::severity(notice));
        if budget::is_stale(notice.at(), now) || !post.wanted.takes(topic, severity) {
            return Ok(Vec::new());
        }
        let tenant = match notice.tenant() {
            Some(id) => self.store.tenant(id).await?,
            None => None,
        };
        let ends = self.ends(notice).await?;
        let reservation = match notice.as_ai().and_then(|event| event.kind.reservation()) {
            Some(key) => self.store.reservation(key).await?,
            None => None,
        };
        let facts = Facts::of(notice, tenant.as_ref(), ends).about(reservation.as_ref());
        let admin = tenant.as_ref().and_then(|tenant: &Tenant| tenant.admin_email.as_deref());
        let mut new = Vec::new();
        for told in plan::Told::of(notice, facts) {
            let deliveries = plan::deliveries(post, &told, admin, self.quiet.as_ref(), now);
            new.extend(deliveries.map_err(|error| StoreError::Corrupt(error.to_string()))?);
        }
        Ok(new)
    }

    /// When the period ends that a notice is about.
    async fn ends(&self, notice: &Notice) -> Result<Option<Timestamp>, StoreError> {
        let Some(event) = notice.as_ai() else { return Ok(None) };
        let accounts = self.store.history(event.account.budget).await?;
        let account = accounts.iter().find(|account| account.id == event.account);
        Ok(account.map(|account| account.end))
    }

    /// Sends what is due by a channel, as far as its pace allows.
    async fn send_due(&self, post: &Post) -> Result<(), StoreError> {
        let group_most = post.pace.group_most.min(post.channel.group_most());
        let pace = Pace { group_most, ..post.pace.clone() };
        for _ in 0..MESSAGES_MOST {
            if self.memory.ending.load(Ordering::Relaxed) {
                return Ok(());
            }
            let claimed = self.store.claim(&post.name, &pace, self.now()).await?;
            let Some(claimed) = claimed else { return Ok(()) };
            let sent = self.send(post, &claimed).await;
            let (ended, result) = self.ended(post, &claimed, sent);
            let is_ours = self.store.finish(claimed.lease, ended, self.now()).await?;
            count(post, result, 1);
            if !is_ours {
                warn!(channel = post.name, "a lease has ended before its message was sent");
            }
        }
        Ok(())
    }

    async fn send(&self, post: &Post, claimed: &Claimed) -> Result<(), SendError> {
        let message = self.templates.batch(&claimed.batch, &claimed.deliveries);
        let message = message.map_err(|error| SendError::Never { why: error.to_string() })?;
        let most = post.pace.lease.saturating_sub(LEASE_REST).max(SignedDuration::from_secs(1));
        let sent = tokio::time::timeout(most.unsigned_abs(), post.channel.send(&message)).await;
        sent.unwrap_or_else(|_| Err(SendError::later("the channel has not come back")))
    }

    fn ended(
        &self,
        post: &Post,
        claimed: &Claimed,
        sent: Result<(), SendError>,
    ) -> (Ended, &'static str) {
        let attempts = claimed.deliveries.iter().map(|one| one.attempts).max().unwrap_or(0) + 1;
        let (channel, things) = (&post.name, claimed.deliveries.len());
        let error = match sent {
            Ok(()) => {
                info!(channel, things, attempts, "notices delivered");
                return (Ended::Delivered, "delivered");
            }
            Err(error) => error,
        };
        let again = match &error {
            SendError::Later { after, .. } => {
                post.pace.again(attempts, *after, (self.luck)(), self.now())
            }
            SendError::Never { .. } => None,
        };
        let error = error.to_string();
        match again {
            Some(due_at) => {
                warn!(channel, things, attempts, %due_at, "failed to deliver notices: {error}");
                (Ended::Again { due_at, error }, "failed")
            }
            None => {
                tracing::error!(
                    channel,
                    things,
                    attempts,
                    "gave up on notices, see `bursar notify list`: {error}"
                );
                (Ended::Dead { error }, "dead")
            }
        }
    }

    /// Shows what waits, and forgets what was delivered long ago.
    async fn tidy(&self) -> Result<(), StoreError> {
        let now = self.now();
        let backlogs = self.store.backlog(now).await?;
        for post in &self.posts {
            let backlog = backlogs.iter().find(|backlog| backlog.channel == post.name);
            let labels = [("channel", post.name.clone())];
            let (pending, dead) = backlog.map_or((0, 0), |one| (one.pending, one.dead));
            let age = backlog.map_or(SignedDuration::ZERO, |one| one.age(now));
            metrics::gauge!(names::PENDING, &labels).set(shown(pending));
            metrics::gauge!(names::DEAD, &labels).set(shown(dead));
            metrics::gauge!(names::OLDEST, &labels).set(age.as_secs_f64());
        }
        if let Ok(before) = now.checked_sub(KEPT) {
            self.store.forget(before).await?;
        }
        Ok(())
    }

    fn planned(&self) -> MutexGuard<'_, HashSet<String>> {
        self.memory.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process has planned a thing of the calendar.
    fn is_planned(&self, key: &str) -> bool {
        self.planned().contains(key)
    }

    fn has_planned(&self, key: String) {
        let mut planned = self.planned();
        // What is forgotten is planned again, and the store knows that it was.
        if planned.len() >= PLANNED_MOST {
            planned.clear();
        }
        planned.insert(key);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn shown(count: u64) -> f64 {
    count as f64
}

fn count(post: &Post, result: &'static str, times: u64) {
    let channel = post.name.clone();
    metrics::counter!(names::DELIVERIES, "channel" => channel, "result" => result).increment(times);
}

/// Does something again and again, until it is told to stop.
async fn every<F>(pause: Duration, mut stopped: watch::Receiver<bool>, mut turn: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    while !*stopped.borrow() {
        turn().await;
        let told = stopped.wait_for(|stopped| *stopped);
        // It ends as well when whoever would say so is gone.
        if tokio::time::timeout(pause, told).await.is_ok() {
            return;
        }
    }
}

/// Runs a turn; what goes wrong in it is told and comes again.
async fn survive(what: &str, turn: impl Future<Output = Result<(), StoreError>>) {
    match AssertUnwindSafe(turn).catch_unwind().await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error);
            warn!(what, cause, "notices wait, and are tried again: {error}");
        }
        Err(_) => tracing::error!(what, "a turn of the notices panicked and will be repeated"),
    }
}
