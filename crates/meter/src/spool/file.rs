//! The spool's files: the one that is written, those that are being delivered (`.replay`), what was
//! refused for good (`.rejected`), and the lock that several processes agree on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

/// Longer lines are not ours.
const LINE_MOST: u64 = 16 * 1024;
const CLAIMED: &str = ".replay";
/// Files that are open at the same time to be delivered.
const CLAIMED_MOST: usize = 16;

/// A line, and its place in the file.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) place: Range<u64>,
}

/// A file that is being delivered, and that no other process delivers meanwhile.
pub(crate) struct Claim {
    path: PathBuf,
    /// The file counts as claimed as long as somebody has this.
    bytes: Arc<u64>,
    reader: BufReader<File>,
    /// Where the first line starts that is not done with.
    done: u64,
    /// Lines before that which are left for later.
    left: Vec<Range<u64>>,
}

impl Claim {
    /// One that no other process holds, and that is still there.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let found = file.metadata()?;
        // Another process may have finished it between the two.
        let (is_there, bytes) = (found.nlink() > 0, Arc::new(found.len()));
        let path = path.to_owned();
        let reader = BufReader::new(file);
        Ok(is_there.then_some(Self { path, bytes, reader, done: 0, left: Vec::new() }))
    }

    /// The next lines, at most so many; none at the end of the file.
    pub(crate) fn next(&mut self, most: usize) -> io::Result<Vec<Line>> {
        let mut end = self.done;
        let mut lines = Vec::new();
        self.reader.seek(SeekFrom::Start(end))?;
        while lines.len() < most {
            let mut line = Vec::new();
            let read = (&mut self.reader).take(LINE_MOST).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let start = end;
            end += u64::try_from(read).unwrap_or(0);
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            lines.push(Line { text, place: start..end });
        }
        Ok(lines)
    }

    /// What ends there is done with.
    pub(crate) fn done(&mut self, end: u64) {
        self.done = end;
    }

    /// That line is left for later.
    pub(crate) fn leave(&mut self, place: Range<u64>) {
        self.left.push(place);
    }

    /// Goes back to the first line that was left. What is delivered twice is charged once.
    fn again(&mut self) {
        let first = self.left.drain(..).map(|place| place.start).min();
        self.done = first.unwrap_or(self.done);
    }

    /// The lines that were left, as they stand in the file.
    fn left(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for place in &self.left {
            self.reader.seek(SeekFrom::Start(place.start))?;
            (&mut self.reader).take(place.end - place.start).read_to_end(&mut text)?;
            if text.last() != Some(&b'\n') {
                text.push(b'\n');
            }
        }
        Ok(text)
    }
}

pub(super) struct Files {
    path: PathBuf,
    limit: u64,
    /// Bytes of the files that this process delivers, by name.
    claimed: BTreeMap<PathBuf, Weak<u64>>,
    bytes: Arc<AtomicU64>,
}

impl Files {
    pub(super) fn open(path: PathBuf, limit: u64, bytes: Arc<AtomicU64>) -> io::Result<Self> {
        fs::create_dir_all(folder(&path))?;
        let files = Self { path, limit, claimed: BTreeMap::new(), bytes };
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

    /// Bytes of the files that are claimed.
    fn claimed(&self) -> u64 {
        self.claimed.values().filter_map(Weak::upgrade).map(|bytes| *bytes).sum()
    }

    fn count(&self, size: u64) {
        self.bytes.store(size + self.claimed(), Ordering::Relaxed);
    }

    /// How many of the lines, from the first on, are on disk: those that fit.
    pub(super) fn append(&mut self, lines: &[String]) -> io::Result<usize> {
        let _lock = self.lock()?;
        let before = self.size() + self.claimed();
        let (mut text, mut written) = (String::new(), 0);
        for line in lines {
            let size = before + u64::try_from(text.len() + line.len()).unwrap_or(0) + 1;
            if size > self.limit {
                break;
            }
            text.push_str(line);
            text.push('\n');
            written += 1;
        }
        self.write(text.as_bytes())?;
        Ok(written)
    }

    /// Writes whole lines behind what is there. The lock is held.
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = writable(&self.path)?;
        let before = file.metadata()?.len();
        let mut text = Vec::new();
        if before > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                text.push(b'\n');
            }
        }
        text.extend_from_slice(lines);
        if let Err(error) = file.write_all(&text).and_then(|()| file.sync_data()) {
            // What was written of it is said not to be there.
            let _ = file.set_len(before);
            return Err(error);
        }
        self.count(before + u64::try_from(text.len()).unwrap_or(0));
        Ok(())
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
        let mut claims = Vec::new();
        // A claim that was lost, with its reader or on its way, does not stand in its file's way.
        self.claimed.retain(|_, bytes| bytes.strong_count() > 0);
        if self.claimed.len() >= CLAIMED_MOST {
            return Ok(claims);
        }
        let lock = self.lock()?;
        self.set_apart()?;
        drop(lock);
        let mut head = file_name(&self.path);
        head.push(".");
        let mut faults = Vec::new();
        for found in fs::read_dir(folder(&self.path))? {
            if self.claimed.len() >= CLAIMED_MOST {
                break;
            }
            let Ok(found) = found.map_err(|error| faults.push(error)) else { break };
            let path = found.path();
            let name = file_name(&path);
            let is_ours = name.to_string_lossy().starts_with(&*head.to_string_lossy())
                && name.to_string_lossy().ends_with(CLAIMED)
                && !self.claimed.contains_key(&path);
            if !is_ours {
                continue;
            }
            match Claim::open(&path) {
                Ok(Some(claim)) => {
                    self.claimed.insert(path, Arc::downgrade(&claim.bytes));
                    claims.push(claim);
                }
                Ok(None) => {}
                Err(error) => faults.push(error),
            }
        }
        if let Some(error) = faults.first() {
            let count = faults.len();
            tracing::error!(count, "failed to open files of the spool: {error}");
        }
        Ok(claims)
    }

    /// What was left of the file is written behind what comes, and the file goes. It is given back
    /// where that can't be done now: what was left is tried again, or only the file is still to go.
    pub(super) fn finish(&mut self, mut claim: Claim) -> Option<Claim> {
        if let Err(error) = self.put_back(&mut claim) {
            tracing::warn!("failed to put usage back into the spool: {error}");
            claim.again();
            return Some(claim);
        }
        claim.left.clear();
        if let Err(error) = fs::remove_file(&claim.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("failed to finish a file of the spool: {error}");
            return Some(claim);
        }
        self.claimed.remove(&claim.path);
        drop(claim);
        self.count(self.size());
        None
    }

    /// It was on disk before, so there is room for it.
    fn put_back(&self, claim: &mut Claim) -> io::Result<()> {
        if claim.left.is_empty() {
            return Ok(());
        }
        let text = claim.left()?;
        let _lock = self.lock()?;
        self.write(&text)
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
