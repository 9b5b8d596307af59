//! What the jobs call: sweeping, maintaining, verifying, closing.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use ::budget::{Command, EscrowError, Key, Resolve, StoreError, Upkeep, Verification, Verifier};
use async_trait::async_trait;
use deadpool_postgres::{Object, Transaction};
use futures_util::{TryStreamExt, future::join_all};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::{
    Postgres,
    pool::{Pool, unavailable},
    row,
};
use crate::Clock;

/// How often a row that somebody holds is tried again: several times in the second within which
/// readers of `ai_token_budgets` see what was answered.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// The most reservations that one sweep looks at; what is left is swept the next time.
const SWEEP_MOST: i64 = 4_096;

/// The months whose partitions of `ai_token_usage` exist before they begin, the running one
/// included.
const MONTHS_AHEAD: i32 = 3;

const DUE: &str = "
select key
from reservation
where state = 'held'
    and expires_at <= $1
order by expires_at
limit $2
offset $3";
const OLD: &str = "
select key
from reservation
where state = 'unresolved'
    and updated_at <= $1
order by updated_at
limit $2
offset $3";

/// One replica at a time tidies, and one refreshes the summary.
const TIDY_LOCK: &str = "select pg_try_advisory_xact_lock('upkeep'::regclass::oid::bigint)";
const SUMMARY_LOCK: &str =
    "select pg_try_advisory_xact_lock('ai_budget_summary'::regclass::oid::bigint)";

/// What a sweep has done, and what it could not read.
#[derive(Default)]
struct Sweep {
    swept: u64,
    unread: Option<StoreError>,
}

impl Postgres {
    /// Carries out a command for each of a list; a further list where some of one can't be read, for
    /// they stay at its head, and others' time is over, too.
    async fn sweep_list(
        &self,
        sweep: &mut Sweep,
        (sql, before): (&str, Timestamp),
        command: impl Fn(Key) -> Command,
    ) -> Result<(), StoreError> {
        let mut stuck = 0_i64;
        loop {
            let stuck_before = stuck;
            let found = self.pool.query(sql, &[&before, &SWEEP_MOST, &stuck]).await?;
            let keys = found.iter().map(|found| row::column::<Key>(found, "key"));
            let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
            // No more at once than one transaction takes: callers have room in the queue beside
            // them.
            for some in keys.chunks(self.options.batch_max.max(1)) {
                let some = some.iter().map(|key| self.submit(command(*key)));
                for outcome in join_all(some).await {
                    match outcome {
                        Ok(outcome) => sweep.swept += u64::from(!outcome.replayed),
                        // A row that can't be read is its tenant's own trouble.
                        Err(EscrowError::Store(error @ StoreError::Corrupt(_))) => {
                            sweep.unread = Some(error);
                            stuck += 1;
                        }
                        Err(EscrowError::Store(error)) => return Err(error),
                        // Settled or resolved meanwhile: nothing is left to do.
                        Err(_) => {}
                    }
                }
            }
            let is_more = i64::try_from(keys.len()) == Ok(SWEEP_MOST);
            if !is_more || stuck == stuck_before {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Upkeep for Postgres {
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut sweep = Sweep::default();
        let defaults = &self.options.defaults;
        self.sweep_list(&mut sweep, (DUE, now), Command::Expire).await?;
        if let Some(before) = defaults.resolve_after.and_then(|after| now.checked_sub(after).ok()) {
            let resolution = defaults.resolution;
            let resolve = |key| Command::Resolve(Resolve { key, resolution });
            self.sweep_list(&mut sweep, (OLD, before), resolve).await?;
        }
        sweep.unread.map_or(Ok(sweep.swept), Err)
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut db = self.pool.get().await?;
        tidy(&mut db, now).await.map_err(unavailable)?;
        refresh(&mut db, now).await.map_err(unavailable)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pool.query("select 1", &[]).await.map(drop)
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        let mut db = self.pool.get().await?;
        let step = db.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        // One snapshot for all: traffic goes on beside it.
        let step = step.read_only(true).start().await.map_err(unavailable)?;
        let found = verify(&step).await;
        step.rollback().await.map_err(unavailable)?;
        found
    }

    async fn close(&self) {
        self.drain().await;
    }
}

/// Brings rows of `ai_token_budgets` up to date that somebody held when a batch changed what they
/// show. What a process that dies leaves behind, `maintain` catches up with.
pub(super) struct Follower {
    pub(super) pool: Pool,
    pub(super) clock: Clock,
}

impl Follower {
    /// Follows until the batches end, and then once more.
    pub(super) async fn run(self, mut passed_over: mpsc::UnboundedReceiver<Vec<Uuid>>) {
        let mut behind = BTreeSet::new();
        while let Some(some) = passed_over.recv().await {
            behind.extend(some);
            let mut is_open = true;
            while is_open && !behind.is_empty() {
                tokio::time::sleep(FOLLOW_EVERY).await;
                is_open = loop {
                    match passed_over.try_recv() {
                        Ok(more) => behind.extend(more),
                        Err(mpsc::error::TryRecvError::Empty) => break true,
                        Err(mpsc::error::TryRecvError::Disconnected) => break false,
                    }
                };
                // A database that is away is heard of elsewhere; here it only takes longer.
                if let Ok(still) = self.follow(&behind).await {
                    behind = still;
                }
            }
        }
    }

    /// Gives back those whose rows are still held.
    async fn follow(&self, behind: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, StoreError> {
        let budgets: Vec<Uuid> = behind.iter().copied().collect();
        let sql = "select bursar_follow($1, $2) as still";
        let found = self.pool.query(sql, &[&budgets, &(self.clock)()]).await?;
        let still = found.first().map(|found| row::column::<Vec<Uuid>>(found, "still"));
        Ok(still.transpose()?.unwrap_or_default().into_iter().collect())
    }
}

/// Takes a lock that ends with the transaction; `false` when another replica has it.
async fn locks(step: &Transaction<'_>, lock: &str) -> Result<bool, tokio_postgres::Error> {
    step.query_one(lock, &[]).await?.try_get(0)
}

/// Makes partitions ahead and brings the rows of `ai_token_budgets` up to date.
async fn tidy(db: &mut Object, now: Timestamp) -> Result<(), tokio_postgres::Error> {
    let step = db.transaction().await?;
    // Traffic does not wait behind us while we wait for somebody's long query.
    step.batch_execute("set local lock_timeout = '2s'; set local bursar.writing = 'on'").await?;
    if !locks(&step, TIDY_LOCK).await? {
        return step.rollback().await;
    }
    let partitions = "
        select bursar_make_partition($1::timestamptz + make_interval(months => ahead))
        from generate_series(0, $2) as ahead";
    step.query(partitions, &[&now, &MONTHS_AHEAD]).await?;
    step.query_one("select reset_monthly_budgets()", &[]).await?;
    let claim = "
        update upkeep
        set caught_up_at = $1
        where caught_up_at is null
            or caught_up_at > $1
            or caught_up_at <= $1 - interval '1 minute'";
    if step.execute(claim, &[&now]).await? > 0 {
        step.query_one("select bursar_catch_up($1)", &[&now]).await?;
    }
    step.commit().await
}

/// Refreshes the summary when it is an hour old.
async fn refresh(db: &mut Object, now: Timestamp) -> Result<(), tokio_postgres::Error> {
    let step = db.transaction().await?;
    if !locks(&step, SUMMARY_LOCK).await? {
        return step.rollback().await;
    }
    let claim = "
        update upkeep
        set summary_refreshed_at = $1
        where summary_refreshed_at is null
            or summary_refreshed_at > $1
            or summary_refreshed_at <= $1 - interval '1 hour'";
    if step.execute(claim, &[&now]).await? > 0 {
        step.batch_execute("refresh materialized view concurrently ai_budget_summary").await?;
    }
    step.commit().await
}

async fn verify(step: &Transaction<'_>) -> Result<Verification, StoreError> {
    let mut verifier = Verifier::default();
    let entries = concat!(include_str!("sql/entry.sql"), "order by tenant_id, seq");
    each(step, entries, |found| match row::entry(found) {
        Ok(entry) => verifier.entry(&entry),
        Err(error) => verifier.fault(format!("an entry can't be read: {error}")),
    })
    .await?;
    let heads = concat!(include_str!("sql/tenant.sql"), "order by tenant_id");
    each(step, heads, |found| match row::head(found) {
        Ok(head) => verifier.head(&head),
        Err(error) => verifier.fault(format!("a tenant can't be read: {error}")),
    })
    .await?;
    each(step, include_str!("sql/account.sql"), |found| match row::account(found) {
        Ok(account) => verifier.account(&account),
        Err(error) => verifier.fault(format!("an account can't be read: {error}")),
    })
    .await?;
    each(step, include_str!("sql/reservation.sql"), |found| match row::reservation(found) {
        Ok(reservation) => verifier.reservation(&reservation),
        Err(error) => verifier.fault(format!("a reservation can't be read: {error}")),
    })
    .await?;
    Ok(verifier.finish())
}

/// Reads rows as they come, without keeping them.
async fn each(
    step: &Transaction<'_>,
    sql: &str,
    mut read: impl FnMut(&Row),
) -> Result<(), StoreError> {
    let nothing: [i32; 0] = [];
    let rows = step.query_raw(sql, nothing).await.map_err(unavailable)?;
    let mut rows = pin!(rows);
    while let Some(found) = rows.try_next().await.map_err(unavailable)? {
        read(&found);
    }
    Ok(())
}
