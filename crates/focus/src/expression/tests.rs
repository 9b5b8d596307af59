use super::*;

struct Source(Vec<(&'static str, &'static str)>);

impl Row<&'static str> for Source {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, text)| *text)
    }
}

impl Fields for Source {
    fn starting(&self, prefix: &str) -> Vec<(&str, &str)> {
        let all = self.0.iter();
        all.filter_map(|(name, text)| Some((name.strip_prefix(prefix)?, *text))).collect()
    }
}

const A: Expression = Expression::Field("a");
const B: Expression = Expression::Field("b");
const NONE: Expression = Expression::Field("none");

#[test]
fn every_word_means_what_it_says() {
    let row = Source(vec![
        ("a", "0.1"),
        ("b", "0.2"),
        ("map", r#"{"n": 1.50, "t": "x\"y", "z": null}"#),
        ("tag/team", "a \"b\""),
        ("tag/env", "prod"),
        ("time", "2024-10-01 00:00:00"),
    ]);
    let cases: &[(Expression, Option<&str>)] = &[
        (Expression::Null, None),
        (Expression::Text("AWS"), Some("AWS")),
        (A, Some("0.1")),
        (NONE, None),
        (Expression::Member("map", "n"), Some("1.50")),
        (Expression::Member("map", "t"), Some("x\"y")),
        (Expression::Member("map", "z"), None),
        (Expression::First(&[NONE, B, A]), Some("0.2")),
        (Expression::Case(&[(Condition::NotNull("none"), A)], &B), Some("0.2")),
        (Expression::Case(&[(Condition::Equal("a", "0.1"), A)], &B), Some("0.1")),
        (Expression::Joined(&[A, Expression::Text("-"), B]), Some("0.1-0.2")),
        (Expression::Joined(&[A, NONE]), None),
        (Expression::Before(&A, "."), Some("0")),
        (Expression::After(&A, "."), Some("1")),
        (Expression::After(&A, "/"), None),
        (Expression::Sum(&[A, NONE, B]), Some("0.3")),
        (Expression::Sum(&[NONE]), None),
        (Expression::Sum(&[Expression::Text("x"), A]), None),
        (Expression::Difference(&A, &B), Some("-0.1")),
        (Expression::Difference(&A, &NONE), None),
        (Expression::Object("tag/"), Some(r#"{"team":"a \"b\"","env":"prod"}"#)),
        (Expression::Object("no/"), None),
        (
            Expression::Rewritten(Rewrite::Instant, &Expression::Field("time")),
            Some("2024-10-01T00:00:00Z"),
        ),
        (Expression::Rewritten(Rewrite::Instant, &A), Some("0.1")),
    ];
    for (expression, expected) in cases {
        assert_eq!(expression.text(&row).as_deref(), *expected, "{expression:?}");
    }
}

#[test]
fn what_is_read_is_known_without_a_row() {
    let expression = Expression::Case(&[(Condition::Same("c", "d"), A)], &B);
    assert_eq!(expression.reads(), ["c", "d", "a", "b"]);
}
