//! The lake against DuckDB: bills in, questions answered, memory, growth.
//!
//! Owns how much and how often; what is measured is in `xtask/cost/bench.py`, where DuckDB lives.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{command_line, machine, report};
use crate::{cost, shell, workspace};

/// How much.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Charges of the bill that is ingested and asked. Other than the default writes nothing.
    #[arg(long, default_value_t = ROWS)]
    rows: u64,
    /// Rounds of each measure; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Charges of the lakes whose questions are compared; none leaves that out.
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000,50000000", num_args = 0..)]
    growth: Vec<u64>,
}

const ROWS: u64 = 10_000_000;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    shell::run(workspace::cargo().args(["build", "--release", "--package", "bursar"]))?;
    let machine = machine::describe()?;
    // Bills are kept: making ten million charges takes minutes.
    let folder = workspace::target()?.join("bench-cost");
    std::fs::create_dir_all(&folder)?;
    let rows = measure(arguments, folder)?;
    let section = format!(
        "{machine}. Command: `{}`.\nMedians of {} rounds, interleaved. DuckDB with its own \
         defaults but for zstd, amounts as exact decimals;\nits times leave out the start of its \
         process, Bursar's do not.\n\n{}",
        command_line(),
        arguments.rounds,
        report::table(&rows, false)
    );
    println!("{section}");
    let is_whole = arguments.rows == ROWS && !arguments.growth.is_empty();
    if is_whole { report::write("cost", &section) } else { Ok(()) }
}

fn measure(arguments: &Arguments, folder: PathBuf) -> Result<Vec<report::Row>> {
    let program = workspace::target()?.join("release").join("bursar");
    let sizes: Vec<String> = arguments.growth.iter().map(u64::to_string).collect();
    let mut script = Command::new(cost::python()?);
    script.arg("-B").arg(cost::scripts().join("bench.py")).arg(program).arg(folder);
    script.args([arguments.rows.to_string(), arguments.rounds.to_string(), sizes.join(",")]);
    let output = script.stderr(Stdio::inherit()).output().context("failed to start Python")?;
    anyhow::ensure!(output.status.success(), "the comparison with DuckDB failed, see above");
    let told = String::from_utf8(output.stdout)?;
    told.lines().map(|line| serde_json::from_str(line).context("a measure")).collect()
}
