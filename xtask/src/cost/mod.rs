//! Proofs that the lake tells the truth, with real processes and other people's programs.
//!
//! Owns: the Python environment that those live in, the seed, the order. Each proof is a file:
//! the official use-case library against DuckDB, kills at any moment, the official validator, big
//! bills against Python's decimals, a lake in a bucket, exports in one, budgets and sizes from AWS.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace::Folder;
use crate::{contract, shell, suite, workspace};

mod aws;
mod bucket;
mod delivery;
mod killed;
mod library;
mod moto;
mod nise;
mod validator;

/// Fixed, so that a red run is red again.
pub(crate) const SEED: u64 = 20_261_126;
/// The oldest Python that the validator runs on, and newer ones that do as well.
const PYTHONS: [&str; 3] = ["python3.12", "python3.13", "python3"];

/// Which proofs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One proof alone.
    #[arg(long)]
    only: Option<Proof>,
    /// Seed of rows and moments, to repeat a failing run.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { only: None, seed: SEED }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Proof {
    /// The official use-case library, against DuckDB.
    Library,
    /// Ingests and compactions that are killed.
    Killed,
    /// The official validator.
    Validator,
    /// Big generated bills, split in every way.
    Nise,
    /// A lake on S3.
    Bucket,
    /// Exports on S3.
    Delivery,
    /// Budgets and buckets' sizes from AWS.
    Aws,
}

impl Proof {
    const ALL: [Self; 7] = [
        Self::Library,
        Self::Killed,
        Self::Validator,
        Self::Nise,
        Self::Bucket,
        Self::Delivery,
        Self::Aws,
    ];
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    suite::build()?;
    let stage = Stage {
        python: python()?,
        bursar: workspace::target()?.join("debug").join("bursar"),
        folder: Folder::fresh("cost")?,
        seed: arguments.seed,
        is_alone: arguments.only.is_some(),
    };
    for proof in Proof::ALL {
        if arguments.only.is_some_and(|only| only != proof) {
            continue;
        }
        let started = Instant::now();
        match proof {
            Proof::Library => library::run(&stage),
            Proof::Killed => killed::run(&stage),
            Proof::Validator => validator::run(&stage),
            Proof::Nise => nise::run(&stage),
            Proof::Bucket => bucket::run(&stage),
            Proof::Delivery => delivery::run(&stage),
            Proof::Aws => aws::run(&stage),
        }
        .with_context(|| format!("{proof:?} (seed {})", stage.seed))?;
        println!("cost: {proof:?} holds, {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What every proof needs.
struct Stage {
    python: PathBuf,
    bursar: PathBuf,
    folder: Folder,
    seed: u64,
    /// One proof was asked for, which may take its time.
    is_alone: bool,
}

impl Stage {
    /// A new folder of a proof's own.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.0.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// One of the scripts in `xtask/cost`.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // No caches beside the sources.
        command.arg("-B").arg(scripts().join(name));
        command
    }

    /// `bursar cost` on a lake.
    fn cost<Word: AsRef<OsStr>>(&self, lake: &Path, words: &[Word]) -> Command {
        let mut command = Command::new(&self.bursar);
        contract::clear_settings(&mut command);
        command.env("BURSAR_LAKE_URL", lake).arg("cost").args(words);
        command
    }
}

pub(crate) fn scripts() -> PathBuf {
    workspace::root().join("xtask").join("cost")
}

/// Python for the proofs.
pub(crate) fn python() -> Result<PathBuf> {
    environment(&scripts(), "venv-cost")
}

/// Python in an environment of our own, with what a folder requires; filled anew when that has changed.
pub(crate) fn environment(folder: &Path, name: &str) -> Result<PathBuf> {
    let requirements = folder.join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements)?;
    let environment = workspace::target()?.join(name);
    let (program, stamp) = (environment.join("bin/python"), environment.join("requirements.txt"));
    if std::fs::read_to_string(&stamp).unwrap_or_default() == wanted {
        return Ok(program);
    }
    let base = base()?;
    shell::run(Command::new(&base).args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut install = Command::new(&program);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    shell::run(install.arg("--requirement").arg(&requirements))?;
    std::fs::write(&stamp, wanted)?;
    Ok(program)
}

/// A Python that is new enough: on the path, or one that pyenv keeps beside the chosen one.
fn base() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = PYTHONS.iter().map(PathBuf::from).collect();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let root = std::env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    if let Ok(versions) = std::fs::read_dir(root.join("versions")) {
        let mut kept: Vec<_> = versions.flatten().map(|v| v.path().join("bin/python3")).collect();
        kept.sort();
        found.extend(kept);
    }
    let fits = "import sys, venv; sys.exit(not (3, 12) <= sys.version_info < (3, 14))";
    let fitting =
        found.into_iter().find(|python| shell::succeeds(Command::new(python).args(["-c", fits])));
    fitting.context("the FOCUS validator needs Python 3.12 or 3.13: install one, by apt or pyenv")
}
