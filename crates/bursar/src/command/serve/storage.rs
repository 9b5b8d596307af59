//! Storage that is measured while the service runs: buckets, `ClickHouse`'s disks, archived WAL.
//!
//! Each collector has a task and a pace of its own and writes what it found into `/metrics`, so
//! that a scrape asks nobody. What was found stays until the next look that succeeds; when that was
//! is a metric, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing::error;

use super::clickhouse;
use crate::{
    command::cost::cost_explorer,
    config::{Clickhouse, Config},
};

/// Gauge by `bucket`: bytes by CloudWatch's newest measure, over all storage classes; beyond the
/// 500 largest buckets the sum as `(other)`; 0 of one that is gone.
const BUCKET: &str = "aws_s3_bucket_size_bytes";
/// Gauge by `disk`: bytes of a disk of ClickHouse that are used; disks without an end, object
/// storage say, are left out.
const DISK_USED: &str = "clickhouse_disk_used_bytes";
/// Gauge by `disk`: bytes of a disk of ClickHouse.
const DISK_TOTAL: &str = "clickhouse_disk_total_bytes";
/// Gauge: WAL that Postgres has archived since its statistics were reset: files times the size of a
/// segment, an upper bound.
const WAL: &str = "pg_wal_archive_bytes_total";
/// Gauge by `collector`: when `s3`, `clickhouse` or `postgres_wal` was last measured.
const SUCCESS: &str = "bursar_collect_success_timestamp_seconds";
/// Counter by `collector`: looks that have failed.
const FAILURES: &str = "bursar_collect_failures_total";

/// Buckets that are named apart; the smaller ones are summed up.
const BUCKETS_NAMED: usize = 500;
/// What the others are called.
const OTHER: &str = "(other)";

/// Who is asked.
enum Collector {
    Buckets { client: Box<aws::Client>, wanted: Vec<String> },
    Clickhouse { config: Clickhouse, url: http::Uri },
    Wal { url: String },
}

/// Starts the collectors that the config names. They end when what is returned is dropped.
pub(super) async fn start(config: &Config) -> anyhow::Result<JoinSet<()>> {
    let collect = &config.collect;
    let mut tasks = JoinSet::new();
    if let Some(wanted) = collect.buckets.clone() {
        metrics::describe_gauge!(BUCKET, "Bytes in a bucket of S3, by CloudWatch's last measure");
        let client = Box::new(cost_explorer::client(config, None).await?);
        let collector = Collector::Buckets { client, wanted };
        tasks.spawn(run(collector, collect.buckets_every));
    }
    if let Some(url) = collect.clickhouse.url.clone() {
        metrics::describe_gauge!(DISK_USED, "Bytes of a disk of ClickHouse that are used");
        metrics::describe_gauge!(DISK_TOTAL, "Bytes of a disk of ClickHouse");
        let collector = Collector::Clickhouse { config: collect.clickhouse.clone(), url };
        tasks.spawn(run(collector, collect.every));
    }
    if let Some(url) = collect.postgres_wal.clone() {
        metrics::describe_gauge!(WAL, "Bytes of WAL that Postgres has archived");
        tasks.spawn(run(Collector::Wal { url }, collect.every));
    }
    if !tasks.is_empty() {
        metrics::describe_gauge!(SUCCESS, "When a collector of storage last succeeded");
        metrics::describe_counter!(FAILURES, "Looks of collectors of storage that have failed");
    }
    Ok(tasks)
}

async fn run(collector: Collector, every: Duration) {
    let labels = [("collector", collector.name())];
    let mut known = BTreeSet::new();
    loop {
        match collector.look(&mut known).await {
            Ok(()) => {
                let since_1970 = Timestamp::now().as_duration().unsigned_abs();
                metrics::gauge!(SUCCESS, &labels).set(since_1970);
                metrics::counter!(FAILURES, &labels).increment(0);
            }
            Err(error) => {
                metrics::counter!(FAILURES, &labels).increment(1);
                let (collector, again) = (collector.name(), every.as_secs());
                error!(collector, "failed to measure storage, tried again in {again} s: {error:#}");
            }
        }
        tokio::time::sleep(every).await;
    }
}

impl Collector {
    fn name(&self) -> &'static str {
        match self {
            Self::Buckets { .. } => "s3",
            Self::Clickhouse { .. } => "clickhouse",
            Self::Wal { .. } => "postgres_wal",
        }
    }

    /// Looks once. What was there before and is no more holds nothing.
    async fn look(&self, known: &mut BTreeSet<String>) -> anyhow::Result<()> {
        match self {
            Self::Buckets { client, wanted } => {
                let sizes = aws::bucket_sizes(client, wanted, Timestamp::now()).await?;
                let sizes = named(sizes);
                show(BUCKET, "bucket", &sizes, known);
                known.extend(sizes.into_keys());
            }
            Self::Clickhouse { config, url } => {
                let disks = clickhouse::disks(config, url).await;
                let disks = disks.with_context(|| format!("ClickHouse at {url}"))?;
                let gauge = |pick: fn(&clickhouse::Disk) -> u64| -> BTreeMap<String, f64> {
                    disks.iter().map(|(name, disk)| (name.clone(), shown(pick(disk)))).collect()
                };
                show(DISK_USED, "disk", &gauge(|disk| disk.used), known);
                show(DISK_TOTAL, "disk", &gauge(|disk| disk.total), known);
                known.extend(disks.into_keys());
            }
            Self::Wal { url } => {
                let archived = store::wal_archived(url).await?;
                metrics::gauge!(WAL).set(shown(archived));
            }
        }
        Ok(())
    }
}

/// As metrics count: exact up to 8 PiB.
#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn shown(bytes: u64) -> f64 {
    bytes as f64
}

fn show(
    metric: &'static str,
    label: &'static str,
    sizes: &BTreeMap<String, f64>,
    known: &BTreeSet<String>,
) {
    for name in known.iter().filter(|name| !sizes.contains_key(*name)) {
        metrics::gauge!(metric, label => name.clone()).set(0.0);
    }
    for (name, size) in sizes {
        metrics::gauge!(metric, label => name.clone()).set(*size);
    }
}

/// The largest buckets by name, and the others' sum.
fn named(sizes: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    if sizes.len() <= BUCKETS_NAMED {
        return sizes;
    }
    let mut sizes: Vec<(String, f64)> = sizes.into_iter().collect();
    sizes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let others: f64 = sizes.drain(BUCKETS_NAMED..).map(|(_, size)| size).sum();
    sizes.into_iter().chain([(OTHER.to_owned(), others)]).collect()
}

#[cfg(test)]
mod tests;
