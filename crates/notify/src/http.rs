//! The way to webhooks: one POST over HTTPS, within bounds, that follows nothing.
//!
//! Owns time and size limits and what an answer's status means. Plain HTTP is for loopback alone.
//! An address may hold a secret, as Slack's do, so that none is ever printed but for its host.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{SendError, format};

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// From the beginning to the last byte of the answer.
const TOTAL: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read, at most.
const BODY_MOST: usize = 64 << 10;
/// Characters of an answer that are told.
const SAID_MOST: usize = 200;
/// Idle connections are closed after this.
const IDLE_MOST: Duration = Duration::from_secs(30);

/// Certificates of an authority to trust beside those that the system trusts, as PEM.
pub type Authority = Option<Vec<u8>>;

/// Where a webhook is. It may be a secret: only its host is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.host()).finish()
    }
}

impl Endpoint {
    /// Reads an address: `https://`, or `http://` on this machine. The errors don't repeat it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.trim().parse().map_err(|_| "is no address".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err("is no address with a host".to_owned());
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("holds a user or a password".to_owned());
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(host) => Ok(Self(uri)),
            Some("http") => Err("has to begin with https://: only this machine is told what \
                                 nobody else may read without it"
                .to_owned()),
            _ => Err("has to begin with https://".to_owned()),
        }
    }

    /// The host, for messages.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// A client that posts.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    total: Duration,
}

impl Http {
    /// A client that trusts whom the system trusts, and the authority.
    pub(crate) fn new(authority: &Authority) -> io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(authority)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MOST)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client, total: TOTAL })
    }

    /// The same with another patience.
    #[cfg(test)]
    pub(crate) fn with_total(self, total: Duration) -> Self {
        Self { total, ..self }
    }

    /// Posts JSON. Only a status of success is one.
    pub(crate) async fn post(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(), SendError> {
        let host = endpoint.host();
        let mut request = Request::post(endpoint.0.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("bursar/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_| SendError::Never { why: format!("no request to {host} can be made") })?;
        request.headers_mut().extend(headers.clone());
        let answered = tokio::time::timeout(self.total, self.answer(request)).await;
        let (status, after, said) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                return Err(SendError::later(format!("{host} can't be reached: {error}")));
            }
            Err(_) => {
                let seconds = self.total.as_secs_f32();
                return Err(SendError::later(format!("{host} has not answered in {seconds} s")));
            }
        };
        judge(host, status, after, &said)
    }

    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Option<SignedDuration>, String), String> {
        let answer = self.client.request(request).await.map_err(|error| innermost(&error))?;
        let (head, body) = answer.into_parts();
        let after = head.headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| retry_after(after, Timestamp::now()));
        // Whoever goes on for longer than that has said enough: the status counts.
        let body = Limited::new(body, BODY_MOST).collect().await;
        let said = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok((head.status, after, String::from_utf8_lossy(&said).into_owned()))
    }
}

/// What an answer means. What a request says can't become right by itself; everything else may pass.
fn judge(
    host: &str,
    status: StatusCode,
    after: Option<SignedDuration>,
    said: &str,
) -> Result<(), SendError> {
    if status.is_success() {
        return Ok(());
    }
    let said: String = said.chars().filter(|c| !c.is_control()).collect();
    let said = format::cut(said.trim(), SAID_MOST);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    if status.is_redirection() {
        let why = format!("{host} answers {status}: give the address that it leads to");
        return Err(SendError::Later { why, after });
    }
    let why = format!("{host} answers {status}{said}");
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(SendError::Never { why }),
        _ => Err(SendError::Later { why, after }),
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<SignedDuration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let at = rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(at.duration_since(now).max(SignedDuration::ZERO))
}

/// The cause at the root, which says what has happened; the others say where.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn tls(authority: &Authority) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // Some systems keep certificates that no library takes, or none.
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates of an authority, where one is named: then there is one at least.
pub(crate) fn certificates(authority: &Authority) -> io::Result<Vec<CertificateDer<'static>>> {
    let Some(pem) = authority else { return Ok(Vec::new()) };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(io::Error::other)?;
    match read.is_empty() {
        true => Err(io::Error::other("there is no certificate in the authority's file")),
        false => Ok(read),
    }
}

#[cfg(test)]
mod tests;
