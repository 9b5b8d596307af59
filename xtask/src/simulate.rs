//! Seeded simulation of the ledger: many histories, each replayed by its number.

/// Which histories to run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first history's seed; a failing one prints its own.
    pub(crate) seed: Option<u64>,
    /// How many histories to run, each from the seed after the last.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) histories: u64,
}
