use super::*;

#[test]
fn texts_become_whole_numbers_at_the_scale() {
    let check = |text, scale, wanted| assert_eq!(exact(text, scale), wanted, "{text} at {scale}");
    check("10", 9, Ok(10_000_000_000));
    check("10.50", 9, Ok(10_500_000_000));
    check("1e3", 0, Ok(1000));
    check("1E+3", 0, Ok(1000));
    check("1.5E-7", 9, Ok(150));
    check("-3", 0, Ok(-3));
    check("-0.0", 9, Ok(0));
    check("007", 0, Ok(7));
    check("1000000000e-9", 0, Ok(1));
    check("0e999999999999999999999999", 9, Ok(0));
    check("0.0000000001", 9, Err(DecimalError::TooPrecise));
    check("0.1000000000000000000000000000000000000000000000000", 1, Ok(1));
    check("1e-999999999999999999999999", 9, Err(DecimalError::TooPrecise));
    check("1e999999999999999999999999", 9, Err(DecimalError::OutOfRange));
    check("1e9223372036854775807", 9, Err(DecimalError::OutOfRange));
    check("999999999999999999999999999999999999999999", 0, Err(DecimalError::OutOfRange));
}

#[test]
fn what_is_not_a_decimal_is_refused() {
    for text in [
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1e--3",
        "--1",
        "1_000",
        "1,5",
        "0x1",
        "NaN",
        "inf",
        "1.2.3",
        "1e1.5",
        "1e2e3",
        "١",
        "$1",
        "\u{2212}1",
    ] {
        assert_eq!(exact(text, 9), Err(DecimalError::Syntax), "{text:?}");
    }
}

#[test]
fn digits_beyond_the_scale_round_half_even() {
    let check = |text, wanted| assert_eq!(nearest(text, 0), Ok(wanted), "{text}");
    check("2.5", (2, true));
    check("3.5", (4, true));
    check("-2.5", (-2, true));
    check("2.51", (3, true));
    check("0.5", (0, true));
    check("0.51", (1, true));
    check("0.049", (0, true));
    check("1e-99999999999", (0, true));
    check("7", (7, false));
}

#[test]
fn a_megabyte_of_zeros_is_read_at_once() {
    let zeros = "0".repeat(1_000_000);
    assert_eq!(exact(&format!("1.{zeros}"), 9), Ok(1_000_000_000));
    assert_eq!(exact(&format!("{zeros}1"), 0), Ok(1));
    assert_eq!(exact(&format!("1{zeros}"), 0), Err(DecimalError::OutOfRange));
}
