use super::*;

#[test]
fn each_version_has_as_many_columns_as_its_specification() {
    let counts: Vec<usize> = Version::ALL.iter().map(|version| version.count()).collect();
    // 1.0: 43, as AWS counts its export of it; 1.1 added seven; 1.2, 1.3, 1.4: 57, 65, 65.
    assert_eq!(counts, [43, 50, 57, 65, 65]);
}

#[test]
fn what_must_be_there_is_what_the_version_knows() {
    for version in Version::ALL {
        let mandatory: Vec<&str> = version.mandatory().collect();
        let old = *version < Version::V1_3;
        assert_eq!(mandatory.contains(&"ProviderName"), old, "{version}");
        assert_eq!(mandatory.contains(&"ServiceProviderName"), !old, "{version}");
        assert!(mandatory.contains(&"BilledCost"), "{version}");
    }
}

#[test]
fn versions_are_read_as_people_write_them() {
    for version in Version::ALL {
        for text in [format!("{version}"), format!("v{version}"), format!("{version}.0")] {
            assert_eq!(text.parse(), Ok(*version));
        }
    }
    for text in ["", "1", "1.5", "1.40", "2.0", "1.0-preview", "0.5", "1.2.1"] {
        assert!(text.parse::<Version>().is_err(), "{text}");
    }
}
