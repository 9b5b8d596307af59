//! Another door on the service's listener: the gateway's.

use std::net::IpAddr;

use async_trait::async_trait;
use axum::body::Body;
use hyper::{Request, Response, body::Incoming};

/// Answers the paths that are its own, by its own rules of access.
#[async_trait]
pub trait Beside: Send + Sync {
    /// Whether a path is its own.
    fn takes(&self, path: &str) -> bool;
    /// Answers a request of a peer.
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body>;
    /// Finishes what is in flight, while the store is still open.
    async fn close(&self);
}
