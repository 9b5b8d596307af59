//! One transaction for many commands.

use std::sync::Arc;

use ::budget::{Batch, Book, Changes, Command, CommandResult, Opening, Reservation, StoreError};
use focus::TenantId;
use moka::sync::Cache;
use rusqlite::Connection;

use super::{
    load, save,
    tail::{Place, Tail},
    unavailable,
};
use crate::{Moment, Options};

/// What a commit needs of the thread that it runs on.
pub(super) trait Seat {
    fn db(&self) -> &Connection;
    fn options(&self) -> &Options;
    /// Committed books.
    fn books(&self) -> &Cache<TenantId, Arc<Book>>;
    /// What is committed and not in its place.
    fn tail(&mut self) -> &mut Tail;
    /// The transaction has begun: nobody else writes from here on.
    fn began(&mut self) -> Result<(), StoreError>;
    /// Puts everything committed in its place.
    fn merge(&mut self) -> Result<(), StoreError>;
}

/// Loads what the commands touch, runs them in order, saves, commits, and remembers the books; also
/// those that were asked for, with the accounts opened that had to be.
pub(super) fn commit(
    seat: &mut impl Seat,
    commands: &[&Command],
    asked_for: &[TenantId],
) -> Result<Vec<CommandResult>, StoreError> {
    let (results, mut changes) = in_transaction(seat, |seat| {
        if seat.tail().is_due() {
            seat.merge()?;
        }
        let done = run(seat, commands, asked_for)?;
        seat.options().strike(Moment::BeforeCommit)?;
        Ok(done)
    })?;
    seat.options().strike(Moment::AfterCommit)?;
    seat.tail().committed(Some(&mut changes));
    for book in changes.books {
        seat.books().insert(book.head.tenant.clone(), Arc::new(book));
    }
    Ok(results)
}

/// Puts everything committed in its place, in a transaction of its own.
pub(super) fn merge(seat: &mut impl Seat) -> Result<(), StoreError> {
    in_transaction(seat, Seat::merge)?;
    seat.tail().committed(None);
    Ok(())
}

fn in_transaction<S: Seat, T>(
    seat: &mut S,
    work: impl FnOnce(&mut S) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    execute(seat.db(), "begin immediate")?;
    let done = seat.began().and_then(|()| work(seat));
    let done = done.and_then(|done| execute(seat.db(), "commit").map(|()| done));
    done.inspect_err(|_| {
        let _ = execute(seat.db(), "rollback");
    })
}

fn execute(db: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    statement.execute([]).map_err(unavailable)?;
    Ok(())
}

fn run(
    seat: &mut impl Seat,
    commands: &[&Command],
    asked_for: &[TenantId],
) -> Result<(Vec<CommandResult>, Changes), StoreError> {
    let options = seat.options();
    let mut batch = Batch::new(options.defaults.clone(), (options.clock)());
    for command in commands {
        bring(seat, &mut batch, command)?;
    }
    for tenant in asked_for {
        if batch.book(tenant).is_none() {
            bring_book(seat, &mut batch, tenant)?;
        }
    }
    let results = commands.iter().map(|command| batch.run(command)).collect();
    let now = batch.now();
    let mut changes = batch.finish();
    if !changes.is_empty() {
        save::changes(seat.db(), &changes, now)?;
    }
    for book in &mut changes.books {
        book.forget_past(now);
    }
    Ok((results, changes))
}

/// Brings the command's reservation, its tenant's book and its earlier accounts into the batch.
fn bring(seat: &mut impl Seat, batch: &mut Batch, command: &Command) -> Result<(), StoreError> {
    let reservation = match seat.tail().recent.find(command.key()) {
        Place::Here(reservation) => Some(Reservation::clone(&reservation)),
        // A transaction begins with a merge where the tail is not known.
        Place::Table | Place::Anywhere => load::reservation(seat.db(), command.key())?,
    };
    let tenants = [
        reservation.as_ref().map(|reservation| reservation.call.tenant.clone()),
        command.call().map(|call| call.tenant.clone()),
    ];
    for tenant in tenants.into_iter().flatten() {
        if batch.book(&tenant).is_none() {
            bring_book(seat, batch, &tenant)?;
        }
    }
    let Some(reservation) = reservation else { return Ok(()) };
    bring_accounts(seat, batch, &reservation)?;
    batch.add_reservation(reservation);
    Ok(())
}

/// Brings the accounts that a reservation counts in, also those of earlier periods.
fn bring_accounts(
    seat: &mut impl Seat,
    batch: &mut Batch,
    reservation: &Reservation,
) -> Result<(), StoreError> {
    let tenant = &reservation.call.tenant;
    let Some(book) = batch.book_mut(tenant) else { return Ok(()) };
    for id in &reservation.accounts {
        if book.account(*id).is_some() {
            continue;
        }
        merge_for(seat, tenant)?;
        if let Some(account) = load::account(seat.db(), *id)? {
            book.bring(account);
        }
    }
    Ok(())
}

/// Before anything of a tenant's is read from the tables.
fn merge_for(seat: &mut impl Seat, tenant: &TenantId) -> Result<(), StoreError> {
    if seat.tail().concerns(tenant) {
        seat.merge()?;
    }
    Ok(())
}

fn bring_book(
    seat: &mut impl Seat,
    batch: &mut Batch,
    tenant: &TenantId,
) -> Result<(), StoreError> {
    let now = batch.now();
    let book = match seat.books().get(tenant) {
        Some(book) => Book::clone(&book),
        None => {
            merge_for(seat, tenant)?;
            load::book(seat.db(), tenant, now)?
        }
    };
    let unopened = book.unopened(now).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    batch.add_book(book);
    for (budget, period) in unopened {
        merge_for(seat, tenant)?;
        let opening: Opening = load::opening(seat.db(), budget, period)?;
        for reservation in &opening.open {
            bring_accounts(seat, batch, reservation)?;
        }
        batch.open(opening).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    }
    Ok(())
}
