//! From a call's ending to the ledger: once, and durably.

use std::{sync::Arc, time::Duration};

use budget::{EscrowError, Key, Quote, Release, Reservation};
use focus::{Attribution, TenantId};
use jiff::Timestamp;
use money::{Money, Price, PriceBook, ServiceTier, TokenUsage};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use crate::{
    demand::Ratio,
    dialect::Api,
    ending::{Ending, Held, Verdict, verdict},
    fault::{Fault, Kind},
    gateway::Inner,
    names,
    spool::{Begun, Charge, Untold},
    upstream::Endpoint,
    usage::{Partial, Used},
};

/// How long until the spool is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What was promised to a call.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) key: Key,
    pub(crate) call: Attribution,
    /// What is held; none when the call was let through while the store was down.
    pub(crate) held: Option<Arc<Reservation>>,
    /// The note of a call that nothing is held for.
    pub(crate) begun: Option<Begun>,
    /// The most that it may cost.
    pub(crate) bound: Money,
    pub(crate) usage: TokenUsage,
    pub(crate) tier: ServiceTier,
    /// What every token's price is multiplied with.
    pub(crate) multiplier: Ratio,
    /// What was asked for that the vendor's usage may not tell.
    pub(crate) asked: Asked,
    pub(crate) book: Arc<PriceBook>,
    pub(crate) asked_at: Timestamp,
}

/// What a call asks for that shows in its cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Cache writes for an hour.
    pub(crate) write_1h: bool,
    /// Thoughts out of sight.
    pub(crate) thinks: bool,
}

impl Promise {
    /// The price of the moment in which the hold was made.
    fn price(&self) -> Option<&Price> {
        let held = self.held.as_ref().map(|held| held.created_at);
        self.book.price(self.call.model.as_str(), held.unwrap_or(self.asked_at))
    }

    /// A vendor's usage as a charge; without an amount where it has no price.
    fn quote(&self, used: Used) -> Quote {
        let used = used.completed(self.asked.write_1h, self.tier);
        let charge = self.price().and_then(|price| used.charge(price).ok());
        let (amount, given) = charge.map_or((None, false), |(amount, given)| (Some(amount), given));
        Quote { usage: used.tokens, tier: used.tier, amount, given, estimated: false }
    }

    fn estimate(&self, usage: TokenUsage) -> Quote {
        let (tokens, tier, multiplier) = (usage, self.tier, self.multiplier);
        let seen = Used { tokens, tier, multiplier, ..Used::default() };
        let charge = |price: &Price| seen.charge(price).ok();
        let amount = self.price().and_then(charge).map(|(amount, _)| amount.min(self.bound));
        Quote { usage, tier: self.tier, amount, given: true, estimated: true }
    }

    /// What it may cost, as a charge.
    pub(crate) fn most(&self) -> Charge {
        Charge { key: self.key, call: self.call.clone(), actual: self.whole() }
    }

    fn whole(&self) -> Quote {
        let (usage, tier) = (self.usage, self.tier);
        Quote { usage, tier, amount: Some(self.bound), given: true, estimated: true }
    }
}

/// A call that will end. Dropped without an ending, by a panic say, its hold is charged.
pub(crate) struct Tally(Option<Box<Parts>>);

struct Parts {
    gateway: Arc<Inner>,
    endpoint: Arc<Endpoint>,
    api: Api,
    promise: Promise,
    /// The call's place among those in flight.
    place: OwnedSemaphorePermit,
}

impl Tally {
    pub(crate) fn new(
        gateway: Arc<Inner>,
        endpoint: Arc<Endpoint>,
        api: Api,
        promise: Promise,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self(Some(Box::new(Parts { gateway, endpoint, api, promise, place })))
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.parts().endpoint
    }

    pub(crate) fn promise(&self) -> &Promise {
        &self.parts().promise
    }

    /// How long to read on for a caller that is gone.
    pub(crate) fn drain(&self) -> Duration {
        self.parts().gateway.config.drain
    }

    /// What the gateway waits for when it ends.
    pub(crate) fn tasks(&self) -> TaskTracker {
        self.parts().gateway.tasks.clone()
    }

    fn parts(&self) -> &Parts {
        // Only `end` and `drop` take them, and both own the tally.
        self.0.as_ref().expect("a tally that has not ended")
    }

    /// Settles or releases by the table, beside; what the call has cost, where that is known.
    pub(crate) fn end(
        mut self,
        ending: Ending,
        used: Option<Used>,
        seen: Partial,
    ) -> Option<Money> {
        self.0.take().and_then(|parts| parts.end(ending, used, &seen))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(parts) = self.0.take() {
            parts.end(Ending::Lost, None, &Partial::default());
        }
    }
}

impl Parts {
    fn end(self, ending: Ending, used: Option<Used>, seen: &Partial) -> Option<Money> {
        let Self { gateway, endpoint, api, promise, place } = self;
        endpoint.ended(api, ending);
        let held = Held { usage: promise.usage, thinks: promise.asked.thinks };
        let actual = match verdict(ending, used, seen, held) {
            Verdict::Release => None,
            Verdict::Charge(used) => Some(promise.quote(used)),
            Verdict::Estimate(usage) => {
                endpoint.estimated.increment(1);
                Some(promise.estimate(usage))
            }
            Verdict::ChargeHold => {
                endpoint.estimated.increment(1);
                Some(promise.whole())
            }
        };
        let cost = actual.map_or(Some(Money::ZERO), |actual| actual.amount);
        if cost.is_some_and(|cost| cost > promise.bound) {
            endpoint.overruns.increment(1);
            tracing::warn!(
                upstream = endpoint.config.name,
                model = %promise.call.model,
                request_id = %promise.key,
                held = %promise.bound,
                cost = cost.map(tracing::field::display),
                "a vendor has reported more than was held"
            );
        }
        let work = record(gateway.clone(), promise, actual, place);
        if !gateway.clerk.give(gateway.tasks.track_future(work)) {
            tracing::error!("a call ended after the service; its hold stays");
        }
        cost
    }
}

impl Inner {
    /// Notes calls that nothing is held for, before they go out.
    pub(crate) async fn begin(self: &Arc<Self>, most: Vec<Charge>) -> Result<Begun, Fault> {
        let keys: Vec<_> = most.iter().map(|one| (one.key, one.call.tenant.clone())).collect();
        let error = match self.spool.begin(most).await {
            Ok(begun) => return Ok(begun),
            Err(error) => error,
        };
        tracing::error!("a call is not let through, for the spool can't note it: {error}");
        // The store may have held it all the same, and nobody have heard of it.
        let gateway = self.clone();
        self.tasks.spawn(async move {
            for (key, tenant) in keys {
                release(&gateway, key, &tenant).await;
            }
        });
        let message = "the budget store is down, and the spool can't keep what a call costs until \
                       it is back";
        Err(Fault::new(Kind::StoreDown, message).retry_after(1))
    }

    /// Keeps in the spool how calls have ended that were noted there, before the note is let go; tried
    /// beside until the disk takes it, for without it they are charged all that they may have cost.
    pub(crate) async fn end(self: &Arc<Self>, endings: Vec<Untold>, begun: Begun) {
        metrics::counter!(names::SPOOLED).increment(endings.len() as u64);
        let Err(error) = self.spool.keep(&endings).await else { return };
        tracing::error!(
            ?begun,
            "the spool can't take how a call has ended; it is tried again: {error}"
        );
        let gateway = self.clone();
        self.tasks.spawn(async move {
            while gateway.spool.keep(&endings).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
            drop(begun);
        });
    }
}

/// Tells the ledger, or the spool until the ledger can be told.
async fn record(
    gateway: Arc<Inner>,
    promise: Promise,
    actual: Option<Quote>,
    place: OwnedSemaphorePermit,
) {
    let Promise { key, call, begun, .. } = promise;
    let tenant = call.tenant.clone();
    let actual = actual.map(|actual| Charge { key, call, actual });
    match (begun, actual) {
        (Some(begun), actual) => {
            let released = || Untold::Release(key, tenant.clone());
            let ending = actual.map_or_else(released, Untold::Charge);
            Box::pin(gateway.end(vec![ending], begun)).await;
        }
        (None, Some(actual)) => charge(&gateway, actual).await,
        (None, None) => release(&gateway, key, &tenant).await,
    }
    drop(place);
    gateway.lines.freed(&tenant);
}

async fn charge(gateway: &Inner, charge: Charge) {
    let settled = gateway.rooms.escrow.settle(charge.settle());
    let error = match gateway.if_heard(settled).await {
        Ok(_) => return,
        Err(error) => error,
    };
    Box::pin(keep_charge(gateway, &charge, &error)).await;
}

/// Keeps a charge that the store did not take in the spool.
pub(crate) async fn keep_charge(gateway: &Inner, charge: &Charge, error: &EscrowError) {
    if !matches!(error, EscrowError::Store(_)) {
        tracing::error!(request_id = %charge.key, "a charge was refused: {error}");
    }
    metrics::counter!(names::SPOOLED).increment(1);
    if let Err(failure) = gateway.spool.keep(&[Untold::Charge(charge.clone())]).await {
        let amount = charge.actual.amount.map(tracing::field::display);
        tracing::error!(
            request_id = %charge.key, tenant = %charge.call.tenant, amount,
            "neither the store nor the spool can take a charge: {error}; {failure}"
        );
    }
}

/// Frees a hold; one that can't be freed now is freed when the store is back.
pub(crate) async fn release(gateway: &Inner, key: Key, tenant: &TenantId) {
    match gateway.if_heard(gateway.rooms.escrow.release(Release { key })).await {
        // There was nothing to free.
        Ok(_) | Err(EscrowError::NotFound(_)) => {}
        Err(EscrowError::Store(_)) => Box::pin(release_later(gateway, key, tenant)).await,
        Err(error) => tracing::error!(request_id = %key, "a hold could not be freed: {error}"),
    }
}

/// Frees a hold once the store is back; one also that may never have been made.
pub(crate) async fn release_later(gateway: &Inner, key: Key, tenant: &TenantId) {
    metrics::counter!(names::SPOOLED).increment(1);
    if let Err(failure) = gateway.spool.keep(&[Untold::Release(key, tenant.clone())]).await {
        tracing::error!(
            request_id = %key,
            "neither the store nor the spool can take a release; the hold runs out: {failure}"
        );
    }
}
