//! What is typed: the global options and the commands.

use std::{io::IsTerminal, path::PathBuf};

use clap::{ColorChoice, Parser, Subcommand, ValueHint};

use crate::{
    command, config::setting::CONFIG_VARIABLE, context::Context, exit::Exit, output::Format,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  a verification or a check found a fault
  4  refused as things stand; nothing has changed

Start with `bursar demo`, or `bursar serve` and `bursar budget set acme 2000`.";

/// An exact budget ledger for AI spend: checks, reserves, tracks and refuses, to the nano-dollar.
#[derive(Debug, Parser)]
#[command(name = "bursar", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Args {
    /// Config file; /etc/bursar/bursar.toml is read when it is there and no other is named
    #[arg(
        long, global = true, value_name = "FILE", env = CONFIG_VARIABLE, hide_env_values = true,
        value_hint = ValueHint::FilePath, help_heading = "Global options"
    )]
    config: Option<PathBuf>,

    /// Form of the answer
    #[arg(long, global = true, value_name = "FORM", help_heading = "Global options")]
    output: Option<Format>,

    /// Whether to colour the answer
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options"
    )]
    color: ColorChoice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(command::serve::Args),
    Gateway(command::gateway::Args),
    Demo(command::demo::Args),
    Budget(command::budget::Args),
    Reservation(command::reservation::Args),
    Key(command::key::Args),
    Ledger(command::ledger::Args),
    Prices(command::prices::Args),
    Cost(command::cost::Args),
    Notify(command::notify::Args),
    Backup(command::backup::Args),
    Restore(command::restore::Args),
    Config(command::config::Args),
    Replay(command::replay::Args),
    Completions(command::completions::Args),
    Man(command::man::Args),
}

impl Args {
    /// Does what was typed.
    pub fn run(self) -> anyhow::Result<Exit> {
        let context =
            Context { config_file: self.config, format: self.output, colored: colored(self.color) };
        match self.command {
            Command::Serve(args) => args.run(&context),
            Command::Gateway(args) => args.run(&context),
            Command::Demo(args) => args.run(&context),
            Command::Budget(args) => args.run(&context),
            Command::Reservation(args) => args.run(&context),
            Command::Key(args) => args.run(&context),
            Command::Ledger(args) => args.run(&context),
            Command::Prices(args) => args.run(&context),
            Command::Cost(args) => args.run(&context),
            Command::Notify(args) => args.run(&context),
            Command::Backup(args) => args.run(&context),
            Command::Restore(args) => args.run(&context),
            Command::Config(args) => args.run(&context),
            Command::Replay(args) => args.run(&context),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }
}

fn colored(choice: ColorChoice) -> bool {
    let declined = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => !declined() && std::io::stdout().is_terminal(),
    }
}
