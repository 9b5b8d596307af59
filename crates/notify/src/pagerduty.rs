//! `PagerDuty`'s Events API v2
//! (<https://developer.pagerduty.com/docs/events-api-v2-overview>).

use async_trait::async_trait;
use budget::{Severity, Topic};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    Authority, Channel, Endpoint, Item, Message, SendError,
    format::{cut, hex},
    http::Http,
};

/// Characters of a summary, at most.
const SUMMARY_MOST: usize = 1_024;
/// Characters of a `dedup_key`, at most.
const KEY_MOST: usize = 255;

/// A service in `PagerDuty`.
pub struct PagerDuty {
    http: Http,
    endpoint: Endpoint,
    routing_key: SecretString,
}

impl PagerDuty {
    /// Where events go; accounts in the EU have `https://events.eu.pagerduty.com/v2/enqueue`.
    pub const ENDPOINT: &'static str = "https://events.pagerduty.com/v2/enqueue";

    /// The service with an integration key.
    pub fn new(
        endpoint: Endpoint,
        routing_key: SecretString,
        authority: &Authority,
    ) -> std::io::Result<Self> {
        Ok(Self { http: Http::new(authority)?, endpoint, routing_key })
    }

    fn body(&self, item: &Item) -> Value {
        // A budget that begins anew ends what its last period had begun.
        let action = if item.topic == Topic::BudgetReset { "resolve" } else { "trigger" };
        let severity = match item.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        json!({
            "routing_key": self.routing_key.expose_secret(),
            "event_action": action,
            "dedup_key": dedup_key(&item.facts.incident),
            "payload": {
                "summary": cut(&item.subject, SUMMARY_MOST),
                "source": item.facts.tenant_id.as_deref().unwrap_or("bursar"),
                "severity": severity,
                "timestamp": item.at,
                "component": "bursar",
                "class": item.topic.as_str(),
                "custom_details": { "what": item.what, "todo": item.todo, "facts": item.facts },
            },
            "client": "Bursar",
        })
    }
}

#[async_trait]
impl Channel for PagerDuty {
    fn kind(&self) -> &'static str {
        "pagerduty"
    }

    /// Each thing is an incident of its own.
    fn group_most(&self) -> usize {
        1
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        for item in &message.items {
            let body = self.body(item).to_string();
            self.http.post(&self.endpoint, &HeaderMap::new(), body.into()).await?;
        }
        Ok(())
    }
}

/// Everything that is told of a budget in one period is one incident.
fn dedup_key(incident: &str) -> String {
    if incident.chars().count() <= KEY_MOST {
        return incident.to_owned();
    }
    hex(ring::digest::digest(&ring::digest::SHA256, incident.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests;
