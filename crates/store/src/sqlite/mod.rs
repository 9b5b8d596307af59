//! The store in one SQLite file.
//!
//! One connection writes, in transactions that many commands share (`writer`); readers have their
//! own. What is in the write-ahead log is synced after each transaction, and answered then, or before
//! that where something on the disk stands in for it (`cover`).
//! Other processes may write the same file (`bursar budget set` beside a running service): a batch
//! begins by asking SQLite whether somebody else has committed, and then forgets what it remembers.

pub(crate) mod backup;
mod batch;
mod behind;
mod budget;
mod cloud_budget;
mod cover;
mod delivery;
mod key;
mod load;
mod log;
mod migrations;
mod price;
mod reader;
mod record;
mod row;
mod save;
mod seat;
mod tenant;
#[cfg(test)]
mod tests;
mod upkeep;
mod vendor_batch;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use ::budget::{
    Answer, Command, Escrow, EscrowError, KeyRecord, Outcome, Release, Reserve, Resolve, Settle,
    Standing, StoreError,
};
use async_trait::async_trait;
use moka::sync::Cache;

use crate::{OpenError, Options};
use reader::Readers;
use writer::Writer;

/// Budgets, accounts and the ledger in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    options: Options,
    readers: Arc<Readers>,
    writer: Writer,
    /// API keys by hash, at most a second old.
    keys: Cache<[u8; 32], Option<KeyRecord>>,
}

impl Sqlite {
    /// Opens or makes the file, and its folder.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let file = |cause: String| OpenError::File { path: path.to_owned(), cause };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| file(error.to_string()))?;
        }
        let mut connection =
            reader::connect(path, true).map_err(|error| file(error.to_string()))?;
        migrations::run(&mut connection)?;
        let writer = Writer::start(path, connection, options.clone())
            .map_err(|error| file(error.to_string()))?;
        let readers = Arc::new(Readers::new(path.to_owned()));
        let keys = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(1));
        Ok(Self { options, readers, writer, keys: keys.build() })
    }
}

pub(crate) fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable(error)
}

#[async_trait]
impl Escrow for Sqlite {
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError> {
        let now = (self.options.clock)();
        let defaults = &self.options.defaults;
        let known = self.writer.books.get(&request.call.tenant);
        if let Some(book) = known.filter(|book| book.is_whole(now)) {
            return book.preview(&request, defaults, now);
        }
        let tenant = request.call.tenant.clone();
        // A book that was read while the writer committed may be old by the time it is kept: the
        // writer alone keeps books, so this one is used once.
        let is_behind = self.writer.recent.concerns(&tenant);
        let view = move |db: &_| load::book_for_view(db, &tenant, now, is_behind);
        let book = self.readers.read(view).await?;
        let standing = book.preview(&request, defaults, now)?;
        self.writer.warm(request.call.tenant);
        Ok(standing)
    }

    fn reserve<'s: 'f, 'f>(&'s self, request: Reserve) -> Answer<'f>
    where
        Self: 'f,
    {
        Box::pin(self.writer.submit(Command::Reserve(request)))
    }

    fn settle<'s: 'f, 'f>(&'s self, request: Settle) -> Answer<'f>
    where
        Self: 'f,
    {
        Box::pin(self.writer.submit(Command::Settle(request)))
    }

    async fn release(&self, request: Release) -> Result<Outcome, EscrowError> {
        self.writer.submit(Command::Release(request)).await
    }

    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError> {
        self.writer.submit(Command::Resolve(request)).await
    }
}
