//! How a store is run.

use std::{fmt, sync::Arc};

use budget::{Defaults, StoreError};
use jiff::Timestamp;

/// Tells the time. Replaced where time is made up: tests, simulations, the demo's past month.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A moment in a commit at which a simulation may let the process die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// All is written, nothing is durable.
    BeforeCommit,
    /// All is durable, nobody has been answered.
    AfterCommit,
}

/// Says whether to fail at a moment.
pub type Fault = Arc<dyn Fn(Moment) -> bool + Send + Sync>;

/// How a store is run.
#[derive(Clone)]
pub struct Options {
    /// What holds where no budget says otherwise.
    pub defaults: Defaults,
    /// The most commands in one transaction.
    pub batch_max: usize,
    /// The most commands that wait; one more is refused as overload.
    pub queue_max: usize,
    /// The most tenants whose books are kept in memory.
    pub cache_tenants: usize,
    /// So many ledger entries are indexed together (SQLite). More fill pages better, and take longer
    /// to read again after a crash.
    pub index_at_once: usize,
    /// Tells the time.
    pub clock: Clock,
    /// Fails commits on purpose; `None` outside simulations.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: Defaults::default(),
            batch_max: 256,
            queue_max: 16_384,
            cache_tenants: 150_000,
            index_at_once: 131_072,
            clock: Arc::new(Timestamp::now),
            fault: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("defaults", &self.defaults)
            .field("batch_max", &self.batch_max)
            .field("queue_max", &self.queue_max)
            .field("cache_tenants", &self.cache_tenants)
            .field("index_at_once", &self.index_at_once)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Fails, in a simulation that says so, as if the process had died.
    pub(crate) fn strike(&self, moment: Moment) -> Result<(), StoreError> {
        match &self.fault {
            Some(fault) if fault(moment) => {
                Err(StoreError::unavailable(std::io::Error::other(format!("{moment:?}"))))
            }
            _ => Ok(()),
        }
    }
}
