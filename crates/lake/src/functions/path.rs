//! Paths into JSON, as DuckDB reads them.
//!
//! `$.a.b`, `$."a b"`, `$.a[0]`, `$.a[-1]`, `$.a[#-1]`, `$.a[*]`, `$.*`; `/a/0` as a JSON pointer;
//! anything else is the name of a member. Invariant: a number's text comes out as it went in.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    /// From the front.
    Element(usize),
    /// From the back, 1 is the last.
    ElementBack(usize),
    Every,
}

/// The path's steps, or what is wrong with it.
pub(super) fn parse(path: &str) -> Result<Vec<Step>, String> {
    if let Some(rest) = path.strip_prefix('$') {
        return steps(rest)
            .ok_or_else(|| format!("{path:?} is no JSON path; write $.name or $[0]"));
    }
    if let Some(rest) = path.strip_prefix('/') {
        let step = |name: &str| match name.parse() {
            Ok(index) => Step::Element(index),
            Err(_) => Step::Member(name.replace("~1", "/").replace("~0", "~")),
        };
        return Ok(rest.split('/').map(step).collect());
    }
    if path.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Step::Member(path.to_owned())])
}

fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[*]") {
            steps.push(Step::Every);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']')?;
            steps.push(index(inside)?);
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            if let Some(quoted) = after.strip_prefix('"') {
                let (name, after) = quoted.split_once('"')?;
                steps.push(Step::Member(name.to_owned()));
                rest = after;
            } else {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, after) = after.split_at(end);
                steps.push(match name {
                    "" => return None,
                    "*" => Step::Every,
                    name => Step::Member(name.to_owned()),
                });
                rest = after;
            }
        }
    }
    Some(steps)
}

fn index(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if let Some(back) = inside.strip_prefix("#-").or_else(|| inside.strip_prefix('-')) {
        return back.parse().ok().filter(|back| *back > 0).map(Step::ElementBack);
    }
    inside.parse().ok().map(Step::Element)
}

/// Whether the path may lead to several places.
pub(super) fn is_many(steps: &[Step]) -> bool {
    steps.contains(&Step::Every)
}

/// Everything the path leads to, each as it is written; an error if the text is no JSON.
pub(super) fn find<'a>(text: &'a str, steps: &[Step]) -> Result<Vec<&'a str>, serde_json::Error> {
    let whole: &RawValue = serde_json::from_str(text)?;
    let mut found = Vec::new();
    walk(whole.get(), steps, &mut found)?;
    Ok(found)
}

fn walk<'a>(
    text: &'a str,
    steps: &[Step],
    found: &mut Vec<&'a str>,
) -> Result<(), serde_json::Error> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(text);
        return Ok(());
    };
    let first = text.as_bytes().first();
    match (step, first) {
        (Step::Member(name), Some(b'{')) => {
            let mut reader = serde_json::Deserializer::from_str(text);
            if let Some(value) = (Member(name)).deserialize(&mut reader)? {
                walk(value, rest, found)?;
            }
        }
        (Step::Every, Some(b'{')) => {
            let mut reader = serde_json::Deserializer::from_str(text);
            for value in Members.deserialize(&mut reader)? {
                walk(value, rest, found)?;
            }
        }
        (Step::Element(_) | Step::ElementBack(_) | Step::Every, Some(b'[')) => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            let range = match step {
                Step::Element(at) => *at..at.saturating_add(1),
                Step::ElementBack(back) => match elements.len().checked_sub(*back) {
                    Some(at) => at..at + 1,
                    None => return Ok(()),
                },
                _ => 0..elements.len(),
            };
            for value in elements.get(range).unwrap_or_default() {
                walk(value.get(), rest, found)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// One member of an object; the others are passed over.
struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if found.is_none() && name == self.0 {
                found = Some(map.next_value::<&'de RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(None)
    }
}

/// All members of an object.
struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while map.next_key::<IgnoredAny>()?.is_some() {
            found.push(map.next_value::<&'de RawValue>()?.get());
        }
        Ok(found)
    }
}
