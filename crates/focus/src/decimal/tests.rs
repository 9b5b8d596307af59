use super::*;

#[test]
fn amounts_are_read_to_the_last_digit() {
    let cases = [
        ("0", "0"),
        ("-0.0", "0"),
        ("20.52", "20.52"),
        ("0.00000080000", "0.0000008"),
        ("1.5E-7", "0.00000015"),
        ("1e3", "1000"),
        ("-12.345678901234567890000", "-12.34567890123456789"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+7", "7"),
    ];
    for (text, want) in cases {
        let read = Decimal::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(read.to_string(), want, "{text}");
    }
}

#[test]
fn what_is_no_amount_says_why() {
    let cases = [
        ("", Unreadable::Syntax),
        ("NaN", Unreadable::Syntax),
        ("inf", Unreadable::Syntax),
        ("1,5", Unreadable::Syntax),
        ("1.2.3", Unreadable::Syntax),
        ("0x10", Unreadable::Syntax),
        ("1e", Unreadable::Syntax),
        ("-", Unreadable::Syntax),
        ("1.a0", Unreadable::Syntax),
        ("1e400", Unreadable::TooLarge),
        ("1e99999999999999999999", Unreadable::TooLarge),
        ("100000000000000000000", Unreadable::TooLarge),
        ("0.0000000000000000001", Unreadable::TooPrecise),
        ("1e-400", Unreadable::TooPrecise),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text.as_bytes()), Err(want), "{text:?}");
    }
}

#[test]
fn rounding_is_half_even() {
    for (text, want) in
        [("0.125", "0.12"), ("0.135", "0.14"), ("-0.125", "-0.12"), ("-0.126", "-0.13")]
    {
        assert_eq!(Decimal::parse(text).unwrap().rounded(2).to_string(), want);
    }
}

#[test]
fn numbers_of_different_scales_compare_and_add() {
    let (a, b) = (Decimal::new(150, 2), Decimal::new(15, 1));
    assert_eq!(a, b);
    assert_eq!(a.checked_sub(b).unwrap(), Decimal::ZERO);
    assert_eq!(a.checked_add(b).unwrap().to_string(), "3");
    assert!(Decimal::new(-1, 0) < Decimal::new(1, 18));
}

#[test]
fn digits_of_doubles_beyond_the_18th_are_rounded_half_to_even() {
    for (text, wanted, is_rounded) in [
        ("0.1", "0.1", false),
        ("0.0033081407948853505", "0.00330814079488535", true),
        ("0.0033081407948853515", "0.003308140794885352", true),
        ("-0.0000000000000000015", "-0.000000000000000002", true),
        ("0.0000000000000000005", "0", true),
        ("0.00000000000000000050001", "0.000000000000000001", true),
        ("9.99e-20", "0", true),
        ("9e-19", "0.000000000000000001", true),
        ("9e-400", "0", true),
        ("+1.2345678901234567e-3", "0.001234567890123457", true),
        ("12345678901234567e-20", "0.000123456789012346", true),
    ] {
        let (digits, rounded) = parse_rounded(text.as_bytes()).unwrap();
        assert_eq!((Decimal::amount(digits).to_string().as_str(), rounded), (wanted, is_rounded));
    }
    for text in ["NaN", "1e400", "", "1.2345678901234567890x", "0.1234567890123456789.1"]
        .into_iter()
        .chain(["99999999999999999999.9999999999999999999"])
        .chain(["1.2345678901234567890123456789012345678901e30"])
    {
        assert!(parse_rounded(text.as_bytes()).is_err(), "{text}");
    }
}
