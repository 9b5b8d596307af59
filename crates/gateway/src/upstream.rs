//! The way to a vendor: attempts, and a rest for one that keeps failing.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    uri::PathAndQuery,
};
use http_body_util::Full;
use metrics::{Counter, Gauge, Histogram};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    caller,
    config::Upstream,
    dialect::Api,
    ending::Ending,
    fault::SHOULD_RETRY,
    names,
    pool::{Answer, Failure, Pool},
    roots,
};

/// Failures in a row after which an upstream is left alone.
const FAILURES_MOST: u32 = 10;
/// For how long it is left alone.
const REST: Duration = Duration::from_secs(5);
/// The first pause between attempts; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// A vendor that asks for a longer pause is obeyed by telling the caller.
const PAUSE_MOST: Duration = Duration::from_secs(5);

/// Headers that belong to one connection, or to us.
static NOT_FORWARDED: [HeaderName; 20] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::HOST,
    header::CONTENT_LENGTH,
    // What the vendor compresses can't be metered as it passes.
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    header::COOKIE,
    caller::TENANT,
    caller::USER,
    caller::REPORT_TYPE,
];

/// Headers of Bedrock begin so: tiers, and guards that are billed apart. A call with one is refused.
const BEDROCK: &str = "x-amzn-bedrock-";

/// Headers of an answer that belong to one connection.
static NOT_RETURNED: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What the vendor may call a request by.
const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// A vendor's endpoint in use.
pub(crate) struct Endpoint {
    pub(crate) config: Upstream,
    pool: Arc<Pool>,
    authorization: Option<(header::HeaderName, HeaderValue)>,
    breaker: Breaker,
    seconds: Histogram,
    retries: Counter,
    /// By API and ending, in the order of their lists.
    calls: [[Counter; 6]; 6],
    pub(crate) estimated: Counter,
    pub(crate) overruns: Counter,
}

/// A call on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) id: HeaderValue,
    pub(crate) method: Method,
    /// Path below the vendor's base URL, with its query.
    pub(crate) path: &'a str,
    /// The caller's own; what of them the vendor gets is chosen for each attempt.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    /// It must not be done twice: again only where the vendor says that he has not done it.
    pub(crate) once: bool,
}

impl Endpoint {
    pub(crate) fn new(config: Upstream) -> io::Result<Arc<Self>> {
        let pool = Pool::new(&config.url, roots::client(&config)?)?;
        let authorization = authorization(&config)?;
        let label = config.name.clone();
        let calls = Api::ALL.map(|api| Ending::ALL.map(|ending| calls(&label, api, ending)));
        Ok(Arc::new(Self {
            pool,
            calls,
            authorization,
            breaker: Breaker::new(
                metrics::gauge!(names::CIRCUIT_OPEN, "upstream" => label.clone()),
            ),
            seconds: metrics::histogram!(names::SECONDS, "upstream" => label.clone()),
            retries: metrics::counter!(names::RETRIES, "upstream" => label.clone()),
            estimated: metrics::counter!(names::ESTIMATED, "upstream" => label.clone()),
            overruns: metrics::counter!(names::OVERRUNS, "upstream" => label),
            config,
        }))
    }

    /// Counts a call that has ended.
    pub(crate) fn ended(&self, api: Api, ending: Ending) {
        self.calls[api as usize][ending as usize].increment(1);
    }

    /// Closes connections that nobody has used for long.
    pub(crate) fn prune(&self) {
        self.pool.prune();
    }

    /// Sends a call until it is answered, as often as the config allows: again where nothing has
    /// reached the vendor, or it said that it did not do the work.
    pub(crate) async fn send(&self, call: Outgoing<'_>) -> Result<Response<Answer>, Failure> {
        self.send_unless(call, std::future::pending()).await
    }

    /// The same; not again once nobody waits for it.
    pub(crate) async fn send_unless(
        &self,
        call: Outgoing<'_>,
        gone: impl Future<Output = ()>,
    ) -> Result<Response<Answer>, Failure> {
        let mut gone = std::pin::pin!(gone);
        let target = self.target(call.path);
        let target = target.map_err(|error| Failure::Unsent(error.to_string()))?;
        let mut attempt = 1;
        let mut pause = PAUSE;
        loop {
            let result = self.attempt(&target, &call).await;
            let asked = match &result {
                Ok(response) if is_passing(response, call.once) => retry_after(response.headers()),
                Err(Failure::Unsent(_) | Failure::Refused(_)) => Some(Duration::ZERO),
                _ => return result,
            };
            let wait = asked.unwrap_or_default().max(jittered(pause));
            if attempt >= self.config.attempts || wait > PAUSE_MOST || !self.breaker.is_closed() {
                return result;
            }
            tokio::select! {
                biased;
                () = &mut gone => return result,
                () = tokio::time::sleep(wait) => {}
            }
            drop(result);
            self.retries.increment(1);
            attempt += 1;
            pause *= 2;
        }
    }

    async fn attempt(
        &self,
        target: &PathAndQuery,
        call: &Outgoing<'_>,
    ) -> Result<Response<Answer>, Failure> {
        if !self.breaker.admits() {
            let message = "it has failed repeatedly and is left alone for a few seconds";
            return Err(Failure::Unsent(message.to_owned()));
        }
        let started = Instant::now();
        let is_sent = AtomicBool::new(false);
        let answer = self.pool.send(target, || self.request(call), &is_sent);
        let result = timeout(self.config.timeout, answer).await.unwrap_or_else(|_| {
            let message = "no connection was made in time";
            match is_sent.load(Ordering::Relaxed) {
                true => Err(Failure::Timeout),
                false => Err(Failure::Unsent(message.to_owned())),
            }
        });
        // A vendor that is busy is alive.
        let is_failure = match &result {
            Ok(response) => {
                self.seconds.record(started.elapsed().as_secs_f64());
                let status = response.status();
                status.is_server_error() && status.as_u16() != 529
            }
            Err(Failure::Refused(_)) => false,
            Err(_) => true,
        };
        self.breaker.note(is_failure);
        result
    }

    fn request(&self, call: &Outgoing<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.headers_mut() = forwarded(call.headers);
        let headers = request.headers_mut();
        // What the ledger calls it, so that the vendor's log and ours can be laid side by side; where
        // the caller has a name for it, that stays.
        headers.entry(CLIENT_ID).or_insert_with(|| call.id.clone());
        if let Some((name, value)) = &self.authorization {
            headers.insert(name.clone(), value.clone());
        }
        request
    }

    /// The path of the vendor's base URL with a call's path behind; a query of the base, as
    /// Azure's `api-version`, stays.
    fn target(&self, path: &str) -> Result<PathAndQuery, http::uri::InvalidUri> {
        let base = &self.config.url;
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let queries = [base.query(), query];
        let lengths = queries.iter().flatten().map(|query| 1 + query.len());
        let length = base.path().len() + path.len() + lengths.sum::<usize>();
        let mut target = String::with_capacity(length);
        target.push_str(base.path().trim_end_matches('/'));
        target.push_str(path);
        for (place, query) in queries.into_iter().flatten().enumerate() {
            target.push(if place == 0 { '?' } else { '&' });
            target.push_str(query);
        }
        PathAndQuery::from_maybe_shared(Bytes::from(target))
    }
}

fn calls(upstream: &str, api: Api, ending: Ending) -> Counter {
    metrics::counter!(
        names::CALLS,
        "api" => api.as_str(),
        "upstream" => upstream.to_owned(),
        "ending" => ending.as_str(),
    )
}

/// What the ledger calls a call, as a header says it.
pub(crate) fn name_of(key: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = key.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// What of a caller's headers the vendor gets.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    // Of a caller's host, key and length, ours come in the place.
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !NOT_FORWARDED.contains(name) && !name.as_str().starts_with(BEDROCK) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// A header that asks the vendor for what has no price here.
pub(crate) fn unpriced(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| name.as_str().starts_with(BEDROCK))
}

/// What of a vendor's headers the caller gets.
pub(crate) fn returned(headers: &mut HeaderMap) {
    for name in &NOT_RETURNED {
        headers.remove(name);
    }
}

fn authorization(config: &Upstream) -> io::Result<Option<(header::HeaderName, HeaderValue)>> {
    let Some(key) = &config.key else { return Ok(None) };
    let (name, text) = config.auth().header(key.expose_secret());
    let wrong = || io::Error::other("its key is no text for a header");
    let mut value = HeaderValue::from_str(&text).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

/// Whether another attempt may help: the vendor has done nothing, and may later. Of what must not be
/// done twice he has to say so.
fn is_passing<B>(response: &Response<B>, once: bool) -> bool {
    let status = response.status();
    let is_final = response.headers().get(SHOULD_RETRY).is_some_and(|value| value == "false");
    let is_undone = matches!(status.as_u16(), 429 | 503 | 529);
    (is_undone || status.is_server_error() && !once) && !is_final
}

/// Whether a server in front of the vendor has answered in his place, who may have done it.
pub(crate) fn is_unsure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502 | 504 | 520..=527)
}

/// How long the vendor wants to be left alone; OpenAI says it in milliseconds as well.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    let precise = number("retry-after-ms").map(Duration::from_millis);
    precise.or_else(|| number(header::RETRY_AFTER.as_str()).map(Duration::from_secs))
}

/// Between half of a pause and all of it, so that many callers don't come back at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * fastrand::f64())
}

/// Leaves an upstream alone that keeps failing; afterwards one call at a time tries it.
struct Breaker {
    is_open: AtomicBool,
    state: Mutex<Failures>,
    gauge: Gauge,
}

#[derive(Default)]
struct Failures {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Breaker {
    fn new(gauge: Gauge) -> Self {
        gauge.set(0.0);
        Self { is_open: AtomicBool::new(false), state: Mutex::default(), gauge }
    }

    fn is_closed(&self) -> bool {
        !self.is_open.load(Ordering::Relaxed)
    }

    fn admits(&self) -> bool {
        if self.is_closed() {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match state.until {
            Some(until) if now < until => false,
            _ => {
                // This call is the one that tries; the next may when it has not come back by then.
                state.until = Some(now + REST);
                true
            }
        }
    }

    fn note(&self, is_failure: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_failure {
            if state.in_a_row > 0 {
                *state = Failures::default();
                self.is_open.store(false, Ordering::Relaxed);
                self.gauge.set(0.0);
            }
            return;
        }
        state.in_a_row += 1;
        if state.in_a_row >= FAILURES_MOST {
            state.until = Some(Instant::now() + REST);
            self.is_open.store(true, Ordering::Relaxed);
            self.gauge.set(1.0);
        }
    }
}
