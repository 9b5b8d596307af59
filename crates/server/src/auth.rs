//! Who is calling, and what they may touch.

use std::{net::IpAddr, num::NonZeroU32};

use api::Usd;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use budget::{KeyRecord, Store};
use focus::TenantId;
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use jiff::Timestamp;
use money::Money;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{Config, fault::Fault};

/// Whom a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// May do everything.
    Admin,
    /// Reads and spends for one tenant.
    Tenant(TenantId),
}

impl Caller {
    /// Administrators alone.
    pub(crate) fn admin(&self) -> Result<(), Fault> {
        match self {
            Self::Admin => Ok(()),
            Self::Tenant(_) => Err(Fault::forbidden(
                "admin_only",
                "this needs the admin token, not a tenant's key",
            )),
        }
    }

    /// What the caller says that tokens cost. A tenant's key may name an amount, which is recorded as
    /// such, but not what looks like a price.
    pub(crate) fn quotes(&self, quoted: Option<Usd>) -> Result<Option<Money>, Fault> {
        if quoted.is_some() {
            self.admin()?;
        }
        Ok(quoted.map(|quoted| quoted.0))
    }

    pub(crate) fn sees(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Admin => true,
            Self::Tenant(own) => own == tenant,
        }
    }

    /// Refuses another tenant's name.
    pub(crate) fn acts_for(&self, tenant: &TenantId) -> Result<(), Fault> {
        if self.sees(tenant) {
            return Ok(());
        }
        Err(Fault::forbidden("other_tenant", "this key reads and spends for another tenant"))
    }

    /// Whose rows a list may show, given whose were asked for.
    pub(crate) fn narrow(&self, asked: Option<TenantId>) -> Result<Option<TenantId>, Fault> {
        match (self, asked) {
            (_, Some(asked)) => self.acts_for(&asked).map(|()| Some(asked)),
            (Self::Admin, None) => Ok(None),
            (Self::Tenant(own), None) => Ok(Some(own.clone())),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        // Public paths have no caller; no handler of one may ask for it.
        parts.extensions.get::<Self>().cloned().ok_or_else(Fault::internal)
    }
}

/// Checks callers.
pub(crate) struct Auth {
    admin: Option<[u8; 32]>,
    alerts: Option<[u8; 32]>,
    limiter: Option<DefaultKeyedRateLimiter<Uuid>>,
}

impl Auth {
    pub(crate) fn new(config: &Config) -> Self {
        let hash = |token: &SecretString| KeyRecord::hash(token.expose_secret());
        let admin = config.admin_token.as_ref().map(hash);
        let alerts = config.alert_token.as_ref().map(hash);
        let limit = |rate: NonZeroU32| RateLimiter::keyed(Quota::per_second(rate));
        let limiter = config.rate_limit_per_second.filter(|_| admin.is_some()).map(limit);
        Self { admin, alerts, limiter }
    }

    /// Nobody has to say who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.admin.is_none()
    }

    /// Whether these headers have the token of whoever tells alerts.
    pub(crate) fn tells_alerts(&self, headers: &HeaderMap) -> bool {
        let given = secret(headers).map(KeyRecord::hash);
        self.alerts.zip(given).is_some_and(|(alerts, given)| bool::from(given.ct_eq(&alerts)))
    }

    /// Who sends these headers.
    pub(crate) async fn caller(
        &self,
        headers: &HeaderMap,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Caller, Fault> {
        let Some(admin) = &self.admin else { return Ok(Caller::Admin) };
        let secret = secret(headers).ok_or_else(|| {
            Fault::unauthorized("send Authorization: Bearer with the admin token or a tenant's key")
        })?;
        let hash = KeyRecord::hash(secret);
        if bool::from(hash.ct_eq(admin)) {
            self.limit(Uuid::nil())?;
            return Ok(Caller::Admin);
        }
        match store.find_key(hash).await? {
            Some(key) if key.revoked_at.is_none_or(|at| now < at) => {
                self.limit(key.id)?;
                Ok(Caller::Tenant(key.tenant))
            }
            Some(_) => Err(Fault::unauthorized("this key was revoked")),
            None => Err(Fault::unauthorized("this is neither the admin token nor a tenant's key")),
        }
    }

    fn limit(&self, key: Uuid) -> Result<(), Fault> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&key).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Fault::rate_limited(wait.as_secs() + 1)
        })
    }

    /// Forgets keys that have not called for a while.
    pub(crate) fn tidy(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
        }
    }
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim());
    }
    headers.get("x-api-key")?.to_str().ok()
}

/// A new key for a tenant, and its secret, which is nowhere else.
pub fn new_key(
    tenant: TenantId,
    name: String,
    now: Timestamp,
) -> Result<(KeyRecord, String), getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let secret = format!("{}{}", KeyRecord::MARK, URL_SAFE_NO_PAD.encode(bytes));
    let record = KeyRecord {
        id: Uuid::new_v4(),
        tenant,
        name,
        hash: KeyRecord::hash(&secret),
        prefix: secret.chars().take(10).collect(),
        created_at: now,
        revoked_at: None,
    };
    Ok((record, secret))
}

/// An open service obeys everybody on this machine; a web page that is open there is not one of
/// them. It would come under a foreign host name, or from a foreign origin.
pub(crate) fn guard_open(method: &Method, headers: &HeaderMap) -> Result<(), Fault> {
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if host.is_some_and(|host| !is_local(host)) {
        let message = "without an admin token, only localhost is answered";
        return Err(Fault::forbidden("foreign_host", message));
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| changes) else { return Ok(()) };
    let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    if own.is_none_or(|(_, own)| Some(own) != host) {
        let message = "without an admin token, pages of other origins can't change anything";
        return Err(Fault::forbidden("foreign_origin", message));
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.');
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    last.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}
