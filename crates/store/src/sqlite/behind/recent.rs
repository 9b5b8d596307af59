//! What readers have to know of the rows that can't be found by name yet. Written by the thread that
//! commits, alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::budget::{EntryHash, Key, Reservation, State};
use focus::TenantId;
use foldhash::{HashMap, HashMapExt as _};
use quick_cache::sync::Cache;

/// The most holds that are kept in memory: tens of megabytes. The others cost a read each.
const OPEN_MOST: usize = 32_768;

/// A reservation and its row.
pub(in super::super) type Numbered = (i64, Arc<Reservation>);

/// The last entry of a tenant's ledger: its place and hash.
pub(in super::super) type End = (u64, EntryHash);

/// Where to look a reservation up.
pub(in super::super) enum Place {
    /// It is this one.
    Here(Numbered),
    /// It is in this row.
    Row(i64),
    /// If it is anywhere, then it is found by its key.
    ByKey,
    /// By its key, or among the rows after this one that are not indexed.
    After(i64),
}

#[derive(Debug, Clone)]
pub(in super::super) struct Recent(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Holds, which are likely to be settled next.
    open: Cache<Key, Numbered>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Everything that is not in its place is here.
    is_whole: bool,
    /// Whose rows come together.
    filling: Tenants,
    /// Whose rows are being put in their places.
    draining: Tenants,
    keys: Keys,
}

/// Whose rows they are, and the end of the ledger of each, where that has moved.
type Tenants = HashMap<TenantId, Option<End>>;

/// Rows of reservations that may not be found by their keys. A key never changes its row, so what is
/// known here stays true when another process has written; there may only be more.
#[derive(Debug, Default)]
struct Keys {
    filling: HashMap<Key, i64>,
    draining: Arc<HashMap<Key, i64>>,
    /// The last row whose key was in `draining` when it began to drain.
    upto: i64,
    /// The last row whose key is known.
    last: i64,
}

/// Keys to put in their places, with their rows, and the last of the rows that have none then.
pub(super) struct KeyDrain {
    pub(super) rows: Arc<HashMap<Key, i64>>,
    pub(super) upto: i64,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Arc::new(Shared { open: Cache::new(OPEN_MOST), known: Mutex::default() }))
    }
}

impl Recent {
    pub(in super::super) fn find(&self, key: Key) -> Place {
        if let Some(found) = self.0.open.get(&key) {
            return Place::Here(found);
        }
        let known = self.known();
        let keys = &known.keys;
        match keys.filling.get(&key).or_else(|| keys.draining.get(&key)) {
            Some(row) => Place::Row(*row),
            None if known.is_whole => Place::ByKey,
            None => Place::After(keys.last),
        }
    }

    /// Whether rows of a tenant's may be missing in their places.
    pub(in super::super) fn concerns(&self, tenant: &TenantId) -> bool {
        let known = self.known();
        let tenants = [&known.filling, &known.draining];
        !known.is_whole || tenants.iter().any(|tenants| tenants.contains_key(tenant))
    }

    /// The end of a tenant's ledger, where the tenant's row is behind it.
    pub(in super::super) fn head(&self, tenant: &TenantId) -> Option<End> {
        let known = self.known();
        let tenants = [&known.filling, &known.draining];
        tenants.iter().find_map(|tenants| tenants.get(tenant).copied().flatten())
    }

    /// A reservation is committed in this row.
    pub(super) fn keep(&self, row: i64, is_new: bool, reservation: Arc<Reservation>) {
        let key = reservation.key;
        if reservation.state == State::Held {
            self.0.open.insert(key, (row, reservation));
        } else {
            self.0.open.remove(&key);
        }
        if is_new {
            self.known().keys.add(key, row);
        }
    }

    /// Rows of a tenant's are committed, and perhaps its ledger has a new end.
    pub(super) fn touch(&self, tenant: &TenantId, end: Option<End>) {
        let mut known = self.known();
        match end {
            Some(_) => drop(known.filling.insert(tenant.clone(), end)),
            None => drop(known.filling.entry(tenant.clone()).or_default()),
        }
    }

    /// What has come together drains from now on: the ends of its ledgers.
    pub(super) fn drain(&self) -> Vec<(TenantId, End)> {
        let mut known = self.known();
        known.draining = std::mem::take(&mut known.filling);
        let ends = known.draining.iter();
        ends.filter_map(|(tenant, end)| Some((tenant.clone(), (*end)?))).collect()
    }

    pub(super) fn drained(&self) {
        self.known().draining = Tenants::default();
    }

    /// Keys drain from now on, if there are many of them, or still do after a failure.
    pub(super) fn drain_keys(&self, many: usize) -> Option<KeyDrain> {
        let keys = &mut self.known().keys;
        if keys.draining.is_empty() {
            if keys.filling.len() < many {
                return None;
            }
            // As many will come, so that no commit waits for a table to grow.
            let empty = HashMap::with_capacity(keys.filling.len());
            keys.draining = Arc::new(std::mem::replace(&mut keys.filling, empty));
            keys.upto = keys.last;
        }
        Some(KeyDrain { rows: keys.draining.clone(), upto: keys.upto })
    }

    pub(super) fn drained_keys(&self) {
        self.known().keys.draining = Arc::default();
    }

    /// How many keys have come together, or were to drain when that failed.
    pub(super) fn keys(&self) -> usize {
        let keys = &self.known().keys;
        keys.filling.len().max(keys.draining.len())
    }

    /// What is known may differ from the file.
    pub(super) fn forget(&self) {
        let mut known = self.known();
        known.is_whole = false;
        known.filling.clear();
        known.draining.clear();
        drop(known);
        self.0.open.clear();
    }

    /// Everything that may not be in its place has been read.
    pub(super) fn complete(&self, tenants: HashMap<TenantId, Option<End>>) {
        let mut known = self.known();
        known.filling = tenants;
        known.is_whole = true;
    }

    /// The last row whose key is known here.
    pub(super) fn last_key(&self) -> i64 {
        self.known().keys.last
    }

    /// Rows, in their order, with their keys.
    pub(super) fn read_keys(&self, rows: Vec<(i64, Key)>) {
        let keys = &mut self.known().keys;
        keys.filling.reserve(rows.len());
        rows.into_iter().for_each(|(row, key)| keys.add(key, row));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn add(&mut self, key: Key, row: i64) {
        self.filling.insert(key, row);
        self.last = self.last.max(row);
    }
}
