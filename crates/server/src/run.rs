//! Accepts connections until told to stop, then lets what is in flight finish.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::body::Body;
use budget::StoreError;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use metrics::Gauge;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;

use crate::{front::Front, jobs, service::Service, steady::steady};

/// How long a job may take to end once the service stops.
const JOBS_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the service did not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// Imported prices could not be read.
    #[error("failed to read imported prices")]
    Prices(#[source] StoreError),
}

/// Serves until `shutdown`, finishes what is in flight within the configured time and closes the
/// store. Connections that come before the prices are read wait in the listener's queue.
pub async fn run(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let front = Front::new(service);
    let state = front.state().clone();
    let revision = jobs::load_prices(&state).await.map_err(RunError::Prices)?;
    let (stop, stopped) = watch::channel(false);
    let mut jobs = jobs::spawn(state.clone(), revision, stopped);

    let connections = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(state.config.connections_most));
    tokio::pin!(shutdown);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = open.join_next() => continue,
        };
        let Some((stream, slot)) = accepted else { continue };
        let Ok(peer) = stream.peer_addr() else { continue };
        let connection = connection(&front, &connections, stream, peer.ip());
        open.spawn(async move {
            steady(connection).await;
            drop(slot);
        });
    }
    drop(listener);
    state.drain();
    tracing::info!(connections = connections.count(), "stopping: finishing what is in flight");
    if tokio::time::timeout(state.config.drain_timeout, connections.shutdown()).await.is_err() {
        tracing::warn!("stopping: some requests did not finish in time");
    }
    // Whoever still waits is left, so that the door beside can end what it has begun.
    open.shutdown().await;
    if let Some(beside) = &state.beside {
        beside.close().await;
    }
    // A send fails when all jobs have ended already.
    let _ = stop.send(true);
    let ended = async { while jobs.join_next().await.is_some() {} };
    if tokio::time::timeout(JOBS_TIMEOUT, ended).await.is_err() {
        tracing::warn!("stopping: a job did not finish in time");
        jobs.shutdown().await;
    }
    state.store.close().await;
    Ok(())
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it answers wait for acknowledgements; a socket that refuses it still works.
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            // Out of file descriptors, most likely: some will be closed.
            tracing::warn!("failed to accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn connection(
    front: &Front,
    connections: &GracefulShutdown,
    stream: TcpStream,
    peer: IpAddr,
) -> impl Future<Output = ()> + Send + use<> {
    let front = front.clone();
    let state = front.state().clone();
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let front = front.clone();
        async move {
            let beside = front.state().beside.as_ref();
            let response = match beside.filter(|beside| beside.takes(request.uri().path())) {
                Some(beside) => front.pass(beside, request, peer).await,
                None => front.answer(request.map(Body::new)).await,
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(state.config.stall_timeout));
    let stream = Box::pin(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.config.head_timeout)
        .serve_connection(TokioIo::new(stream), answer);
    let connection = connections.watch(connection);
    async move {
        let _open = Open::new(state.metrics.connections().clone());
        if let Err(error) = connection.await {
            // Peers hang up and speak nonsense; neither is ours to fix.
            tracing::debug!("a connection ended: {error}");
        }
    }
}

/// Counts a connection as open; one that ends in a panic, too, is open no longer.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
