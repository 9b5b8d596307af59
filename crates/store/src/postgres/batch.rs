//! Group commit: commands that arrive together share one transaction.
//!
//! Two round trips: lock and load; save and commit. A transaction that somebody else was in the way
//! of, or of whose commit nothing was heard, is carried out again: what it had done already is then
//! found under its keys and answered as a replay. Commands of a tenant whose row somebody holds, an
//! operator's open transaction say, are set aside (`aside`), so that nobody else waits with them.

mod aside;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use ::budget::{Batch, Book, Command, CommandResult, EscrowError, Key, StoreError};
use deadpool_postgres::Object;
use focus::TenantId;
use jiff::{Timestamp, Unit};
use moka::sync::Cache;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{
    load,
    pool::{Pool, describe, is_passing},
    row::{column, corrupt, parsed},
    save,
};
use crate::{Moment, Options, names, queue::Job};
use aside::{ASIDE_EVERY, Aside, named};

/// How long a batch waits for the rows of its tenants: longer than replicas have them.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How long those wait whose tenant somebody is known to hold: everybody else waits with them.
const LOCK_GLIMPSE: Duration = Duration::from_millis(50);

/// How often a transaction is tried.
const TRIES: u32 = 8;

/// Why a transaction was not committed, or may not have been.
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Trying again may help.
    pub(super) passing: bool,
    /// A lock was not given in time; nothing was done.
    pub(super) held: bool,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let passing = is_passing(&error);
        tracing::debug!(passing, error = describe(&error), "a transaction was not committed");
        let held = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        Self { passing, held, error: StoreError::unavailable(error) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, passing: false, held: false }
    }
}

/// The one task of a replica that changes balances.
pub(super) struct Committer {
    pub(super) pool: Pool,
    pub(super) options: Options,
    pub(super) books: Cache<TenantId, Arc<Book>>,
    /// Takes the budgets whose rows in `ai_token_budgets` could not be brought up to date.
    pub(super) behind: mpsc::UnboundedSender<Vec<Uuid>>,
}

impl Committer {
    /// Commits what arrives until the queue is closed and empty.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let most = self.options.batch_max.max(1);
        let (mut seat, mut aside) = (None, Aside::default());
        loop {
            let mut taken = Vec::with_capacity(most);
            let arrived = jobs.recv_many(&mut taken, most);
            let is_open = match aside.is_empty() {
                true => arrived.await > 0,
                false => timeout(ASIDE_EVERY, arrived).await != Ok(0),
            };
            if !is_open {
                if aside.is_empty() {
                    break;
                }
                tokio::time::sleep(ASIDE_EVERY).await;
            }
            // Whose those are that name a key alone matters only while somebody is waited for.
            let tenants = match aside.is_empty() {
                true => HashMap::new(),
                false => self.tenants(taken.iter().filter(|job| named(job).is_none())).await,
            };
            let taken = aside.join(taken, &tenants, self.options.queue_max);
            names::waiting(jobs.len());
            if let Some(stuck) = self.serve(&mut seat, taken, LOCK_PATIENCE).await {
                for (tenant, jobs) in self.by_tenant(stuck).await {
                    if let Some(stuck) = self.serve(&mut seat, jobs, LOCK_GLIMPSE).await {
                        aside.put(tenant, stuck);
                    }
                }
            }
            for mut group in aside.take_due() {
                let jobs = std::mem::take(&mut group.jobs);
                if let Some(stuck) = self.serve(&mut seat, jobs, LOCK_GLIMPSE).await {
                    group.jobs = stuck;
                    aside.put_back(group);
                }
            }
        }
        // It is set up for batches alone: nobody else gets it.
        drop(seat.map(Object::take));
    }

    /// Commits jobs and answers them; gives them back, to be tried tenant by tenant, when somebody
    /// holds a row that they need, or one can't be read.
    async fn serve(
        &self,
        seat: &mut Option<Object>,
        jobs: Vec<Job>,
        patience: Duration,
    ) -> Option<Vec<Job>> {
        if jobs.is_empty() {
            return None;
        }
        let (commands, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.command, job.reply)).unzip();
        let since = Instant::now();
        // Who has stopped waiting hears nothing; what was asked is done all the same.
        match self.commit(seat, &commands, patience).await {
            Ok(Some(results)) => {
                names::committed(results.len(), since);
                for (reply, result) in replies.into_iter().zip(results) {
                    let _ = reply.send(result);
                }
            }
            Ok(None) => return Some(joined(commands, replies)),
            // A row that can't be read is its tenant's own trouble.
            Err(StoreError::Corrupt(_)) if patience == LOCK_PATIENCE && commands.len() > 1 => {
                return Some(joined(commands, replies));
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(EscrowError::Store(error.clone())));
                }
            }
        }
        None
    }

    /// Carries out commands in one transaction, on the connection that has served so far; `None`
    /// when a lock was not given.
    async fn commit(
        &self,
        seat: &mut Option<Object>,
        commands: &[Command],
        patience: Duration,
    ) -> Result<Option<Vec<CommandResult>>, StoreError> {
        let mut tries = Tries::default();
        loop {
            match self.attempt(seat, commands, patience).await {
                Ok(results) => return Ok(Some(results)),
                Err(failure) if failure.held => return Ok(None),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    async fn attempt(
        &self,
        seat: &mut Option<Object>,
        commands: &[Command],
        patience: Duration,
    ) -> Result<Vec<CommandResult>, Failure> {
        let db = match seat.take() {
            Some(db) => db,
            None => {
                let db = self.pool.writer().await?;
                db.batch_execute(load::SESSION).await?;
                db
            }
        };
        let done = self.transact(&db, commands, patience).await;
        let is_usable = match &done {
            Ok(_) => true,
            Err(failure) => {
                let is_known = failure.held || matches!(failure.error, StoreError::Corrupt(_));
                is_known && db.batch_execute("rollback").await.is_ok()
            }
        };
        if is_usable {
            *seat = Some(db);
        } else {
            // Its state is unknown: closing it rolls back what was not committed.
            drop(Object::take(db));
        }
        done
    }

    /// The tenants of the reservations that exist under jobs' keys.
    async fn tenants(&self, jobs: impl Iterator<Item = &Job>) -> HashMap<Key, TenantId> {
        let keys: Vec<Key> = jobs.map(|job| job.command.key()).collect();
        if keys.is_empty() {
            return HashMap::new();
        }
        let sql = "select key, tenant_id from reservation where key = any ($1)";
        let found = self.pool.query(sql, &[&keys]).await.unwrap_or_default();
        let tenant = |row| Some((column(row, "key").ok()?, parsed(row, "tenant_id").ok()?));
        found.iter().filter_map(tenant).collect()
    }

    /// Jobs by the tenant that they name, or whose reservation they name.
    async fn by_tenant(&self, jobs: Vec<Job>) -> BTreeMap<Option<TenantId>, Vec<Job>> {
        let mut known = self.tenants(jobs.iter()).await;
        for job in &jobs {
            if let Some(tenant) = named(job) {
                known.entry(job.command.key()).or_insert_with(|| tenant.clone());
            }
        }
        let mut groups: BTreeMap<_, Vec<Job>> = BTreeMap::new();
        for job in jobs {
            let tenant = named(&job).or_else(|| known.get(&job.command.key())).cloned();
            groups.entry(tenant).or_default().push(job);
        }
        groups
    }

    async fn transact(
        &self,
        db: &Object,
        commands: &[Command],
        patience: Duration,
    ) -> Result<Vec<CommandResult>, Failure> {
        let to_load = load::Statements::prepare(db).await?;
        let to_save = save::Statements::prepare(db).await?;
        let now = (self.options.clock)();
        let now = now.round(Unit::Microsecond).unwrap_or(now);
        let tenants: BTreeSet<&TenantId> =
            commands.iter().filter_map(Command::call).map(|call| &call.tenant).collect();
        let names: Vec<&str> = tenants.iter().map(|tenant| tenant.as_str()).collect();
        let keys: BTreeSet<Key> = commands.iter().map(Command::key).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut loaded = load::begin(db, &to_load, &names, &keys, now, patience).await??;
        let mut batch = Batch::new(self.options.defaults.clone(), now);
        let books = loaded.books(tenants.into_iter().cloned());
        let known = save::Known {
            tenants: loaded.heads.into_keys().collect(),
            keys: loaded.reservations.iter().map(|reservation| reservation.key).collect(),
        };
        for reservation in loaded.reservations {
            if !known.tenants.contains(&reservation.call.tenant) {
                // It was made after the tenants were locked, by another replica.
                return Err(overtaken(&reservation.call.tenant));
            }
            batch.add_reservation(reservation);
        }
        let known = open(db, &mut batch, books, known, now).await?;
        bring(db, &mut batch, commands).await?;
        let results = commands.iter().map(|command| batch.run(command)).collect();
        let now = batch.now();
        let mut changes = batch.finish();
        self.options.strike(Moment::BeforeCommit)?;
        if changes.is_empty() {
            db.batch_execute("rollback").await?;
        } else {
            let behind = save::commit(db, &to_save, &changes, &known, now).await?;
            if !behind.is_empty() {
                // Nobody follows any more when the store is closing.
                let _ = self.behind.send(behind);
            }
        }
        self.options.strike(Moment::AfterCommit)?;
        for mut book in changes.books.drain(..) {
            book.forget_past(now);
            self.books.insert(book.head.tenant.clone(), Arc::new(book));
        }
        Ok(results)
    }
}

/// Brings the books into the batch, with what their periods had spent before their budgets came.
async fn open(
    db: &Object,
    batch: &mut Batch,
    books: Vec<Book>,
    mut known: save::Known,
    now: Timestamp,
) -> Result<save::Known, Failure> {
    let mut unopened = Vec::new();
    for mut book in books {
        unopened.extend(book.unopened(now).map_err(corrupt)?);
        batch.add_book(book);
    }
    for (budget, period) in unopened {
        let opening = load::opening(db, budget, period).await??;
        known.keys.extend(opening.open.iter().map(|reservation| reservation.key));
        batch.open(opening).map_err(corrupt)?;
    }
    Ok(known)
}

/// Brings in the earlier accounts that a settle counts in because it first says whose call it was.
async fn bring(db: &Object, batch: &mut Batch, commands: &[Command]) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for command in commands {
        missing.extend(batch.missing(command).map_err(corrupt)?);
    }
    if missing.is_empty() {
        return Ok(());
    }
    for (tenant, account) in load::accounts(db, &missing).await?? {
        if let Some(book) = batch.book_mut(&tenant) {
            book.bring(account);
        }
    }
    Ok(())
}

fn overtaken(tenant: &TenantId) -> Failure {
    let cause = std::io::Error::other(format!("tenant {tenant} was not locked"));
    Failure { error: StoreError::unavailable(cause), passing: true, held: false }
}

/// Counts how often a transaction was tried.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Waits before the next try, longer each time and not the same in any two replicas; gives the
    /// error back when there is none.
    pub(super) async fn again(&mut self, failure: Failure) -> Result<(), StoreError> {
        self.0 += 1;
        if !failure.passing || self.0 == TRIES {
            tracing::error!(error = ?failure.error, tries = self.0, "a transaction has failed");
            return Err(failure.error);
        }
        let random = u64::from(Uuid::new_v4().as_bytes()[0]);
        let pause = Duration::from_micros((1 << self.0) * 1_000 * (128 + random) / 256);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn joined(commands: Vec<Command>, replies: Vec<oneshot::Sender<CommandResult>>) -> Vec<Job> {
    let jobs = commands.into_iter().zip(replies);
    jobs.map(|(command, reply)| Job { command, reply }).collect()
}
