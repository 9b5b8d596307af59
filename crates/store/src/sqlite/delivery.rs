//! Deliveries: what is told, by which channel, and how far it has come.

use ::budget::{
    Backlog, Claimed, Deliveries, Delivery, DeliveryFilter, Ended, Following, Lease, NewDelivery,
    Outbox, Pace, Step, StoreError, Turn,
};
use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, types::Value};
use uuid::Uuid;

use super::{Sqlite, load, row, save};

const WAITING: &str = "select * from delivery
    where channel = ?1
        and state = 'pending'
        and due_at <= ?2
        and (leased_until is null or leased_until <= ?3)
    order by due_at, coalesce(batch, ''), delivery_id
    limit ?4";

#[async_trait]
impl Outbox for Sqlite {
    async fn follow(&self, channel: &str, now: Timestamp) -> Result<Following, StoreError> {
        let name = channel.to_owned();
        let known = self.readers.read(move |db| following(db, &name)).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        let name = channel.to_owned();
        let begin = move |db: &Connection| {
            let sql = "insert into channel (channel, since, after_event)
                select ?1, ?2, coalesce(max(event_id), 0) from event where true
                on conflict (channel) do nothing";
            save::execute(db, sql, &[&name, &now.as_microsecond()])?;
            following(db, &name)?.ok_or_else(|| row::corrupt("a new channel is not there"))
        };
        self.writer.write(None, begin).await
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
        let channel = channel.to_owned();
        let plan = move |db: &Connection| {
            if let Some(Step { from, to }) = step {
                let sql = "update channel set after_event = ?3
                    where channel = ?1 and after_event = ?2";
                let (from, to) = (row::whole(from)?, row::whole(to)?);
                if save::execute(db, sql, &[&channel, &from, &to])? == 0 {
                    return Ok(0);
                }
            }
            let mut kept = 0;
            for new in &new {
                kept += add(db, &channel, new, now)?;
            }
            Ok(kept as u64)
        };
        self.writer.write(None, plan).await
    }

    async fn claim(
        &self,
        channel: &str,
        pace: &Pace,
        now: Timestamp,
    ) -> Result<Option<Claimed>, StoreError> {
        let (name, wanted) = (channel.to_owned(), pace.clone());
        // Nothing is written, and no commit made, while nothing is due.
        let look = move |db: &Connection| {
            let waiting = waiting(db, &name, &wanted, now)?;
            Ok(!wanted.choose(&waiting, now).is_empty())
        };
        if !self.readers.read(look).await? {
            return Ok(None);
        }
        let (name, pace) = (channel.to_owned(), pace.clone());
        self.writer.write(None, move |db: &Connection| claim(db, &name, &pace, now)).await
    }

    async fn finish(&self, lease: Lease, ended: Ended, now: Timestamp) -> Result<bool, StoreError> {
        let finish = move |db: &Connection| {
            let now = now.as_microsecond();
            let count = match &ended {
                Ended::Delivered => {
                    let sql = "update delivery
                        set state = 'delivered', error = null, lease = null, leased_until = null,
                            updated_at = ?2
                        where lease = ?1";
                    save::execute(db, sql, &[&lease, &now])?
                }
                Ended::Again { due_at, error } => {
                    let sql = "update delivery
                        set attempts = attempts + 1, due_at = ?3, error = ?4, lease = null,
                            leased_until = null, updated_at = ?2
                        where lease = ?1";
                    save::execute(db, sql, &[&lease, &now, &due_at.as_microsecond(), error])?
                }
                Ended::Dead { error } => {
                    let sql = "update delivery
                        set attempts = attempts + 1, state = 'dead', error = ?3, lease = null,
                            leased_until = null, updated_at = ?2
                        where lease = ?1";
                    save::execute(db, sql, &[&lease, &now, error])?
                }
            };
            Ok(count > 0)
        };
        self.writer.write(None, finish).await
    }
}

#[async_trait]
impl Deliveries for Sqlite {
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        let sql = "select * from delivery
            where (?1 is null or state = ?1)
                and (?2 is null or channel = ?2)
                and (?3 is null or at >= ?3)
                and (?4 is null or delivery_id < ?4)
            order by delivery_id desc
            limit ?5";
        let DeliveryFilter { state, channel, from, page } = filter;
        let text = |text: String| Value::Text(text);
        let parameters = vec![
            state.map_or(Value::Null, |state| text(state.as_str().to_owned())),
            channel.map_or(Value::Null, text),
            from.map_or(Value::Null, |from| Value::Integer(from.as_microsecond())),
            page.after.map(row::whole).transpose()?.map_or(Value::Null, Value::Integer),
            Value::Integer(i64::try_from(page.limit).unwrap_or(i64::MAX)),
        ];
        self.readers.read(move |db| load::rows_where(db, sql, &parameters, read)).await
    }

    async fn retry(&self, id: Option<u64>, now: Timestamp) -> Result<u64, StoreError> {
        let retry = move |db: &Connection| {
            let sql = "update delivery
                set state = 'pending', attempts = 0, wanted_at = ?2, due_at = ?2, updated_at = ?2
                where state = 'dead'
                    and (?1 is null
                        or delivery_id = ?1
                        or batch = (select batch from delivery where delivery_id = ?1))";
            let id = id.map(row::whole).transpose()?;
            Ok(save::execute(db, sql, &[&id, &now.as_microsecond()])? as u64)
        };
        self.writer.write(None, retry).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Vec<Backlog>, StoreError> {
        let sql = "select
                channel,
                count(*) filter (where state = 'pending') as pending,
                count(*) filter (where state = 'dead') as dead,
                min(wanted_at) filter (where state = 'pending') as oldest
            from (
                select channel, state, wanted_at from delivery
                where state = 'pending' and wanted_at <= ?1
                union all
                select channel, state, wanted_at from delivery where state = 'dead'
                union all
                select channel, '', null from channel
            )
            group by channel
            order by channel";
        let read = |row: &Row<'_>| {
            let oldest: Option<i64> = row::column(row, "oldest")?;
            Ok(Backlog {
                channel: row::column(row, "channel")?,
                pending: row::count(row, "pending")?,
                dead: row::count(row, "dead")?,
                oldest: oldest.map(row::micros).transpose()?,
            })
        };
        let now = now.as_microsecond();
        self.readers.read(move |db| load::rows(db, sql, &[&now], read)).await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let forget = move |db: &Connection| {
            let sql = "delete from delivery
                where state in ('delivered', 'noted') and updated_at < ?1";
            Ok(save::execute(db, sql, &[&before.as_microsecond()])? as u64)
        };
        self.writer.write(None, forget).await
    }
}

fn following(db: &Connection, channel: &str) -> Result<Option<Following>, StoreError> {
    let sql = "select since, after_event from channel where channel = ?1";
    let read = |row: &Row<'_>| {
        Ok(Following { since: row::time(row, "since")?, after: row::count(row, "after_event")? })
    };
    Ok(load::rows(db, sql, &[&channel], read)?.pop())
}

fn add(
    db: &Connection,
    channel: &str,
    new: &NewDelivery,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let sql = "insert into delivery (key, topic, severity, channel, recipient, facts, at, state,
            wanted_at, due_at, updated_at)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)
        on conflict (key) do nothing";
    save::execute(
        db,
        sql,
        &[
            &new.key,
            &new.topic.as_str(),
            &new.severity.as_str(),
            &channel,
            &new.recipient,
            &new.facts,
            &new.at.as_microsecond(),
            &new.state.as_str(),
            &new.due_at.as_microsecond(),
            &now.as_microsecond(),
        ],
    )
}

fn waiting(
    db: &Connection,
    channel: &str,
    pace: &Pace,
    now: Timestamp,
) -> Result<Vec<Delivery>, StoreError> {
    let (horizon, most) = (pace.horizon(now).as_microsecond(), Pace::WAITING_MOST as i64);
    load::rows(db, WAITING, &[&channel, &horizon, &now.as_microsecond(), &most], read)
}

fn claim(
    db: &Connection,
    channel: &str,
    pace: &Pace,
    now: Timestamp,
) -> Result<Option<Claimed>, StoreError> {
    let waiting = waiting(db, channel, pace, now)?;
    let chosen = pace.choose(&waiting, now);
    let Some(claimed) = Claimed::of(&chosen, Uuid::new_v4(), pace, now) else { return Ok(None) };
    let sql = "select turn from channel where channel = ?1";
    let turn = load::rows(db, sql, &[&channel], |row| row::column::<Option<i64>>(row, "turn"))?;
    let turn = turn.into_iter().flatten().next().map(row::micros).transpose()?;
    let Turn::Now(turn) = pace.turn(turn, now) else { return Ok(None) };
    let sql = "insert into channel (channel, since, after_event, turn)
        select ?1, ?2, coalesce(max(event_id), 0), ?3 from event where true
        on conflict (channel) do update set turn = excluded.turn";
    save::execute(db, sql, &[&channel, &now.as_microsecond(), &turn.as_microsecond()])?;
    let sql = "update delivery
        set batch = ?2, lease = ?3, leased_until = ?4, updated_at = ?5
        where delivery_id = ?1";
    for one in &claimed.deliveries {
        let until = one.leased_until.map(Timestamp::as_microsecond);
        let (id, now) = (row::whole(one.id)?, now.as_microsecond());
        save::execute(db, sql, &[&id, &claimed.batch, &claimed.lease, &until, &now])?;
    }
    Ok(Some(claimed))
}

fn read(found: &Row<'_>) -> Result<Delivery, StoreError> {
    let until: Option<i64> = row::column(found, "leased_until")?;
    let attempts = row::count(found, "attempts")?;
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
        leased_until: until.map(row::micros).transpose()?,
        error: row::column(found, "error")?,
        updated_at: row::time(found, "updated_at")?,
    })
}
