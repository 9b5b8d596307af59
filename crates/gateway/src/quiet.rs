//! A store that says nothing is left alone for a while: not every call has to wait for its silence.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use budget::StoreError;
use tokio::time::{Instant, timeout};

use crate::{config::Fail, gateway::Inner};

/// For how long it is left alone; then one call tries it.
const REST: Duration = Duration::from_secs(5);

impl Inner {
    /// What the store says in time; one that says nothing counts as down.
    pub(crate) async fn in_time<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let answer = timeout(self.config.store_timeout, answer).await;
        self.quiet.note(answer.is_ok());
        answer.unwrap_or_else(|_| Err(self.silent().into()))
    }

    /// The same; not where calls need not wait for a store that is known to be silent.
    pub(crate) async fn if_heard<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if self.is_silent() { Err(self.silent().into()) } else { self.in_time(answer).await }
    }

    /// Whether nobody waits for the store, for it has said nothing.
    pub(crate) fn is_silent(&self) -> bool {
        self.config.fail == Fail::Open && self.quiet.is_quiet.load(Ordering::Relaxed)
    }

    pub(crate) fn silent(&self) -> StoreError {
        let limit = self.config.store_timeout.as_secs_f32();
        StoreError::unavailable(io::Error::other(format!("no answer within {limit} s")))
    }
}

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
