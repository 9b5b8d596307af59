//! The log: commits one after the other, and checkpoints that make opening quick.
//!
//! Owns the order of versions. A commit's file is created only if its name is free, so of two that
//! want the same version one wins and the other tries again on what the winner left. Invariant: a
//! commit names only files that are stored already; a reader therefore sees a state or the next one
//! and nothing between.

use std::time::Duration;

use bytes::Bytes;
use focus::cost::AsOf;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{
    manifest::{Commit, FORMAT, State},
    storage::{Put, Storage, StorageError},
};

#[cfg(test)]
mod tests;

/// Commits between two checkpoints.
const CHECKPOINT_EVERY: u64 = 32;
/// How often somebody else may be quicker before a commit gives up.
const ATTEMPTS: u32 = 64;
const LOG: &str = "log";
const CHECKPOINTS: &str = "checkpoint";

/// Why the log was not read or not written.
#[derive(Debug, Error)]
pub enum LogError {
    /// The place refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An entry is not what Bursar writes.
    #[error("the lake's {path} is broken: {reason}; restore it from a backup of the lake")]
    Broken {
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer Bursar wrote it.
    #[error("the lake's {path} has format {format}, this Bursar knows {FORMAT}; upgrade Bursar")]
    Newer {
        /// The entry.
        path: String,
        /// Its format.
        format: u32,
    },
    /// There was no such state, or it has been swept away.
    #[error("the lake does not keep {wanted}; there are {first} to {last}")]
    NoVersion {
        /// What was asked for.
        wanted: String,
        /// The oldest that is kept.
        first: String,
        /// The newest.
        last: String,
    },
    /// Others were quicker every time.
    #[error("{ATTEMPTS} other commits were quicker; try again when fewer write at once")]
    Contended,
}

/// The log of one lake.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    storage: Storage,
}

impl Log {
    pub(crate) const fn new(storage: Storage) -> Self {
        Self { storage }
    }

    /// The newest state.
    pub(crate) async fn latest(&self) -> Result<State, LogError> {
        let newest = self.checkpoints().await?.pop();
        let state = match newest {
            Some(version) => self.checkpoint(version).await?,
            None => State::default(),
        };
        self.forward(state, |_| true).await
    }

    /// The newest state, from an older one.
    pub(crate) async fn refresh(&self, state: State) -> Result<State, LogError> {
        self.forward(state, |_| true).await
    }

    /// The state at a version or an instant.
    pub(crate) async fn at(&self, as_of: AsOf) -> Result<State, LogError> {
        let wanted = |commit: &Commit| match as_of {
            AsOf::Version(version) => commit.version <= version,
            AsOf::Instant(instant) => commit.at <= instant,
        };
        // The newest checkpoint that is not too new; else the empty lake before the first commit.
        let mut start = None;
        let checkpoints = self.checkpoints().await?;
        for version in checkpoints.iter().rev() {
            let state = self.checkpoint(*version).await?;
            let fits = match as_of {
                AsOf::Version(version) => state.version <= version,
                AsOf::Instant(instant) => state.at <= instant,
            };
            if fits {
                start = Some(state);
                break;
            }
        }
        let first = self.first(&checkpoints).await?;
        let state = match start {
            Some(state) => state,
            None if first <= 1 => State::default(),
            None => return Err(self.no_version(as_of, first).await),
        };
        let state = self.forward(state, wanted).await?;
        let reached = match as_of {
            AsOf::Version(version) => state.version == version,
            AsOf::Instant(_) => state.version > 0,
        };
        if reached { Ok(state) } else { Err(self.no_version(as_of, first).await) }
    }

    /// The oldest version that can be read: 1, unless older ones were swept away.
    async fn first(&self, checkpoints: &[u64]) -> Result<u64, LogError> {
        let kept = self.storage.read(&log_path(1)).await?.is_some();
        Ok(if kept { 1 } else { checkpoints.first().copied().unwrap_or(1) })
    }

    async fn no_version(&self, as_of: AsOf, first: u64) -> LogError {
        let last = match self.latest().await {
            Ok(state) => format!("{} (of {})", state.version, state.at),
            Err(error) => return error,
        };
        LogError::NoVersion { wanted: as_of.to_string(), first: first.to_string(), last }
    }

    /// Every commit that is kept, the oldest first.
    pub(crate) async fn history(&self) -> Result<Vec<Commit>, LogError> {
        let mut commits = Vec::new();
        for stored in self.storage.list(LOG, None).await? {
            if version_of(&stored.path).is_some()
                && let Some(bytes) = self.storage.read(&stored.path).await?
            {
                let commit: Commit = parse(&stored.path, &bytes)?;
                commits.push(commit);
            }
        }
        Ok(commits)
    }

    async fn forward(
        &self,
        mut state: State,
        wanted: impl Fn(&Commit) -> bool,
    ) -> Result<State, LogError> {
        loop {
            let path = log_path(state.version + 1);
            let Some(bytes) = self.storage.read(&path).await? else { return Ok(state) };
            let commit: Commit = parse(&path, &bytes)?;
            if commit.version != state.version + 1 {
                let reason = format!("it says it is version {}", commit.version);
                return Err(LogError::Broken { path, reason });
            }
            if !wanted(&commit) {
                return Ok(state);
            }
            state.apply(&commit);
        }
    }

    /// Appends what `decide` makes of the newest state; `None` changes nothing. `decide` is asked
    /// again whenever somebody else was quicker.
    pub(crate) async fn append<E: From<LogError>>(
        &self,
        mut state: State,
        mut decide: impl FnMut(&State) -> Result<Option<Commit>, E>,
    ) -> Result<(State, bool), E> {
        for attempt in 0..ATTEMPTS {
            state = self.refresh(state).await?;
            let Some(mut commit) = decide(&state)? else { return Ok((state, false)) };
            commit.format = FORMAT;
            commit.version = state.version + 1;
            commit.at = Timestamp::now().max(state.at);
            let path = log_path(commit.version);
            let put = self.storage.put_new(&path, to_json(&path, &commit)?).await;
            match put.map_err(LogError::from)? {
                Put::Created => {
                    state.apply(&commit);
                    self.maybe_checkpoint(&state).await;
                    return Ok((state, true));
                }
                // The winner's entry is there already; only a bucket may show it a moment later.
                Put::Taken => tokio::time::sleep(pause(attempt)).await,
            }
        }
        Err(LogError::Contended.into())
    }

    /// A checkpoint that could not be written makes opening slower, and the commit no less done.
    async fn maybe_checkpoint(&self, state: &State) {
        if state.version.is_multiple_of(CHECKPOINT_EVERY)
            && let Err(error) = self.write_checkpoint(state).await
        {
            tracing::warn!(version = state.version, %error, "the lake has no checkpoint here");
        }
    }

    /// Writes a state down as a whole.
    pub(crate) async fn write_checkpoint(&self, state: &State) -> Result<(), LogError> {
        let path = checkpoint_path(state.version);
        self.storage.put_new(&path, to_json(&path, state)?).await?;
        Ok(())
    }

    /// Versions of the checkpoints, the oldest first.
    pub(crate) async fn checkpoints(&self) -> Result<Vec<u64>, LogError> {
        let stored = self.storage.list(CHECKPOINTS, None).await?;
        Ok(stored.iter().filter_map(|stored| version_of(&stored.path)).collect())
    }

    async fn checkpoint(&self, version: u64) -> Result<State, LogError> {
        let path = checkpoint_path(version);
        let Some(bytes) = self.storage.read(&path).await? else {
            return Err(LogError::Broken { path, reason: "it is gone".into() });
        };
        let state: State = parse(&path, &bytes)?;
        if state.version != version {
            let reason = format!("it says it is version {}", state.version);
            return Err(LogError::Broken { path, reason });
        }
        Ok(state)
    }

    /// Takes away the commits and checkpoints before a version that has a checkpoint.
    pub(crate) async fn forget_before(&self, version: u64) -> Result<u64, LogError> {
        let mut gone = 0;
        // Checkpoints first: what is left in the log then still leads on from one that is kept.
        for checkpoint in self.checkpoints().await?.into_iter().filter(|v| *v < version) {
            self.storage.delete(&checkpoint_path(checkpoint)).await?;
        }
        for stored in self.storage.list(LOG, None).await? {
            if version_of(&stored.path).is_some_and(|found| found <= version) {
                self.storage.delete(&stored.path).await?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

fn pause(attempt: u32) -> Duration {
    // Not all at once again: the process and the moment decide, no shared clock tick.
    let spread = u64::from(std::process::id())
        ^ u64::from(Timestamp::now().subsec_nanosecond().unsigned_abs());
    Duration::from_millis(u64::from(attempt.min(20)) + spread % 8)
}

fn log_path(version: u64) -> String {
    format!("{LOG}/{version:020}.json")
}

fn checkpoint_path(version: u64) -> String {
    format!("{CHECKPOINTS}/{version:020}.json")
}

fn version_of(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    (name.len() == 20).then(|| name.parse().ok())?
}

fn to_json(path: &str, value: &impl serde::Serialize) -> Result<Bytes, LogError> {
    let written = serde_json::to_vec(value).map(Bytes::from);
    written.map_err(|e| LogError::Broken { path: path.to_owned(), reason: e.to_string() })
}

/// Reads an entry of the log or a checkpoint.
fn parse<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, LogError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let broken = |error: serde_json::Error| LogError::Broken {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(broken)?;
    if format > FORMAT {
        return Err(LogError::Newer { path: path.to_owned(), format });
    }
    serde_json::from_slice(bytes).map_err(broken)
}
