//! What one ingest may take.

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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 1 << 20,
            expansion: 300,
            columns: 512,
            partitions: 4_096,
            write_bytes: 256 << 20,
        }
    }
}
