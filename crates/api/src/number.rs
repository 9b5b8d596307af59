//! Numbers with bounds: amounts, percentages, token counts.

use budget::{Budget, CloudBudget};
use focus::Decimal;
use money::Money;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaFormat, Type},
    },
};

/// US dollars as a JSON number of exact decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Usd(pub Money);

impl From<Money> for Usd {
    fn from(money: Money) -> Self {
        Self(money)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        digits(self.0.to_string(), serializer)
    }
}

fn digits<S: Serializer>(text: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
}

/// Amounts in requests are never negative and at most what a budget may be.
impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Err(D::Error::custom("must be a number of US dollars, such as 12.50"));
        }
        let money: Money = text.parse().map_err(D::Error::custom)?;
        if money.is_negative() || money > Budget::LIMIT_MOST {
            return Err(D::Error::custom("must be between 0 and 1000000000 US dollars"));
        }
        Ok(Self(money))
    }
}

/// Reads an amount of an answer: balances may be beyond what a request may name.
pub(crate) fn answered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Usd, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    raw.get().parse().map(Usd).map_err(D::Error::custom)
}

/// Reads an amount of an answer that may be absent.
pub(crate) fn answered_optional<'de, D>(deserializer: D) -> Result<Option<Usd>, D::Error>
where
    D: Deserializer<'de>,
{
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    raw.map(|raw| raw.get().parse().map(Usd).map_err(D::Error::custom)).transpose()
}

impl PartialSchema for Usd {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::Custom("decimal".to_owned())))
            .description(Some("US dollars, exact to 9 decimals. In requests from 0 to 1000000000."))
            .into()
    }
}

impl ToSchema for Usd {}

/// An amount of any currency as a JSON number of exact decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Decimal);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        digits(self.0.to_string(), serializer)
    }
}

/// Amounts in requests are limits of budgets: never negative and at most what one may be.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let amount = Decimal::parse(raw.get())
            .ok_or_else(|| D::Error::custom("must be a number of at most 18 decimals"))?;
        if amount.is_negative() || amount > CloudBudget::LIMIT_MOST {
            return Err(D::Error::custom("must be between 0 and 1000000000000"));
        }
        Ok(Self(amount))
    }
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::Custom("decimal".to_owned())))
            .description(Some("Exact to 18 decimals. In requests from 0 to 1000000000000."))
            .into()
    }
}

impl ToSchema for Amount {}

/// A percentage with at most two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    /// Hundredths of a percent.
    pub hundredths: i128,
}

impl Percent {
    /// What part `amount` is of `limit`. Of a limit of nothing, anything is 100 % and nothing 0 %.
    pub fn of(amount: Money, limit: Money) -> Self {
        let whole = if amount.nanos() > 0 { 10_000 } else { 0 };
        Self { hundredths: amount.percent_of(limit).unwrap_or(whole) }
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = self.hundredths.saturating_mul(10_000_000);
        std::fmt::Display::fmt(&Money::from_nanos(nanos), f)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        digits(self.to_string(), serializer)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        raw.get().parse().map_err(D::Error::custom)
    }
}

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no percentage with at most two decimals");
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 2 {
            return Err(wrong());
        }
        let hundredths = format!("{whole}{part:0<2}").parse::<i128>().map_err(|_| wrong())?;
        let sign = if digits.len() < text.len() { -1 } else { 1 };
        Ok(Self { hundredths: hundredths * sign })
    }
}

impl PartialSchema for Percent {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::Custom("decimal".to_owned())))
            .description(Some("Percent with at most two decimals."))
            .into()
    }
}

impl ToSchema for Percent {}

/// A count of tokens in a request: a whole number up to a billion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Tokens(pub u64);

impl Tokens {
    /// The most that one call may name.
    pub const MOST: u64 = 1_000_000_000;
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tokens = u64::deserialize(deserializer)?;
        if tokens > Self::MOST {
            return Err(D::Error::custom("must be at most 1000000000 tokens"));
        }
        Ok(Self(tokens))
    }
}

impl PartialSchema for Tokens {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Int64)))
            .minimum(Some(0_u64))
            .maximum(Some(Self::MOST))
            .description(Some("Tokens of one call."))
            .into()
    }
}

impl ToSchema for Tokens {}
