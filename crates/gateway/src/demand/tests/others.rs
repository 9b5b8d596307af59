//! What other speakers of OpenAI's API, and its newest fields, add to a prompt or its price.

use super::*;

fn demand(api: Api, inside: &str) -> Result<Demand, Unmetered> {
    read(api, format!(r#"{{"model": "m", {inside}}}"#).as_bytes())
}

#[test]
fn what_runs_a_model_as_often_as_it_likes_is_refused() {
    for (api, inside, field) in [
        (Api::Responses, r#""reasoning": {"mode": "pro"}"#, "reasoning.mode"),
        (CHAT, r#""reasoning": {"mode": "pro"}"#, "reasoning.mode"),
        (
            Api::Responses,
            r#""input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]"#,
            "input.tools",
        ),
        (
            Api::Responses,
            r#""input": [{"type": "tool_search_output", "tools": [{"type": "mcp"}]}]"#,
            "input.tools",
        ),
        (CHAT, r#""extra_body": {"google": {"cached_content": "c"}}"#, "cached_content"),
        (CHAT, r#""google": {"cached_content": "c"}"#, "cached_content"),
        (CHAT, r#""cached_content": "c""#, "cached_content"),
    ] {
        assert_eq!(demand(api, inside).unwrap_err().field, field, "{inside}");
    }
    for inside in [
        r#""reasoning": {"mode": "standard", "effort": "high"}"#,
        r#""reasoning": {"mode": null}"#,
        r#""input": [{"type": "tool_search_output", "tools": [{"type": "function"}]}]"#,
        r#""input": [{"type": "tool_search_output", "tools": [
            {"type": "namespace", "tools": [{"type": "function"}]}]}]"#,
    ] {
        assert!(demand(Api::Responses, inside).is_ok(), "{inside}");
    }
}

#[test]
fn text_as_a_part_by_itself_counts() {
    let text = "word ".repeat(1_000);
    let inside = format!(r#""messages": [{{"role": "user", "content": ["{text}"]}}]"#);
    assert!(tokens(&demand(CHAT, &inside).unwrap()) >= 5_000);
}

#[test]
fn a_document_behind_an_address_fills_the_window() {
    let asked = |part: &str| {
        let inside = format!(r#""messages": [{{"role": "user", "content": [{part}]}}]"#);
        demand(CHAT, &inside).unwrap()
    };
    for part in [
        r#"{"type": "document_url", "document_url": "https://example.org/a.pdf"}"#,
        r#"{"type": "document", "url": "https://example.org/a.pdf"}"#,
        r#"{"type": "image", "url": "https://example.org/a.png"}"#,
        r#"{"type": "document", "document": {"file_id": "f"}}"#,
    ] {
        assert_eq!(asked(part).prompt, PromptBound::Window, "{part}");
    }
    for part in [
        r#"{"type": "text", "text": "a", "url": null, "file": null, "audio": null}"#,
        r#"{"type": "web_search_result", "url": "https://example.org", "title": "t"}"#,
        r#"{"type": "document", "document": {"data": {"text": "t"}}}"#,
    ] {
        assert!(tokens(&asked(part)) < 500, "{part}");
    }
    let inside = r#""extra_body": {"google": {"cached_content": null}}"#;
    assert!(demand(CHAT, inside).is_ok());
}

#[test]
fn a_cache_of_an_hour_is_held_whoever_is_asked() {
    let part = r#"{"type": "text", "text": "a", "cache_control": {"ttl": "1h"}}"#;
    let chat = format!(r#""messages": [{{"role": "user", "content": [{part}]}}]"#);
    assert!(demand(CHAT, &chat).unwrap().cache.write_1h);
    let response = format!(r#""input": [{{"role": "user", "content": [{part}]}}]"#);
    assert!(demand(Api::Responses, &response).unwrap().cache.write_1h);
}

#[test]
fn a_tools_text_counts_as_json_writes_it() {
    let tool = |text: &str| {
        let tools = json!([{ "type": "function", "function": { "description": text } }]);
        tokens(&demand(CHAT, &format!(r#""tools": {tools}"#)).unwrap())
    };
    assert_eq!(tool(&"\u{1}".repeat(100)) - tool(&"a".repeat(100)), 500);
    assert_eq!(tool(&"\n".repeat(100)) - tool(&"a".repeat(100)), 100);
}

#[test]
fn who_thinks_out_of_sight_is_known() {
    let of = |api: Api, model: &str, inside: &str| {
        let body = format!(r#"{{"model": "{model}"{inside}}}"#);
        read(api, body.as_bytes()).unwrap().thinks
    };
    for (model, inside, expected) in [
        ("o3", "", true),
        ("gpt-5", "", true),
        ("gpt-5-chat-latest", "", false),
        ("gpt-5", r#", "reasoning_effort": "none""#, false),
        ("gpt-4o", "", false),
        ("grok-4", r#", "reasoning_effort": "high""#, true),
    ] {
        assert_eq!(of(CHAT, model, inside), expected, "{model}{inside}");
    }
    let thinking = |word: &str| format!(r#", "max_tokens": 9, "thinking": {{"type": "{word}"}}"#);
    assert!(of(Api::Messages, "claude", &thinking("adaptive")));
    assert!(!of(Api::Messages, "claude", &thinking("disabled")));
}

#[test]
fn a_name_that_says_another_tokenizer_never_lowers_the_bound() {
    let text = "Բյուջեն սահման է, ոչ թե խնդրանք։ ბიუჯეტი ზღვარია.\n1 ".repeat(40);
    let body = |model: &str| {
        json!({ "model": model, "messages": [{ "role": "user", "content": &text }] }).to_string()
    };
    let old = tiktoken_rs::cl100k_base_singleton().encode_ordinary(&text).len() as u64;
    let new = tiktoken_rs::o200k_base_singleton().encode_ordinary(&text).len() as u64;
    for (model, kind, least, is_exact) in [
        ("gpt-4o", "gpt-4o-2024-08-06", new, true),
        ("gpt-4", "gpt-4-0613", old, true),
        ("ours", "gpt-4", old, false),
        ("gpt-4o-ours", "gpt-4", old, false),
        ("gpt-4", "ours", old, false),
        ("ours", "gpt-4o", new, false),
        ("ours", "ours", new, false),
    ] {
        let body = body(model);
        let mut demand = super::super::read(CHAT, body.as_bytes(), |_| kind.to_owned()).unwrap();
        tighten(CHAT, body.as_bytes(), &mut demand);
        let bound = tokens(&demand);
        assert!(bound >= least, "{model} {kind}: {bound} < {least}");
        assert_eq!(bound < least + 100, is_exact, "{model} {kind}: {bound}, {least}");
    }
}
