//! `bursar serve`.

use std::{io::IsTerminal, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use budget::CloudBudget;
use focus::cost::Costs;
use jiff::Timestamp;
use lake::{Lake, LakeOptions};
use server::{Service, check_listen};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::{
    command::door,
    config::{self, Config, LogFormat, masked_url},
    context::{self, Context, Store, block_on},
    exit::Exit,
};

mod clickhouse;
pub(super) mod collect;
pub(super) mod notices;
mod storage;

/// Run the service
///
/// Logs go to stderr. SIGTERM and SIGINT end it: it stops accepting, finishes what it has accepted,
/// and exits 0. Without an admin token it listens on loopback alone, open to everybody there.
///
/// Example: BURSAR_ADMIN_TOKEN=change-me-0123456789 bursar serve --listen 0.0.0.0:3010
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port, instead of the configured ones
    #[arg(long, value_name = "ADDRESS", value_parser = config::address)]
    listen: Option<SocketAddr>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut config = context.config()?;
        config.listen = self.listen.unwrap_or(config.listen);
        start_log(&config)?;
        for name in config::unknown(&config::environment()) {
            warn!("the variable {name} is no setting's: see `bursar config show`");
        }
        block_on(serve(config, false))?;
        Ok(Exit::Done)
    }
}

/// Starts the log on stderr.
pub(crate) fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&config.log_level)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start the log: {error}"))
}

pub(crate) async fn serve(config: Config, is_gateway: bool) -> anyhow::Result<()> {
    let config = Arc::new(config);
    check_listen(config.listen, config.admin_token.is_some())?;
    let shutdown = shutdown()?;
    let listener = listen(config.listen).await?;
    // Before the store: it looks up once what it counts with.
    let metrics = metrics();
    let url = config.database_url();
    let store = context::open(&url, context::options(&config)).await?;
    let address = listener.local_addr()?;
    info!(%address, database = masked_url(&url), "listening");
    if config.admin_token.is_none() {
        warn!("no admin token is set: whoever reaches {address} may do everything");
    }
    if !is_gateway {
        set_cloud_budgets(&store, &config.cloud_budgets).await?;
    }
    let told = server::Config { has_api: !is_gateway, ..server_config(&config) };
    let service = Service::new(store.clone(), told).with_metrics(metrics);
    let service = door::beside(service, &config, store.clone())?;
    let lake = if is_gateway { None } else { lake(&config).await? };
    let costs = lake.clone().map(|lake| lake as Arc<dyn Costs>);
    let telling = if is_gateway { None } else { notices::start(&store, costs, &config).await? };
    let (service, _collecting) = match lake {
        Some(lake) => {
            let collecting = collect::start(&lake, &store, &config);
            (service.with_costs(lake), collecting)
        }
        None => (service, JoinSet::new()),
    };
    let _beside = if is_gateway { None } else { Some(beside(&store, &config).await?) };
    run(listener, service, store, shutdown, telling).await
}

/// The process's metrics: the service's, and what store and gateway count beside.
pub(crate) fn metrics() -> server::Metrics {
    let histograms = [
        (gateway::names::SECONDS, gateway::names::SECONDS_BUCKETS.as_slice()),
        (store::names::COMMIT_COMMANDS, store::names::COMMIT_BUCKETS.as_slice()),
    ];
    let metrics = server::Metrics::install(&histograms);
    store::names::describe();
    metrics
}

/// What goes on beside bills: budgets from AWS, and the size of storage.
async fn beside(store: &Store, config: &Arc<Config>) -> anyhow::Result<[JoinSet<()>; 2]> {
    aws::names::describe();
    Ok([collect::start_budgets(store, config), storage::start(config).await?])
}

/// Sets the budgets of the config file that are not set just so. One that has left the file stays
/// until it is removed.
async fn set_cloud_budgets(store: &Store, wanted: &[CloudBudget]) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = store.cloud_budgets().await.context("failed to read budgets for cloud cost")?;
    let now = Timestamp::now();
    for budget in wanted {
        let is_so = |known: &CloudBudget| {
            (known.id, known.limit) == (budget.id, budget.limit)
                && known.thresholds == budget.thresholds
        };
        if !known.iter().any(is_so) {
            let budget = CloudBudget { since: now, updated_at: now, ..budget.clone() };
            let set = store.put_cloud(budget).await;
            set.context("failed to set a budget for cloud cost")?;
        }
    }
    Ok(())
}

/// Opens the lake of charges. One that nobody has named need not be there: budgets don't wait for
/// bills.
async fn lake(config: &Config) -> anyhow::Result<Option<Arc<Lake>>> {
    let url = config.lake_url();
    // A question must not outlive the request that asks it.
    let options = LakeOptions { time_max: Duration::from_secs(25), ..context::lake_options() };
    match Lake::open(&url, options).await {
        Ok(lake) => Ok(Some(Arc::new(lake.with_rates(config.cost_rates.clone())))),
        Err(error) if config.has_lake_url() => {
            Err(error).with_context(|| format!("failed to open the lake {}", masked_url(&url)))
        }
        Err(error) => {
            let error = anyhow::Error::new(error);
            warn!("no cloud costs: failed to open the lake {url}: {error:#}; set BURSAR_LAKE_URL");
            Ok(None)
        }
    }
}

/// What the service is told.
pub(crate) fn server_config(config: &Config) -> server::Config {
    server::Config {
        admin_token: config.admin_token.clone(),
        alert_token: config.notify.alert_token.clone(),
        rate_limit_per_second: Some(config.rate_per_second),
        head_timeout: config.head_timeout,
        stall_timeout: config.stall_timeout,
        tenants_named: config.metrics_tenants.into(),
        ..server::Config::default()
    }
}

/// Runs the service until it is told to stop, lets notices arrive that are on their way, then
/// closes the store.
pub(crate) async fn run(
    listener: TcpListener,
    service: Service,
    store: Store,
    shutdown: impl Future<Output = ()> + Send + 'static,
    telling: Option<notify::Running>,
) -> anyhow::Result<()> {
    let served = server::run(listener, service, shutdown).await;
    if let Some(telling) = telling {
        telling.stop().await;
    }
    store.close().await;
    served.context("the service has failed")?;
    info!("stopped");
    Ok(())
}

/// Listens, or says who may be in the way.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{address} is in use: stop what listens there, or choose another address with \
             --listen or BURSAR_LISTEN"
        ),
        _ => anyhow::Error::new(error).context(format!("failed to listen on {address}")),
    })
}

/// Ends with the first SIGTERM or SIGINT. A second one ends the process at once.
pub(crate) fn shutdown() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let first = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{first}: finishing what was accepted");
        tokio::spawn(async move {
            // A key that is held down sends more than one.
            tokio::time::sleep(Duration::from_millis(500)).await;
            interrupt.recv().await;
            std::process::exit(130);
        });
    })
}
