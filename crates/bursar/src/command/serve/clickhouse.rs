//! ClickHouse, asked over its HTTP interface for the size of its disks.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::crypto::ring;

use crate::config::Clickhouse;

/// `system.disks` has sizes in bytes, of type `UInt64`
/// (<https://clickhouse.com/docs/operations/system-tables/disks>).
const QUESTION: &str =
    "select name, total_space - free_space, total_space from system.disks format TabSeparated";
/// For the whole answer.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer, at most.
const BODY_MOST: usize = 1 << 20;
/// Disks, at most.
const DISKS_MOST: usize = 1_000;
/// Object storage has no end: ClickHouse says so by a number beyond any disk.
const ENDLESS: u64 = 1 << 62;

/// What of a disk is used, and how large it is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) used: u64,
    pub(super) total: u64,
}

/// The disks by name. Those without a size, object storage say, are left out.
pub(super) async fn disks(
    config: &Clickhouse,
    url: &http::Uri,
) -> anyhow::Result<BTreeMap<String, Disk>> {
    let password = match &config.password_file {
        Some(file) => tokio::fs::read_to_string(file)
            .await
            .with_context(|| format!("failed to read {}", file.display()))?,
        None => String::new(),
    };
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .context("failed to read the system's certificates")?
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header("x-clickhouse-user", &config.user)
        .header("x-clickhouse-key", password.trim_end())
        .body(Full::new(Bytes::from_static(QUESTION.as_bytes())))
        .context("collect.clickhouse.user or the password can't stand in a header")?;
    let answered = async {
        let (head, body) = client.request(request).await?.into_parts();
        let body = Limited::new(body, BODY_MOST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("its answer is cut off: {error}"))?;
        Ok::<_, anyhow::Error>((head.status, body.to_bytes()))
    };
    let answered = tokio::time::timeout(TIME, answered).await;
    let (status, body) = answered.with_context(|| format!("no answer in {TIME:?}"))??;
    let text = String::from_utf8_lossy(&body);
    if !status.is_success() {
        // `Code: 516. DB::Exception: default: Authentication failed …`
        let first: String = text.lines().next().unwrap_or_default().chars().take(300).collect();
        bail!("it answers {status}: {first}");
    }
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, Disk>> {
    let mut disks = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, used, total] = fields.as_slice() else {
            let line: String = line.chars().take(100).collect();
            bail!("{line:?} is no disk: a name and two sizes were asked for");
        };
        let size = |text: &str| text.parse::<u64>().with_context(|| format!("{text:?} is no size"));
        let (used, total) = (size(used)?, size(total)?);
        if total < ENDLESS {
            disks.insert((*name).to_owned(), Disk { used, total });
        }
        ensure!(disks.len() <= DISKS_MOST, "it has more than {DISKS_MOST} disks");
    }
    Ok(disks)
}

#[cfg(test)]
mod tests;
