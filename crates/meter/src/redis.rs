//! Redis as the place where refusals are shared, and how a Redis that is slow or gone is kept away
//! from requests.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use redis::{
    Client,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::{ExposeSecret, SecretString};

use crate::{client::SetupError, names::Counters, verdict::Shared};

/// Values are written by us and short; others are not read.
const VALUE_MOST: usize = 8192;
/// After Redis was too slow, requests do without it for this long.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Redis {
    manager: ConnectionManager,
    timeout: Duration,
    counters: Arc<Counters>,
    paused_until: Mutex<Option<Instant>>,
}

impl Redis {
    /// Connects in the background, and again for ever. Not being able to is no error. Within a Tokio
    /// runtime.
    pub(crate) fn open(
        url: &SecretString,
        timeout: Duration,
        counters: Arc<Counters>,
    ) -> Result<Self, SetupError> {
        let client = Client::open(url.expose_secret()).map_err(|_| SetupError::Redis)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(timeout.saturating_mul(2)))
            .set_number_of_retries(2);
        let manager = ConnectionManager::new_lazy_with_config(client, config);
        let manager = manager.map_err(|_| SetupError::Redis)?;
        let mut first = manager.clone();
        tokio::spawn(async move {
            // The first request should not have to wait for the connection; where there is none yet,
            // it will do without.
            let _: Result<(), _> = redis::cmd("PING").query_async(&mut first).await;
        });
        Ok(Self { manager, timeout, counters, paused_until: Mutex::default() })
    }

    async fn within<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<T> {
        let is_paused = {
            let until = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
            until.is_some_and(|until| Instant::now() < until)
        };
        if is_paused {
            return None;
        }
        let mut manager = self.manager.clone();
        let answer = tokio::time::timeout(self.timeout, command.query_async(&mut manager)).await;
        match answer {
            Ok(Ok(value)) => return Some(value),
            // The error may quote what was sent; its kind does not.
            Ok(Err(error)) => {
                tracing::debug!(kind = ?error.kind(), "redis has refused a command");
            }
            Err(_) => tracing::debug!("redis is too slow; requests do without it for a second"),
        }
        self.counters.redis_faults.increment(1);
        let until = Instant::now() + PAUSE;
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        None
    }
}

#[async_trait]
impl Shared for Redis {
    async fn get(&self, key: &str) -> Option<String> {
        let value: Option<String> = self.within(redis::cmd("GET").arg(key)).await?;
        value.filter(|value| value.len() <= VALUE_MOST)
    }

    async fn set(&self, key: &str, value: String, ttl: Duration) {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        // Nothing is done where it fails: the refusal is shared with nobody.
        let _: Option<()> =
            self.within(redis::cmd("SET").arg(key).arg(value).arg("PX").arg(millis)).await;
    }
}
