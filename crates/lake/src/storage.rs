//! Where the lake lies: a folder, or a prefix of a bucket.
//!
//! Owns the two ways in which something is stored: a data file, whole or not at all; and a log
//! entry, only if its name is free. Knows nothing of what is in them. Invariant: what was stored
//! and acknowledged survives the loss of power (in a folder, file and folder are synced; in a
//! bucket the store answers for it).

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, local::LocalFileSystem,
    path::Path, prefix::PrefixStore,
};
use tempfile::NamedTempFile;
use thiserror::Error;
use url::Url;

use crate::{
    fault::{CutOff, Faults},
    import::blocking,
    stretch::STRETCHES,
};

/// Bytes of one part of an upload.
const PART: usize = 8 << 20;
/// Unfinished files of a lake in a folder.
pub(crate) const SCRATCH: &str = "scratch";

/// What went wrong with the place where the lake lies.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The address is none.
    #[error("{url:?} is no place for a lake: {reason}")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder refused.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The bucket refused.
    #[error("{action} {path} in the lake's bucket")]
    Object {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the store said.
        source: Box<object_store::Error>,
    },
    /// A test cut the process off.
    #[error("{0}")]
    CutOff(String),
}

impl From<CutOff> for StorageError {
    fn from(cut: CutOff) -> Self {
        Self::CutOff(cut.to_string())
    }
}

/// Whether a name was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Created,
    Taken,
}

/// Something that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) modified: Timestamp,
}

/// A place; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    faults: Faults,
}

impl Storage {
    /// A folder's path, or `file://`, `s3://`, … with the store's own options (`aws_region`, …).
    pub(crate) fn open(
        url: &str,
        options: &[(String, String)],
        faults: Faults,
    ) -> Result<Self, StorageError> {
        match Url::parse(url) {
            Ok(parsed) if parsed.scheme() == "file" => {
                let folder = parsed.to_file_path().map_err(|()| address(url, "no local path"))?;
                Self::folder(&folder, faults)
            }
            Ok(parsed) if parsed.scheme().len() > 1 => Self::bucket(url, &parsed, options, faults),
            _ => Self::folder(FilePath::new(url), faults),
        }
    }

    fn folder(folder: &FilePath, faults: Faults) -> Result<Self, StorageError> {
        for part in ["", "data", "log", "checkpoint", "quarantine", STRETCHES, SCRATCH] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|e| file("create folder", &path, e))?;
        }
        let folder = folder.canonicalize().map_err(|e| file("open folder", folder, e))?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|e| object("open", &folder.display().to_string(), e))?;
        Ok(Self { store: Arc::new(store), folder: Some(folder), faults })
    }

    fn bucket(
        url: &str,
        parsed: &Url,
        options: &[(String, String)],
        faults: Faults,
    ) -> Result<Self, StorageError> {
        let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let (store, prefix) = object_store::parse_url_opts(parsed, options)
            .map_err(|e| address(url, &e.to_string()))?;
        Ok(Self { store: Arc::new(PrefixStore::new(store, prefix)), folder: None, faults })
    }

    /// What reads data files; its paths are the lake's.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// A file that nobody sees until it is published.
    pub(crate) fn scratch(&self) -> Result<NamedTempFile, StorageError> {
        let made = match &self.folder {
            Some(folder) => NamedTempFile::new_in(folder.join(SCRATCH)),
            None => NamedTempFile::new(),
        };
        made.map_err(|e| file("create a scratch file in", FilePath::new(SCRATCH), e))
    }

    /// Moves a finished file to its place, durably. Blocking work is done elsewhere.
    pub(crate) async fn publish(
        &self,
        scratch: NamedTempFile,
        path: &str,
    ) -> Result<(), StorageError> {
        self.faults.before("publishing a data file")?;
        let Some(folder) = &self.folder else {
            return self.upload(scratch, path).await;
        };
        let target = folder.join(path);
        let root = folder.clone();
        let faults = self.faults.clone();
        blocking(move || {
            scratch.as_file().sync_all().map_err(|e| file("sync", scratch.path(), e))?;
            let parent = target.parent().unwrap_or(&root).to_owned();
            fs::create_dir_all(&parent).map_err(|e| file("create folder", &parent, e))?;
            faults.before("moving a data file")?;
            scratch.persist(&target).map_err(|e| file("store", &target, e.error))?;
            sync_up(&parent, &root)
        })
        .await
    }

    async fn upload(&self, scratch: NamedTempFile, path: &str) -> Result<(), StorageError> {
        use object_store::{WriteMultipart, path::Path};
        let location = Path::from(path);
        let upload = self.store.put_multipart(&location).await;
        let mut writer = WriteMultipart::new_with_chunk_size(
            upload.map_err(|e| object("upload", path, e))?,
            PART,
        );
        let mut reader = scratch.reopen().map_err(|e| file("read", scratch.path(), e))?;
        loop {
            let (back, part) = blocking(move || {
                let mut part = vec![0; PART];
                let read = io::Read::read(&mut reader, &mut part)
                    .map_err(|e| file("read", FilePath::new(SCRATCH), e))?;
                part.truncate(read);
                Ok::<_, StorageError>((reader, part))
            })
            .await?;
            if part.is_empty() {
                break;
            }
            reader = back;
            writer.wait_for_capacity(4).await.map_err(|e| object("upload", path, e))?;
            writer.put(part.into());
        }
        writer.finish().await.map_err(|e| object("upload", path, e))?;
        Ok(())
    }

    /// Stores a log entry unless its name is taken. Nobody ever sees half of it.
    pub(crate) async fn put_new(&self, path: &str, bytes: Bytes) -> Result<Put, StorageError> {
        self.faults.before("writing a log entry")?;
        let Some(folder) = &self.folder else {
            let options = PutOptions::from(PutMode::Create);
            let location = Path::from(path);
            let put = self.store.put_opts(&location, PutPayload::from(bytes), options).await;
            return match put {
                Ok(_) => Ok(Put::Created),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Taken),
                Err(error) => Err(object("store", path, error)),
            };
        };
        let target = folder.join(path);
        let scratch = self.scratch()?;
        let faults = self.faults.clone();
        blocking(move || put_new_file(scratch, &target, &bytes, &faults)).await
    }

    /// What is stored there, if anything.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>, StorageError> {
        let got = match self.store.get(&Path::from(path)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(object("read", path, error)),
        };
        got.bytes().await.map(Some).map_err(|e| object("read", path, e))
    }

    /// The size of what is stored there, if anything.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match self.store.head(&Path::from(path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(object("look at", path, error)),
        }
    }

    /// Everything under a folder whose path comes after `after`, in the order of paths.
    pub(crate) async fn list(
        &self,
        under: &str,
        after: Option<&str>,
    ) -> Result<Vec<Stored>, StorageError> {
        let under_path = Path::from(under);
        let stream = match after {
            Some(after) => self.store.list_with_offset(Some(&under_path), &Path::from(after)),
            None => self.store.list(Some(&under_path)),
        };
        let metas: Vec<_> = stream.try_collect().await.map_err(|e| object("list", under, e))?;
        let mut stored: Vec<_> = metas
            .into_iter()
            .map(|meta| Stored {
                path: meta.location.to_string(),
                bytes: meta.size,
                modified: Timestamp::from_millisecond(meta.last_modified.timestamp_millis())
                    .unwrap_or(Timestamp::MIN),
            })
            .collect();
        stored.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(stored)
    }

    /// Takes away a file; one that is not there is gone already.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.faults.before("deleting a file")?;
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(object("delete", path, error)),
        }
    }
}

fn put_new_file(
    mut scratch: NamedTempFile,
    target: &FilePath,
    bytes: &[u8],
    faults: &Faults,
) -> Result<Put, StorageError> {
    let written = scratch.write_all(bytes).and_then(|()| scratch.as_file().sync_all());
    written.map_err(|e| file("write", scratch.path(), e))?;
    faults.before("linking a log entry")?;
    // A link fails where the name is taken, and appears with all its content.
    match fs::hard_link(scratch.path(), target) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Put::Taken),
        Err(error) => return Err(file("store", target, error)),
    }
    if let Some(parent) = target.parent() {
        sync_folder(parent)?;
    }
    Ok(Put::Created)
}

/// Syncs a folder and those above it that may be new, up to the lake's.
fn sync_up(folder: &FilePath, root: &FilePath) -> Result<(), StorageError> {
    let mut at = folder;
    loop {
        sync_folder(at)?;
        match at.parent() {
            Some(parent) if at != root => at = parent,
            _ => return Ok(()),
        }
    }
}

fn sync_folder(folder: &FilePath) -> Result<(), StorageError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(|e| file("sync", folder, e))
}

fn address(url: &str, reason: &str) -> StorageError {
    StorageError::Address { url: url.to_owned(), reason: reason.to_owned() }
}

pub(crate) fn file(action: &'static str, path: &FilePath, source: io::Error) -> StorageError {
    StorageError::File { action, path: path.display().to_string(), source }
}

fn object(action: &'static str, path: &str, source: object_store::Error) -> StorageError {
    StorageError::Object { action, path: path.to_owned(), source: Box::new(source) }
}
