use money::Money;
use proptest::prelude::*;

use super::*;

const CHAT: Api = Api::ChatCompletions;

/// input, output, cache read, 5 minutes, 1 hour.
fn classes(used: &Used) -> [u64; 5] {
    let tokens = used.tokens;
    [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write_5m, tokens.cache_write_1h]
}

#[test]
fn usage_in_both_words_is_the_larger() {
    let body = br#"{"model": "m", "usage": {"prompt_tokens": 900, "input_tokens": 0,
        "completion_tokens": 50, "output_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0,
                                  "cache_creation_tokens": 20}}}"#;
    assert_eq!(classes(&from_answer(CHAT, body).unwrap()), [870, 50, 10, 20, 0]);
}

#[test]
fn what_the_vendor_does_not_say_is_as_it_wcompleted_for() {
    let asked = |api: Api, inside: &str| {
        let body = format!(r#"{{"model": "m", {inside}}}"#);
        let used = from_answer(api, body.as_bytes()).unwrap();
        let used = used.completed(true, ServiceTier::Priority);
        (used.tier, used.tokens.cache_write_5m, used.tokens.cache_write_1h)
    };
    let written = r#""usage": {"prompt_tokens": 9, "completion_tokens": 5,
        "prompt_tokens_details": {"cache_write_tokens": 7}}"#;
    assert_eq!(asked(CHAT, written), (ServiceTier::Priority, 0, 7));
    let told = format!(r#"{written}, "service_tier": "default""#);
    assert_eq!(asked(CHAT, &told), (ServiceTier::Standard, 0, 7));
    // What came in later rounds, beyond the parts that were told at first.
    let grown = r#""usage": {"input_tokens": 5, "output_tokens": 7, "service_tier": "standard",
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}}"#;
    assert_eq!(asked(Api::Messages, grown), (ServiceTier::Standard, 4, 26));
}

#[test]
fn an_answers_usage_is_read_by_its_vendors_rules() {
    fn check(api: Api, usage: &str, expected: Option<[u64; 5]>) {
        let body = format!(r#"{{"model": "m", "usage": {usage}}}"#);
        assert_eq!(
            from_answer(api, body.as_bytes()).map(|used| classes(&used)),
            expected,
            "{usage}"
        );
    }
    for (usage, expected) in [
        (r#"{"input_tokens": 5, "output_tokens": 7}"#, Some([5, 7, 0, 0, 0])),
        (
            r#"{"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 9,
                "cache_creation_input_tokens": 11}"#,
            Some([5, 7, 9, 11, 0]),
        ),
        (
            r#"{"input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 11,
                "cache_creation": {"ephemeral_5m_input_tokens": 4,
                                   "ephemeral_1h_input_tokens": 7}}"#,
            Some([5, 7, 0, 4, 7]),
        ),
        (r#"{"input_tokens": 5}"#, None),
        (r#"{"input_tokens": -5, "output_tokens": 7}"#, None),
        (r#"{"input_tokens": 5, "output_tokens": 7000000000}"#, None),
        (r#"{"input_tokens": "5", "output_tokens": 7}"#, None),
        ("null", None),
    ] {
        check(Api::Messages, usage, expected);
    }
    for (usage, expected) in [
        (r#"{"prompt_tokens": 5, "completion_tokens": 7}"#, Some([5, 7, 0, 0, 0])),
        (
            r#"{"prompt_tokens": 5, "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 4}}"#,
            Some([1, 7, 4, 0, 0]),
        ),
        (
            r#"{"prompt_tokens": 5, "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 6}}"#,
            None,
        ),
        (r#"{"prompt_tokens": 5}"#, None),
        // Thoughts in the sum alone, as xAI tells them.
        (
            r#"{"prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428,
                "completion_tokens_details": {"reasoning_tokens": 2809}}"#,
            Some([10_120, 4_308, 0, 0, 0]),
        ),
        (
            r#"{"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 3}"#,
            Some([5, 7, 0, 0, 0]),
        ),
    ] {
        check(CHAT, usage, expected);
    }
    check(Api::Embeddings, r#"{"prompt_tokens": 5, "total_tokens": 5}"#, Some([5, 0, 0, 0, 0]));
    check(
        Api::Responses,
        r#"{"input_tokens": 5, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 2}}"#,
        Some([3, 7, 2, 0, 0]),
    );
    assert_eq!(from_answer(CHAT, b"garbage"), None);
}

#[test]
fn fees_tiers_and_places_are_charged() {
    let price: Price = serde_json::from_str(
        r#"{"model": "m", "vendor": "anthropic", "effective_from": "2024-01-01", "source": "s",
            "standard": {"input": "3", "output": "15"}}"#,
    )
    .unwrap();
    let check = |api: Api, body: &str, dollars: &str, differs: bool| {
        let charge = from_answer(api, body.as_bytes()).unwrap().charge(&price).unwrap();
        assert_eq!(charge, (dollars.parse::<Money>().unwrap(), differs), "{body}");
    };
    let anthropic = |more: &str| {
        format!(r#"{{"usage": {{"input_tokens": 1000, "output_tokens": 100{more}}}}}"#)
    };
    check(Api::Messages, &anthropic(""), "0.0045", false);
    check(Api::Messages, &anthropic(r#", "service_tier": "priority""#), "0.0045", false);
    check(Api::Messages, &anthropic(r#", "inference_geo": "us""#), "0.00495", true);
    let searched = r#", "server_tool_use": {"web_search_requests": 2}"#;
    check(Api::Messages, &anthropic(searched), "0.0245", true);
    let response = r#"{"model": "gpt-5", "usage": {"input_tokens": 1000, "output_tokens": 100},
        "output": [{"type": "web_search_call", "action": {"type": "search"}},
                   {"type": "web_search_call", "action": {"type": "open_page"}},
                   {"type": "file_search_call"}, {"type": "message"}]}"#;
    check(Api::Responses, response, "0.017", true);
}

const ANTHROPIC: &str = "event: message_start\n\
data: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":\
{\"input_tokens\":25,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
\"text\":\"Hello\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
\"text\":\" \\\"delta\\\":\\\"x\"}}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":\
{\"output_tokens\":15}}\n\n\
data: {\"type\":\"message_stop\"}\n\n";

const OPENAI: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\
\"content\":\"Hel\"}}],\"usage\":null}\n\n\
: a comment\n\n\
data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}],\
\"usage\":null}\n\n\
data: {\"model\":\"gpt\",\"choices\":[],\"usage\":\
{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n\
data: [DONE]\n\n";

const RESPONSES: &str = "event: response.created\n\
data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n\
data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hello\"}\n\n\
data: {\"type\":\"response.completed\",\ndata: \"response\":{\"model\":\"gpt\",\
\"service_tier\":\"flex\",\"usage\":{\"input_tokens\":9,\"output_tokens\":2}}}\n\n";

fn reader_of(api: Api, chunks: &[&[u8]]) -> StreamReader {
    let mut reader = StreamReader::new(api);
    chunks.iter().for_each(|chunk| reader.feed(chunk));
    reader.end();
    reader
}

#[test]
fn a_streams_usage_is_the_last_that_it_says() {
    fn check(api: Api, text: &str, expected: [u64; 5], output_bytes: u64) {
        let bom = format!("\u{feff}{text}");
        for text in [text, &text.replace('\n', "\r\n"), &text.replace('\n', "\r"), &bom] {
            let reader = reader_of(api, &[text.as_bytes()]);
            assert_eq!(classes(&reader.used().unwrap()), expected);
            let partial = reader.partial();
            assert_eq!(partial.output_bytes, output_bytes, "{text}");
            assert!(partial.finished && !partial.failed);
        }
    }
    check(Api::Messages, ANTHROPIC, [25, 15, 3, 0, 0], 19);
    check(CHAT, OPENAI, [9, 2, 0, 0, 0], 5);
    check(Api::Responses, RESPONSES, [9, 2, 0, 0, 0], 5);
    assert_eq!(
        reader_of(Api::Responses, &[RESPONSES.as_bytes()]).used().unwrap().tier,
        ServiceTier::Flex
    );
}

#[test]
fn a_stream_that_is_cut_has_no_usage_but_a_beginning() {
    let cut = ANTHROPIC.find("event: ping").unwrap();
    let reader = reader_of(Api::Messages, &[&ANTHROPIC.as_bytes()[..cut]]);
    assert_eq!(reader.used(), None);
    assert_eq!(reader.partial().prompt.unwrap().input, 25);
    let error = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    assert!(reader_of(Api::Messages, &[error.as_bytes()]).partial().failed);
    let error = "data: {\"error\":{\"message\":\"no\"}}\n\n";
    assert!(reader_of(CHAT, &[error.as_bytes()]).partial().failed);
    let garbage = OPENAI.replace("\"prompt_tokens\":9", "\"prompt_tokens\":-9");
    let reader = reader_of(CHAT, &[garbage.as_bytes()]);
    assert_eq!((reader.used(), reader.partial().finished), (None, true));
}

#[test]
fn usage_in_every_chunk_is_cumulative() {
    let chunk = |output: u64, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":{finish}}}],\"usage\":\
             {{\"prompt_tokens\":9,\"completion_tokens\":{output}}}}}\n\n"
        )
    };
    let begun = chunk(1, "null") + &chunk(2, "null");
    let reader = reader_of(CHAT, &[begun.as_bytes()]);
    assert_eq!(reader.used(), None);
    assert_eq!(reader.partial().prompt.unwrap().output, 2);
    let whole = begun + &chunk(3, "\"stop\"");
    assert_eq!(reader_of(CHAT, &[whole.as_bytes()]).used().unwrap().tokens.output, 3);
}

#[test]
fn an_event_that_is_too_large_is_counted_and_not_kept() {
    let large = format!("data: {}\n\n{OPENAI}", "x".repeat(3 << 20));
    let reader = reader_of(CHAT, &[large.as_bytes()]);
    assert!(reader.partial().output_bytes >= 3 << 20);
    assert_eq!(reader.used().unwrap().tokens.output, 2);
}

fn filtered(chunks: &[&[u8]]) -> Vec<u8> {
    let mut filter = UsageChunkFilter::new();
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| filter.feed(chunk, &mut out));
    filter.end(&mut out);
    out
}

/// The stream without its fourth event.
fn without_usage() -> String {
    let start = OPENAI.find("data: {\"model\"").unwrap();
    let end = OPENAI.find("data: [DONE]").unwrap();
    format!("{}{}", &OPENAI[..start], &OPENAI[end..])
}

#[test]
fn a_filter_passes_what_it_needs_no_longer() {
    let mut filter = UsageChunkFilter::new();
    let mut out = Vec::new();
    filter.feed(b"data: {\"choices\":[1]}\n\ndata: {\"ch", &mut out);
    let passed = b"data: {\"choices\":[1]}\n\n";
    assert_eq!(out, passed);
    filter.feed(&[b'x'; 70_000], &mut out);
    assert_eq!(out.len(), passed.len() + b"data: {\"ch".len() + 70_000);
}

/// Bytes cut at the places given.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_reads_the_same(
        which in 0usize..3,
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (api, text) =
            [(Api::Messages, ANTHROPIC), (CHAT, OPENAI), (Api::Responses, RESPONSES)][which];
        let text = text.replace('\n', line_end);
        let whole = reader_of(api, &[text.as_bytes()]);
        let parts = reader_of(api, &cut(text.as_bytes(), &places));
        prop_assert_eq!(whole.used(), parts.used());
        prop_assert_eq!(whole.partial(), parts.partial());
    }

    #[test]
    fn a_filter_takes_out_the_usage_and_nothing_else(
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let text = OPENAI.replace('\n', line_end);
        let out = filtered(&cut(text.as_bytes(), &places));
        prop_assert_eq!(String::from_utf8(out).unwrap(), without_usage().replace('\n', line_end));
    }

    #[test]
    fn any_bytes_pass_a_filter_and_a_reader(
        bytes in prop::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'd'), Just(b'"'), Just(b'\\'), any::<u8>()],
            0..300,
        ),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let parts = cut(&bytes, &places);
        prop_assert_eq!(&filtered(&parts), &bytes);
        for api in [Api::Messages, CHAT, Api::Responses] {
            let whole = reader_of(api, &[&bytes]);
            let cut = reader_of(api, &parts);
            prop_assert_eq!(whole.partial(), cut.partial());
        }
    }
}
