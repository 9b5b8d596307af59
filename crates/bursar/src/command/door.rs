//! The gateway beside the service, on the same listener.

use std::{net::IpAddr, sync::Arc};

use anyhow::Context as _;
use async_trait::async_trait;
use axum::body::Body;
use gateway::{Gateway, Rooms};
use hyper::{Request, Response, body::Incoming};
use ipnet::IpNet;
use server::{Beside, Service};
use tokio::sync::Notify;

use crate::{config::Config, context::Store};

/// The gateway as the service sees it.
struct Door {
    gateway: Gateway,
    stopped: Arc<Notify>,
}

#[async_trait]
impl Beside for Door {
    fn takes(&self, path: &str) -> bool {
        Gateway::takes(path)
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        self.gateway.answer(request, peer).await.map(Body::new)
    }

    async fn close(&self) {
        self.stopped.notify_one();
        self.gateway.close().await;
    }
}

/// Puts the gateway beside the service, where upstreams are configured.
pub(crate) fn beside(service: Service, config: &Config, store: Store) -> anyhow::Result<Service> {
    if config.upstreams.is_empty() {
        return Ok(service);
    }
    gateway::names::describe();
    let rooms = Rooms {
        escrow: service.escrow(),
        keys: store.clone(),
        budgets: store.clone(),
        batches: store,
        prices: service.prices(),
        clock: Arc::new(jiff::Timestamp::now),
    };
    let gateway = Gateway::new(told(config), rooms).context("failed to start the gateway")?;
    for upstream in &config.upstreams {
        let models = upstream.models.join(", ");
        tracing::info!(name = upstream.name, url = %upstream.url, models, "upstream");
    }
    let stopped = Arc::new(Notify::new());
    let (running, told) = (gateway.clone(), stopped.clone());
    tokio::spawn(async move { running.run(told.notified()).await });
    Ok(service.with_beside(Arc::new(Door { gateway, stopped })))
}

/// What the gateway is told.
fn told(config: &Config) -> gateway::Config {
    let spool = config.gateway_spool.clone().unwrap_or_else(|| config.data_dir.join("spool"));
    // An open service believes whoever reaches it, and only this machine can.
    let local = || {
        let loopback = ["127.0.0.0/8", "::1/128"];
        loopback.iter().filter_map(|network| network.parse::<IpNet>().ok()).collect()
    };
    let trusted = config.gateway_trusted.clone();
    let trusted =
        trusted.unwrap_or_else(|| if config.admin_token.is_none() { local() } else { Vec::new() });
    gateway::Config {
        upstreams: config.upstreams.clone(),
        trusted,
        wait: config.gateway_wait,
        fail: config.gateway_fail,
        body_timeout: config.gateway_body_timeout,
        drain: config.gateway_drain,
        calls_most: usize::try_from(config.gateway_calls.get()).unwrap_or(usize::MAX),
        ..gateway::Config::new(spool)
    }
}
