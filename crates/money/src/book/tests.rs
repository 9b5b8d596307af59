use super::*;
use crate::UnitPrice;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-24T12:00:00Z";

fn price(model: &str, from: &str, input: &str, aliases: &[&str]) -> Price {
    let mut price = PriceBook::shipped().iter().next().unwrap().clone();
    price.model = model.into();
    price.aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    price.effective_from = from.parse().unwrap();
    price.standard.input = UnitPrice::per_million(input).unwrap();
    price
}

fn charged(book: &PriceBook, model: &str, moment: &str) -> String {
    let usage = TokenUsage { input: 1_000_000, ..Default::default() };
    let tier = ServiceTier::Standard;
    match book.charge(model, &usage, tier, at(moment), Rounding::HalfEven) {
        Ok(money) => money.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_first_three_models_are_priced_exactly() {
    let book = PriceBook::shipped();
    let check = |model: &str, wanted: [&str; 5]| {
        let rates = book.price(model, at(NOW)).unwrap().standard;
        let read = [
            rates.input,
            rates.output,
            rates.cache_read.unwrap(),
            rates.cache_write_5m.unwrap(),
            rates.cache_write_1h.unwrap(),
        ];
        assert_eq!(read.map(|rate| rate.to_string()), wanted, "{model}");
    };
    check("claude-3-5-sonnet-20241022", ["3", "15", "0.3", "3.75", "6"]);
    check("claude-3-opus-20240229", ["15", "75", "1.5", "18.75", "30"]);
    check("claude-3-haiku-20240307", ["0.25", "1.25", "0.03", "0.3", "0.5"]);
    check("claude-3-5-sonnet-latest", ["3", "15", "0.3", "3.75", "6"]);

    let usage = TokenUsage { input: 1000, output: 500, ..Default::default() };
    let sonnet = "claude-3-5-sonnet-20241022";
    let tier = ServiceTier::Standard;
    let exact = "0.0105".parse().unwrap();
    assert_eq!(book.charge(sonnet, &usage, tier, at(NOW), Rounding::HalfEven), Ok(exact));
    assert_eq!(book.hold(sonnet, &usage, tier, at(NOW)), Ok(exact));
}

#[test]
fn an_alias_leads_to_its_model_and_an_unknown_name_to_itself() {
    let book = PriceBook::shipped();
    assert_eq!(book.canonical("claude-3-5-sonnet-latest"), "claude-3-5-sonnet-20241022");
    assert_eq!(book.canonical("claude-3-opus-20240229"), "claude-3-opus-20240229");
    assert_eq!(book.canonical("nobody"), "nobody");
    assert!(charged(&book, "nobody", NOW).contains("\"nobody\" has no price"));
}

#[test]
fn a_price_is_in_force_from_its_midnight_utc() {
    let book = PriceBook::default()
        .with([price("m", "2026-06-01", "2", &["a"]), price("m", "2026-01-01", "1", &["a"])]);
    assert_eq!(charged(&book, "m", "2026-05-31T23:59:59.999999999Z"), "1");
    assert_eq!(charged(&book, "m", "2026-06-01T00:00:00Z"), "2");
    assert_eq!(charged(&book, "a", "2030-01-01T00:00:00Z"), "2");
    let early = charged(&book, "a", "2025-12-31T23:59:59Z");
    assert!(early.contains("\"a\" has no price before 2026-01-01"), "{early}");
    assert!(book.price("m", Timestamp::MIN).is_none());
    assert!(book.price("m", Timestamp::MAX).is_some());
}

#[test]
fn a_later_import_replaces_the_same_day_and_keeps_the_others() {
    let book = PriceBook::default()
        .with([price("m", "2026-01-01", "1", &[]), price("m", "2026-06-01", "2", &[])])
        .with([price("m", "2026-06-01", "3", &[])]);
    assert_eq!(charged(&book, "m", "2026-02-01T00:00:00Z"), "1");
    assert_eq!(charged(&book, "m", "2026-06-01T00:00:00Z"), "3");
    assert_eq!(book.iter().count(), 2);
}

#[test]
fn an_alias_imported_as_a_model_keeps_its_past() {
    let book = PriceBook::default()
        .with([price("m-2026", "2026-01-01", "1", &["m"])])
        .with([price("m", "2026-06-01", "2", &[])]);
    assert_eq!(charged(&book, "m", "2026-02-01T00:00:00Z"), "1");
    assert_eq!(charged(&book, "m", "2026-06-01T00:00:00Z"), "2");
}

#[test]
fn the_book_is_listed_by_vendor_model_and_day() {
    let book = PriceBook::shipped();
    let keys = |price: &Price| (price.vendor.clone(), price.model.clone(), price.effective_from);
    let listed: Vec<_> = book.iter().map(keys).collect();
    assert!(listed.is_sorted());
    assert!(listed.iter().any(|(vendor, ..)| vendor == "openai"));
}

#[test]
fn tiers_and_long_prompts_of_shipped_models_cost_what_their_vendors_publish() {
    let book = PriceBook::shipped();
    let check = |model: &str, tier, input, output, wanted: &str| {
        let usage = TokenUsage { input, output, ..Default::default() };
        let charge = book.charge(model, &usage, tier, at(NOW), Rounding::HalfEven).unwrap();
        assert_eq!(charge.to_string(), wanted, "{model}");
    };
    check("gpt-5", ServiceTier::Standard, 1_000_000, 0, "1.25");
    check("gpt-5", ServiceTier::Flex, 1_000_000, 1_000_000, "5.625");
    check("gpt-5", ServiceTier::Priority, 1_000_000, 1_000_000, "22.5");
    check("gpt-5.4", ServiceTier::Standard, 272_000, 0, "0.68");
    check("gpt-5.4", ServiceTier::Standard, 300_000, 1000, "1.5225");
    check("gemini-2.5-pro", ServiceTier::Standard, 200_001, 1000, "0.5150025");
    check("claude-sonnet-4-5", ServiceTier::Batch, 100_000, 100_000, "0.9");
    check("text-embedding-3-small", ServiceTier::Standard, 1_000_000, 0, "0.02");
}

#[test]
fn a_name_leads_to_its_model_also_when_it_has_become_another() {
    let book = PriceBook::default().with([price("big", "2026-01-01", "2", &["latest"])]);
    let check = |book: &PriceBook, name: &str, model: &str, leads: bool| {
        assert_eq!(book.leads(name, model), leads, "{name} to {model}");
    };
    for (name, model) in [("latest", "big"), ("big", "latest"), ("big", "big"), ("x", "x")] {
        check(&book, name, model, true);
    }
    check(&book, "x", "big", false);
    let book = book.with([price("latest", "2026-11-01", "7", &[])]);
    check(&book, "latest", "big", true);
    check(&book, "latest", "latest", true);
    check(&book, "big", "latest", false);
}
