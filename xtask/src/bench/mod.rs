//! Benchmarks: the product's promises, measured from outside.
//!
//! Owns: what is measured, against what, and the table it ends in. Ratios and CPU per request are trusted,
//! single times are not: every number is the median of rounds interleaved with a baseline that decides nothing.

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::{self, Folder};
use crate::{services, shell};

pub(crate) mod bare;
mod cases;
pub(crate) mod client;
mod cost;
pub(crate) mod gateway;
mod load;
pub(crate) mod machine;
pub(crate) mod report;
mod script;
mod server;
#[cfg(test)]
mod tests;

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The budget service: throughput, latency, memory, CPU per request.
    Budget(Arguments),
    /// The gateway: throughput, latency and memory against a vendor asked directly and a bare proxy.
    Gateway(GatewayArguments),
    /// The lake of cloud cost against DuckDB: ingest, questions, memory, growth.
    Cost(cost::Arguments),
    /// The baseline alone, to see what the machine can do; writes nothing.
    Baseline(Arguments),
}

/// How long and against what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Shorter rounds, and no ledger of ten million entries.
    #[arg(long)]
    quick: bool,
    /// Measure these cases alone, and write nothing.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Case>,
    /// A Postgres database to measure on; else one of our own on the test services' server.
    #[arg(long, value_name = "URL")]
    postgres_url: Option<String>,
    /// Stop filling the ledger after so many minutes, and say how far it came.
    #[arg(long, default_value_t = 30)]
    fill_minutes: u64,
}

/// How long.
#[derive(clap::Args)]
pub(crate) struct GatewayArguments {
    /// Shorter rounds, and write nothing.
    #[arg(long)]
    quick: bool,
    /// Measure these parts alone, and write nothing.
    #[arg(long, value_delimiter = ',')]
    only: Vec<gateway::Part>,
    /// A Postgres database for two gateways; else one of our own on the test services' server.
    #[arg(long, value_name = "URL")]
    postgres_url: Option<String>,
}

/// A group of measures that share servers.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// Pre-flight checks against the baseline.
    Check,
    /// Durable calls on one budget.
    Hot,
    /// Durable calls over 1,000 tenants.
    Spread,
    /// Durable calls on Postgres.
    Postgres,
    /// The tail of a durable hold against the disk.
    Latency,
    /// Memory and CPU as tenants grow.
    Tenants,
    /// CPU as the ledger grows, and the restart.
    Ledger,
}

/// Everything a case needs to know.
struct Setting {
    /// Databases and logs; emptied before and after.
    folder: PathBuf,
    warm: Duration,
    measure: Duration,
    /// Ledger sizes, smallest first, and the time to reach each.
    ledger: Vec<u64>,
    fill_max: Duration,
    postgres: String,
    binary: PathBuf,
    /// Which cases; all when empty.
    only: Vec<Case>,
}

impl Setting {
    fn wants(&self, case: Case) -> bool {
        self.only.is_empty() || self.only.contains(&case)
    }
}

/// Connections of the closed-loop runs.
const CONNECTIONS: usize = 64;
/// Rounds of each case; the median counts.
const ROUNDS: usize = 3;

pub(crate) fn run(command: &Command) -> Result<()> {
    // A load generator in a debug build would measure itself.
    if cfg!(debug_assertions) {
        return again_in_release();
    }
    match command {
        Command::Budget(arguments) => budget(arguments),
        Command::Gateway(arguments) => gateway(arguments),
        Command::Cost(arguments) => cost::run(arguments),
        Command::Baseline(arguments) => {
            let folder = Folder::fresh("bench")?;
            for line in cases::baseline(&setting(arguments, &folder.0, String::new())?)? {
                println!("{line}");
            }
            Ok(())
        }
    }
}

pub(crate) fn again_in_release() -> Result<()> {
    shell::run(workspace::cargo().args(["build", "--release", "--package", "xtask"]))?;
    let program = workspace::target()?.join("release").join("xtask");
    shell::run(Program::new(program).args(std::env::args_os().skip(1)))
}

fn budget(arguments: &Arguments) -> Result<()> {
    shell::run(workspace::cargo().args(["build", "--release", "--package", "bursar"]))?;
    let machine = machine::describe()?;
    let folder = Folder::fresh("bench")?;
    on_postgres(arguments.postgres_url.as_deref(), |url| {
        let setting = setting(arguments, &folder.0, url)?;
        let rows = cases::budget(&setting)?;
        let section = report::section(&machine, &command_line(), &setting, &rows);
        println!("{section}");
        if setting.only.is_empty() { report::write("budget", &section) } else { Ok(()) }
    })
}

/// Runs on the database given, or on one of our own that is dropped at the end.
fn on_postgres(given: Option<&str>, run: impl FnOnce(String) -> Result<()>) -> Result<()> {
    if let Some(url) = given {
        return run(url.to_owned());
    }
    let postgres = services::Postgres::find_or_start()?;
    let database = postgres.database("bench")?;
    // Bookkeeping is measured, not encryption between two ends of one machine.
    let url = database.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    run(format!("{url}{mark}sslmode=disable"))
}

fn gateway(arguments: &GatewayArguments) -> Result<()> {
    shell::run(workspace::cargo().args(["build", "--release", "--package", "bursar"]))?;
    let machine = machine::describe()?;
    let folder = Folder::fresh("bench")?;
    let GatewayArguments { quick, only, postgres_url } = arguments;
    on_postgres(postgres_url.as_deref(), |url| {
        let like =
            Arguments { quick: *quick, only: Vec::new(), postgres_url: None, fill_minutes: 0 };
        let setting = setting(&like, &folder.0, url)?;
        let rows = gateway::run(&setting, only)?;
        let section = report::section(&machine, &command_line(), &setting, &rows);
        println!("{section}");
        let is_whole = !quick && only.is_empty();
        if is_whole { report::write("gateway", &section) } else { Ok(()) }
    })
}

/// Has a program answer the calls that most of its time goes to, and stops it.
pub(crate) fn exercise(binary: &Path) -> Result<()> {
    let folder = Folder::fresh("exercise")?;
    let like = Arguments { quick: true, only: Vec::new(), postgres_url: None, fill_minutes: 0 };
    let setting = setting(&like, &folder.0, String::new())?;
    cases::exercise(&Setting { binary: binary.to_path_buf(), ..setting })
}

pub(crate) fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| report::masked(&word));
    std::iter::once("cargo xtask".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn setting(arguments: &Arguments, folder: &Path, postgres: String) -> Result<Setting> {
    let seconds = |quick, full| Duration::from_secs(if arguments.quick { quick } else { full });
    Ok(Setting {
        folder: folder.to_path_buf(),
        warm: seconds(1, 2),
        measure: seconds(2, 8),
        ledger: if arguments.quick { vec![1_000_000] } else { vec![1_000_000, 10_000_000] },
        fill_max: Duration::from_secs(60 * arguments.fill_minutes),
        postgres,
        binary: workspace::target()?.join("release").join("bursar"),
        only: arguments.only.clone(),
    })
}
