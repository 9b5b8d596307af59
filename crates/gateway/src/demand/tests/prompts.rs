//! The bounds against the true count, on real prompts.

use std::path::PathBuf;

use serde_json::Value;
use tiktoken_rs::CoreBPE;

use super::*;

const VARIABLE: &str = "BURSAR_TEST_PROMPTS";

/// Requests as text, one a line.
fn prompts() -> String {
    let folder = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!("{VARIABLE} names no folder: `cargo xtask test` makes one below the target folder")
    });
    let file = PathBuf::from(folder).join("prompts.jsonl");
    std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("failed to read {}: {error}; run `cargo xtask test`", file.display())
    })
}

#[test]
fn the_bounds_are_never_below_the_true_count() {
    let text = prompts();
    // Overshoot in thousandths of the true count.
    let (mut count, mut quick_over, mut tight_over, mut other_over) = (0u64, 0u64, 0u64, 0u64);
    for line in text.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let model = request["model"].as_str().unwrap();
        let truth = true_count(&request, model);
        let quick = read(CHAT, line.as_bytes()).unwrap();
        let mut tight = quick.clone();
        tighten(CHAT, line.as_bytes(), &mut tight);
        let other = || "another".to_owned();
        let mut other = Demand { model: other(), kind: other(), ..quick.clone() };
        tighten(CHAT, line.as_bytes(), &mut other);
        let (quick, tight, other) = (tokens(&quick), tokens(&tight), tokens(&other));
        assert!(
            truth <= tight && tight <= other && other <= quick,
            "{truth} {tight} {other} {quick}: {line}"
        );
        count += 1;
        quick_over += (quick - truth) * 1_000 / truth;
        tight_over += (tight - truth) * 1_000 / truth;
        other_over += (other - truth) * 1_000 / truth;
    }
    assert_eq!(count, 2_000);
    let percent = |sum: u64| sum / count / 10;
    println!(
        "{count} prompts: mean overshoot {} % by bytes, {}.{} % by the model's tokenizer, {} % by \
         another's",
        percent(quick_over),
        percent(tight_over),
        tight_over / count % 10,
        percent(other_over)
    );
    // The bound by the tokenizer is for use: it must stay near.
    assert!(tight_over / count < 150, "{tight_over}");
}

fn tokenizer(model: &str) -> &'static CoreBPE {
    match model.starts_with("gpt-4o") || model.starts_with("gpt-4.1") || model.starts_with("gpt-5")
    {
        true => tiktoken_rs::o200k_base_singleton(),
        false => tiktoken_rs::cl100k_base_singleton(),
    }
}

/// OpenAI's own functions `num_tokens_from_messages` and `num_tokens_for_tools`, from
/// <https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken>.
fn true_count(request: &Value, model: &str) -> u64 {
    let bpe = tokenizer(model);
    let count = |text: &str| bpe.encode_ordinary(text).len() as i64;
    let mut sum = 3;
    for message in request["messages"].as_array().unwrap() {
        sum += 3;
        for (key, value) in message.as_object().unwrap() {
            sum += i64::from(key == "name");
            sum += match value {
                Value::String(text) => count(text),
                parts => parts[0]["text"].as_str().map_or(0, count),
            };
        }
    }
    let Some(tools) = request["tools"].as_array() else { return u64::try_from(sum).unwrap() };
    let is_new = std::ptr::eq(bpe, tiktoken_rs::o200k_base_singleton());
    let without_stop = |text: &str| text.strip_suffix('.').unwrap_or(text).to_owned();
    for tool in tools {
        let function = &tool["function"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        sum += if is_new { 7 } else { 10 };
        let description = without_stop(&text(&function["description"]));
        sum += count(&format!("{}:{description}", text(&function["name"])));
        let properties = function["parameters"]["properties"].as_object().unwrap();
        sum += if properties.is_empty() { 0 } else { 3 };
        for (key, property) in properties {
            sum += 3;
            if let Some(words) = property["enum"].as_array() {
                sum -= 3;
                sum += words.iter().map(|word| 3 + count(word.as_str().unwrap())).sum::<i64>();
            }
            let description = without_stop(&text(&property["description"]));
            sum += count(&format!("{key}:{}:{description}", text(&property["type"])));
        }
    }
    u64::try_from(sum + 12).unwrap()
}
