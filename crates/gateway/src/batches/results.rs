//! A batch's results: what each of its holds is charged, read a line at a time as they come.
//!
//! Pure, and as large as one line. Invariant: where a line can't be read, a result that has
//! succeeded without its usage say, nothing is charged: the holds stay, and are for policy.

use std::mem;

use budget::{Quote, VendorBatch, VendorHold};
use money::{Money, PriceBook, ServiceTier, TokenUsage};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    dialect::Api,
    spool::Charge,
    usage::{self, Used},
};

/// What has been read of a batch's results.
pub(super) struct Results<'a> {
    batch: &'a VendorBatch,
    book: &'a PriceBook,
    /// The longest line.
    limit: usize,
    /// What has come of the line that is coming.
    line: Vec<u8>,
    lines: u64,
    /// For each hold what its requests have used; none where a line can't be read.
    sums: Option<Vec<Sum>>,
}

struct Sum {
    cost: Money,
    usage: TokenUsage,
    is_priced: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    result: Outcome<'a>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    message: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Named {
    model: String,
}

impl<'a> Results<'a> {
    /// Results of which no line may be longer than the limit.
    pub(super) fn new(batch: &'a VendorBatch, book: &'a PriceBook, limit: usize) -> Self {
        let nothing = |_| Sum { cost: Money::ZERO, usage: TokenUsage::default(), is_priced: true };
        let sums = Some(batch.holds.iter().map(nothing).collect());
        Self { batch, book, limit, line: Vec::new(), lines: 0, sums }
    }

    /// Takes what has come.
    pub(super) fn feed(&mut self, data: &[u8]) {
        for (place, piece) in data.split(|byte| *byte == b'\n').enumerate() {
            if place > 0 {
                self.end_line();
            }
            if self.line.len() + piece.len() > self.limit {
                self.fail("it is too long");
            }
            // Of what nobody reads any more nothing is kept.
            if self.sums.is_some() {
                self.line.extend_from_slice(piece);
            }
        }
    }

    /// They have come to their end: what each hold is charged. None where there should be more.
    pub(super) fn end(mut self, count: Option<u64>) -> Option<Vec<Charge>> {
        // Its last line has broken off.
        let is_cut = serde_json::from_slice::<IgnoredAny>(&self.line).is_err();
        if self.sums.is_some() && !self.line.trim_ascii().is_empty() && is_cut {
            return None;
        }
        self.end_line();
        if self.sums.is_some() && count.is_some_and(|count| self.lines < count) {
            return None;
        }
        let charge = |(hold, sum): (&VendorHold, Sum)| Charge {
            key: hold.key,
            call: hold.call.clone(),
            actual: Quote {
                usage: sum.usage,
                tier: ServiceTier::Batch,
                amount: sum.is_priced.then_some(sum.cost),
                given: sum.is_priced,
                estimated: false,
            },
        };
        Some(self.batch.holds.iter().zip(self.sums.into_iter().flatten()).map(charge).collect())
    }

    fn end_line(&mut self) {
        let mut line = mem::take(&mut self.line);
        if !line.trim_ascii().is_empty() {
            self.lines += 1;
            self.read(&line);
        }
        line.clear();
        self.line = line;
    }

    fn read(&mut self, line: &[u8]) {
        let result = match serde_json::from_slice(line) {
            // Errored, cancelled and expired requests cost nothing.
            Ok(Line { result }) if result.kind != "succeeded" => return,
            Ok(Line { result }) => result.message.map(|message| message.get()),
            Err(_) => None,
        };
        let read = result.and_then(|message| {
            let used = usage::from_answer(Api::Messages, message.as_bytes())?;
            let Named { model } = serde_json::from_str(message).ok()?;
            Some((used, model))
        });
        match read {
            Some((used, model)) => self.add(&used, &model),
            None => self.fail("it has no usage"),
        }
    }

    /// Adds what a request has used to the sum of its model.
    fn add(&mut self, used: &Used, model: &str) {
        let used = Used { tier: ServiceTier::Batch, ..used.clone() };
        let (holds, canonical) = (&self.batch.holds, self.book.canonical(model));
        let of = |hold: &VendorHold| {
            hold.call.model.as_str() == canonical || hold.models.iter().any(|name| name == model)
        };
        // A model that nobody asked for has answered in place of the first.
        let place = holds.iter().position(of).unwrap_or(0);
        let sum = self.sums.as_mut().and_then(|sums| sums.get_mut(place));
        let (Some(hold), Some(sum)) = (holds.get(place), sum) else { return };
        let price = self.book.price(hold.call.model.as_str(), self.batch.created_at);
        match price.and_then(|price| used.charge(price).ok()) {
            Some((cost, _)) => sum.cost = sum.cost.checked_add(cost).unwrap_or(Money::MAX),
            None => sum.is_priced = false,
        }
        sum.usage = sum.usage.checked_add(&used.tokens).unwrap_or(sum.usage);
    }

    fn fail(&mut self, why: &str) {
        self.line = Vec::new();
        if self.sums.take().is_some() {
            tracing::error!(
                batch = self.batch.id,
                "a result can't be read, {why}; what is held stays held, and is decided by policy"
            );
        }
    }
}
