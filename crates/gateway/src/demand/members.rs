//! A body's members, each as it stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Unmetered;

/// The members of a JSON object in their order, names decoded, values as they stand. No name comes
/// twice: vendors could take the first and we the last.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Unmetered> {
        serde_json::from_slice(body)
            .map_err(|error| Unmetered::body(format!("is no JSON object as it should be: {error}")))
    }

    /// A member's value; `null` is none.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// A member of a type.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, Unmetered> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let value = serde_json::from_str(raw.get());
        value.map(Some).map_err(|_| Unmetered::about(name, format!("must be {wanted}")))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Unmetered> {
        self.get(name, "a string")
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Unmetered> {
        Ok(self.get(name, "true or false")?.unwrap_or(false))
    }

    /// A count of tokens or of answers.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Unmetered> {
        const MOST: u64 = 1_000_000_000;
        let count: Option<u64> = self.get(name, "a whole number of 0 or more")?;
        match count {
            Some(count) if count > MOST => Err(Unmetered::about(name, "is absurdly high")),
            count => Ok(count),
        }
    }

    pub(super) fn model(&self) -> Result<String, Unmetered> {
        let model = self.text("model")?.filter(|model| !model.is_empty());
        model.ok_or_else(|| Unmetered::about("model", "is missing"))
    }

    /// Refuses members that cost money in ways that are not metered.
    pub(super) fn refuse(&self, unknown: &[(&str, &str)]) -> Result<(), Unmetered> {
        let found = unknown.iter().find(|(name, _)| {
            let nothing = ["false", "[]", "{}"];
            self.raw(name).is_some_and(|value| !nothing.contains(&value.get()))
        });
        found.map_or(Ok(()), |(name, what)| Err(Unmetered::unknown(name, what)))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = Vec::with_capacity(16);
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        let twice = format!("the member {name:?} comes twice");
                        return Err(serde::de::Error::custom(twice));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object).map(Members)
    }
}
