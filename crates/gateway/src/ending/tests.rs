//! The table, walked through.

use money::{ServiceTier, TokenUsage};

use super::*;
use crate::demand::Ratio;

fn used() -> Used {
    let tokens = TokenUsage { input: 10, output: 5, ..TokenUsage::default() };
    let (tier, multiplier) = (ServiceTier::Standard, Ratio::ONE);
    Used { tokens, tier, fees: Vec::new(), multiplier, model: None }
}

fn check(ending: Ending, used: Option<Used>, seen: Partial, expected: &Verdict) {
    let usage = TokenUsage { input: 40, output: 100, ..TokenUsage::default() };
    let found = verdict(ending, used, &seen, Held { usage });
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
    check(Ending::Lost, None, nothing(), &Verdict::ChargeHold);
    for ending in [Ending::Whole, Ending::Cut] {
        check(ending, Some(used()), some(), &Verdict::Charge(used()));
        check(ending, None, nothing(), &estimate(40, 0));
        check(ending, None, some(), &estimate(40, 12));
    }
}

#[test]
fn an_estimate_takes_the_reported_prompt_and_stays_within_the_hold() {
    let prompt = TokenUsage { input: 3, cache_read: 7, ..TokenUsage::default() };
    let seen = Partial { prompt: Some(prompt), output_bytes: 10_000, ..Partial::default() };
    let expected = TokenUsage { output: 100, ..prompt };
    check(Ending::Cut, None, seen, &Verdict::Estimate(expected));
}
