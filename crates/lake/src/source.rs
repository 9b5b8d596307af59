//! Where bills lie: a file, a folder, a prefix of a bucket; and what of it is to be ingested.
//!
//! Owns the one listing of a delivery ([`Delivery`]), the choice of its files, by manifests where
//! there are any, and the look at a file's first bytes. Knows nothing of columns. Invariant:
//! nothing outside the folder or prefix that was named is ever read, and what was listed is what is
//! read: a file that was replaced meanwhile is refused.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use focus::{
    cost::Month,
    delivery::{self, Listing, Manifest, ManifestError},
};
use jiff::Timestamp;
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::{
    import::blocking,
    ingest::{IngestError, OnProgress},
    limit::Limits,
    storage::Storage,
};

mod bucket;
mod folder;
#[cfg(test)]
mod tests;

use bucket::Bucket;
use folder::Folder;

/// Files and folders of one delivery.
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;
/// Manifests of one delivery: thirty years of months, or a daily export that keeps every run.
const MANIFESTS_MAX: usize = 5_000;
/// A file that was written this shortly before it was listed may be written again without a change
/// of its time.
const SETTLED_SECONDS: i64 = 2;
/// In a bucket, files younger than their manifest's are the next execution's for so long.
const DELIVERY_SECONDS: i64 = 2 * 60 * 60;

/// Why a path or an address is not read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bucket refused, or did not answer.
    #[error("{action} {url}: {say} ({cause})")]
    Remote {
        /// What was tried.
        action: &'static str,
        /// On what.
        url: String,
        /// What it means, and what to do.
        say: &'static str,
        /// What the store said.
        cause: String,
    },
    /// A link leads out of the folder.
    #[error("{path} is a link out of the folder, to {target}; copy the file in, or name it itself")]
    Outside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Nothing here can be read.
    #[error("{path} holds no CSV, CSV.gz or Parquet file{}", passed(.skipped))]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// What was found instead.
        skipped: Vec<Skipped>,
    },
    /// A file that was named is of a kind that is not read.
    #[error("{path} {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        reason: Cow<'static, str>,
    },
    /// Too much for one delivery.
    #[error(
        "{path} holds over {FILES_MAX} files or {DEPTH_MAX} levels of folders; ingest its parts"
    )]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not what was listed any more.
    #[error("{path} was replaced while it was read; ingest it again when it is written")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A manifest is broken, or its files are not there as it says.
    #[error("{place}: {source}")]
    Manifest {
        /// Where the export lies.
        place: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
}

/// A file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

fn passed(skipped: &[Skipped]) -> String {
    let Some(first) = skipped.first() else { return String::new() };
    format!("; {} passed over, such as {} ({})", skipped.len(), first.path.display(), first.reason)
}

/// How a bill is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Csv,
    CsvGz,
    Parquet,
}

/// A bill, or a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    /// How it is called in messages: a path, or an object's address.
    pub(crate) path: PathBuf,
    /// Where its bytes are on disk.
    pub(crate) file: PathBuf,
    pub(crate) form: Form,
    pub(crate) bytes: u64,
}

/// A file as it was listed.
#[derive(Debug, Clone)]
struct Entry {
    bytes: u64,
    modified: Timestamp,
    /// Differs once the file was written again.
    stamp: String,
}

/// Files by their keys below the place.
type Entries = BTreeMap<String, Entry>;

/// Where bills lie.
#[derive(Debug)]
enum Place {
    Folder(Folder),
    Bucket(Bucket),
}

/// What one ingest takes in at once: an execution of an export, or all that there is.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The export's execution; none without manifests.
    pub(crate) execution: Option<String>,
    /// The billing periods that its manifests are of.
    pub(crate) months: Option<(Month, Month)>,
    /// Rows that its manifests tell of.
    pub(crate) rows: Option<u64>,
    /// What its manifest is called, for messages.
    pub(crate) manifest: Option<PathBuf>,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Names its files and what they were when they were listed; none while they may still change
    /// without a trace.
    pub(crate) listing: Option<String>,
    pub(crate) files: Vec<String>,
}

impl Part {
    /// The same with some of its files.
    pub(crate) fn with(&self, files: Vec<String>, bytes: u64) -> Self {
        Self {
            execution: self.execution.clone(),
            months: self.months,
            rows: self.rows,
            manifest: self.manifest.clone(),
            bytes,
            listing: self.listing.clone(),
            files,
        }
    }
}

/// All that a place holds, listed once.
#[derive(Debug)]
pub(crate) struct Delivery {
    place: Place,
    entries: Entries,
    /// In the order of their periods.
    pub(crate) parts: Vec<Part>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Files of a part, on disk.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bills: Vec<Bill>,
    /// Copies of objects, which go when this does.
    _copies: Vec<NamedTempFile>,
}

impl Delivery {
    /// Lists a path or an address. A file that is named is read or refused; of a folder, what is no
    /// bill is passed over.
    pub(crate) async fn list(
        at: &Path,
        settings: &[(String, String)],
        limits: Limits,
    ) -> Result<Self, IngestError> {
        let (place, entries, skipped) = match at.to_str().filter(|text| text.contains("://")) {
            Some(url) => {
                let mut bucket = Bucket::open(url, settings, limits)?;
                let (entries, skipped) = bucket.list().await?;
                (Place::Bucket(bucket), entries, skipped)
            }
            None => {
                let at = at.to_owned();
                let listed = blocking(move || Ok::<_, IngestError>(Folder::list(&at)?));
                let (folder, entries, skipped) = listed.await?;
                (Place::Folder(folder), entries, skipped)
            }
        };
        let mut delivery = Self { place, entries, parts: Vec::new(), skipped };
        delivery.choose(at).await?;
        Ok(delivery)
    }

    /// How the place is called where nobody has named the source.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::Folder(folder) => folder.root.display().to_string(),
            Place::Bucket(bucket) => bucket.url.clone(),
        }
    }

    /// Whether its files have to be fetched before they can be read.
    pub(crate) const fn is_remote(&self) -> bool {
        matches!(self.place, Place::Bucket(_))
    }

    fn path(&self, key: &str) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => folder.path(key),
            Place::Bucket(bucket) => PathBuf::from(bucket.address(key)),
        }
    }

    /// Chooses what is to be ingested.
    async fn choose(&mut self, at: &Path) -> Result<(), IngestError> {
        let place = || at.to_owned();
        let refused = |source| SourceError::Manifest { place: place(), source };
        let manifests = self.manifests(at).await?;
        if manifests.is_empty() {
            self.skip("not named as CSV or Parquet", |key| !is_bill(key));
            let files: Vec<String> =
                self.entries.keys().filter(|key| is_bill(key)).cloned().collect();
            if files.is_empty() {
                let skipped = std::mem::take(&mut self.skipped);
                return Err(SourceError::Nothing { path: at.to_owned(), skipped }.into());
            }
            let part = self.part(files, &[]);
            self.parts.push(part);
            return Ok(());
        }
        let (bucket, prefix) = match &self.place {
            Place::Folder(_) => (None, String::new()),
            Place::Bucket(bucket) => (Some(bucket.name.clone()), bucket.prefix.clone()),
        };
        let files = self.entries.iter();
        let files = files.map(|(key, entry)| (key.clone(), (entry.bytes, entry.modified)));
        let listing = Listing { bucket, prefix, files: files.collect() };
        let found: BTreeSet<String> = manifests.iter().map(|one| one.key.clone()).collect();
        let chosen = delivery::executions(&listing, manifests).map_err(refused)?;
        for execution in chosen {
            self.written(&execution)?;
            let mut part = self.part(execution.files, &execution.manifests);
            part.execution = execution_of(&execution.ids);
            part.months = Some(execution.months);
            part.rows = execution.rows;
            part.manifest = execution.manifests.first().map(|key| self.path(key));
            self.parts.push(part);
        }
        if self.parts.is_empty() {
            let reason = "has manifests that name no file yet; ingest it when it is delivered";
            return Err(SourceError::Foreign { path: place(), reason: reason.into() }.into());
        }
        let named: BTreeSet<String> =
            self.parts.iter().flat_map(|part| &part.files).chain(&found).cloned().collect();
        self.skip("no manifest of a current execution names it", |key| !named.contains(key));
        Ok(())
    }

    fn skip(&mut self, reason: &'static str, is_passed: impl Fn(&str) -> bool) {
        let passed: Vec<_> = self.entries.keys().filter(|key| is_passed(key)).collect();
        let passed: Vec<_> =
            passed.into_iter().map(|key| Skipped { path: self.path(key), reason }).collect();
        self.skipped.extend(passed);
    }

    /// Reads what is named as a manifest; what is somebody else's is left out.
    async fn manifests(&self, at: &Path) -> Result<Vec<Manifest>, IngestError> {
        let keys: Vec<_> =
            self.entries.iter().filter(|(key, _)| delivery::is_manifest(key)).collect();
        let place = || at.to_owned();
        if keys.len() > MANIFESTS_MAX {
            let reason = format!("holds over {MANIFESTS_MAX} manifests; ingest its parts");
            return Err(SourceError::Foreign { path: place(), reason: reason.into() }.into());
        }
        let mut manifests = Vec::new();
        for (key, entry) in keys {
            if entry.bytes > delivery::MANIFEST_BYTES_MAX {
                let reason = format!("it has over {} MiB", delivery::MANIFEST_BYTES_MAX >> 20);
                let source = ManifestError::TooLarge { key: key.clone(), reason };
                return Err(SourceError::Manifest { place: place(), source }.into());
            }
            let bytes = match &self.place {
                Place::Folder(folder) => {
                    let path = folder.path(key);
                    blocking(move || read_small(&path)).await?
                }
                Place::Bucket(bucket) => bucket.read(key, entry).await?,
            };
            let manifest = Manifest::parse(key, &bytes);
            let refused = |source| SourceError::Manifest { place: place(), source };
            manifests.extend(manifest.map_err(refused)?);
        }
        Ok(manifests)
    }

    /// Refuses an execution whose files are being replaced by the next one's: a manifest is written
    /// last. Files that were copied about have times of their own, which count for a while alone.
    fn written(&self, execution: &delivery::Execution) -> Result<(), SourceError> {
        if !self.is_remote() {
            return Ok(());
        }
        let times = |keys: &[String]| {
            let entries = keys.iter().filter_map(|key| self.entries.get(key));
            entries.map(|entry| entry.modified).max()
        };
        let (Some(files), Some(manifests)) = (times(&execution.files), times(&execution.manifests))
        else {
            return Ok(());
        };
        let age = Timestamp::now().duration_since(files).as_secs();
        if files <= manifests || age > DELIVERY_SECONDS {
            return Ok(());
        }
        let key = execution.manifests.first().map_or("", String::as_str);
        let reason = "is older than its files: the next execution is being delivered; ingest it \
                      again when its manifest is there";
        Err(SourceError::Foreign { path: self.path(key), reason: reason.into() })
    }

    fn part(&self, files: Vec<String>, manifests: &[String]) -> Part {
        let now = Timestamp::now().as_second();
        let (mut hash, mut bytes, mut settled) = (blake3::Hasher::new(), 0u64, true);
        for key in files.iter().chain(manifests) {
            let Some(entry) = self.entries.get(key) else { continue };
            hash.update(format!("{key}\0{}\0{}\n", entry.bytes, entry.stamp).as_bytes());
            settled &= self.is_remote() || entry.modified.as_second() < now - SETTLED_SECONDS;
        }
        for key in &files {
            bytes = bytes.saturating_add(self.entries.get(key).map_or(0, |entry| entry.bytes));
        }
        Part {
            execution: None,
            months: None,
            rows: None,
            manifest: None,
            bytes,
            listing: settled.then(|| hash.finalize().to_hex().to_string()),
            files,
        }
    }

    /// A part in stretches of whole files, each of so many bytes or more, but for the last.
    pub(crate) fn cut(&self, part: &Part, bytes_min: u64) -> Vec<Part> {
        let mut stretches = Vec::new();
        let mut open = part.with(Vec::new(), 0);
        for key in &part.files {
            if open.bytes >= bytes_min && !open.files.is_empty() {
                stretches.push(std::mem::replace(&mut open, part.with(Vec::new(), 0)));
            }
            let bytes = self.entries.get(key).map_or(0, |entry| entry.bytes);
            open.bytes = open.bytes.saturating_add(bytes);
            open.files.push(key.clone());
        }
        stretches.push(open);
        stretches
    }

    /// Brings the files of a part to where they can be read.
    pub(crate) async fn fetch(
        &self,
        part: &Part,
        storage: &Storage,
        progress: Option<&OnProgress>,
    ) -> Result<Fetched, IngestError> {
        let mut copies = Vec::new();
        let mut files = Vec::new();
        match &self.place {
            Place::Folder(folder) => {
                files.extend(part.files.iter().map(|key| (folder.path(key), folder.path(key))));
            }
            Place::Bucket(bucket) => {
                bucket.check_size(part)?;
                let mut told = bucket::Told::new(progress, part.bytes);
                for key in &part.files {
                    let Some(entry) = self.entries.get(key) else { continue };
                    let copy = bucket.fetch(key, entry, storage, &mut told).await?;
                    files.push((PathBuf::from(bucket.address(key)), copy.path().to_owned()));
                    copies.push(copy);
                }
            }
        }
        let bills = blocking(move || {
            let bills = files.into_iter().map(|(path, file)| look(path, file));
            Ok::<_, IngestError>(bills.collect::<Result<Vec<_>, _>>()?)
        });
        Ok(Fetched { bills: bills.await?, _copies: copies })
    }

    /// Refuses what was replaced in its folder since it was listed. What was fetched is a copy of
    /// what was listed in any case.
    pub(crate) async fn unchanged(&self, part: &Part) -> Result<(), IngestError> {
        let Place::Folder(folder) = &self.place else { return Ok(()) };
        let files = part.files.iter().map(|key| {
            let stamp = self.entries.get(key).map(|entry| entry.stamp.clone());
            (folder.path(key), stamp)
        });
        let files: Vec<_> = files.collect();
        blocking(move || {
            for (path, stamp) in files {
                let now = folder::entry(&path)?;
                if stamp != Some(now.stamp) {
                    return Err(SourceError::Changed { path }.into());
                }
            }
            Ok(())
        })
        .await
    }
}

/// One name for executions that come in together.
fn execution_of(ids: &[Option<String>]) -> Option<String> {
    let ids: Option<Vec<&str>> = ids.iter().map(Option::as_deref).collect();
    match ids?.as_slice() {
        [only] => Some((*only).to_owned()),
        ids => Some(blake3::hash(ids.join("\n").as_bytes()).to_hex().to_string()),
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, IngestError> {
    let mut bytes = Vec::new();
    let open = File::open(path).map_err(|e| io_error("open", path, e))?;
    let read = open.take(delivery::MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|e| io_error("read", path, e))?;
    Ok(bytes)
}

/// Why a key is passed over by its name: tools leave such files beside bills.
fn name_reason(key: &str) -> Option<&'static str> {
    key.split('/').find_map(|part| match part.as_bytes().first() {
        Some(b'.') => Some("hidden"),
        Some(b'_') => Some("a marker of the tool that wrote the folder"),
        _ => None,
    })
}

fn is_bill(key: &str) -> bool {
    let name = key.to_ascii_lowercase();
    [".csv", ".csv.gz", ".parquet", ".parq", ".pq"].iter().any(|end| name.ends_with(end))
}

/// What a file is, by its first bytes.
fn look(path: PathBuf, file: PathBuf) -> Result<Bill, SourceError> {
    let meta = fs::metadata(&file).map_err(|e| io_error("open", &path, e))?;
    // A pipe is not opened: nobody may be at its other end.
    let form = match meta.is_file() {
        true => form(&file).map_err(|e| io_error("read", &path, e))?,
        false => Err("is no regular file"),
    };
    match form {
        Ok(form) => Ok(Bill { path, file, form, bytes: meta.len() }),
        Err(reason) => Err(SourceError::Foreign { path, reason: reason.into() }),
    }
}

/// The inner error says why it is not read.
fn form(file: &Path) -> io::Result<Result<Form, &'static str>> {
    let mut start = Vec::new();
    File::open(file)?.take(512).read_to_end(&mut start)?;
    Ok(match start.as_slice() {
        [] => Err("is empty; was it delivered whole?"),
        [b'P', b'A', b'R', b'1', ..] => Ok(Form::Parquet),
        [0x1f, 0x8b, ..] => Ok(Form::CsvGz),
        [b'P', b'K', 3, 4, ..] => Err("is a zip archive; unpack it first"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Err("is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)")
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Err("is packed with zstd; unpack it first"),
        [b'B', b'Z', b'h', ..] => Err("is packed with bzip2; unpack it first"),
        [b'{' | b'[', ..] => Err("is JSON; FOCUS bills are read as CSV or Parquet"),
        bytes if bytes.contains(&0) => Err("is neither CSV nor Parquet"),
        _ => Ok(Form::Csv),
    })
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> SourceError {
    SourceError::Io { action, path: path.to_owned(), source }
}
