use bytes::Bytes;
use serde_json::Value;

use super::script::Script;
use super::transcript::{Transcript, id};
use super::wish::Wish;
use super::{Plan, chat, messages, responses};

type Answer = fn(&Wish<'_>, &Script, &super::usage::Usage, &str) -> Plan;

fn told(answer: Answer, body: &str, headers: &[(&'static str, &str)]) -> Transcript {
    let mut map = hyper::HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let script = Script::read(&map).unwrap();
    let wish: Wish<'_> = serde_json::from_str(body).unwrap();
    let usage = script.usage(&wish, body.len(), 7);
    answer(&wish, &script, &usage, &id(7)).unwrap()
}

fn events(pieces: &[Bytes]) -> Vec<Value> {
    let data = |piece: &Bytes| {
        let text = std::str::from_utf8(piece).unwrap().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
        (line != "[DONE]").then(|| serde_json::from_str(&line).unwrap())
    };
    pieces.iter().filter_map(data).collect()
}

#[test]
fn every_answer_is_json_with_the_usage_that_was_wanted() {
    let plain = r#"{"model":"m","max_tokens":100}"#;
    let tools = r#"{"model":"m","tools":[{"name":"weather","type":"function","function":{"name":"weather"}}]}"#;
    let thinking = r#"{"model":"m","thinking":{"type":"enabled","budget_tokens":1024}}"#;
    let search = r#"{"model":"m","tools":[{"type":"web_search_20250305","name":"web_search"}]}"#;
    let many = r#"{"model":"m","n":3}"#;
    let headers = [("x-script-input", "12"), ("x-script-output", "34")];
    for (answer, member) in [
        (messages::answer as Answer, "output_tokens"),
        (chat::answer, "completion_tokens"),
        (responses::answer, "output_tokens"),
    ] {
        for body in [plain, tools, thinking, search, many] {
            let whole = told(answer, body, &headers);
            let json: Value = serde_json::from_slice(&whole.pieces[0]).unwrap();
            assert_eq!(json["usage"][member], 34, "{json}");
            let stream =
                body.replacen('{', r#"{"stream":true,"stream_options":{"include_usage":true},"#, 1);
            let events = events(&told(answer, &stream, &headers).pieces);
            let mut usages = events.iter().filter_map(|event| {
                [&event["usage"], &event["response"]["usage"]]
                    .into_iter()
                    .find_map(|usage| usage[member].as_u64())
            });
            assert_eq!(usages.next_back(), Some(34), "{body}");
        }
    }
}

#[test]
fn a_chat_stream_says_usage_only_when_asked() {
    let silent = told(chat::answer, r#"{"model":"m","stream":true}"#, &[]);
    assert!(events(&silent.pieces).iter().all(|event| event.get("usage").is_none()));
    let asked = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    let asked = events(&told(chat::answer, asked, &[]).pieces);
    assert_eq!(asked.last().unwrap()["choices"], serde_json::json!([]));
    assert_eq!(asked[0]["usage"], Value::Null);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let body = r#"{"model":"m","stream":true,"max_tokens":900}"#;
    let script = [("x-script", "random-output"), ("x-script-seed", "5")];
    let twice = [(); 2].map(|()| told(messages::answer, body, &script).pieces.concat());
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn a_limit_is_kept_unless_the_script_breaks_it() {
    for (script, most) in [("plain", 100), ("random-output", 100), ("usage-above-bound", 1_300)] {
        let whole =
            told(messages::answer, r#"{"model":"m","max_tokens":100}"#, &[("x-script", script)]);
        let json: Value = serde_json::from_slice(&whole.pieces[0]).unwrap();
        assert!(json["usage"]["output_tokens"].as_u64().unwrap() <= most, "{json}");
    }
}

#[test]
fn a_script_that_nobody_knows_is_an_error() {
    let mut headers = hyper::HeaderMap::new();
    headers.insert("x-script", "plian".parse().unwrap());
    assert!(Script::read(&headers).is_err());
}
