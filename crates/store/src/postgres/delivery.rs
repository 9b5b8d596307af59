//! Deliveries: what is told, by which channel, and how far it has come.
//!
//! A claim locks the channel's row, so that replicas take turns and none sends what another has
//! taken.

use ::budget::{
    Backlog, Claimed, Deliveries, Delivery, DeliveryFilter, Ended, Following, Lease, NewDelivery,
    Outbox, Pace, Step, StoreError, Turn,
};
use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, row, unavailable};

const WAITING: &str =
    concat!(include_str!("sql/delivery.sql"), include_str!("sql/deliveries_waiting.sql"));
const LISTED: &str =
    concat!(include_str!("sql/delivery.sql"), include_str!("sql/deliveries_listed.sql"));
const BEGIN: &str = include_str!("sql/save_channel.sql");
const ADD: &str = include_str!("sql/save_delivery.sql");
const ENDED: &str = include_str!("sql/save_ended.sql");
const BACKLOG: &str = include_str!("sql/backlog.sql");
const FOLLOWING: &str = "select since, after_event from channel where channel = $1";
const STEP: &str = "
update channel
set after_event = $3
where channel = $1 and after_event = $2";
const LOCK: &str = "select turn from channel where channel = $1 for update";
const TURN: &str = "update channel set turn = $2 where channel = $1";
const HOLD: &str = "
update delivery
set batch = $2, lease = $3, leased_until = $4, updated_at = $5
where delivery_id = any($1)";
const RETRY: &str = "
update delivery
set state = 'pending', attempts = 0, wanted_at = $2, due_at = $2, updated_at = $2
where state = 'dead'
    and (
        $1::bigint is null
        or delivery_id = $1
        or batch = (select named.batch from delivery as named where named.delivery_id = $1)
    )";
const FORGET: &str = "
delete from delivery
where state in ('delivered', 'noted') and updated_at < $1";

#[async_trait]
impl Outbox for Postgres {
    async fn follow(&self, channel: &str, now: Timestamp) -> Result<Following, StoreError> {
        let known = self.pool.query(FOLLOWING, &[&channel]).await?;
        if let Some(known) = known.first() {
            return following(known);
        }
        self.pool.execute(BEGIN, &[&channel, &now]).await?;
        let known = self.pool.query(FOLLOWING, &[&channel]).await?;
        let known = known.first().ok_or_else(|| row::corrupt("a new channel is not there"))?;
        following(known)
    }

    async fn plan(
        &self,
        channel: &str,
        step: Option<Step>,
        new: Vec<NewDelivery>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        if step.is_none() && new.is_empty() {
            return Ok(0);
        }
        let mut db = self.pool.get().await?;
        let work = db.transaction().await.map_err(unavailable)?;
        if let Some(Step { from, to }) = step {
            let (from, to) = (row::whole(from)?, row::whole(to)?);
            let taken = work.execute(STEP, &[&channel, &from, &to]).await.map_err(unavailable)?;
            if taken == 0 {
                return Ok(0);
            }
        }
        let mut kept = 0;
        for new in &new {
            let columns: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[
                &new.key,
                &new.topic.as_str(),
                &new.severity.as_str(),
                &channel,
                &new.recipient,
                &new.facts,
                &new.at,
                &new.state.as_str(),
                &new.due_at,
                &now,
            ];
            kept += work.execute(ADD, columns).await.map_err(unavailable)?;
        }
        work.commit().await.map_err(unavailable)?;
        Ok(kept)
    }

    async fn claim(
        &self,
        channel: &str,
        pace: &Pace,
        now: Timestamp,
    ) -> Result<Option<Claimed>, StoreError> {
        let (horizon, most) = (pace.horizon(now), Pace::WAITING_MOST as i64);
        let asked: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&channel, &horizon, &now, &most];
        // Nothing is locked while nothing is due.
        let waiting = self.pool.query(WAITING, asked).await?;
        if pace.choose(&deliveries(&waiting)?, now).is_empty() {
            return Ok(None);
        }
        let mut db = self.pool.get().await?;
        let work = db.transaction().await.map_err(unavailable)?;
        work.execute(BEGIN, &[&channel, &now]).await.map_err(unavailable)?;
        let turn = work.query_one(LOCK, &[&channel]).await.map_err(unavailable)?;
        let turn: Option<Timestamp> = row::column(&turn, "turn")?;
        let waiting = work.query(WAITING, asked).await.map_err(unavailable)?;
        let waiting = deliveries(&waiting)?;
        let chosen = pace.choose(&waiting, now);
        let claimed = Claimed::of(&chosen, Uuid::new_v4(), pace, now);
        let (Some(claimed), Turn::Now(turn)) = (claimed, pace.turn(turn, now)) else {
            return Ok(None);
        };
        work.execute(TURN, &[&channel, &turn]).await.map_err(unavailable)?;
        let ids = claimed.deliveries.iter().map(|one| row::whole(one.id));
        let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
        let until = claimed.deliveries.first().and_then(|one| one.leased_until);
        let held: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&ids, &claimed.batch, &claimed.lease, &until, &now];
        work.execute(HOLD, held).await.map_err(unavailable)?;
        work.commit().await.map_err(unavailable)?;
        Ok(Some(claimed))
    }

    async fn finish(&self, lease: Lease, ended: Ended, now: Timestamp) -> Result<bool, StoreError> {
        let none: Option<Timestamp> = None;
        let (state, failed, due_at, error) = match ended {
            Ended::Delivered => ("delivered", 0_i32, none, None),
            Ended::Again { due_at, error } => ("pending", 1, Some(due_at), Some(error)),
            Ended::Dead { error } => ("dead", 1, none, Some(error)),
        };
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&lease, &now, &state, &failed, &due_at, &error];
        Ok(self.pool.execute(ENDED, parameters).await? > 0)
    }
}

#[async_trait]
impl Deliveries for Postgres {
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        let DeliveryFilter { state, channel, from, page } = filter;
        let state = state.map(|state| state.as_str());
        let after = page.after.map(row::whole).transpose()?;
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let found = self.pool.query(LISTED, &[&state, &channel, &from, &after, &limit]).await?;
        deliveries(&found)
    }

    async fn retry(&self, id: Option<u64>, now: Timestamp) -> Result<u64, StoreError> {
        let id = id.map(row::whole).transpose()?;
        self.pool.execute(RETRY, &[&id, &now]).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Vec<Backlog>, StoreError> {
        let found = self.pool.query(BACKLOG, &[&now]).await?;
        let read = |row: &Row| {
            Ok(Backlog {
                channel: row::column(row, "channel")?,
                pending: row::count(row, "pending")?,
                dead: row::count(row, "dead")?,
                oldest: row::column(row, "oldest")?,
            })
        };
        found.iter().map(read).collect()
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.pool.execute(FORGET, &[&before]).await
    }
}

fn following(found: &Row) -> Result<Following, StoreError> {
    Ok(Following { since: row::time(found, "since")?, after: row::count(found, "after_event")? })
}

fn deliveries(found: &[Row]) -> Result<Vec<Delivery>, StoreError> {
    found.iter().map(read).collect()
}

fn read(found: &Row) -> Result<Delivery, StoreError> {
    let attempts: i32 = row::column(found, "attempts")?;
    Ok(Delivery {
        id: row::count(found, "delivery_id")?,
        key: row::column(found, "key")?,
        topic: row::parsed(found, "topic")?,
        severity: row::parsed(found, "severity")?,
        channel: row::column(found, "channel")?,
        recipient: row::column(found, "recipient")?,
        facts: row::column(found, "facts")?,
        at: row::time(found, "at")?,
        state: row::parsed(found, "state")?,
        attempts: u32::try_from(attempts).map_err(row::corrupt)?,
        wanted_at: row::time(found, "wanted_at")?,
        due_at: row::time(found, "due_at")?,
        batch: row::column(found, "batch")?,
        leased_until: row::column(found, "leased_until")?,
        error: row::column(found, "error")?,
        updated_at: row::time(found, "updated_at")?,
    })
}
