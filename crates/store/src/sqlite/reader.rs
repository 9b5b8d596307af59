//! Connections that read, apart from the one that writes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::budget::StoreError;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::Semaphore;

use super::unavailable;

/// So long a connection waits for another process that writes.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Opens a connection with the settings that all share.
pub(super) fn connect(path: &Path, writes: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if writes {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(64);
    // Plans don't depend on what is bound: otherwise a statement is prepared again for every value.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", "on")?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "cache_size", if writes { -8_192 } else { -4_096 })?;
    // The writer checkpoints between batches, when it chooses.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    if !writes {
        db.pragma_update(None, "query_only", "on")?;
        // Nor does the last one that closes: the log is the writer's.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    Ok(db)
}

/// Idle reading connections; more are opened as more read at once.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Each connection keeps pages in memory: so many read at once.
    turns: Arc<Semaphore>,
}

impl Readers {
    const IDLE_MOST: usize = 4;
    const AT_ONCE: usize = 8;

    pub(super) fn new(path: PathBuf) -> Self {
        let turns = Arc::new(Semaphore::new(Self::AT_ONCE));
        Self { path, idle: Mutex::new(Vec::new()), turns }
    }

    /// Runs a read off the async threads.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // Kept to the end of the read, also where nobody waits for it any more.
            let _turn = turn;
            let idle = readers.lock().pop();
            let db = match idle {
                Some(db) => db,
                None => connect(&readers.path, false).map_err(unavailable)?,
            };
            // One snapshot for all that the read asks.
            let snapshot = db.unchecked_transaction().map_err(unavailable)?;
            let result = work(&snapshot);
            snapshot.commit().map_err(unavailable)?;
            let mut idle = readers.lock();
            if idle.len() < Self::IDLE_MOST {
                idle.push(db);
            }
            result
        });
        reading.await.unwrap_or(Err(StoreError::Closed))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
