//! Calls that go out without a hold: noted on the disk before the vendor is asked, so that none is lost
//! with the process.
//!
//! Invariant: how such a call has ended is on the disk, too, before it is no longer known here. So one
//! that is not known, and of whose ending nothing is found, has lost its process, or its answer: it is
//! charged what it may have cost.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, PoisonError},
};

use budget::Key;

use super::{
    Charge, FILE, Spool, Untold,
    file::lines_if_any,
    pass::Noted,
    record::{BEGUN, Line},
};

/// Calls that are under way without a hold, until it is dropped.
pub(crate) struct Begun {
    spool: Arc<Spool>,
    keys: Vec<Key>,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut begun = self.spool.begun.lock().unwrap_or_else(PoisonError::into_inner);
        self.keys.iter().for_each(|key| {
            begun.remove(key);
        });
    }
}

impl Spool {
    /// Notes calls that are about to go out, with the most that each may cost, all of them or none; on
    /// disk when this returns. Whoever has the answer keeps how they end before he drops it.
    pub(crate) async fn begin(self: &Arc<Self>, most: Vec<Charge>) -> io::Result<Begun> {
        let keys: Vec<Key> = most.iter().map(|charge| charge.key).collect();
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).extend(keys.iter().copied());
        let begun = Begun { spool: self.clone(), keys };
        let notes: Vec<Untold> = most.into_iter().map(Untold::Begun).collect();
        self.keep(&notes).await?;
        Ok(begun)
    }

    /// What stays in the spool of calls that were noted: those under way as they are, those of whose
    /// ending nothing is found as charges.
    pub(super) fn unended(
        &self,
        noted: Vec<Noted>,
        ended: &HashSet<Key>,
    ) -> io::Result<Vec<String>> {
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let under_way = self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Read after that: how one has ended that is not under way is there by now.
        let since = self::ended(&lines_if_any(&self.folder.join(FILE))?);
        let mut left = Vec::new();
        for Noted { text, charge } in noted {
            if ended.contains(&charge.key) || since.contains(&charge.key) {
                continue;
            }
            if under_way.contains(&charge.key) {
                left.push(text);
                continue;
            }
            tracing::warn!(
                request_id = %charge.key, tenant = %charge.call.tenant,
                "nobody has told how a call ended that went out without a hold; it is charged the \
                 most that it may have cost"
            );
            left.push(serde_json::to_string(&Line::Charge(charge))?);
        }
        Ok(left)
    }

    /// Those of these calls that are not under way.
    pub(super) fn not_under_way(&self, mut calls: Vec<Key>) -> Vec<Key> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|key| !begun.contains(key));
        calls
    }
}

/// The calls whose endings are among the lines of a file.
pub(super) fn ended(lines: &[String]) -> HashSet<Key> {
    let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    parsed.flat_map(|line| line.ended()).collect()
}

/// Whether a line waits for the store: what is only noted does not.
pub(super) fn is_record(line: &[u8]) -> bool {
    !line.starts_with(BEGUN)
}
