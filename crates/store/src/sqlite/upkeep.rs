//! What the jobs call: sweeping, verifying, closing.

use std::collections::HashSet;

use ::budget::{
    Command, Key, Reservation, Resolve, State, StoreError, Upkeep, Verification, Verifier,
};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use rusqlite::Connection;

use super::{Sqlite, load, row, row::corrupt, unavailable};

/// The most reservations that one sweep looks at; what is left is swept the next time.
const SWEEP_MOST: i64 = 4_096;
/// How many of them share a commit with whatever else waits.
const SWEEP_AT_ONCE: usize = 64;

#[async_trait]
impl Upkeep for Sqlite {
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let defaults = &self.options.defaults;
        let resolve_before = defaults.resolve_after.and_then(|after| now.checked_sub(after).ok());
        let find = move |db: &Connection| {
            let key = |row: &rusqlite::Row<'_>| row::column::<Key>(row, "key");
            let sql = "select key from reservation
                where state = 'held' and expires_at <= ?1
                order by expires_at
                limit ?2";
            let due = load::rows(db, sql, &[&now.as_microsecond(), &SWEEP_MOST], key)?;
            let Some(before) = resolve_before else { return Ok((due, Vec::new())) };
            let sql = "select key from reservation
                where state = 'unresolved' and updated_at <= ?1
                order by updated_at
                limit ?2";
            let old = load::rows(db, sql, &[&before.as_microsecond(), &SWEEP_MOST], key)?;
            Ok((due, old))
        };
        // The tail's are looked for where they are remembered. Those that the table has may have
        // changed since; the command is then refused and leaves them as they are.
        let recent = &self.writer.recent;
        let is_due = |r: &Reservation| r.state == State::Held && r.expires_at <= now;
        let is_old = |r: &Reservation| {
            r.state == State::Unresolved && resolve_before.is_some_and(|old| r.updated_at <= old)
        };
        let (due, old) = match (recent.keys(is_due), recent.keys(is_old)) {
            (Some(recent_due), Some(recent_old)) => {
                let (due, old) = self.readers.read(find).await?;
                (joined(due, recent_due), joined(old, recent_old))
            }
            _ => self.readers.read_merged(find).await?,
        };
        let resolution = defaults.resolution;
        let resolve = |key| Command::Resolve(Resolve { key, resolution });
        let commands = due.into_iter().map(Command::Expire).chain(old.into_iter().map(resolve));
        let mut results = stream::iter(commands)
            .map(|command| self.writer.submit(command))
            .buffered(SWEEP_AT_ONCE);
        let mut swept = 0;
        while let Some(result) = results.next().await {
            match result {
                Ok(_) => swept += 1,
                Err(::budget::EscrowError::Store(error)) => return Err(error),
                // Settled or resolved meanwhile: nothing is left to do.
                Err(_) => {}
            }
        }
        Ok(swept)
    }

    async fn maintain(&self, _now: Timestamp) -> Result<(), StoreError> {
        self.writer.write(None, |db| db.execute_batch("pragma optimize").map_err(unavailable)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let one = |db: &Connection| db.query_row("select 1", [], |_| Ok(())).map_err(unavailable);
        self.readers.read(one).await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.readers.read_merged(verify).await
    }

    async fn close(&self) {
        self.writer.close().await;
    }
}

fn joined(mut keys: Vec<Key>, more: Vec<Key>) -> Vec<Key> {
    let listed: HashSet<Key> = keys.iter().copied().collect();
    keys.extend(more.into_iter().filter(|key| !listed.contains(key)));
    keys
}

fn verify(db: &Connection) -> Result<Verification, StoreError> {
    let mut verifier = Verifier::default();
    each(db, "select * from entry order by tenant_id, seq", |row| {
        match row::entry(row) {
            Ok(entry) => verifier.entry(&entry),
            Err(error) => verifier.fault(format!("an entry can't be read: {error}")),
        }
        Ok(())
    })?;
    verifier.last_entry_read();
    each(db, "select tenant_id, ledger_seq, ledger_hash from tenant order by tenant_id", |row| {
        verifier.head(&row::head(row)?);
        Ok(())
    })?;
    each(db, "select * from account", |row| {
        verifier.account(&row::account(row)?);
        Ok(())
    })?;
    each(db, "select * from reservation", |row| {
        match row::reservation(row) {
            Ok(reservation) => verifier.reservation(&reservation),
            Err(error) => verifier.fault(format!("a reservation can't be read: {error}")),
        }
        Ok(())
    })?;
    Ok(verifier.finish())
}

fn each(
    db: &Connection,
    sql: &str,
    mut read: impl FnMut(&rusqlite::Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = db.prepare(sql).map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    while let Some(row) = rows.next().map_err(corrupt)? {
        read(row)?;
    }
    Ok(())
}
