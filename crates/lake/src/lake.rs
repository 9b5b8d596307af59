//! The lake: opened once, asked by many.
//!
//! Owns the newest state that this process knows and the engine that queries run on. Invariant:
//! what is answered is one version of the lake, whatever is committed meanwhile.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use focus::cost::AsOf;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    commit::{Log, LogError},
    engine::Engine,
    fault::Faults,
    import::{self, Ingested, Options},
    ingest::IngestError,
    manifest::{Import, Operation, Quarantine, State},
    quarantine::Kept,
    storage::{Storage, StorageError},
};

/// How a lake is opened.
#[derive(Debug, Clone)]
pub struct LakeOptions {
    /// Settings of the object store (`aws_region`, `aws_endpoint`, …), for lakes in a bucket.
    pub storage: Vec<(String, String)>,
    /// Bytes that queries may hold in memory together.
    pub memory_max: usize,
    /// How long a query may run.
    pub time_max: std::time::Duration,
    /// Rows that a query may answer with.
    pub rows_max: usize,
    /// Threads of a query; 0 is one a processor.
    pub threads: usize,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            storage: Vec::new(),
            memory_max: 512 << 20,
            time_max: std::time::Duration::from_secs(60),
            rows_max: 1_000_000,
            threads: 0,
        }
    }
}

/// A step in the lake's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The version it made.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// What it was.
    pub operation: Operation,
    /// Who delivered, and for which billing periods.
    pub sources: Vec<(String, String)>,
    /// Charges that came in.
    pub rows: u64,
}

/// Charges of every provider, in columns; cheap to clone.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
    /// Where rates of currencies are.
    rates: Option<Arc<Path>>,
}

struct Inner {
    storage: Storage,
    log: Log,
    state: RwLock<State>,
    engine: Engine,
    /// Settings of object stores, for bills in a bucket.
    settings: Vec<(String, String)>,
    /// Listings that turned out to hold what the lake has, by source: which execution that was.
    known: Mutex<BTreeMap<String, (String, String)>>,
}

/// What somebody waits for. It is in a box so that its code, DataFusion's included, is this crate's
/// alone: every crate that waits for a future without one builds all of it once more.
pub type Answer<'a, T> = futures_util::future::BoxFuture<'a, T>;

impl Lake {
    /// Opens a lake, or makes one: in a folder (`/var/lib/bursar/lake`, `file://…`) or under a
    /// prefix of a bucket (`s3://bucket/lake`).
    pub fn open(url: &str, options: LakeOptions) -> Answer<'_, Result<Self, LogError>> {
        Box::pin(Self::open_with(url, options, Faults::default()))
    }

    pub(crate) async fn open_with(
        url: &str,
        options: LakeOptions,
        faults: Faults,
    ) -> Result<Self, LogError> {
        let (owned, settings) = (url.to_owned(), options.storage.clone());
        let opened = import::blocking(move || Storage::open(&owned, &settings, faults));
        let storage: Storage = opened.await.map_err(|e: StorageError| LogError::from(e))?;
        let log = Log::new(storage.clone());
        let state = log.latest().await?;
        let settings = options.storage.clone();
        let engine = Engine::new(storage.store(), options);
        let (state, known) = (RwLock::new(state), Mutex::default());
        let inner = Inner { storage, log, state, engine, settings, known };
        Ok(Self { inner: Arc::new(inner), rates: None })
    }

    /// The same lake, which converts currencies by the rates of a file: CSV with the columns
    /// `From`, `To`, `Month` or `Date`, `Rate` and `Source`. It is read at each question that needs it.
    pub fn with_rates(self, file: Option<PathBuf>) -> Self {
        Self { rates: file.map(Arc::from), ..self }
    }

    pub(crate) fn rates(&self) -> Option<&Path> {
        self.rates.as_deref()
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    pub(crate) fn log(&self) -> &Log {
        &self.inner.log
    }

    pub(crate) fn settings(&self) -> &[(String, String)] {
        &self.inner.settings
    }

    /// Files that are listed as now need not be read again while this process runs.
    pub(crate) fn remember(&self, source: &str, listing: Option<&str>, execution: &str) {
        let mut known = self.inner.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listing) = listing {
            known.insert(source.to_owned(), (listing.to_owned(), execution.to_owned()));
        }
    }

    /// The execution that files are known to be which are listed so.
    pub(crate) fn remembered(&self, source: &str, listing: &str) -> Option<String> {
        let known = self.inner.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (same, execution) = known.get(source)?;
        (same == listing).then(|| execution.clone())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The newest state, with what others have committed meanwhile.
    pub(crate) async fn refreshed(&self) -> Result<State, LogError> {
        let known = self.inner.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        let version = known.version;
        let state = self.inner.log.refresh(known).await?;
        if state.version > version {
            self.set_state(state.clone());
        }
        Ok(state)
    }

    /// A state of the past, or the newest.
    pub(crate) async fn state_at(&self, as_of: Option<AsOf>) -> Result<State, LogError> {
        match as_of {
            None => self.refreshed().await,
            Some(as_of) => self.inner.log.at(as_of).await,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        let mut known = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.version >= known.version {
            *known = state;
        }
    }

    /// Takes in the bills that lie at a path (a file or folder) or at `s3://bucket/prefix`, as
    /// AWS's and Azure's exports put them there or as they are: each execution whole or, on an
    /// error, not at all.
    pub fn ingest<'a>(
        &'a self,
        path: &'a Path,
        options: &'a Options,
    ) -> Answer<'a, Result<Ingested, IngestError>> {
        Box::pin(import::ingest(self, path, options))
    }

    /// What was ingested, by billing period and source.
    pub async fn imports(&self, as_of: Option<AsOf>) -> Result<Vec<Import>, LogError> {
        Ok(self.state_at(as_of).await?.imports)
    }

    /// The lake's newest version; 0 is the empty lake.
    pub async fn version(&self) -> Result<u64, LogError> {
        Ok(self.refreshed().await?.version)
    }

    /// The commits that are kept, the oldest first.
    pub async fn history(&self) -> Result<Vec<Step>, LogError> {
        let commits = self.inner.log.history().await?;
        Ok(commits
            .into_iter()
            .map(|commit| Step {
                version: commit.version,
                at: commit.at,
                operation: commit.operation,
                rows: commit.added.iter().map(|import| import.rows).sum(),
                sources: commit
                    .added
                    .into_iter()
                    .map(|import| (import.source, import.period.to_string()))
                    .collect(),
            })
            .collect())
    }

    /// Rows that were kept apart.
    pub async fn quarantines(&self) -> Result<Vec<Quarantine>, LogError> {
        Ok(self.refreshed().await?.quarantines)
    }

    /// Rows of a quarantine, from an offset on.
    pub fn quarantined(
        &self,
        id: Uuid,
        offset: usize,
        limit: usize,
    ) -> Answer<'_, Result<Vec<Kept>, IngestError>> {
        Box::pin(crate::release::quarantined(self, id, offset, limit))
    }

    /// Checks the rows of a quarantine again and takes in those that may be charges now.
    pub fn release<'a>(
        &'a self,
        id: Uuid,
        options: &'a Options,
    ) -> Answer<'a, Result<Ingested, IngestError>> {
        Box::pin(crate::release::release(self, id, options))
    }
}
