//! What the service is told at its start.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use secrecy::SecretString;
use thiserror::Error;

/// What the service is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Makes its bearer an administrator. Without one, everybody is.
    pub admin_token: Option<SecretString>,
    /// Lets its bearer tell alerts, and do nothing else.
    pub alert_token: Option<SecretString>,
    /// Requests a second for each key; unlimited when `None` or without an admin token.
    pub rate_limit_per_second: Option<NonZeroU32>,
    /// How long a handler may take.
    pub request_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a connection may take to send a request's head, or wait before it.
    pub head_timeout: Duration,
    /// How long a caller may read nothing of what is sent to him.
    pub stall_timeout: Duration,
    /// The longest body in bytes.
    pub body_limit: usize,
    /// Whether the API and the pages are answered; without them, probes and metrics alone are.
    pub has_api: bool,
    /// Tenants that `/metrics` names apart, those that spend most; the others are summed up.
    pub tenants_named: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections_most: usize,
    /// How long requests in flight may take once the service is told to stop.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admin_token: None,
            alert_token: None,
            rate_limit_per_second: None,
            request_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            body_limit: 1024 * 1024,
            has_api: true,
            tenants_named: 200,
            connections_most: 10_000,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Why the service does not listen there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Others could reach it, and it would obey them.
    #[error(
        "{0} can be reached from other machines and no admin token is set: \
         set BURSAR_ADMIN_TOKEN to a long random secret, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
}

/// Refuses an address that others can reach when nobody would have to say who they are.
pub fn check_listen(address: SocketAddr, has_token: bool) -> Result<(), ListenError> {
    if has_token || address.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(ListenError::Open(address))
    }
}
