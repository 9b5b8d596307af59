//! Calls that wait for others to settle: first come, first served, each for a bounded time.
//!
//! A call joins the line of a budget that has refused it for other calls' holds, or of one that
//! others wait for and that covers it. The head of a line tries whenever a call of its tenant has
//! settled here, and now and then for those that settle elsewhere; not before one who came earlier
//! and waits, in another line, for a budget that covers both.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
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
    /// Who waits, by when they came.
    waiting: Mutex<BTreeSet<u64>>,
}

/// All lines, by tenant.
#[derive(Default)]
pub(crate) struct Lines {
    /// Whether there are any: most of the time nobody waits.
    count: AtomicUsize,
    /// Numbers for those who come.
    next: AtomicU64,
    by_tenant: Mutex<HashMap<TenantId, Vec<Arc<Line>>>>,
}

/// A place in a line; leaving it lets go of a line that nobody stands in.
pub(crate) struct Place<'a> {
    lines: &'a Lines,
    line: Arc<Line>,
    call: Attribution,
    /// When the call came, in another line also.
    number: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<Arc<Line>>>> {
        lock(&self.by_tenant)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A place behind those who wait for a budget that covers the call, if any do.
    pub(crate) fn behind(&self, call: &Attribution) -> Option<Place<'_>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let by_tenant = self.lock();
        let lines = by_tenant.get(&call.tenant)?;
        let line = lines.iter().find(|line| line.scope.covers(call))?.clone();
        let number = self.number();
        lock(&line.waiting).insert(number);
        Some(Place { lines: self, line, call: call.clone(), number })
    }

    /// A place in the line for a budget.
    pub(crate) fn join(&self, scope: &Scope, call: &Attribution) -> Place<'_> {
        self.join_as(scope, call.clone(), self.number())
    }

    fn join_as(&self, scope: &Scope, call: Attribution, number: u64) -> Place<'_> {
        let mut by_tenant = self.lock();
        let lines = by_tenant.entry(scope.tenant.clone()).or_default();
        let known = lines.iter().find(|line| line.scope == *scope).cloned();
        let line = known.unwrap_or_else(|| {
            let line = Arc::new(Line {
                scope: scope.clone(),
                turn: tokio::sync::Mutex::new(()),
                freed: Notify::new(),
                waiting: Mutex::default(),
            });
            lines.push(line.clone());
            self.count.fetch_add(1, Ordering::Release);
            line
        });
        lock(&line.waiting).insert(number);
        Place { lines: self, line, call, number }
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
        lines.map(|line| lock(&line.waiting).len()).sum()
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
            match self.wait_here(until, &mut attempt).await {
                Err(EscrowError::Refused(refusal)) if may_wait(&refusal, until) => {
                    self = self.lines.join_as(&refusal.scope, self.call.clone(), self.number);
                }
                result => return result,
            }
        }
    }

    /// Waits in this line, until another budget is in the way.
    async fn wait_here<T, F>(
        &self,
        until: Instant,
        attempt: &mut impl FnMut() -> F,
    ) -> Result<T, EscrowError>
    where
        F: Future<Output = Result<T, EscrowError>>,
    {
        let turn = timeout_at(until, self.line.turn.lock()).await;
        if turn.is_err() {
            // The last word is the store's, which may have room by now.
            return attempt().await;
        }
        loop {
            if self.is_next() || Instant::now() >= until {
                match attempt().await {
                    Err(EscrowError::Refused(refusal))
                        if may_wait(&refusal, until) && refusal.scope == self.line.scope => {}
                    result => return result,
                }
            }
            let look = until.min(Instant::now() + LOOK_EVERY);
            // Its time-out is a reason to look, too.
            let _ = timeout_at(look, self.line.freed.notified()).await;
        }
    }

    /// Whether nobody who came earlier waits in another line for what this call would take.
    fn is_next(&self) -> bool {
        let by_tenant = self.lines.lock();
        let lines = by_tenant.get(&self.call.tenant).into_iter().flatten();
        let mut others = lines.filter(|line| !Arc::ptr_eq(line, &self.line));
        let came_earlier =
            |line: &Line| lock(&line.waiting).first().is_some_and(|first| *first < self.number);
        !others.any(|line| line.scope.covers(&self.call) && came_earlier(line))
    }
}

fn may_wait(refusal: &Refusal, until: Instant) -> bool {
    refusal.by_holds && Instant::now() < until
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut by_tenant = self.lines.lock();
        let is_empty = {
            let mut waiting = lock(&self.line.waiting);
            waiting.remove(&self.number);
            waiting.is_empty()
        };
        let tenant = &self.line.scope.tenant;
        let Some(lines) = by_tenant.get_mut(tenant) else { return };
        if is_empty {
            lines.retain(|line| !Arc::ptr_eq(line, &self.line));
            self.lines.count.fetch_sub(1, Ordering::Release);
        }
        // Those who came later may try now.
        lines.iter().for_each(|line| line.freed.notify_one());
        if lines.is_empty() {
            by_tenant.remove(tenant);
        }
    }
}
