//! Calls that wait for others to settle: first come, first served, each for a bounded time.
//!
//! A call joins the line of a budget that has refused it for other calls' holds, or of one that
//! others wait for and that covers it. The head of a line tries whenever a call of its tenant has
//! settled here, and now and then for those that settle elsewhere.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use budget::{EscrowError, Refusal};
use focus::{Attribution, Scope, TenantId};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// How long to wait for a settle that this process does not see.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Those that wait for one budget.
struct Line {
    scope: Scope,
    /// Whose turn it is: waiters get it in the order in which they asked.
    turn: tokio::sync::Mutex<()>,
    freed: Notify,
    waiting: AtomicUsize,
}

/// All lines, by tenant.
#[derive(Default)]
pub(crate) struct Lines {
    /// Whether there are any: most of the time nobody waits.
    count: AtomicUsize,
    by_tenant: Mutex<HashMap<TenantId, Vec<Arc<Line>>>>,
}

/// A place in a line; leaving it lets go of a line that nobody stands in.
pub(crate) struct Place<'a> {
    lines: &'a Lines,
    line: Arc<Line>,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<Arc<Line>>>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place behind those who wait for a budget that covers the call, if any do.
    pub(crate) fn behind(&self, call: &Attribution) -> Option<Place<'_>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let by_tenant = self.lock();
        let lines = by_tenant.get(&call.tenant)?;
        let line = lines.iter().find(|line| line.scope.covers(call))?.clone();
        line.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Place { lines: self, line })
    }

    /// A place in the line for a budget.
    pub(crate) fn join(&self, scope: &Scope) -> Place<'_> {
        let mut by_tenant = self.lock();
        let lines = by_tenant.entry(scope.tenant.clone()).or_default();
        let known = lines.iter().find(|line| line.scope == *scope).cloned();
        let line = known.unwrap_or_else(|| {
            let line = Arc::new(Line {
                scope: scope.clone(),
                turn: tokio::sync::Mutex::new(()),
                freed: Notify::new(),
                waiting: AtomicUsize::new(0),
            });
            lines.push(line.clone());
            self.count.fetch_add(1, Ordering::Release);
            line
        });
        line.waiting.fetch_add(1, Ordering::Relaxed);
        Place { lines: self, line }
    }

    /// A call of the tenant has settled: there may be room.
    pub(crate) fn freed(&self, tenant: &TenantId) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for line in self.lock().get(tenant).into_iter().flatten() {
            line.freed.notify_one();
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        let by_tenant = self.lock();
        let lines = by_tenant.values().flatten();
        lines.map(|line| line.waiting.load(Ordering::Relaxed)).sum()
    }
}

impl Place<'_> {
    /// Tries when it is this call's turn and there may be room, until it is let in, is refused for
    /// good, or the time is up. Where the holds of another budget are in the way it goes on in that
    /// one's line, and stops nobody here.
    pub(crate) async fn wait<T, F>(
        mut self,
        until: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, EscrowError>
    where
        F: Future<Output = Result<T, EscrowError>>,
    {
        loop {
            match self.line.wait(until, &mut attempt).await {
                Err(EscrowError::Refused(refusal)) if may_wait(&refusal, until) => {
                    self = self.lines.join(&refusal.scope);
                }
                result => return result,
            }
        }
    }
}

impl Line {
    /// Waits here, until another budget is in the way.
    async fn wait<T, F>(
        &self,
        until: Instant,
        attempt: &mut impl FnMut() -> F,
    ) -> Result<T, EscrowError>
    where
        F: Future<Output = Result<T, EscrowError>>,
    {
        let turn = timeout_at(until, self.turn.lock()).await;
        if turn.is_err() {
            // The last word is the store's, which may have room by now.
            return attempt().await;
        }
        loop {
            match attempt().await {
                Err(EscrowError::Refused(refusal))
                    if may_wait(&refusal, until) && refusal.scope == self.scope =>
                {
                    let look = until.min(Instant::now() + LOOK_EVERY);
                    // Its time-out is a reason to look, too.
                    let _ = timeout_at(look, self.freed.notified()).await;
                }
                result => return result,
            }
        }
    }
}

fn may_wait(refusal: &Refusal, until: Instant) -> bool {
    refusal.by_holds && Instant::now() < until
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut by_tenant = self.lines.lock();
        if self.line.waiting.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let tenant = &self.line.scope.tenant;
        let Some(lines) = by_tenant.get_mut(tenant) else { return };
        lines.retain(|line| !Arc::ptr_eq(line, &self.line));
        if lines.is_empty() {
            by_tenant.remove(tenant);
        }
        self.lines.count.fetch_sub(1, Ordering::Release);
    }
}
