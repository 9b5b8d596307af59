//! Charges, releases and batches that the store could not take, kept on disk until it can; and calls
//! that go out without a hold, until it is kept how they have ended.
//!
//! A record is a line of JSON, synced before it counts as kept. Delivering is repeated until the
//! store has taken every record of a file; what it has not taken is put back before the file is
//! removed: keys make repeats harmless. Invariant: a record leaves the disk only when the ledger has
//! it or refuses it for good, and what it refuses is kept in `rejected.jsonl`.

mod begun;
mod file;
mod keep;
mod pass;
mod record;
mod tell;

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use budget::{Escrow, EscrowError, Key, VendorBatches};
use focus::TenantId;

use crate::names;
pub(crate) use begun::Begun;
use begun::{ended, is_record};
use file::{Writer, count, lines, lines_if_any, sync_folder};
use keep::Waiting;
use pass::{Item, Left, Pass};
use record::Line;
pub(crate) use record::{Charge, Untold};
use tell::{Told, tell_all};

const FILE: &str = "usage.jsonl";
const SENDING: &str = "sending.jsonl";
const REJECTED: &str = "rejected.jsonl";
/// Room that is kept on the disk, so that a spool which has filled it can still be tidied.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 64 * 1024;
/// Looking at what was kept since takes one part in so many of the time, but comes at least so often.
const LOOK_PART: u32 = 20;
const LOOK_REST_MOST: Duration = Duration::from_secs(60);

/// A folder of what is still to be told.
pub(crate) struct Spool {
    /// Where every process has a folder.
    root: PathBuf,
    folder: PathBuf,
    /// Held while the process lives: no other one delivers from here.
    _lock: File,
    writer: Mutex<Writer>,
    /// What is written next, together.
    waiting: Mutex<Waiting>,
    /// Calls without a hold that are under way.
    begun: Mutex<HashSet<Key>>,
    /// Its process has ended.
    is_left_behind: bool,
    look_next: Mutex<Instant>,
    delivering: tokio::sync::Mutex<()>,
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
                    let spool = Self::take(root, folder, lock, false)?;
                    spool.reserve();
                    spool.writer.lock().unwrap_or_else(PoisonError::into_inner).tell();
                    return Ok(spool);
                }
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("1024 processes have a spool in {}", root.display())))
    }

    fn take(root: &Path, folder: PathBuf, lock: File, is_left_behind: bool) -> io::Result<Self> {
        let records = count(&folder.join(FILE))? + count(&folder.join(SENDING))?;
        let writer = Mutex::new(Writer { file: None, records, left_behind: 0 });
        let (root, delivering) = (root.to_owned(), tokio::sync::Mutex::default());
        Ok(Self {
            root,
            folder,
            _lock: lock,
            writer,
            waiting: Mutex::default(),
            begun: Mutex::default(),
            is_left_behind,
            look_next: Mutex::new(Instant::now()),
            delivering,
        })
    }

    /// Takes some room, where there is any.
    fn reserve(&self) {
        let path = self.folder.join(RESERVE);
        let size = fs::metadata(&path).map_or(0, |found| found.len());
        if size < RESERVE_BYTES as u64
            && let Err(error) = fs::write(path, noise())
        {
            tracing::warn!("the spool can't keep room for itself: {error}");
        }
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
                match Self::take(&self.root, folder, lock, true) {
                    Ok(orphan) => orphans.push(orphan),
                    Err(error) => tracing::warn!("a folder of the spool can't be read: {error}"),
                }
            }
        }
        orphans
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
            let size = lines.len();
            let mut pass = Pass::new(lines);
            let mut failure = None;
            loop {
                let items = read_on(&mut pass).await.map_err(unavailable)?;
                if items.is_empty() {
                    break;
                }
                let told = tell_all(escrow, batches, &items).await;
                let told = items.iter().zip(told).map(|(item, told)| self.heard(item, told));
                let told: Vec<_> = told.collect();
                delivered += told.iter().filter(|told| matches!(told, Ok(Told::Taken))).count();
                failure = pass.told(items, told).or(failure);
            }
            // Of a store that is down nothing has changed. What all belongs to tenants in trouble
            // makes room for what was kept since, and for calls whose process is gone.
            let has_news = match &failure {
                None => true,
                Some(_) if pass.has_news() => true,
                Some(_) if self.is_left_behind => self.has_more(&pass),
                Some(_) => self.looks_further(escrow, batches, &pass).await,
            };
            let has_more = has_news && self.put_back(pass.left(), size).map_err(unavailable)?;
            if let Some(error) = failure {
                return Err(error);
            }
            if !has_more {
                break;
            }
        }
        Ok(delivered)
    }

    /// Whether the folder of a process that has ended has more than a pass has tried: once it is
    /// together, it has not.
    fn has_more(&self, pass: &Pass) -> bool {
        !pass.unended().is_empty() || self.folder.join(FILE).exists()
    }

    /// Whether the store takes anything of what was kept since, or calls have ended that nobody will
    /// tell of any more. What was kept stays where it is, and is told once more: keys make repeats
    /// harmless. It may be much: looking takes a small part of the time.
    async fn looks_further(
        &self,
        escrow: &dyn Escrow,
        batches: &dyn VendorBatches,
        pass: &Pass,
    ) -> bool {
        let began = Instant::now();
        if began < *self.look_next.lock().unwrap_or_else(PoisonError::into_inner) {
            return false;
        }
        let found = self.look(escrow, batches, pass).await;
        let rest = began.elapsed().saturating_mul(LOOK_PART).min(LOOK_REST_MOST);
        *self.look_next.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + rest;
        found
    }

    async fn look(&self, escrow: &dyn Escrow, batches: &dyn VendorBatches, pass: &Pass) -> bool {
        // Before the file is read: how a call has ended that is not under way is there by now.
        let gone = self.not_under_way(pass.unended());
        let kept = self.folder.join(FILE);
        let read = tokio::task::spawn_blocking(move || {
            let lines = lines_if_any(&kept)?;
            let is_lost = !gone.is_empty() && {
                let ended = ended(&lines);
                gone.iter().any(|key| !ended.contains(key))
            };
            io::Result::Ok((lines, is_lost))
        });
        let Ok(Ok((lines, is_lost))) = read.await else { return false };
        if is_lost {
            return true;
        }
        let mut others = pass.others(lines);
        let Ok(items) = read_on(&mut others).await else { return false };
        let told = tell_all(escrow, batches, &items).await;
        others.told(items, told);
        others.has_answered()
    }

    /// Keeps for a person to look at what the ledger will never have.
    fn heard(&self, item: &Item, told: Result<Told, EscrowError>) -> Result<Told, EscrowError> {
        let told = told?;
        let why = match &told {
            Told::Taken => None,
            Told::Refused(why) => Some(why.as_str()),
            Told::Torn => Some("it is not a whole record"),
        };
        why.map_or(Ok(()), |why| self.reject(&item.text, why)).map_err(unavailable)?;
        Ok(told)
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
        lines(&sending).map(Some)
    }

    /// Keeps what is left of so many lines with those that were kept since; whether there may be more to
    /// deliver now.
    fn put_back(&self, left: Left, size: usize) -> io::Result<bool> {
        let Left { records: mut lines, noted, ended } = left;
        lines.extend(self.unended(noted, &ended)?);
        let kept = self.folder.join(FILE);
        let has_records = lines.iter().any(|line| is_record(line.as_bytes()));
        // Calls that are under way alone are not written again and again.
        if lines.len() == size && !has_records && !kept.exists() {
            return Ok(false);
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.is_empty() {
            let mut text = lines.join("\n");
            text.push('\n');
            let written = writer.append(&kept, text.as_bytes());
            if written.is_err() && text.len() <= RESERVE_BYTES {
                // The disk may be full of what is delivered now.
                let _ = fs::remove_file(self.folder.join(RESERVE));
                writer.append(&kept, text.as_bytes()).inspect_err(|_| self.reserve())?;
            } else {
                written?;
            }
        }
        fs::remove_file(self.folder.join(SENDING))?;
        if !self.is_left_behind {
            self.reserve();
        }
        writer.records = count(&kept)?;
        Ok(writer.records > 0)
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

/// Bytes that no file system makes smaller.
fn noise() -> Vec<u8> {
    let ids = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes());
    ids.flatten().take(RESERVE_BYTES).collect()
}

/// What a pass tells next: there may be many lines to look at, which takes its time.
async fn read_on(pass: &mut Pass) -> io::Result<Vec<Item>> {
    let mut taken = mem::take(pass);
    let read = tokio::task::spawn_blocking(move || {
        let items = taken.next();
        (taken, items)
    });
    let (back, items) = read.await.map_err(io::Error::other)?;
    *pass = back;
    Ok(items)
}

fn unavailable(error: io::Error) -> EscrowError {
    EscrowError::Store(budget::StoreError::unavailable(error))
}
