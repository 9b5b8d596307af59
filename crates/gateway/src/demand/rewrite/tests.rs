use proptest::prelude::*;

use super::*;

#[test]
fn a_body_is_changed_only_where_asked() {
    fn check(api: Api, body: &str, edits: &Edits, expected: &str) {
        let changed = rewrite(api, body.as_bytes(), edits).unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
    }
    let model = Edits { model: Some("n\"".to_owned()), ..Edits::default() };
    check(
        Api::ChatCompletions,
        r#" {"a" : 1.50, "model":"m" ,"b":[ ]} "#,
        &model,
        r#" {"a" : 1.50, "model":"n\"" ,"b":[ ]} "#,
    );
    check(Api::ChatCompletions, r#"{"mod\u0065l":"m"}"#, &model, r#"{"mod\u0065l":"n\""}"#);
    let limit = Edits { output_limit: Some(9), ..Edits::default() };
    check(Api::ChatCompletions, r#"{"model":"m"}"#, &limit, r#"{"model":"m","max_tokens":9}"#);
    check(
        Api::ChatCompletions,
        r#"{"model":"o3"}"#,
        &limit,
        r#"{"model":"o3","max_completion_tokens":9}"#,
    );
    let ours = Edits { kind: Some("o3".to_owned()), ..limit.clone() };
    check(
        Api::ChatCompletions,
        r#"{"model":"ours"}"#,
        &ours,
        r#"{"model":"ours","max_completion_tokens":9}"#,
    );
    check(Api::ChatCompletions, r#"{"max_tokens":50}"#, &limit, r#"{"max_tokens":9}"#);
    check(Api::ChatCompletions, "{}", &limit, r#"{"max_tokens":9}"#);
    check(Api::Responses, r#"{"a":"}"}"#, &limit, r#"{"a":"}","max_output_tokens":9}"#);
    let usage = Edits { include_usage: true, ..Edits::default() };
    check(
        Api::ChatCompletions,
        r#"{"a":1}"#,
        &usage,
        r#"{"a":1,"stream_options":{"include_usage":true}}"#,
    );
    check(
        Api::ChatCompletions,
        r#"{"stream_options":{"x": 1,"include_usage":false}}"#,
        &usage,
        r#"{"stream_options":{"x": 1,"include_usage":true}}"#,
    );
    check(
        Api::ChatCompletions,
        r#"{"stream_options":null}"#,
        &usage,
        r#"{"stream_options":{"include_usage":true}}"#,
    );
    check(Api::Responses, r#"{"a":1}"#, &usage, r#"{"a":1}"#);
}

proptest! {
    #[test]
    fn other_members_stay_byte_for_byte(
        keys in prop::collection::btree_set("[a-z]{1,4}", 0..6),
        spaces in "[ \n\t]{0,3}",
        value in prop::sample::select(vec![
            "1.50",
            "[ 1,2 ]",
            r#"{"model": 1e9}"#,
            r#""\u0041}\"""#,
        ]),
        place in any::<prop::sample::Index>(),
    ) {
        let others = keys.iter().map(|key| format!("{spaces}\"{key}\"{spaces}: {value}{spaces}"));
        let others: Vec<_> = others.collect();
        let with = |model: &str| {
            let mut members = others.clone();
            let at = place.index(members.len() + 1);
            members.insert(at, format!("{spaces}\"model\":{spaces}{model}"));
            format!("{spaces}{{{}}}{spaces}", members.join(","))
        };
        let edits = Edits { model: Some("b".to_owned()), ..Edits::default() };
        let changed = rewrite(Api::Responses, with("\"a\"").as_bytes(), &edits).unwrap();
        prop_assert_eq!(String::from_utf8(changed).unwrap(), with("\"b\""));
    }
}
