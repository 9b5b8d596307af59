//! A store that says nothing is left alone for a while: not every call has to wait for its silence.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// For how long it is left alone; then one call tries it.
const REST: Duration = Duration::from_secs(5);

/// Whether the store is silent, as far as is known.
#[derive(Default)]
pub(crate) struct Quiet {
    is_quiet: AtomicBool,
    until: Mutex<Option<Instant>>,
}

impl Quiet {
    /// Whether it may be asked.
    pub(crate) fn admits(&self) -> bool {
        if !self.is_quiet.load(Ordering::Relaxed) {
            return true;
        }
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if until.is_some_and(|until| now < until) {
            return false;
        }
        // This call tries; the next may when it has not come back by then.
        *until = Some(now + REST);
        true
    }

    /// It has said something, or nothing in time.
    pub(crate) fn note(&self, has_answered: bool) {
        if has_answered && !self.is_quiet.load(Ordering::Relaxed) {
            return;
        }
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (!has_answered).then(|| Instant::now() + REST);
        self.is_quiet.store(!has_answered, Ordering::Relaxed);
    }
}
