//! What was served: each request, and the totals a model.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::HeaderMap;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::script::Script;
use super::usage::Usage;
use super::wish::Wish;

pub(super) struct Journal {
    totals_only: bool,
    next: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default, Serialize)]
struct Kept {
    requests: Vec<Arc<Entry>>,
    totals: BTreeMap<String, Total>,
    /// Answers by status.
    statuses: BTreeMap<u16, u64>,
    /// Why requests were refused: each of them is something that has leaked.
    refused: Vec<String>,
    #[serde(skip)]
    seen: HashSet<u64>,
}

#[derive(Default, Serialize)]
struct Total {
    requests: u64,
    #[serde(flatten)]
    usage: Usage,
}

/// One request that was answered.
#[derive(Default, Serialize)]
pub(super) struct Entry {
    /// The gateway's name of the call.
    id: String,
    path: String,
    model: String,
    stream: bool,
    max_tokens: Option<u64>,
    script: String,
    pub(super) status: u16,
    /// Nothing where the vendor would not bill it.
    pub(super) usage: Option<Usage>,
    body_sha256: String,
    body_bytes: usize,
    #[serde(flatten)]
    sent: Arc<Sent>,
}

/// How far an answer has come.
#[derive(Default, Serialize)]
pub(super) struct Sent {
    answer_bytes: AtomicU64,
    /// Whether all of it was taken.
    is_whole: AtomicBool,
}

impl Sent {
    pub(super) fn more(&self, bytes: usize) {
        self.answer_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn finish(&self) {
        self.is_whole.store(true, Ordering::Relaxed);
    }
}

impl Entry {
    pub(super) fn new(
        headers: &HeaderMap,
        path: &str,
        wish: &Wish<'_>,
        script: &Script,
        body: &[u8],
        is_detailed: bool,
    ) -> Self {
        let model = wish.model.clone().into_owned();
        if !is_detailed {
            return Self { model, ..Self::default() };
        }
        let id = headers.get("x-client-request-id").or_else(|| headers.get("x-request-id"));
        let hash = Sha256::digest(body);
        Self {
            id: id.and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned(),
            path: path.to_owned(),
            model,
            stream: wish.stream,
            max_tokens: wish.limit(),
            script: script.name.clone(),
            body_sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            body_bytes: body.len(),
            ..Self::default()
        }
    }
}

impl Journal {
    pub(super) fn new(totals_only: bool) -> Self {
        Self { totals_only, next: AtomicU64::new(0), kept: Mutex::default() }
    }

    /// A number that no other request has.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn keeps(&self) -> bool {
        !self.totals_only
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, entry: Entry) -> Arc<Sent> {
        let sent = Arc::clone(&entry.sent);
        let mut kept = self.kept();
        *kept.statuses.entry(entry.status).or_default() += 1;
        if let Some(usage) = &entry.usage {
            if !kept.totals.contains_key(&entry.model) {
                kept.totals.insert(entry.model.clone(), Total::default());
            }
            if let Some(total) = kept.totals.get_mut(&entry.model) {
                total.requests += 1;
                total.usage.add(usage);
            }
        }
        if !self.totals_only {
            kept.requests.push(Arc::new(entry));
        }
        sent
    }

    pub(super) fn refused(&self, message: &str) {
        let mut kept = self.kept();
        *kept.statuses.entry(401).or_default() += 1;
        kept.refused.push(message.to_owned());
    }

    /// Whether this script meets this body for the first time; the next time begins anew.
    pub(super) fn is_first(&self, script: &str, body: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        (script, body).hash(&mut hasher);
        let hash = hasher.finish();
        let mut kept = self.kept();
        let is_first = kept.seen.insert(hash);
        if !is_first {
            kept.seen.remove(&hash);
        }
        is_first
    }

    pub(super) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    pub(super) fn told(&self) -> String {
        // Strings and numbers alone: there is nothing in it that JSON can't say.
        serde_json::to_string(&*self.kept()).unwrap_or_default()
    }
}
