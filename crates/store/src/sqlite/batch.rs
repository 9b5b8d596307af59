//! One transaction for many commands.

use std::sync::Arc;

use ::budget::{Batch, Book, Command, CommandResult, Opening, StoreError};
use focus::TenantId;
use moka::sync::Cache;
use rusqlite::Connection;

use super::{load, save, unavailable};
use crate::{Moment, Options};

/// What a commit needs of the thread that it runs on.
pub(super) trait Seat {
    fn db(&self) -> &Connection;
    fn options(&self) -> &Options;
    /// Committed books.
    fn books(&self) -> &Cache<TenantId, Arc<Book>>;
    /// The transaction has begun: nobody else writes from here on.
    fn began(&mut self);
}

/// Loads what the commands touch, runs them in order, saves, commits, and remembers the books; also
/// those that were asked for, with the accounts opened that had to be.
pub(super) fn commit(
    seat: &mut impl Seat,
    commands: &[&Command],
    asked_for: &[TenantId],
) -> Result<Vec<CommandResult>, StoreError> {
    execute(seat.db(), "begin immediate")?;
    seat.began();
    match run(seat, commands, asked_for) {
        Ok((results, books)) => {
            let durable = seat
                .options()
                .strike(Moment::BeforeCommit)
                .and_then(|()| execute(seat.db(), "commit"));
            durable.inspect_err(|_| {
                let _ = execute(seat.db(), "rollback");
            })?;
            seat.options().strike(Moment::AfterCommit)?;
            for book in books {
                seat.books().insert(book.head.tenant.clone(), Arc::new(book));
            }
            Ok(results)
        }
        Err(error) => {
            execute(seat.db(), "rollback")?;
            Err(error)
        }
    }
}

fn execute(db: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(unavailable)?;
    statement.execute([]).map_err(unavailable)?;
    Ok(())
}

fn run(
    seat: &impl Seat,
    commands: &[&Command],
    asked_for: &[TenantId],
) -> Result<(Vec<CommandResult>, Vec<Book>), StoreError> {
    let (db, options) = (seat.db(), seat.options());
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
        save::changes(db, &changes, now)?;
    }
    for book in &mut changes.books {
        book.forget_past(now);
    }
    Ok((results, changes.books))
}

/// Brings the command's reservation, its tenant's book and its earlier accounts into the batch.
fn bring(seat: &impl Seat, batch: &mut Batch, command: &Command) -> Result<(), StoreError> {
    let db = seat.db();
    let reservation = load::reservation(db, command.key())?;
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
    if let Some(book) = batch.book_mut(&reservation.call.tenant) {
        for id in &reservation.accounts {
            if book.account(*id).is_none()
                && let Some(account) = load::account(db, *id)?
            {
                book.bring(account);
            }
        }
    }
    batch.add_reservation(reservation);
    Ok(())
}

fn bring_book(seat: &impl Seat, batch: &mut Batch, tenant: &TenantId) -> Result<(), StoreError> {
    let (db, now) = (seat.db(), batch.now());
    let book = match seat.books().get(tenant) {
        Some(book) => Book::clone(&book),
        None => load::book(db, tenant, now)?,
    };
    let unopened = book.unopened(now).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    batch.add_book(book);
    for (budget, period) in unopened {
        let opening: Opening = load::opening(db, budget, period)?;
        for reservation in &opening.open {
            for id in &reservation.accounts {
                if let (Some(account), Some(book)) =
                    (load::account(db, *id)?, batch.book_mut(tenant))
                {
                    book.bring(account);
                }
            }
        }
        batch.open(opening).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    }
    Ok(())
}
