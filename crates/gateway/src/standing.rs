//! How a budget stands, in the headers of an answer.

use std::{
    fmt::Display,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use api::Percent;
use budget::{BudgetId, Budgets, Line, Reservation};
use focus::TenantId;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use money::Money;
use quick_cache::sync::Cache;
use tokio::time::timeout;

use crate::{
    fault::Fault,
    reply::{COST, FREE},
};

const REMAINING: HeaderName = HeaderName::from_static("x-bursar-budget-remaining-usd");
const RESET: HeaderName = HeaderName::from_static("x-bursar-budget-reset");
const WARNING: HeaderName = HeaderName::from_static("x-ai-budget-warning");
const USAGE: HeaderName = HeaderName::from_static("x-ai-budget-usage");

/// How long a tenant's terms are believed.
const FRESH: Duration = Duration::from_secs(60);
/// How long an answer waits for them.
const READ_MOST: Duration = Duration::from_secs(1);
const TENANTS_MOST: usize = 20_000;

/// What a budget's limit and balance don't tell.
#[derive(Debug)]
struct Term {
    budget: BudgetId,
    limit: Money,
    soft: u16,
    resets_at: Timestamp,
    /// The same as a header says it.
    reset: HeaderValue,
}

#[derive(Clone)]
struct Known {
    terms: Arc<[Term]>,
    read_at: Instant,
}

/// Tenants' terms and the room that their last calls have left.
pub(crate) struct Terms {
    terms: Cache<TenantId, Known>,
    rooms: Cache<TenantId, Money>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { terms: Cache::new(TENANTS_MOST), rooms: Cache::new(TENANTS_MOST) }
    }
}

impl Terms {
    /// What was left in the tightest budget of the tenant's last call.
    pub(crate) fn room(&self, tenant: &TenantId) -> Option<Money> {
        self.rooms.get(tenant)
    }

    /// Remembers what a call has left.
    pub(crate) fn left(&self, reservation: &Reservation) {
        let standing = &reservation.standing;
        let room = standing.limit.saturating_sub_to_zero(standing.counted);
        self.rooms.insert(reservation.call.tenant.clone(), room);
    }

    /// Reads a tenant's terms where they are not known, have run out, or lack a call's budget.
    pub(crate) async fn refresh(
        &self,
        reservation: &Reservation,
        budgets: &dyn Budgets,
        now: Timestamp,
    ) {
        let tenant = &reservation.call.tenant;
        let is_fresh = |known: &Known| {
            let has = |id: BudgetId| known.terms.iter().any(|term| term.budget == id);
            known.read_at.elapsed() < FRESH
                && known.terms.iter().all(|term| now < term.resets_at)
                && reservation.accounts.iter().all(|account| has(account.budget))
        };
        if self.terms.get(tenant).is_some_and(|known| is_fresh(&known)) {
            return;
        }
        // Without them the answer has two headers less; that is no reason to withhold it.
        let Ok(Ok(lines)) = timeout(READ_MOST, budgets.status(tenant, now)).await else { return };
        let term = |line: Line| {
            Some(Term {
                budget: line.budget.id,
                limit: line.budget.limit,
                soft: line.budget.thresholds.soft(),
                resets_at: line.account.end,
                reset: HeaderValue::try_from(line.account.end.to_string()).ok()?,
            })
        };
        let terms = lines.into_iter().filter_map(term).collect();
        self.terms.insert(tenant.clone(), Known { terms, read_at: Instant::now() });
    }

    /// Tells how the call's tightest budget stands with `cost` in place of its hold.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, reservation: &Reservation, cost: Money) {
        let standing = &reservation.standing;
        let others = standing.counted.saturating_sub_to_zero(reservation.hold);
        let used = others.checked_add(cost).unwrap_or(others);
        let left = standing.limit.saturating_sub_to_zero(used);
        put(headers, REMAINING, left);
        let known = self.terms.get(&reservation.call.tenant);
        let terms = known.iter().flat_map(|known| known.terms.iter());
        let term = terms
            .filter(|term| {
                term.limit == standing.limit
                    && reservation.accounts.iter().any(|account| account.budget == term.budget)
            })
            .min_by_key(|term| term.resets_at);
        if let Some(term) = term {
            headers.insert(RESET, term.reset.clone());
        }
        let soft = term.map_or(80, |term| term.soft);
        warn(headers, Percent::of(used, standing.limit), soft);
    }

    /// Tells what a call has cost that was not answered, and how the budget stands.
    pub(crate) fn tell_fault(&self, headers: &mut HeaderMap, fault: &Fault) {
        if let Some((cost, held)) = fault.spent() {
            put(headers, COST, cost);
            if let Some(held) = held {
                self.tell(headers, held, cost);
            }
        }
        let Some(refusal) = fault.refusal() else { return };
        let standing = &refusal.standing;
        headers.insert(COST, FREE);
        let left = standing.limit.saturating_sub_to_zero(standing.settled);
        put(headers, REMAINING, left);
        put(headers, RESET, refusal.resets_at);
        warn(headers, Percent::of(standing.counted, standing.limit), 0);
    }
}

fn warn(headers: &mut HeaderMap, used: Percent, soft: u16) {
    if used.hundredths >= i128::from(soft) * 100 {
        headers.insert(WARNING, HeaderValue::from_static("true"));
        put(headers, USAGE, used);
    }
}

/// Adds a header in the place of one of its name. What is put on the stack: amounts are short.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, what: impl Display) {
    let mut room = [0_u8; 64];
    let mut rest = &mut room[..];
    let value = match write!(rest, "{what}") {
        Ok(()) => {
            let left = rest.len();
            HeaderValue::from_bytes(&room[..room.len() - left])
        }
        Err(_) => HeaderValue::from_str(&what.to_string()),
    };
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}
