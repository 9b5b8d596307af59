//! The spool's files: the one that is written, those that are being delivered (`.replay`), what was
//! refused for good (`.rejected`), and the lock that several processes agree on.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

/// Longer lines are not ours.
const LINE_MOST: u64 = 16 * 1024;
const CLAIMED: &str = ".replay";

/// A file that is being delivered, and that no other process delivers meanwhile.
pub(crate) struct Claim {
    path: PathBuf,
    bytes: u64,
    reader: BufReader<File>,
    /// Where the first line starts that is not done with.
    done: u64,
}

impl Claim {
    /// The next lines, at most so many, and where they end; none at the end of the file.
    pub(crate) fn next(&mut self, most: usize) -> io::Result<(Vec<String>, u64)> {
        let mut end = self.done;
        let mut lines = Vec::new();
        self.reader.seek(SeekFrom::Start(end))?;
        while lines.len() < most {
            let mut line = Vec::new();
            let read = (&mut self.reader).take(LINE_MOST).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            end += u64::try_from(read).unwrap_or(0);
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Ok((lines, end))
    }

    /// What ends there is done with.
    pub(crate) fn done(&mut self, end: u64) {
        self.done = end;
    }
}

pub(super) struct Files {
    path: PathBuf,
    limit: u64,
    /// Bytes of the files that this process delivers, by name.
    claimed: BTreeSet<(PathBuf, u64)>,
    bytes: Arc<AtomicU64>,
}

impl Files {
    pub(super) fn open(path: PathBuf, limit: u64, bytes: Arc<AtomicU64>) -> io::Result<Self> {
        fs::create_dir_all(folder(&path))?;
        let files = Self { path, limit, claimed: BTreeSet::new(), bytes };
        let lock = files.lock()?;
        writable(&files.path)?;
        // What a crash has cut off must not be continued, and what is there may be delivered now.
        files.set_apart()?;
        File::open(folder(&files.path))?.sync_all()?;
        drop(lock);
        files.count(files.size());
        Ok(files)
    }

    /// Nobody else touches the files until it is dropped.
    fn lock(&self) -> io::Result<File> {
        let lock = writable(&beside(&self.path, ".lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |found| found.len())
    }

    fn count(&self, size: u64) {
        let claimed: u64 = self.claimed.iter().map(|(_, bytes)| bytes).sum();
        self.bytes.store(size + claimed, Ordering::Relaxed);
    }

    /// How many of the lines, from the first on, are on disk: those that fit.
    pub(super) fn append(&mut self, lines: &[String]) -> io::Result<usize> {
        let _lock = self.lock()?;
        let mut file = writable(&self.path)?;
        let before = file.metadata()?.len();
        let claimed: u64 = self.claimed.iter().map(|(_, bytes)| bytes).sum();
        let mut text = String::new();
        if before > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                text.push('\n');
            }
        }
        let mut written = 0;
        for line in lines {
            let size = before + claimed + u64::try_from(text.len() + line.len()).unwrap_or(0) + 1;
            if size > self.limit {
                break;
            }
            text.push_str(line);
            text.push('\n');
            written += 1;
        }
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
            // What was written of it is said not to be there.
            let _ = file.set_len(before);
            return Err(error);
        }
        self.count(before + u64::try_from(text.len()).unwrap_or(0));
        Ok(written)
    }

    /// Renames what was written, so that it may be read.
    fn set_apart(&self) -> io::Result<()> {
        if self.size() == 0 {
            return Ok(());
        }
        let path = beside(&self.path, &format!(".{}{CLAIMED}", Uuid::new_v4()));
        fs::rename(&self.path, path)?;
        writable(&self.path)?;
        // The new names are durable before anything is said to be.
        File::open(folder(&self.path))?.sync_all()
    }

    pub(super) fn claim(&mut self) -> Vec<Claim> {
        let claimed = self.try_claim();
        self.count(self.size());
        claimed.unwrap_or_else(|error| {
            tracing::error!("failed to read the spool: {error}");
            Vec::new()
        })
    }

    fn try_claim(&mut self) -> io::Result<Vec<Claim>> {
        let lock = self.lock()?;
        self.set_apart()?;
        drop(lock);
        let mut head = file_name(&self.path);
        head.push(".");
        let mut claims = Vec::new();
        for found in fs::read_dir(folder(&self.path))? {
            let path = found?.path();
            let name = file_name(&path);
            let is_ours = name.to_string_lossy().starts_with(&*head.to_string_lossy())
                && name.to_string_lossy().ends_with(CLAIMED)
                && !self.claimed.iter().any(|(known, _)| *known == path);
            // One that is gone, or held by another process, is not for us.
            let Some(file) = Some(&path).filter(|_| is_ours).and_then(|path| File::open(path).ok())
            else {
                continue;
            };
            if file.try_lock().is_err() {
                continue;
            }
            let bytes = file.metadata()?.len();
            self.claimed.insert((path.clone(), bytes));
            claims.push(Claim { path, bytes, reader: BufReader::new(file), done: 0 });
        }
        Ok(claims)
    }

    pub(super) fn finish(&mut self, claim: Claim) {
        let Claim { path, bytes, reader, .. } = claim;
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("failed to remove a spool file that is delivered: {error}");
        }
        self.claimed.remove(&(path, bytes));
        drop(reader);
        self.count(self.size());
    }

    pub(super) fn reject(&self, line: &str) {
        let path = beside(&self.path, ".rejected");
        let kept = (|| {
            let mut file = writable(&path)?;
            if file.metadata()?.len() < self.limit {
                file.write_all(format!("{line}\n").as_bytes())?;
            }
            file.sync_data()
        })();
        if let Err(error) = kept {
            tracing::error!("failed to keep a record that was refused: {error}");
        }
    }
}

/// Usage is nobody else's business.
fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn file_name(path: &Path) -> OsString {
    path.file_name().unwrap_or_default().to_owned()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = file_name(path);
    name.push(ending);
    path.with_file_name(name)
}
