use std::collections::HashMap;

use super::*;
use crate::{Fields, Row};

struct Source(HashMap<&'static str, String>);

impl Row<&'static str> for Source {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Fields for Source {
    fn starting(&self, _: &str) -> Vec<(&str, &str)> {
        Vec::new()
    }
}

/// A row in which every column of the version has its own name for a value.
fn named(version: Version) -> Source {
    let columns = version.columns().map(Column::name);
    let former = version.former().map(Former::name);
    Source(columns.chain(former).map(|name| (name, format!("<{name}>"))).collect())
}

fn upgraded(version: Version, source: &Source, column: Column) -> Option<String> {
    rule(version, column).expression().text(source)
}

#[test]
fn every_column_of_every_version_comes_from_where_the_rule_says() {
    for version in Version::ALL {
        let source = named(*version);
        for column in Column::ALL {
            let upgrade = rule(*version, *column);
            assert!(!upgrade.reason.is_empty());
            let expected = match column {
                Column::ServiceProviderName | Column::HostProviderName
                    if *version < Version::V1_3 =>
                {
                    Some("<ProviderName>".to_owned())
                }
                Column::ServiceSubcategory if *version < Version::V1_1 => {
                    Some("Other (<ServiceCategory>)".to_owned())
                }
                Column::PricingCurrency if *version < Version::V1_2 => {
                    Some("<BillingCurrency>".to_owned())
                }
                Column::PricingCurrencyEffectiveCost if *version < Version::V1_2 => {
                    Some("<EffectiveCost>".to_owned())
                }
                column if column.since() <= *version => Some(format!("<{column}>")),
                _ => None,
            };
            assert_eq!(upgraded(*version, &source, *column), expected, "{version} {column}");
        }
    }
}

#[test]
fn every_rule_reads_columns_that_its_version_has() {
    for version in Version::ALL {
        let known = named(*version).0;
        for column in Column::ALL {
            let upgrade = rule(*version, *column);
            let reads = upgrade.expression().reads();
            match upgrade.rule {
                Rule::Derived(_) => assert!(reads.iter().any(|name| known.contains_key(name))),
                Rule::Null => assert!(reads.is_empty()),
                Rule::Same | Rule::From(_) => assert!(known.contains_key(reads[0])),
            }
        }
    }
}

#[test]
fn every_category_has_the_subcategory_that_stands_for_the_untold() {
    for category in Column::ServiceCategory.allowed() {
        let source = Source([("ServiceCategory", (*category).to_owned())].into());
        let other = upgraded(Version::V1_0, &source, Column::ServiceSubcategory).unwrap();
        assert!(Column::ServiceSubcategory.allowed().contains(&other.as_str()), "{other}");
    }
}

#[test]
fn an_amount_in_another_currency_is_not_made_up() {
    let mut source = named(Version::V1_2);
    source.0.remove("PricingCurrencyEffectiveCost");
    let cost =
        |source: &Source| upgraded(Version::V1_2, source, Column::PricingCurrencyEffectiveCost);
    assert_eq!(cost(&source), None);
    source.0.insert("PricingCurrency", "<BillingCurrency>".to_owned());
    assert_eq!(cost(&source).as_deref(), Some("<EffectiveCost>"));
}

#[test]
fn custom_and_former_columns_are_kept() {
    let header = ["ProviderName", "x_Team", "BilledCost", "PublisherName", "Id", "X_Ops"];
    let plan = plan(&header, &Version::detect(&header));
    assert_eq!(plan.columns.len(), Column::COUNT);
    let kept: Vec<_> = plan.kept.iter().map(|(at, name)| (*at, name.as_str())).collect();
    assert_eq!(kept, [(0, "x_ProviderName"), (1, "x_Team"), (3, "x_PublisherName"), (5, "X_Ops")]);
}

#[test]
fn contracts_of_1_3_are_written_as_1_4_writes_them() {
    let old = r#"{"Elements": [
        {"ContractID": "c", "ContractCommitmentID": "d", "ContractCommitmentAppliedCost": 1.50,
         "ContractCommitmentAppliedQuantity": 2, "ContractCommitmentAppliedUnit": "Hours"},
        {"ContractId": "e", "ContractCommitmentAppliedCost": null,
         "ContractCommitmentAppliedQuantity": 3.0, "ContractCommitmentAppliedUnit": "GB"}],
        "x_Note": [1]}"#;
    let new = concat!(
        r#"{"Elements":[{"ContractId":"c","ContractCommitmentId":"d","#,
        r#""ContractCommitmentAppliedCost":1.50,"x_ContractCommitmentAppliedQuantity":2,"#,
        r#""x_ContractCommitmentAppliedUnit":"Hours"},{"ContractId":"e","#,
        r#""ContractCommitmentAppliedCost":null,"ContractCommitmentAppliedQuantity":3.0,"#,
        r#""ContractCommitmentAppliedUnit":"GB"}],"x_Note":[1]}"#,
    );
    assert_eq!(contract_applied(old).as_deref(), Some(new));
    assert_eq!(contract_applied(new).as_deref(), Some(new));
    let both = r#"{"Elements":[{"ContractID":"a","ContractId":"b"}]}"#;
    let one = r#"{"Elements":[{"x_ContractID":"a","ContractId":"b"}]}"#;
    assert_eq!(contract_applied(both).as_deref(), Some(one));
    for text in ["", "{}", "[]", r#"{"Elements": 1}"#, r#"{"Elements": [1]}"#] {
        assert_eq!(contract_applied(text), None);
        assert_eq!(Rewrite::ContractApplied.apply(text), text);
    }
}
