//! The handlers, a file for each noun, and what they share.

use std::sync::Arc;

use api::Cursor;
use budget::{
    Budget, BudgetFilter, BudgetId, EscrowError, Key, Line, Origin, Outcome, Page, Quote,
    Reservation, Reserve, StoreError,
};
use focus::{Attribution, ModelName, ReportType, TenantId, UserId};
use money::{Money, PriceBook, ServiceTier, TokenUsage};
use uuid::Uuid;

use crate::{fault::Fault, service::State};

pub(crate) mod ai_budget;
pub(crate) mod alerts;
pub(crate) mod budgets;
pub(crate) mod cloud_budgets;
pub(crate) mod cost;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod prices;
pub(crate) mod probes;
pub(crate) mod reservations;
pub(crate) mod tenants;
pub(crate) mod usage;

/// Rows of a page when nothing else is asked for, and at most.
const ROWS: usize = 100;
const ROWS_MOST: usize = 1_000;

/// The part of a list that was asked for.
fn page<C: Cursor>(cursor: Option<&str>, limit: Option<u16>) -> Result<Page<C>, Fault> {
    let limit = limit.map_or(ROWS, usize::from);
    if !(1..=ROWS_MOST).contains(&limit) {
        return Err(Fault::invalid("limit", format!("must be between 1 and {ROWS_MOST}")));
    }
    let after = match cursor {
        None => None,
        Some(text) => Some(C::decode(text).ok_or_else(|| {
            Fault::invalid("cursor", "is not one that this list has given out as next_cursor")
        })?),
    };
    Ok(Page { after, limit })
}

/// Asks for the page after this one, where there may be one.
fn next<C: Cursor>(rows: usize, limit: usize, last: Option<C>) -> Option<String> {
    last.filter(|_| rows >= limit).map(|last| last.encode())
}

/// Who calls, with the model by its canonical name.
fn attribution(
    book: &PriceBook,
    tenant: TenantId,
    model: ModelName,
    user: Option<UserId>,
    report_type: Option<ReportType>,
) -> Attribution {
    Attribution { tenant, model: canonical(book, model), user, report_type }
}

/// The model's canonical name; its own where the book's would be no name.
fn canonical(book: &PriceBook, model: ModelName) -> ModelName {
    let name = book.canonical(model.as_str());
    if name == model.as_str() { model } else { ModelName::parse(name).unwrap_or(model) }
}

/// Holds a call's cost, for a repeat under the name that its model had at first.
async fn reserve(
    state: &State,
    book: &PriceBook,
    named: &ModelName,
    request: Reserve,
) -> Result<Outcome, EscrowError> {
    let outcome = state.store.reserve(request.clone()).await;
    if let Err(EscrowError::Conflict(key)) = outcome
        && let Some(known) = renamed(state, book, key, named, &request.call.model).await?
    {
        let call = Attribution { model: known.call.model, ..request.call };
        return state.store.reserve(Reserve { call, ..request }).await;
    }
    outcome
}

/// The call under a key, where the caller's name for its model does not lead to it any more: an
/// import may have made the name an alias, or an alias a model of its own.
async fn renamed(
    state: &State,
    book: &PriceBook,
    key: Key,
    named: &ModelName,
    tried: &ModelName,
) -> Result<Option<Reservation>, StoreError> {
    let found = state.store.reservation(key).await?;
    Ok(found.filter(|found| {
        let model = &found.call.model;
        model != tried && book.leads(named.as_str(), model.as_str())
    }))
}

/// What a request says of a call's tokens, of their cost, or of its amount.
#[derive(Clone, Copy)]
struct Stated {
    usage: TokenUsage,
    tier: ServiceTier,
    amount: Option<Money>,
    /// What the tokens cost by the caller's prices.
    quoted: Option<Money>,
    /// The amount is what was seen of the call.
    estimated: bool,
}

impl Stated {
    /// A quote: of the amount that was named, or of the tokens at what `price` says.
    fn quote(
        self,
        price: impl FnOnce(&TokenUsage, ServiceTier) -> Result<Option<Money>, Fault>,
    ) -> Result<Quote, Fault> {
        let Self { usage, tier, amount, quoted, estimated } = self;
        if amount.is_some() && quoted.is_some() {
            return Err(Fault::invalid("quoted_usd", "stands instead of amount_usd: name one"));
        }
        if let Some(amount) = amount {
            if amount.is_zero() {
                return Err(Fault::invalid("amount_usd", "must be more than 0"));
            }
            return Ok(Quote { usage, tier, amount: Some(amount), given: true, estimated });
        }
        if quoted.is_some() {
            return Ok(Quote { usage, tier, amount: quoted, given: false, estimated });
        }
        if usage.prompt() == 0 && usage.output == 0 {
            let message = "the call names no tokens: at least one count must be more than 0";
            return Err(Fault::unprocessable("no_tokens", message));
        }
        Ok(Quote { amount: price(&usage, tier)?, usage, tier, given: false, estimated })
    }
}

/// A reservation's key. The nil id stands for "none" in the ledger.
fn request_id(id: Uuid) -> Result<Uuid, Fault> {
    if id.is_nil() {
        return Err(Fault::invalid("request_id", "must not be the nil UUID"));
    }
    Ok(id)
}

/// The budgets that count: default ones go as soon as one was set that covers the same calls.
pub(crate) fn in_force(lines: Vec<Line>) -> Vec<Line> {
    let set: Vec<Arc<Budget>> = lines
        .iter()
        .map(|line| &line.budget)
        .filter(|budget| budget.origin == Origin::Set && budget.scope.is_tenant_wide())
        .cloned()
        .collect();
    let covered = |line: &Line| {
        set.iter().any(|budget| {
            budget.scope.model.is_none() || budget.scope.model == line.budget.scope.model
        })
    };
    lines.into_iter().filter(|line| line.budget.origin == Origin::Set || !covered(line)).collect()
}

/// The budget with an id: the first after the id before.
async fn find_budget(state: &State, id: BudgetId) -> Result<Option<Budget>, StoreError> {
    let after = id.0.as_u128().checked_sub(1).map(|before| BudgetId(Uuid::from_u128(before)));
    let filter = BudgetFilter { tenant: None, page: Page { after, limit: 1 } };
    Ok(state.store.list(filter).await?.into_iter().find(|budget| budget.id == id))
}
