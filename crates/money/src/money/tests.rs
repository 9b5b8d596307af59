use super::*;
use proptest::prelude::*;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn text_is_read_and_written_exactly() {
    let check = |text: &str, nanos, shown: &str, fixed: &str| {
        let money = money(text);
        assert_eq!(money, Money::from_nanos(nanos), "{text}");
        assert_eq!(money.to_string(), shown);
        assert_eq!(money.fixed9(), fixed);
    };
    check("10", 10_000_000_000, "10", "10.000000000");
    check("10.50", 10_500_000_000, "10.5", "10.500000000");
    check("0.0105", 10_500_000, "0.0105", "0.010500000");
    check("1e3", 1_000_000_000_000, "1000", "1000.000000000");
    check("1.5E-7", 150, "0.00000015", "0.000000150");
    check("-3", -3_000_000_000, "-3", "-3.000000000");
    check("-0.25", -250_000_000, "-0.25", "-0.250000000");
    check("-0", 0, "0", "0.000000000");
    check("9000000000", Money::MAX.nanos(), "9000000000", "9000000000.000000000");
}

#[test]
fn what_is_not_exact_or_not_in_range_is_refused() {
    let error = |text: &str| text.parse::<Money>().unwrap_err();
    assert!(matches!(error("ten"), MoneyError::Syntax { .. }));
    assert!(matches!(error("0.0000000001"), MoneyError::TooPrecise { .. }));
    assert!(matches!(error("9000000000.000000001"), MoneyError::OutOfRange { .. }));
    assert!(matches!(error("-9000000000.000000001"), MoneyError::OutOfRange { .. }));
    assert!(matches!(error("1e1000000000"), MoneyError::OutOfRange { .. }));
    assert!(matches!(error("1e-1000000000"), MoneyError::TooPrecise { .. }));
}

#[test]
fn a_long_text_is_not_repeated_in_its_error() {
    assert!("x".repeat(1_000_000).parse::<Money>().unwrap_err().to_string().len() < 200);
}

#[test]
fn sums_stay_within_the_range() {
    let one = Money::from_nanos(1);
    assert_eq!(Money::MAX.checked_add(one), None);
    assert_eq!(Money::MAX.checked_sub(one).and_then(|m| m.checked_add(one)), Some(Money::MAX));
    assert_eq!(Money::from_nanos(i128::MAX).checked_add(one), None);
    assert_eq!(Money::from_nanos(i128::MIN).checked_sub(one), None);
    assert_eq!(money("1").saturating_sub_to_zero(money("3")), Money::ZERO);
    assert_eq!(money("3").saturating_sub_to_zero(money("1")), money("2"));
    assert!(Money::MAX.to_i64_nanos().is_some());
    assert_eq!(Money::from_nanos(i128::from(i64::MAX) + 1).to_i64_nanos(), None);
}

#[test]
fn a_share_is_in_hundredths_of_a_percent_half_even() {
    let check = |part, limit, wanted| assert_eq!(money(part).percent_of(money(limit)), wanted);
    check("1", "8", Some(1250));
    check("80", "100", Some(8000));
    check("1", "3", Some(3333));
    check("2", "3", Some(6667));
    check("0.00005", "1", Some(0));
    check("0.00015", "1", Some(2));
    check("150", "100", Some(15_000));
    check("1", "0", None);
    check("-1", "100", Some(-100));
}

#[test]
fn a_width_aligns_and_a_precision_cuts_nothing() {
    assert_eq!(format!("{:>8}|", money("10.5")), "    10.5|");
    assert_eq!(format!("{:.1}", money("10.55")), "10.55");
}

proptest! {
    #[test]
    fn text_round_trips(nanos in -9_000_000_000_000_000_000i128..=9_000_000_000_000_000_000) {
        let money = Money::from_nanos(nanos);
        prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
        prop_assert_eq!(money.fixed9().parse::<Money>().unwrap(), money);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[-+0-9.eE]{0,40}|.{0,20}") {
        let _ = text.parse::<Money>();
    }
}
