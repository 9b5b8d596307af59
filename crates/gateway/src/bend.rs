//! What a budget may want instead of a refusal: a shorter answer, or a cheaper model.

use std::sync::Arc;

use budget::{EscrowError, Outcome, Overflow, Refusal};
use focus::ModelName;
use money::{Money, PriceBook};

use crate::{
    demand::{self, Edits},
    fault::Fault,
    gateway::{Call, Inner},
    hold::Bid,
};

/// How a call was changed to fit.
pub(crate) type Bend = (Edits, Option<String>);

impl Inner {
    /// Makes a refused call fit in the way that its budget wants; `None` where it has none that
    /// does. Without an outcome the store has
    /// failed meanwhile, and the call is let through.
    pub(crate) async fn bend<'a>(
        self: &'a Arc<Self>,
        call: &Call,
        book: &'a PriceBook,
        bid: &mut Bid<'a>,
        refusal: &Refusal,
    ) -> Result<Option<(Option<Outcome>, Bend)>, Fault> {
        match &refusal.overflow {
            Overflow::Refuse => Ok(None),
            Overflow::Clamp => self.clamp(call, bid, refusal).await,
            Overflow::Fallback(models) => self.fall_back(call, book, bid, models).await,
        }
    }

    /// Limits the answer to what is affordable with what others hold.
    async fn clamp(
        self: &Arc<Self>,
        call: &Call,
        bid: &mut Bid<'_>,
        refusal: &Refusal,
    ) -> Result<Option<(Option<Outcome>, Bend)>, Fault> {
        let standing = &refusal.standing;
        let others = standing.counted.checked_sub(bid.hold).unwrap_or(Money::MAX);
        let room = standing.limit.saturating_sub_to_zero(others);
        let Some(limit) = bid.demand.affordable_output(bid.price, room) else { return Ok(None) };
        bid.demand.output = Some(limit);
        bid.reprice()?;
        let edits = Edits { output_limit: Some(limit), kind: bid.deployed(), ..Edits::default() };
        self.again(call, bid, (edits, None)).await
    }

    /// Calls the first of the budget's other models that fits.
    async fn fall_back<'a>(
        self: &'a Arc<Self>,
        call: &Call,
        book: &'a PriceBook,
        bid: &mut Bid<'a>,
        models: &[ModelName],
    ) -> Result<Option<(Option<Outcome>, Bend)>, Fault> {
        let canonical = |name: &str| book.canonical(name).to_owned();
        for model in models {
            // What pictures and thinking cost is the model's own matter.
            let Ok(demand) = demand::read_for(call.api, &call.body, model.as_str(), canonical)
            else {
                continue;
            };
            // One that has no price or no upstream here is none to fall back to.
            let Ok(mut other) = self.bid(call, book, demand) else { continue };
            if other.hold >= bid.hold || self.tighten(call, &mut other).await.is_err() {
                continue;
            }
            let name = model.to_string();
            let edits = Edits { model: Some(name.clone()), ..Edits::default() };
            if let Some(fits) = self.again(call, &other, (edits, Some(name))).await? {
                *bid = other;
                return Ok(Some(fits));
            }
        }
        Ok(None)
    }

    async fn again(
        self: &Arc<Self>,
        call: &Call,
        bid: &Bid<'_>,
        bend: Bend,
    ) -> Result<Option<(Option<Outcome>, Bend)>, Fault> {
        match self.reserve(call, bid).await {
            Ok(outcome) => Ok(Some((Some(outcome), bend))),
            Err(EscrowError::Refused(_)) => Ok(None),
            Err(EscrowError::Store(error)) => {
                self.unheld(call, &error).map(|()| Some((None, bend)))
            }
            Err(error) => Err(Fault::escrow(error, self.now())),
        }
    }
}
