//! Microsoft Teams' workflows: "Post to a channel when a webhook request is received"
//! (<https://support.microsoft.com/office/8ae491c7-0394-4861-ba59-055e33f75498>).

use async_trait::async_trait;
use budget::Severity;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{Authority, Channel, Endpoint, Item, Message, SendError, format::cut, http::Http};

/// Things in a message, at most: a card may have 28 KB.
const GROUP_MOST: usize = 10;
/// Characters of a text, at most.
const TEXT_MOST: usize = 1_000;
/// Facts of one thing, at most, and the characters of each.
const FACTS_MOST: usize = 12;
const FACT_MOST: usize = 200;
/// Bytes of a card, at most; with what Teams adds it stays below its limit.
const CARD_MOST: usize = 26_000;

/// A channel or chat in Teams.
pub struct Teams {
    http: Http,
    endpoint: Endpoint,
}

impl Teams {
    /// The workflow at an address, which is a secret.
    pub fn new(endpoint: Endpoint, authority: &Authority) -> std::io::Result<Self> {
        Ok(Self { http: Http::new(authority)?, endpoint })
    }
}

#[async_trait]
impl Channel for Teams {
    fn kind(&self) -> &'static str {
        "teams"
    }

    fn group_most(&self) -> usize {
        GROUP_MOST
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let whole = body(message, true).to_string();
        // Long filters can be too much for a card: then each thing is told in a line.
        let is_small = whole.len() <= CARD_MOST;
        let body = if is_small { whole } else { body(message, false).to_string() };
        self.http.post(&self.endpoint, &HeaderMap::new(), body.into()).await
    }
}

/// An Adaptive Card (<https://adaptivecards.io/explorer/AdaptiveCard.html>) of version 1.4, which
/// every Teams shows.
fn body(message: &Message, is_whole: bool) -> Value {
    let color = match message.severity {
        Severity::Info => "default",
        Severity::Warning => "warning",
        Severity::Critical => "attention",
    };
    let mut blocks = vec![json!({
        "type": "TextBlock",
        "text": plain(&message.subject),
        "size": "large",
        "weight": "bolder",
        "color": color,
        "wrap": true,
    })];
    let is_one_of_many = message.items.len() > 1;
    for item in message.items.iter().take(GROUP_MOST) {
        if is_one_of_many {
            blocks.push(text(&item.subject, true));
        }
        if !is_whole {
            continue;
        }
        blocks.push(text(&item.what, false));
        blocks.push(facts(item));
        blocks.extend(item.todo.iter().map(|step| text(&format!("• {step}"), false)));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": blocks,
            },
        }],
    })
}

fn facts(item: &Item) -> Value {
    let sections = item.facts.sections.iter().flat_map(|section| &section.rows);
    let facts: Vec<Value> = item
        .rows
        .iter()
        .chain(sections)
        .take(FACTS_MOST)
        .map(
            |(name, value)| json!({ "title": plain(name), "value": plain(&cut(value, FACT_MOST)) }),
        )
        .collect();
    json!({ "type": "FactSet", "facts": facts })
}

fn text(text: &str, is_title: bool) -> Value {
    let weight = if is_title { "bolder" } else { "default" };
    json!({
        "type": "TextBlock",
        "text": plain(text),
        "weight": weight,
        "wrap": true,
        "separator": is_title,
    })
}

/// Cards read Markdown: a name is no link and no emphasis.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for sign in cut(text, TEXT_MOST).chars() {
        if matches!(sign, '*' | '_' | '[' | ']' | '`' | '\\' | '<') {
            plain.push('\\');
        }
        plain.push(sign);
    }
    plain
}

#[cfg(test)]
mod tests;
