use super::*;
use crate::{PriceBook, Rates, Rounding, ServiceTier, TokenUsage};
use proptest::prelude::*;

const DAY: Date = jiff::civil::date(2026, 11, 24);

fn one(fields: &str) -> Result<Price, String> {
    let json = format!(r#"{{"m": {{"litellm_provider": "v", "mode": "chat", {fields}}}}}"#);
    let import = import(json, DAY).unwrap();
    match (import.prices.as_slice(), import.skipped.as_slice()) {
        ([price], []) => Ok(price.clone()),
        ([], [skipped]) => Err(skipped.reason.to_string()),
        other => panic!("one entry became {other:?}"),
    }
}

fn note(fields: &str) -> String {
    let json = format!(r#"{{"m": {{"litellm_provider": "v", "mode": "chat", {fields}}}}}"#);
    let notes = import(json, DAY).unwrap().notes;
    notes.into_iter().map(|note| note.text).collect::<Vec<_>>().join("; ")
}

fn show(rates: &Rates) -> String {
    let cache = [rates.cache_read, rates.cache_write_5m, rates.cache_write_1h];
    let cache = cache.map(|rate| rate.map_or("-".to_owned(), |rate| rate.to_string()));
    format!("{} {} {}", rates.input, rates.output, cache.join(" "))
}

const BOTH: &str = r#""input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05"#;

#[test]
fn every_class_tier_and_band_is_read() {
    let price = one(&format!(
        r#"{BOTH}, "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06,
        "input_cost_per_token_batches": 1.5e-06, "output_cost_per_token_batches": 7.5e-06,
        "input_cost_per_token_priority": 6e-06, "output_cost_per_token_priority": 3e-05,
        "input_cost_per_token_flex": 1e-06, "output_cost_per_token_flex": 2e-06,
        "input_cost_per_token_above_200k_tokens": 6e-06,
        "output_cost_per_token_above_200k_tokens": 2.25e-05,
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
        "input_cost_per_token_above_200k_tokens_priority": 9e-06,
        "output_cost_per_token_above_200k_tokens_priority": 4e-05,
        "max_input_tokens": 1000, "max_output_tokens": 500, "source": "https://example.com""#
    ))
    .unwrap();
    assert_eq!(show(&price.standard), "3 15 0.3 3.75 6");
    assert_eq!(show(&price.batch.unwrap()), "1.5 7.5 - - -");
    assert_eq!(show(&price.priority.unwrap()), "6 30 - - -");
    assert_eq!(show(&price.flex.unwrap()), "1 2 - - -");
    let [band] = price.long_context.as_slice() else { panic!("{:?}", price.long_context) };
    assert_eq!(band.above_input_tokens, 200_000);
    assert_eq!(show(&band.standard), "6 22.5 - - 12");
    assert_eq!(show(&band.priority.unwrap()), "9 40 - - -");
    assert_eq!(band.batch, None);
    assert_eq!((price.max_input_tokens, price.max_output_tokens), (Some(1000), Some(500)));
    assert_eq!((price.vendor.as_str(), price.source.as_str()), ("v", "https://example.com"));
    assert_eq!(price.effective_from, DAY);
}

#[test]
fn a_model_that_tokens_do_not_price_is_skipped_with_the_reason() {
    let check = |fields: &str, reason: &str| {
        let told = one(fields).unwrap_err();
        assert!(told.contains(reason), "{fields}: {told}");
    };
    check(r#""input_cost_per_token": 0.0, "output_cost_per_token": 0"#, "price is zero");
    check(r#""input_cost_per_second": 0.001"#, "don't tell: input_cost_per_second");
    check(r#""input_cost_per_token": 0.0, "input_cost_per_query": 0.001"#, "input_cost_per_query");
    check(r#""input_cost_per_token": 1e-06"#, "output_cost_per_token is missing");
    check(r#""output_cost_per_token": 1e-06"#, "input_cost_per_token is missing");
    check(r#""max_tokens": 5"#, "input_cost_per_token is missing");
    check(&format!(r#"{BOTH}, "output_cost_per_reasoning_token": 1"#), "reasoning");
}

#[test]
fn a_malformed_figure_is_told_by_its_field() {
    let check = |value: &str, problem: &str| {
        let fields = format!(r#"{BOTH}, "cache_read_input_token_cost": {value}"#);
        let told = one(&fields).unwrap_err();
        assert!(told.contains("cache_read_input_token_cost can't be used"), "{told}");
        assert!(told.contains(problem), "{value}: {told}");
    };
    check("-1e-06", "negative");
    check("\"3e-07\"", "it is text");
    check("null", "it is null");
    check("{\"a\": 1}", "not a number");
    check("[1]", "not a number");
    check("true", "not a number");
    check("1e400", "out of range");
    check("1e99999999999999999999", "out of range");
    check(&format!("0.{}", "123456789".repeat(20)), "out of range");
    assert!(
        one(&format!(r#"{BOTH}, "input_cost_per_token": 1e-06"#)).unwrap_err().contains("once")
    );
    assert!(one(&format!(r#"{BOTH}, "source": 5"#)).unwrap_err().contains("not text"));
}

#[test]
fn an_entry_of_another_shape_is_skipped_and_the_rest_is_read() {
    let good = format!(r#"{{"litellm_provider": "v", {BOTH}}}"#);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let json = format!(
        r#"{{"sample_spec": {{}}, "a": 5, "b": null, "c": {deep}, "d": {good}, "d": {good},
        "e": {{"mode": "image_generation"}}, "f": {{"mode": 1}}, "": {good},
        "g": {{{BOTH}}}, "last": {good}}}"#
    );
    let import = import(json, DAY).unwrap();
    let models: Vec<_> = import.prices.iter().map(|price| price.model.as_str()).collect();
    assert_eq!(models, ["last"]);
    let skipped: Vec<_> = import
        .skipped
        .iter()
        .map(|skipped| format!("{}: {}", skipped.model, skipped.reason))
        .collect();
    assert_eq!(
        skipped,
        [
            "sample_spec: it is the file's template, not a model",
            "a: the entry is not an object of price fields",
            "b: the entry is not an object of price fields",
            "c: the entry is not an object of price fields",
            "d: the file has this model more than once; set its price by hand",
            "d: the file has this model more than once; set its price by hand",
            "e: mode \"image_generation\" is not billed by text tokens",
            "f: mode can't be used: it is not text",
            ": the model's name can't be used: it is empty",
            "g: litellm_provider is missing",
        ]
    );
}

#[test]
fn what_is_left_out_or_rounded_is_noted() {
    let told = note(&format!(
        r#"{BOTH}, "input_cost_per_audio_token": 1e-06, "output_cost_per_image": 0.0,
        "max_input_tokens": "many", "cache_read_input_token_cost": 1.0000000000000001e-07,
        "input_cost_per_token_priority": 1e-06, "input_cost_per_token_balanced": 1e-06,
        "cache_read_input_token_cost_above_200k_tokens": 1e-06"#
    ));
    for part in [
        "not part of the price: input_cost_per_audio_token, input_cost_per_token_balanced",
        "max_input_tokens is not a count of tokens; left out",
        "1.0000000000000001e-07 has more than 15 decimals; taken as 0.1 USD per million",
        "priority lacks an input or output price; left out",
        "prompts above 200000 tokens lack an input price; left out",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("output_cost_per_image"));
    assert_eq!(note(BOTH), "");
}

#[test]
fn a_file_that_is_not_an_object_is_refused_with_its_place_and_what_to_do() {
    let check = |json: &str, parts: [&str; 2]| {
        let error = import(json, DAY).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    check("", ["line 1, column 0", "again"]);
    check("<html>", ["line 1, column 1", "again"]);
    check("{\n  \"a\": {},\n  oops\n}", ["line 3, column 3", "again"]);
    check("{\"a\": {\"b\": 1}", ["line 1", "again"]);
    check("{} {}", ["line 1, column 4", "again"]);
    check("[1, 2]", ["line 1", "model_prices_and_context_window.json"]);
    check("null", ["line 1", "not an object of models"]);
    assert!(import(b"\xff\xfe", DAY).is_err());
    assert!(import(b"{\"\xff\": {}}", DAY).is_err());
    assert_eq!(import("\u{feff}{}", DAY).unwrap().prices, []);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..64), value in "[-0-9.eE\\[\\]{}\":,a]{0,12}",
    ) {
        let _ = import(&bytes, DAY);
        let _ = import(format!(r#"{{"m": {{"input_cost_per_token": {value}}}}}"#), DAY);
    }
}

/// The real file: from `BURSAR_TEST_DATA`, or from the data folder beside the workspace.
fn real_file() -> Vec<u8> {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("BURSAR_TEST_DATA")
        .map_or_else(|| workspace.join("../shared/data"), std::path::PathBuf::from);
    let path = data.join("prices/litellm-1.109.1.json");
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{} is needed ({error}); set BURSAR_TEST_DATA to the data folder", path.display())
    })
}

#[test]
fn every_entry_of_the_real_file_is_taken_or_skipped() {
    let import = import(real_file(), DAY).unwrap();
    assert_eq!(import.prices.len() + import.skipped.len(), 4553);
    assert_eq!(import.prices.len(), TAKEN);
    let bad: Vec<_> = import
        .skipped
        .iter()
        .filter(|skipped| matches!(skipped.reason, SkipReason::BadField { .. }))
        .collect();
    assert_eq!(bad, Vec::<&Skipped>::new());
    let reason = |model: &str| {
        let skipped = import.skipped.iter().find(|skipped| skipped.model == model);
        skipped.map(|skipped| skipped.reason.to_string()).unwrap_or_default()
    };
    assert!(reason("sample_spec").contains("template"));
    assert!(reason("tts-1").contains("audio_speech"));
    assert!(reason("fireworks-ai-default").contains("really free"));
    assert!(reason("dashscope/qwen-flash").contains("tiered_pricing"));
}

/// Counted apart from this crate, by the rules of [`SkipReason`].
const TAKEN: usize = 3408;

#[test]
fn figures_of_the_real_file_are_its_own() {
    let import = import(real_file(), DAY).unwrap();
    let find = |model: &str| import.prices.iter().find(|price| price.model == model).unwrap();
    let check = |model: &str, wanted: &str| assert_eq!(show(&find(model).standard), wanted);
    check("claude-sonnet-4-5", "3 15 0.3 3.75 6");
    check("gpt-5", "1.25 10 0.125 - -");
    check("gpt-5.4", "2.5 15 0.25 - -");
    check("text-embedding-3-small", "0.02 0 - - -");
    check("mistral/mistral-embed-2312", "0.1 0 - - -");
    check("mistral/mistral-large-4", "1.36 4.18 0.14 - -");
    check("bigmodel/glm-5.3", "1.142857143 4 0.285714286 - -");
    let gpt = find("gpt-5.4");
    assert_eq!(show(&gpt.flex.unwrap()), "1.25 7.5 0.13 - -");
    assert_eq!(gpt.long_context[0].above_input_tokens, 272_000);
    assert_eq!(show(&gpt.long_context[0].batch.unwrap()), "2.5 11.25 0.25 - -");

    let at = "2026-12-01T00:00:00Z".parse().unwrap();
    let book = PriceBook::shipped().with(import.prices.clone());
    let usage = TokenUsage { input: 300_001, output: 777, cache_read: 9, ..Default::default() };
    let charge = book.charge("gpt-5.4", &usage, ServiceTier::Standard, at, Rounding::HalfEven);
    // 300001 * 5 + 777 * 22.5 + 9 * 0.5 = 1517492 dollars per million.
    assert_eq!(charge.unwrap().to_string(), "1.517492");
}

#[test]
fn names_that_no_request_can_use_and_control_characters_are_skipped() {
    let fields = format!(r#""litellm_provider": "v", "mode": "chat", {BOTH}"#);
    for (name, more, field) in [
        ("a b", "", "the model's name"),
        ("a\\u0000", "", "the model's name"),
        ("\\u001b[2J", "", "the model's name"),
        ("m", r#", "source": "\u0000""#, "source"),
    ] {
        let import = import(format!(r#"{{"{name}": {{{fields}{more}}}}}"#), DAY).unwrap();
        let [skipped] = import.skipped.as_slice() else { panic!("{name:?}: {import:?}") };
        let reason = skipped.reason.to_string();
        assert!(reason.starts_with(&format!("{field} can't be used")), "{reason}");
    }
    let vendor = format!(r#"{{"m": {{"litellm_provider": "\u001b", "mode": "chat", {BOTH}}}}}"#);
    assert_eq!(import(vendor, DAY).unwrap().skipped.len(), 1);
}
