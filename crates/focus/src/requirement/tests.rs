use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

type Values = HashMap<Column, String>;

impl Row for Values {
    fn text(&self, column: Column) -> Option<&str> {
        self.get(&column).map(String::as_str)
    }
}

/// A row that keeps everything: an hour of a virtual machine.
fn good() -> Values {
    use Column as C;
    [
        (C::BilledCost, "0.50"),
        (C::BillingAccountId, "1234"),
        (C::BillingAccountName, "Main"),
        (C::BillingAccountType, "Billing account"),
        (C::BillingCurrency, "USD"),
        (C::BillingPeriodEnd, "2026-11-01T00:00:00Z"),
        (C::BillingPeriodStart, "2026-10-01T00:00:00Z"),
        (C::ChargeCategory, "Usage"),
        (C::ChargeDescription, "m5.large in us-east-1"),
        (C::ChargeFrequency, "Usage-Based"),
        (C::ChargePeriodEnd, "2026-10-01T01:00:00Z"),
        (C::ChargePeriodStart, "2026-10-01T00:00:00Z"),
        (C::ConsumedQuantity, "1"),
        (C::ConsumedUnit, "Hours"),
        (C::ContractedCost, "0.5"),
        (C::ContractedUnitPrice, "0.5"),
        (C::EffectiveCost, "0.5"),
        (C::HostProviderName, "AWS"),
        (C::InvoiceIssuerName, "Amazon Web Services, Inc."),
        (C::ListCost, "0.6"),
        (C::ListUnitPrice, "0.6"),
        (C::PricingCategory, "Standard"),
        (C::PricingCurrency, "USD"),
        (C::PricingCurrencyEffectiveCost, "0.5"),
        (C::PricingQuantity, "1.0"),
        (C::PricingUnit, "Hours"),
        (C::RegionId, "us-east-1"),
        (C::RegionName, "US East (N. Virginia)"),
        (C::ResourceId, "i-1"),
        (C::ResourceType, "Virtual Machine"),
        (C::ServiceCategory, "Compute"),
        (C::ServiceName, "Amazon EC2"),
        (C::ServiceProviderName, "AWS"),
        (C::ServiceSubcategory, "Virtual Machines"),
        (C::SkuId, "S"),
        (C::SkuPriceId, "S.P"),
        (C::SubAccountId, "5678"),
        (C::SubAccountName, "Team"),
        (C::SubAccountType, "Account"),
        (C::Tags, r#"{"env": "prod"}"#),
    ]
    .map(|(column, text)| (column, text.to_owned()))
    .into()
}

fn broken(row: &Values) -> Vec<&'static str> {
    let faults = all().iter().filter(|requirement| !check(row, requirement));
    faults.map(|requirement| requirement.id).collect()
}

#[test]
fn ids_are_unique_and_begin_with_the_column_at_fault() {
    let mut seen = HashSet::new();
    for requirement in all() {
        assert!(seen.insert(requirement.id), "{} stands twice", requirement.id);
        let (column, _) = requirement.id.split_once('-').unwrap();
        assert_eq!(Column::parse(column), Ok(requirement.columns[0]));
        assert_eq!(find(requirement.id), Some(requirement));
        let reads = [requirement.when.reads(), requirement.then.reads()].concat();
        assert!(requirement.columns.iter().all(|c| reads.contains(c)), "{}", requirement.id);
    }
    assert!(find("ListCost").is_none());
}

#[test]
fn a_good_row_keeps_all_of_them() {
    assert_eq!(broken(&good()), [""; 0]);
}

/// What a change of the good row breaks.
type Fault = (&'static [(Column, Option<&'static str>)], &'static [&'static str]);
const FAULTS: &[Fault] = {
    use Column as C;
    &[
        (&[(C::BilledCost, None)], &["BilledCost-null"]),
        (&[(C::BilledCost, Some("$1"))], &["BilledCost-format"]),
        (&[(C::BillingCurrency, Some("usd"))], &["BillingCurrency-format"]),
        (&[(C::ChargePeriodEnd, Some("2026-10-01 01:00:00"))], &["ChargePeriodEnd-format"]),
        (&[(C::ChargePeriodEnd, Some("2026-10-01T00:00:00Z"))], &["ChargePeriodEnd-order"]),
        (&[(C::BillingPeriodEnd, Some("2026-09-01T00:00:00Z"))], &["BillingPeriodEnd-order"]),
        (&[(C::ListCost, Some("0.61"))], &["ListCost-product"]),
        (&[(C::ContractedCost, Some("0.51"))], &["ContractedCost-product"]),
        (&[(C::ServiceSubcategory, Some("Containers"))], &[]),
        (&[(C::ServiceSubcategory, Some("Caching"))], &["ServiceSubcategory-parent"]),
        (&[(C::PricingUnit, None)], &["PricingUnit-pair"]),
        (&[(C::ConsumedUnit, None)], &["ConsumedUnit-pair"]),
        (&[(C::ConsumedQuantity, None)], &["ConsumedUnit-pair", "ConsumedQuantity-told"]),
        (&[(C::RegionId, None)], &["RegionName-pair"]),
        (
            &[(C::ResourceName, Some("web")), (C::ResourceId, None), (C::ResourceType, None)],
            &["ResourceName-without"],
        ),
        (&[(C::Tags, Some(r#"{"a": 1, "a": 2}"#))], &["Tags-format"]),
        (&[(C::ChargeClass, Some("Refund"))], &["ChargeClass-format"]),
        (&[(C::SkuPriceId, None)], &["SkuPriceId-priced"]),
        (&[(C::SkuId, None)], &["SkuId-priced", "SkuId-parent"]),
        (
            &[(C::ChargeClass, Some("Correction")), (C::SkuPriceId, None)],
            &[
                "ListUnitPrice-unpriced",
                "ContractedUnitPrice-unpriced",
                "PricingCategory-unpriced",
                "PricingQuantity-unpriced",
                "ConsumedQuantity-unpriced",
            ],
        ),
        (&[(C::ListUnitPrice, None)], &["ListUnitPrice-priced", "ListUnitPrice-sku"]),
        (&[(C::PricingCategory, Some("Committed"))], &["PricingCategory-commitment"]),
        (
            &[(C::ChargeCategory, Some("Purchase"))],
            &["ConsumedQuantity-usage", "ChargeFrequency-purchase"],
        ),
        (&[(C::CapacityReservationId, Some("cr"))], &["CapacityReservationStatus-usage"]),
        (&[(C::PricingCurrencyEffectiveCost, Some("1"))], &["PricingCurrencyEffectiveCost-same"]),
        (
            &[(C::CommitmentDiscountId, Some("sp"))],
            &[
                "CommitmentDiscountCategory-pair",
                "CommitmentDiscountType-pair",
                "CommitmentDiscountStatus-usage",
                "CommitmentDiscountQuantity-told",
            ],
        ),
        (
            &[
                (C::ChargeCategory, Some("Credit")),
                (C::BilledCost, Some("-1")),
                (C::ConsumedQuantity, None),
                (C::ConsumedUnit, None),
            ],
            &["EffectiveCost-billed"],
        ),
    ]
};

#[test]
fn each_fault_breaks_what_tells_of_it_and_nothing_else() {
    for (changes, expected) in FAULTS {
        let mut row = good();
        for (column, text) in *changes {
            match text {
                Some(text) => row.insert(*column, (*text).to_owned()),
                None => row.remove(column),
            };
        }
        assert_eq!(broken(&row), *expected, "{changes:?}");
    }
}

#[test]
fn a_tax_has_no_prices() {
    let mut row = good();
    row.insert(Column::ChargeCategory, "Tax".to_owned());
    let ids = broken(&row);
    for column in ["SkuId", "SkuPriceId", "PricingCategory", "PricingQuantity", "ListUnitPrice"] {
        assert!(ids.contains(&format!("{column}-tax").as_str()), "{column}");
    }
}

#[test]
fn a_bill_is_not_asked_for_columns_that_it_has_not() {
    let has = |column: Column| column != Column::PricingQuantity;
    let asked = asked(has);
    assert!(asked.iter().all(|requirement| requirement.columns.iter().all(|c| has(*c))));
    assert!(!asked.iter().any(|requirement| requirement.id == "ListCost-product"));
}

#[test]
fn a_fault_is_explained_with_the_values() {
    let mut row = good();
    row.insert(Column::ListCost, "0.61".to_owned());
    row.insert(Column::BilledCost, "$1".to_owned());
    assert_eq!(
        find("ListCost-product").unwrap().explain(&row),
        "ListCost is ListUnitPrice × PricingQuantity (CAU-ListCost-C-011): ListCost is \"0.61\", \
         ListUnitPrice is \"0.6\", PricingQuantity is \"1.0\""
    );
    assert_eq!(
        find("BilledCost-format").unwrap().explain(&row),
        "a number is written as -1.5 or 1.5E-7 (NumericFormat): BilledCost is \"$1\", which is \
         no number"
    );
}

fn any_value(column: Column) -> BoxedStrategy<Option<String>> {
    let own = good().remove(&column).unwrap_or_else(|| "1".to_owned());
    let mut texts = vec![own, "0".to_owned(), "-1E400".to_owned(), "x".to_owned(), "{}".to_owned()];
    texts.extend(column.allowed().iter().take(3).map(|text| (*text).to_owned()));
    prop::option::of(prop::sample::select(texts)).boxed()
}

proptest! {
    /// A requirement reads its own columns and no other: a change elsewhere can't break it.
    #[test]
    fn a_requirement_depends_on_what_it_reads(
        values in Column::ALL.iter().map(|c| any_value(*c)).collect::<Vec<_>>(),
        other in Column::ALL.iter().map(|c| any_value(*c)).collect::<Vec<_>>(),
    ) {
        let row = |values: &[Option<String>]| -> Values {
            let all = Column::ALL.iter().zip(values);
            all.filter_map(|(column, text)| Some((*column, text.clone()?))).collect()
        };
        let (row, other) = (row(&values), row(&other));
        for requirement in all() {
            let reads = [requirement.when.reads(), requirement.then.reads()].concat();
            let mut mixed = other.clone();
            mixed.retain(|column, _| !reads.contains(column));
            let own = row.iter().filter(|(column, _)| reads.contains(column));
            mixed.extend(own.map(|(column, text)| (*column, text.clone())));
            prop_assert_eq!(check(&mixed, requirement), check(&row, requirement));
            prop_assert!(!requirement.explain(&row).contains('\n'));
        }
    }
}
