//! A tenant's own batches, newest first: which they are the store knows, how they stand the vendor.
//!
//! Source: <https://platform.claude.com/docs/en/api/messages/batches/list>. The vendor's own list
//! has every tenant's batches in it, so that each is asked for by its name. One that the vendor
//! does not know any more, as it was deleted say, is left out; the cursors lead past it all the
//! same.

use std::str::FromStr;

use budget::{Page, VendorBatch, VendorOrder};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::told::told;
use crate::{
    call::{Collected, collect, fault, outgoing_of},
    dialect::Api,
    fault::{Fault, Kind},
    gateway::{Call, Inner, whole},
    reply::{COST, FREE, Reply},
    upstream::Outgoing,
};

/// Batches on a page whose length the caller does not say.
const LIMIT: usize = 20;
/// Batches on a page at most: the vendor is asked for each.
const LIMIT_MOST: usize = 100;
/// The most that the vendor's own list takes.
const LIMIT_ASKED: usize = 1_000;
/// Batches that are asked for at a time.
const AT_A_TIME: usize = 8;
/// Batches that the vendor is asked for to fill a page, those that he does not know included.
const ASKED_MOST: usize = 200;
/// When a caller may come again whose list could not be told, in seconds.
const RETRY_AFTER: i64 = 5;

/// What a list is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    limit: usize,
    order: VendorOrder,
    /// The batch that the page begins after, in its order.
    after: Option<String>,
}

/// A page, as the vendor writes it.
#[derive(Serialize)]
struct Listed {
    data: Vec<Box<RawValue>>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

impl Inner {
    /// Lists the caller's own batches: free of charge.
    pub(crate) async fn list_batches(&self, call: &Call) -> Result<Response<Reply>, Fault> {
        let query: Query = call.head.uri.query().unwrap_or_default().parse()?;
        let mut after = match &query.after {
            Some(id) => Some(self.batch_of(call, id).await?.place()),
            None => None,
        };
        let (mut data, mut names) = (Vec::new(), Vec::new());
        let has_more = loop {
            let wanted = query.limit - data.len();
            let (batches, has_more) = self.next_batches(call, query.order, after, wanted).await?;
            let mut failed = None;
            for batches in batches.chunks(AT_A_TIME) {
                let told = join_all(batches.iter().map(|batch| self.told(call, batch))).await;
                for (batch, told) in batches.iter().zip(told) {
                    match told {
                        Ok(told) if failed.is_none() => {
                            names.push(batch.id.clone());
                            data.extend(told);
                        }
                        Ok(_) => {}
                        Err(fault) => failed = failed.or(Some(fault)),
                    }
                }
                if failed.is_some() {
                    break;
                }
            }
            match failed {
                // The next page begins with it.
                Some(_) if !data.is_empty() => break true,
                Some(fault) => return Err(fault),
                None => {}
            }
            // An empty page would be the last one for the SDKs.
            let is_enough = names.len() >= ASKED_MOST && !data.is_empty();
            if !has_more || data.len() == query.limit || is_enough {
                break has_more;
            }
            after = batches.last().map(VendorBatch::place);
        };
        if query.order == VendorOrder::Oldest {
            data.reverse();
            names.reverse();
        }
        let (first_id, last_id) = (names.first().cloned(), names.last().cloned());
        let body = serde_json::to_vec(&Listed { data, has_more, first_id, last_id });
        let failed = |_| Fault::new(Kind::Internal, "something went wrong here; the log says what");
        let mut response = whole(Response::new(Bytes::from(body.map_err(failed)?)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(COST, FREE);
        Ok(response)
    }

    /// The caller's next batches, and whether there are more.
    async fn next_batches(
        &self,
        call: &Call,
        order: VendorOrder,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> Result<(Vec<VendorBatch>, bool), Fault> {
        let page = Page { after, limit: limit + 1 };
        let found = self.rooms.batches.batches_of(&call.payer.tenant, order, page);
        let mut found = self.in_time(found).await.map_err(|error| Fault::store(&error))?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok((found, has_more))
    }

    /// What the vendor tells of a batch; nothing of one that he does not know any more, or whose
    /// upstream is gone.
    async fn told(&self, call: &Call, batch: &VendorBatch) -> Result<Option<Box<RawValue>>, Fault> {
        let Ok(endpoint) = self.upstream_of(batch) else { return Ok(None) };
        let path = format!("{}/{}", Api::MessageBatches.path(), batch.id);
        let sent = endpoint.send(Outgoing { path: &path, once: false, ..outgoing_of(call) }).await;
        let response = sent.map_err(|failure| fault(endpoint, &failure))?;
        let status = response.status();
        let untold = |why: &str| {
            let message = format!("asked for batch {}, the upstream {why}", batch.id);
            Fault::new(Kind::UpstreamDown, message).retry_after(RETRY_AFTER)
        };
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(untold(&format!("says {status}")));
        }
        let until = Instant::now() + endpoint.config.timeout;
        let body = collect(response.into_body(), self.config.answer_limit, until).await;
        let Collected::Whole(body) = body else { return Err(untold("breaks off")) };
        serde_json::from_slice(&told(body)).map(Some).map_err(|_| untold("says what can't be read"))
    }
}

impl FromStr for Query {
    type Err = Fault;

    /// Reads `limit`, `after_id` and `before_id`; what else is there is the vendor's to know.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let mut query = Self { limit: LIMIT, order: VendorOrder::Newest, after: None };
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = |message: String| Fault::new(Kind::Unreadable, message).about(name);
            match name {
                "limit" => {
                    let limit =
                        value.parse().ok().filter(|limit| (1..=LIMIT_ASKED).contains(limit));
                    let limit = limit
                        .ok_or_else(|| wrong(format!("limit must be from 1 to {LIMIT_ASKED}")))?;
                    query.limit = limit.min(LIMIT_MOST);
                }
                "after_id" | "before_id" if query.after.is_some() => {
                    return Err(wrong("send after_id or before_id, not both".to_owned()));
                }
                "after_id" => query.after = Some(value.to_owned()),
                "before_id" => {
                    (query.order, query.after) = (VendorOrder::Oldest, Some(value.to_owned()));
                }
                _ => {}
            }
        }
        Ok(query)
    }
}
