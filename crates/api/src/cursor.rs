//! Where a page ended, as text that callers pass back unread.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use budget::{BudgetId, Key};
use focus::TenantId;
use jiff::Timestamp;

/// A place in a list.
pub trait Cursor: Sized {
    /// The place as plain text.
    fn text(&self) -> String;
    /// Reads [`Cursor::text`].
    fn parse(text: &str) -> Option<Self>;

    /// The place as callers see it.
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.text())
    }

    /// Reads [`Cursor::encode`]; `None` when it is not one of ours.
    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Self::parse(std::str::from_utf8(&bytes).ok()?)
    }
}

impl Cursor for BudgetId {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.parse().ok()?))
    }
}

impl Cursor for (Timestamp, Key) {
    fn text(&self) -> String {
        format!("{} {}", self.0, self.1)
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, key) = text.split_once(' ')?;
        let at = at.parse().ok().filter(|at| *at >= Timestamp::UNIX_EPOCH)?;
        Some((at, key.parse().ok()?))
    }
}

impl Cursor for (TenantId, u64) {
    fn text(&self) -> String {
        format!("{} {}", self.1, self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let (seq, tenant) = text.split_once(' ')?;
        let seq: i64 = seq.parse().ok()?;
        Some((tenant.parse().ok()?, u64::try_from(seq).ok()?))
    }
}

impl Cursor for TenantId {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Cursor for u64 {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        // Databases count in signed numbers.
        u64::try_from(text.parse::<i64>().ok()?).ok()
    }
}
