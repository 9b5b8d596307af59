use super::*;

#[test]
fn instants_are_read_as_bills_write_them() {
    let cases = [
        ("2024-09-18T22:00:00Z", "2024-09-18T22:00:00Z", true),
        ("2024-09-18 22:00:00", "2024-09-18T22:00:00Z", false),
        ("2024-02-29", "2024-02-29T00:00:00Z", false),
        ("2024-09-18T22:00Z", "2024-09-18T22:00:00Z", true),
        ("2024-09-18T22:00:00.250+02:00", "2024-09-18T20:00:00.25Z", true),
        ("2024-09-18 22:00:00 UTC", "2024-09-18T22:00:00Z", true),
        ("2024-01-01 00:00:00.000000000", "2024-01-01T00:00:00Z", false),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z", true),
        ("0001-01-01T00:00:00-0530", "0001-01-01T05:30:00Z", true),
    ];
    for (text, want, zoned) in cases {
        let read = parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        let want: jiff::Timestamp = want.parse().unwrap();
        assert_eq!((read.micros, read.zoned), (want.as_microsecond(), zoned), "{text}");
    }
}

#[test]
fn what_is_no_instant_is_refused_whole() {
    for text in [
        "",
        "2024",
        "2024-13-01",
        "2023-02-29",
        "2024-01-32",
        "2024-01-01T25:00:00Z",
        "01/02/2024",
        "2024-01-01T00:00:00X",
        "2024-01-01T00:00:00.",
        "2024-01-01T",
        "2024-01-01 ",
        "2024-01-01T00:00:00.0000001Z",
        "2024-01-01T00:00:00+25:00",
        "1727000000",
        "2024-1-1",
    ] {
        assert_eq!(parse(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn every_day_of_four_centuries_counts_one() {
    let mut date = jiff::civil::date(1900, 1, 1);
    let mut last = None;
    while date.year() < 2300 {
        let read = parse(date.to_string().as_bytes()).unwrap().micros;
        assert!(last.is_none_or(|last| read == last + 86_400_000_000), "{date}");
        last = Some(read);
        date = date.tomorrow().unwrap();
    }
}
