//! The table, walked through.

use money::{ServiceTier, TokenUsage};

use super::*;
use crate::demand::Ratio;

fn used() -> Used {
    let tokens = TokenUsage { input: 10, output: 5, ..TokenUsage::default() };
    let (tier, multiplier) = (ServiceTier::Standard, Ratio::ONE);
    Used { tokens, tier, multiplier, ..Used::default() }
}

fn check(ending: Ending, used: Option<Used>, seen: Partial, expected: &Verdict) {
    let usage = TokenUsage { input: 40, output: 100, ..TokenUsage::default() };
    let found = verdict(ending, used, &seen, Held { usage, thinks: false });
    assert_eq!(&found, expected, "{ending:?}");
}

#[test]
fn every_ending_has_its_verdict() {
    let nothing = Partial::default;
    let some = || Partial { output_bytes: 45, ..Partial::default() };
    let estimate =
        |input, output| Verdict::Estimate(TokenUsage { input, output, ..TokenUsage::default() });
    check(Ending::Unsent, None, nothing(), &Verdict::Release);
    check(Ending::Rejected, None, nothing(), &Verdict::Release);
    check(Ending::Billed, None, nothing(), &Verdict::ChargeHold);
    check(Ending::Billed, None, Partial { failed: true, ..nothing() }, &estimate(40, 0));
    check(Ending::Lost, None, nothing(), &Verdict::ChargeHold);
    for ending in [Ending::Whole, Ending::Cut] {
        check(ending, Some(used()), some(), &Verdict::Charge(used()));
        check(ending, None, nothing(), &estimate(40, 0));
        check(ending, None, some(), &estimate(40, 12));
    }
}

#[test]
fn what_is_thought_out_of_sight_is_charged_as_it_is_held_until_something_is_seen() {
    let usage = TokenUsage { input: 40, output: 100, ..TokenUsage::default() };
    let held = Held { usage, thinks: true };
    let cut = |output_bytes| {
        verdict(Ending::Cut, None, &Partial { output_bytes, ..Partial::default() }, held)
    };
    assert_eq!(cut(0), Verdict::ChargeHold);
    assert_eq!(cut(45), Verdict::Estimate(TokenUsage { output: 12, ..usage }));
}

#[test]
fn azure_bills_what_it_has_begun_with() {
    let error = |code: &str| format!(r#"{{"error": {{"code": "{code}", "message": "…"}}}}"#);
    for (status, body, is_prompt) in [
        (400, error("content_filter"), Some(false)),
        (400, error("context_length_exceeded"), Some(true)),
        (400, error("invalid_request"), None),
        (400, "garbage".to_owned(), None),
        (400, r#"{"error": {"code": null}}"#.to_owned(), None),
        (408, String::new(), Some(false)),
        (401, error("content_filter"), None),
        (429, error("429"), None),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let found = billed_by_azure(status, body.as_bytes(), true);
        assert_eq!(found.map(|seen| seen.failed), is_prompt, "{status} {body}");
    }
    assert!(billed_by_azure(StatusCode::BAD_REQUEST, b"{\"error\": {\"co", false).is_some());
}

#[test]
fn an_estimate_takes_the_reported_prompt_and_stays_within_the_hold() {
    let prompt = TokenUsage { input: 3, cache_read: 7, ..TokenUsage::default() };
    let seen = Partial { prompt: Some(prompt), output_bytes: 10_000, ..Partial::default() };
    let expected = TokenUsage { output: 100, ..prompt };
    check(Ending::Cut, None, seen, &Verdict::Estimate(expected));
}
