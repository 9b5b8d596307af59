//! A table with a name of the user's choice, its keys read one by one; secrets from files and
//! variables.

use std::fs;

use super::{Fault, Source, file::TableText};

/// The keys of a table as they were written, read one by one.
pub(super) struct Table<'a> {
    kind: &'static str,
    pub(super) written: &'a TableText,
    pub(super) faults: &'a mut Vec<Fault>,
}

impl<'a> Table<'a> {
    /// Reads a table of a kind; what is wrong goes to the faults.
    pub(super) fn new(
        kind: &'static str,
        written: &'a TableText,
        faults: &'a mut Vec<Fault>,
    ) -> Self {
        Self { kind, written, faults }
    }

    /// Adds a fault of a key, or of the whole.
    pub(super) fn fault(&mut self, source: &Source, key: Option<&str>, message: String) {
        let table = format!("{}.{}", self.kind, self.written.name);
        let key = key.map_or(table.clone(), |key| format!("{table}.{key}"));
        self.faults.push(Fault { source: source.clone(), key: Some(key), message });
    }

    /// What a key means, where it is there; a fault where it means nothing.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.written.fields.iter().find(|(name, ..)| name == key)?;
        let (source, text) = (found.1.clone(), found.2.clone());
        match read(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(&source, Some(key), message);
                None
            }
        }
    }

    /// The same for what has to be there.
    pub(super) fn need<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.written.fields.iter().any(|(name, ..)| name == key) {
            return self.read(key, read);
        }
        self.fault(&self.written.source.clone(), None, format!("{key} is missing"));
        None
    }

    /// A secret: under its key, in a file, or in a variable; in one place alone.
    pub(super) fn secret<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (file, variable) = (format!("{key}_file"), format!("{key}_env"));
        let names = [key, &file, &variable];
        let is_given = |name: &&&str| self.written.fields.iter().any(|(known, ..)| known == **name);
        if names.iter().filter(is_given).count() > 1 {
            let message = format!("has more than one of {}", names.join(", "));
            self.fault(&self.written.source.clone(), None, message);
            return None;
        }
        let from_file = |path: &str| {
            let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            read(text.trim())
        };
        let from_variable = |name: &str| {
            let text = std::env::var(name).map_err(|_| format!("no variable {name} is set"))?;
            read(text.trim())
        };
        let given = self.read(key, &read).or_else(|| self.read(&file, from_file));
        given.or_else(|| self.read(&variable, from_variable))
    }

    /// The same for a secret that has to be there.
    pub(super) fn need_secret<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let before = self.faults.len();
        let secret = self.secret(key, read);
        if secret.is_none() && self.faults.len() == before {
            let message = format!("{key}, {key}_file or {key}_env is missing");
            self.fault(&self.written.source.clone(), None, message);
        }
        secret
    }
}
