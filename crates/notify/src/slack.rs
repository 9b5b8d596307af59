//! Slack's incoming webhooks (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).

use async_trait::async_trait;
use budget::Severity;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{Authority, Channel, Endpoint, Item, Message, SendError, format::cut, http::Http};

/// Things in a message, at most: of the 50 blocks that Slack takes each has up to two.
const GROUP_MOST: usize = 20;
/// Characters of a header and of a section, at most
/// (<https://docs.slack.dev/reference/block-kit/blocks>).
const HEADER_MOST: usize = 150;
const SECTION_MOST: usize = 3_000;

/// A Slack channel.
pub struct Slack {
    http: Http,
    endpoint: Endpoint,
}

impl Slack {
    /// The incoming webhook at an address, which is a secret.
    pub fn new(endpoint: Endpoint, authority: &Authority) -> std::io::Result<Self> {
        Ok(Self { http: Http::new(authority)?, endpoint })
    }
}

#[async_trait]
impl Channel for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn group_most(&self) -> usize {
        GROUP_MOST
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let body = body(message).to_string();
        self.http.post(&self.endpoint, &HeaderMap::new(), body.into()).await
    }
}

fn body(message: &Message) -> Value {
    let header = cut(&message.subject, HEADER_MOST);
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": header, "emoji": false },
    })];
    for item in message.items.iter().take(GROUP_MOST) {
        blocks.push(section(&words(item, message.items.len() > 1)));
        if !item.todo.is_empty() {
            let steps: Vec<String> =
                item.todo.iter().map(|step| format!("• {}", escaped(step))).collect();
            blocks.push(section(&steps.join("\n")));
        }
    }
    // What stands in notifications, and where blocks can't be shown.
    json!({ "text": escaped(&cut(&message.subject, SECTION_MOST)), "blocks": blocks })
}

fn words(item: &Item, is_one_of_many: bool) -> String {
    let mark = match item.severity {
        Severity::Info => "",
        Severity::Warning => ":warning: ",
        Severity::Critical => ":rotating_light: ",
    };
    let title = match is_one_of_many {
        true => format!("{mark}*{}*\n", escaped(&item.subject)),
        false => mark.to_owned(),
    };
    let rows: Vec<String> = item
        .rows
        .iter()
        .map(|(name, value)| format!("*{}:* {}", escaped(name), escaped(value)))
        .collect();
    let sections = item.facts.sections.iter().map(|section| {
        let rows = section.rows.iter().map(|(name, value)| format!("{name}: {value}"));
        escaped(&format!("{}\n{}", section.title, rows.collect::<Vec<_>>().join("\n")))
    });
    let parts = std::iter::once(format!("{title}{}", escaped(&item.what)));
    let rows = (!rows.is_empty()).then(|| rows.join("\n"));
    parts.chain(rows).chain(sections).collect::<Vec<_>>().join("\n\n")
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(text, SECTION_MOST) } })
}

/// The three signs that Slack gives a meaning
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
