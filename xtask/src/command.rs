//! What can be asked for.

use crate::{
    alerts, bench, ci, cost, panels, profile, program, prompts, sdk, services, simulate, soak,
    suite, tidy, told,
};

/// The project's own tools.
#[derive(clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run every test: units, integration on SQLite and Postgres, doc tests, the API contract, clients.
    Test(suite::Arguments),
    /// Check the architecture and the house rules.
    Tidy,
    /// Write the tables of docs/reference/metrics.md anew, from what the code says of each metric.
    Metrics,
    /// Check alert rules and routes with Prometheus' own tools, and run their tests.
    Alerts(alerts::Arguments),
    /// Start, stop or show the services that tests need.
    #[command(subcommand)]
    Services(services::Command),
    /// Measure the product against the numbers it promises.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Record anew which ways calls take through the program; releases are optimised by it.
    Profile,
    /// Run the gateway and the meter for minutes with every fault there is, and see whether anything leaks.
    Soak(soak::Arguments),
    /// Run seeded histories with crashes on the store and on its model.
    Simulate(simulate::Arguments),
    /// Make the prompts that the gateway's bounds are tested with, and print their folder.
    Prompts,
    /// Run the vendors' own SDKs through the gateway.
    Sdk(sdk::Arguments),
    /// Prove the lake against DuckDB, kills and the official validator.
    Cost(cost::Arguments),
    /// Read the dashboards as Grafana does, and ask every query of theirs.
    Panels(panels::Arguments),
    /// Run a budget out, and see who is told of it by Bursar, Prometheus and Alertmanager.
    Told(told::Arguments),
    /// Run the whole check, as a build machine does.
    Ci,
    #[command(flatten)]
    Program(program::Command),
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match &self.command {
            Command::Test(arguments) => suite::run(arguments).map(drop),
            Command::Tidy => tidy::run(),
            Command::Metrics => tidy::write_metrics(),
            Command::Alerts(arguments) => alerts::run(arguments),
            Command::Services(command) => services::run(command),
            Command::Bench(command) => bench::run(command),
            Command::Profile => profile::run(),
            Command::Soak(arguments) => soak::run(arguments),
            Command::Simulate(arguments) => simulate::run(arguments),
            Command::Prompts => {
                println!("{}", prompts::prepare()?.display());
                Ok(())
            }
            Command::Sdk(arguments) => sdk::run(arguments),
            Command::Cost(arguments) => cost::run(arguments),
            Command::Panels(arguments) => panels::run(arguments),
            Command::Told(arguments) => told::run(arguments),
            Command::Ci => ci::run(),
            Command::Program(command) => program::run(command),
        }
    }
}
