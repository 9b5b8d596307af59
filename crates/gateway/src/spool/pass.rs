//! Which spooled records the store is told next, and what is left of them. One tenant's trouble, a row
//! that somebody has locked say, keeps nobody else's back.

use std::collections::{HashSet, VecDeque};

use budget::{EscrowError, Key, StoreError::Corrupt};
use focus::TenantId;

use super::{
    record::{Line, Record},
    tell::Told,
};

/// Records that are told at a time: the store commits together what comes together.
const AT_A_TIME: usize = 64;

/// A record, as it stands in the file and as it is understood; none where it is not whole.
pub(super) struct Item {
    pub(super) text: String,
    pub(super) line: Option<Line>,
    /// Whose it is, where that is known.
    tenant: Option<TenantId>,
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        let line: Option<Line> = serde_json::from_str(&text).ok();
        let tenant = line.as_ref().and_then(Line::tenant).cloned();
        Self { text, line, tenant }
    }
}

/// A call that went out without a hold.
pub(super) struct Noted {
    pub(super) text: String,
    /// What it may have cost.
    pub(super) charge: Record,
}

/// A file's records on their way to the store.
#[derive(Default)]
pub(super) struct Pass {
    rest: VecDeque<String>,
    /// Whose records have failed: their others wait for another pass.
    troubled: HashSet<TenantId>,
    untried: Vec<String>,
    failed: Vec<String>,
    noted: Vec<Noted>,
    /// Calls whose ending is among the records.
    ended: HashSet<Key>,
    has_answered: bool,
    /// Something is done with, and need not be kept.
    has_changed: bool,
    /// How often in a row the store has answered nobody.
    silences: usize,
}

impl Pass {
    pub(super) fn new(lines: Vec<String>) -> Self {
        Self { rest: lines.into(), ..Self::default() }
    }

    /// Other records, of which one of each tenant is told that this pass has had no trouble with.
    pub(super) fn others(&self, lines: Vec<String>) -> Self {
        let troubled = self.troubled.clone();
        Self { rest: lines.into(), troubled, silences: 1, ..Self::default() }
    }

    /// The next to be told; none at the end, or where the store is down. After a failure of all it
    /// is one of each tenant, so that the store is seen to be up though one has many.
    pub(super) fn next(&mut self) -> Vec<Item> {
        let (mut chosen, mut later) = (Vec::new(), VecDeque::new());
        let mut asked = HashSet::new();
        while !self.is_down() && chosen.len() < AT_A_TIME {
            let Some(item) = self.rest.pop_front().map(Item::from) else { break };
            let Some(item) = self.read(item) else { continue };
            let is_one_of =
                |set: &HashSet<TenantId>| item.tenant.as_ref().is_some_and(|t| set.contains(t));
            if is_one_of(&self.troubled) {
                self.untried.push(item.text);
            } else if is_one_of(&asked) {
                later.push_back(item.text);
            } else {
                // While the store answers nobody, one of each is enough.
                if self.silences > 0 {
                    asked.extend(item.tenant.clone());
                }
                chosen.push(item);
            }
        }
        if !later.is_empty() {
            later.append(&mut self.rest);
            self.rest = later;
        }
        chosen
    }

    /// Notes what has become of those that were told together; the last failure.
    pub(super) fn told(
        &mut self,
        items: Vec<Item>,
        told: Vec<Result<Told, EscrowError>>,
    ) -> Option<EscrowError> {
        let has_answered = told.iter().any(|told| match told {
            Ok(Told::Taken | Told::Refused(_)) | Err(EscrowError::Store(Corrupt(_))) => true,
            Ok(Told::Torn) | Err(_) => false,
        });
        self.has_answered |= has_answered;
        self.has_changed |= told.iter().any(Result::is_ok);
        let mut failure = None;
        for (item, told) in items.into_iter().zip(told) {
            if let Err(error) = told {
                self.troubled.extend(item.tenant);
                self.failed.push(item.text);
                failure = Some(error);
            }
        }
        let is_silent = failure.is_some() && !has_answered;
        self.silences = if is_silent { self.silences + 1 } else { 0 };
        failure
    }

    /// It has answered nobody, however many were tried.
    pub(super) fn is_down(&self) -> bool {
        self.silences > 1
    }

    /// Whether the store has answered for anything.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether the file has to be written anew, as far as this pass knows.
    pub(super) fn has_news(&self) -> bool {
        self.has_answered || self.has_changed
    }

    /// Calls without a hold whose ending is not among the records; none before all were read.
    pub(super) fn unended(&self) -> Vec<Key> {
        let keys = self.noted.iter().map(|noted| noted.charge.key);
        keys.filter(|key| self.rest.is_empty() && !self.ended.contains(key)).collect()
    }

    /// What is still to be told, what has failed behind it, and what was only noted.
    pub(super) fn left(mut self) -> Left {
        // How a call has ended may have been told already: its note must not outlive that.
        for item in std::mem::take(&mut self.rest).into_iter().map(Item::from) {
            if let Some(item) = self.read(item) {
                self.untried.push(item.text);
            }
        }
        self.untried.append(&mut self.failed);
        Left { records: self.untried, noted: self.noted, ended: self.ended }
    }

    /// A record to be told; what is only noted is put apart.
    fn read(&mut self, item: Item) -> Option<Item> {
        if let Some(Line::Begun { begun }) = item.line {
            self.noted.push(Noted { text: item.text, charge: begun });
            return None;
        }
        self.ended.extend(item.line.iter().flat_map(Line::ended));
        Some(item)
    }
}

/// What is left of a file.
pub(super) struct Left {
    pub(super) records: Vec<String>,
    pub(super) noted: Vec<Noted>,
    /// Calls whose ending was among the records, told or not.
    pub(super) ended: HashSet<Key>,
}

#[cfg(test)]
mod tests;
