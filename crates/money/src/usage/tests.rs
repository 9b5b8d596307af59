use super::*;

#[test]
fn a_tier_is_the_same_word_everywhere() {
    for word in ["standard", "batch", "priority", "flex"] {
        let tier: ServiceTier = word.parse().unwrap();
        assert_eq!(tier.to_string(), word);
        assert_eq!(serde_json::to_string(&tier).unwrap(), format!("\"{word}\""));
    }
    assert!("Batch".parse::<ServiceTier>().is_err());
}

#[test]
fn classes_left_out_are_zero_and_the_prompt_is_all_but_output() {
    let usage: TokenUsage =
        serde_json::from_str(r#"{"input": 1, "output": 100, "cache_read": 2}"#).unwrap();
    assert_eq!(usage, TokenUsage { input: 1, output: 100, cache_read: 2, ..Default::default() });
    let usage = TokenUsage { cache_write_5m: 4, cache_write_1h: u64::MAX, ..usage };
    assert_eq!(usage.prompt(), 7 + u128::from(u64::MAX));
    assert_eq!(usage.checked_add(&usage), None);
    assert_eq!(usage.checked_add(&TokenUsage::default()), Some(usage));
}
