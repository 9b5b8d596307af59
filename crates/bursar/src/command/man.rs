//! `bursar man`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{CommandFactory, ValueHint};

use crate::exit::Exit;

/// Print the manual page, or write a page for each command
///
/// Example: bursar man --out /usr/local/share/man/man1
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write all pages to
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let command = crate::args::Args::command();
        match self.out {
            Some(folder) => {
                std::fs::create_dir_all(&folder)
                    .and_then(|()| clap_mangen::generate_to(command, &folder))
                    .with_context(|| format!("failed to write to {}", folder.display()))?;
            }
            None => clap_mangen::Man::new(command).render(&mut std::io::stdout().lock())?,
        }
        Ok(Exit::Done)
    }
}
