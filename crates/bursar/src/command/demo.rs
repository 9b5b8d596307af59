//! `bursar demo`.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use lake::{Lake, LakeOptions};
use server::Service;

use super::{
    cost::ledger,
    serve::{self, collect},
};
use crate::{
    config::{self, Config, CostSource, Origin},
    context::{self, Context, Store, block_on, price_book},
    demo::{
        clouds,
        fill::{self, Clock, Filled},
        traffic::{self, Span},
    },
    exit::Exit,
};

/// Start the service on a believable month, in a temporary database
///
/// A dozen tenants in four tiers, six models, two months of calls driven through the real engine:
/// one tenant is over its budget, one at 85 %, one had a runaway job. Beside them two months of
/// bills of three clouds, and two budgets for them, one of which is passed. Everything goes when it
/// ends.
///
/// Example: bursar demo --seed 7
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3010")]
    listen: SocketAddr,
    /// Seed of the month; the same seed makes the same tenants spend the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if !self.listen.ip().is_loopback() {
            anyhow::bail!("the demo runs open, so it listens on loopback alone, as 127.0.0.1:3010");
        }
        // The demo's own config: nothing that is configured for the real service counts.
        let mut config =
            config::load(Some(Path::new("/dev/null")), &config::no_variables())?.config;
        config.log_level = "warn".to_owned();
        config.listen = self.listen;
        serve::start_log(&config)?;
        block_on(self.show(context, &config))?;
        Ok(Exit::Done)
    }

    async fn show(&self, context: &Context, config: &Config) -> anyhow::Result<()> {
        let shutdown = serve::shutdown()?;
        let listener = serve::listen(self.listen).await?;
        let address = listener.local_addr()?;
        let folder = tempfile::Builder::new()
            .prefix("bursar-demo-")
            .tempdir()
            .context("failed to make a temporary folder")?;
        let url = format!("sqlite://{}", folder.path().join("bursar.db").display());
        let clock = Clock::default();
        let told = clock.clone();
        let options =
            store::Options { clock: Arc::new(move || told.now()), ..context::options(config) };
        let metrics = serve::metrics();
        let store = context::open(&url, options).await?;
        let lake_url = folder.path().join("lake").display().to_string();
        let lake_options =
            LakeOptions { time_max: Duration::from_secs(25), ..LakeOptions::default() };
        let lake = Lake::open(&lake_url, lake_options).await.context("failed to make a lake")?;
        let lake = Arc::new(lake);
        let printer = context.printer();
        printer.say(&format!("Making a month of traffic (seed {}) …", self.seed))?;
        let filled = tokio::select! {
            filled = self.fill(&store, &lake, &clock) => Some(filled?),
            () = interrupted() => None,
        };
        let Some(filled) = filled else {
            store.close().await;
            return Ok(());
        };
        printer.say(&invitation(&address, &url, &lake_url, filled))?;
        let service =
            Service::new(store.clone(), serve::server_config(config)).with_metrics(metrics);
        // What was charged for AI comes into the same table; nobody has to wait for it.
        let collected = Config { cost_sources: vec![ledger_source()], ..config.clone() };
        let _collecting = collect::start(&lake, &store, &Arc::new(collected));
        let service = service.with_costs(lake);
        serve::run(listener, service, store, shutdown, None).await?;
        folder.close().context("failed to remove the demo's database")
    }

    async fn fill(&self, store: &Store, lake: &Lake, clock: &Clock) -> anyhow::Result<Filled> {
        let span = Span::at(Timestamp::now())?;
        let book = price_book(store).await?;
        let traffic = traffic::traffic(self.seed, span, &book)?;
        let filled = fill::fill(store, &book, clock, self.seed, span, traffic).await?;
        clouds::fill(lake, store, self.seed, span).await?;
        Ok(filled)
    }
}

fn ledger_source() -> CostSource {
    let every = Duration::from_secs(60);
    CostSource { every, ..CostSource::new(ledger::SOURCE, Origin::Ledger) }
}

/// The first SIGINT while the month is made.
async fn interrupted() {
    // An error means that there is no such signal to wait for.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn invitation(address: &SocketAddr, url: &str, lake: &str, filled: Filled) -> String {
    let program = std::env::current_exe().map(|path| path.display().to_string());
    let program = program.unwrap_or_else(|_| "bursar".to_owned());
    let Filled { accepted, refused } = filled;
    format!(
        "{accepted} calls charged, {refused} refused at the limit.

  Budgets, live:   http://{address}/
  API reference:   http://{address}/docs

Try, in another terminal:

  curl -s http://{address}/api/ai-budget/top-consumers
  curl -s http://{address}/api/ai-budget/tenant/northwind-energy
  curl -s http://{address}/api/ai-budget/check -H 'content-type: application/json' \\
    -d '{{\"tenant_id\":\"harvest-foods\",\"model\":\"claude-3-opus-20240229\",\
\"estimated_input_tokens\":900000,\"estimated_output_tokens\":50000}}'

  export BURSAR_DATABASE_URL={url}
  {program} budget status lumen-telecom
  {program} reservation list --state unresolved

What the clouds cost, and AI beside them:

  export BURSAR_LAKE_URL={lake}
  {program} cost report --by provider,service
  {program} cost report --by tag:tenant
  {program} cost budget list
  curl -s http://{address}/metrics | grep aws_cost_monthly_usd

Ctrl-C ends it and removes the database."
    )
}
