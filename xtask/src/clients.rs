//! Packages for other languages: their own checks and tests, against the service as it is now.

use std::process::Command as Program;

use anyhow::{Context, Result, bail};

use crate::services::redis::{self, Redis};
use crate::{contract, shell, suite, workspace};

/// The oldest Node.js that the packages run on.
const NODE_MIN: u32 = 20;

/// Every package, as it is published.
const PACKAGES: [&str; 1] = ["clients/fastify"];

pub(crate) fn run(redis: &Redis) -> Result<()> {
    node()?;
    suite::build()?;
    let binary = workspace::target()?.join("debug").join("bursar");
    for package in PACKAGES {
        for words in [&["ci"][..], &["run", "check"], &["test"]] {
            let mut npm = Program::new("npm");
            contract::clear_settings(&mut npm);
            npm.current_dir(workspace::root().join(package))
                .args(words)
                .env("BURSAR_TEST_BINARY", &binary)
                .env(redis::URL_VARIABLE, &redis.url);
            shell::run(&mut npm).with_context(|| format!("failed in {package}"))?;
        }
    }
    Ok(())
}

/// Installs Node.js where it is missing; an old one is for people to replace.
pub(crate) fn node() -> Result<()> {
    if shell::which("npm").is_none() {
        shell::apt_install(&["nodejs", "npm"])?;
    }
    let version = shell::output(Program::new("node").arg("--version"))?;
    let number = version.trim().trim_start_matches('v');
    let major: u32 = number.split('.').next().unwrap_or_default().parse().unwrap_or_default();
    if major < NODE_MIN {
        bail!(
            "Node.js {number} is too old for the packages in clients/: install {NODE_MIN} or newer"
        );
    }
    Ok(())
}
