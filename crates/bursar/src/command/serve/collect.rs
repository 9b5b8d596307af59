//! Bills that are taken in while the service runs.
//!
//! Each source has a task of its own, so that a slow one keeps none from its turn. An ingest that is
//! cut off by the service's end leaves the lake as it was, and is made up for at the next start.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use lake::{Ingested, Lake, Options};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::{command::cost::ledger, config::CostSource, context::Store};

/// When a source was last taken in without trouble, seconds since 1970.
const SUCCESS: &str = "bursar_cost_ingest_success_timestamp_seconds";
/// Ingests that have failed.
const FAILURES: &str = "bursar_cost_ingest_failures_total";

/// Takes the sources in, now and then again. They are left alone when what is returned is dropped.
pub(in crate::command) fn start(
    lake: &Arc<Lake>,
    store: &Store,
    sources: &[CostSource],
) -> JoinSet<()> {
    metrics::describe_gauge!(SUCCESS, "When a source of bills was last taken in");
    metrics::describe_counter!(FAILURES, "Ingests of bills that have failed");
    let mut tasks = JoinSet::new();
    for source in sources {
        let (lake, store, source) = (lake.clone(), store.clone(), source.clone());
        tasks.spawn(async move {
            loop {
                turn(&lake, &store, &source).await;
                tokio::time::sleep(source.every).await;
            }
        });
    }
    tasks
}

async fn turn(lake: &Lake, store: &Store, source: &CostSource) {
    let labels = [("source", source.name.clone())];
    match ingest(lake, store, source).await {
        Ok(ingested) => {
            let since_1970 = Timestamp::now().as_duration().unsigned_abs();
            metrics::gauge!(SUCCESS, &labels).set(since_1970);
            metrics::counter!(FAILURES, &labels).increment(0);
            tell(source, &ingested);
        }
        Err(error) => {
            metrics::counter!(FAILURES, &labels).increment(1);
            error!(
                source = source.name,
                "failed to ingest {}, tried again in {} s: {error:#}",
                source.path.display(),
                source.every.as_secs()
            );
        }
    }
}

async fn ingest(lake: &Lake, store: &Store, source: &CostSource) -> anyhow::Result<Ingested> {
    let options = Options {
        source: Some(source.name.clone()),
        lacking: source.lacking,
        on_invalid: source.on_invalid,
        ..Options::default()
    };
    if source.path == Path::new(ledger::PATH) {
        let bill = ledger::bill(store).await?;
        return Ok(lake.ingest(bill.path(), &options).await?);
    }
    Ok(lake.ingest(&source.path, &options).await?)
}

fn tell(source: &CostSource, ingested: &Ingested) {
    let source = &source.name;
    if ingested.changed {
        let (charges, version) = (ingested.charges(), ingested.version);
        info!(source, charges, version, "ingested");
    }
    if let Some((id, rows)) = &ingested.quarantined {
        warn!(source, rows, "rows were kept apart: see `bursar cost quarantine show {id}`");
    }
    for note in &ingested.notes {
        warn!(source, "{note}");
    }
}
