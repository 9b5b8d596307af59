//! `bursar restore`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueHint;
use jiff::Timestamp;

use crate::{
    config,
    context::{Context, block_on},
    exit::{Exit, Refused},
};

/// Put a backup in the place of the SQLite database; stop the service first
///
/// With --force a database that is there is kept beside, under a name that ends in the time.
///
/// Example: bursar restore /backups/bursar-2026-11-24.db
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Replace the database that is there
    #[arg(long)]
    force: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let url = context.config()?.database_url();
        let target = config::sqlite_file(&url).ok_or(store::OpenError::NotSqlite)?;
        if !self.file.is_file() {
            anyhow::bail!("there is no file {}", self.file.display());
        }
        let mut kept = None;
        if target.exists() {
            if !self.force {
                let there = format!("{} exists already; --force replaces it", target.display());
                return Err(Refused(there).into());
            }
            // A service would go on with the file that is moved aside, and lose what it records.
            if block_on(async { Ok(store::in_use(&url).await?) })? {
                let busy = format!("{} is in use; stop the service first", target.display());
                return Err(Refused(busy).into());
            }
            kept = Some(Aside::put(&target)?);
        } else if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let restored = block_on(async { Ok(store::restore(&self.file, &url).await?) });
        if let (Err(_), Some(kept)) = (&restored, &kept) {
            kept.put_back().context("failed to put the database back in its place")?;
        }
        restored?;
        context.printer().say(&format!("Restored {}", target.display()))?;
        if let Some(kept) = kept {
            context.printer().say(&format!("Kept what was there: {}", kept.to.display()))?;
        }
        Ok(Exit::Done)
    }
}

/// A database moved aside with the files that belong to it.
struct Aside {
    from: PathBuf,
    to: PathBuf,
}

impl Aside {
    fn put(database: &Path) -> anyhow::Result<Self> {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
        let to = with_suffix(database, &format!(".before-{time}"));
        let aside = Self { from: database.to_owned(), to };
        move_files(&aside.from, &aside.to)
            .with_context(|| format!("failed to move {} aside", database.display()))?;
        Ok(aside)
    }

    fn put_back(&self) -> std::io::Result<()> {
        move_files(&self.to, &self.from)
    }
}

/// Moves the log files first: a database without its log is whole up to its last checkpoint, a log
/// without its database is nothing.
fn move_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", ""] {
        let file = with_suffix(from, suffix);
        if file.exists() {
            fs::rename(&file, with_suffix(to, suffix))?;
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
