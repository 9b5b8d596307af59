//! Any program: JSON, signed.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::{
    Authority, Channel, Endpoint, Facts, Item, Message, SIGNATURE, SendError, TIMESTAMP,
    http::Http, sign,
};

/// The header of the message's name: every attempt has the same
/// (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A webhook that takes messages as JSON.
pub struct Webhook {
    http: Http,
    endpoint: Endpoint,
    secrets: Vec<SecretString>,
}

/// The body. Fields may be added; none is taken away within a version.
#[derive(Serialize)]
struct Body<'a> {
    version: u8,
    id: String,
    severity: &'a str,
    subject: &'a str,
    items: Vec<BodyItem<'a>>,
}

#[derive(Serialize)]
struct BodyItem<'a> {
    topic: &'a str,
    severity: &'a str,
    at: Timestamp,
    subject: &'a str,
    what: &'a str,
    todo: &'a [String],
    facts: &'a Facts,
}

impl Webhook {
    /// A webhook at an address; each secret signs what is sent.
    pub fn new(
        endpoint: Endpoint,
        secrets: Vec<SecretString>,
        authority: &Authority,
    ) -> std::io::Result<Self> {
        Ok(Self { http: Http::new(authority)?, endpoint, secrets })
    }

    #[cfg(test)]
    pub(crate) fn with_total(self, total: std::time::Duration) -> Self {
        Self { http: self.http.with_total(total), ..self }
    }

    fn headers(&self, id: &str, body: &[u8], now: Timestamp) -> Result<HeaderMap, SendError> {
        let seconds = now.as_second();
        let signatures = self.secrets.iter();
        let signatures: Vec<String> = signatures
            .map(|secret| sign(secret.expose_secret().as_bytes(), seconds, body))
            .collect();
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value)
                .map_err(|_| SendError::Never { why: format!("{name} can't be written") })?;
            headers.insert(HeaderName::from_static(name), value);
            Ok::<_, SendError>(())
        };
        put(IDEMPOTENCY_KEY, id)?;
        put(TIMESTAMP, &seconds.to_string())?;
        if !signatures.is_empty() {
            put(SIGNATURE, &signatures.join(","))?;
        }
        Ok(headers)
    }
}

#[async_trait]
impl Channel for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let id = message.id();
        let body = Body {
            version: 1,
            id: id.clone(),
            severity: message.severity.as_str(),
            subject: &message.subject,
            items: message.items.iter().map(body_item).collect(),
        };
        let body = serde_json::to_vec(&body)
            .map_err(|error| SendError::Never { why: format!("no body can be made: {error}") })?;
        let headers = self.headers(&id, &body, Timestamp::now())?;
        self.http.post(&self.endpoint, &headers, body.into()).await
    }
}

fn body_item(item: &Item) -> BodyItem<'_> {
    BodyItem {
        topic: item.topic.as_str(),
        severity: item.severity.as_str(),
        at: item.at,
        subject: &item.subject,
        what: &item.what,
        todo: &item.todo,
        facts: &item.facts,
    }
}
