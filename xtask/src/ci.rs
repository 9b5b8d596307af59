//! The whole check, in the order that fails soonest. `.ci/run` is this and nothing else.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{shell, suite, tidy, workspace};

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    step("fmt", || shell::run(workspace::cargo().args(["fmt", "--all", "--check"])))?;
    step("clippy", || {
        let mut command = workspace::cargo();
        command.args(["clippy", "--workspace", "--all-targets", "--locked"]).args(suite::FEATURES);
        shell::run(command.args(["--", "-D", "warnings"]))?;
        let mut bare = workspace::cargo();
        bare.args(["clippy", "--package", "meter", "--all-targets", "--locked"]);
        shell::run(bare.args(["--", "-D", "warnings"]))
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
        command.args(["doc", "--workspace", "--no-deps", "--locked"]).args(suite::FEATURES);
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

/// What is checked of the dependencies without a network, and with which cargo-deny.
const DENY_VERSION: &str = "0.20.2";

/// Licences, bans and sources always; advisories where their database can be fetched, and missed aloud
/// where it can't.
fn deny() -> Result<&'static str> {
    step("deny", || {
        if !shell::succeeds(workspace::cargo().args(["deny", "--version"])) {
            let mut install = workspace::cargo();
            // Unoptimised: it is built in half the time, and what it does takes a second.
            install.args(["install", "--debug", "--locked", "cargo-deny"]);
            install.args(["--version", DENY_VERSION]);
            shell::run(&mut install)?;
        }
        let check = ["deny", "--log-level", "error", "check", "licenses", "bans", "sources"];
        shell::run(workspace::cargo().args(check))
    })?;
    if !shell::succeeds(workspace::cargo().args(["deny", "fetch", "db"])) {
        return Ok("ci: NOT CHECKED: advisories, as their database can't be fetched from here");
    }
    step("advisories", || shell::run(workspace::cargo().args(["deny", "check", "advisories"])))?;
    Ok("ci: advisories passed")
}
