//! One transaction for many commands.

use std::sync::Arc;

use ::budget::{
    AccountId, Batch, Book, Changes, Command, CommandResult, EscrowError, Key, Reserve, StoreError,
};
use focus::TenantId;
use foldhash::HashMap;
use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    behind::{Behind, Numbered, Place, Saved},
    cover::{Covers, Decided},
    load,
    row::corrupt,
    save::{self, Places},
    unavailable,
    writer::Books,
};
use crate::{Moment, Options};

/// What a commit needs of the thread that it runs on.
pub(super) trait Seat {
    fn db(&self) -> &Connection;
    fn options(&self) -> &Options;
    /// The time. Where it has gone back, nothing is remembered of books: they have forgotten what ran
    /// out in between, and runs again.
    fn now(&mut self) -> Timestamp;
    /// Committed books.
    fn books(&self) -> &Books;
    /// What is committed and not in its place.
    fn behind(&mut self) -> &mut Behind;
    /// Both at once.
    fn db_and_behind(&mut self) -> (&Connection, &mut Behind);
    /// What stands in for holds that are not on the disk.
    fn covers(&mut self) -> &mut Covers;
    /// The database with them.
    fn db_and_covers(&mut self) -> (&Connection, &mut Covers);
    /// The transaction has begun: nobody else writes from here on.
    fn began(&mut self) -> Result<(), StoreError>;
}

/// What a batch has led to.
struct Done {
    results: Vec<CommandResult>,
    changes: Changes,
    saved: Saved,
    decided: Decided,
    now: Timestamp,
}

/// What a command has led to, and whether it may be told before the commit is on the disk.
pub(super) type Told = (CommandResult, bool);

/// Loads what the commands touch, runs them in order, saves, commits, and remembers the books; also
/// those that were asked for, with the accounts opened that had to be. Nothing is synced to disk.
pub(super) fn commit(
    seat: &mut impl Seat,
    commands: &[&Command],
    asked_for: &[TenantId],
) -> Result<Vec<Told>, StoreError> {
    let Done { results, mut changes, saved, decided, now } = in_transaction(seat, |seat| {
        let done = run(seat, commands, asked_for)?;
        seat.options().strike(Moment::BeforeCommit)?;
        Ok(done)
    })?;
    seat.options().strike(Moment::AfterCommit)?;
    seat.behind().committed(&mut changes, saved);
    seat.covers().committed(decided.raises, now);
    for book in changes.books {
        seat.books().insert(book.head.tenant.clone(), Arc::new(book));
    }
    Ok(results.into_iter().zip(decided.early).collect())
}

/// Puts rows in their places, as much as with so many commands. Nothing is synced to disk.
pub(super) fn tidy(seat: &mut impl Seat, commands: usize) -> Result<(), StoreError> {
    in_transaction(seat, |seat| {
        let many = seat.options().index_at_once;
        let (db, behind) = seat.db_and_behind();
        behind.step(db, commands, many)
    })?;
    seat.behind().committed(&mut Changes::default(), Saved::default());
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

fn run<S: Seat>(
    seat: &mut S,
    commands: &[&Command],
    asked_for: &[TenantId],
) -> Result<Done, StoreError> {
    let mut unread = HashMap::default();
    let (mut batch, places) = bring(seat, commands, asked_for, &mut unread)?;
    let mut run = |(place, command): (usize, &&Command)| match unread.remove(&place) {
        Some(error) => Err(EscrowError::Store(error)),
        None => batch.run(command),
    };
    let results: Vec<_> = commands.iter().enumerate().map(&mut run).collect();
    let now = batch.now();
    let mut changes = batch.finish();
    let mut saved = Saved::default();
    // What is remembered is what the last commit has left, and that is on the disk.
    let before = seat.books().clone();
    let decided = seat.covers().decide(commands, &results, &before, &changes.books, now);
    if !changes.is_empty() {
        saved = save::changes(seat.db(), &changes, &places, now)?;
        let (db, covers) = seat.db_and_covers();
        covers.save(db, &decided.raises, now)?;
        let many = seat.options().index_at_once;
        let (db, behind) = seat.db_and_behind();
        behind.step(db, commands.len().max(1), many)?;
    }
    for book in &mut changes.books {
        book.forget_past(now);
    }
    Ok(Done { results, changes, saved, decided, now })
}

/// Brings what commands touch into a batch. A row that can't be read fails those commands alone that
/// need it: they come into `unread`, and all is brought anew without its tenant, for what was brought
/// of that may be a part only.
fn bring<S: Seat>(
    seat: &mut S,
    commands: &[&Command],
    mut asked_for: &[TenantId],
    unread: &mut HashMap<usize, StoreError>,
) -> Result<(Batch, Places), StoreError> {
    let mut unreadable = HashMap::default();
    loop {
        let now = seat.now();
        let batch = Batch::new(seat.options().defaults.clone(), now);
        let places = Places::default();
        let mut bringer = Bringer { seat, batch, places, unreadable: &unreadable, failed: None };
        let mut error = None;
        for (at, command) in commands.iter().enumerate() {
            match bringer.bring(command) {
                Err(corrupt @ StoreError::Corrupt(_)) if bringer.failed.is_none() => {
                    unread.insert(at, corrupt);
                }
                Err(other) => {
                    error = Some(other);
                    break;
                }
                Ok(()) => {}
            }
        }
        let failed = bringer.failed.take();
        match (error, failed) {
            (Some(error @ StoreError::Corrupt(_)), Some(tenant)) => {
                unreadable.insert(tenant, error);
            }
            (Some(error), _) => return Err(error),
            (None, _) => match asked_for.iter().try_for_each(|tenant| bringer.bring_book(tenant)) {
                // No command needs them.
                Err(StoreError::Corrupt(_)) => asked_for = &[],
                brought => return brought.map(|()| (bringer.batch, bringer.places)),
            },
        }
    }
}

/// Brings what commands touch into a batch.
struct Bringer<'a, S> {
    seat: &'a mut S,
    batch: Batch,
    /// The rows of the reservations that exist.
    places: Places,
    /// Tenants of whom a row can't be read.
    unreadable: &'a HashMap<TenantId, StoreError>,
    /// Of whom a part may have been brought.
    failed: Option<TenantId>,
}

impl<S: Seat> Bringer<'_, S> {
    /// Brings the command's reservation, its tenant's book and its earlier accounts.
    fn bring(&mut self, command: &Command) -> Result<(), StoreError> {
        let key = command.key();
        let found = if matches!(command, Command::Reserve(Reserve { fresh: true, .. })) {
            None
        } else {
            self.find(key)?
        };
        let of_call = command.call().map(|call| &call.tenant);
        let of_reservation = found.as_ref().map(|(_, reservation)| &reservation.call.tenant);
        let mut tenants = of_call.into_iter().chain(of_reservation);
        if let Some(error) = tenants.clone().find_map(|tenant| self.unreadable.get(tenant)) {
            return Err(error.clone());
        }
        let brought = tenants.try_for_each(|tenant| {
            self.bring_book(tenant).inspect_err(|_| self.failed = Some(tenant.clone()))
        });
        brought?;
        let Some((row, reservation)) = found else { return Ok(()) };
        let tenant = reservation.call.tenant.clone();
        self.places.insert(key, row);
        self.batch.add_reservation(reservation);
        let missing = self.batch.missing(command).map_err(corrupt);
        let brought = missing.and_then(|missing| self.bring_accounts(&tenant, &missing));
        brought.inspect_err(|_| self.failed = Some(tenant))
    }

    fn find(&mut self, key: Key) -> Result<Option<Numbered>, StoreError> {
        match self.seat.behind().recent.find(key) {
            Place::Here(found) => Ok(Some(found)),
            Place::Row(row) => load::reservation_in(self.seat.db(), row),
            // A transaction begins with reading what is not known.
            Place::ByKey | Place::After(_) => load::reservation(self.seat.db(), key),
        }
    }

    /// Brings accounts of a tenant's, also those of earlier periods.
    fn bring_accounts(&mut self, tenant: &TenantId, ids: &[AccountId]) -> Result<(), StoreError> {
        let Some(book) = self.batch.book_mut(tenant) else { return Ok(()) };
        for id in ids {
            if book.account(*id).is_some() {
                continue;
            }
            let late = self.seat.behind().account(*id);
            if let Some(account) = load::account(self.seat.db(), *id, late)? {
                book.bring(account);
            }
        }
        Ok(())
    }

    fn bring_book(&mut self, tenant: &TenantId) -> Result<(), StoreError> {
        if self.batch.book(tenant).is_some() {
            return Ok(());
        }
        let now = self.batch.now();
        let mut book = match self.seat.books().get(tenant) {
            Some(book) => Book::clone(&book),
            None => self.book(tenant)?,
        };
        let unopened = book.unopened(now).map_err(corrupt)?;
        self.batch.add_book(book);
        for (budget, period) in unopened {
            let is_behind = self.seat.behind().recent.concerns(tenant);
            let (opening, places) = load::opening(self.seat.db(), budget, period, is_behind)?;
            for reservation in &opening.open {
                self.bring_accounts(tenant, &reservation.accounts)?;
            }
            self.places.extend(places);
            self.batch.open(opening).map_err(corrupt)?;
        }
        Ok(())
    }

    fn book(&mut self, tenant: &TenantId) -> Result<Book, StoreError> {
        let now = self.batch.now();
        let recent = self.seat.behind().recent.clone();
        let mut book = load::book(self.seat.db(), tenant, now, recent.concerns(tenant))?;
        if let Some((seq, hash)) = recent.head(tenant) {
            (book.head.seq, book.head.hash) = (seq, hash);
        }
        Ok(book)
    }
}
