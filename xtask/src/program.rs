//! Programs that the other commands start beside Bursar, each a process of its own so that its CPU is told apart.

use anyhow::Result;

use crate::{bench, upstream};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// A vendor on loopback that answers as its requests want, in both dialects.
    Upstream(upstream::Arguments),
    /// The baseline of the benchmarks: a handler that decides nothing.
    #[command(hide = true)]
    BareServer(bench::bare::Arguments),
    /// The vendor of the gateway's benchmark.
    #[command(hide = true)]
    BenchVendor(bench::gateway::vendor::Arguments),
    /// The proxy that the gateway's benchmark compares with.
    #[command(hide = true)]
    BenchProxy(bench::gateway::proxy::Arguments),
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Upstream(arguments) => upstream::run(arguments),
        Command::BareServer(arguments) => bench::bare::run(arguments),
        Command::BenchVendor(arguments) => bench::gateway::vendor::run(arguments),
        Command::BenchProxy(arguments) => bench::gateway::proxy::run(arguments),
    }
}
