//! Bills in a folder, or one file.
//!
//! Invariant: a link that leads out of the folder is an error, and never followed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    DEPTH_MAX, Entries, Entry, FILES_MAX, Skipped, SourceError, io_error, look, name_reason,
};

/// The key of a file that was named itself, whatever it is called.
const ONLY: &str = "bill.csv";

/// A folder, or one file of it.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
    is_file: bool,
}

impl Folder {
    pub(super) fn list(path: &Path) -> Result<(Self, Entries, Vec<Skipped>), SourceError> {
        let root = path.canonicalize().map_err(|e| io_error("open", path, e))?;
        let is_file = !root.is_dir();
        let folder = Self { root, is_file };
        let (mut entries, mut skipped) = (Entries::new(), Vec::new());
        if is_file {
            // Whatever its name: it is read or refused.
            look(path.to_owned(), folder.root.clone())?;
            entries.insert(ONLY.to_owned(), entry(&folder.root)?);
        } else {
            folder.walk(&folder.root, 0, &mut entries, &mut skipped)?;
        }
        Ok((folder, entries, skipped))
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        if self.is_file { self.root.clone() } else { self.root.join(key) }
    }

    fn walk(
        &self,
        folder: &Path,
        depth: usize,
        entries: &mut Entries,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), SourceError> {
        let listed = fs::read_dir(folder).map_err(|e| io_error("list", folder, e))?;
        for one in listed {
            let path = one.map_err(|e| io_error("list", folder, e))?.path();
            if depth > DEPTH_MAX || entries.len() + skipped.len() > FILES_MAX {
                return Err(SourceError::TooMany { path: self.root.clone() });
            }
            let real = path.canonicalize().map_err(|e| io_error("open", &path, e))?;
            if !real.starts_with(&self.root) {
                return Err(SourceError::Outside { path, target: real });
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let key = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            match (name_reason(&name), real.is_dir(), key) {
                (Some(reason), _, _) => skipped.push(Skipped { path, reason }),
                (None, true, _) if path.is_symlink() => {
                    skipped.push(Skipped { path, reason: "a link to a folder" });
                }
                (None, true, _) => self.walk(&path, depth + 1, entries, skipped)?,
                (None, false, Some(key)) => {
                    entries.insert(key.to_owned(), entry(&path)?);
                }
                (None, false, None) => {
                    skipped.push(Skipped { path, reason: "its name is not UTF-8" });
                }
            }
        }
        Ok(())
    }
}

/// A file as it is now. Its stamp has the time of its last change of any kind, which no program can
/// set.
pub(super) fn entry(path: &Path) -> Result<Entry, SourceError> {
    let meta = fs::metadata(path).map_err(|e| io_error("open", path, e))?;
    let (written, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    let stamp = format!(
        "{}.{:09} {}.{:09} {} {}",
        written.0,
        written.1,
        changed.0,
        changed.1,
        meta.ino(),
        meta.len()
    );
    let newest = written.0.max(changed.0);
    let modified = Timestamp::from_second(newest).unwrap_or(Timestamp::MAX);
    Ok(Entry { bytes: meta.len(), modified, stamp })
}
