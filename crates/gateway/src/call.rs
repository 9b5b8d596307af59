//! A metered call: held, made, and charged.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request::Parts};
use http_body_util::BodyExt;
use money::Money;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    abide::{Gone, last_words},
    demand::{self, Edits},
    dialect::{Api, Dialect},
    ending::{Ending, billed_by_azure},
    fault::{Fault, Kind},
    gateway::{Call, Inner, whole},
    hold::Granted,
    pool::{Answer, Failure},
    reply::{COST, FREE, Pieces, Reply, Stream},
    settle::Tally,
    standing::put,
    upstream::{Endpoint, Outgoing, name_of, returned, unpriced},
    usage::{self, Partial, StreamReader, UsageChunkFilter},
};

/// Says to how many tokens an answer was limited to fit the budget.
const CLAMPED: HeaderName = HeaderName::from_static("x-bursar-clamped-max-tokens");
/// Says which model has answered in place of the one that was asked for.
const FALLBACK: HeaderName = HeaderName::from_static("x-bursar-fallback-model");
/// The most that a call may cost; what it has cost is known when its stream has ended.
const HOLD: HeaderName = HeaderName::from_static("x-bursar-hold-usd");
/// The call's name in the ledger.
const OWN_ID: HeaderName = HeaderName::from_static("x-bursar-request-id");

/// Where a body came to.
pub(crate) enum Collected {
    Whole(Bytes),
    /// What came before it broke off, grew too long, or nobody waited any longer.
    Part(Bytes),
}

impl Inner {
    /// The vendor's list of models, or one of them: free.
    pub(crate) async fn models(
        &self,
        dialect: Dialect,
        head: Parts,
    ) -> Result<Response<Reply>, Fault> {
        let speaks = |endpoint: &&Arc<Endpoint>| endpoint.config.dialect == dialect;
        let endpoint = self.endpoints.iter().find(speaks).ok_or_else(|| {
            Fault::new(Kind::NoUpstream, format!("no upstream here speaks {dialect}"))
        })?;
        self.pass(endpoint, head, dialect, Bytes::new()).await
    }

    /// Passes a free request on, and its answer back.
    async fn pass(
        &self,
        endpoint: &Endpoint,
        head: Parts,
        dialect: Dialect,
        body: Bytes,
    ) -> Result<Response<Reply>, Fault> {
        let path = below_base(&head, dialect);
        let id = name_of(Uuid::now_v7());
        let (method, headers) = (head.method.clone(), &head.headers);
        let call = Outgoing { id, method, path, headers, body, once: false };
        let response = endpoint.send(call).await.map_err(|failure| fault(endpoint, &failure))?;
        let (mut head, body) = response.into_parts();
        let until = Instant::now() + endpoint.config.timeout;
        match collect(body, self.config.answer_limit, until).await {
            Collected::Whole(body) => {
                returned(&mut head.headers);
                head.headers.insert(COST, FREE);
                Ok(whole(Response::from_parts(head, body)))
            }
            Collected::Part(_) => {
                Err(Fault::new(Kind::UpstreamDown, "the upstream's answer could not be read"))
            }
        }
    }

    /// Makes a call; its caller may be gone before it has ended.
    pub(crate) async fn call(
        self: &Arc<Self>,
        call: &mut Call,
        gone: &mut Gone,
    ) -> Result<Response<Reply>, Fault> {
        if call.api == Api::CountTokens {
            let demand = demand::read(call.api, &call.body, str::to_owned).map_err(unmetered)?;
            let endpoint = self.endpoint(Dialect::Anthropic, &demand.model)?.clone();
            let (head, body) = (call.head.clone(), call.body.clone());
            return Box::pin(self.pass(&endpoint, head, Dialect::Anthropic, body)).await;
        }
        if let Some(name) = unpriced(&call.head.headers) {
            let message = format!("what {name} asks for has no price here; leave it out");
            return Err(Fault::new(Kind::Unmetered, message).about(name.as_str()));
        }
        if call.api == Api::MessageBatches {
            return Box::pin(self.make_batch(call, gone)).await;
        }
        let granted = self.grant(call).await?;
        let wants_trailer = wants_trailer(&call.head.headers);
        let Granted { tally, is_stream, edits, fallback } = granted;
        if gone.is_gone() {
            tally.end(Ending::Unsent, None, Partial::default());
            return Err(Fault::new(Kind::Internal, "the caller has hung up"));
        }
        let outgoing = match outgoing(call, &edits) {
            Ok(outgoing) => outgoing,
            Err(fault) => {
                tally.end(Ending::Unsent, None, Partial::default());
                return Err(fault);
            }
        };
        let endpoint = tally.endpoint().clone();
        let refresh = async {
            if let Some(held) = &tally.promise().held {
                self.terms.refresh(held, &*self.rooms.budgets, self.now()).await;
            }
        };
        let (answer, ()) = tokio::join!(endpoint.send_unless(outgoing, gone.wait()), refresh);
        let response = match answer {
            Ok(response) => response,
            Err(failure) => {
                let ending = match failure {
                    Failure::Unsent(_) | Failure::Refused(_) => Ending::Unsent,
                    Failure::Timeout | Failure::Lost(_) => Ending::Lost,
                };
                let held = tally.promise().held.clone();
                let cost = tally.end(ending, None, Partial::default());
                return Err(fault(&endpoint, &failure).costing(cost, held));
            }
        };
        let (mut head, body) = response.into_parts();
        returned(&mut head.headers);
        let headers = &mut head.headers;
        headers.insert(OWN_ID, name_of(call.key));
        if let Some(limit) = edits.output_limit {
            put(headers, CLAMPED, limit);
        }
        if let Some(model) = &fallback {
            put(headers, FALLBACK, model);
        }
        let is_success = head.status.is_success();
        if is_success && is_stream && is_event_stream(&head.headers) {
            let filter = edits.include_usage.then(UsageChunkFilter::new);
            return Ok(self.stream(call.api, head, body, tally, filter, wants_trailer));
        }
        self.whole_answer(call.api, head, body, tally, gone).await
    }

    /// An answer whose cost is known at its end.
    fn stream(
        &self,
        api: Api,
        mut head: http::response::Parts,
        body: Answer,
        tally: Tally,
        filter: Option<UsageChunkFilter>,
        wants_trailer: bool,
    ) -> Response<Reply> {
        let headers = &mut head.headers;
        let promise = tally.promise();
        put(headers, HOLD, promise.bound);
        if let Some(held) = &promise.held {
            self.terms.tell(headers, held, Money::ZERO);
        }
        if wants_trailer {
            headers.insert(header::TRAILER, HeaderValue::from_static("x-bursar-cost-usd"));
        }
        if filter.is_some() {
            headers.remove(header::CONTENT_LENGTH);
        }
        let stream = Stream::new(body, StreamReader::new(api), filter, tally, wants_trailer);
        Response::from_parts(head, Reply::Stream(Box::new(stream)))
    }

    /// An answer that is read to its end before it goes back, so that it can say what it cost.
    async fn whole_answer(
        &self,
        api: Api,
        mut head: http::response::Parts,
        mut body: Answer,
        tally: Tally,
        gone: &mut Gone,
    ) -> Result<Response<Reply>, Fault> {
        let until = Instant::now() + tally.endpoint().config.timeout;
        let (limit, mut pieces) = (self.config.answer_limit, Pieces::default());
        let is_whole = tokio::select! {
            is_whole = read_on(&mut body, &mut pieces, limit, until) => is_whole,
            () = gone.wait() => {
                // For what it costs, for a while.
                let late = until.min(Instant::now() + self.config.drain);
                tokio::select! {
                    is_whole = read_on(&mut body, &mut pieces, limit, late) => is_whole,
                    () = last_words(&self.tasks) => false,
                }
            }
        };
        let collected = Collected::new(is_whole, pieces);
        let held = tally.promise().held.clone();
        let (ending, used, seen, body) = match collected {
            _ if !head.status.is_success() => {
                let body = match collected {
                    Collected::Whole(body) => body,
                    Collected::Part(body) => {
                        // It is as long as what has come of it.
                        head.headers.remove(header::CONTENT_LENGTH);
                        body
                    }
                };
                let is_azure = tally.endpoint().config.is_azure();
                let billed = is_azure.then(|| billed_by_azure(head.status, &body, is_whole));
                match billed.flatten() {
                    Some(seen) => (Ending::Billed, None, seen, Some(body)),
                    None => (Ending::Rejected, None, Partial::default(), Some(body)),
                }
            }
            Collected::Whole(body) => {
                let used = usage::from_answer(api, &body);
                (Ending::Whole, used, of_bytes(&body), Some(body))
            }
            Collected::Part(body) => (Ending::Cut, None, of_bytes(&body), None),
        };
        let cost = tally.end(ending, used, seen);
        let Some(body) = body else {
            let message = "the upstream's answer broke off or was too long to be metered";
            return Err(Fault::new(Kind::UpstreamDown, message).costing(cost, held));
        };
        if let Some(cost) = cost {
            put(&mut head.headers, COST, cost);
        }
        if let Some(held) = &held {
            self.terms.tell(&mut head.headers, held, cost.unwrap_or(Money::ZERO));
        }
        Ok(whole(Response::from_parts(head, body)))
    }
}

impl Collected {
    fn new(is_whole: bool, pieces: Pieces) -> Self {
        if is_whole { Self::Whole(pieces.whole()) } else { Self::Part(pieces.whole()) }
    }
}

/// The request as it is, on its way to the vendor.
pub(crate) fn outgoing_of(call: &Call) -> Outgoing<'_> {
    Outgoing {
        id: name_of(call.key),
        method: call.head.method.clone(),
        path: below_base(&call.head, call.api.dialect()),
        headers: &call.head.headers,
        body: call.body.clone(),
        // A second batch would be nobody's.
        once: call.api == Api::MessageBatches && call.head.method == Method::POST,
    }
}

/// The request as it goes to the vendor.
fn outgoing<'a>(call: &'a Call, edits: &Edits) -> Result<Outgoing<'a>, Fault> {
    let body = if *edits == Edits::default() {
        call.body.clone()
    } else {
        let edited = demand::rewrite(call.api, &call.body, edits);
        Bytes::from(edited.map_err(unmetered)?)
    };
    Ok(Outgoing { body, ..outgoing_of(call) })
}

pub(crate) fn unmetered(refused: demand::Unmetered) -> Fault {
    Fault::new(Kind::Unmetered, &refused).about(refused.field)
}

/// What the caller is told of a vendor that has not answered: why, the log alone knows.
pub(crate) fn fault(endpoint: &Endpoint, failure: &Failure) -> Fault {
    tracing::warn!(upstream = endpoint.config.name, "no answer: {failure}");
    match failure {
        Failure::Unsent(_) => {
            Fault::new(Kind::UpstreamDown, "the upstream can't be reached").retry_after(1)
        }
        Failure::Refused(_) => {
            Fault::new(Kind::UpstreamDown, "the upstream is too busy to begin").retry_after(1)
        }
        Failure::Lost(_) => Fault::new(Kind::UpstreamDown, "the upstream has not answered"),
        Failure::Timeout => {
            Fault::new(Kind::UpstreamTimeout, "the upstream has not answered in time")
        }
    }
}

/// The path below the vendor's base URL, with its query.
fn below_base(head: &Parts, dialect: Dialect) -> &str {
    let whole = head.uri.path_and_query().map_or("/", |path| path.as_str());
    match dialect {
        Dialect::Anthropic => whole,
        // OpenAI's base URL has the version in it.
        Dialect::OpenAi => whole.strip_prefix("/v1").unwrap_or(whole),
    }
}

/// What is seen of a whole answer without usage: its bytes.
fn of_bytes(body: &Bytes) -> Partial {
    Partial { output_bytes: body.len() as u64, ..Partial::default() }
}

fn wants_trailer(headers: &HeaderMap) -> bool {
    let te = headers.get(header::TE).and_then(|value| value.to_str().ok());
    te.is_some_and(|te| te.split(',').any(|word| word.trim().eq_ignore_ascii_case("trailers")))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

/// A body within limits of size and time.
pub(crate) async fn collect(mut body: Answer, limit: usize, until: Instant) -> Collected {
    let mut pieces = Pieces::default();
    let is_whole = read_on(&mut body, &mut pieces, limit, until).await;
    Collected::new(is_whole, pieces)
}

/// Takes what still comes of a body; whether that was its end. Left midway, it can be taken up again.
async fn read_on(body: &mut Answer, pieces: &mut Pieces, limit: usize, until: Instant) -> bool {
    let read = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            if let Ok(data) = frame.into_data() {
                pieces.push(data);
            }
            if pieces.length() > limit {
                return false;
            }
        }
        true
    };
    timeout_at(until, read).await.unwrap_or(false)
}
