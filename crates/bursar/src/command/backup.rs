//! `bursar backup`.

use std::path::PathBuf;

use clap::ValueHint;

use crate::{
    context::{Context, block_on},
    exit::{Exit, Refused},
};

/// Copy the SQLite database to a file, while the service runs
///
/// Example: bursar backup /backups/bursar-2026-11-24.db
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The copy; it must not exist
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let url = context.config()?.database_url();
        if self.file.exists() {
            return Err(Refused(format!("{} exists already", self.file.display())).into());
        }
        block_on(async { Ok(store::backup(&url, &self.file).await?) })?;
        context.printer().say(&format!("Backed up to {}", self.file.display()))?;
        Ok(Exit::Done)
    }
}
