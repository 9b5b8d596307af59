mod images;
mod others;
mod prompts;

use money::{Money, Price};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A price with every class, a priority tier, a band and both limits.
fn price() -> Price {
    let json = r#"{
        "model": "m", "vendor": "v", "effective_from": "2024-01-01", "source": "s",
        "max_input_tokens": 200000, "max_output_tokens": 8000,
        "standard": {"input": "3", "output": "15", "cache_read": "0.3",
                     "cache_write_5m": "3.75", "cache_write_1h": "6"},
        "batch": {"input": "1.5", "output": "7.5"},
        "long_context": [{"above_input_tokens": 100000,
                          "standard": {"input": "6", "output": "22.5"}}]
    }"#;
    serde_json::from_str(json).unwrap()
}

fn dear_price() -> Price {
    let mut price = price();
    let mut rates = price.standard;
    rates.input = money::UnitPrice::per_million("30").unwrap();
    price.priority = Some(rates);
    price
}

fn tokens(demand: &Demand) -> u64 {
    match demand.prompt {
        PromptBound::Tokens(tokens) => tokens,
        PromptBound::Window => panic!("it fills the window: {demand:?}"),
    }
}

const CHAT: Api = Api::ChatCompletions;

/// Reads a body whose model has no other name.
fn read(api: Api, body: &[u8]) -> Result<Demand, Unmetered> {
    super::read(api, body, str::to_owned)
}

#[test]
fn what_has_no_bound_is_refused_by_the_field() {
    fn check(api: Api, body: &str, field: &str) {
        let refused = read(api, body.as_bytes()).unwrap_err();
        assert_eq!(refused.field, field, "{body}: {refused}");
    }
    for (body, field) in [
        ("", "body"),
        ("[]", "body"),
        ("{}", "model"),
        (r#"{"model": 3}"#, "model"),
        (r#"{"model": "m", "model": "n"}"#, "body"),
        (r#"{"model": "m", "mod\u0065l": "n"}"#, "body"),
        (r#"{"model": "m"} x"#, "body"),
        (r#"{"model": "m", "max_tokens": -1}"#, "max_tokens"),
        (r#"{"model": "m", "max_tokens": 1.5}"#, "max_tokens"),
        (r#"{"model": "m", "max_tokens": 1e3}"#, "max_tokens"),
        (r#"{"model": "m", "max_tokens": "5"}"#, "max_tokens"),
        (r#"{"model": "m", "max_tokens": 99999999999999999999}"#, "max_tokens"),
        (r#"{"model": "m", "max_tokens": {"a": 1, "a": 2}}"#, "body"),
        (r#"{"model": "m", "stream": 1}"#, "stream"),
        (r#"{"model": "m", "x": 11111111111111111111111111111111111111111}"#, "body"),
    ] {
        check(Api::Messages, body, field);
        check(CHAT, body, field);
    }
    for (inside, field) in [
        (r#""speed": "fast""#, "speed"),
        (r#""mcp_servers": [{"url": "u"}]"#, "mcp_servers"),
        (r#""container": "c""#, "container"),
        (r#""surprise": 1"#, "surprise"),
        (r#""inference_geo": "eu""#, "inference_geo"),
        (r#""service_tier": "priority""#, "service_tier"),
        (r#""thinking": {"type": "enabled", "budget_tokens": -5}"#, "budget_tokens"),
        (r#""tools": [{"type": "web_search_20250305"}]"#, "tools.max_uses"),
        (r#""tools": [{"type": "web_fetch_20250910"}]"#, "tools.max_uses"),
        (r#""tools": [{"type": "code_execution_20250825"}]"#, "tools.type"),
        (r#""tools": [{"type": "mcp_toolset"}]"#, "tools.type"),
        (r#""context_management": {"edits": [{"type": "compact_1"}]}"#, "context_management"),
    ] {
        check(Api::Messages, &format!(r#"{{"model": "m", {inside}}}"#), field);
    }
    for (inside, field) in [
        (r#""modalities": ["text", "audio"]"#, "modalities"),
        (r#""audio": {"voice": "v"}"#, "audio"),
        (r#""web_search_options": {}"#, "web_search_options"),
        (r#""n": 0.5"#, "n"),
        (r#""deferred": true"#, "deferred"),
        (r#""data_sources": [{"type": "azure_search"}]"#, "data_sources"),
        (r#""service_tier": "turbo""#, "service_tier"),
        (r#""tools": [{"type": "web_search"}]"#, "tools.type"),
        (
            r#""messages": [{"role": "user", "content": [{"type": "input_audio"}]}]"#,
            "content.input_audio",
        ),
    ] {
        check(CHAT, &format!(r#"{{"model": "m", {inside}}}"#), field);
    }
    for (inside, field) in [
        (r#""background": true"#, "background"),
        (r#""multi_agent": {"enabled": true}"#, "multi_agent"),
        (r#""prompt": {"id": "pmpt_1"}"#, "prompt"),
        (r#""prompt": {"id": "pmpt_1"}, "max_tool_calls": 3"#, "prompt"),
        (r#""input": [{"type": "compaction_trigger"}]"#, "input.compaction_trigger"),
        (r#""tools": [{"type": "web_search"}]"#, "max_tool_calls"),
        (r#""tools": [{"type": "mcp"}], "max_tool_calls": 1"#, "tools.type"),
        (r#""tools": [{"type": "code_interpreter"}]"#, "tools.type"),
        (r#""tools": [{"type": "image_generation"}]"#, "tools.type"),
        (r#""context_management": [{}]"#, "context_management"),
    ] {
        check(Api::Responses, &format!(r#"{{"model": "m", {inside}}}"#), field);
    }
    check(Api::Embeddings, r#"{"model": "m"}"#, "input");
    check(Api::Embeddings, r#"{"model": "m", "input": [[[1]]]}"#, "input");
    check(Api::MessageBatches, r#"{"model": "m"}"#, "requests");
}

#[test]
fn deep_and_wide_bodies_are_refused() {
    let deep = format!(r#"{{"model": "m", "x": {}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(read(CHAT, deep.as_bytes()).unwrap_err().field, "body");
    let wide = format!(r#"{{"model": "m", "x": [{}0]}}"#, "0,".repeat(600_000));
    assert_eq!(read(CHAT, wide.as_bytes()).unwrap_err().field, "body");
}

#[test]
fn what_decides_the_cost_is_read() {
    fn check(api: Api, inside: &str, expected: fn(&Demand) -> bool) {
        let body = format!(r#"{{"model": "m", {inside}}}"#);
        let demand = read(api, body.as_bytes()).unwrap();
        assert!(expected(&demand), "{body}: {demand:?}");
    }
    use Api::{CountTokens, Embeddings, Messages, Responses};
    let is_us = |demand: &Demand| demand.multiplier == Ratio::UNITED_STATES;
    check(Messages, r#""max_tokens": 7, "stream": true"#, |d| d.output == Some(7) && d.is_stream);
    check(Messages, r#""max_tokens": null"#, |d| d.output.is_none() && d.tier == TierAsked::Auto);
    check(Messages, r#""service_tier": "standard_only""#, |d| d.tier == TierAsked::Standard);
    check(Messages, r#""inference_geo": "us""#, is_us);
    check(Messages, r#""max_tokens": 9, "thinking": {"budget_tokens": 20}"#, |d| {
        d.output_extra == 11
    });
    check(Messages, r#""thinking": {"budget_tokens": 20}, "max_tokens": 30"#, |d| {
        d.output_extra == 0 && d.output_floor == 20
    });
    check(Messages, r#""system": [{"type": "text", "cache_control": {"type": "x"}}]"#, |d| {
        d.cache == CacheAsked { write_5m: true, write_1h: false }
    });
    check(Messages, r#""tools": [{"name": "t", "cache_control": {"ttl": "1h"}}]"#, |d| {
        d.cache.write_1h
    });
    check(Messages, r#""tools": [{"type": "web_search_20250305", "max_uses": 4}]"#, |d| {
        let asked = FeeAsked { fee: Fee::AnthropicWebSearch, uses_most: Some(4) };
        d.fees == [asked] && d.rounds == 10 && d.prompt == PromptBound::Window
    });
    check(CHAT, r#""max_tokens": 7, "max_completion_tokens": 9, "n": 3"#, |d| {
        d.output == Some(9) && d.choices == 3
    });
    check(CHAT, r#""stream_options": {"include_usage": true}"#, |d| d.wants_usage);
    check(CHAT, r#""service_tier": "flex""#, |d| d.tier == TierAsked::Flex);
    check(CHAT, r#""prediction": {"content": "0123456789"}"#, |d| d.output_extra >= 10);
    check(CHAT, r#""messages": [{"content": [{"type": "file", "file": {}}]}]"#, |d| {
        d.prompt == PromptBound::Window
    });
    // What the vendor has stored may fill the window.
    for inside in [
        r#""previous_response_id": "id""#,
        r#""conversation": "id""#,
        r#""input": [{"type": "item_reference", "id": "msg_1"}]"#,
        r#""input": [{"id": "msg_1"}]"#,
        r#""input": [{"id": "msg_1", "type": null, "content": null}]"#,
        r#""input": [{"type": "reasoning", "id": "rs_1", "summary": []}]"#,
    ] {
        check(Responses, inside, |d| d.prompt == PromptBound::Window && d.rounds == 1);
    }
    let thoughts = r#""input": [{"type": "reasoning", "id": "rs", "encrypted_content": "abc"}]"#;
    check(Responses, thoughts, |d| (3..200).contains(&tokens(d)));
    check(Responses, r#""input": [{"role": "user", "content": "abc"}]"#, |d| {
        (3..100).contains(&tokens(d))
    });
    check(Responses, r#""max_output_tokens": 8, "input": "abc""#, |d| {
        d.output == Some(8) && (3..60).contains(&tokens(d))
    });
    check(Responses, r#""tools": [{"type": "web_search"}], "max_tool_calls": 2"#, |d| {
        d.fees[0].fee == Fee::OpenAiWebSearch && d.rounds == 3
    });
    check(Embeddings, r#""input": [[1, 2], [3]]"#, |d| {
        d.output == Some(0) && (3..20).contains(&tokens(d))
    });
    check(CountTokens, r#""messages": []"#, |d| tokens(d) == 0 && d.output == Some(0));
}

#[test]
fn what_a_tool_is_asked_counts_as_text_whatever_it_looks_like() {
    let long = "0123456789".repeat(2_000);
    for input in [
        json!({ "type": "image", "source": long }),
        json!({ "type": "document", "source": { "type": "text", "data": "", "x": long } }),
        json!({ "type": "tool_result", "content": [{ "type": "image", "source": long }] }),
        json!({ "rows": [{ "type": "image", "cache_control": long }] }),
    ] {
        for kind in ["tool_use", "server_tool_use"] {
            let block = json!({ "type": kind, "id": "t", "name": "save", "input": input });
            let messages = json!([{ "role": "assistant", "content": [block] }]);
            let body = json!({ "model": "m", "max_tokens": 9, "messages": messages }).to_string();
            assert!(tokens(&read(Api::Messages, body.as_bytes()).unwrap()) >= 20_000, "{input}");
        }
    }
}

#[test]
fn a_batch_is_read_request_by_request() {
    let body = br#"{"requests": [
        {"custom_id": "a", "params": {"model": "m", "max_tokens": 5}},
        {"custom_id": "b", "params": {"model": "n", "max_tokens": 6}}]}"#;
    let batch = read_batch(body, false).unwrap();
    let shown: Vec<_> = batch.iter().map(|(id, d)| (id.as_str(), d.output, d.tier)).collect();
    assert_eq!(shown, [("a", Some(5), TierAsked::Batch), ("b", Some(6), TierAsked::Batch)]);
    assert_eq!(
        read_batch(br#"{"requests": [{}]}"#, false).unwrap_err().field,
        "requests.custom_id"
    );
}

fn asking(prompt: u64, output: Option<u64>) -> Demand {
    Demand { prompt: PromptBound::Tokens(prompt), output, ..Demand::plain("m", "m".to_owned()) }
}

#[test]
fn a_hold_is_the_dearest_that_can_apply() {
    fn check(demand: &Demand, price: &Price, dollars: &str) {
        assert_eq!(demand.hold(price).unwrap(), dollars.parse::<Money>().unwrap(), "{demand:?}");
    }
    let plain = asking(1_000, Some(100));
    check(&plain, &price(), "0.0045");
    // Without a limit, the model's own: 8,000 tokens.
    check(&asking(1_000, None), &price(), "0.123");
    check(&Demand { choices: 2, ..plain.clone() }, &price(), "0.006");
    check(&Demand { output_extra: 100, ..plain.clone() }, &price(), "0.006");
    check(&Demand { tier: TierAsked::Batch, ..plain.clone() }, &price(), "0.00225");
    // Flex may be served as standard; auto may be served as priority where it is sold.
    check(&Demand { tier: TierAsked::Flex, ..plain.clone() }, &price(), "0.0045");
    check(&Demand { tier: TierAsked::Auto, ..plain.clone() }, &price(), "0.0045");
    check(&Demand { tier: TierAsked::Auto, ..plain.clone() }, &dear_price(), "0.0315");
    let cache = CacheAsked { write_5m: true, write_1h: false };
    check(&Demand { cache, ..plain.clone() }, &price(), "0.00525");
    let cache = CacheAsked { write_5m: true, write_1h: true };
    check(&Demand { cache, ..plain.clone() }, &price(), "0.0075");
    check(&Demand { multiplier: Ratio::UNITED_STATES, ..plain.clone() }, &price(), "0.00495");
    check(&Demand { prompt: PromptBound::Window, ..plain.clone() }, &price(), "1.20225");
    let fees = vec![FeeAsked { fee: Fee::AnthropicWebSearch, uses_most: Some(2) }];
    // Three times the window of 200,000 and three times the output in the long band, and 2 cents.
    check(&Demand { fees, rounds: 3, ..plain.clone() }, &price(), "3.62675");

    let priority = Demand { tier: TierAsked::Priority, ..plain.clone() };
    assert!(matches!(priority.hold(&price()), Err(Unbounded::Price(_))));
    let mut bare = price();
    (bare.max_input_tokens, bare.max_output_tokens) = (None, None);
    assert!(matches!(asking(1, None).hold(&bare), Err(Unbounded::Output { .. })));
    let window = Demand { prompt: PromptBound::Window, ..plain.clone() };
    assert!(matches!(window.hold(&bare), Err(Unbounded::Window { .. })));
    let fees = vec![FeeAsked { fee: Fee::OpenAiWebSearch, uses_most: None }];
    assert_eq!(Demand { fees, ..plain }.hold(&price()), Err(Unbounded::Fee));
    assert!(asking(u64::MAX, Some(u64::MAX)).hold(&price()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for api in [Api::Messages, CHAT, Api::Responses, Api::Embeddings, Api::CountTokens] {
            let _ = read(api, &body);
            let _ = rewrite(api, &body, &Edits { include_usage: true, ..Edits::default() });
        }
        let _ = read_batch(&body, true);
    }

    #[test]
    fn any_value_in_any_field_is_read_or_refused(
        field in prop::sample::select(vec![
            "messages", "tools", "system", "input", "thinking", "stream_options", "cache_control",
            "prediction", "functions", "response_format", "service_tier", "context_management",
        ]),
        value in values(),
    ) {
        let body = format!(r#"{{"model": "gpt-4o", "{field}": {value}}}"#);
        for api in [Api::Messages, CHAT, Api::Responses, Api::Embeddings] {
            if let Ok(quick) = read(api, body.as_bytes()) {
                let mut tight = quick.clone();
                tighten(api, body.as_bytes(), &mut tight);
                if let (PromptBound::Tokens(quick), PromptBound::Tokens(tight)) =
                    (quick.prompt, tight.prompt)
                {
                    prop_assert!(tight <= quick);
                }
            }
        }
    }

    #[test]
    fn what_is_affordable_fits_and_one_more_does_not(
        prompt in 0u64..150_000,
        cents in 0i64..100,
        choices in 1u64..4,
    ) {
        let demand = Demand { choices, ..asking(prompt, None) };
        let amount = Money::from_nanos(i128::from(cents) * 10_000_000);
        let with = |limit| Demand { output: Some(limit), ..demand.clone() }.hold(&price()).unwrap();
        match demand.affordable_output(&price(), amount) {
            Some(limit) => {
                prop_assert!(with(limit) <= amount);
                prop_assert!(limit == 8_000 || with(limit + 1) > amount);
            }
            None => prop_assert!(with(1) > amount),
        }
    }
}

/// JSON of any shape, with words that mean something among its keys and texts.
fn values() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "type",
        "text",
        "content",
        "role",
        "image",
        "image_url",
        "source",
        "data",
        "url",
        "base64",
        "tool_result",
        "document",
        "custom",
        "function",
        "name",
        "input_image",
        "detail",
        "low",
        "max_uses",
        "cache_control",
        "ttl",
        "1h",
        "edits",
        "budget_tokens",
        "ü",
        "漢字",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_filter("JSON", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        word.clone().prop_map(|word| format!("{word:?}")),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let member = (word.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(word.clone(), member.prop_map(|(_, value)| value), 0..5)
                .prop_map(|members| {
                    let members: Vec<_> =
                        members.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
        ]
    })
}
