//! Anthropic's message batches: held when they are made, charged when they have ended.
//!
//! Source: <https://platform.claude.com/docs/en/api/creating-message-batches>. A batch is one hold
//! for each model in it, kept in the store beside the batch's id until the vendor has ended it; a
//! job asks for that, whether or not its caller does. Invariant: a batch belongs to the tenant that
//! made it; nobody else is told that it exists.

use std::{collections::BTreeMap, sync::Arc};

use budget::{EscrowError, Key, Quote, Reserve, VendorBatch, VendorHold};
use bytes::Bytes;
use focus::{Attribution, ModelName};
use http::{Method, Response, StatusCode};
use jiff::SignedDuration;
use money::{Money, PriceBook, ServiceTier, TokenUsage};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    call::{Collected, collect, fault, outgoing_of, unmetered},
    demand::{self, Demand},
    dialect::{Api, BatchRoute, Dialect},
    fault::{Fault, Kind},
    gateway::{Call, Inner, whole},
    reply::{COST, Reply},
    settle::release,
    spool::Charge,
    standing::put,
    upstream::{Endpoint, Outgoing, returned},
    usage::{self, Used},
};

/// A batch ends within 24 hours; its hold waits a little longer before it is unresolved.
const TIMEOUT: SignedDuration = SignedDuration::from_hours(26);
/// Batches that are asked for at a time.
const OPEN_MOST: usize = 1_000;

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
        let demands = demand::read_batch(&call.body).map_err(unmetered)?;
        let Some((_, first)) = demands.first() else {
            let empty = Fault::new(Kind::Unmetered, "requests must not be empty");
            return Err(empty.about("requests"));
        };
        let endpoint = self.endpoint(Dialect::Anthropic, &first.model)?.clone();
        let shares = self.shares(&book, &endpoint, &demands)?;
        let holds = self.hold_shares(call, shares).await?;
        let sent = endpoint.send(outgoing_of(call)).await;
        let response = match sent {
            Ok(response) => response,
            Err(failure) => {
                // Whether the vendor has taken it is not known where it was sent: its hold stays.
                if matches!(failure, crate::pool::Failure::Unsent(_)) {
                    self.free(&holds).await;
                }
                return Err(fault(&failure));
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
        put(&mut head.headers, COST, "0");
        Ok(whole(Response::from_parts(head, body)))
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
            let request = Reserve { key, call, estimate, timeout, covered: false };
            if let Err(error) = self.rooms.escrow.reserve(request).await {
                self.free(&holds).await;
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
        let keys: Vec<String> = holds.iter().map(|hold| hold.key.to_string()).collect();
        let Ok(Made { id }) = serde_json::from_slice(body) else {
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
        if let Err(error) = self.rooms.batches.put_batch(batch.clone()).await {
            tracing::error!(
                batch = batch.id,
                ?keys,
                "a batch can't be kept; its holds stay: {error}"
            );
        }
    }

    /// Asks the vendor about a batch of the caller's own.
    pub(crate) async fn ask_batch(
        self: &Arc<Self>,
        call: &Call,
        id: &str,
        route: BatchRoute,
    ) -> Result<Response<Reply>, Fault> {
        let found = self.rooms.batches.batch(id).await.map_err(|error| Fault::store(&error))?;
        let batch = found.filter(|batch| batch.tenant == call.payer.tenant).ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("there is no batch {id} of this tenant"))
        })?;
        let endpoint = self.upstream_of(&batch)?.clone();
        let response = endpoint.send(outgoing_of(call)).await.map_err(|f| fault(&f))?;
        let (mut head, body) = response.into_parts();
        returned(&mut head.headers);
        put(&mut head.headers, COST, "0");
        if route == BatchRoute::Results && head.status.is_success() {
            // Its results are there, so it has ended: no need to wait for the job.
            let inner = self.clone();
            self.tasks.spawn(async move { inner.settle_ended(batch).await });
        }
        let until = Instant::now() + endpoint.config.timeout;
        match collect(body, 8 * self.config.answer_limit, until).await {
            Collected::Whole(body) => Ok(whole(Response::from_parts(head, body))),
            Collected::Part(_) => {
                Err(Fault::new(Kind::UpstreamDown, "the upstream's answer could not be read"))
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

    /// Charges the batches that have ended.
    pub(crate) async fn settle_batches(&self) {
        let open = match self.rooms.batches.open_batches(OPEN_MOST).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!("open batches can't be read yet: {error}");
                return;
            }
        };
        for batch in open {
            match self.has_ended(&batch).await {
                Ok(true) => self.settle_ended(batch).await,
                Ok(false) => {}
                Err(why) => tracing::warn!(batch = batch.id, "a batch can't be asked for: {why}"),
            }
        }
    }

    async fn has_ended(&self, batch: &VendorBatch) -> Result<bool, String> {
        #[derive(Deserialize)]
        struct State {
            processing_status: String,
        }
        let (status, body) = self.get(batch, "").await?;
        if status == StatusCode::NOT_FOUND {
            return Err("the vendor does not know it".to_owned());
        }
        let state: State = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(state.processing_status == "ended")
    }

    /// Charges what each request has used, by model. What can't be done now is done later.
    async fn settle_ended(&self, batch: VendorBatch) {
        let (status, body) = match self.get(&batch, "/results").await {
            Ok(answer) => answer,
            Err(why) => {
                tracing::warn!(batch = batch.id, "a batch's results can't be read yet: {why}");
                return;
            }
        };
        if !status.is_success() {
            tracing::warn!(batch = batch.id, %status, "a batch's results can't be read yet");
            return;
        }
        let book = (self.rooms.prices)();
        for charge in charges(&batch, &book, &body) {
            let tenant = charge.call.tenant.clone();
            match self.rooms.escrow.settle(charge.settle()).await {
                Ok(_) => self.lines.freed(&tenant),
                Err(EscrowError::Store(error)) => {
                    tracing::warn!(batch = batch.id, "a batch can't be charged yet: {error}");
                    return;
                }
                Err(error) => {
                    tracing::error!(batch = batch.id, "a batch's charge was refused: {error}");
                }
            }
        }
        if let Err(error) = self.rooms.batches.settle_batch(&batch.id, self.now()).await {
            // It is charged again under the same keys, which changes nothing.
            tracing::warn!(batch = batch.id, "a batch can't be marked as charged yet: {error}");
        }
    }

    async fn get(&self, batch: &VendorBatch, place: &str) -> Result<(StatusCode, Bytes), String> {
        let endpoint = self.upstream_of(batch).map_err(|_| "its upstream is gone".to_owned())?;
        let mut headers = http::HeaderMap::new();
        let version = http::HeaderValue::from_static("2023-06-01");
        headers.insert("anthropic-version", version);
        let path = format!("{}/{}{place}", Api::MessageBatches.path(), batch.id);
        let id = Uuid::now_v7().to_string();
        let call = Outgoing { id, method: Method::GET, path, headers, body: Bytes::new() };
        let response = endpoint.send(call).await.map_err(|failure| format!("{failure:?}"))?;
        let status = response.status();
        let until = Instant::now() + endpoint.config.timeout;
        match collect(response.into_body(), 8 * self.config.answer_limit, until).await {
            Collected::Whole(body) => Ok((status, body)),
            Collected::Part(_) => Err("its answer broke off, or was too long".to_owned()),
        }
    }
}

/// What each hold of a batch is charged: the sum over its requests' results, one a line. Where a
/// result that has succeeded can't be read, nothing is charged: the hold stays, and is for policy.
fn charges(batch: &VendorBatch, book: &PriceBook, results: &[u8]) -> Vec<Charge> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        result: Outcome<'a>,
    }
    #[derive(Deserialize)]
    struct Outcome<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        message: Option<&'a serde_json::value::RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        model: String,
    }
    let mut sums: Vec<(Money, TokenUsage, bool)> =
        batch.holds.iter().map(|_| (Money::ZERO, TokenUsage::default(), true)).collect();
    for line in results.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let result = match serde_json::from_slice(line) {
            // Errored, cancelled and expired requests cost nothing.
            Ok(Line { result }) if result.kind != "succeeded" => continue,
            Ok(Line { result }) => result.message.map(|message| message.get()),
            Err(_) => None,
        };
        let read = result.and_then(|message| {
            let used = usage::from_answer(Api::Messages, message.as_bytes())?;
            let Named { model } = serde_json::from_str(message).ok()?;
            Some((used, model))
        });
        let Some((used, model)) = read else {
            tracing::error!(
                batch = batch.id,
                "a result can't be read; what is held stays held, and is decided by policy"
            );
            return Vec::new();
        };
        let used = Used { tier: ServiceTier::Batch, ..used };
        let canonical = book.canonical(&model);
        let of = |hold: &VendorHold| {
            hold.call.model.as_str() == canonical || hold.models.contains(&model)
        };
        // A model that nobody asked for has answered in place of the first.
        let place = batch.holds.iter().position(of).unwrap_or(0);
        let (Some(hold), Some(sum)) = (batch.holds.get(place), sums.get_mut(place)) else {
            continue;
        };
        let price = book.price(hold.call.model.as_str(), batch.created_at);
        match price.and_then(|price| used.charge(price).ok()) {
            Some((cost, _)) => sum.0 = sum.0.checked_add(cost).unwrap_or(Money::MAX),
            None => sum.2 = false,
        }
        sum.1 = sum.1.checked_add(&used.tokens).unwrap_or(sum.1);
    }
    let charge =
        |(hold, (cost, usage, is_priced)): (&VendorHold, (Money, TokenUsage, bool))| Charge {
            key: hold.key,
            call: hold.call.clone(),
            actual: Quote {
                usage,
                tier: ServiceTier::Batch,
                amount: is_priced.then_some(cost),
                given: is_priced,
                estimated: false,
            },
        };
    batch.holds.iter().zip(sums).map(charge).collect()
}
