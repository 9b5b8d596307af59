//! A way to a server that can be cut and mended, as a network is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

#[derive(Clone)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Way {
    /// To a server that is there.
    pub(super) async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen")?;
        let address = listener.local_addr()?;
        let way = Self { address, is_cut: Arc::default(), open: Arc::default() };
        tokio::spawn(way.clone().run(listener, target));
        Ok(way)
    }

    async fn run(self, listener: TcpListener, target: SocketAddr) {
        while let Ok((mut near, _)) = listener.accept().await {
            if self.is_cut.load(Ordering::SeqCst) {
                // Dropped at once: nobody is there.
                continue;
            }
            let passing = tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(target).await else { return };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                // Either end may leave; so does the other then.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|handle| !handle.is_finished());
            open.push(passing.abort_handle());
        }
    }

    /// Ends every connection in the middle of whatever it says, and lets no other through.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.drain(..).for_each(|handle| handle.abort());
    }

    pub(super) fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

/// A database's URL by another way.
pub(super) fn by_way(url: &str, address: SocketAddr) -> Result<(String, SocketAddr)> {
    let (scheme, rest) = url.split_once("://").context("a database URL without a scheme")?;
    let (authority, path) = rest.split_once('/').context("a database URL without a database")?;
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let target = std::net::ToSocketAddrs::to_socket_addrs(&host)
        .with_context(|| format!("failed to look up {host}"))?
        .next()
        .with_context(|| format!("{host} has no address"))?;
    Ok((format!("{scheme}://{user}{address}/{path}"), target))
}
