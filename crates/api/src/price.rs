//! `/api/v1/prices`: prices have the shape of the catalogue's files, rates as decimal text in US
//! dollars per million tokens.

use std::fmt;

use money::Price;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{
            AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type,
        },
    },
};

/// Prices at most in one request.
const MOST: usize = 500;

/// One price of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PriceView(pub Price);

/// One price, or many.
#[derive(Debug, Clone)]
pub struct Prices(pub Vec<Price>);

impl<'de> Deserialize<'de> for Prices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

/// Reads on in the same deserializer, so that an error's place in the body is known.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Prices;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price or a list of 1 to 500 prices")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Prices, A::Error> {
        Price::deserialize(MapAccessDeserializer::new(map)).map(|price| Prices(vec![price]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prices, A::Error> {
        let mut prices = Vec::new();
        while let Some(price) = list.next_element()? {
            prices.push(price);
            if prices.len() > MOST {
                return Err(A::Error::custom("must be 1 to 500 prices"));
            }
        }
        if prices.is_empty() {
            return Err(A::Error::custom("must be 1 to 500 prices"));
        }
        Ok(Prices(prices))
    }
}

fn closed() -> ObjectBuilder {
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn rate(description: &str) -> Object {
    text(description).pattern(Some(r"^[0-9]{1,9}(\.[0-9]{1,9})?$")).build()
}

fn rates() -> Object {
    closed()
        .property("input", rate("Prompt tokens, US dollars per million."))
        .property("output", rate("Completion tokens."))
        .property("cache_read", rate("Prompt tokens read from a cache."))
        .property("cache_write_5m", rate("Prompt tokens written to a five-minute cache."))
        .property("cache_write_1h", rate("Prompt tokens written to a one-hour cache."))
        .required("input")
        .required("output")
        .build()
}

fn count() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0_u64))
        .maximum(Some(1_000_000_000_000_u64))
        .build()
}

fn tiers(object: ObjectBuilder) -> ObjectBuilder {
    object
        .property("standard", rates())
        .property("batch", rates())
        .property("priority", rates())
        .property("flex", rates())
        .required("standard")
}

impl PartialSchema for PriceView {
    fn schema() -> RefOr<Schema> {
        let long = tiers(closed().property("above_input_tokens", count()))
            .required("above_input_tokens")
            .build();
        let name =
            |description| text(description).min_length(Some(1)).max_length(Some(200)).build();
        let day = "In force from this day (UTC), `2026-11-24`.";
        tiers(closed())
            .property("model", name("The model's canonical name."))
            .property("vendor", name("Who bills for it."))
            .property("aliases", ArrayBuilder::new().items(name("Another name of the model.")))
            .property("effective_from", text(day).pattern(Some(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")))
            .property("source", text("Where the figures are published.").max_length(Some(2000)))
            .property("max_input_tokens", count())
            .property("max_output_tokens", count())
            .property("long_context", ArrayBuilder::new().items(long))
            .required("model")
            .required("vendor")
            .required("effective_from")
            .required("source")
            .into()
    }
}

impl ToSchema for PriceView {}

impl PartialSchema for Prices {
    fn schema() -> RefOr<Schema> {
        let one = utoipa::openapi::Ref::from_schema_name("PriceView");
        let many = ArrayBuilder::new().items(one.clone()).min_items(Some(1)).max_items(Some(MOST));
        OneOfBuilder::new().item(one).item(many).into()
    }
}

impl ToSchema for Prices {}

/// Which prices.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PriceQuery {
    /// One vendor's.
    pub vendor: Option<String>,
}

/// Prices by vendor, model and day.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceList {
    /// The prices.
    pub prices: Vec<PriceView>,
}

/// Prices are kept; they count within a second.
#[derive(Debug, Serialize, ToSchema)]
pub struct PricesStored {
    /// How many.
    pub stored: usize,
    /// What was done.
    pub message: String,
}
