use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

#[test]
fn numbers_are_exact_in_every_notation() {
    for (text, plain) in [
        ("0", "0"),
        ("-0.000", "0"),
        ("007.50", "7.5"),
        ("-1.5E-7", "-0.00000015"),
        ("35.2E-7", "0.00000352"),
        ("1.25e+2", "125"),
        ("12E3", "12000"),
        ("0.00000080000", "0.0000008"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ] {
        assert_eq!(number(text).to_string(), plain, "{text}");
    }
    for text in ["", "-", "+1", ".5", "1.", "1,000", "$1", "NaN", "inf", "1E", "0x1", "1 ", "٣"] {
        assert_eq!(Number::parse(text), Err(NumberError::Syntax), "{text}");
    }
    for text in ["1e400", "1E-99999999999999999999", &"9".repeat(121)] {
        assert_eq!(Number::parse(text), Err(NumberError::OutOfRange), "{text}");
    }
}

proptest! {
    #[test]
    fn arithmetic_is_that_of_integers(
        a in -1_000_000_000_000i128..1_000_000_000_000,
        b in -1_000_000_000_000i128..1_000_000_000_000,
    ) {
        let (x, y) = (number(&a.to_string()), number(&b.to_string()));
        prop_assert_eq!(x.times(&y).to_string(), (a * b).to_string());
        prop_assert_eq!(x.plus(&y).to_string(), (a + b).to_string());
        prop_assert_eq!(x.minus(&y).to_string(), (a - b).to_string());
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(x.shifted_down(9).cmp(&y.shifted_down(9)), a.cmp(&b));
        prop_assert_eq!(number(&x.shifted_down(7).to_string()), x.shifted_down(7));
    }

    #[test]
    fn no_text_breaks_a_format(
        text in ".{0,40}", digits in "[-+0-9.eE]{0,50}", json in r#"[{}\[\]":,a0 ]{0,30}"#,
    ) {
        for format in [
            Format::Free, Format::Allowed, Format::Currency, Format::Unit, Format::Instant,
            Format::Number, Format::NonNegative, Format::KeyValue, Format::Object,
        ] {
            for text in [&text, &digits, &json] {
                let _ = fault(format, &["A"], text);
            }
        }
    }
}

#[test]
fn instants_are_read_in_the_ways_that_bills_write_them() {
    let at: Timestamp = "2024-10-01T00:00:00Z".parse().unwrap();
    for (text, zone) in [
        ("2024-10-01T00:00:00Z", Zone::Utc),
        ("2024-10-01T00:00:00.000Z", Zone::Utc),
        ("2024-10-01T02:00:00+02:00", Zone::Offset),
        ("2024-10-01 00:00:00", Zone::Unsaid),
        ("2024-10-01T00:00:00", Zone::Unsaid),
        ("2024-10-01", Zone::Unsaid),
    ] {
        assert_eq!(instant(text), Some((at, zone)), "{text}");
        let clean = matches!(text, "2024-10-01T00:00:00Z" | "2024-10-01T00:00:00.000Z");
        assert_eq!(fault(Format::Instant, &[], text).is_none(), clean, "{text}");
    }
    for text in ["", "4/1/25", "2024-13-01T00:00:00Z", "2024-02-30", "yesterday", "2024-W40-1x"] {
        assert_eq!(instant(text), None, "{text}");
        assert_eq!(fault(Format::Instant, &[], text), Some("no instant"));
    }
}

#[test]
fn formats_tell_what_is_wrong() {
    let check = |format, text| fault(format, &["Used", "Unused"], text);
    for (format, good, bad) in [
        (Format::Allowed, "Used", "used"),
        (Format::Currency, "NOK", "Token"),
        (Format::Unit, "GB-Months", " GB"),
        (Format::Number, "-1E-7", "1e-7"),
        (Format::NonNegative, "-0", "-0.1"),
        (Format::KeyValue, r#"{"a": 1, "b": null, "c": true}"#, r#"{"a": {"b": 1}}"#),
        (Format::KeyValue, "{}", r#"{"a": 1, "a": 2}"#),
        (Format::Object, r#"{"a": [{"b": 1}]}"#, "[1]"),
        (Format::Free, "us-east-1", "Not Applicable"),
    ] {
        assert_eq!(check(format, good), None, "{format:?} {good}");
        assert!(check(format, bad).is_some(), "{format:?} {bad}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(check(Format::Object, &format!("{{\"a\":{deep}")), Some("no JSON object"));
}
