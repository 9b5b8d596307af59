use super::*;

fn nanos(price: Result<UnitPrice, UnitPriceError>) -> i128 {
    price.unwrap().nanos_per_million()
}

#[test]
fn a_price_per_token_and_per_million_are_the_same_price() {
    let check = |token, million, wanted| {
        assert_eq!(nanos(UnitPrice::per_token(token)), wanted);
        assert_eq!(nanos(UnitPrice::per_million(million)), wanted);
    };
    check("1.25e-07", "0.125", 125_000_000);
    check("3e-06", "3", 3_000_000_000);
    check("0.000015", "15.00", 15_000_000_000);
    check("1e-15", "0.000000001", 1);
    check("0.0", "0", 0);
}

#[test]
fn what_is_not_exact_or_negative_is_refused() {
    let check = |text| UnitPrice::per_token(text).unwrap_err();
    assert!(matches!(check("1.6000000000000001e-06"), UnitPriceError::TooPrecise { .. }));
    assert!(matches!(check("-1e-06"), UnitPriceError::Negative { .. }));
    assert!(matches!(check("9001"), UnitPriceError::OutOfRange { .. }));
    assert!(matches!(check("1e400"), UnitPriceError::OutOfRange { .. }));
    assert!(matches!(check("free"), UnitPriceError::Syntax { .. }));
}

#[test]
fn digits_left_by_a_float_are_rounded_and_told() {
    let read = |text| UnitPrice::per_token_nearest(text).unwrap();
    let wanted = UnitPrice::per_million("1.6").unwrap();
    assert_eq!(read("1.6000000000000001e-06"), (wanted, true));
    assert_eq!(read("1.6e-06"), (wanted, false));
    assert!(UnitPrice::per_token_nearest("-1e-06").is_err());
}

#[test]
fn a_price_is_text_in_json() {
    let price = UnitPrice::per_million("0.30").unwrap();
    assert_eq!(serde_json::to_string(&price).unwrap(), "\"0.3\"");
    assert_eq!(serde_json::from_str::<UnitPrice>("\"0.30\"").unwrap(), price);
    let error = serde_json::from_str::<UnitPrice>("0.30").unwrap_err().to_string();
    assert!(error.contains("in quotes"), "{error}");
}
