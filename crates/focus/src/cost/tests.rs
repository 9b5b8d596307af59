use jiff::Timestamp;

use super::*;

#[test]
fn months_follow_each_other_over_the_year() {
    let december: Month = "2026-12".parse().unwrap();
    assert_eq!(december.next().to_string(), "2027-01");
    assert_eq!(december.next().previous(), december);
    let last: Timestamp = "2026-12-31T23:59:59.999999Z".parse().unwrap();
    assert_eq!(Month::of(last), Some(december));
}

#[test]
fn a_dimension_is_read_as_it_is_written() {
    for text in ["month", "tag:team", "x_Custom", "ServiceName"] {
        let dimension: Dimension = text.parse().unwrap();
        assert_eq!(dimension.to_string().to_lowercase(), text.to_lowercase());
    }
    assert_eq!("tenant".parse::<Dimension>().unwrap().to_string(), "SubAccountId");
    assert!("tag:".parse::<Dimension>().is_err());
}

#[test]
fn a_state_of_the_past_is_a_number_or_an_instant() {
    assert_eq!("12".parse(), Ok(AsOf::Version(12)));
    assert!(matches!("2026-11-01T00:00:00Z".parse(), Ok(AsOf::Instant(_))));
    assert!("yesterday".parse::<AsOf>().is_err());
}
