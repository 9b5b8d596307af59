//! The whole check, in the order that fails soonest. `.ci/run` is this and nothing else.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{shell, suite, tidy, workspace};

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    step("fmt", || shell::run(workspace::cargo().args(["fmt", "--all", "--check"])))?;
    step("clippy", || {
        let mut command = workspace::cargo();
        command.args(["clippy", "--workspace", "--all-targets", "--locked"]);
        shell::run(command.args(["--", "-D", "warnings"]))
    })?;
    step("tidy", tidy::run)?;
    let deny = deny()?;
    let mut closing = Vec::new();
    step("test", || {
        closing = suite::run(&suite::Arguments {
            cargo: true,
            seed: crate::contract::SEED,
            ..Default::default()
        })?;
        Ok(())
    })?;
    step("doc", || {
        let mut command = workspace::cargo();
        command.args(["doc", "--workspace", "--no-deps", "--locked"]);
        shell::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    println!("\n{}", closing.join("\n"));
    println!("{deny}");
    println!("ci: everything passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    println!("\n== {name}");
    work().with_context(|| format!("failed in step {name}"))?;
    println!("== {name}: passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// cargo-deny takes longer to build than the rest to run, so it is used where it is installed, and missed aloud.
fn deny() -> Result<&'static str> {
    if !shell::succeeds(workspace::cargo().args(["deny", "--version"])) {
        let missing = "ci: NOT CHECKED: licences and advisories, as cargo-deny is not installed \
                       (`cargo install --locked cargo-deny`)";
        println!("\n{missing}");
        return Ok(missing);
    }
    step("deny", || shell::run(workspace::cargo().args(["deny", "check"])))?;
    Ok("ci: licences, bans, sources and advisories passed")
}
