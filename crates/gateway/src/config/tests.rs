//! What patterns mean.

use super::matches;

#[test]
fn a_star_stands_for_any_text() {
    let cases = [
        ("*", "gpt-4o", true),
        ("claude-*", "claude-3-opus", true),
        ("claude-*", "gpt-4o", false),
        ("*-mini", "gpt-4o-mini", true),
        ("gpt-*-mini", "gpt-4o-mini", true),
        ("gpt-*-mini", "gpt-4o", false),
        ("gpt-4o", "gpt-4o", true),
        ("gpt-4o", "gpt-4o-mini", false),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "a-c-b", false),
    ];
    for (pattern, name, expected) in cases {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}
