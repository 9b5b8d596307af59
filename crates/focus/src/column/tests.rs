use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::data::real;

#[derive(Deserialize)]
struct Model {
    datasets: BTreeMap<String, Dataset>,
    service_subcategory_parents: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Dataset {
    columns: BTreeMap<String, Published>,
}

#[derive(Deserialize)]
struct Published {
    allowed_values: Option<Vec<String>>,
    allows_nulls: bool,
    data_type: String,
    feature_level: String,
    value_format: String,
    version: String,
}

fn model() -> Model {
    serde_json::from_slice(&real("focus/focus-1.4-model.json")).unwrap()
}

#[test]
fn the_table_is_the_published_model_in_its_order() {
    let published = &model().datasets["Cost and Usage"].columns;
    let names: Vec<&str> = published.keys().map(String::as_str).collect();
    let ours: Vec<&str> = Column::ALL.iter().map(|column| column.name()).collect();
    assert_eq!(ours, names);
    assert_eq!(Column::COUNT, 65);
    for (column, entry) in Column::ALL.iter().zip(published.values()) {
        let since = if entry.version == "0.5" { "1.0" } else { &entry.version };
        let level = format!("{:?}", column.level());
        assert_eq!(column.nullable(), entry.allows_nulls, "{column}");
        assert_eq!(level, entry.feature_level, "{column}");
        assert_eq!(column.since().as_str(), since, "{column}");
        assert_eq!(kind(column.kind()), entry.data_type, "{column}");
        assert_eq!(format(column.format()), entry.value_format, "{column}");
        let allowed = entry.allowed_values.clone().unwrap_or_default();
        assert_eq!(column.allowed(), allowed, "{column}");
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "String",
        Kind::Instant => "Date/Time",
        Kind::Decimal => "Decimal",
        Kind::Json => "JSON",
    }
}

fn format(format: Format) -> &'static str {
    match format {
        Format::Free => "Unspecified",
        Format::Allowed => "Allowed Values",
        Format::Currency => "Currency",
        Format::Unit => "Unit",
        Format::Instant => "Date/Time",
        Format::Number => "Decimal (any)",
        Format::NonNegative => "Decimal (non-negative)",
        Format::KeyValue => "Key-Value",
        Format::Object => "JSON Object",
    }
}

#[test]
fn every_subcategory_has_the_published_parent() {
    let parents = model().service_subcategory_parents;
    let ours: BTreeMap<String, String> =
        SERVICE_SUBCATEGORIES.iter().map(|(s, p)| (s.to_string(), p.to_string())).collect();
    assert_eq!(ours, parents);
}

#[test]
fn a_name_is_found_in_any_case_and_no_other_is() {
    for (index, column) in Column::ALL.iter().enumerate() {
        assert_eq!(column.index(), index);
        assert_eq!(Column::parse(column.name()), Ok(*column));
        assert_eq!(Column::parse(&column.name().to_lowercase()), Ok(*column));
        assert_eq!(column.name().to_uppercase().parse(), Ok(*column));
    }
    for name in ["", "BilledCost ", "Billed", "ProviderName", "x_BilledCost", "BilledCoſt"] {
        assert_eq!(Column::parse(name), Err(UnknownColumn(name.to_owned())));
    }
}
