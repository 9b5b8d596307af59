//! A body as a tree that borrows from it. Owns what a body may be at all: one JSON value, keys
//! decoded and unique in their object, no deeper than 128 levels (serde_json's own limit), no more
//! than [`VALUES_MAX`] values, no number longer than [`NUMBER_MAX`]. Knows nothing of any vendor.
//!
//! Invariant: what is read here is what a vendor reads. Where two readers could differ (a key that
//! stands twice, a number beyond 64 bits), the body is refused.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Unmetered;

/// Values in one body. A body of brackets would otherwise take a hundred times its own memory.
const VALUES_MAX: usize = 500_000;
/// Bytes of a number. A longer one may be billed as the text that it is, whatever its value.
pub(super) const NUMBER_MAX: u64 = 40;
/// Objects with more keys are searched by hash for one that stands twice.
const SCANNED_KEYS: usize = 16;

/// A JSON value.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    /// `Some` for a whole number from zero on.
    Number(Option<u64>),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Reads a body.
pub(super) fn parse(body: &[u8]) -> Result<Node<'_>, Unmetered> {
    if longest_number(body) > NUMBER_MAX {
        return Err(Unmetered::new("body", "it has a number of more than 40 digits; shorten it"));
    }
    let left = Cell::new(VALUES_MAX);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let wrong = |error: serde_json::Error| {
        Unmetered::new("body", format!("it is not JSON that can be metered: {error}"))
    };
    let node = Seed { left: &left }.deserialize(&mut deserializer).map_err(wrong)?;
    deserializer.end().map_err(wrong)?;
    Ok(node)
}

/// The longest run of what numbers are written with, outside of strings.
fn longest_number(body: &[u8]) -> u64 {
    let (mut longest, mut run, mut at) = (0u64, 0u64, 0usize);
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                run = 0;
                at = end_of_string(body, at);
            }
            b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' => {
                run += 1;
                longest = longest.max(run);
            }
            _ => run = 0,
        }
    }
    longest
}

/// The place after the quote that ends a string begun before `at`.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', &body[at.min(body.len())..]) {
        at += found;
        if body[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    body.len()
}

struct Seed<'c> {
    left: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node<'de>, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| {
            D::Error::custom(format!("more than {VALUES_MAX} values in one body"))
        })?;
        self.left.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(u64::try_from(value).ok()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Number(None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(Seed { left: self.left })? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Key(key)) = map.next_key()? {
            let twice = match members.len() {
                0..SCANNED_KEYS => members.iter().any(|(known, _)| *known == key),
                SCANNED_KEYS => {
                    seen.extend(members.iter().map(|(known, _)| known.clone()));
                    !seen.insert(key.clone())
                }
                _ => !seen.insert(key.clone()),
            };
            if twice {
                let key: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format!("the key {key:?} stands twice in an object")));
            }
            let node = map.next_value_seed(Seed { left: self.left })?;
            members.push((key, node));
        }
        Ok(Node::Object(members))
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Key<'de>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        from.deserialize_str(Read)
    }
}

impl<'a> Node<'a> {
    /// The member of an object that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        let (_, node) = self.members().iter().find(|(known, _)| known == key)?;
        (!node.is_null()).then_some(node)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Node::Null)
    }

    /// An object's members; none for anything else.
    pub(super) fn members(&self) -> &[(Cow<'a, str>, Node<'a>)] {
        match self {
            Node::Object(members) => members,
            _ => &[],
        }
    }

    /// A list's items; none for anything else.
    pub(super) fn items(&self) -> &[Node<'a>] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a member; empty if it is none.
    pub(super) fn word(&self, key: &str) -> &str {
        self.get(key).and_then(Node::as_str).unwrap_or_default()
    }

    /// A member that must be a whole number from zero on, if it is there.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, Unmetered> {
        match self.get(key) {
            None => Ok(None),
            Some(Node::Number(Some(value))) => Ok(Some(*value)),
            Some(_) => Err(Unmetered::new(key, "it must be a whole number from zero on")),
        }
    }

    /// A member that must be true or false, if it is there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Unmetered> {
        match self.get(key) {
            None => Ok(false),
            Some(Node::Bool(value)) => Ok(*value),
            Some(_) => Err(Unmetered::new(key, "it must be true or false")),
        }
    }
}
