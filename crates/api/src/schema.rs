//! Schemas of values that come from other crates, and the model that may be "all".

use budget::{CloudBudget, Enforcement, Overflow, State, Tier};
use focus::ModelName;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::openapi::{
    KnownFormat, Object,
    schema::{ObjectBuilder, SchemaFormat, SchemaType, Type},
};

/// A model's name, or `*` for all models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOrAll(pub Option<ModelName>);

impl<'de> Deserialize<'de> for ModelOrAll {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "*" {
            return Ok(Self(None));
        }
        ModelName::parse(&text).map(|name| Self(Some(name))).map_err(D::Error::custom)
    }
}

fn name(most: usize, nullable: bool, description: &str) -> Object {
    let kind: SchemaType = if nullable {
        SchemaType::from_iter([Type::String, Type::Null])
    } else {
        Type::String.into()
    };
    ObjectBuilder::new()
        .schema_type(kind)
        .min_length(Some(1))
        .max_length(Some(most))
        .pattern(Some(r"^[^\s\x00-\x1f\x7f-\x9f]+$"))
        .description(Some(description))
        .build()
}

pub(crate) fn tenant() -> Object {
    name(128, false, "The tenant that pays.")
}

pub(crate) fn tenant_optional() -> Object {
    name(128, true, "One tenant's.")
}

pub(crate) fn model() -> Object {
    name(200, false, "The model as its vendor names it, or an alias.")
}

pub(crate) fn model_optional() -> Object {
    name(200, true, "The model as its vendor names it, or an alias.")
}

pub(crate) fn model_or_all() -> Object {
    name(200, false, "A model, or `*` for all models.")
}

pub(crate) fn user_optional() -> Object {
    name(128, true, "A person or service within the tenant.")
}

pub(crate) fn report_type_optional() -> Object {
    name(64, true, "What the call was made for.")
}

pub(crate) fn timestamp() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

pub(crate) fn date() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .description(Some("A calendar date, `2026-11-24`."))
        .build()
}

pub(crate) fn words(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.to_vec())).build()
}

pub(crate) fn words_optional(words: &[&str]) -> Object {
    let values = words.iter().map(|word| serde_json::Value::from(*word));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(values.chain([serde_json::Value::Null]).collect::<Vec<_>>()))
        .build()
}

pub(crate) fn service_tier() -> Object {
    words_optional(&["standard", "batch", "priority", "flex"])
}

pub(crate) fn period() -> Object {
    words(&["day", "week", "month", "quarter", "year", "custom"])
}

pub(crate) fn period_optional() -> Object {
    words_optional(&["day", "week", "month", "quarter", "year", "custom"])
}

pub(crate) fn cloud_budget_name() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(CloudBudget::NAME_MOST))
        .pattern(Some(r"^[^/\\\x00-\x1f\x7f-\x9f]+$"))
        .description(Some("Without spaces around it; there is one of each name."))
        .build()
}

pub(crate) fn cloud_period() -> Object {
    words(&["month", "quarter", "year"])
}

pub(crate) fn cloud_period_optional() -> Object {
    words_optional(&["month", "quarter", "year"])
}

pub(crate) fn basis() -> Object {
    words(&["billed", "effective", "list", "contracted"])
}

pub(crate) fn basis_optional() -> Object {
    words_optional(&["billed", "effective", "list", "contracted"])
}

pub(crate) fn enforcement() -> Object {
    words(&["hard", "shadow"])
}

pub(crate) fn enforcement_optional() -> Object {
    words_optional(&["hard", "shadow"])
}

pub(crate) fn overflow() -> Object {
    words(&OVERFLOWS)
}

pub(crate) fn overflow_optional() -> Object {
    words_optional(&OVERFLOWS)
}

pub(crate) fn resolution() -> Object {
    words(&["charge", "release"])
}

pub(crate) fn state() -> Object {
    words(&State::ALL.map(State::as_str))
}

pub(crate) fn state_optional() -> Object {
    words_optional(&State::ALL.map(State::as_str))
}

pub(crate) fn tier_optional() -> Object {
    words_optional(
        &[Tier::Starter, Tier::Professional, Tier::Enterprise, Tier::Custom].map(Tier::as_str),
    )
}

const OVERFLOWS: [&str; 3] = ["refuse", "clamp", "fallback"];

pub(crate) const fn overflow_word(overflow: &Overflow) -> &'static str {
    match overflow {
        Overflow::Refuse => OVERFLOWS[0],
        Overflow::Clamp => OVERFLOWS[1],
        Overflow::Fallback(_) => OVERFLOWS[2],
    }
}

pub(crate) const fn enforcement_word(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Hard => "hard",
        Enforcement::Shadow => "shadow",
    }
}
