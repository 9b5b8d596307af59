//! OpenAI's Embeddings API.

use super::json::Node;
use super::prompt::Prompt;
use super::{Demand, Unmetered};

/// What a vendor may put around each text: marks of its beginning and end.
const AROUND_TEXT: u64 = 4;

pub(super) fn read(
    node: &Node<'_>,
    prompt: &mut Prompt,
    demand: &mut Demand,
) -> Result<(), Unmetered> {
    demand.output = Some(0);
    if node.get("messages").is_some() {
        return Err(Unmetered::new("messages", "only input is metered; leave it out"));
    }
    let Some(input) = node.get("input") else {
        return Err(Unmetered::new("input", "it must be text or a list"));
    };
    one(input, prompt, true)
}

/// A text, a list of texts, a list of token ids, or a list of such lists.
fn one(input: &Node<'_>, prompt: &mut Prompt, is_outer: bool) -> Result<(), Unmetered> {
    match input {
        Node::Text(text) => {
            prompt.add(AROUND_TEXT);
            prompt.text(text);
        }
        Node::Number(Some(_)) => prompt.add(1),
        Node::List(items) => {
            prompt.add(AROUND_TEXT);
            for item in items {
                match item {
                    Node::List(_) if !is_outer => return Err(wrong()),
                    item => one(item, prompt, false)?,
                }
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn wrong() -> Unmetered {
    Unmetered::new("input", "use text, a list of texts, or lists of token ids")
}
