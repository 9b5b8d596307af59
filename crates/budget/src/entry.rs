//! The ledger: one entry for each change to a tenant's balances, chained by hash.

use std::{fmt, fmt::Write as _, str::FromStr};

use focus::TenantId;
use jiff::Timestamp;
use money::Money;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{AccountId, BudgetId, Key, Posting};

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// An account opened with what its period had spent before.
    Open,
    /// Money was held.
    Reserve,
    /// A call was charged.
    Settle,
    /// A hold was freed.
    Release,
    /// A hold timed out.
    Expire,
    /// An unresolved hold was decided.
    Resolve,
    /// A call of a model without a price was recorded.
    Unpriced,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Reserve,
        Self::Settle,
        Self::Release,
        Self::Expire,
        Self::Resolve,
        Self::Unpriced,
    ];

    /// The kind as the wire and the tables write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reserve => "reserve",
            Self::Settle => "settle",
            Self::Release => "release",
            Self::Expire => "expire",
            Self::Resolve => "resolve",
            Self::Unpriced => "unpriced",
        }
    }
}

impl FromStr for EntryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no kind of entry"))
    }
}

/// SHA-256 over the entry before and this one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EntryHash(pub [u8; 32]);

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One change to a tenant's balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose ledger.
    pub tenant: TenantId,
    /// Its place there, from 1 without gaps.
    pub seq: u64,
    /// When it was committed, to the microsecond.
    pub at: Timestamp,
    /// What it records.
    pub kind: EntryKind,
    /// The reservation that it is about; nil for an opened account.
    pub key: Key,
    /// The hold or the charge.
    pub amount: Money,
    /// What changed in which account.
    pub postings: Vec<Posting>,
    /// Chains it to the entry before.
    pub hash: EntryHash,
}

impl Entry {
    /// The hash that the entry must have after one with the hash `before`: SHA-256 over those 32
    /// bytes and the text `tenant,seq,at (µs since 1970),kind,key,amount (nano-dollars),postings`.
    pub fn expected_hash(&self, before: EntryHash) -> EntryHash {
        let mut text = String::with_capacity(256);
        let at = self.at.as_microsecond();
        // Writing to a string can't fail.
        let _ = write!(
            text,
            "{},{},{at},{},{},{},",
            self.tenant,
            self.seq,
            self.kind.as_str(),
            self.key,
            self.amount.nanos()
        );
        write_postings(&mut text, &self.postings);
        let mut hash = Sha256::new();
        hash.update(before.0);
        hash.update(text.as_bytes());
        EntryHash(hash.finalize().into())
    }

    /// The postings as stores keep them: `budget@start (µs)=settled/held/unresolved`, in
    /// nano-dollars, a space between two.
    pub fn postings_text(&self) -> String {
        let mut text = String::with_capacity(96 * self.postings.len());
        write_postings(&mut text, &self.postings);
        text
    }

    /// Reads [`Self::postings_text`]; `None` when it is not of that form.
    pub fn parse_postings(text: &str) -> Option<Vec<Posting>> {
        text.split_ascii_whitespace().map(parse_posting).collect()
    }
}

fn write_postings(text: &mut String, postings: &[Posting]) {
    for (index, posting) in postings.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let AccountId { budget, start } = posting.account;
        let _ = write!(
            text,
            "{space}{budget}@{}={}/{}/{}",
            start.as_microsecond(),
            posting.settled.nanos(),
            posting.held.nanos(),
            posting.unresolved.nanos()
        );
    }
}

fn parse_posting(text: &str) -> Option<Posting> {
    let (account, amounts) = text.split_once('=')?;
    let (budget, start) = account.split_once('@')?;
    let mut amounts = amounts.split('/').map(|text| text.parse().ok().map(Money::from_nanos));
    let posting = Posting {
        account: AccountId {
            budget: BudgetId(budget.parse().ok()?),
            start: Timestamp::from_microsecond(start.parse().ok()?).ok()?,
        },
        settled: amounts.next()??,
        held: amounts.next()??,
        unresolved: amounts.next()??,
    };
    amounts.next().is_none().then_some(posting)
}
