//! What a report doesn't tell as FOCUS wants it.

use crate::Column;

/// A column that a report can't fill as the specification wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The column.
    pub column: Column,
    /// What is amiss.
    pub text: &'static str,
    /// Whether AWS publishes the gap for its own FOCUS export; the others are the conversion's.
    pub published: bool,
}

const fn aws(column: Column, text: &'static str) -> Gap {
    Gap { column, text, published: true }
}

const fn ours(column: Column, text: &'static str) -> Gap {
    Gap { column, text, published: false }
}

/// All of them.
pub const GAPS: &[Gap] = &[
    aws(Column::ContractedUnitPrice, "null for certain product offerings"),
    aws(Column::InvoiceIssuerName, "null for certain charges"),
    aws(Column::ListUnitPrice, "null for certain product offerings"),
    aws(Column::PricingUnit, "null for certain product offerings"),
    aws(Column::SkuId, "null for certain product offerings"),
    aws(Column::SkuPriceId, "null for certain line items"),
    aws(
        Column::ConsumedQuantity,
        "what was charged, which is more than what was used where a minimum applies",
    ),
    ours(Column::AllocatedMethodDetails, "split cost allocation is told in columns of its own"),
    ours(Column::AllocatedMethodId, "split cost allocation is told in columns of its own"),
    ours(Column::AllocatedResourceId, "split cost allocation is told in columns of its own"),
    ours(Column::AllocatedResourceName, "split cost allocation is told in columns of its own"),
    ours(Column::AllocatedTags, "split cost allocation is told in columns of its own"),
    ours(Column::BillingAccountName, "null in legacy reports, which have no names"),
    ours(Column::CapacityReservationId, "null: reports tell capacity in other terms"),
    ours(Column::CapacityReservationStatus, "null: reports tell capacity in other terms"),
    ours(
        Column::ChargeCategory,
        "refunds are credits and discounts adjustments, each a row of its own where the \
         specification wants them in the rows that they lower",
    ),
    ours(Column::ChargeClass, "null: a report doesn't say which period a refund corrects"),
    ours(Column::CommitmentDiscountName, "null: commitments have no names in reports"),
    ours(Column::CommitmentProgramEligibilityDetails, "null: not told"),
    ours(Column::ContractApplied, "null: not told"),
    ours(Column::InvoiceDetailId, "null: not told"),
    ours(Column::ListCost, "what was billed where no public price is told"),
    ours(Column::RegionName, "the region's id where no location is told"),
    ours(Column::ResourceName, "null: not told"),
    ours(Column::ResourceType, "the product's family, which is coarser than the type"),
    ours(Column::ServiceCategory, "Other for services that the table doesn't know"),
    ours(Column::ServiceSubcategory, "always the category's Other"),
    ours(Column::SkuPriceDetails, "null: the product's properties stay in custom columns"),
    ours(Column::SubAccountName, "null in legacy reports, which have no names"),
];
