//! Calls that wait for others to settle: first come, first served, each for a bounded time.
//!
//! A call joins the line of a budget that has refused it for other calls' holds, or of one that
//! others wait for and that covers it. The first of a line tries whenever a call of its tenant has
//! settled here, and now and then for those that settle elsewhere; not before one who came earlier
//! and waits, in another line, for a budget that covers both.
//!
//! Invariant: who waits for a turn waits for somebody with a lower number, or for an attempt that is
//! being made. Whoever came first of all can always try.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
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

/// A call that waits.
struct Waiter {
    /// When it came, in another line also.
    number: u64,
    call: Attribution,
    /// Its own: what it is told while it is not listening is kept for it.
    woken: Notify,
}

/// Those that wait for one budget.
struct Line {
    scope: Scope,
    /// By when they came.
    waiting: BTreeMap<u64, Arc<Waiter>>,
    /// Whether one of them is trying.
    is_tried: bool,
}

/// All lines, by tenant.
#[derive(Default)]
pub(crate) struct Lines {
    /// How many there are: most of the time nobody waits.
    count: AtomicUsize,
    /// Numbers for those who come.
    next: AtomicU64,
    by_tenant: Mutex<HashMap<TenantId, Vec<Line>>>,
}

/// A place in a line; leaving it lets go of a line that nobody stands in.
pub(crate) struct Place<'a> {
    lines: &'a Lines,
    scope: Scope,
    waiter: Arc<Waiter>,
}

/// The right to try, until it is dropped.
struct Turn<'a>(&'a Place<'a>);

impl Line {
    fn first(&self) -> Option<&Waiter> {
        self.waiting.first_key_value().map(|(_, waiter)| &**waiter)
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<Line>>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiter(&self, call: &Attribution) -> Arc<Waiter> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(Waiter { number, call: call.clone(), woken: Notify::new() })
    }

    /// A place behind those who wait for a budget that covers the call, if any do.
    pub(crate) fn behind(&self, call: &Attribution) -> Option<Place<'_>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut by_tenant = self.lock();
        let lines = by_tenant.get_mut(&call.tenant)?;
        let line = lines.iter_mut().find(|line| line.scope.covers(call))?;
        let waiter = self.waiter(call);
        line.waiting.insert(waiter.number, waiter.clone());
        Some(Place { lines: self, scope: line.scope.clone(), waiter })
    }

    /// A place in the line for a budget that has refused the call, and so covers it.
    pub(crate) fn join(&self, scope: &Scope, call: &Attribution) -> Place<'_> {
        let waiter = self.waiter(call);
        self.enter(self.lock().entry(scope.tenant.clone()).or_default(), scope, &waiter);
        Place { lines: self, scope: scope.clone(), waiter }
    }

    fn enter(&self, lines: &mut Vec<Line>, scope: &Scope, waiter: &Arc<Waiter>) {
        let (number, waiter) = (waiter.number, waiter.clone());
        if let Some(line) = lines.iter_mut().find(|line| line.scope == *scope) {
            line.waiting.insert(number, waiter);
            return;
        }
        let waiting = BTreeMap::from([(number, waiter)]);
        lines.push(Line { scope: scope.clone(), waiting, is_tried: false });
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Takes a call out of a line, and wakes those whom it alone has stopped there.
    fn leave(&self, lines: &mut Vec<Line>, scope: &Scope, number: u64) {
        let Some(at) = lines.iter().position(|line| line.scope == *scope) else { return };
        let line = &mut lines[at];
        let was_first = line.first().is_some_and(|first| first.number == number);
        line.waiting.remove(&number);
        let next = line.first().map(|next| next.number);
        if next.is_none() {
            lines.remove(at);
            self.count.fetch_sub(1, Ordering::Release);
        }
        if was_first {
            let stopped = |first: &&Waiter| {
                // Not itself, in the line to which it goes.
                first.number != number
                    && scope.covers(&first.call)
                    && next.is_none_or(|next| first.number <= next)
            };
            let firsts = lines.iter().filter_map(Line::first);
            firsts.filter(stopped).for_each(|first| first.woken.notify_one());
        }
    }

    /// A call of the tenant has settled: there may be room.
    pub(crate) fn freed(&self, tenant: &TenantId) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let by_tenant = self.lock();
        let lines = by_tenant.get(tenant).into_iter().flatten();
        lines.filter_map(Line::first).for_each(|first| first.woken.notify_one());
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().values().flatten().map(|line| line.waiting.len()).sum()
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
            let turn = self.turn(until).await;
            let result = attempt().await;
            drop(turn);
            match result {
                Err(EscrowError::Refused(refusal)) if may_wait(&refusal, until) => {
                    self.go_to(refusal.scope);
                }
                result => return result,
            }
            let look = until.min(Instant::now() + LOOK_EVERY);
            // Its time-out is a reason to look, too.
            let _ = timeout_at(look, self.waiter.woken.notified()).await;
        }
    }

    /// Waits for the turn. When the time is up there is none: the last word is the store's, which
    /// may have room by now.
    async fn turn(&self, until: Instant) -> Option<Turn<'_>> {
        loop {
            if let Some(turn) = self.take_turn() {
                return Some(turn);
            }
            // Whoever is in the way wakes this call when he leaves.
            timeout_at(until, self.waiter.woken.notified()).await.ok()?;
        }
    }

    /// The turn, where nobody who came earlier waits for what this call would take, and nobody else
    /// tries in this line.
    fn take_turn(&self) -> Option<Turn<'_>> {
        let Waiter { number, call, .. } = &*self.waiter;
        let mut by_tenant = self.lines.lock();
        let lines = by_tenant.get_mut(&call.tenant)?;
        let came_earlier = |line: &Line| line.first().is_some_and(|first| first.number < *number);
        if lines.iter().any(|line| line.scope.covers(call) && came_earlier(line)) {
            return None;
        }
        let own = lines.iter_mut().find(|line| line.scope == self.scope)?;
        if own.is_tried {
            return None;
        }
        own.is_tried = true;
        Some(Turn(self))
    }

    /// Changes lines, or stays in this one.
    fn go_to(&mut self, scope: Scope) {
        if scope == self.scope {
            return;
        }
        let mut by_tenant = self.lines.lock();
        // The new place comes first: nobody who came later may slip in between.
        let lines = by_tenant.entry(scope.tenant.clone()).or_default();
        self.lines.enter(lines, &scope, &self.waiter);
        self.lines.leave(lines, &self.scope, self.waiter.number);
        self.scope = scope;
    }
}

fn may_wait(refusal: &Refusal, until: Instant) -> bool {
    refusal.by_holds && Instant::now() < until
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Place { lines, scope, waiter } = self.0;
        let mut by_tenant = lines.lock();
        let mut lines = by_tenant.get_mut(&scope.tenant).into_iter().flatten();
        let Some(line) = lines.find(|line| line.scope == *scope) else { return };
        line.is_tried = false;
        // Who came into the line meanwhile, and is before this one, has waited for it.
        if let Some(first) = line.first().filter(|first| first.number != waiter.number) {
            first.woken.notify_one();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let tenant = &self.scope.tenant;
        let mut by_tenant = self.lines.lock();
        let Some(lines) = by_tenant.get_mut(tenant) else { return };
        self.lines.leave(lines, &self.scope, self.waiter.number);
        if lines.is_empty() {
            by_tenant.remove(tenant);
        }
    }
}
