//! Every test in one command: services first, then cargo's tests, the API contract, the clients.
//!
//! Invariant: a test that cannot run fails. Nothing here skips.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::services::redis::{self, Redis};
use crate::{
    alerts, clients, contract, cost, panels, prompts, sdk, services, shell, told, workspace,
};

/// What is off by default and tested all the same.
pub(crate) const FEATURES: [&str; 2] = ["--features", "meter/redis"];

/// Which tests, and by which runner.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Use cargo's own runner even where cargo-nextest is installed.
    #[arg(long)]
    pub(crate) cargo: bool,
    /// Leave the API contract out; the whole check never does.
    #[arg(long)]
    pub(crate) no_contract: bool,
    /// Leave the packages for other languages out; the whole check never does.
    #[arg(long)]
    pub(crate) no_clients: bool,
    /// Leave the vendors' SDKs out; the whole check never does.
    #[arg(long)]
    pub(crate) no_sdk: bool,
    /// Leave the proofs of the lake out; the whole check never does.
    #[arg(long)]
    pub(crate) no_cost: bool,
    /// Leave the dashboards' queries out; the whole check never does.
    #[arg(long)]
    pub(crate) no_panels: bool,
    /// Leave out who is told of budgets; the whole check never does.
    #[arg(long)]
    pub(crate) no_told: bool,
    /// Seed of the API contract's requests, to repeat a failing run.
    #[arg(long, default_value_t = contract::SEED)]
    pub(crate) seed: u64,
    /// Words for the runner: a test's name, or flags.
    #[arg(last = true)]
    pub(crate) rest: Vec<String>,
}

/// Runs everything and returns the runner's closing lines, one a test binary.
pub(crate) fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let data = std::env::var_os("BURSAR_TEST_DATA")
        .map_or_else(|| workspace::root().join("../shared/data"), Into::into);
    if !data.is_dir() {
        eprintln!(
            "note: no test data at {}; tests that read it will fail: set BURSAR_TEST_DATA",
            data.display()
        );
    }
    alerts::check()?;
    let prompts = prompts::prepare()?;
    services::install_server()?;
    redis::install_server()?;
    let postgres = services::Postgres::find_or_start()?;
    let database = postgres.database("test")?;
    let redis = Redis::find_or_start()?;
    let with_services = |mut command: std::process::Command| {
        command.env(services::URL_VARIABLE, database.url()).env("BURSAR_TEST_DATA", &data);
        command.env(prompts::VARIABLE, &prompts).env(redis::URL_VARIABLE, &redis.url);
        command
    };

    let nextest =
        !arguments.cargo && shell::succeeds(workspace::cargo().args(["nextest", "--version"]));
    let mut runner = with_services(workspace::cargo());
    match nextest {
        true => runner.args(["nextest", "run", "--workspace"]),
        // `--no-fail-fast`: one run names every failing binary.
        false => runner.args(["test", "--workspace", "--no-fail-fast"]),
    };
    runner.args(FEATURES).args(&arguments.rest);
    let (mut closing, verdict) = shell::run_and_keep(&mut runner, is_closing)?;
    verdict.context("failed to pass the tests")?;
    // nextest leaves doc tests out.
    if nextest && has_doc_tests()? {
        let mut doc = with_services(workspace::cargo());
        doc.args(["test", "--doc", "--workspace"]).args(FEATURES);
        let (lines, verdict) = shell::run_and_keep(&mut doc, is_closing)?;
        verdict.context("failed to pass the doc tests")?;
        closing.extend(lines);
    }
    if !arguments.no_contract {
        let empty = postgres.database("contract")?;
        contract::run(arguments.seed, &empty.url())?;
    }
    if !arguments.no_cost {
        cost::run(&cost::Arguments::default())?;
    }
    if !arguments.no_panels {
        panels::run(&panels::Arguments::default())?;
    }
    if !arguments.no_told {
        told::run(&told::Arguments::default())?;
    }
    if !arguments.no_clients {
        clients::run(&redis)?;
    }
    if !arguments.no_sdk {
        sdk::run(&sdk::Arguments::default())?;
    }
    Ok(closing)
}

/// Builds the program as the tests do: of other features, everything below it would be built again.
pub(crate) fn build() -> Result<()> {
    let mut build = workspace::cargo();
    shell::run(build.args(["test", "--quiet", "--workspace", "--no-run"]).args(FEATURES))
}

/// The program that was built elsewhere, or the one that is built here.
pub(crate) fn program(elsewhere: Option<&Path>) -> Result<PathBuf> {
    if let Some(program) = elsewhere {
        return program.canonicalize().context("no such program");
    }
    build()?;
    Ok(workspace::target()?.join("debug").join("bursar"))
}

fn is_closing(line: &str) -> bool {
    line.starts_with("test result:") || line.trim_start().starts_with("Summary [")
}

/// Whether any library has an example in its documentation.
fn has_doc_tests() -> Result<bool> {
    let sources = workspace::files()?;
    let mut libraries =
        sources.iter().filter(|path| path.starts_with("crates/") && path.ends_with(".rs"));
    Ok(libraries.any(|path| {
        let text = std::fs::read_to_string(workspace::root().join(path)).unwrap_or_default();
        text.lines().any(|line| {
            let line = line.trim_start();
            // A crate's README that is its documentation has an example, too.
            let begins = |start| line.starts_with(start);
            begins("/// ```") || begins("//! ```") || begins("#![doc = include_str!")
        })
    }))
}
