use super::*;

const ONE: &str = r#"
[[price]]
model = "m"
vendor = "v"
aliases = ["m-latest"]
effective_from = "2024-01-01"
source = "https://example.com/pricing"
standard = { input = "3", output = "15", cache_read = "0.30" }
"#;

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_file_is_read() {
    let prices = parse(ONE).unwrap();
    assert_eq!(prices.len(), 1);
    assert_eq!(prices[0].standard.cache_read.unwrap().to_string(), "0.3");
    assert_eq!(parse("").unwrap(), []);
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let misspelt = error(&ONE.replace("cache_read", "cach_read"));
    assert!(misspelt.contains("cach_read") && misspelt.contains("line 8"), "{misspelt}");
    let bare = error(&ONE.replace("\"0.30\"", "0.30"));
    assert!(bare.contains("in quotes"), "{bare}");
    let negative = error(&ONE.replace("0.30", "-0.30"));
    assert!(negative.contains("negative"), "{negative}");
    assert!(error(&ONE.replace("price", "prise")).contains("prise"));
}

#[test]
fn a_name_leads_to_one_price() {
    assert!(error(&format!("{ONE}{ONE}")).contains("two prices from 2024-01-01"));
    let other = ONE.replace("\"m\"", "\"n\"");
    assert!(error(&format!("{ONE}{other}")).contains("m-latest"));
    let shadow = ONE.replace("\"m\"", "\"n\"").replace("m-latest", "m");
    assert!(error(&format!("{ONE}{shadow}")).contains("alias \"m\""));
    let later = ONE.replace("2024-01-01", "2025-01-01");
    assert_eq!(parse(&format!("{ONE}{later}")).unwrap().len(), 2);
    assert!(matches!(parse(&ONE.replace("\"m\"", "\"\"")), Err(CatalogueError::NameEmpty)));
}

#[test]
fn every_shipped_file_is_read_and_names_are_one_across_them() {
    let mut all = Vec::new();
    for (name, text) in SHIPPED {
        let prices = parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!prices.is_empty(), "{name} is empty");
        let urls = prices.iter().all(|price| price.source.starts_with("https://"));
        assert!(urls, "{name}: a source is not a URL");
        all.extend(prices);
    }
    check(&all).unwrap();
    assert!(all.len() > 150, "{} prices", all.len());
}

#[test]
fn shipped_prices_are_plausible() {
    for (name, text) in SHIPPED {
        for price in parse(text).unwrap() {
            let model = &price.model;
            let standard = price.standard;
            assert!(!standard.input.nanos_per_million().eq(&0), "{name}: {model} is free");
            let read = standard.cache_read.unwrap_or_default();
            assert!(read <= standard.input, "{name}: {model} reads its cache dearer than input");
            for cheaper in [price.batch, price.flex].into_iter().flatten() {
                assert!(cheaper.input <= standard.input, "{name}: {model} batch or flex");
                assert!(cheaper.output <= standard.output, "{name}: {model} batch or flex");
            }
            for band in &price.long_context {
                assert!(band.standard.input >= standard.input, "{name}: {model} long context");
            }
        }
    }
}
