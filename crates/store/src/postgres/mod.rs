//! The store in a Postgres database that several replicas may share.
//!
//! One task commits, in transactions that many commands share (`batch`); it locks the tenants that
//! they touch, so that replicas take turns on a tenant and each decides on what the other has
//! committed. Readers take connections of the same pool. What other programs read and write by hand
//! (`ai_token_budgets`, `ai_token_usage`) is kept in step in the same transactions; a row that
//! somebody holds is passed over and followed by a task of its own (`upkeep`).
//!
//! Invariant: a balance is only ever written under the lock of its tenant's row.

mod batch;
mod budget;
mod cloud_budget;
mod delivery;
mod key;
mod load;
mod migrations;
mod pool;
mod price;
mod record;
mod row;
mod save;
mod tenant;
#[cfg(test)]
mod tests;
mod tls;
mod upkeep;
mod vendor_batch;
mod wal;

pub use wal::wal_archived;

use std::{sync::Arc, time::Duration};

use ::budget::{
    Book, Command, Escrow, EscrowError, KeyRecord, Outcome, Release, Reserve, Resolve, Settle,
    Standing, StoreError,
};
use async_trait::async_trait;
use focus::TenantId;
use moka::sync::Cache;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use crate::{OpenError, Options, queue};
use batch::Committer;
use pool::{Pool, describe, unavailable};
use upkeep::Follower;

/// How old what is answered from memory may be.
const FRESH: Duration = Duration::from_secs(1);

/// Budgets, accounts and the ledger in a Postgres database.
pub struct Postgres {
    pool: Pool,
    options: Options,
    books: Cache<TenantId, Arc<Book>>,
    keys: Cache<[u8; 32], Option<KeyRecord>>,
    queue: std::sync::Mutex<Option<mpsc::Sender<queue::Job>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects to `postgres://user:password@host/database`, with TLS as `sslmode` and
    /// `sslrootcert` say; makes or migrates the schema.
    pub async fn connect(url: &str, options: Options) -> Result<Self, OpenError> {
        let (pool, mut connection) = Pool::open(url).await?;
        migrations::run(&mut connection).await?;
        drop(connection);
        let books =
            Cache::builder().max_capacity(options.cache_tenants as u64).time_to_live(FRESH).build();
        let keys = Cache::builder().max_capacity(100_000).time_to_live(FRESH).build();
        let (queue, jobs) = mpsc::channel(options.queue_max);
        let (behind, passed_over) = mpsc::unbounded_channel();
        let committer = Committer {
            pool: pool.clone(),
            options: options.clone(),
            books: books.clone(),
            behind,
        };
        let follower = Follower { pool: pool.clone(), clock: options.clock.clone() };
        let tasks =
            vec![tokio::spawn(committer.run(jobs)), tokio::spawn(follower.run(passed_over))];
        Ok(Self {
            pool,
            options,
            books,
            keys,
            queue: std::sync::Mutex::new(Some(queue)),
            tasks: Mutex::new(tasks),
        })
    }

    async fn submit(&self, command: Command) -> Result<Outcome, EscrowError> {
        let queue = self.queue.lock().ok().and_then(|queue| queue.clone());
        let queue = queue.ok_or(EscrowError::Store(StoreError::Closed))?;
        let hand_in = |job| queue.try_send(job).map_err(|error| queue::refused(&error));
        queue::submit(command, hand_in).await
    }

    /// Takes no more commands, and waits for those that it has taken.
    async fn drain(&self) {
        if let Ok(mut queue) = self.queue.lock() {
            queue.take();
        }
        // In their order: the second ends when the first has nothing more for it.
        for task in self.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the store has failed");
            }
        }
        self.pool.close();
    }
}

#[async_trait]
impl Escrow for Postgres {
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError> {
        let now = (self.options.clock)();
        let tenant = &request.call.tenant;
        if let Some(book) = self.books.get(tenant).filter(|book| book.is_whole(now)) {
            return book.preview(&request, &self.options.defaults, now);
        }
        let book = Arc::new(self.book(tenant, now).await?);
        self.books.insert(tenant.clone(), book.clone());
        book.preview(&request, &self.options.defaults, now)
    }

    async fn reserve(&self, request: Reserve) -> Result<Outcome, EscrowError> {
        self.submit(Command::Reserve(request)).await
    }

    async fn settle(&self, request: Settle) -> Result<Outcome, EscrowError> {
        self.submit(Command::Settle(request)).await
    }

    async fn release(&self, request: Release) -> Result<Outcome, EscrowError> {
        self.submit(Command::Release(request)).await
    }

    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError> {
        self.submit(Command::Resolve(request)).await
    }
}
