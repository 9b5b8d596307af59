use super::*;

#[test]
fn amounts_read_as_people_write_them() {
    let check = |text: &str, currency: &str, expected: &str| {
        assert_eq!(amount(Decimal::parse(text).unwrap(), currency), expected);
    };
    check("1234.5", "USD", "$1,234.50");
    check("1234567.005", "USD", "$1,234,567.00");
    check("-1000", "USD", "-$1,000.00");
    check("0.010500000", "USD", "$0.0105");
    check("0", "USD", "$0.00");
    check("12.5", "EUR", "12.50 EUR");
}

#[test]
fn a_share_is_not_shown_before_it_is_reached() {
    let check = |amount: &str, limit: &str, expected: Option<&str>| {
        let (amount, limit) = (Decimal::parse(amount).unwrap(), Decimal::parse(limit).unwrap());
        assert_eq!(percent(amount, limit).as_deref(), expected);
    };
    check("79.999999", "100", Some("79.9 %"));
    check("80", "100", Some("80 %"));
    check("1", "0", None);
    check("350", "100", Some("350 %"));
}
