//! What a process holds, every few seconds: memory, descriptors, connections, reservations.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bench::{client, machine};

pub(super) struct Watched {
    pub(super) name: &'static str,
    pub(super) process: u32,
    /// Where it can be asked.
    pub(super) gateway: Option<SocketAddr>,
}

/// One look at a process.
#[derive(Serialize, Clone, Default)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    /// Since the load began.
    pub(super) seconds: f64,
    pub(super) memory_mib: f64,
    pub(super) descriptors: f64,
    pub(super) threads: f64,
    /// Connections of callers; this and what follows are of gateways alone.
    pub(super) connections: Option<f64>,
    pub(super) calls_in_flight: Option<f64>,
    pub(super) spool_records: Option<f64>,
    /// Nothing while the store does not answer.
    pub(super) holds: Option<f64>,
}

impl Watched {
    pub(super) async fn look(&self, seconds: f64) -> Result<Sample> {
        let process = self.process;
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"))
            .with_context(|| format!("{} has ended", self.name))?;
        let mut sample = Sample {
            name: self.name,
            seconds,
            memory_mib: machine::memory(process)?,
            descriptors: descriptors.count() as f64,
            threads: std::fs::read_dir(format!("/proc/{process}/task"))?.count() as f64,
            ..Sample::default()
        };
        let Some(address) = self.gateway else { return Ok(sample) };
        let metrics = ask(address, "/metrics").await.with_context(|| self.name.to_owned())?;
        sample.connections = metric(&metrics, "bursar_http_connections");
        sample.calls_in_flight = metric(&metrics, "bursar_gateway_calls_in_flight");
        sample.spool_records = metric(&metrics, "bursar_gateway_spool_records");
        // It may be asked in vain, and should not hold up the others.
        let holds = timeout(Duration::from_secs(2), open_holds(address)).await;
        sample.holds = holds.ok().and_then(Result::ok).map(|holds| holds as f64);
        Ok(sample)
    }
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Reservations that wait for their end.
pub(super) async fn open_holds(address: SocketAddr) -> Result<usize> {
    let mut open = 0;
    for state in ["held", "unresolved"] {
        let path = format!("/api/v1/reservations?state={state}&limit=1000");
        let page: serde_json::Value = serde_json::from_str(&ask(address, &path).await?)?;
        open += page["reservations"].as_array().context("no reservations in the answer")?.len();
    }
    Ok(open)
}

/// Asks once, on a connection of its own; the body of a good answer.
pub(super) async fn ask(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(64 * 1024);
    let answer = loop {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "{path}: the connection ended");
        if let Some(answer) = client::parse(&bytes)? {
            break answer;
        }
    };
    let text = String::from_utf8_lossy(&bytes[answer.body..answer.end]).into_owned();
    ensure!(answer.status == 200, "{path}: {} {text}", answer.status);
    Ok(text)
}
