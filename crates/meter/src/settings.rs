//! What can be set for a layer, and what holds where it is not.

use std::{sync::Arc, time::Duration};

use http::request::Parts;
#[cfg(feature = "redis")]
use secrecy::SecretString;

use crate::{
    Estimate, Payer,
    answer::Fallback,
    payer::{Estimates, Payers},
};

/// What to do with a request that can't be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailMode {
    /// It is let through, and its usage is reported all the same.
    #[default]
    Open,
    /// It is answered 503.
    Closed,
}

/// How requests are checked.
#[derive(Clone)]
pub struct Settings {
    pub(crate) payers: Payers,
    pub(crate) estimates: Estimates,
    pub(crate) fail_mode: FailMode,
    pub(crate) timeout: Duration,
    pub(crate) cache_ttl: Duration,
    pub(crate) cache_entries: u64,
    #[cfg(feature = "redis")]
    pub(crate) redis: Option<(SecretString, Duration)>,
    pub(crate) warning_percent: u16,
    pub(crate) fallback: Fallback,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payers: Payers::default(),
            estimates: Estimates::default(),
            fail_mode: FailMode::default(),
            timeout: Duration::from_secs(1),
            cache_ttl: Duration::from_secs(60),
            cache_entries: 10_000,
            #[cfg(feature = "redis")]
            redis: None,
            warning_percent: 80,
            fallback: Fallback::default(),
        }
    }
}

impl Settings {
    /// Finds who pays; nobody is answered 400. By default the headers `x-tenant-id`, `x-user-id` and
    /// `x-report-type`, which are believed as they come: where callers could set them themselves, let
    /// a gateway overwrite them, or read a verified token here.
    #[must_use]
    pub fn with_payer<F>(mut self, find: F) -> Self
    where
        F: Fn(&Parts) -> Option<Payer> + Send + Sync + 'static,
    {
        self.payers = Payers::Given(Arc::new(find));
        self
    }

    /// Finds what a request will use at most; nothing is answered 400. By default an [`Estimate`]
    /// among the request's extensions, which a layer outside of this one has put there.
    #[must_use]
    pub fn with_estimate<F>(mut self, find: F) -> Self
    where
        F: Fn(&Parts) -> Option<Estimate> + Send + Sync + 'static,
    {
        self.estimates = Estimates::Given(Arc::new(find));
        self
    }

    /// What to do when the service does not answer; requests are let through by default.
    #[must_use]
    pub fn with_fail_mode(mut self, fail_mode: FailMode) -> Self {
        self.fail_mode = fail_mode;
        self
    }

    /// How long a check may take; a second by default.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a refusal is served again at most, and how many are kept; a minute and 10,000 by
    /// default. A time of zero turns the cache off.
    #[must_use]
    pub fn with_cache(mut self, ttl: Duration, entries: u64) -> Self {
        self.cache_ttl = ttl.min(Duration::from_secs(86_400));
        self.cache_entries = entries;
        self
    }

    /// Shares refusals with other processes through a Redis (`redis://` or `rediss://`), also with
    /// those that use the Fastify plugin, where they name the service by the same address. Redis may
    /// take `timeout`, 50 ms is plenty; a slow or absent one fails no request.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn with_redis(mut self, url: SecretString, timeout: Duration) -> Self {
        self.redis = Some((url, timeout));
        self
    }

    /// From which percentage of the budget on answers carry the warning headers; 80 by default.
    #[must_use]
    pub fn with_warning(mut self, percent: u16) -> Self {
        self.warning_percent = percent;
        self
    }

    /// What a refused caller is told to do.
    #[must_use]
    pub fn with_suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.fallback.suggestion = suggestion.into();
        self
    }

    /// Whom a refused caller may ask.
    #[must_use]
    pub fn with_contact(mut self, contact: impl Into<String>) -> Self {
        self.fallback.contact = contact.into();
        self
    }
}
