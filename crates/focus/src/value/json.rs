//! JSON objects as FOCUS columns hold them.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text is no JSON object of FOCUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JsonError {
    /// Not JSON, or not an object.
    Syntax,
    /// A key stands twice.
    DuplicateKey,
}

impl JsonError {
    /// A fragment that reads after "is".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "no JSON object",
            Self::DuplicateKey => "a JSON object in which a key stands twice",
        }
    }
}

const TWICE: &str = "a key stands twice";

/// An object's members in their order, values as they are written: numbers keep their digits.
pub fn members(text: &str) -> Result<Vec<(String, String)>, JsonError> {
    match serde_json::from_str::<Members>(text) {
        Ok(Members(members)) => Ok(members),
        Err(error) if error.to_string().starts_with(TWICE) => Err(JsonError::DuplicateKey),
        Err(_) => Err(JsonError::Syntax),
    }
}

/// The elements of an array, as they are written.
pub(crate) fn elements(text: &str) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(text).ok()
}

/// An object from members whose values are JSON already.
pub(crate) fn object<K: AsRef<str>, V: AsRef<str>>(members: &[(K, V)]) -> String {
    let members =
        members.iter().map(|(key, value)| format!("{}:{}", string(key.as_ref()), value.as_ref()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A text as a JSON string.
pub(crate) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep;

        impl<'de> Visitor<'de> for Keep {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let (mut members, mut seen) = (Vec::new(), HashSet::new());
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(TWICE));
                    }
                    members.push((key, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Keep)
    }
}
