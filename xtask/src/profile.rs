//! The profile that releases are optimised by: which functions calls pass, and which ways in them.
//!
//! `.cargo/rustc` tells the compiler of it whenever something is optimised. It is of one version of rustc and of
//! the crates as they are locked: another version finds nothing in it, and a function that has changed since is
//! built as if it had never been recorded. Neither is wrong, only slower.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{bench, shell, workspace};

/// Tells `.cargo/rustc` to have programs record, and where.
const RECORD: &str = "BURSAR_RECORD_PROFILE";
/// From the root.
const PROFILE: &str = ".cargo/bursar.profdata";

/// Records the profile anew, and writes it over the old one.
pub(crate) fn run() -> Result<()> {
    // Callers in a debug build would be slower than what they call.
    if cfg!(debug_assertions) {
        return bench::again_in_release();
    }
    let merger = merger()?;
    // Apart: what records is not what anybody runs.
    let target = workspace::target()?.join("recording");
    let records = target.join("records");
    if records.exists() {
        std::fs::remove_dir_all(&records)
            .with_context(|| format!("failed to empty {}", records.display()))?;
    }
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "--package", "bursar"]);
    shell::run(build.env("CARGO_TARGET_DIR", &target).env(RECORD, &records))?;
    bench::exercise(&target.join("release").join("bursar"))?;
    let mut merge = Command::new(merger);
    merge.args(["merge", "--sparse", "--output"]).arg(workspace::root().join(PROFILE));
    shell::run(merge.arg(&records))
}

/// LLVM's own tool, of rustc's version: rustup's component, or Debian's package.
fn merger() -> Result<PathBuf> {
    let rustc = |arguments: &[&str]| shell::output(Command::new("rustc").args(arguments));
    let folder = rustc(&["--print", "target-libdir"])?;
    let rustups = PathBuf::from(folder.trim()).with_file_name("bin").join("llvm-profdata");
    if rustups.is_file() {
        return Ok(rustups);
    }
    let about = rustc(&["--version", "--verbose"])?;
    let version = about.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let version = version.and_then(|version| version.split('.').next());
    let version = version.context("rustc does not say which LLVM it is built with")?;
    let name = format!("llvm-profdata-{version}");
    if shell::which(&name).is_none() {
        shell::apt_install(&[&format!("llvm-{version}")])
            .context("or else: rustup component add llvm-tools")?;
    }
    shell::which(&name).with_context(|| format!("{name} is not on the path"))
}
