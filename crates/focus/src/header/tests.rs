use proptest::prelude::*;

use super::*;

fn header(version: Version) -> Vec<&'static str> {
    version.columns().map(Column::name).chain(version.former().map(Former::name)).collect()
}

fn file(path: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(crate::data::folder().join(path)).unwrap();
    reader.headers().unwrap().iter().map(str::to_owned).collect()
}

#[test]
fn a_whole_header_of_each_version_is_of_that_version_in_any_case_and_order() {
    for version in Version::ALL {
        let mut names: Vec<String> =
            header(*version).iter().map(|name| name.to_lowercase()).collect();
        for _ in 0..2 {
            let detected = Version::detect(&names);
            assert_eq!(detected.version, *version);
            assert!(detected.is_clean() && detected.absent.is_empty(), "{detected}");
            names.reverse();
        }
    }
}

#[test]
fn the_official_sample_is_1_0_with_one_stray_column() {
    let detected = Version::detect(&file("focus/focus-1.0-sample.csv"));
    assert!(detected.is_readable());
    assert_eq!(
        detected.to_string(),
        "FOCUS 1.0, 43 of 43 columns; unknown: Id; FOCUS columns don't stand first"
    );
}

#[test]
fn a_mark_at_the_beginning_of_the_file_hides_no_column() {
    let names =
        file("focus/spec-examples/data/saas_examples/virtual_currency_pricing_model_a2.csv");
    let detected = Version::detect(&names);
    assert_eq!(detected.version, Version::V1_2);
    assert!(detected.has(Column::BilledCost));
    assert_eq!(detected.missing, ["ServiceCategory"]);
}

#[test]
fn missing_doubled_renamed_and_custom_columns_are_told_in_one_line() {
    let mut names = header(Version::V1_0);
    names.retain(|name| !matches!(*name, "ListCost" | "RegionId" | "Tags" | "SkuId"));
    names.extend(["x_Team", "BilledCost", "list_cost", "Region", "Stray\nline"]);
    let detected = Version::detect(&names);
    assert!(!detected.is_readable());
    assert_eq!(
        detected.to_string(),
        "FOCUS 1.0, 39 of 43 columns; missing: ListCost; twice: BilledCost; unknown: list_cost, \
         Region, Stray\\nline; perhaps renamed: list_cost is ListCost?, Region is RegionId?; \
         custom: x_Team"
    );
    assert_eq!(detected.absent, ["RegionId", "SkuId", "Tags"]);
}

#[test]
fn a_1_4_file_with_a_former_column_says_so() {
    let mut names = header(Version::V1_4);
    names.push("PublisherName");
    let detected = Version::detect(&names);
    assert_eq!(detected.version, Version::V1_4);
    assert_eq!(detected.obsolete, ["PublisherName"]);
    assert!(detected.is_readable());
}

#[test]
fn a_header_of_1_3_without_the_former_columns_is_read_as_1_4() {
    let names: Vec<&str> = Version::V1_3.columns().map(Column::name).collect();
    assert_eq!(Version::detect(&names).version, Version::V1_4);
    assert_eq!(Detected::declared(&names, Version::V1_3).version, Version::V1_3);
}

#[test]
fn drift_is_what_changed_since_the_header_before() {
    let drift = Drift::between(&["A", "B", "C", "Id"], &["\u{feff}B", "A", "c", "D"]);
    assert_eq!(
        drift.to_string(),
        "schema drifted; new: D; gone: Id; renamed: C to c; columns stand in another order"
    );
    assert!(Drift::between(&["A", "B"], &["A", "B"]).is_none());
}

proptest! {
    #[test]
    fn any_header_gives_each_column_one_field(names in prop::collection::vec(".{0,12}", 0..30)) {
        let detected = Version::detect(&names);
        prop_assert_eq!(detected.fields.len(), names.len());
        prop_assert!(!detected.to_string().contains('\n'));
        let _ = Drift::between(&names, &[names.first().map_or("", String::as_str)]).to_string();
    }
}
