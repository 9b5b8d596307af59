//! `bursar completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;

/// Print a shell's completion script
///
/// Example: bursar completions bash > /etc/bash_completion.d/bursar
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let mut command = crate::args::Args::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "bursar", &mut script);
        std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
        Ok(Exit::Done)
    }
}
