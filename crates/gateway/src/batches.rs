//! Anthropic's message batches: held when they are made, charged when they have ended.
//!
//! Source: <https://platform.claude.com/docs/en/api/creating-message-batches>. A batch is one hold
//! for each model in it, kept in the store beside the batch's id until the vendor has ended it; a
//! job asks for that, whether or not its caller does. Invariants: a batch belongs to the tenant
//! that made it; nobody else is told that it exists. What has ended is charged before it is
//! deleted.

mod hold;
mod list;
mod results;
mod settle;
mod told;

use std::sync::Arc;

use budget::{StoreError, VendorBatch, VendorHold};
use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use serde::Deserialize;
use tokio::time::Instant;

pub(crate) use self::settle::Charging;
use self::{hold::Sent, settle::Unsettled, told::told_with};
use crate::{
    abide::{Gone, last_words},
    call::{Collected, collect, fault, outgoing_of, unmetered},
    demand,
    dialect::{BatchRoute, Dialect},
    fault::{Fault, Kind, SHOULD_RETRY},
    gateway::{Call, Inner, whole},
    names,
    passage::Passage,
    pool::Failure,
    reply::{COST, FREE, Reply},
    spool::Untold,
    upstream::{Endpoint, is_unsure, returned},
};

impl Inner {
    /// Makes a batch: all of it is held, or nothing is sent.
    pub(crate) async fn make_batch(
        self: &Arc<Self>,
        call: &Call,
        gone: &mut Gone,
    ) -> Result<Response<Reply>, Fault> {
        let book = (self.rooms.prices)();
        let demands = demand::read_batch(&call.body, false).map_err(unmetered)?;
        let Some((_, first)) = demands.first() else {
            let empty = Fault::new(Kind::Unmetered, "requests must not be empty");
            return Err(empty.about("requests"));
        };
        let endpoint = self.endpoint(Dialect::Anthropic, &first.model)?.clone();
        let holds = self.hold_batch(call, &book, &endpoint, &demands).await?;
        if gone.is_gone() {
            holds.free().await;
            return Err(Fault::new(Kind::Internal, "the caller has hung up"));
        }
        let sent = holds.sent();
        let response = match endpoint.send_unless(outgoing_of(call), gone.wait()).await {
            Ok(response) => response,
            Err(failure) => {
                let fault = fault(&endpoint, &failure);
                if matches!(failure, Failure::Unsent(_) | Failure::Refused(_)) {
                    self.free(sent).await;
                    return Err(fault);
                }
                // Whether the vendor has taken it is not known: its hold stays.
                return Err(fault.unsure());
            }
        };
        let (mut head, body) = response.into_parts();
        // Where he may have taken it, the holds stay as they do without an answer.
        let is_refusal = !head.status.is_success() && !is_unsure(head.status);
        let until = Instant::now() + endpoint.config.timeout;
        let mut body = match collect(body, self.config.answer_limit, until).await {
            Collected::Whole(body) => body,
            Collected::Part(_) if is_refusal => {
                self.free(sent).await;
                return Err(Fault::new(Kind::UpstreamDown, "the upstream's refusal broke off"));
            }
            Collected::Part(_) => {
                let message = "the upstream's answer broke off; the batch may have been made, and \
                               its money stays held";
                return Err(Fault::new(Kind::UpstreamDown, message).unsure());
            }
        };
        if is_refusal {
            self.free(sent).await;
        } else if head.status.is_success() {
            self.keep_batch(call, &endpoint, sent, &body).await;
            body = told_with(&mut head.headers, body);
        }
        returned(&mut head.headers);
        if is_unsure(head.status) {
            // What it costs nobody knows, and the SDKs would make it again.
            head.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        } else {
            head.headers.insert(COST, FREE);
        }
        Ok(whole(Response::from_parts(head, body)))
    }

    /// Remembers a batch under the vendor's name for it.
    async fn keep_batch(
        self: &Arc<Self>,
        call: &Call,
        endpoint: &Endpoint,
        Sent { holds, begun }: Sent,
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
        if let Some(begun) = begun {
            // Beside its note, which is let go then.
            return self.end(vec![Untold::Batch(batch)], begun).await;
        }
        let kept = self.rooms.batches.put_batch(batch.clone());
        if let Err(error) = self.if_heard(kept).await {
            self.keep_later(batch, &error).await;
        }
    }

    /// Remembers a batch once the store is back.
    async fn keep_later(&self, batch: VendorBatch, error: &StoreError) {
        metrics::counter!(names::SPOOLED).increment(1);
        let (id, keys) = (batch.id.clone(), keys(&batch.holds));
        if let Err(failure) = self.spool.keep(&[Untold::Batch(batch)]).await {
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
        if call.head.method == Method::DELETE && head.status.is_success() {
            self.forget(&batch).await;
        }
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
            Collected::Whole(body) => {
                let body = told_with(&mut head.headers, body);
                Ok(whole(Response::from_parts(head, body)))
            }
            Collected::Part(_) => {
                Err(Fault::new(Kind::UpstreamDown, "the upstream's answer could not be read"))
            }
        }
    }

    /// Lists a batch no more that the vendor has forgotten; its charges stay in the ledger.
    async fn forget(&self, batch: &VendorBatch) {
        if let Err(error) = self.if_heard(self.rooms.batches.forget_batch(&batch.id)).await {
            tracing::warn!(batch = batch.id, "a batch that is deleted stays listed: {error}");
        }
    }

    /// Charges a batch whose results are there, so that it has ended: no need to wait for the job.
    fn settle_beside(self: &Arc<Self>, batch: VendorBatch) {
        let inner = self.clone();
        self.tasks.spawn(async move {
            // What is not read by the end is read again later.
            tokio::select! {
                () = inner.look_after(&batch) => {}
                () = last_words(&inner.tasks) => {}
            }
        });
    }

    /// A batch, if it is the caller's own.
    async fn batch_of(&self, call: &Call, id: &str) -> Result<VendorBatch, Fault> {
        // Before the store is asked, so that what is delivered meanwhile is found.
        let is_spooled =
            self.spool.records() > 0 && self.spool.has_batch(id, &call.payer.tenant).await;
        let found = self.if_heard(self.rooms.batches.batch(id)).await;
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
    /// more what it has cost. One that has not ended is refused, for it may end before the vendor
    /// hears of it; so is one that he does not know.
    async fn settle_before_delete(&self, batch: &VendorBatch) -> Result<(), Fault> {
        match self.settle_if_ended(batch).await {
            Ok(true) => Ok(()),
            Err(Unsettled::Unknown) => {
                let message = format!("the upstream does not know batch {}", batch.id);
                Err(Fault::new(Kind::NotFound, message))
            }
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
