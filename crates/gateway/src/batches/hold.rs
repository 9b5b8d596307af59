//! What is held for a batch: a share for each model in it, all of them or none.
//!
//! Invariant: until the batch is sent, its holds are freed when it is refused, and also when
//! whoever made them is gone, by a panic say.

use std::{collections::BTreeMap, mem, sync::Arc};

use budget::{EscrowError, Key, Outcome, Quote, Reserve, StoreError, VendorHold};
use focus::{Attribution, ModelName};
use jiff::SignedDuration;
use money::{Money, PriceBook, ServiceTier, TokenUsage};
use tokio::{runtime::Handle, time::Instant};
use uuid::Uuid;

use crate::{
    call::unmetered,
    demand::{self, Demand},
    dialect::Dialect,
    fault::{Fault, Kind},
    gateway::{Call, Inner},
    settle::{release, release_later},
    spool::{Begun, Charge, Untold},
    upstream::Endpoint,
};

/// A batch ends within 24 hours; its hold waits a little longer before it is unresolved.
const TIMEOUT: SignedDuration = SignedDuration::from_hours(26);

/// What is held for one model's requests.
struct Share {
    models: Vec<String>,
    hold: Money,
    usage: TokenUsage,
}

/// The holds of a batch that has not been sent yet.
pub(super) struct Holds {
    gateway: Arc<Inner>,
    /// Each with the most that it may cost.
    made: Vec<(VendorHold, Quote)>,
    begun: Option<Begun>,
}

/// The holds of a batch that is sent.
pub(super) struct Sent {
    pub(super) holds: Vec<VendorHold>,
    /// The note of a batch that not all is held for; dropped before it is kept how the batch has ended,
    /// all is charged.
    pub(super) begun: Option<Begun>,
}

impl Inner {
    /// Holds what a batch may cost: by the quick bound where that fits at once; by the tight one
    /// elsewhere, and after a wait where only other calls' holds are in the way.
    pub(super) async fn hold_batch(
        self: &Arc<Self>,
        call: &Call,
        book: &PriceBook,
        endpoint: &Endpoint,
        demands: &[(String, Demand)],
    ) -> Result<Holds, Fault> {
        let shares = self.shares(book, endpoint, demands)?;
        let is_behind = |model| self.lines.behind(&attribution(call, model)).is_some();
        // Whoever waits came first.
        if !shares.keys().any(is_behind) {
            match self.hold_shares(call, shares, None).await {
                // Counted by a tokenizer it may fit.
                Err(fault) if fault.kind() == Kind::Budget => {}
                result => return result,
            }
        }
        let demands = self.tight_batch(call).await?;
        let shares = self.shares(book, endpoint, &demands)?;
        let until = Instant::now() + self.config.wait;
        self.hold_shares(call, shares, Some(until)).await
    }

    /// A batch by the tight bound, counted beside: it may be long.
    async fn tight_batch(&self, call: &Call) -> Result<Vec<(String, Demand)>, Fault> {
        let failed = |_| Fault::new(Kind::Internal, "something went wrong here; the log says what");
        let turn = self.counting.acquire().await;
        let body = call.body.clone();
        let read = tokio::task::spawn_blocking(move || demand::read_batch(&body, true)).await;
        drop(turn);
        read.map_err(failed)?.map_err(unmetered)
    }

    /// The most that each model's requests can cost together.
    fn shares(
        &self,
        book: &PriceBook,
        endpoint: &Endpoint,
        demands: &[(String, Demand)],
    ) -> Result<BTreeMap<ModelName, Share>, Fault> {
        let mut shares: BTreeMap<ModelName, Share> = BTreeMap::new();
        for (custom_id, demand) in demands {
            if !endpoint.config.takes(Dialect::Anthropic, &demand.model) {
                let message = format!(
                    "a batch goes to one upstream, and {} does not take model {} of request \
                     {custom_id}",
                    endpoint.config.name, demand.model
                );
                return Err(Fault::new(Kind::NoUpstream, message).about("requests"));
            }
            let price = book
                .price(&demand.model, self.now())
                .ok_or_else(|| Fault::unpriced(&demand.model))?;
            let hold = demand.hold(price).map_err(|unbounded| {
                Fault::new(Kind::Unmetered, format!("request {custom_id}: {unbounded}"))
            })?;
            let model = ModelName::parse(book.canonical(&demand.model)).map_err(|error| {
                Fault::new(Kind::Unmetered, format!("model {error}")).about("model")
            })?;
            let nothing =
                || Share { models: Vec::new(), hold: Money::ZERO, usage: TokenUsage::default() };
            let share = shares.entry(model).or_insert_with(nothing);
            let large = || Fault::new(Kind::Unmetered, "the batch could cost too much");
            share.hold = share.hold.checked_add(hold).ok_or_else(large)?;
            let usage = demand.usage_bound(price);
            share.usage = share.usage.checked_add(&usage).ok_or_else(large)?;
            if !share.models.contains(&demand.model) {
                share.models.push(demand.model.clone());
            }
        }
        Ok(shares)
    }

    /// Holds every share, or none; without a time until which, none is waited for. Where the store
    /// fails and calls are let through, the shares that it has not held go without: they are
    /// charged under their keys all the same.
    async fn hold_shares(
        self: &Arc<Self>,
        call: &Call,
        shares: BTreeMap<ModelName, Share>,
        until: Option<Instant>,
    ) -> Result<Holds, Fault> {
        let mut holds = Holds { gateway: self.clone(), made: Vec::new(), begun: None };
        // Nobody waits for its failure once for each share.
        let mut has_failed = false;
        for (model, share) in shares {
            let request = share.request(attribution(call, &model));
            let hold =
                VendorHold { key: request.key, call: request.call.clone(), models: share.models };
            // Before the store is asked, for it may hold it and nobody hear of it.
            holds.made.push((hold, request.estimate));
            if has_failed {
                continue;
            }
            match self.hold_share(&request, &holds, until).await {
                Ok(_) => {}
                Err(EscrowError::Store(error)) if self.lets_through(&error) => has_failed = true,
                Err(error) => {
                    holds.give_up(&error).await;
                    return Err(Fault::escrow(error, self.now()));
                }
            }
        }
        if has_failed {
            let most = holds.made.iter().map(|(hold, most)| Charge {
                key: hold.key,
                call: hold.call.clone(),
                actual: Quote { estimated: true, ..*most },
            });
            holds.begun = Some(self.begin(most.collect()).await?);
        }
        Ok(holds)
    }

    async fn hold_share(
        &self,
        request: &Reserve,
        holds: &Holds,
        until: Option<Instant>,
    ) -> Result<Outcome, EscrowError> {
        let attempt = || async {
            let result = self.try_reserve(request.clone()).await;
            result.map_err(|error| holds.beside_own(error))
        };
        let Some(until) = until else { return attempt().await };
        if let Some(place) = self.lines.behind(&request.call) {
            return place.wait(until, attempt).await;
        }
        match attempt().await {
            Err(EscrowError::Refused(refusal))
                if refusal.by_holds && !self.config.wait.is_zero() =>
            {
                self.lines.join(&refusal.scope, &request.call).wait(until, attempt).await
            }
            result => result,
        }
    }

    /// Frees what is held for a batch.
    pub(super) async fn free(self: &Arc<Self>, Sent { holds, begun }: Sent) {
        if let Some(begun) = begun {
            let ending = |hold: &VendorHold| Untold::Release(hold.key, hold.call.tenant.clone());
            self.end(holds.iter().map(ending).collect(), begun).await;
        } else {
            for hold in &holds {
                release(self, hold.key, &hold.call.tenant).await;
            }
        }
        holds.iter().for_each(|hold| self.lines.freed(&hold.call.tenant));
    }
}

impl Holds {
    /// A refusal for holds is one for other calls' alone: the batch's own do not go away.
    fn beside_own(&self, mut error: EscrowError) -> EscrowError {
        if let EscrowError::Refused(refusal) = &mut error {
            let covered = self.made.iter().filter(|(hold, _)| refusal.scope.covers(&hold.call));
            let standing = &refusal.standing;
            let mut amounts = covered.filter_map(|(_, most)| most.amount);
            let sum = amounts.try_fold(standing.settled, Money::checked_add);
            refusal.by_holds &= sum.is_some_and(|sum| sum <= standing.limit);
        }
        error
    }

    /// The last one was not made: frees the others.
    async fn give_up(mut self, error: &EscrowError) {
        if let EscrowError::Store(StoreError::Unavailable(_) | StoreError::Closed) = error {
            // It failed at an unknown moment: this hold, too, may have been made.
            for (hold, _) in &self.made {
                release_later(&self.gateway, hold.key, &hold.call.tenant).await;
            }
            self.made.clear();
            return;
        }
        self.made.pop();
        self.free().await;
    }

    /// Frees them: the batch is not sent.
    pub(super) async fn free(self) {
        let gateway = self.gateway.clone();
        gateway.free(self.sent()).await;
    }

    /// The batch is sent now: what becomes of its holds, the vendor tells.
    pub(super) fn sent(mut self) -> Sent {
        self.take()
    }

    fn take(&mut self) -> Sent {
        let holds = mem::take(&mut self.made).into_iter().map(|(hold, _)| hold).collect();
        Sent { holds, begun: self.begun.take() }
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        let sent = self.take();
        if let Ok(runtime) = Handle::try_current()
            && !sent.holds.is_empty()
        {
            let gateway = self.gateway.clone();
            let work = async move { gateway.free(sent).await };
            runtime.spawn(self.gateway.tasks.track_future(work));
        }
    }
}

impl Share {
    fn request(&self, call: Attribution) -> Reserve {
        let key: Key = Uuid::now_v7();
        let estimate = Quote {
            usage: self.usage,
            tier: ServiceTier::Batch,
            amount: Some(self.hold),
            given: true,
            estimated: false,
        };
        let timeout = Some(TIMEOUT);
        Reserve { key, call, estimate, timeout, covered: false, fresh: false }
    }
}

/// Who pays for a model's share.
fn attribution(call: &Call, model: &ModelName) -> Attribution {
    Attribution {
        tenant: call.payer.tenant.clone(),
        model: model.clone(),
        user: call.payer.user.clone(),
        report_type: call.payer.report_type.clone(),
    }
}
