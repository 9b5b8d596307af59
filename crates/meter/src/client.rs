//! One HTTP client of one service: pooled connections, a deadline for every call, repeats where
//! nobody has answered. Every call may be repeated: the service does it once, by its request id.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use thiserror::Error;

use crate::backoff::Backoff;

/// The service closes what idles for a minute; a connection is left before that.
const IDLE_MOST: Duration = Duration::from_secs(30);
/// Answers are short; what is longer comes from something else.
const BODY_MOST: usize = 256 * 1024;

/// Why a client can't be made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// No address of a service.
    #[error(
        "{0:?} is no address of a service: write http://host:port or https://host, \
         with neither password nor query"
    )]
    Url(String),
    /// Characters that can't stand in a header. The token is not shown.
    #[error("the token has characters that can't stand in a header")]
    Token,
    /// There are no certificate authorities to trust.
    #[error("failed to read the certificates to trust")]
    Certificates(#[source] std::io::Error),
    /// No address of a Redis. It is not shown: it may hold a password.
    #[error("the address of Redis can't be read")]
    Redis,
    /// The spool's folder or file can't be written.
    #[error("failed to open the spool")]
    Spool(#[source] std::io::Error),
}

/// Why there is no answer that says yes or no.
#[derive(Debug, Clone, Error)]
pub enum RemoteError {
    /// No answer in time; the service may have done what it was asked for.
    #[error("no answer in time")]
    Timeout,
    /// Nobody listens there, so nothing was done.
    #[error("failed to connect: {0}")]
    Connect(String),
    /// The connection broke; the service may have done what it was asked for.
    #[error("the connection broke: {0}")]
    Network(String),
    /// The token is missing, wrong, or a tenant's where the administrator's is needed.
    #[error("the service refuses this token: {0}")]
    Access(String),
    /// It says that it can't answer now.
    #[error("the service can't answer now: {code}")]
    Busy {
        /// Its code for the problem, or the status.
        code: String,
        /// After how many seconds to ask again.
        retry_after: Option<u64>,
    },
    /// The request itself is wrong, or names a tenant that the token does not speak for.
    #[error("the service does not accept this request: {}", .0.message)]
    Invalid(Box<api::Problem>),
    /// This is not how Bursar answers.
    #[error("an answer that makes no sense: {0}")]
    Unexpected(String),
}

impl RemoteError {
    /// Whether the service may have done what it was asked for all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Timeout | Self::Network(_) | Self::Unexpected(_) => true,
            Self::Busy { code, .. } => code != "rate_limited" && code != "overloaded",
            Self::Connect(_) | Self::Access(_) | Self::Invalid(_) => false,
        }
    }

    /// Whether other requests would fare no better now. What fails otherwise may be one request's
    /// own trouble: the service waits for one tenant's rows, say.
    pub(crate) fn is_everybodys(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Network(_) | Self::Access(_) => true,
            Self::Busy { code, .. } => {
                matches!(code.as_str(), "rate_limited" | "overloaded" | "stopping" | "store_closed")
            }
            Self::Timeout | Self::Unexpected(_) | Self::Invalid(_) => false,
        }
    }
}

/// An answer, whatever it says.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Bytes,
    /// What came of an earlier try that may have been done, where there was one.
    pub(crate) earlier: Option<RemoteError>,
}

impl Answer {
    /// The body of a success.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, RemoteError> {
        serde_json::from_slice(&self.body).map_err(|_| self.unexpected())
    }

    /// What is wrong, where it says so as Bursar does.
    pub(crate) fn problem(&self) -> Option<api::Problem> {
        let problem: api::Problem = serde_json::from_slice(&self.body).ok()?;
        (!problem.code.is_empty()).then_some(problem)
    }

    pub(crate) fn unexpected(&self) -> RemoteError {
        // The body may be anybody's: it is not repeated.
        RemoteError::Unexpected(format!("status {} with an unknown body", self.status.as_u16()))
    }
}

/// What is asked of the service, in which time.
#[derive(Clone)]
pub(crate) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: Option<SecretString>,
    pub(crate) timeout: Duration,
    pub(crate) attempts: u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the service at `url`, trusting the authorities of a PEM text, or else the system's.
    pub(crate) fn new(url: &str, authorities: Option<&[u8]>) -> Result<Self, SetupError> {
        let base = base(url).ok_or_else(|| SetupError::Url(url.to_owned()))?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let builder = HttpsConnectorBuilder::new();
        let builder = match authorities {
            Some(pem) => builder.with_tls_config(trusting(roots(pem)?)),
            None if base.starts_with("https:") => builder
                .with_provider_and_native_roots(ring::default_provider())
                .map_err(SetupError::Certificates)?,
            // A service in the clear needs no authorities, and a small container has none.
            None => builder.with_tls_config(trusting(RootCertStore::empty())),
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(connector);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MOST)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        Ok(Self { pool, base, token: None, timeout: Duration::from_secs(5), attempts: 3 })
    }

    pub(crate) fn set_token(&mut self, token: SecretString) -> Result<(), SetupError> {
        let is_visible = |byte: u8| (0x21..=0x7e).contains(&byte);
        let text = token.expose_secret();
        if text.is_empty() || !text.bytes().all(is_visible) {
            return Err(SetupError::Token);
        }
        self.token = Some(token);
        Ok(())
    }

    /// The service's address, in the form that all clients of it agree on.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Asks within the time, again where the connection failed. Where an earlier try may have been
    /// done, no later one's fault says that nothing was.
    pub(crate) async fn post<T: Serialize>(
        &self,
        path: &str,
        body: Option<&T>,
    ) -> Result<Answer, RemoteError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body)
                .map_err(|error| RemoteError::Unexpected(error.to_string()))?,
            None => Vec::new(),
        };
        let body = Bytes::from(body);
        let asked = async {
            let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
            let mut earlier = None;
            for _ in 1..self.attempts {
                match self.once(path, body.clone()).await {
                    Ok(answer) => return Ok(Answer { earlier, ..answer }),
                    Err(RemoteError::Connect(_)) => {}
                    Err(error @ RemoteError::Network(_)) => earlier = Some(error),
                    Err(error) => return Err(graver(earlier, error)),
                }
                tokio::time::sleep(backoff.next()).await;
            }
            match self.once(path, body).await {
                Ok(answer) => Ok(Answer { earlier, ..answer }),
                Err(error) => Err(graver(earlier, error)),
            }
        };
        tokio::time::timeout(self.timeout, asked).await.unwrap_or(Err(RemoteError::Timeout))
    }

    async fn once(&self, path: &str, body: Bytes) -> Result<Answer, RemoteError> {
        let mut request =
            Request::builder().method(Method::POST).uri(format!("{}{path}", self.base));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose_secret());
            let mut bearer = HeaderValue::try_from(bearer)
                .map_err(|_| RemoteError::Access("it can't stand in a header".to_owned()))?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| RemoteError::Unexpected(error.to_string()))?;
        let response = self.pool.request(request).await.map_err(|error| {
            let text = reason(&error);
            if error.is_connect() { RemoteError::Connect(text) } else { RemoteError::Network(text) }
        })?;
        let (parts, body) = response.into_parts();
        let retry_after = seconds(&parts.headers);
        let body = Limited::new(body, BODY_MOST).collect().await;
        let body = body.map_err(|error| RemoteError::Network(error.to_string()))?.to_bytes();
        Ok(Answer { status: parts.status, retry_after, body, earlier: None })
    }
}

/// What came of an earlier try that may have been done, where the last one's error denies it.
pub(crate) fn graver(earlier: Option<RemoteError>, last: RemoteError) -> RemoteError {
    match earlier {
        Some(earlier) if !last.may_have_happened() => earlier,
        _ => last,
    }
}

/// The innermost cause: what is around it says no more than "client error".
fn reason(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn seconds(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

fn roots(pem: &[u8]) -> Result<RootCertStore, SetupError> {
    let wrong = |error: &dyn std::error::Error| {
        SetupError::Certificates(std::io::Error::other(error.to_string()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        let error = std::io::Error::other("there is no certificate in it");
        return Err(SetupError::Certificates(error));
    }
    Ok(roots)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let provider = std::sync::Arc::new(ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = match versions {
        Ok(builder) => builder,
        // The provider above is built with both versions of the protocol.
        Err(_) => unreachable!("ring speaks TLS"),
    };
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Scheme, host and path in lower case where case has no meaning, without the port that goes without
/// saying and without a slash at the end: as a browser would write it, so that all clients of a
/// service call it the same.
fn base(url: &str) -> Option<String> {
    let uri: Uri = url.trim().parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    if uri.query().is_some() || url.contains('#') || uri.authority()?.as_str().contains('@') {
        return None;
    }
    let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    let port = uri.port_u16().filter(|port| *port != usual);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{scheme}://{host}{port}{}", uri.path().trim_end_matches('/')))
}

#[cfg(test)]
mod tests;
