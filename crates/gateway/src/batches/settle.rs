//! A batch's end: from the vendor's word that it has ended to the ledger.
//!
//! What can't be settled now is tried again, under the same keys, so that nothing is charged twice.
//! Invariant: a batch is marked as settled when its results were charged (of results that can't be
//! read nothing is), or when the vendor does not know it any more and would have no results either.

use std::fmt;

use budget::{EscrowError, Page, Quote, StoreError, VendorBatch, VendorHold};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use money::{Money, PriceBook, ServiceTier, TokenUsage};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::keys;
use crate::{
    call::{Collected, collect},
    dialect::Api,
    fault::{Fault, Kind},
    gateway::Inner,
    spool::Charge,
    upstream::{Outgoing, name_of},
    usage::{self, Used},
};

/// The vendor keeps results for 29 days; one day more.
const RESULTS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Batches that are read at a time.
const OPEN_MOST: usize = 1_000;
/// When a caller may come again whose batch could not be settled, in seconds.
const RETRY_AFTER: i64 = 5;

/// Why a batch is not settled.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// The vendor does not know it.
    Unknown,
    /// The vendor does not tell what it has cost.
    Vendor(String),
    /// The store can't be told.
    Store(StoreError),
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the vendor does not know it"),
            Self::Vendor(why) => f.write_str(why),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Unsettled {
    /// What a caller is told who wants a batch to be forgotten.
    pub(super) fn fault(&self, id: &str) -> Fault {
        let kept = format!("batch {id} is not forgotten before it is charged");
        let fault = match self {
            Self::Store(error) => Fault::new(Kind::StoreDown, format!("{error}: {kept}")),
            Self::Unknown | Self::Vendor(_) => {
                let message = format!("the upstream does not tell now what it has cost: {kept}");
                Fault::new(Kind::UpstreamDown, message)
            }
        };
        fault.retry_after(RETRY_AFTER)
    }
}

impl Inner {
    /// Charges the batches that have ended.
    pub(crate) async fn settle_batches(&self) {
        let mut page = Page::first(OPEN_MOST);
        loop {
            let open = match self.rooms.batches.open_batches(page).await {
                Ok(open) => open,
                Err(error) => {
                    tracing::warn!("open batches can't be read yet: {error}");
                    return;
                }
            };
            // Those that can't be settled must not keep later ones out of sight.
            let Some(last) = open.last() else { return };
            page = Page { after: Some(last.place()), limit: OPEN_MOST };
            for batch in open {
                self.look_after(&batch).await;
            }
        }
    }

    async fn look_after(&self, batch: &VendorBatch) {
        match self.settle_if_ended(batch).await {
            Ok(_) => {}
            Err(Unsettled::Unknown) if is_lost(batch, self.now()) => self.give_up(batch).await,
            Err(why) => tracing::warn!(batch = batch.id, "a batch can't be settled yet: {why}"),
        }
    }

    /// Charges a batch if it has ended; whether it has. That the vendor does not know it is told of
    /// the batch, not of its results.
    pub(super) async fn settle_if_ended(&self, batch: &VendorBatch) -> Result<bool, Unsettled> {
        let has_ended = self.has_ended(batch).await?;
        if has_ended {
            self.settle_ended(batch).await?;
        }
        Ok(has_ended)
    }

    async fn has_ended(&self, batch: &VendorBatch) -> Result<bool, Unsettled> {
        #[derive(Deserialize)]
        struct State {
            processing_status: String,
        }
        let (status, body) = self.get(batch, "").await?;
        if status == StatusCode::NOT_FOUND {
            return Err(Unsettled::Unknown);
        }
        if !status.is_success() {
            return Err(Unsettled::Vendor(format!("asked for it, the vendor says {status}")));
        }
        let state: State = serde_json::from_slice(&body)
            .map_err(|error| Unsettled::Vendor(format!("how it stands can't be read: {error}")))?;
        Ok(state.processing_status == "ended")
    }

    /// Charges what each request has used, by model. What can't be done now is done later.
    pub(super) async fn settle_ended(&self, batch: &VendorBatch) -> Result<(), Unsettled> {
        let (status, body) = self.get(batch, "/results").await?;
        if !status.is_success() {
            let why = format!("asked for its results, the vendor says {status}");
            return Err(Unsettled::Vendor(why));
        }
        let book = (self.rooms.prices)();
        for charge in charges(batch, &book, &body) {
            let tenant = charge.call.tenant.clone();
            match self.in_time(self.rooms.escrow.settle(charge.settle())).await {
                Ok(_) => self.lines.freed(&tenant),
                Err(EscrowError::Store(error)) => return Err(Unsettled::Store(error)),
                Err(error) => {
                    tracing::error!(batch = batch.id, "a batch's charge was refused: {error}");
                }
            }
        }
        // Where this fails it is charged again under the same keys, which changes nothing.
        let marked = self.in_time(self.rooms.batches.settle_batch(&batch.id, self.now())).await;
        marked.map_err(Unsettled::Store)
    }

    /// Asks no more for a batch of which nobody can tell what it has cost.
    async fn give_up(&self, batch: &VendorBatch) {
        if let Err(error) = self.rooms.batches.settle_batch(&batch.id, self.now()).await {
            tracing::warn!(batch = batch.id, "a batch can't be given up yet: {error}");
            return;
        }
        tracing::error!(
            batch = batch.id,
            tenant = %batch.tenant,
            upstream = batch.upstream,
            keys = ?keys(&batch.holds),
            "the vendor does not know a batch any more: it was not charged, and its holds, which \
             have run out, are decided by policy"
        );
    }

    async fn get(
        &self,
        batch: &VendorBatch,
        place: &str,
    ) -> Result<(StatusCode, Bytes), Unsettled> {
        let vendor = |why: &str| Unsettled::Vendor(why.to_owned());
        let endpoint = self.upstream_of(batch).map_err(|_| vendor("its upstream is gone"))?;
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        let path = format!("{}/{}{place}", Api::MessageBatches.path(), batch.id);
        let id = name_of(Uuid::now_v7());
        let call = Outgoing { id, method: Method::GET, path, headers, body: Bytes::new() };
        let sent = endpoint.send(call).await;
        let response = sent.map_err(|failure| vendor(&failure.to_string()))?;
        let status = response.status();
        let until = Instant::now() + endpoint.config.timeout;
        match collect(response.into_body(), 8 * self.config.answer_limit, until).await {
            Collected::Whole(body) => Ok((status, body)),
            Collected::Part(_) => Err(vendor("its answer broke off, or was too long")),
        }
    }
}

/// Whether nothing is to be expected any more of a batch that the vendor does not know. Before that
/// he may have been asked by a wrong key.
fn is_lost(batch: &VendorBatch, now: Timestamp) -> bool {
    now.duration_since(batch.created_at) > RESULTS_KEPT
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
