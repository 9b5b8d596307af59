//! The hold: from what a call may cost to money promised, or a refusal.

use std::{sync::Arc, time::Duration};

use budget::{EscrowError, Outcome, Quote, Reserve, StoreError};
use focus::{Attribution, ModelName};
use money::{Money, Price, PriceBook, ServiceTier, TokenUsage};
use tokio::time::{Instant, timeout};

use crate::{
    call::unmetered,
    config::Fail,
    demand::{self, Demand, Edits, PromptBound, TierAsked},
    dialect::Api,
    fault::{Fault, Kind},
    gateway::{Call, Inner},
    names,
    settle::{Asked, Promise, Tally, release_later},
    upstream::Endpoint,
};

/// Below which part of the room that a tenant has left a quick bound is good enough. Above it the
/// tight one is worth its millisecond: a bound too high would refuse what fits.
const QUICK_PART: i128 = 8;
/// From how many bytes on a body's tokens are counted beside.
const LONG: usize = 64 * 1024;
/// How long to wait for an answer that only makes a bound better.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// A call that may be made.
pub(crate) struct Granted {
    pub(crate) tally: Tally,
    pub(crate) is_stream: bool,
    pub(crate) edits: Edits,
    /// The model that is called in place of the one that was asked for.
    pub(crate) fallback: Option<String>,
}

/// A call at a price, with the most that it may cost.
pub(crate) struct Bid<'a> {
    endpoint: &'a Arc<Endpoint>,
    attribution: Attribution,
    pub(crate) demand: Demand,
    pub(crate) price: &'a Price,
    pub(crate) hold: Money,
    is_tight: bool,
}

impl Inner {
    /// Holds what a call may cost.
    pub(crate) async fn grant(self: &Arc<Self>, call: &mut Call) -> Result<Granted, Fault> {
        let book = (self.rooms.prices)();
        let canonical = |name: &str| book.canonical(name).to_owned();
        let demand = demand::read(call.api, &call.body, canonical).map_err(unmetered)?;
        let is_stream = demand.is_stream;
        let wants_usage = demand.wants_usage;
        let mut bid = self.bid(call, &book, demand)?;
        if self.is_tight_worth_it(call, &bid).await {
            Box::pin(self.tighten(call, &mut bid)).await?;
        }
        let mut edits = Edits::default();
        let mut fallback = None;
        let outcome = match self.hold(call, &mut bid).await {
            Err(EscrowError::Refused(refusal)) => {
                let bent = Box::pin(self.bend(call, &book, &mut bid, &refusal)).await?;
                let Some((outcome, bend)) = bent else {
                    return Err(Fault::escrow(EscrowError::Refused(refusal), self.now()));
                };
                (edits, fallback) = bend;
                outcome
            }
            Ok(outcome) => Some(outcome),
            Err(EscrowError::Store(error)) => self.unheld(call, &error).map(|()| None)?,
            Err(error) => return Err(Fault::escrow(error, self.now())),
        };
        if let Some(outcome) = &outcome {
            self.terms.left(&outcome.reservation);
        }
        let takes_usage = bid.endpoint.config.stream_usage;
        edits.include_usage =
            is_stream && !wants_usage && takes_usage && call.api == Api::ChatCompletions;
        let mut promise = Promise {
            key: call.key,
            bound: bid.hold,
            usage: bid.demand.usage_bound(bid.price),
            tier: served(bid.demand.tier),
            multiplier: bid.demand.multiplier,
            asked: Asked { write_1h: bid.demand.cache.write_1h, thinks: bid.demand.thinks },
            call: bid.attribution,
            held: outcome.map(|outcome| outcome.reservation),
            book: book.clone(),
            asked_at: self.now(),
            begun: None,
        };
        if promise.held.is_none() {
            promise.begun = Some(self.begin(vec![promise.most()]).await?);
        }
        let place = call.place.take().ok_or_else(|| Fault::new(Kind::Internal, "no place"))?;
        let endpoint = bid.endpoint.clone();
        let tally = Tally::new(self.clone(), endpoint, call.api, promise, place);
        Ok(Granted { tally, is_stream, edits, fallback })
    }

    /// What becomes of a call that the store could not hold: let through, if config says so.
    pub(crate) fn unheld(self: &Arc<Self>, call: &Call, error: &StoreError) -> Result<(), Fault> {
        if self.lets_through(error) {
            return Ok(());
        }
        if matches!(error, StoreError::Unavailable(_) | StoreError::Closed) {
            // It failed at an unknown moment: the hold may have been made.
            let (gateway, key, tenant) = (self.clone(), call.key, call.payer.tenant.clone());
            let work = async move { release_later(&gateway, key, &tenant).await };
            tokio::spawn(self.tasks.track_future(work));
        }
        Err(Fault::store(error))
    }

    /// Whether a call goes out without what the store could not hold.
    pub(crate) fn lets_through(&self, error: &StoreError) -> bool {
        let is_open = self.config.fail == Fail::Open;
        if is_open {
            metrics::counter!(names::FAIL_OPEN).increment(1);
            tracing::error!("the budget store is down; a call is let through: {error}");
        }
        is_open
    }

    /// A demand at its model's price.
    pub(crate) fn bid<'a>(
        &'a self,
        call: &Call,
        book: &'a PriceBook,
        demand: Demand,
    ) -> Result<Bid<'a>, Fault> {
        let endpoint = self.endpoint(call.api.dialect(), &demand.model)?;
        let price =
            book.price(&demand.model, self.now()).ok_or_else(|| Fault::unpriced(&demand.model))?;
        let name = book.canonical(&demand.model);
        let model = ModelName::parse(name).map_err(|error| {
            Fault::new(Kind::Unmetered, format!("model {error}")).about("model")
        })?;
        let payer = &call.payer;
        let attribution = Attribution {
            tenant: payer.tenant.clone(),
            model,
            user: payer.user.clone(),
            report_type: payer.report_type.clone(),
        };
        let hold = hold(&demand, price)?;
        Ok(Bid { endpoint, attribution, demand, price, hold, is_tight: false })
    }

    /// Reserves; with the tight bound where the quick one does not fit, and after a wait where only
    /// other calls' holds are in the way.
    async fn hold(&self, call: &Call, bid: &mut Bid<'_>) -> Result<Outcome, EscrowError> {
        let until = Instant::now() + self.config.wait;
        if let Some(place) = self.lines.behind(&bid.attribution) {
            // Whoever waits came first.
            self.tighten_or_keep(call, bid).await;
            return place.wait(until, || self.reserve(call, bid)).await;
        }
        let mut result = self.reserve(call, bid).await;
        if let Err(EscrowError::Refused(refusal)) = &result
            && !bid.is_tight
            && bid.may_fit(refusal.standing.limit.saturating_sub_to_zero(refusal.standing.settled))
        {
            self.tighten_or_keep(call, bid).await;
            result = self.reserve(call, bid).await;
        }
        match result {
            Err(EscrowError::Refused(refusal))
                if refusal.by_holds && !self.config.wait.is_zero() =>
            {
                let place = self.lines.join(&refusal.scope, &bid.attribution);
                place.wait(until, || self.reserve(call, bid)).await
            }
            result => result,
        }
    }

    /// Whether a tight bound may decide: the quick one is not far below what the tenant has left,
    /// and without its prompt the call would fit. Of a tenant that has not called yet, the store is
    /// asked, without a trace of it.
    async fn is_tight_worth_it(&self, call: &Call, bid: &Bid<'_>) -> bool {
        let room = match self.terms.room(&call.payer.tenant) {
            Some(room) => Some(room),
            None if self.is_silent() => None,
            None => {
                match timeout(CHECK_TIMEOUT, self.rooms.escrow.check(bid.request(call))).await {
                    Ok(Ok(standing)) => {
                        Some(standing.limit.saturating_sub_to_zero(standing.counted))
                    }
                    Ok(Err(_)) | Err(_) => None,
                }
            }
        };
        // What nobody knows is tried with the quick bound first.
        let Some(room) = room else { return false };
        bid.hold.nanos().saturating_mul(QUICK_PART) > room.nanos() && bid.may_fit(room)
    }

    pub(crate) async fn reserve(&self, call: &Call, bid: &Bid<'_>) -> Result<Outcome, EscrowError> {
        self.try_reserve(bid.request(call)).await
    }

    /// Asks the store for a hold, unless it says nothing and nobody waits for it.
    pub(crate) async fn try_reserve(&self, request: Reserve) -> Result<Outcome, EscrowError> {
        // One call now and then looks whether a silent store is back.
        if self.is_silent() && !self.quiet.admits() {
            return Err(self.silent().into());
        }
        self.in_time(self.rooms.escrow.reserve(request)).await
    }

    /// Takes the tight bound. Long prompts are counted beside, for that takes its time.
    pub(crate) async fn tighten(&self, call: &Call, bid: &mut Bid<'_>) -> Result<(), Fault> {
        if call.body.len() <= LONG {
            demand::tighten(call.api, &call.body, &mut bid.demand);
        } else if let Ok(_turn) = self.counting.acquire().await {
            let (api, body, mut demand) = (call.api, call.body.clone(), bid.demand.clone());
            let count = move || {
                demand::tighten(api, &body, &mut demand);
                demand
            };
            // The quick bound is one, too.
            if let Ok(tight) = tokio::task::spawn_blocking(count).await {
                bid.demand = tight;
            }
        }
        bid.hold = hold(&bid.demand, bid.price)?.min(bid.hold);
        bid.is_tight = true;
        Ok(())
    }

    /// Takes the tight bound; the quick one stays where there is none.
    async fn tighten_or_keep(&self, call: &Call, bid: &mut Bid<'_>) {
        if !bid.is_tight && self.tighten(call, bid).await.is_err() {
            bid.is_tight = true;
        }
    }
}

impl Bid<'_> {
    /// Which model its deployment's name means, at a vendor whose deployments have names of their own.
    pub(crate) fn deployed(&self) -> Option<String> {
        self.endpoint.config.is_azure().then(|| self.demand.kind.clone())
    }

    fn quote(&self) -> Quote {
        let usage: TokenUsage = self.demand.usage_bound(self.price);
        let tier: ServiceTier = served(self.demand.tier);
        Quote { usage, tier, amount: Some(self.hold), given: true, estimated: false }
    }

    /// Whether the call could fit if its prompt were nothing: only then is it worth counting.
    fn may_fit(&self, room: Money) -> bool {
        let nothing = match self.demand.prompt {
            PromptBound::Tokens(_) => PromptBound::Tokens(0),
            PromptBound::Window => return false,
        };
        let least = Demand { prompt: nothing, ..self.demand.clone() };
        least.hold(self.price).is_ok_and(|least| least <= room)
    }

    fn request(&self, call: &Call) -> Reserve {
        let (key, call, estimate) = (call.key, self.attribution.clone(), self.quote());
        Reserve { key, call, estimate, timeout: None, covered: true, fresh: true }
    }

    /// Asks for the hold of a demand that has changed.
    pub(crate) fn reprice(&mut self) -> Result<(), Fault> {
        self.hold = hold(&self.demand, self.price)?;
        Ok(())
    }
}

/// The tier by which an estimate is priced.
fn served(tier: TierAsked) -> ServiceTier {
    match tier {
        TierAsked::Standard | TierAsked::Auto => ServiceTier::Standard,
        TierAsked::Flex => ServiceTier::Flex,
        TierAsked::Priority => ServiceTier::Priority,
        TierAsked::Batch => ServiceTier::Batch,
    }
}

fn hold(demand: &Demand, price: &Price) -> Result<Money, Fault> {
    demand.hold(price).map_err(|unbounded| Fault::new(Kind::Unmetered, unbounded))
}
