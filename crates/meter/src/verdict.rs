//! Refusals that were given lately, in this process and, shared, in Redis.
//!
//! Invariant: a refusal is only repeated where the service would refuse as well: for the same tenant,
//! model, user, report type and tier, for at least as many tokens of each class, and no longer than
//! the service said to wait. Keys and values are those of the Fastify plugin, so that Rust and Node
//! services share what they are told.

use std::time::Duration;

use api::{Percent, Problem, Usd};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Estimate, Payer};

const PREFIX: &str = "bursar:verdict:";
/// Longer is no message of ours.
const MESSAGE_MOST: usize = 2000;
/// JavaScript's largest exact integer: no time is beyond it.
const MILLIS_MOST: i64 = 9_007_199_254_740_991;

/// A no of the service: what the caller may read, and until when it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) current_usage: Usd,
    pub(crate) limit: Usd,
    pub(crate) percentage: Percent,
    pub(crate) retry_after: u64,
    /// When the budget starts afresh, in milliseconds since 1970.
    pub(crate) resets_at: Option<i64>,
}

impl Refusal {
    pub(crate) fn of(problem: Problem, retry_after: Option<u64>) -> Option<Self> {
        let resets_at = problem.resets_at.as_deref().and_then(|text| api::moment(text).ok());
        Some(Self {
            message: problem.message.chars().take(MESSAGE_MOST).collect(),
            current_usage: problem.current_usage_usd?,
            limit: problem.monthly_limit_usd?,
            percentage: problem.percentage_used?,
            retry_after: retry_after.unwrap_or(1).max(1),
            resets_at: resets_at.map(Timestamp::as_millisecond),
        })
    }
}

/// The counts that make a request larger.
type Counts = [u64; 5];

fn counts(estimate: &Estimate) -> Counts {
    let usage = &estimate.usage;
    [usage.input, usage.output, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    counts: Counts,
    refusal: Refusal,
    /// When the caller may come again, in milliseconds since 1970.
    retry_at: i64,
    /// Until when it is repeated.
    expires_at: i64,
}

/// A [`Kept`] as it stands in Redis: amounts are texts of their digits, as JavaScript has no others.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    counts: Counts,
    refusal: Words,
    retry_at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Words {
    current_usage_usd: String,
    monthly_limit_usd: String,
    percentage_used: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    retry_after_seconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resets_at: Option<i64>,
}

impl Kept {
    fn write(&self) -> Option<String> {
        let refusal = &self.refusal;
        let line = Line {
            counts: self.counts,
            refusal: Words {
                current_usage_usd: refusal.current_usage.0.to_string(),
                monthly_limit_usd: refusal.limit.0.to_string(),
                percentage_used: refusal.percentage.to_string(),
                message: refusal.message.clone(),
                retry_after_seconds: refusal.retry_after,
                resets_at: refusal.resets_at,
            },
            retry_at: self.retry_at,
            expires_at: self.expires_at,
        };
        serde_json::to_string(&line).ok()
    }

    /// Reads what is in Redis; others can write there, so nothing is taken for granted.
    fn read(text: &str, now: i64, ttl: i64) -> Option<Self> {
        let line: Line = serde_json::from_str(text).ok()?;
        let is_time = |millis: i64| (0..=MILLIS_MOST).contains(&millis);
        if !is_time(line.retry_at) || !is_time(line.expires_at) {
            return None;
        }
        let words = line.refusal;
        Some(Self {
            counts: line.counts,
            refusal: Refusal {
                message: words.message.chars().take(MESSAGE_MOST).collect(),
                current_usage: Usd(words.current_usage_usd.parse().ok()?),
                limit: Usd(words.monthly_limit_usd.parse().ok()?),
                percentage: words.percentage_used.parse().ok()?,
                retry_after: 1,
                resets_at: words.resets_at.filter(|millis| is_time(*millis)),
            },
            retry_at: line.retry_at,
            // The clocks of two machines differ.
            expires_at: line.expires_at.min(now.saturating_add(ttl)),
        })
    }

    /// The refusal, where it also holds for a request of these counts now.
    fn repeated(&self, counts: &Counts, now: i64) -> Option<Refusal> {
        let is_smaller = counts.iter().zip(&self.counts).any(|(count, refused)| count < refused);
        if now >= self.expires_at || is_smaller {
            return None;
        }
        let left = self.retry_at.saturating_sub(now).max(0);
        // Rounded up: who comes when told should not come too early.
        let seconds = left / 1000 + i64::from(left % 1000 > 0);
        let retry_after = u64::try_from(seconds).unwrap_or(1).max(1);
        Some(Refusal { retry_after, ..self.refusal.clone() })
    }
}

/// Where refusals are shared. A fault is a miss: it fails no request.
#[async_trait]
pub(crate) trait Shared: Send + Sync {
    async fn get(&self, key: &str) -> Option<String>;
    async fn set(&self, key: &str, value: String, ttl: Duration);
}

pub(crate) struct Verdicts {
    /// Keeps apart what several services say in one Redis.
    service: String,
    ttl: i64,
    local: Cache<String, Kept>,
    shared: Option<std::sync::Arc<dyn Shared>>,
}

impl Verdicts {
    pub(crate) fn new(
        service: &str,
        ttl: Duration,
        entries: u64,
        shared: Option<std::sync::Arc<dyn Shared>>,
    ) -> Self {
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(MILLIS_MOST);
        let local = Cache::builder().max_capacity(entries).time_to_live(ttl).build();
        Self { service: service.to_owned(), ttl: millis, local, shared }
    }

    /// The refusal that holds for this request at `now`, with what is left to wait.
    pub(crate) async fn find(
        &self,
        payer: &Payer,
        estimate: &Estimate,
        now: Timestamp,
    ) -> Option<Refusal> {
        if self.ttl == 0 {
            return None;
        }
        let now = now.as_millisecond();
        let (key, counts) = (self.key(payer, estimate), counts(estimate));
        if let Some(kept) = self.local.get(&key)
            && let Some(refusal) = kept.repeated(&counts, now)
        {
            return Some(refusal);
        }
        let text = self.shared.as_ref()?.get(&key).await?;
        let kept = Kept::read(&text, now, self.ttl)?;
        let refusal = kept.repeated(&counts, now)?;
        self.local.insert(key, kept);
        Some(refusal)
    }

    /// Remembers a refusal given at `now`. Others are told in the background.
    pub(crate) fn put(
        &self,
        payer: &Payer,
        estimate: &Estimate,
        refusal: &Refusal,
        now: Timestamp,
    ) {
        let now = now.as_millisecond();
        let wait = i64::try_from(refusal.retry_after).unwrap_or(MILLIS_MOST).saturating_mul(1000);
        let reset = refusal.resets_at.map_or(i64::MAX, |at| at.saturating_sub(now));
        let ttl = self.ttl.min(wait).min(reset);
        let Some(ttl) = u64::try_from(ttl).ok().filter(|ttl| *ttl > 0) else { return };
        let key = self.key(payer, estimate);
        let kept = Kept {
            counts: counts(estimate),
            refusal: refusal.clone(),
            retry_at: now.saturating_add(wait).min(MILLIS_MOST),
            expires_at: now.saturating_add_unsigned(ttl),
        };
        if let (Some(shared), Some(text)) = (self.shared.clone(), kept.write()) {
            let key = key.clone();
            tokio::spawn(async move {
                shared.set(&key, text, Duration::from_millis(ttl)).await;
            });
        }
        self.local.insert(key, kept);
    }

    fn key(&self, payer: &Payer, estimate: &Estimate) -> String {
        let parts = (
            &self.service,
            payer.tenant.as_str(),
            estimate.model.as_str(),
            payer.user.as_ref().map(|user| user.as_str()),
            payer.report_type.as_ref().map(|kind| kind.as_str()),
            estimate.tier.as_str(),
        );
        // Texts and nothing: there is nothing that JSON could not say.
        let text = serde_json::to_string(&parts).unwrap_or_default();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests;
