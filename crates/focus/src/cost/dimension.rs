//! What costs are told apart by.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::Column;

/// No such dimension.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no dimension; use provider, account, subaccount, tenant, service, category, region, \
     charge, sku, resource, day, month, tag:NAME or a FOCUS column"
)]
pub struct UnknownDimension(String);

/// What lines are made by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The day that charges began on.
    Day,
    /// The billing period.
    Month,
    /// A column of FOCUS.
    Column(Column),
    /// A custom column.
    Custom(String),
    /// The value of a tag.
    Tag(String),
}

impl FromStr for Dimension {
    type Err = UnknownDimension;

    fn from_str(text: &str) -> Result<Self, UnknownDimension> {
        let column = match text.to_ascii_lowercase().as_str() {
            "day" => return Ok(Self::Day),
            "month" => return Ok(Self::Month),
            "provider" => Column::ServiceProviderName,
            "account" => Column::BillingAccountId,
            "subaccount" | "tenant" => Column::SubAccountId,
            "service" => Column::ServiceName,
            "category" => Column::ServiceCategory,
            "region" => Column::RegionId,
            "charge" => Column::ChargeCategory,
            "sku" => Column::SkuId,
            "resource" => Column::ResourceId,
            _ => {
                if let Some(tag) = text.strip_prefix("tag:").filter(|tag| !tag.is_empty()) {
                    return Ok(Self::Tag(tag.to_owned()));
                }
                if text.len() > 2
                    && text.is_char_boundary(2)
                    && text[..2].eq_ignore_ascii_case("x_")
                {
                    return Ok(Self::Custom(text.to_owned()));
                }
                Column::parse(text).map_err(|_| UnknownDimension(text.to_owned()))?
            }
        };
        Ok(Self::Column(column))
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day => f.write_str("ChargeDay"),
            Self::Month => f.write_str("Month"),
            Self::Column(column) => f.write_str(column.name()),
            Self::Custom(name) => f.write_str(name),
            Self::Tag(name) => write!(f, "tag:{name}"),
        }
    }
}
