//! `/api/v1/prices`.

use api::{PriceList, PriceQuery, PriceView, Prices, PricesStored, Problem};
use axum::{Json as Answer, extract::State};
use focus::ModelName;
use money::catalogue;

use crate::{
    auth::Caller,
    extract::{Json, Path, Query},
    fault::Fault,
    service::Shared,
};

/// All prices by vendor, model and day.
#[utoipa::path(get, path = "/api/v1/prices", tag = "prices", operation_id = "listPrices",
    params(PriceQuery), responses((status = 200, description = "The prices", body = PriceList)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    _: Caller,
    Query(query): Query<PriceQuery>,
) -> Answer<PriceList> {
    let shelf = state.prices.get();
    let wanted = |vendor: &str| query.vendor.as_deref().is_none_or(|wanted| wanted == vendor);
    let prices = shelf.book.iter().filter(|price| wanted(&price.vendor)).cloned().map(PriceView);
    Answer(PriceList { prices: prices.collect() })
}

/// Imports one price or many. One of the same model and day is replaced; past charges stay as they
/// are, calls kept as unpriced are charged. Administrators only.
#[utoipa::path(post, path = "/api/v1/prices", tag = "prices", operation_id = "importPrices",
    request_body = Prices,
    responses((status = 200, description = "Kept", body = PricesStored)))]
pub(crate) async fn import(
    State(state): State<Shared>,
    caller: Caller,
    Json(Prices(prices)): Json<Prices, true>,
) -> Result<Answer<PricesStored>, Fault> {
    caller.admin()?;
    let wrong = |error: &dyn std::fmt::Display| Fault::unprocessable("invalid_price", error);
    catalogue::check(&prices).map_err(|error| wrong(&error))?;
    for price in &prices {
        let names = price.aliases.iter().chain([&price.model]);
        for name in names {
            ModelName::parse(name).map_err(|error| wrong(&format!("model {name:?} {error}")))?;
        }
        let texts = [&price.vendor, &price.source];
        if texts.iter().any(|text| text.len() > 2000 || text.chars().any(char::is_control)) {
            return Err(wrong(&"vendor and source must be short and without control characters"));
        }
    }
    let stored = prices.len();
    state.store.put_prices(prices).await?;
    state.prices.reload(&*state.store).await?;
    let message = format!("{stored} prices kept; calls kept as unpriced are charged now");
    Ok(Answer(PricesStored { stored, message }))
}

/// A model's prices, by its name or an alias.
#[utoipa::path(get, path = "/api/v1/prices/{id}", tag = "prices", operation_id = "getPrices",
    params(("id" = String, Path, description = "The model or an alias")),
    responses(
        (status = 200, description = "Its prices, the earliest first", body = PriceList),
        (status = 404, description = "No price of it", body = Problem),
    ))]
pub(crate) async fn show(
    State(state): State<Shared>,
    _: Caller,
    Path(model): Path<String>,
) -> Result<Answer<PriceList>, Fault> {
    let shelf = state.prices.get();
    let name = shelf.book.canonical(&model);
    let prices: Vec<_> =
        shelf.book.iter().filter(|price| price.model == name).cloned().map(PriceView).collect();
    if prices.is_empty() {
        return Err(Fault::not_found(format!("model {model:?} has no price")));
    }
    Ok(Answer(PriceList { prices }))
}
