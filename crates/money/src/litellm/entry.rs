//! One entry of the file to one price.
//!
//! A price field is named `class[_above_{n}k_tokens][_tier]`. Any other field about cost is left
//! out and noted.

use std::collections::{BTreeMap, HashSet};

use jiff::civil::Date;
use serde_json::value::RawValue;

use super::SkipReason;
use super::pairs::Pairs;
use crate::price::{LongContext, Price, Rates};
use crate::unit_price::UnitPrice;
use crate::usage::ServiceTier;

/// The entry that explains the file.
const TEMPLATE: &str = "sample_spec";
/// Where the figures are from when an entry doesn't say.
const SOURCE: &str = "LiteLLM model_prices_and_context_window.json";
/// Modes that text tokens bill. An entry without a mode is judged by its fields.
const MODES: [&str; 9] = [
    "chat",
    "completion",
    "responses",
    "embedding",
    "rerank",
    "moderation",
    "evaluation",
    "extraction",
    "decisions",
];
/// Modes that generate nothing, so that an absent output price is zero.
const MODES_WITHOUT_OUTPUT: [&str; 2] = ["embedding", "rerank"];

/// The class of tokens that a field prices. Longer names first: each is a prefix of a later one.
const CLASSES: [(&str, Class); 5] = [
    ("cache_creation_input_token_cost_above_1hr", Class::CacheWrite1h),
    ("cache_creation_input_token_cost", Class::CacheWrite5m),
    ("cache_read_input_token_cost", Class::CacheRead),
    ("input_cost_per_token", Class::Input),
    ("output_cost_per_token", Class::Output),
];

#[derive(Clone, Copy)]
enum Class {
    Input,
    Output,
    CacheRead,
    CacheWrite5m,
    CacheWrite1h,
}

/// Rates of a band and tier as far as they have been met.
#[derive(Clone, Copy, Default)]
struct Partial {
    input: Option<UnitPrice>,
    output: Option<UnitPrice>,
    cache_read: Option<UnitPrice>,
    cache_write_5m: Option<UnitPrice>,
    cache_write_1h: Option<UnitPrice>,
}

/// What an entry's fields say, before it is decided whether they make a price.
#[derive(Default)]
struct Fields {
    mode: Option<String>,
    vendor: Option<String>,
    source: Option<String>,
    max_input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    /// By threshold (0 for any length) and tier.
    rates: BTreeMap<(u64, ServiceTier), Partial>,
    reasoning: Option<UnitPrice>,
    left_out: Vec<String>,
    notes: Vec<String>,
}

/// The entry's price and its notes, or why it has none.
pub(super) fn read(
    model: &str,
    raw: &RawValue,
    effective_from: Date,
) -> Result<(Price, Vec<String>), SkipReason> {
    if model == TEMPLATE {
        return Err(SkipReason::Template);
    }
    let pairs: Pairs<'_> = serde_json::from_str(raw.get()).map_err(|_| SkipReason::NotAnObject)?;
    if model.is_empty() {
        return Err(bad("the model's name", "it is empty"));
    }
    if model.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("the model's name", "no request can name it: it has a space or worse"));
    }
    let fields = read_fields(&pairs)?;
    price(model, fields, effective_from)
}

fn read_fields(pairs: &Pairs<'_>) -> Result<Fields, SkipReason> {
    let mut fields = Fields::default();
    // The mode first: an image model is skipped for being one, whatever its other fields hold.
    for (_, raw) in pairs.0.iter().filter(|(name, _)| name == "mode") {
        let mode = text("mode", raw)?;
        if !MODES.contains(&mode.as_str()) {
            return Err(SkipReason::Mode { mode });
        }
        fields.mode = Some(mode);
    }
    let mut seen = HashSet::new();
    for (name, raw) in &pairs.0 {
        if !seen.insert(name) {
            return Err(bad(name, "the entry has it more than once"));
        }
        fields.read(name, raw)?;
    }
    Ok(fields)
}

impl Fields {
    fn read(&mut self, name: &str, raw: &RawValue) -> Result<(), SkipReason> {
        if let Some((class, above, tier)) = rate_field(name) {
            let price = Some(self.unit_price(name, raw)?);
            let rates = self.rates.entry((above, tier)).or_default();
            match class {
                Class::Input => rates.input = price,
                Class::Output => rates.output = price,
                Class::CacheRead => rates.cache_read = price,
                Class::CacheWrite5m => rates.cache_write_5m = price,
                Class::CacheWrite1h => rates.cache_write_1h = price,
            }
            return Ok(());
        }
        match name {
            "litellm_provider" => self.vendor = Some(text(name, raw)?),
            "source" => self.source = Some(text(name, raw)?),
            "max_input_tokens" => self.max_input_tokens = self.limit(name, raw),
            "max_output_tokens" => self.max_output_tokens = self.limit(name, raw),
            "output_cost_per_reasoning_token" => {
                self.reasoning = Some(self.unit_price(name, raw)?);
            }
            _ => {
                let priced = ["cost", "pricing", "uplift"].iter().any(|part| name.contains(part));
                if priced && !is_zero(raw) {
                    self.left_out.push(name.to_owned());
                }
            }
        }
        Ok(())
    }

    fn unit_price(&mut self, name: &str, raw: &RawValue) -> Result<UnitPrice, SkipReason> {
        let number = match raw.get().as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => raw.get(),
            Some(b'"') => return Err(bad(name, "it is text, not a number")),
            Some(b'n') => return Err(bad(name, "it is null, not a number")),
            _ => return Err(bad(name, "it is not a number")),
        };
        let (price, rounded) =
            UnitPrice::per_token_nearest(number).map_err(|error| bad(name, &error.to_string()))?;
        if rounded {
            let number: String = number.chars().take(64).collect();
            self.notes.push(format!(
                "{name} {number} has more than 15 decimals; taken as {price} USD per million"
            ));
        }
        Ok(price)
    }

    /// A token limit; a limit that is no count is noted, for the price is good without it.
    fn limit(&mut self, name: &str, raw: &RawValue) -> Option<u64> {
        let limit = raw.get().parse().ok();
        if limit.is_none() {
            self.notes.push(format!("{name} is not a count of tokens; left out"));
        }
        limit
    }
}

fn price(
    model: &str,
    mut fields: Fields,
    effective_from: Date,
) -> Result<(Price, Vec<String>), SkipReason> {
    let standard = standard(&fields)?;
    let reasoning = fields.reasoning.unwrap_or_default();
    if reasoning > standard.output {
        // Token counts don't tell reasoning from other output, and the output rate is too cheap.
        let fields = vec!["output_cost_per_reasoning_token".to_owned()];
        return Err(SkipReason::OtherUnits { fields });
    }
    let vendor = fields.vendor.take().filter(|vendor| !vendor.is_empty());
    let vendor = vendor.ok_or(SkipReason::Missing { field: "litellm_provider" })?;

    let mut notes = std::mem::take(&mut fields.notes);
    let mut tiers = |above: u64, standard: &Rates| {
        [ServiceTier::Batch, ServiceTier::Priority, ServiceTier::Flex].map(|tier| {
            let partial = fields.rates.get(&(above, tier))?;
            let rates = partial.tier(tier, standard);
            if rates.is_none() {
                notes.push(format!("{tier} lacks an input or output price; left out"));
            }
            rates
        })
    };
    let [batch, priority, flex] = tiers(0, &standard);
    let mut thresholds: Vec<u64> = fields.rates.keys().map(|(above, _)| *above).collect();
    thresholds.dedup();
    let mut long_context = Vec::new();
    let mut without_input = Vec::new();
    for above in thresholds.into_iter().filter(|above| *above > 0) {
        let partial = fields.rates.get(&(above, ServiceTier::Standard)).copied();
        let band = partial.and_then(|partial| partial.complete(None, Some(standard.output)));
        let Some(band) = band else {
            without_input.push(above);
            continue;
        };
        let [batch, priority, flex] = tiers(above, &band);
        long_context.push(LongContext {
            above_input_tokens: above,
            standard: band,
            batch,
            priority,
            flex,
        });
    }
    for above in without_input {
        notes.push(format!("prompts above {above} tokens lack an input price; left out"));
    }
    if !fields.left_out.is_empty() {
        notes.push(format!("not part of the price: {}", fields.left_out.join(", ")));
    }
    let price = Price {
        model: model.to_owned(),
        vendor,
        aliases: Vec::new(),
        effective_from,
        source: fields.source.take().unwrap_or_else(|| SOURCE.to_owned()),
        max_input_tokens: fields.max_input_tokens,
        max_output_tokens: fields.max_output_tokens,
        standard,
        batch,
        priority,
        flex,
        long_context,
    };
    Ok((price, notes))
}

/// The standard rates of any prompt length, which every price has.
fn standard(fields: &Fields) -> Result<Rates, SkipReason> {
    let key = (0, ServiceTier::Standard);
    let partial = fields.rates.get(&key).copied().unwrap_or_default();
    let none = |price: Option<UnitPrice>| price.is_none_or(|price| price == UnitPrice::ZERO);
    if none(partial.input) && none(partial.output) {
        if !fields.left_out.is_empty() {
            return Err(SkipReason::OtherUnits { fields: fields.left_out.clone() });
        }
        if partial.input.is_some() || partial.output.is_some() {
            return Err(SkipReason::Free);
        }
    }
    let mode = fields.mode.as_deref().unwrap_or_default();
    let without_output = MODES_WITHOUT_OUTPUT.contains(&mode).then_some(UnitPrice::ZERO);
    if partial.input.is_none() {
        return Err(SkipReason::Missing { field: "input_cost_per_token" });
    }
    partial
        .complete(None, without_output)
        .ok_or(SkipReason::Missing { field: "output_cost_per_token" })
}

impl Partial {
    /// Rates, with these where input or output was not met; `None` if one is still lacking.
    fn complete(self, input: Option<UnitPrice>, output: Option<UnitPrice>) -> Option<Rates> {
        Some(Rates {
            input: self.input.or(input)?,
            output: self.output.or(output)?,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
        })
    }

    /// A tier's rates. A cheaper tier takes the standard figure where it lacks one, but not both;
    /// priority must have its own.
    fn tier(self, tier: ServiceTier, standard: &Rates) -> Option<Rates> {
        if tier == ServiceTier::Priority {
            return self.complete(None, None);
        }
        self.input.or(self.output)?;
        self.complete(Some(standard.input), Some(standard.output))
    }
}

/// What a field prices: the class, the prompt length it begins above, the tier.
fn rate_field(name: &str) -> Option<(Class, u64, ServiceTier)> {
    let (class, rest) = CLASSES
        .iter()
        .find_map(|(prefix, class)| name.strip_prefix(prefix).map(|rest| (*class, rest)))?;
    let (above, rest) = match rest.strip_prefix("_above_") {
        Some(rest) => {
            let (thousands, rest) = rest.split_once("k_tokens")?;
            let above = thousands.parse::<u64>().ok()?.checked_mul(1000)?;
            (above, rest)
        }
        None => (0, rest),
    };
    let tier = match rest {
        "" => ServiceTier::Standard,
        "_batches" => ServiceTier::Batch,
        "_priority" => ServiceTier::Priority,
        "_flex" => ServiceTier::Flex,
        _ => return None,
    };
    Some((class, above, tier))
}

fn text(name: &str, raw: &RawValue) -> Result<String, SkipReason> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| bad(name, "it is not text"))?;
    if text.chars().any(char::is_control) {
        // It would speak to the terminal that shows it, and Postgres keeps no NUL.
        return Err(bad(name, "it has control characters"));
    }
    Ok(text)
}

fn is_zero(raw: &RawValue) -> bool {
    UnitPrice::per_token(raw.get()) == Ok(UnitPrice::ZERO)
}

fn bad(field: &str, problem: &str) -> SkipReason {
    SkipReason::BadField { field: field.to_owned(), problem: problem.to_owned() }
}
