//! Calls that this process has made reservations for, remembered until they are settled.
//!
//! A settle is priced by its reservation's model and time. Those, and the tenant, never change once
//! a reservation is durable; nothing else of it is kept here. What is not remembered is in the store.

use budget::{Key, Reservation};
use focus::{ModelName, TenantId};
use jiff::Timestamp;
use quick_cache::sync::Cache;

/// How many are remembered: some megabytes. The others cost a read each.
const CALLS_MOST: usize = 50_000;

/// What never changes of a reservation.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) tenant: TenantId,
    pub(crate) model: ModelName,
    pub(crate) created_at: Timestamp,
}

impl From<&Reservation> for Call {
    fn from(reservation: &Reservation) -> Self {
        let call = reservation.call.clone();
        Self { tenant: call.tenant, model: call.model, created_at: reservation.created_at }
    }
}

pub(crate) struct Calls(Cache<Key, Call>);

impl Default for Calls {
    fn default() -> Self {
        Self(Cache::new(CALLS_MOST))
    }
}

impl Calls {
    /// Remembers a call whose reservation is durable.
    pub(crate) fn remember(&self, reservation: &Reservation) {
        self.0.insert(reservation.key, reservation.into());
    }

    pub(crate) fn get(&self, key: Key) -> Option<Call> {
        self.0.get(&key)
    }

    pub(crate) fn forget(&self, key: Key) {
        self.0.remove(&key);
    }
}
