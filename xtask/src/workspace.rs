//! Where things lie. Owns: the repository's root, the target folder, the list of files that are ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// The repository's root: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A `cargo` command in the root, by the cargo that runs us.
///
/// It is not told that it runs below us: build scripts that ask who is built, ring's among them, would
/// run anew, and all that stands on them would be built anew.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// The target folder, wherever the environment or a config file put it.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder =
        metadata["target_directory"].as_str().context("no target_directory in metadata")?;
    Ok(PathBuf::from(folder))
}

/// What `cargo metadata` says of the members.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let text = shell::output(&mut command)?;
    serde_json::from_str(&text).context("failed to read cargo metadata")
}

/// Files that are ours, committed or about to be, as paths from the root with forward slashes.
pub(crate) fn files() -> Result<Vec<String>> {
    let mut command = Command::new("git");
    command.current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let text = shell::output(&mut command)?;
    let mut files: Vec<_> = text
        .split('\0')
        .filter(|path| !path.is_empty() && root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// A folder on the disk of the target folder, gone at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// A new one, for what has this name.
    pub(crate) fn fresh(name: &str) -> Result<Self> {
        let folder = target()?.join(name).join(std::process::id().to_string());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("failed to remove {}: {error}", self.0.display());
        }
    }
}

/// A server that dies with its owner, so that no run leaves one behind.
pub(crate) struct Process(pub(crate) std::process::Child);

impl Process {
    /// Sends it a signal by which it ends well, and waits.
    pub(crate) fn stop(&mut self, signal: &str) -> Result<()> {
        let id = self.0.id().to_string();
        shell::output(Command::new("kill").args([&format!("-{signal}"), &id]))?;
        let status = self.0.wait()?;
        ensure!(status.success(), "ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
