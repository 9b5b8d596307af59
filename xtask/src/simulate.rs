//! Seeded simulation of the ledger: many histories, each replayed by its number.

use anyhow::{Context, anyhow};

/// Which histories to run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first history's seed; taken from the clock when not given, and printed.
    pub(crate) seed: Option<u64>,
    /// How many histories to run, each from the seed after the last. One, when a seed is given.
    #[arg(long)]
    pub(crate) histories: Option<u64>,
    /// The steps of a history.
    #[arg(long, default_value_t = 400)]
    pub(crate) steps: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let clock = || jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let first = arguments.seed.unwrap_or_else(clock);
    let most = arguments.histories.unwrap_or(if arguments.seed.is_some() { 1 } else { 1_000 });
    let folder = crate::workspace::root().join("target/simulation");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    println!("{most} histories of {} steps from seed {first}", arguments.steps);
    let mut total = store::simulation::Report::default();
    for seed in first..first.saturating_add(most) {
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).context("a folder for the simulated stores")?;
        let file = folder.join("ledger.db");
        let report = runtime
            .block_on(store::simulation::run(seed, arguments.steps, &file))
            .map_err(|error| anyhow!("{error}\nreplay it with: cargo xtask simulate {seed}"))?;
        total.commands += report.commands;
        total.restarts += report.restarts;
        total.faults += report.faults;
    }
    println!(
        "no difference in {} commands, {} failed commits and {} restarts",
        total.commands, total.faults, total.restarts
    );
    Ok(())
}
