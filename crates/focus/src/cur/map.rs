//! Column by column.

use super::service::CATEGORY;
use crate::{
    Column,
    Condition::{self, All, Any, Contains, Equal, In, Less, Not, NotNull, Zero},
    Expression::{
        self, Case, Difference, Field, First, Joined, Member, Null, Object, Rewritten, Sum, Text,
    },
    Rewrite,
};

pub(super) const TYPE: &str = "line_item_line_item_type";
pub(super) const PRODUCT: &str = "line_item_product_code";
const PLAN: &str = "savings_plan_savings_plan_a_r_n";
const RESERVATION: &str = "reservation_reservation_a_r_n";
const RESOURCE: &str = "line_item_resource_id";
const COMMITTED: &str = "savings_plan_total_commitment_to_date";
const SPENT: &str = "savings_plan_used_commitment";

/// Usage that a savings plan covers: its unblended cost is what it would have cost without.
pub const COVERED: Condition<&str> = Equal(TYPE, "SavingsPlanCoveredUsage");
/// Rows that take back what covered usage would have cost, so that nobody pays it.
pub const NEGATING: Condition<&str> = Equal(TYPE, "SavingsPlanNegation");
const RESERVED: Condition<&str> = Equal(TYPE, "DiscountedUsage");
const USAGE: Condition<&str> = In(TYPE, &["Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"]);
const PURCHASE: Condition<&str> =
    In(TYPE, &["Fee", "RIFee", "SavingsPlanRecurringFee", "SavingsPlanUpfrontFee"]);
/// What is bought to cover usage: fees of savings plans and of reservations.
const COVERING: Condition<&str> = Any(&[
    In(TYPE, &["RIFee", "SavingsPlanRecurringFee", "SavingsPlanUpfrontFee"]),
    All(&[Equal(TYPE, "Fee"), NotNull(RESERVATION)]),
]);
const PRICED: Condition<&str> = Any(&[USAGE, PURCHASE]);

const RESERVATION_LEFT: Condition<&str> =
    All(&[Equal(TYPE, "RIFee"), Not(&Zero("reservation_unused_quantity"))]);
/// Fees that tell of a commitment that was not used up.
pub(super) const UNUSED: Condition<&str> = Any(&[
    All(&[
        Equal(TYPE, "SavingsPlanRecurringFee"),
        NotNull(SPENT),
        NotNull(COMMITTED),
        Less(SPENT, COMMITTED),
    ]),
    RESERVATION_LEFT,
]);

/// What was invoiced, private discounts included where the report tells them.
pub const INVOICED: Expression =
    First(&[Field("line_item_net_unblended_cost"), Field("line_item_unblended_cost")]);
const BILLED: Expression = Case(&[(COVERED, Text("0"))], &INVOICED);
const PLAN_COST: Expression = First(&[
    Field("savings_plan_net_savings_plan_effective_cost"),
    Field("savings_plan_savings_plan_effective_cost"),
]);
const EFFECTIVE: Expression = Case(
    &[
        (COVERED, PLAN_COST),
        (
            RESERVED,
            First(&[Field("reservation_net_effective_cost"), Field("reservation_effective_cost")]),
        ),
        (COVERING, Text("0")),
    ],
    &INVOICED,
);
const LIST: Expression =
    Case(&[(USAGE, First(&[Field("pricing_public_on_demand_cost"), INVOICED]))], &INVOICED);
/// What a reservation covers has a rate of nothing; before it, the public price was agreed.
const CONTRACTED: Expression =
    Case(&[(RESERVED, LIST), (USAGE, Field("line_item_unblended_cost"))], &INVOICED);

const QUANTITY: Expression = Field("line_item_usage_amount");
/// 2.0 has the legacy reports' `product/region` in its map.
const REGION: Expression =
    First(&[Field("product_region_code"), Field("product_region"), Member("product", "region")]);
const HAS_REGION: Condition<&str> =
    Any(&[NotNull("product_region_code"), NotNull("product_region")]);
const IN_COMMITMENT: Condition<&str> = Any(&[NotNull(PLAN), NotNull(RESERVATION)]);

const fn instant(of: &'static Expression) -> Expression {
    Rewritten(Rewrite::Instant, of)
}

/// The expression, for rows for which the condition holds; null for others.
macro_rules! only {
    ($when:expr, $expression:expr) => {
        Case(&[($when, $expression)], &Null)
    };
}

const COMMITMENT_QUANTITY: Expression = only!(
    IN_COMMITMENT,
    Case(
        &[
            (COVERED, PLAN_COST),
            (Equal(TYPE, "SavingsPlanRecurringFee"), Field(COMMITTED)),
            (PRICED, QUANTITY),
        ],
        &Null,
    )
);
/// Spend is counted in money, use in what is priced.
const COMMITMENT_UNIT: Expression = only!(
    IN_COMMITMENT,
    Case(
        &[
            (
                In(TYPE, &["SavingsPlanCoveredUsage", "SavingsPlanRecurringFee"]),
                Field("line_item_currency_code"),
            ),
            (All(&[PRICED, NotNull("line_item_usage_amount")]), UNIT),
        ],
        &Null,
    )
);
const CONTRACTED_RATE: Expression = Case(
    &[
        (RESERVED, Field("pricing_public_on_demand_rate")),
        (PRICED, Field("line_item_unblended_rate")),
    ],
    &Null,
);

/// What a column of a line item's charge is made of.
pub(super) fn line_item(column: Column) -> Expression {
    use Column as C;
    match column {
        C::BilledCost => BILLED,
        C::ChargeCategory => Case(
            &[
                (USAGE, Text("Usage")),
                (PURCHASE, Text("Purchase")),
                (Equal(TYPE, "Tax"), Text("Tax")),
                (In(TYPE, &["Credit", "Refund"]), Text("Credit")),
            ],
            &Text("Adjustment"),
        ),
        C::ChargeDescription => Field("line_item_line_item_description"),
        C::ChargeFrequency => Case(
            &[
                (USAGE, Text("Usage-Based")),
                (In(TYPE, &["RIFee", "SavingsPlanRecurringFee"]), Text("Recurring")),
            ],
            &Text("One-Time"),
        ),
        C::CommitmentDiscountQuantity => COMMITMENT_QUANTITY,
        C::CommitmentDiscountStatus => only!(Any(&[COVERED, RESERVED]), Text("Used")),
        C::CommitmentDiscountUnit => COMMITMENT_UNIT,
        C::ConsumedQuantity => only!(USAGE, QUANTITY),
        C::ConsumedUnit => only!(All(&[USAGE, NotNull("line_item_usage_amount")]), UNIT),
        C::ContractedCost => CONTRACTED,
        C::ContractedUnitPrice | C::PricingCurrencyContractedUnitPrice => CONTRACTED_RATE,
        C::EffectiveCost | C::PricingCurrencyEffectiveCost => EFFECTIVE,
        C::ListCost => LIST,
        C::ListUnitPrice | C::PricingCurrencyListUnitPrice => {
            only!(USAGE, Field("pricing_public_on_demand_rate"))
        }
        C::PricingCategory => Case(
            &[
                (Any(&[COVERED, RESERVED]), Text("Committed")),
                (All(&[USAGE, Contains("line_item_usage_type", "SpotUsage")]), Text("Dynamic")),
                (PRICED, Text("Standard")),
            ],
            &Null,
        ),
        C::PricingQuantity => only!(PRICED, QUANTITY),
        C::PricingUnit => only!(All(&[PRICED, NotNull("line_item_usage_amount")]), UNIT),
        C::SkuId => only!(PRICED, Field("product_sku")),
        C::SkuMeter => only!(All(&[PRICED, NotNull("product_sku")]), Field("line_item_usage_type")),
        C::SkuPriceId => only!(PRICED, Field("pricing_rate_code")),
        other => common(other),
    }
}

const UNIT: Expression = First(&[Field("pricing_unit"), Text("Units")]);

/// What was left of a commitment: what it cost, and nothing billed.
const LEFT: Expression = Case(
    &[(
        RESERVATION_LEFT,
        Sum(&[
            First(&[
                Field("reservation_net_unused_amortized_upfront_fee_for_billing_period"),
                Field("reservation_unused_amortized_upfront_fee_for_billing_period"),
            ]),
            First(&[
                Field("reservation_net_unused_recurring_fee"),
                Field("reservation_unused_recurring_fee"),
            ]),
        ]),
    )],
    &PLAN_LEFT,
);
const PLAN_LEFT: Expression = Difference(&Field(COMMITTED), &Field(SPENT));

/// What a column of the charge for an unused commitment is made of.
pub(super) fn unused(column: Column) -> Expression {
    use Column as C;
    match column {
        C::BilledCost | C::ListCost | C::ContractedCost => Text("0"),
        C::ChargeCategory => Text("Usage"),
        C::ChargeDescription => Joined(&[
            Text("Unused: "),
            First(&[Field("line_item_line_item_description"), Field(TYPE)]),
        ]),
        C::ChargeFrequency => Text("Usage-Based"),
        C::CommitmentDiscountQuantity => {
            Case(&[(RESERVATION_LEFT, Field("reservation_unused_quantity"))], &PLAN_LEFT)
        }
        C::CommitmentDiscountStatus => Text("Unused"),
        C::CommitmentDiscountUnit => {
            Case(&[(RESERVATION_LEFT, UNIT)], &Field("line_item_currency_code"))
        }
        C::EffectiveCost | C::PricingCurrencyEffectiveCost => LEFT,
        C::PricingCategory => Text("Committed"),
        C::SkuId => Field("product_sku"),
        other => common(other),
    }
}

/// What all charges of a report have in common.
fn common(column: Column) -> Expression {
    use Column as C;
    match column {
        C::AvailabilityZone => Field("line_item_availability_zone"),
        C::BillingAccountId => Field("bill_payer_account_id"),
        C::BillingAccountName => Field("bill_payer_account_name"),
        C::BillingAccountType | C::SubAccountType => account_type(column),
        C::BillingCurrency | C::PricingCurrency => Field("line_item_currency_code"),
        C::BillingPeriodEnd => instant(&Field("bill_billing_period_end_date")),
        C::BillingPeriodStart => instant(&Field("bill_billing_period_start_date")),
        C::ChargePeriodEnd => instant(&Field("line_item_usage_end_date")),
        C::ChargePeriodStart => instant(&Field("line_item_usage_start_date")),
        C::CommitmentDiscountCategory => {
            Case(&[(NotNull(PLAN), Text("Spend")), (NotNull(RESERVATION), Text("Usage"))], &Null)
        }
        C::CommitmentDiscountId => First(&[Field(PLAN), Field(RESERVATION)]),
        C::CommitmentDiscountType => Case(
            &[(NotNull(PLAN), Text("Savings Plan")), (NotNull(RESERVATION), Text("Reserved"))],
            &Null,
        ),
        C::HostProviderName => Text("AWS"),
        C::InvoiceId => Field("bill_invoice_id"),
        C::InvoiceIssuerName => {
            First(&[Field("bill_invoicing_entity"), Field("line_item_legal_entity")])
        }
        C::RegionId => REGION,
        C::RegionName => {
            Case(&[(HAS_REGION, First(&[LOCATION, REGION]))], &Member("product", "region"))
        }
        C::ResourceId => Field(RESOURCE),
        C::ResourceType => only!(
            NotNull(RESOURCE),
            First(&[Field("product_product_family"), Field(PRODUCT), Text("Resource")])
        ),
        C::ServiceCategory => CATEGORY,
        C::ServiceName => First(&[
            Field("product_product_name"),
            Member("product", "product_name"),
            Field(PRODUCT),
        ]),
        // A marketplace's seller provides the service; AWS hosts it.
        C::ServiceProviderName => Case(
            &[(
                Equal("bill_billing_entity", "AWS Marketplace"),
                First(&[Field("line_item_legal_entity"), Text("AWS Marketplace")]),
            )],
            &Text("AWS"),
        ),
        C::ServiceSubcategory => Joined(&[Text("Other ("), CATEGORY, Text(")")]),
        C::SubAccountId => Field("line_item_usage_account_id"),
        C::SubAccountName => Field("line_item_usage_account_name"),
        // 2.0 has a map; legacy reports have a column for each tag.
        C::Tags => First(&[Field("resource_tags"), Object("resource_tags_")]),
        _ => Null,
    }
}

const LOCATION: Expression = First(&[Field("product_location"), Member("product", "location")]);

/// AWS has one type of account that pays and one that uses.
fn account_type(column: Column) -> Expression {
    match column {
        Column::BillingAccountType => Text("Payer Account"),
        _ => only!(NotNull("line_item_usage_account_id"), Text("Account")),
    }
}
