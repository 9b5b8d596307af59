//! What has to hold between the columns of one row.
//!
//! Where the specification's own rule is known by id (`CAU-…`), the text ends with it.

use super::{Requirement, Severity};
use crate::{
    Column::{
        self, BilledCost, BillingAccountId, BillingAccountType, BillingCurrency, BillingPeriodEnd,
        BillingPeriodStart, CapacityReservationId, CapacityReservationStatus, ChargeCategory,
        ChargeClass, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart,
        CommitmentDiscountCategory, CommitmentDiscountId, CommitmentDiscountName,
        CommitmentDiscountQuantity, CommitmentDiscountStatus, CommitmentDiscountType,
        CommitmentDiscountUnit, ConsumedQuantity, ConsumedUnit, ContractedCost,
        ContractedUnitPrice, EffectiveCost, ListCost, ListUnitPrice, PricingCategory,
        PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
        PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, RegionId, RegionName,
        ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceSubcategory, SkuId,
        SkuMeter, SkuPriceDetails, SkuPriceId, SubAccountId, SubAccountName, SubAccountType,
    },
    Condition::{self, All, Always, Any, Equal, EqualNumbers, In, Less, Not, NotNull, Null, Zero},
    SERVICE_SUBCATEGORIES,
};

/// A usage or a purchase that corrects nothing: what most rules on prices are about.
const PRICED: Condition =
    All(&[In(ChargeCategory, &["Usage", "Purchase"]), Not(&Equal(ChargeClass, "Correction"))]);
const USAGE: Condition = Equal(ChargeCategory, "Usage");
const PURCHASE: Condition = Equal(ChargeCategory, "Purchase");
const TAX: Condition = Equal(ChargeCategory, "Tax");
const UNUSED: Condition = Equal(CommitmentDiscountStatus, "Unused");

const fn must(
    id: &'static str,
    columns: &'static [Column],
    when: Condition,
    then: Condition,
    text: &'static str,
) -> Requirement {
    Requirement { id, columns, when, then, text, severity: Severity::Must }
}

const fn should(
    id: &'static str,
    columns: &'static [Column],
    when: Condition,
    then: Condition,
    text: &'static str,
) -> Requirement {
    Requirement { id, columns, when, then, text, severity: Severity::Should }
}

/// All of them.
pub(super) fn requirements() -> impl Iterator<Item = &'static Requirement> {
    [TIMES, COSTS, TAXES, PRICES, SKUS, UNITS, PARTS, USED, COMMITMENTS].into_iter().flatten()
}

const TIMES: &[Requirement] = &[
    must(
        "BillingPeriodEnd-order",
        &[BillingPeriodEnd, BillingPeriodStart],
        Always,
        Less(BillingPeriodStart, BillingPeriodEnd),
        "a billing period ends after it starts",
    ),
    must(
        "ChargePeriodEnd-order",
        &[ChargePeriodEnd, ChargePeriodStart],
        Always,
        Less(ChargePeriodStart, ChargePeriodEnd),
        "a charge period ends after it starts",
    ),
];

const COSTS: &[Requirement] = &[
    must(
        "ListCost-product",
        &[ListCost, ListUnitPrice, PricingQuantity],
        All(&[NotNull(ListUnitPrice), NotNull(PricingQuantity)]),
        Condition::Product { product: ListCost, factors: [ListUnitPrice, PricingQuantity] },
        "ListCost is ListUnitPrice × PricingQuantity (CAU-ListCost-C-011)",
    ),
    must(
        "ContractedCost-product",
        &[ContractedCost, ContractedUnitPrice, PricingQuantity],
        All(&[NotNull(ContractedUnitPrice), NotNull(PricingQuantity)]),
        Condition::Product {
            product: ContractedCost,
            factors: [ContractedUnitPrice, PricingQuantity],
        },
        "ContractedCost is ContractedUnitPrice × PricingQuantity (CAU-ContractedCost-C-011)",
    ),
    must(
        "EffectiveCost-billed",
        &[EffectiveCost, BilledCost, ChargeCategory],
        In(ChargeCategory, &["Tax", "Credit"]),
        EqualNumbers(EffectiveCost, BilledCost),
        "EffectiveCost is BilledCost for taxes and credits (CAU-EffectiveCost-C-017)",
    ),
    must(
        "EffectiveCost-purchase",
        &[EffectiveCost, ChargeCategory, CommitmentDiscountId],
        All(&[PURCHASE, NotNull(CommitmentDiscountId)]),
        Zero(EffectiveCost),
        "EffectiveCost is 0 for the purchase of what covers other charges",
    ),
    should(
        "BilledCost-covered",
        &[BilledCost, ChargeCategory, CommitmentDiscountStatus],
        All(&[USAGE, In(CommitmentDiscountStatus, &["Used", "Unused"])]),
        Zero(BilledCost),
        "BilledCost is 0 for usage that a commitment covers, which is billed by its purchase",
    ),
    should(
        "PricingCurrencyEffectiveCost-same",
        &[PricingCurrencyEffectiveCost, EffectiveCost, PricingCurrency, BillingCurrency],
        Condition::Same(PricingCurrency, BillingCurrency),
        EqualNumbers(PricingCurrencyEffectiveCost, EffectiveCost),
        "PricingCurrencyEffectiveCost is EffectiveCost where both are in one currency",
    ),
];

macro_rules! null_for_tax {
    ($($column:ident),*) => {&[$(must(
        concat!(stringify!($column), "-tax"),
        &[$column, ChargeCategory],
        TAX,
        Null($column),
        concat!(stringify!($column), " is null for taxes"),
    )),*]};
}

const TAXES: &[Requirement] = null_for_tax![
    SkuId,
    SkuPriceId,
    PricingCategory,
    PricingQuantity,
    ListUnitPrice,
    ContractedUnitPrice
];

macro_rules! told_when_priced {
    ($($column:ident),*) => {&[$(must(
        concat!(stringify!($column), "-priced"),
        &[$column, ChargeCategory, ChargeClass],
        PRICED,
        NotNull($column),
        concat!(stringify!($column), " has a value for usage and purchases, but for corrections"),
    )),*]};
}

const PRICES: &[Requirement] = told_when_priced![
    SkuId,
    SkuPriceId,
    PricingCategory,
    PricingQuantity,
    ListUnitPrice,
    ContractedUnitPrice
];

/// Where a row has no SKU price, these have no value. Rows of [`PRICED`] must have one, and are
/// told so by `SkuPriceId-priced`; to want their quantities null as well would be no help.
macro_rules! null_without_price {
    ($($column:ident),*) => {[$(must(
        concat!(stringify!($column), "-unpriced"),
        &[$column, SkuPriceId, ChargeCategory, ChargeClass],
        All(&[Null(SkuPriceId), Not(&PRICED)]),
        Null($column),
        concat!(stringify!($column), " is null where SkuPriceId is"),
    )),*]};
}

const UNPRICED: [Requirement; 9] = null_without_price![
    ListUnitPrice,
    ContractedUnitPrice,
    PricingCurrencyListUnitPrice,
    PricingCurrencyContractedUnitPrice,
    PricingCategory,
    PricingQuantity,
    ConsumedQuantity,
    CommitmentDiscountQuantity,
    SkuPriceDetails
];

const SKUS: &[Requirement] = &{
    let [a, b, c, d, e, f, g, h, i] = UNPRICED;
    [
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        must(
            "SkuId-parent",
            &[SkuId, SkuPriceId],
            NotNull(SkuPriceId),
            NotNull(SkuId),
            "a SKU price belongs to a SKU",
        ),
        must(
            "ListUnitPrice-sku",
            &[ListUnitPrice, SkuPriceId],
            NotNull(SkuPriceId),
            NotNull(ListUnitPrice),
            "ListUnitPrice has a value where SkuPriceId has (CAU-ListUnitPrice-C-013)",
        ),
        must(
            "ContractedUnitPrice-sku",
            &[ContractedUnitPrice, SkuPriceId],
            NotNull(SkuPriceId),
            NotNull(ContractedUnitPrice),
            "ContractedUnitPrice has a value where SkuPriceId has \
             (CAU-ContractedUnitPrice-C-015)",
        ),
        must(
            "SkuMeter-sku",
            &[SkuMeter, SkuId],
            Null(SkuId),
            Null(SkuMeter),
            "SkuMeter is null where SkuId is",
        ),
        must(
            "ServiceSubcategory-parent",
            &[ServiceSubcategory, ServiceCategory],
            NotNull(ServiceSubcategory),
            Condition::Paired {
                part: ServiceSubcategory,
                of: ServiceCategory,
                table: &SERVICE_SUBCATEGORIES,
            },
            "a service's subcategory belongs to its category",
        ),
    ]
};

/// Two columns of which both have a value or neither.
macro_rules! together {
    ($($column:ident with $other:ident),*) => {&[$(must(
        concat!(stringify!($column), "-pair"),
        &[$column, $other],
        Any(&[NotNull($column), NotNull($other)]),
        All(&[NotNull($column), NotNull($other)]),
        concat!(stringify!($column), " has a value where ", stringify!($other), " has, \
            and only there"),
    )),*]};
}

const UNITS: &[Requirement] = together![
    PricingUnit with PricingQuantity,
    ConsumedUnit with ConsumedQuantity,
    CommitmentDiscountUnit with CommitmentDiscountQuantity,
    CommitmentDiscountCategory with CommitmentDiscountId,
    CommitmentDiscountType with CommitmentDiscountId,
    RegionName with RegionId,
    ResourceType with ResourceId,
    SubAccountType with SubAccountId,
    BillingAccountType with BillingAccountId
];

/// Columns that tell of another and are null where that is.
macro_rules! only_with {
    ($($column:ident of $other:ident),*) => {&[$(must(
        concat!(stringify!($column), "-without"),
        &[$column, $other],
        Null($other),
        Null($column),
        concat!(stringify!($column), " is null where ", stringify!($other), " is"),
    )),*]};
}

const PARTS: &[Requirement] = only_with![
    CapacityReservationStatus of CapacityReservationId,
    CommitmentDiscountName of CommitmentDiscountId,
    CommitmentDiscountQuantity of CommitmentDiscountId,
    CommitmentDiscountStatus of CommitmentDiscountId,
    ResourceName of ResourceId,
    SubAccountName of SubAccountId
];

const USED: &[Requirement] = &[
    must(
        "ConsumedQuantity-usage",
        &[ConsumedQuantity, ChargeCategory],
        Any(&[Not(&USAGE), UNUSED]),
        Null(ConsumedQuantity),
        "ConsumedQuantity is null but for usage that took place",
    ),
    must(
        "ConsumedQuantity-told",
        &[ConsumedQuantity, ChargeCategory, ChargeClass],
        All(&[USAGE, PRICED, Not(&UNUSED)]),
        NotNull(ConsumedQuantity),
        "ConsumedQuantity has a value for usage that took place, but for corrections",
    ),
    must(
        "CapacityReservationStatus-usage",
        &[CapacityReservationStatus, CapacityReservationId, ChargeCategory],
        All(&[USAGE, NotNull(CapacityReservationId)]),
        NotNull(CapacityReservationStatus),
        "usage of a capacity reservation tells whether it was used",
    ),
    must(
        "ChargeFrequency-purchase",
        &[ChargeFrequency, ChargeCategory],
        PURCHASE,
        Not(&Equal(ChargeFrequency, "Usage-Based")),
        "a purchase is not usage-based",
    ),
];

const COMMITMENTS: &[Requirement] = &[
    must(
        "CommitmentDiscountStatus-usage",
        &[CommitmentDiscountStatus, CommitmentDiscountId, ChargeCategory],
        All(&[USAGE, NotNull(CommitmentDiscountId)]),
        NotNull(CommitmentDiscountStatus),
        "usage of a commitment tells whether it was used",
    ),
    must(
        "CommitmentDiscountStatus-unused",
        &[CommitmentDiscountStatus, ChargeCategory],
        UNUSED,
        USAGE,
        "what a commitment left unused is told as usage",
    ),
    must(
        "CommitmentDiscountQuantity-told",
        &[CommitmentDiscountQuantity, CommitmentDiscountId, ChargeCategory, ChargeClass],
        All(&[PRICED, NotNull(CommitmentDiscountId)]),
        NotNull(CommitmentDiscountQuantity),
        "CommitmentDiscountQuantity has a value for a commitment's usage and purchase",
    ),
    must(
        "CommitmentDiscountQuantity-other",
        &[CommitmentDiscountQuantity, ChargeCategory],
        Not(&In(ChargeCategory, &["Usage", "Purchase"])),
        Null(CommitmentDiscountQuantity),
        "CommitmentDiscountQuantity is null but for usage and purchases",
    ),
    must(
        "PricingCategory-commitment",
        &[PricingCategory, CommitmentDiscountId],
        Equal(PricingCategory, "Committed"),
        NotNull(CommitmentDiscountId),
        "a committed price names its commitment",
    ),
    must(
        "PricingCategory-purchase",
        &[PricingCategory, CommitmentDiscountId, ChargeCategory],
        All(&[PURCHASE, NotNull(CommitmentDiscountId)]),
        Not(&Equal(PricingCategory, "Committed")),
        "a commitment is not bought at a committed price",
    ),
];
