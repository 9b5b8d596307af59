//! The program `bursar`: reads what was typed, does it, answers with an exit code.

use std::process::ExitCode;

use bursar::{args::Args, exit::Exit, output};
use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    match args.run() {
        Ok(exit) => exit.into(),
        // Whoever reads has read enough, as `head` does.
        Err(error) if Exit::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            output::complain(format_args!("error: {error:#}"));
            Exit::of(&error).into()
        }
    }
}
