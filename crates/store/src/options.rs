//! How a store is run.

use std::{fmt, sync::Arc};

use budget::{Defaults, StoreError};
use jiff::Timestamp;

/// Tells the time. Replaced where time is made up: tests, simulations, the demo's past month.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A moment in a commit at which a simulation may let the process die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// All is written, nothing is committed.
    BeforeCommit,
    /// All is committed, nobody has been answered.
    AfterCommit,
    /// What may be answered before it is on the disk has been answered (SQLite).
    BeforeSync,
    /// All is on the disk, the rest has not been answered (SQLite).
    AfterSync,
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
    /// The most, in percent of a budget's limit, that calls which ask for it may be promised before
    /// their holds are on the disk, where as much stands there in for them (SQLite). 0: nothing.
    pub cover_percent: u8,
    /// Names this start of the machine: what it had committed may be gone in another. Where it is
    /// unknown nothing is promised before it is on the disk.
    pub boot: Option<String>,
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
            cover_percent: 1,
            boot: boot(),
            clock: Arc::new(Timestamp::now),
            fault: None,
        }
    }
}

/// What Linux calls this start of the machine.
pub(crate) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("defaults", &self.defaults)
            .field("batch_max", &self.batch_max)
            .field("queue_max", &self.queue_max)
            .field("cache_tenants", &self.cache_tenants)
            .field("index_at_once", &self.index_at_once)
            .field("cover_percent", &self.cover_percent)
            .field("boot", &self.boot)
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
