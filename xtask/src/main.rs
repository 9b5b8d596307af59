//! The project's own tools, run as `cargo xtask <command>`.
//!
//! Owns: what a contributor or a build machine does with the repository. Knows nothing of how Bursar decides;
//! it builds, starts, measures and reads it from outside.

use clap::Parser;

mod alerts;
mod bench;
mod ci;
mod clients;
mod command;
mod contract;
mod cost;
mod panels;
mod profile;
mod program;
mod prompts;
mod sdk;
mod services;
mod shell;
mod simulate;
mod soak;
mod suite;
mod tidy;
mod told;
mod upstream;
mod workspace;

fn main() -> anyhow::Result<()> {
    command::Arguments::parse().run()
}
