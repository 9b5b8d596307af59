//! Charges, releases and batches that the store could not take, kept on disk until it can.
//!
//! A record is a line of JSON, synced before it counts as kept. Delivering is repeated until the
//! store has taken every record of a file; what it has not taken is put back before the file is
//! removed: keys make repeats harmless. Invariant: a record leaves the disk only when the ledger has it or refuses it for good,
//! and what it refuses is kept in `rejected.jsonl`.

mod record;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use budget::{Escrow, EscrowError, Release, StoreError::Corrupt, VendorBatches};
use focus::TenantId;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::names;
use record::Line;
pub(crate) use record::{Charge, Untold};

const FILE: &str = "usage.jsonl";
const SENDING: &str = "sending.jsonl";
const REJECTED: &str = "rejected.jsonl";
/// How long the store may take to be told of one: longer than a tenant's row may be locked.
const TELL_TIMEOUT: Duration = Duration::from_secs(15);
/// Records that are delivered at a time: the store commits together what comes together.
const AT_A_TIME: usize = 64;

/// A folder of what is still to be told.
pub(crate) struct Spool {
    /// Where every process has a folder.
    root: PathBuf,
    folder: PathBuf,
    /// Held while the process lives: no other one delivers from here.
    _lock: File,
    writer: Mutex<Writer>,
    delivering: tokio::sync::Mutex<()>,
}

struct Writer {
    file: Option<File>,
    records: usize,
    /// Records in the folders of processes that have ended.
    left_behind: usize,
}

impl Writer {
    fn waiting(&self) -> usize {
        self.records + self.left_behind
    }

    fn tell(&self) {
        metrics::gauge!(names::SPOOL).set(self.waiting() as f64);
    }

    /// Adds a line: all of it, or nothing.
    fn append(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(open(path)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let before = file.metadata()?.len();
        let written = file.write_all(line).and_then(|()| file.sync_data());
        if written.is_err() && file.set_len(before).is_err() {
            // The next line begins by itself.
            self.file = None;
        }
        written
    }
}

/// Has a folder's list of files on the disk. One that can't be opened for that is left as it is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).map_or(Ok(()), |folder| folder.sync_all())
}

/// A file that lines are added to. Half a line that a crash has left stays by itself.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(io::SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

impl Spool {
    /// Takes the first folder below `root` that no living process has.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        for number in 0..1024 {
            let folder = root.join(number.to_string());
            let is_new = !folder.exists();
            fs::create_dir_all(&folder)?;
            if is_new {
                // A folder is there when the one above has it on the disk.
                for above in folder.ancestors().skip(1).take(2) {
                    sync_folder(above)?;
                }
            }
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {
                    let spool = Self::take(root, folder, lock)?;
                    spool.writer.lock().unwrap_or_else(PoisonError::into_inner).tell();
                    return Ok(spool);
                }
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("1024 processes have a spool in {}", root.display())))
    }

    fn take(root: &Path, folder: PathBuf, lock: File) -> io::Result<Self> {
        let records = count(&folder.join(FILE))? + count(&folder.join(SENDING))?;
        let writer = Mutex::new(Writer { file: None, records, left_behind: 0 });
        let (root, delivering) = (root.to_owned(), tokio::sync::Mutex::default());
        Ok(Self { root, folder, _lock: lock, writer, delivering })
    }

    /// How many records wait.
    pub(crate) fn records(&self) -> usize {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).waiting()
    }

    /// What processes that have ended have left, each with its lock.
    fn orphans(&self) -> Vec<Self> {
        let mut orphans = Vec::new();
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let folder = entry.path();
            let has_records = folder.join(FILE).exists() || folder.join(SENDING).exists();
            if folder == self.folder || !has_records {
                continue;
            }
            let lock = OpenOptions::new().write(true).open(folder.join("lock"));
            if let Ok(lock) = lock
                && lock.try_lock().is_ok()
            {
                match Self::take(&self.root, folder, lock) {
                    Ok(orphan) => orphans.push(orphan),
                    Err(error) => tracing::warn!("a folder of the spool can't be read: {error}"),
                }
            }
        }
        orphans
    }

    /// Keeps a record; on disk when this returns.
    pub(crate) async fn keep(self: &Arc<Self>, untold: &Untold) -> io::Result<()> {
        let spool = self.clone();
        let mut line = serde_json::to_vec(&Line::from(untold))?;
        line.push(b'\n');
        let append = move || {
            let mut writer = spool.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.append(&spool.folder.join(FILE), &line)?;
            writer.records += 1;
            writer.tell();
            Ok(())
        };
        tokio::task::spawn_blocking(append).await.map_err(io::Error::other)?
    }

    /// Gives the store what waits, here and where other processes have left it. An error means:
    /// later.
    pub(crate) async fn deliver(
        &self,
        escrow: &dyn Escrow,
        batches: &dyn VendorBatches,
    ) -> Result<usize, EscrowError> {
        // One at a time: who comes second finds what the first has left.
        let _turn = self.delivering.lock().await;
        let mut delivered = self.deliver_own(escrow, batches).await;
        let orphans = self.orphans();
        for orphan in &orphans {
            match (orphan.deliver_own(escrow, batches).await, &mut delivered) {
                (Ok(more), Ok(sum)) => *sum += more,
                (Ok(_), Err(_)) => {}
                (Err(error), _) => {
                    let folder = orphan.folder.display();
                    tracing::warn!("what was left in {folder} can't be delivered yet: {error}");
                }
            }
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.left_behind = orphans.iter().map(Self::records).sum();
        writer.tell();
        delivered
    }

    /// Whether a tenant's batch waits, in whichever folder.
    pub(crate) async fn has_batch(&self, id: &str, tenant: &TenantId) -> bool {
        let root = self.root.clone();
        let start = Line::batch_start(id, tenant);
        let look = move || {
            let folders = fs::read_dir(root).into_iter().flatten().flatten();
            let files = folders.flat_map(|folder| [FILE, SENDING].map(|f| folder.path().join(f)));
            let finder = memchr::memmem::Finder::new(start.as_bytes());
            let mut texts = files.map(fs::read);
            // Who can't read does not deny it.
            texts.any(|text| match text {
                Ok(text) => finder.find(&text).is_some(),
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            })
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(true)
    }

    async fn deliver_own(
        &self,
        escrow: &dyn Escrow,
        batches: &dyn VendorBatches,
    ) -> Result<usize, EscrowError> {
        let mut delivered = 0;
        while let Some(lines) = self.next().map_err(unavailable)? {
            let mut left: Vec<String> = Vec::new();
            let mut failure = None;
            let mut chunks = lines.chunks(AT_A_TIME);
            for chunk in &mut chunks {
                let told = chunk.iter().map(|line| self.tell(escrow, batches, line));
                let told = join_all(told).await;
                let is_down = |told: &Result<bool, EscrowError>| {
                    let error = told.as_ref().err();
                    error.is_some_and(|error| !matches!(error, EscrowError::Store(Corrupt(_))))
                };
                // What one tenant's trouble keeps back must not keep back all that comes after it.
                let is_over = told.iter().all(is_down);
                for (line, told) in chunk.iter().zip(told) {
                    match told {
                        Ok(is_taken) => delivered += usize::from(is_taken),
                        Err(error) => {
                            left.push(line.clone());
                            failure = Some(error);
                        }
                    }
                }
                if is_over {
                    break;
                }
            }
            let Some(error) = failure else {
                self.done().map_err(unavailable)?;
                continue;
            };
            left.extend(chunks.flatten().cloned());
            // Of a store that is down nothing has changed.
            if left.len() < lines.len() || matches!(error, EscrowError::Store(Corrupt(_))) {
                self.put_back(&left).map_err(unavailable)?;
            }
            return Err(error);
        }
        Ok(delivered)
    }

    /// Gives the store one record; whether it has taken it.
    async fn tell(
        &self,
        escrow: &dyn Escrow,
        batches: &dyn VendorBatches,
        line: &str,
    ) -> Result<bool, EscrowError> {
        let told = timeout(TELL_TIMEOUT, self.tell_store(escrow, batches, line)).await;
        told.unwrap_or_else(|_| Err(unavailable(io::Error::other("the store says nothing"))))
    }

    async fn tell_store(
        &self,
        escrow: &dyn Escrow,
        batches: &dyn VendorBatches,
        line: &str,
    ) -> Result<bool, EscrowError> {
        let result = match serde_json::from_str(line) {
            Ok(Line::Release { release: key }) => {
                match escrow.release(Release { key }).await {
                    // It has never been made, or what has become of it is known already.
                    Err(EscrowError::NotFound(_) | EscrowError::State { .. }) => return Ok(true),
                    result => result,
                }
            }
            Ok(Line::Charge(record)) => match record.into_settle() {
                Some(settle) => escrow.settle(settle).await,
                None => return self.refused(line, "its amount is no number"),
            },
            Ok(Line::Batch { batch }) => {
                // One that it has already stays as it is.
                return batches.put_batch(batch).await.map(|()| true).map_err(EscrowError::Store);
            }
            Err(_) => return self.refused(line, "it is not a whole record"),
        };
        match result {
            Ok(_) => Ok(true),
            Err(error @ EscrowError::Store(_)) => Err(error),
            Err(error) => self.refused(line, &error.to_string()),
        }
    }

    fn refused(&self, line: &str, why: &str) -> Result<bool, EscrowError> {
        self.reject(line, why).map_err(unavailable)?;
        Ok(false)
    }

    /// The lines that are being delivered: those left from before, or all that were kept since.
    fn next(&self) -> io::Result<Option<Vec<String>>> {
        let sending = self.folder.join(SENDING);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !sending.exists() {
            let kept = self.folder.join(FILE);
            if !kept.exists() {
                return Ok(None);
            }
            writer.file = None;
            fs::rename(kept, &sending)?;
        }
        drop(writer);
        // Bytes that are no text, a torn last line say, must not keep the others from being read.
        let lines = BufReader::new(File::open(sending)?).split(b'\n');
        let text = |line: io::Result<Vec<u8>>| {
            line.map(|line| String::from_utf8_lossy(&line).into_owned())
        };
        let lines: Vec<String> = lines.map(text).collect::<io::Result<_>>()?;
        Ok(Some(lines.into_iter().filter(|line| !line.is_empty()).collect()))
    }

    /// Keeps lines that are still to be delivered with those that were kept since.
    fn put_back(&self, lines: &[String]) -> io::Result<()> {
        let mut text = lines.join("\n");
        text.push('\n');
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.append(&self.folder.join(FILE), text.as_bytes())?;
        drop(writer);
        self.done()
    }

    fn done(&self) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        fs::remove_file(self.folder.join(SENDING))?;
        writer.records = count(&self.folder.join(FILE))?;
        Ok(())
    }

    fn reject(&self, line: &str, why: &str) -> io::Result<()> {
        let path = self.folder.join(REJECTED);
        tracing::error!(file = %path.display(), "a spooled record was refused: {why}");
        metrics::counter!(names::SPOOL_REJECTED).increment(1);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_data()
    }
}

fn unavailable(error: io::Error) -> EscrowError {
    EscrowError::Store(budget::StoreError::unavailable(error))
}

fn count(path: &Path) -> io::Result<usize> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::new(file).split(b'\n').count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
