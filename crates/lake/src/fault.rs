//! Where an ingest or a compaction can be cut off, for tests.
//!
//! Between two steps the process may die. A test says after how many steps; what is on disk then is
//! what a killed process leaves, for nothing is tidied up on this way out.

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use thiserror::Error;

/// The process "died" here.
#[derive(Debug, Error)]
#[error("cut off before {0}")]
pub(crate) struct CutOff(pub(crate) &'static str);

/// How many more steps a process lives; for ever outside tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    #[cfg(test)]
    left: Option<Arc<AtomicI64>>,
}

impl Faults {
    #[cfg(test)]
    pub(crate) fn after(steps: i64) -> Self {
        Self { left: Some(Arc::new(AtomicI64::new(steps))) }
    }

    /// Called before each step that changes what is stored.
    #[cfg(test)]
    pub(crate) fn before(&self, step: &'static str) -> Result<(), CutOff> {
        let Some(left) = &self.left else { return Ok(()) };
        if left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(CutOff(step));
        }
        Ok(())
    }

    /// Called before each step that changes what is stored.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it counts")]
    #[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
    pub(crate) const fn before(&self, _step: &'static str) -> Result<(), CutOff> {
        Ok(())
    }
}
