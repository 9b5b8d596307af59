//! Bills that are taken in while the service runs.
//!
//! Each source has a task of its own, so that a slow one keeps none from its turn. An ingest that is
//! cut off by the service's end leaves the lake as it was, and is made up for at the next start.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use lake::{Ingested, Lake, Options};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::{
    command::cost::{
        aws_budgets::{self, Synced},
        cost_explorer::{self, Wanted},
        ledger,
    },
    config::{Config, CostSource, Origin},
    context::Store,
};

/// Gauge by `source`: when a source of the config file was last taken in.
const SUCCESS: &str = "bursar_cost_ingest_success_timestamp_seconds";
/// Counter by `source`: its ingests that have failed.
const FAILURES: &str = "bursar_cost_ingest_failures_total";

/// Gauge: when budgets were last taken over from AWS.
const BUDGETS_SUCCESS: &str = "bursar_aws_budgets_success_timestamp_seconds";
/// Counter: how often they could not be.
const BUDGETS_FAILURES: &str = "bursar_aws_budgets_failures_total";

/// Takes the sources in, now and then again. They are left alone when what is returned is dropped.
pub(in crate::command) fn start(
    lake: &Arc<Lake>,
    store: &Store,
    config: &Arc<Config>,
) -> JoinSet<()> {
    metrics::describe_gauge!(SUCCESS, "When a source of bills was last taken in");
    metrics::describe_counter!(FAILURES, "Ingests of bills that have failed");
    let mut tasks = JoinSet::new();
    for source in &config.cost_sources {
        let (lake, store, source) = (lake.clone(), store.clone(), source.clone());
        let config = config.clone();
        tasks.spawn(async move {
            loop {
                turn(&lake, &store, &config, &source).await;
                tokio::time::sleep(source.every).await;
            }
        });
    }
    tasks
}

async fn turn(lake: &Lake, store: &Store, config: &Config, source: &CostSource) {
    let labels = [("source", source.name.clone())];
    match ingest(lake, store, config, source).await {
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
                source.origin,
                source.every.as_secs()
            );
        }
    }
}

async fn ingest(
    lake: &Lake,
    store: &Store,
    config: &Config,
    source: &CostSource,
) -> anyhow::Result<Ingested> {
    let options = Options {
        source: Some(source.name.clone()),
        lacking: source.lacking,
        on_invalid: source.on_invalid,
        ..Options::default()
    };
    Ok(match &source.origin {
        Origin::Delivered(path) => lake.ingest(path, &options).await?,
        Origin::Ledger => lake.ingest(ledger::bill(store).await?.path(), &options).await?,
        Origin::CostExplorer { accounts, profile } => {
            let (profile, accounts) = (profile.clone(), accounts.clone());
            let wanted = Wanted { profile, accounts, first: None };
            cost_explorer::ingest(lake, config, wanted, options).await?
        }
    })
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
        // That there was nothing new is no news.
        match ingested.changed {
            true => warn!(source, "{note}"),
            false => debug!(source, "{note}"),
        }
    }
}

/// Takes budgets over from AWS, now and then again, where the config says how often.
pub(super) fn start_budgets(store: &Store, config: &Arc<Config>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Some(every) = config.aws_budgets_every else { return tasks };
    metrics::describe_gauge!(BUDGETS_SUCCESS, "When budgets were last taken over from AWS");
    metrics::describe_counter!(BUDGETS_FAILURES, "Failed looks at AWS Budgets");
    let (store, config) = (store.clone(), config.clone());
    tasks.spawn(async move {
        // What was told once is not told again at each look.
        let mut told = BTreeSet::new();
        loop {
            match aws_budgets::sync(&store, &config, None, None).await {
                Ok(synced) => {
                    let since_1970 = Timestamp::now().as_duration().unsigned_abs();
                    metrics::gauge!(BUDGETS_SUCCESS).set(since_1970);
                    metrics::counter!(BUDGETS_FAILURES).increment(0);
                    tell_budgets(&synced, &mut told);
                }
                Err(error) => {
                    metrics::counter!(BUDGETS_FAILURES).increment(1);
                    let again = every.as_secs();
                    error!("failed to read AWS Budgets, tried again in {again} s: {error:#}");
                }
            }
            tokio::time::sleep(every).await;
        }
    });
    tasks
}

fn tell_budgets(synced: &Synced, told: &mut BTreeSet<String>) {
    for budget in &synced.changed {
        info!(budget, "set a budget from AWS");
    }
    for line in synced.odd() {
        if told.insert(line.clone()) {
            warn!("{line}");
        }
    }
}
