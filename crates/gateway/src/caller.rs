//! Who pays for a call.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use budget::KeyRecord;
use focus::{NameError, ReportType, TenantId, UserId};
use http::{HeaderMap, HeaderName, header};
use quick_cache::sync::Cache;

use crate::{
    config::{Config, Fail},
    fault::{Fault, Kind},
    gateway::Inner,
};

/// How many keys are remembered.
const KEYS_MOST: usize = 20_000;
/// For how long they are believed: so long a store that is down keeps nobody out.
const KNOWN_FOR: Duration = Duration::from_secs(12 * 3600);

/// Headers that are between the caller and us.
pub(crate) const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");
pub(crate) const USER: HeaderName = HeaderName::from_static("x-user-id");
pub(crate) const REPORT_TYPE: HeaderName = HeaderName::from_static("x-report-type");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who pays, and for whom within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payer {
    pub(crate) tenant: TenantId,
    pub(crate) user: Option<UserId>,
    pub(crate) report_type: Option<ReportType>,
}

/// Keys as the store last told them, for when it is down and calls are let through all the same.
pub(crate) struct Known(Cache<[u8; 32], (KeyRecord, Instant)>);

impl Default for Known {
    fn default() -> Self {
        Self(Cache::new(KEYS_MOST))
    }
}

impl Inner {
    /// Reads who pays from a tenant's key, or, from a trusted network, from the header that names
    /// one.
    pub(crate) async fn payer(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Payer, Fault> {
        let keyed = match secret(headers) {
            Some(secret) => self.key(secret).await?,
            None => None,
        };
        payer(headers, peer, &self.config, keyed)
    }

    /// The tenant of a key that is in force. Who names its tenant may send anything as a key: the
    /// vendors' SDKs insist on one.
    async fn key(&self, secret: &str) -> Result<Option<TenantId>, Fault> {
        if !secret.starts_with(KeyRecord::MARK) {
            return Ok(None);
        }
        let hash = KeyRecord::hash(secret);
        // Open means that a store that is down keeps no tenant out whom it has let in before.
        let known = || {
            let (key, told_at) = self.known.0.get(&hash)?;
            (told_at.elapsed() < KNOWN_FOR).then_some(key)
        };
        let believed = if self.is_silent() { known() } else { None };
        let found = match believed {
            Some(key) => Some(key),
            None if self.is_silent() && !self.quiet.admits() => {
                return Err(Fault::store(&self.silent()));
            }
            None => match self.in_time(self.rooms.keys.find_key(hash)).await {
                Ok(found) => self.remember(hash, found),
                Err(error) => Some(known().ok_or_else(|| Fault::store(&error))?),
            },
        };
        match found {
            Some(key) if key.revoked_at.is_none_or(|at| self.now() < at) => Ok(Some(key.tenant)),
            Some(_) => Err(Fault::new(Kind::Unauthorized, "this key was revoked")),
            None => Err(Fault::new(Kind::Unauthorized, "this is no tenant's key")),
        }
    }

    fn remember(&self, hash: [u8; 32], found: Option<KeyRecord>) -> Option<KeyRecord> {
        if self.config.fail == Fail::Open {
            match &found {
                Some(key) => self.known.0.insert(hash, (key.clone(), Instant::now())),
                None => drop(self.known.0.remove(&hash)),
            }
        }
        found
    }
}

fn payer(
    headers: &HeaderMap,
    peer: IpAddr,
    config: &Config,
    keyed: Option<TenantId>,
) -> Result<Payer, Fault> {
    let named = name(headers, TENANT, TenantId::parse)?;
    let tenant = match (keyed, named) {
        (Some(keyed), Some(named)) if keyed != named => {
            let message = format!("this key spends for another tenant than {TENANT} names");
            return Err(Fault::new(Kind::Forbidden, message));
        }
        (Some(keyed), _) => keyed,
        (None, Some(named)) if config.trusts(peer) => named,
        (None, Some(_)) => {
            let message = format!(
                "{TENANT} is believed from trusted networks alone and {peer} is in none of them; \
                 send a tenant's key, or add the network to gateway.trusted_networks"
            );
            return Err(Fault::new(Kind::Unauthorized, message));
        }
        (None, None) => {
            let message = "send a tenant's Bursar key as x-api-key or Authorization: Bearer";
            return Err(Fault::new(Kind::Unauthorized, message));
        }
    };
    let user = name(headers, USER, UserId::parse)?;
    let report_type = name(headers, REPORT_TYPE, ReportType::parse)?;
    Ok(Payer { tenant, user, report_type })
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok();
    }
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn name<N>(
    headers: &HeaderMap,
    header: HeaderName,
    parse: fn(&str) -> Result<N, NameError>,
) -> Result<Option<N>, Fault> {
    let mut values = headers.get_all(&header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = |message: String| {
        Fault::new(Kind::Unreadable, format!("{header} {message}")).about(header.as_str())
    };
    if values.next().is_some() {
        return Err(wrong("was sent more than once".to_owned()));
    }
    let text = value.to_str().map_err(|_| wrong("is not ASCII".to_owned()))?;
    parse(text).map(Some).map_err(|error| wrong(error.to_string()))
}
