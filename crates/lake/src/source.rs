//! What a path holds: which files of it are bills, and which are passed over.
//!
//! Owns the walk through a folder and the look at a file's first bytes. Knows nothing of columns.
//! Invariant: nothing outside the folder that was named is ever read.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;

#[cfg(test)]
mod tests;

/// Files and folders of one delivery.
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;

/// Why a path is not read.
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
        reason: &'static str,
    },
    /// Too much for one delivery.
    #[error(
        "{path} holds over {FILES_MAX} files or {DEPTH_MAX} levels of folders; ingest its parts"
    )]
    TooMany {
        /// The folder.
        path: PathBuf,
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
    pub(crate) path: PathBuf,
    pub(crate) form: Form,
    pub(crate) bytes: u64,
}

/// All that a path holds.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// In the order of their paths.
    pub(crate) bills: Vec<Bill>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Delivery {
    pub(crate) fn bytes(&self) -> u64 {
        self.bills.iter().map(|bill| bill.bytes).sum()
    }

    /// A file that is named is read or refused; of a folder, what is no bill is passed over.
    pub(crate) fn at(path: &Path) -> Result<Self, SourceError> {
        let root = path.canonicalize().map_err(|e| io_error("open", path, e))?;
        let mut delivery = Self::default();
        if root.is_dir() {
            delivery.walk(&root, &root, 0)?;
            delivery.bills.sort_by(|a, b| a.path.cmp(&b.path));
            if delivery.bills.is_empty() {
                let skipped = delivery.skipped;
                return Err(SourceError::Nothing { path: path.to_owned(), skipped });
            }
            return Ok(delivery);
        }
        match look(&root)? {
            Ok(bill) => delivery.bills.push(bill),
            Err(reason) => return Err(SourceError::Foreign { path: path.to_owned(), reason }),
        }
        Ok(delivery)
    }

    fn walk(&mut self, folder: &Path, root: &Path, depth: usize) -> Result<(), SourceError> {
        let entries = fs::read_dir(folder).map_err(|e| io_error("list", folder, e))?;
        for entry in entries {
            let path = entry.map_err(|e| io_error("list", folder, e))?.path();
            if depth > DEPTH_MAX || self.bills.len() + self.skipped.len() > FILES_MAX {
                return Err(SourceError::TooMany { path: root.to_owned() });
            }
            let real = path.canonicalize().map_err(|e| io_error("open", &path, e))?;
            if !real.starts_with(root) {
                return Err(SourceError::Outside { path, target: real });
            }
            let linked = path.is_symlink();
            match (name_reason(&path), real.is_dir()) {
                (Some(reason), _) => self.skipped.push(Skipped { path, reason }),
                (None, true) if linked => {
                    self.skipped.push(Skipped { path, reason: "a link to a folder" });
                }
                (None, true) => self.walk(&path, root, depth + 1)?,
                (None, false) if !bill_name(&path) => {
                    self.skipped.push(Skipped { path, reason: "not named as CSV or Parquet" });
                }
                (None, false) => match look(&path)? {
                    Ok(bill) => self.bills.push(bill),
                    Err(reason) => return Err(SourceError::Foreign { path, reason }),
                },
            }
        }
        Ok(())
    }
}

/// Files that tools leave beside bills.
fn name_reason(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy();
    match name.as_bytes().first() {
        Some(b'.') => Some("hidden"),
        Some(b'_') => Some("a marker of the tool that wrote the folder"),
        _ => None,
    }
}

fn bill_name(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    [".csv", ".csv.gz", ".parquet", ".parq", ".pq"].iter().any(|end| name.ends_with(end))
}

/// What a file is, by its first bytes; the inner error says why it is not read.
fn look(path: &Path) -> Result<Result<Bill, &'static str>, SourceError> {
    let mut file = File::open(path).map_err(|e| io_error("open", path, e))?;
    let meta = file.metadata().map_err(|e| io_error("open", path, e))?;
    if !meta.is_file() {
        return Ok(Err("is no regular file"));
    }
    let mut start = Vec::new();
    let read = Read::by_ref(&mut file).take(512).read_to_end(&mut start);
    read.map_err(|e| io_error("read", path, e))?;
    let form = match start.as_slice() {
        [] => return Ok(Err("is empty; was it delivered whole?")),
        [b'P', b'A', b'R', b'1', ..] => Form::Parquet,
        [0x1f, 0x8b, ..] => Form::CsvGz,
        [b'P', b'K', 3, 4, ..] => return Ok(Err("is a zip archive; unpack it first")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Ok(Err("is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)"));
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Err("is packed with zstd; unpack it first")),
        [b'B', b'Z', b'h', ..] => return Ok(Err("is packed with bzip2; unpack it first")),
        [b'{' | b'[', ..] => return Ok(Err("is JSON; FOCUS bills are read as CSV or Parquet")),
        bytes if bytes.contains(&0) => return Ok(Err("is neither CSV nor Parquet")),
        _ => Form::Csv,
    };
    Ok(Ok(Bill { path: path.to_owned(), form, bytes: meta.len() }))
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> SourceError {
    SourceError::Io { action, path: path.to_owned(), source }
}
