//! Anthropic's message batches: held when they are made, charged when they have ended.
//!
//! Source: <https://platform.claude.com/docs/en/api/creating-message-batches>. A batch is one hold
//! for each model in it, kept in the store beside the batch's id until the vendor has ended it; a
//! job asks for that, whether or not its caller does. Invariants: a batch belongs to the tenant
//! that made it; nobody else is told that it exists. What has ended is charged before it is
//! deleted.

mod results;
mod settle;

use std::{collections::BTreeMap, sync::Arc};

use budget::{EscrowError, Key, Quote, Reserve, StoreError, VendorBatch, VendorHold};
use bytes::Bytes;
use focus::{Attribution, ModelName};
use http::{Method, Response};
use jiff::SignedDuration;
use money::{Money, PriceBook, ServiceTier, TokenUsage};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use self::settle::Unsettled;
use crate::{
    call::{Collected, collect, fault, outgoing_of, unmetered},
    demand::{self, Demand},
    dialect::{BatchRoute, Dialect},
    fault::{Fault, Kind},
    gateway::{Call, Inner, whole},
    names,
    passage::Passage,
    reply::{COST, FREE, Reply},
    settle::{release, release_later},
    spool::Untold,
    upstream::{Endpoint, returned},
};

/// A batch ends within 24 hours; its hold waits a little longer before it is unresolved.
const TIMEOUT: SignedDuration = SignedDuration::from_hours(26);

/// What is held for one model's requests.
struct Share {
    models: Vec<String>,
    hold: Money,
    usage: TokenUsage,
}

impl Inner {
    /// Makes a batch: all of it is held, or nothing is sent.
    pub(crate) async fn make_batch(&self, call: &Call) -> Result<Response<Reply>, Fault> {
        let book = (self.rooms.prices)();
        let demands = demand::read_batch(&call.body, false).map_err(unmetered)?;
        let Some((_, first)) = demands.first() else {
            let empty = Fault::new(Kind::Unmetered, "requests must not be empty");
            return Err(empty.about("requests"));
        };
        let endpoint = self.endpoint(Dialect::Anthropic, &first.model)?.clone();
        let shares = self.shares(&book, &endpoint, &demands)?;
        let holds = match self.hold_shares(call, shares).await {
            // Counted by a tokenizer it may fit.
            Err(fault) if fault.kind() == Kind::Budget => {
                let demands = self.tight_batch(call).await?;
                self.hold_shares(call, self.shares(&book, &endpoint, &demands)?).await?
            }
            holds => holds?,
        };
        let sent = endpoint.send(outgoing_of(call)).await;
        let response = match sent {
            Ok(response) => response,
            Err(failure) => {
                // Whether the vendor has taken it is not known where it was sent: its hold stays.
                if matches!(failure, crate::pool::Failure::Unsent(_)) {
                    self.free(&holds).await;
                }
                return Err(fault(&endpoint, &failure));
            }
        };
        let (mut head, body) = response.into_parts();
        let until = Instant::now() + endpoint.config.timeout;
        let body = match collect(body, self.config.answer_limit, until).await {
            Collected::Whole(body) => body,
            Collected::Part(_) => {
                let message = "the upstream's answer broke off; the batch may have been made, and \
                               its money stays held";
                return Err(Fault::new(Kind::UpstreamDown, message));
            }
        };
        if head.status.is_success() {
            self.keep_batch(call, &endpoint, holds, &body).await;
        } else {
            self.free(&holds).await;
        }
        returned(&mut head.headers);
        head.headers.insert(COST, FREE);
        Ok(whole(Response::from_parts(head, body)))
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
        endpoint: &Arc<Endpoint>,
        demands: &[(String, Demand)],
    ) -> Result<BTreeMap<ModelName, Share>, Fault> {
        let mut shares: BTreeMap<ModelName, Share> = BTreeMap::new();
        for (custom_id, demand) in demands {
            if !endpoint.config.takes(Dialect::Anthropic, &demand.model) {
                let message = format!(
                    "a batch goes to one upstream, and {} does not take model {} of request {custom_id}",
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

    /// Holds every share, or none.
    async fn hold_shares(
        &self,
        call: &Call,
        shares: BTreeMap<ModelName, Share>,
    ) -> Result<Vec<VendorHold>, Fault> {
        let mut holds: Vec<VendorHold> = Vec::new();
        for (model, share) in shares {
            let attribution = Attribution {
                tenant: call.payer.tenant.clone(),
                model,
                user: call.payer.user.clone(),
                report_type: call.payer.report_type.clone(),
            };
            let key: Key = Uuid::now_v7();
            let estimate = Quote {
                usage: share.usage,
                tier: ServiceTier::Batch,
                amount: Some(share.hold),
                given: true,
                estimated: false,
            };
            let (call, timeout) = (attribution.clone(), Some(TIMEOUT));
            let request = Reserve { key, call, estimate, timeout, covered: false, fresh: false };
            if let Err(error) = self.in_time(self.rooms.escrow.reserve(request)).await {
                if let EscrowError::Store(StoreError::Unavailable(_)) = &error {
                    // It failed at an unknown moment: this hold, too, may have been made.
                    for made in holds.iter().map(|hold| hold.key).chain([key]) {
                        release_later(self, made).await;
                    }
                } else {
                    self.free(&holds).await;
                }
                return Err(Fault::escrow(error, self.now()));
            }
            holds.push(VendorHold { key, call: attribution, models: share.models });
        }
        Ok(holds)
    }

    async fn free(&self, holds: &[VendorHold]) {
        for hold in holds {
            release(self, hold.key).await;
        }
    }

    /// Remembers a batch under the vendor's name for it.
    async fn keep_batch(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        holds: Vec<VendorHold>,
        body: &Bytes,
    ) {
        #[derive(Deserialize)]
        struct Made {
            id: String,
        }
        let Ok(Made { id }) = serde_json::from_slice(body) else {
            let keys = keys(&holds);
            tracing::error!(?keys, "a batch was made and its id can't be read; its holds stay");
            return;
        };
        let batch = VendorBatch {
            id,
            tenant: call.payer.tenant.clone(),
            upstream: endpoint.config.name.clone(),
            holds,
            created_at: self.now(),
            settled_at: None,
        };
        let kept = self.rooms.batches.put_batch(batch.clone());
        if let Err(error) = self.in_time(kept).await {
            self.keep_later(batch, &error).await;
        }
    }

    /// Remembers a batch once the store is back.
    async fn keep_later(&self, batch: VendorBatch, error: &StoreError) {
        metrics::counter!(names::SPOOLED).increment(1);
        let (id, keys) = (batch.id.clone(), keys(&batch.holds));
        if let Err(failure) = self.spool.keep(&Untold::Batch(batch)).await {
            tracing::error!(
                batch = id,
                ?keys,
                "neither the store nor the spool can take a batch; its holds stay: {error}; \
                 {failure}"
            );
        }
    }

    /// Asks the vendor about a batch of the caller's own.
    pub(crate) async fn ask_batch(
        self: &Arc<Self>,
        call: &mut Call,
        id: &str,
        route: BatchRoute,
    ) -> Result<Response<Reply>, Fault> {
        let batch = self.batch_of(call, id).await?;
        let endpoint = self.upstream_of(&batch)?.clone();
        if call.head.method == Method::DELETE && batch.settled_at.is_none() {
            self.settle_before_delete(&batch).await?;
        }
        let response =
            endpoint.send(outgoing_of(call)).await.map_err(|failure| fault(&endpoint, &failure))?;
        let (mut head, body) = response.into_parts();
        returned(&mut head.headers);
        head.headers.insert(COST, FREE);
        if route == BatchRoute::Results && head.status.is_success() {
            if batch.settled_at.is_none() {
                self.settle_beside(batch);
            }
            // They may be longer than memory is large.
            let passage = Passage::new(body, endpoint.config.idle_timeout, call.place.take());
            return Ok(Response::from_parts(head, Reply::Passage(Box::new(passage))));
        }
        let until = Instant::now() + endpoint.config.timeout;
        match collect(body, self.config.answer_limit, until).await {
            Collected::Whole(body) => Ok(whole(Response::from_parts(head, body))),
            Collected::Part(_) => {
                Err(Fault::new(Kind::UpstreamDown, "the upstream's answer could not be read"))
            }
        }
    }

    /// Charges a batch whose results are there, so that it has ended: no need to wait for the job.
    fn settle_beside(self: &Arc<Self>, batch: VendorBatch) {
        let inner = self.clone();
        self.tasks.spawn(async move {
            if let Err(why) = inner.settle_ended(&batch).await {
                tracing::warn!(batch = batch.id, "a batch can't be settled yet: {why}");
            }
        });
    }

    /// A batch, if it is the caller's own.
    async fn batch_of(&self, call: &Call, id: &str) -> Result<VendorBatch, Fault> {
        // Before the store is asked, so that what is delivered meanwhile is found.
        let is_spooled =
            self.spool.records() > 0 && self.spool.has_batch(id, &call.payer.tenant).await;
        let found = self.in_time(self.rooms.batches.batch(id)).await;
        match found.map_err(|error| Fault::store(&error))? {
            Some(batch) if batch.tenant == call.payer.tenant => Ok(batch),
            None if is_spooled => {
                let message = "the budget store has not been told yet of all that was made while \
                               it was down; come again soon";
                Err(Fault::new(Kind::StoreDown, message).retry_after(1))
            }
            _ => {
                let message = format!("there is no batch {id} of this tenant");
                Err(Fault::new(Kind::NotFound, message))
            }
        }
    }

    /// Charges a batch that its owner wants to be forgotten: once that is done nobody can tell any
    /// more what it has cost. One that is not known the vendor refuses; one that has not ended is
    /// refused here, for it may end before he hears of it.
    async fn settle_before_delete(&self, batch: &VendorBatch) -> Result<(), Fault> {
        match self.settle_if_ended(batch).await {
            Ok(true) | Err(Unsettled::Unknown) => Ok(()),
            Ok(false) => {
                let message = "a batch can be deleted once it has ended; cancel it first";
                Err(Fault::new(Kind::Unfinished, message))
            }
            Err(why) => {
                tracing::warn!(
                    batch = batch.id,
                    "a batch is not deleted, for it can't be settled yet: {why}"
                );
                Err(why.fault(&batch.id))
            }
        }
    }

    fn upstream_of(&self, batch: &VendorBatch) -> Result<&Arc<Endpoint>, Fault> {
        let known = |endpoint: &&Arc<Endpoint>| endpoint.config.name == batch.upstream;
        self.endpoints.iter().find(known).ok_or_else(|| {
            let message = format!("upstream {} is not configured any more", batch.upstream);
            Fault::new(Kind::NoUpstream, message)
        })
    }
}

/// The names of holds, for the log.
fn keys(holds: &[VendorHold]) -> Vec<String> {
    holds.iter().map(|hold| hold.key.to_string()).collect()
}
