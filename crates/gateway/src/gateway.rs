//! The gateway: one call's way from its caller to a vendor and back, as one stack.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use budget::{Budgets, Escrow, Keys, VendorBatches};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use money::PriceBook;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{timeout, timeout_at},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    abide::{Abiding, Gone},
    batches::Charging,
    caller::{Known, Payer},
    clerk::Clerk,
    config::Config,
    dialect::{self, Api, Dialect, Route},
    fault::{Fault, Kind},
    names,
    quiet::Quiet,
    reply::{Pieces, Reply},
    spool::Spool,
    standing::Terms,
    upstream::{Endpoint, name_of},
    wait::Lines,
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Tells the prices in force.
pub type PriceSource = Arc<dyn Fn() -> Arc<PriceBook> + Send + Sync>;

/// What the gateway needs of the rest of the house.
#[derive(Clone)]
pub struct Rooms {
    /// Holds and charges.
    pub escrow: Arc<dyn Escrow>,
    /// Knows tenants' keys.
    pub keys: Arc<dyn Keys>,
    /// Knows when budgets start afresh.
    pub budgets: Arc<dyn Budgets>,
    /// Keeps batches until they have ended.
    pub batches: Arc<dyn VendorBatches>,
    /// Prices in force.
    pub prices: PriceSource,
    /// The time.
    pub clock: Clock,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The vendor's name for a request.
const VENDORS_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");

/// How often charges that wait in the spool are tried.
const DELIVER_EVERY: Duration = Duration::from_secs(1);
/// How long the gateway's own work may take once it stops, beside what the store may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A streaming reverse proxy that meters.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) rooms: Rooms,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) lines: Lines,
    pub(crate) terms: Terms,
    pub(crate) spool: Arc<Spool>,
    pub(crate) tasks: TaskTracker,
    pub(crate) clerk: Clerk,
    calls: Arc<Semaphore>,
    large: Semaphore,
    /// Long prompts that are counted at a time.
    pub(crate) counting: Semaphore,
    pub(crate) quiet: Quiet,
    pub(crate) charging: Charging,
    pub(crate) known: Known,
}

/// A call that has been read and may be made.
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) payer: Payer,
    pub(crate) key: Uuid,
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    /// Its place among those in flight, kept until it is charged.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl Gateway {
    /// A gateway with its spool open, in the runtime in which it works.
    pub fn new(config: Config, rooms: Rooms) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let spool = Arc::new(Spool::open(&config.spool)?);
        let endpoints: io::Result<Vec<_>> =
            config.upstreams.iter().cloned().map(Endpoint::new).collect();
        Ok(Self(Arc::new(Inner {
            calls: Arc::new(Semaphore::new(config.calls_most)),
            large: Semaphore::new(config.large_most),
            counting: Semaphore::new(config.large_most),
            quiet: Quiet::default(),
            charging: Charging::default(),
            known: Known::default(),
            endpoints: endpoints?,
            lines: Lines::default(),
            terms: Terms::default(),
            tasks: TaskTracker::new(),
            clerk: Clerk::start(&runtime),
            spool,
            rooms,
            config,
        })))
    }

    /// Whether a path is the gateway's.
    pub fn takes(path: &str) -> bool {
        dialect::is_vendor_path(path)
    }

    /// Answers a request of a caller with this address.
    pub async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Reply>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        let (dialect, route) = dialect::route(&head.method, head.uri.path(), &head.headers);
        let key = Uuid::now_v7();
        let id = request_id(&head.headers, key);
        let answer = match route {
            Some(route) => self.0.clone().handle(route, dialect, key, head, body, peer).await,
            None => Err(unmetered(&head)),
        };
        let mut response = answer.unwrap_or_else(|fault| {
            metrics::counter!(names::REFUSED, "reason" => fault.kind().code()).increment(1);
            let text = id.to_str().unwrap_or_default();
            let mut response = fault.answer(dialect, text);
            self.0.terms.tell_fault(response.headers_mut(), &fault);
            response.map(Reply::Whole)
        });
        // The vendor's own, which his support asks for.
        if let Some(vendors) = response.headers_mut().insert(REQUEST_ID, id) {
            response.headers_mut().insert(VENDORS_ID, vendors);
        }
        response
    }

    /// What goes on beside calls; ends with `stopped`.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        let tend = every(DELIVER_EVERY, || self.tend());
        // By themselves, for a vendor may take long to answer.
        let batches = every(self.0.config.batches_every, || self.settle_batches());
        tokio::select! {
            () = stopped => {}
            () = tend => {}
            () = batches => {}
        }
    }

    /// Delivers what waits in the spool, and tells how much is in flight.
    pub async fn tend(&self) {
        self.0.tend().await;
    }

    /// Charges the batches that have ended.
    pub async fn settle_batches(&self) {
        self.0.settle_batches().await;
    }

    /// How many charges wait in the spool.
    pub fn spooled(&self) -> usize {
        self.0.spool.records()
    }

    /// Waits for what is still to be charged.
    pub async fn close(&self) {
        self.0.tasks.close();
        // Longer than the store may take: then what it was not told is in the spool.
        let longest = self.0.config.store_timeout + CLOSE_TIMEOUT;
        if timeout(longest, self.0.tasks.wait()).await.is_err() {
            let calls = self.0.tasks.len();
            tracing::warn!(calls, "stopping: calls were not settled in time; their holds stay");
        }
        if timeout(CLOSE_TIMEOUT, self.0.tend()).await.is_err() {
            tracing::warn!("stopping: the store says nothing; what is spooled stays on disk");
        }
    }
}

impl Inner {
    async fn tend(&self) {
        let in_flight = self.config.calls_most - self.calls.available_permits();
        metrics::gauge!(names::IN_FLIGHT).set(in_flight as f64);
        metrics::gauge!(names::WAITING).set(self.lines.waiting() as f64);
        self.endpoints.iter().for_each(|endpoint| endpoint.prune());
        let (escrow, batches) = (&*self.rooms.escrow, &*self.rooms.batches);
        match self.spool.deliver(escrow, batches).await {
            Ok(0) => {}
            Ok(delivered) => tracing::info!(delivered, "spooled records were delivered"),
            Err(error) => tracing::warn!("spooled records can't be delivered yet: {error}"),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.rooms.clock)()
    }

    /// The stack, from the caller inwards.
    async fn handle<B>(
        self: Arc<Self>,
        route: Route,
        dialect: Dialect,
        key: Uuid,
        head: Parts,
        body: B,
        peer: IpAddr,
    ) -> Result<Response<Reply>, Fault>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        // Nobody's body is read, and nothing is looked up, beyond what fits.
        let place = self.place()?;
        // Who pays comes before what is asked: strangers learn nothing.
        let payer = self.payer(&head.headers, peer).await?;
        let body = self.read(&head.headers, body).await?;
        let tasks = self.tasks.clone();
        // A caller who hangs up must not take its call's settling with him.
        let work = |mut gone: Gone| async move {
            match route {
                // Nobody waits any more when it can't be sent; nothing was spent.
                Route::Models => Box::pin(self.models(dialect, head)).await,
                Route::Call(api) => {
                    let place = Some(place);
                    let mut call = Call { api, payer, key, head, body, place };
                    self.call(&mut call, &mut gone).await
                }
                Route::Batches => {
                    let (api, place) = (Api::MessageBatches, Some(place));
                    let call = Call { api, payer, key, head, body, place };
                    Box::pin(self.list_batches(&call)).await
                }
                Route::Batch(route) => {
                    let (api, place) = (Api::MessageBatches, Some(place));
                    let id = dialect::batch(&head.method, head.uri.path());
                    let id = id.map(|(id, _)| id).unwrap_or_default();
                    let mut call = Call { api, payer, key, head, body, place };
                    Box::pin(self.ask_batch(&mut call, &id, route)).await
                }
            }
        };
        Abiding::new(tasks, work).await
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.calls.clone().try_acquire_owned().map_err(|_| {
            let most = self.config.calls_most;
            Fault::new(Kind::Busy, format!("{most} calls are in flight; come again soon"))
                .retry_after(1)
        })
    }

    /// The whole body, within limits of size and time.
    async fn read<B>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, Fault>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            let message = "send the body without content-encoding: what can't be read can't be \
                           metered";
            return Err(Fault::new(Kind::Unreadable, message));
        }
        let limit = self.config.body_limit;
        let too_large =
            || Fault::new(Kind::TooLarge, format!("the body is longer than {limit} bytes"));
        let late = || Fault::new(Kind::BodyTimeout, "the body did not arrive in time");
        let expected = body.size_hint().lower();
        if expected > limit as u64 {
            return Err(too_large());
        }
        let until = tokio::time::Instant::now() + self.config.body_timeout;
        let mut body = std::pin::pin!(body);
        let mut pieces = Pieces::default();
        let mut _large = None;
        while let Some(frame) = timeout_at(until, body.frame()).await.map_err(|_| late())? {
            let frame = frame.map_err(|error| {
                Fault::new(Kind::Unreadable, format!("the body could not be read: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let length = pieces.length() + data.len();
            if length > limit {
                return Err(too_large());
            }
            if length > Config::LARGE && _large.is_none() {
                let turn = timeout_at(until, self.large.acquire()).await;
                _large = Some(turn.map_err(|_| late())?);
            }
            pieces.push(data);
        }
        Ok(pieces.whole())
    }

    /// The first upstream that takes a model's calls.
    pub(crate) fn endpoint(&self, dialect: Dialect, model: &str) -> Result<&Arc<Endpoint>, Fault> {
        let takes = |endpoint: &&Arc<Endpoint>| endpoint.config.takes(dialect, model);
        self.endpoints.iter().find(takes).ok_or_else(|| {
            let message = format!(
                "no upstream that speaks {dialect} takes model {model}; an operator can add one \
                 as [upstream.NAME] to the config"
            );
            Fault::new(Kind::NoUpstream, message).about("model")
        })
    }
}

/// Does something again and again.
async fn every<F: Future<Output = ()>>(period: Duration, work: impl Fn() -> F) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work().await;
    }
}

/// The caller's name for the request, where it is one, or the ledger's.
fn request_id(headers: &HeaderMap, key: Uuid) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(|| name_of(key))
}

fn unmetered(head: &Parts) -> Fault {
    let message = format!(
        "{} {} is not metered here, and what is not metered is not let through; there are \
         POST /v1/messages, /v1/messages/count_tokens, /v1/messages/batches, \
         /v1/chat/completions, /v1/responses, /v1/embeddings and GET /v1/models",
        head.method,
        head.uri.path()
    );
    Fault::new(Kind::UnmeteredPath, message)
}

/// An answer of ours as a reply.
pub(crate) fn whole(response: Response<Bytes>) -> Response<Reply> {
    response.map(|body| Reply::Whole(Full::new(body)))
}
