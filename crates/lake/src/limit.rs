//! What one ingest may take.

use std::time::Duration;

/// Bounds of an ingest; each is there so that a hostile or broken file is refused, not suffered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one CSV record.
    pub record_bytes: usize,
    /// How many times larger than on disk a packed file may become.
    pub expansion: u64,
    /// Custom columns of one delivery.
    pub columns: usize,
    /// Partitions (billing period and provider) of one delivery.
    pub partitions: usize,
    /// Bytes that wait in memory to be written.
    pub write_bytes: usize,
    /// Bytes on disk of objects that were fetched and not yet read.
    pub spool_bytes: u64,
    /// Bytes of files that are finished together and need not be read again by an ingest that
    /// goes on.
    pub stretch_bytes: u64,
    /// How long one request to a bucket may take, its answer included.
    pub request_time: Duration,
    /// How often a request that failed in the store or on the way is made again.
    pub retries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 1 << 20,
            expansion: 300,
            columns: 512,
            partitions: 4_096,
            write_bytes: 256 << 20,
            spool_bytes: 256 << 30,
            stretch_bytes: 1 << 30,
            request_time: Duration::from_secs(30),
            retries: 5,
        }
    }
}
