//! The 65 columns of FOCUS 1.4 `CostAndUsage`: what Bursar keeps of every charge.
//!
//! Owns their names, kinds, formats, levels and allowed values, as data. Knows nothing of older
//! versions' columns (`version`) or of what has to hold between columns (`requirement`). Invariant:
//! the table is the published model, in its order; a test compares them.
//!
//! Source: FinOps FOCUS 1.4 Data Model workbook, <https://focus.finops.org>, CC-BY-4.0.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::Version;

mod allowed;
#[cfg(test)]
mod tests;

pub use allowed::SERVICE_SUBCATEGORIES;

/// How a column's values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A string, kept as it is written.
    Text,
    /// A date and time in UTC.
    Instant,
    /// An exact decimal number, never a float.
    Decimal,
    /// A JSON object.
    Json,
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Any text.
    Free,
    /// One of [`Column::allowed`].
    Allowed,
    /// An ISO 4217 code or the name of a virtual currency.
    Currency,
    /// A unit of the specification's `UnitFormat`.
    Unit,
    /// ISO 8601 in UTC, with `Z`.
    Instant,
    /// A decimal number.
    Number,
    /// A decimal number that is not negative.
    NonNegative,
    /// A JSON object whose values are no objects or arrays.
    KeyValue,
    /// A JSON object of any depth.
    Object,
}

impl Format {
    /// How values of this format are kept.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Free | Self::Allowed | Self::Currency | Self::Unit => Kind::Text,
            Self::Instant => Kind::Instant,
            Self::Number | Self::NonNegative => Kind::Decimal,
            Self::KeyValue | Self::Object => Kind::Json,
        }
    }
}

/// Whether a provider has to give a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Always.
    Mandatory,
    /// Where the provider has what the column tells of.
    Conditional,
    /// If it can.
    Recommended,
}

/// No column of FOCUS 1.4 has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("FOCUS 1.4 has no column {0:?}")]
pub struct UnknownColumn(pub String);

macro_rules! columns {
    ($($name:ident: $format:ident, $null:ident, $level:ident, $since:ident;)*) => {
        /// A column of FOCUS 1.4 `CostAndUsage`, named as the specification names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Column {
            $(
                #[doc = concat!("The specification's `", stringify!($name), "`.")]
                $name,
            )*
        }

        impl Column {
            /// All of them, in the model's order: the order of the lake's columns.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            const TABLE: &[Entry] = &[$(Entry {
                name: stringify!($name),
                format_id: concat!(stringify!($name), "-format"),
                null_id: concat!(stringify!($name), "-null"),
                format: Format::$format,
                nullable: nullable!($null),
                level: Level::$level,
                since: Version::$since,
            }),*];
        }
    };
}

macro_rules! nullable {
    (optional) => {
        true
    };
    (required) => {
        false
    };
}

struct Entry {
    name: &'static str,
    format_id: &'static str,
    null_id: &'static str,
    format: Format,
    nullable: bool,
    level: Level,
    since: Version,
}

columns! {
    AllocatedMethodDetails: Object, optional, Recommended, V1_3;
    AllocatedMethodId: Free, optional, Conditional, V1_3;
    AllocatedResourceId: Free, optional, Conditional, V1_3;
    AllocatedResourceName: Free, optional, Conditional, V1_3;
    AllocatedTags: KeyValue, optional, Conditional, V1_3;
    AvailabilityZone: Free, optional, Recommended, V1_0;
    BilledCost: Number, required, Mandatory, V1_0;
    BillingAccountId: Free, required, Mandatory, V1_0;
    BillingAccountName: Free, optional, Mandatory, V1_0;
    BillingAccountType: Free, required, Conditional, V1_2;
    BillingCurrency: Currency, required, Mandatory, V1_0;
    BillingPeriodEnd: Instant, required, Mandatory, V1_0;
    BillingPeriodStart: Instant, required, Mandatory, V1_0;
    CapacityReservationId: Free, optional, Conditional, V1_1;
    CapacityReservationStatus: Allowed, optional, Conditional, V1_1;
    ChargeCategory: Allowed, required, Mandatory, V1_0;
    ChargeClass: Allowed, optional, Mandatory, V1_0;
    ChargeDescription: Free, optional, Mandatory, V1_0;
    ChargeFrequency: Allowed, required, Recommended, V1_0;
    ChargePeriodEnd: Instant, required, Mandatory, V1_0;
    ChargePeriodStart: Instant, required, Mandatory, V1_0;
    CommitmentDiscountCategory: Allowed, optional, Conditional, V1_0;
    CommitmentDiscountId: Free, optional, Conditional, V1_0;
    CommitmentDiscountName: Free, optional, Conditional, V1_0;
    CommitmentDiscountQuantity: Number, optional, Conditional, V1_1;
    CommitmentDiscountStatus: Allowed, optional, Conditional, V1_0;
    CommitmentDiscountType: Free, optional, Conditional, V1_0;
    CommitmentDiscountUnit: Unit, optional, Conditional, V1_1;
    CommitmentProgramEligibilityDetails: Object, optional, Conditional, V1_4;
    ConsumedQuantity: Number, optional, Conditional, V1_0;
    ConsumedUnit: Unit, optional, Conditional, V1_0;
    ContractApplied: Object, optional, Conditional, V1_3;
    ContractedCost: Number, required, Mandatory, V1_0;
    ContractedUnitPrice: NonNegative, optional, Conditional, V1_0;
    EffectiveCost: Number, required, Mandatory, V1_0;
    HostProviderName: Free, optional, Mandatory, V1_3;
    InvoiceDetailId: Free, optional, Conditional, V1_4;
    InvoiceId: Free, optional, Conditional, V1_2;
    InvoiceIssuerName: Free, required, Mandatory, V1_0;
    ListCost: Number, required, Mandatory, V1_0;
    ListUnitPrice: NonNegative, optional, Conditional, V1_0;
    PricingCategory: Allowed, optional, Conditional, V1_0;
    PricingCurrency: Currency, required, Conditional, V1_2;
    PricingCurrencyContractedUnitPrice: NonNegative, optional, Conditional, V1_2;
    PricingCurrencyEffectiveCost: Number, required, Conditional, V1_2;
    PricingCurrencyListUnitPrice: NonNegative, optional, Conditional, V1_2;
    PricingQuantity: Number, optional, Mandatory, V1_0;
    PricingUnit: Unit, optional, Mandatory, V1_0;
    RegionId: Free, optional, Conditional, V1_0;
    RegionName: Free, optional, Conditional, V1_0;
    ResourceId: Free, optional, Conditional, V1_0;
    ResourceName: Free, optional, Conditional, V1_0;
    ResourceType: Free, optional, Conditional, V1_0;
    ServiceCategory: Allowed, required, Mandatory, V1_0;
    ServiceName: Free, required, Mandatory, V1_0;
    ServiceProviderName: Free, required, Mandatory, V1_3;
    ServiceSubcategory: Allowed, required, Recommended, V1_1;
    SkuId: Free, optional, Conditional, V1_0;
    SkuMeter: Free, optional, Conditional, V1_1;
    SkuPriceDetails: KeyValue, optional, Conditional, V1_1;
    SkuPriceId: Free, optional, Conditional, V1_0;
    SubAccountId: Free, optional, Conditional, V1_0;
    SubAccountName: Free, optional, Conditional, V1_0;
    SubAccountType: Free, optional, Conditional, V1_2;
    Tags: KeyValue, optional, Conditional, V1_0;
}

impl Column {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The column's name, in the specification's spelling.
    pub const fn name(self) -> &'static str {
        Self::TABLE[self.index()].name
    }

    /// Its place in [`Column::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The column of this name; letters may be of either case.
    pub fn parse(text: &str) -> Result<Self, UnknownColumn> {
        let found = Self::ALL.iter().find(|column| column.name().eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| UnknownColumn(text.to_owned()))
    }

    /// How its values are kept.
    pub const fn kind(self) -> Kind {
        self.format().kind()
    }

    /// How its values are written.
    pub const fn format(self) -> Format {
        Self::TABLE[self.index()].format
    }

    /// Whether a charge may have no value here.
    pub const fn nullable(self) -> bool {
        Self::TABLE[self.index()].nullable
    }

    /// Whether a provider has to give it.
    pub const fn level(self) -> Level {
        Self::TABLE[self.index()].level
    }

    /// The first version that has it, of those that Bursar reads.
    pub const fn since(self) -> Version {
        Self::TABLE[self.index()].since
    }

    /// The name of the requirement on how its values are written.
    pub(crate) const fn format_id(self) -> &'static str {
        Self::TABLE[self.index()].format_id
    }

    /// The name of the requirement that it has a value.
    pub(crate) const fn null_id(self) -> &'static str {
        Self::TABLE[self.index()].null_id
    }

    /// The only values that it may have; empty where any will do.
    pub const fn allowed(self) -> &'static [&'static str] {
        allowed::values(self)
    }
}

impl FromStr for Column {
    type Err = UnknownColumn;

    fn from_str(text: &str) -> Result<Self, UnknownColumn> {
        Self::parse(text)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
