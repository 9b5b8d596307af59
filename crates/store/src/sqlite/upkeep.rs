//! What the jobs call: sweeping, verifying, closing.

use std::collections::HashMap;

use ::budget::{Command, EscrowError, Key, Resolve, StoreError, Upkeep, Verification, Verifier};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use rusqlite::Connection;

use super::{Sqlite, behind, load, row, row::corrupt, unavailable};

/// The most reservations that one sweep looks at; what is left is swept the next time.
const SWEEP_MOST: i64 = 4_096;
/// How many of them share a commit with whatever else waits.
const SWEEP_AT_ONCE: usize = 64;

/// Holds whose time is over.
pub(super) const DUE: &str = "select key from reservation
    where state = 'held' and expires_at <= ?1
    order by expires_at
    limit ?2 offset ?3";
/// Unresolved holds that are due for their resolution.
pub(super) const OLD: &str = "select key from reservation
    where state = 'unresolved' and updated_at <= ?1
    order by updated_at
    limit ?2 offset ?3";

/// What a sweep has done, and what it could not read.
#[derive(Default)]
struct Sweep {
    swept: u64,
    unread: Option<StoreError>,
}

impl Sqlite {
    /// Carries out a command for each of a list; a further list where some of one can't be read, for
    /// they stay at its head, and others' time is over, too.
    async fn sweep_list(
        &self,
        sweep: &mut Sweep,
        (sql, before): (&'static str, Timestamp),
        command: impl Fn(Key) -> Command,
    ) -> Result<(), StoreError> {
        let mut stuck = 0;
        loop {
            let key = |row: &rusqlite::Row<'_>| row::column::<Key>(row, "key");
            let before = before.as_microsecond();
            let find =
                move |db: &Connection| load::rows(db, sql, &[&before, &SWEEP_MOST, &stuck], key);
            let keys = self.readers.read(find).await?;
            let (found, stuck_before) = (keys.len(), stuck);
            let mut results = stream::iter(keys)
                .map(|key| self.writer.submit(command(key)))
                .buffered(SWEEP_AT_ONCE);
            while let Some(result) = results.next().await {
                match result {
                    Ok(_) => sweep.swept += 1,
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
            let is_more = i64::try_from(found) == Ok(SWEEP_MOST);
            if !is_more || stuck == stuck_before {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Upkeep for Sqlite {
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.look();
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

    /// Nothing: the log is moved by a thread of its own, indexes are filled with each commit
    /// and between them, and no plan waits for statistics.
    async fn maintain(&self, _now: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let one = |db: &Connection| db.query_row("select 1", [], |_| Ok(())).map_err(unavailable);
        self.readers.read(one).await?;
        self.writer.check()
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.readers.read(verify).await
    }

    async fn close(&self) {
        self.writer.close().await;
    }
}

fn verify(db: &Connection) -> Result<Verification, StoreError> {
    let mut verifier = Verifier::default();
    let mark: i64 = one(db, "select row_number from indexed where name = 'entry'")?;
    // The ends of the ledgers whose tenants' rows are behind.
    let mut heads = HashMap::new();
    each(db, "select * from entry order by row_number", |row| {
        match row::entry(row) {
            Ok(entry) => {
                verifier.entry(&entry);
                if row::column::<i64>(row, "row_number")? > mark {
                    heads.insert(entry.tenant, (entry.seq, entry.hash));
                }
            }
            Err(error) => verifier.fault(format!("an entry can't be read: {error}")),
        }
        Ok(())
    })?;
    each(db, "select tenant_id, ledger_seq, ledger_hash from tenant order by tenant_id", |row| {
        let mut head = row::head(row)?;
        if let Some((seq, hash)) = heads.remove(&head.tenant) {
            (head.seq, head.hash) = (seq, hash);
        }
        verifier.head(&head);
        Ok(())
    })?;
    let mut late = behind::accounts(db, None)?;
    each(db, "select * from account", |row| {
        let account = row::account(row)?;
        verifier.account(&late.remove(&account.id).unwrap_or(account));
        Ok(())
    })?;
    late.values().for_each(|account| verifier.account(account));
    each(db, "select * from reservation", |row| {
        match row::reservation(row) {
            Ok(reservation) => verifier.reservation(&reservation),
            Err(error) => verifier.fault(format!("a reservation can't be read: {error}")),
        }
        Ok(())
    })?;
    indexed(db, &mut verifier)?;
    Ok(verifier.finish())
}

/// Looks whether every row up to `indexed` is found by its names: a reservation that isn't could be
/// made twice.
fn indexed(db: &Connection, verifier: &mut Verifier) -> Result<(), StoreError> {
    for (table, index, names) in [
        ("entry", "entry_by_tenant", "i.tenant_id = t.tenant_id and i.seq = t.seq"),
        ("reservation", "reservation_by_key", "i.key = t.key"),
        ("reservation", "reservation_by_time", "i.created_at = t.created_at and i.key = t.key"),
        (
            "reservation",
            "reservation_by_tenant",
            "i.tenant_id = t.tenant_id and i.created_at = t.created_at and i.key = t.key",
        ),
    ] {
        let mark = if index == "reservation_by_key" { "key" } else { table };
        let missing: i64 = one(
            db,
            &format!(
                "select count(*)
                from {table} as t
                left join {index} as i on {names} and i.row_number = t.row_number
                where t.row_number <= (select row_number from indexed where name = '{mark}')
                    and i.row_number is null"
            ),
        )?;
        if missing > 0 {
            verifier.fault(format!("{missing} rows of {table} are missing in {index}"));
        }
    }
    Ok(())
}

fn one<T: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> Result<T, StoreError> {
    db.query_row(sql, [], |row| row.get(0)).map_err(unavailable)
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
