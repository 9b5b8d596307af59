//! The way to AWS: signed requests, tried again while AWS is busy, within bounds.
//!
//! Owns attempts, pauses, time and size limits, and the count of each request. Knows nothing of
//! what is asked.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use jiff::Timestamp;
use rustls::crypto::ring;
use tokio::time::{sleep, timeout};

use crate::{
    Access, Api, AwsError, Ceiling,
    access::innermost,
    fault::{self, Said},
    names,
};

/// Bytes of an answer, at most: a page of Cost Explorer has a few hundred thousand.
const BODY_MOST: usize = 64 << 20;
/// Idle connections are closed after this.
const IDLE_MOST: Duration = Duration::from_secs(30);

/// How long AWS is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a request is sent.
    pub attempts: u32,
    /// The first pause is up to so long, each further one up to twice as long.
    pub pause: Duration,
    /// No pause is longer; AWS asking for a longer one ends the attempts.
    pub pause_most: Duration,
    /// For one attempt, to the last byte of its answer.
    pub time: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 7,
            pause: Duration::from_millis(500),
            pause_most: Duration::from_secs(20),
            time: Duration::from_secs(30),
        }
    }
}

/// What is asked of an API.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) api: Api,
    /// As messages name it: `GetCostAndUsage`.
    pub(crate) action: &'static str,
    /// Where not in the region of the access.
    pub(crate) region: Option<&'a str>,
    pub(crate) method: Method,
    /// Path and query after the endpoint.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: Bytes,
}

/// Asks AWS.
#[derive(Clone)]
pub struct Client {
    access: Access,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    patience: Patience,
    /// Of paid calls; without one they are refused.
    ceiling: Option<Arc<Ceiling>>,
}

/// How an attempt has ended without an answer.
enum Failed {
    /// The same again may do.
    Later { said: Option<Said>, cause: String, wait: Option<Duration> },
    /// It won't.
    Never(AwsError),
}

impl Client {
    /// A client with these credentials, which trusts the authorities that the system trusts. Paid
    /// calls are made under the ceiling; without one none is made.
    pub fn new(access: Access, ceiling: Option<Ceiling>) -> io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MOST)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        let ceiling = ceiling.map(Arc::new);
        Ok(Self { access, pool, patience: Patience::default(), ceiling })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Whose credentials it has.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Asks until there is an answer, AWS refuses, or patience ends. Every attempt is counted.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Bytes, AwsError> {
        let Patience { attempts, pause, pause_most, .. } = self.patience;
        let mut bound = pause;
        for attempt in 1.. {
            let (said, cause, wait) = match self.attempt(ask).await {
                Ok(body) => return Ok(body),
                Err(Failed::Never(error)) => return Err(error),
                Err(Failed::Later { said, cause, wait }) => (said, cause, wait),
            };
            if attempt >= attempts || wait.is_some_and(|wait| wait > pause_most) {
                let api = ask.api;
                return Err(match said {
                    Some(Said { code, message }) => {
                        AwsError::Busy { api, attempts: attempt, code, message }
                    }
                    None => AwsError::Unreachable { api, attempts: attempt, cause },
                });
            }
            // All of the pause is chance, so that those who were refused together don't come back
            // together.
            let chance = bound.mul_f64(fastrand::f64());
            tracing::debug!(api = ask.api.as_str(), attempt, "asked again later: {cause}");
            sleep(chance.max(wait.unwrap_or_default())).await;
            bound = (bound * 2).min(pause_most);
        }
        // There are fewer attempts than numbers.
        Err(AwsError::Unreachable { api: ask.api, attempts, cause: String::new() })
    }

    async fn attempt(&self, ask: &Ask<'_>) -> Result<Bytes, Failed> {
        let request = self.signed(ask).await.map_err(Failed::Never)?;
        if ask.api.is_paid() {
            self.count_paid(ask.api).map_err(Failed::Never)?;
        }
        let answered = timeout(self.patience.time, self.send(request)).await;
        let answered = answered.unwrap_or_else(|_| {
            Err(format!("no whole answer in {} s", self.patience.time.as_secs()))
        });
        let (result, ended) = match answered {
            Ok(response) => judge(ask, response),
            Err(cause) => ("failed", Err(Failed::Later { said: None, cause, wait: None })),
        };
        let api = ask.api.as_str();
        metrics::counter!(names::REQUESTS, "api" => api, "result" => result).increment(1);
        ended
    }

    fn count_paid(&self, api: Api) -> Result<(), AwsError> {
        let Some(ceiling) = &self.ceiling else {
            let cause = "its calls are paid, and no ceiling was set".to_owned();
            return Err(AwsError::Request { api, cause });
        };
        ceiling.take(Timestamp::now())?;
        Ok(())
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, String> {
        let answered = self.pool.request(request).await;
        let (head, body) = answered.map_err(|error| innermost(&error))?.into_parts();
        let body = Limited::new(body, BODY_MOST).collect().await;
        let body = body.map_err(|error| format!("the answer has not arrived whole: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// The request with its signature of now
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).
    async fn signed(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, AwsError> {
        let wrong = |cause: String| AwsError::Request { api: ask.api, cause };
        let place = self.access.place(ask.api, ask.region);
        let url = format!("{}{}", place.url, ask.target);
        let uri: http::Uri =
            url.parse().map_err(|error| wrong(format!("{url:?} is no URL: {error}")))?;
        let host = uri.authority().map(|authority| authority.as_str().to_owned());
        let host = host.ok_or_else(|| wrong(format!("{url:?} names no host")))?;
        let identity: Identity = self.access.credentials().await?.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&place.region)
            .name(ask.api.signing_name())
            .time(SystemTime::now())
            .settings(settings(ask.api))
            .build()
            .map_err(|error| wrong(error.to_string()))?
            .into();
        let headers = ask.headers.iter().copied().chain([("host", host.as_str())]);
        let signable = SignableRequest::new(
            ask.method.as_str(),
            &url,
            headers,
            SignableBody::Bytes(&ask.body),
        );
        let signed = signable.and_then(|signable| sign(signable, &params));
        let (signature, _) = signed.map_err(|error| wrong(error.to_string()))?.into_parts();
        let mut request = Request::builder().method(ask.method.clone()).uri(uri);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let agent = concat!("bursar/", env!("CARGO_PKG_VERSION"));
        request = request.header(header::HOST, host).header(header::USER_AGENT, agent);
        for (name, value) in signature.headers() {
            request = request.header(name, value);
        }
        request.body(Full::new(ask.body.clone())).map_err(|error| wrong(error.to_string()))
    }
}

/// S3 signs the body's hash as a header and the path as it is; others encode the path twice.
fn settings(api: Api) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if api == Api::S3 {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

/// What an answer means, and how it is counted.
fn judge(ask: &Ask<'_>, answer: Response<Bytes>) -> (&'static str, Result<Bytes, Failed>) {
    let status = answer.status();
    if status.is_success() {
        return ("ok", Ok(answer.into_body()));
    }
    let said = fault::said(status.as_u16(), answer.body());
    if said.is_later() || status.as_u16() == 429 || status.is_server_error() {
        let wait = wait(answer.headers());
        let result = if status.is_server_error() { "failed" } else { "throttled" };
        let cause = said.code.clone();
        return (result, Err(Failed::Later { said: Some(said), cause, wait }));
    }
    let Said { code, message } = said;
    let (api, action) = (ask.api, ask.action);
    let error = AwsError::Refused { api, action, code, message };
    ("refused", Err(Failed::Never(error)))
}

/// The pause that `Retry-After` wants, in seconds.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
