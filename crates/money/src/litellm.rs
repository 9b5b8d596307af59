//! Reads LiteLLM's price file, `model_prices_and_context_window.json`.
//!
//! Every entry of the file comes out once: as a price, or as skipped with the reason. Figures are
//! taken from their decimal text. What a price leaves out (audio, images, searches) is noted beside
//! it, so that nobody learns it from a bill.
//!
//! Knows nothing of files or the network: it is given the bytes.

mod entry;
mod pairs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use jiff::civil::Date;

use crate::price::Price;
use pairs::Pairs;

/// What a price file held. `prices` and `skipped` together have one item for each of its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// Models priced by text tokens, in the file's order.
    pub prices: Vec<Price>,
    /// Entries that became no price, in the file's order.
    pub skipped: Vec<Skipped>,
    /// What to know about prices that were taken, in the file's order.
    pub notes: Vec<Note>,
}

/// An entry that became no price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// The entry's name in the file.
    pub model: String,
    /// Why it was skipped.
    pub reason: SkipReason,
}

/// Something about a price that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The price's model.
    pub model: String,
    /// A sentence for people.
    pub text: String,
}

/// Why an entry became no price. As text it is a phrase that reads after "skipped: ".
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SkipReason {
    /// The file's own explanation of its fields.
    #[error("it is the file's template, not a model")]
    Template,
    /// Its value is not an object with the fields of a model.
    #[error("the entry is not an object of price fields")]
    NotAnObject,
    /// The file has the name more than once; each of them is skipped.
    #[error("the file has this model more than once; set its price by hand")]
    GivenTwice,
    /// Its mode is not billed by text tokens: images, audio, video, searches.
    #[error("mode {mode:?} is not billed by text tokens")]
    Mode {
        /// The mode's name in the file.
        mode: String,
    },
    /// Its price depends on what token counts don't tell.
    #[error("it is priced by what token counts don't tell: {}", fields.join(", "))]
    OtherUnits {
        /// The fields that price it.
        fields: Vec<String>,
    },
    /// A figure that every price needs is absent.
    #[error("{field} is missing")]
    Missing {
        /// The absent field.
        field: &'static str,
    },
    /// Both its prices are zero.
    #[error("price is zero; set it by hand if it is really free")]
    Free,
    /// A field is there but can't be used.
    #[error("{field} can't be used: {problem}")]
    BadField {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Why the file as a whole can't be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImportError {
    /// Not JSON.
    #[error(
        "the price file is not JSON at line {line}, column {column}: {problem}; \
         fetch model_prices_and_context_window.json again"
    )]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in bytes; 0 at the end of a line.
        column: usize,
        /// What the JSON reader met.
        problem: String,
    },
    /// JSON, but not an object of models.
    #[error(
        "the price file is not an object of models at line {line}, column {column}: {problem}; \
         give LiteLLM's model_prices_and_context_window.json"
    )]
    NotAnObject {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What was there instead.
        problem: String,
    },
}

/// Reads the file's bytes into prices that come into force on `effective_from`.
pub fn import(json: impl AsRef<[u8]>, effective_from: Date) -> Result<Import, ImportError> {
    let json = json.as_ref();
    // Some editors put a byte order mark in front.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let entries: Pairs<'_> = serde_json::from_slice(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let problem = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        match error.classify() {
            serde_json::error::Category::Data => ImportError::NotAnObject { line, column, problem },
            _ => ImportError::Syntax { line, column, problem },
        }
    })?;

    let mut times: HashMap<&str, usize> = HashMap::new();
    for (model, _) in &entries.0 {
        *times.entry(model).or_default() += 1;
    }
    let mut import = Import { prices: Vec::new(), skipped: Vec::new(), notes: Vec::new() };
    for (model, raw) in &entries.0 {
        let taken = if times.get(model.as_str()).is_some_and(|times| *times > 1) {
            Err(SkipReason::GivenTwice)
        } else {
            entry::read(model, raw, effective_from)
        };
        match taken {
            Ok((price, notes)) => {
                import.prices.push(price);
                let note = |text| Note { model: model.clone(), text };
                import.notes.extend(notes.into_iter().map(note));
            }
            Err(reason) => import.skipped.push(Skipped { model: model.clone(), reason }),
        }
    }
    Ok(import)
}
