//! The project's own tools, run as `cargo xtask <command>`.
//!
//! Owns: what a contributor or a build machine does with the repository. Knows nothing of how Bursar decides;
//! it builds, starts, measures and reads it from outside.

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod clients;
mod contract;
mod prompts;
mod sdk;
mod services;
mod shell;
mod simulate;
mod suite;
mod tidy;
mod upstream;
mod workspace;

/// The project's own tools.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test: units, integration on SQLite and Postgres, doc tests, the API contract, clients.
    Test(suite::Arguments),
    /// Check the architecture and the house rules.
    Tidy,
    /// Start, stop or show the services that tests need.
    #[command(subcommand)]
    Services(services::Command),
    /// Measure the product against the numbers it promises.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Run seeded histories with crashes on the store and on its model.
    Simulate(simulate::Arguments),
    /// Run the vendors' own SDKs through the gateway.
    Sdk(sdk::Arguments),
    /// Run the whole check, as a build machine does.
    Ci,
    /// The baseline of the benchmarks: a handler that decides nothing.
    #[command(hide = true)]
    BareServer(bench::bare::Arguments),
    /// A vendor on loopback that answers as its requests want, in both dialects.
    Upstream(upstream::Arguments),
    /// The vendor of the gateway's benchmark.
    #[command(hide = true)]
    BenchVendor(bench::gateway::vendor::Arguments),
    /// The proxy that the gateway's benchmark compares with.
    #[command(hide = true)]
    BenchProxy(bench::gateway::proxy::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test(arguments) => suite::run(&arguments).map(drop),
        Command::Tidy => tidy::run(),
        Command::Services(command) => services::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Sdk(arguments) => sdk::run(&arguments),
        Command::Ci => ci::run(),
        Command::BareServer(arguments) => bench::bare::run(&arguments),
        Command::Upstream(arguments) => upstream::run(&arguments),
        Command::BenchVendor(arguments) => bench::gateway::vendor::run(&arguments),
        Command::BenchProxy(arguments) => bench::gateway::proxy::run(&arguments),
    }
}
