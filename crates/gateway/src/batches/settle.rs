//! A batch's end: from the vendor's word that it has ended to the ledger.
//!
//! What can't be settled now is tried again, under the same keys, so that nothing is charged twice.
//! Invariants: nothing is charged before all results were read, to their true end; a batch is
//! marked as settled when they were charged (of results that can't be read nothing is), or when the
//! vendor does not know it any more and would have no results either.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use budget::{EscrowError, Page, StoreError, VendorBatch};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use money::PriceBook;
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{keys, results::Results};
use crate::{
    call::{Collected, collect},
    dialect::Api,
    fault::{Fault, Kind},
    gateway::Inner,
    pool::Answer,
    settle::keep_charge,
    spool::Charge,
    upstream::{Endpoint, Outgoing, name_of},
};

/// The vendor keeps results for 29 days; one day more.
const RESULTS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// After so long a vendor is asked no more who has never told what a batch has cost.
const ASKED_FOR: SignedDuration = SignedDuration::from_hours(60 * 24);
/// Batches that are read at a time.
const OPEN_MOST: usize = 1_000;
/// Batches that are looked after at a time: one whose results are long keeps no other waiting.
const AT_A_TIME: usize = 4;
/// How long results may take to arrive: they may have hundreds of thousands of lines.
const RESULTS_TIMEOUT: Duration = Duration::from_secs(3600);
/// When a caller may come again whose batch could not be settled, in seconds.
const RETRY_AFTER: i64 = 5;

/// Why a batch is not settled.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// The vendor does not know it.
    Unknown,
    /// The vendor knows it, and has no results of it.
    NoResults,
    /// The vendor does not tell what it has cost.
    Vendor(String),
    /// It is being charged at this moment.
    Busy,
    /// The store can't be told.
    Store(StoreError),
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the vendor does not know it"),
            Self::NoResults => f.write_str("the vendor has no results of it"),
            Self::Vendor(why) => f.write_str(why),
            Self::Busy => f.write_str("it is being charged at this moment"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Unsettled {
    fn vendor(why: &str) -> Self {
        Self::Vendor(why.to_owned())
    }

    /// What a caller is told who wants a batch to be forgotten.
    pub(super) fn fault(&self, id: &str) -> Fault {
        let kept = format!("batch {id} is not forgotten before it is charged");
        let fault = match self {
            Self::Store(error) => Fault::new(Kind::StoreDown, format!("{error}: {kept}")),
            Self::Busy => Fault::new(Kind::Busy, format!("{self}: {kept}")),
            Self::Unknown | Self::NoResults | Self::Vendor(_) => {
                let message = format!("the upstream does not tell now what it has cost: {kept}");
                Fault::new(Kind::UpstreamDown, message)
            }
        };
        fault.retry_after(RETRY_AFTER)
    }
}

/// Batches that are being charged: results may take long to read, and are read once at a time.
#[derive(Default)]
pub(crate) struct Charging(Mutex<HashSet<String>>);

/// A batch's turn to be charged; over when this is dropped.
struct Turn<'a> {
    charging: &'a Charging,
    id: &'a str,
}

impl Charging {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<'a>(&'a self, id: &'a str) -> Result<Turn<'a>, Unsettled> {
        let is_first = self.lock().insert(id.to_owned());
        if is_first { Ok(Turn { charging: self, id }) } else { Err(Unsettled::Busy) }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.charging.lock().remove(self.id);
    }
}

/// What the vendor tells of a batch that has ended: how many results there are.
struct Ended(Option<u64>);

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
            let look_after = |batch| async move { self.look_after(&batch).await };
            stream::iter(open).for_each_concurrent(AT_A_TIME, look_after).await;
        }
    }

    pub(super) async fn look_after(&self, batch: &VendorBatch) {
        let age = self.now().duration_since(batch.created_at);
        match self.settle_if_ended(batch).await {
            Ok(_) | Err(Unsettled::Busy) => {}
            // Before that he may have been asked by a wrong key.
            Err(Unsettled::Unknown | Unsettled::NoResults) if age > RESULTS_KEPT => {
                self.give_up(batch).await;
            }
            Err(Unsettled::Vendor(why)) if age > ASKED_FOR => {
                tracing::error!(batch = batch.id, "a batch could not be settled in time: {why}");
                self.give_up(batch).await;
            }
            Err(why) => tracing::warn!(batch = batch.id, "a batch can't be settled yet: {why}"),
        }
    }

    /// Charges a batch if it has ended; whether it has. That the vendor does not know it is told of
    /// the batch, not of its results.
    pub(super) async fn settle_if_ended(&self, batch: &VendorBatch) -> Result<bool, Unsettled> {
        let _turn = self.charging.begin(&batch.id)?;
        let Some(ended) = self.ended(batch).await? else { return Ok(false) };
        self.settle_ended(batch, &ended).await?;
        Ok(true)
    }

    async fn ended(&self, batch: &VendorBatch) -> Result<Option<Ended>, Unsettled> {
        #[derive(Deserialize)]
        struct State {
            processing_status: String,
            request_counts: Option<HashMap<String, u64>>,
        }
        let (endpoint, response) = self.get(batch, "").await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Err(Unsettled::Unknown);
        }
        if !status.is_success() {
            return Err(Unsettled::Vendor(format!("asked for it, the vendor says {status}")));
        }
        let until = Instant::now() + endpoint.config.timeout;
        let body = collect(response.into_body(), self.config.answer_limit, until).await;
        let Collected::Whole(body) = body else {
            return Err(Unsettled::vendor("its answer broke off, or was too long"));
        };
        let state: State = serde_json::from_slice(&body)
            .map_err(|error| Unsettled::Vendor(format!("how it stands can't be read: {error}")))?;
        let count =
            |counts: HashMap<String, u64>| counts.values().copied().fold(0, u64::saturating_add);
        let ended = Ended(state.request_counts.map(count));
        Ok((state.processing_status == "ended").then_some(ended))
    }

    /// Charges what each request has used, by model. What can't be done now is done later.
    async fn settle_ended(&self, batch: &VendorBatch, ended: &Ended) -> Result<(), Unsettled> {
        let book = (self.rooms.prices)();
        for charge in self.results(batch, ended, &book).await? {
            let tenant = charge.call.tenant.clone();
            match self.in_time(self.rooms.escrow.settle(charge.settle())).await {
                Ok(_) => self.lines.freed(&tenant),
                Err(EscrowError::Store(error)) => return Err(Unsettled::Store(error)),
                Err(error) => {
                    keep_charge(self, &charge, &error).await;
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
            "the vendor does not know a batch any more, or its results: it was not charged, and \
             its holds, which have run out, are decided by policy"
        );
    }

    /// What each hold is charged, by results that have come to their end.
    async fn results(
        &self,
        batch: &VendorBatch,
        Ended(count): &Ended,
        book: &PriceBook,
    ) -> Result<Vec<Charge>, Unsettled> {
        let (endpoint, response) = self.get(batch, "/results").await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Err(Unsettled::NoResults);
        }
        if !status.is_success() {
            let why = format!("asked for its results, the vendor says {status}");
            return Err(Unsettled::Vendor(why));
        }
        if !tells_its_end(&response) {
            return Err(Unsettled::vendor("whether its results are whole can't be told"));
        }
        let mut body = response.into_body();
        let mut results = Results::new(batch, book, self.config.answer_limit);
        let read = async {
            loop {
                match timeout(endpoint.config.idle_timeout, body.frame()).await {
                    Ok(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            results.feed(&data);
                        }
                    }
                    Ok(None) => return Ok(()),
                    Ok(Some(Err(_))) => return Err(Unsettled::vendor("its results broke off")),
                    Err(_) => return Err(Unsettled::vendor("its results stopped coming")),
                }
            }
        };
        let late = |_| Unsettled::vendor("its results did not come in time");
        timeout(RESULTS_TIMEOUT, read).await.map_err(late)??;
        // A connection may end well whose vendor has not.
        let fewer = || Unsettled::vendor("there are fewer results than it had requests");
        results.end(*count).ok_or_else(fewer)
    }

    async fn get(
        &self,
        batch: &VendorBatch,
        place: &str,
    ) -> Result<(Arc<Endpoint>, Response<Answer>), Unsettled> {
        let gone = |_| Unsettled::vendor("its upstream is gone");
        let endpoint = self.upstream_of(batch).map_err(gone)?.clone();
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        let path = format!("{}/{}{place}", Api::MessageBatches.path(), batch.id);
        let id = name_of(Uuid::now_v7());
        let (method, body) = (Method::GET, Bytes::new());
        let (path, headers) = (&*path, &headers);
        let call = Outgoing { id, method, path, headers, body, once: false };
        let sent = endpoint.send(call).await;
        let response = sent.map_err(|failure| Unsettled::Vendor(failure.to_string()))?;
        Ok((endpoint, response))
    }
}

/// Whether its end can be told from a connection that has failed.
fn tells_its_end(response: &Response<Answer>) -> bool {
    let headers = response.headers();
    response.version() == Version::HTTP_2
        || headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING)
}
