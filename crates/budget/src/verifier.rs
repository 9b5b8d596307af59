//! Recomputes the ledger: every hash, every balance, every reservation's charge.
//!
//! Fed in order: all entries, those of each tenant by place, then the tenants' heads, the accounts
//! and the reservations. Keeps an end a tenant, a balance an account and a sum a reservation, not
//! the entries.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Account, AccountId, Entry, EntryHash, EntryKind, Head, Key, Reservation, State, Verification,
};
use focus::TenantId;
use money::Money;
use sha2::{Digest, Sha256};

const FAULTS_MOST: usize = 100;

#[derive(Debug, Default)]
struct Balance {
    settled: i128,
    held: i128,
    unresolved: i128,
}

/// The last entry of a tenant.
#[derive(Debug, Default)]
struct End {
    seq: u64,
    hash: EntryHash,
    has_row: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Verifier {
    found: Verification,
    ends: BTreeMap<TenantId, End>,
    balances: HashMap<AccountId, Balance>,
    /// What the ledger last said of each reservation: its state, and the amount of that entry.
    reservations: HashMap<Key, (EntryKind, Money)>,
}

impl Verifier {
    /// Notes what is wrong.
    pub fn fault(&mut self, fault: String) {
        if self.found.faults.len() < FAULTS_MOST {
            self.found.faults.push(fault);
        }
    }

    /// The next entry.
    pub fn entry(&mut self, entry: &Entry) {
        self.found.entries += 1;
        let Entry { tenant, .. } = entry;
        let end = match self.ends.get_mut(tenant) {
            Some(end) => end,
            None => self.ends.entry(tenant.clone()).or_default(),
        };
        let (seq, before) = (end.seq, end.hash);
        (end.seq, end.hash) = (entry.seq, entry.hash);
        if entry.seq != seq + 1 {
            self.fault(format!("tenant {tenant}: entry {} follows entry {seq}", entry.seq));
        }
        if entry.expected_hash(before) != entry.hash {
            self.fault(format!("tenant {tenant}: entry {} does not match its hash", entry.seq));
        }
        for posting in &entry.postings {
            let balance = self.balances.entry(posting.account).or_default();
            balance.settled += posting.settled.nanos();
            balance.held += posting.held.nanos();
            balance.unresolved += posting.unresolved.nanos();
        }
        if entry.kind != EntryKind::Open {
            self.reservations.insert(entry.key, (entry.kind, entry.amount));
        }
    }

    /// A tenant's head as the store keeps it.
    pub fn head(&mut self, head: &Head) {
        self.found.tenants += 1;
        let end = self.ends.get_mut(&head.tenant);
        let (seq, hash) = end.map_or_else(Default::default, |end| {
            end.has_row = true;
            (end.seq, end.hash)
        });
        if (seq, hash) != (head.seq, head.hash) {
            self.fault(format!(
                "tenant {}: the ledger ends at entry {seq}, it should end at {}",
                head.tenant, head.seq
            ));
        }
    }

    /// An account as the store keeps it.
    pub fn account(&mut self, account: &Account) {
        self.found.accounts += 1;
        let balance = self.balances.remove(&account.id).unwrap_or_default();
        let kept = [&account.settled, &account.held, &account.unresolved].map(|m| m.nanos());
        let folded = [balance.settled, balance.held, balance.unresolved];
        if kept != folded {
            self.fault(format!(
                "account {} of {}: settled, held, unresolved are {kept:?} nano-dollars, its entries \
                 add up to {folded:?}",
                account.id.budget, account.id.start
            ));
        }
    }

    /// A reservation as the store keeps it.
    pub fn reservation(&mut self, reservation: &Reservation) {
        self.found.reservations += 1;
        let key = reservation.key;
        let Some((kind, amount)) = self.reservations.remove(&key) else {
            self.fault(format!("reservation {key} has no entry"));
            return;
        };
        let fits = match (reservation.state, kind) {
            (State::Held, EntryKind::Reserve) | (State::Unresolved, EntryKind::Expire) => {
                amount == reservation.hold
            }
            (State::Settled, EntryKind::Settle) | (State::Charged, EntryKind::Resolve) => {
                reservation.cost == Some(amount)
            }
            (State::Released, EntryKind::Release | EntryKind::Resolve) => true,
            (State::Unpriced, EntryKind::Unpriced) => true,
            _ => false,
        };
        if !fits {
            let state = reservation.state;
            let kind = kind.as_str();
            self.fault(format!(
                "reservation {key} is {state}, its last entry is {kind} of {amount} USD"
            ));
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Verification {
        let mut digest = Sha256::new();
        for (tenant, end) in std::mem::take(&mut self.ends) {
            digest.update(end.hash.0);
            if !end.has_row {
                self.fault(format!("tenant {tenant} has entries but no row"));
            }
        }
        for id in std::mem::take(&mut self.balances).into_keys() {
            self.fault(format!("account {} of {} has entries but no row", id.budget, id.start));
        }
        for key in std::mem::take(&mut self.reservations).into_keys() {
            self.fault(format!("reservation {key} has entries but no row"));
        }
        let digest = EntryHash(digest.finalize().into());
        Verification { digest: digest.to_string(), ..self.found }
    }
}
