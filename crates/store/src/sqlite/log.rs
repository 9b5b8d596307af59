//! The write-ahead log: brought to the disk, and moved into the file beside the thread that writes,
//! so that a batch waits for few of its pages.

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ::budget::StoreError;
use rusqlite::{Connection, hooks::Wal};

use super::{reader, unavailable};

/// So many pages are moved into the file beside the writer, and not more often than this: little by
/// little, as a commit's sync waits behind what the disk is given.
const PAGES_SOME: i32 = 512;
const REST: Duration = Duration::from_millis(400);
/// A log of so many pages (64 MiB) is moved to its last page, so that it can begin anew.
const PAGES_MANY: i32 = 16_384;
/// The writer itself moves so many pages, and waits for it; more are moved beside it.
const PAGES_FEW: i32 = 256;
/// The writer moves any number rather than let the log grow beyond this (256 MiB).
const PAGES_MOST: i32 = 65_536;

/// The log's own file. SQLite keeps it while a connection is open.
pub(super) struct Log {
    file: File,
    /// A file that says that the disk has refused the log.
    note: PathBuf,
}

impl Log {
    /// The log of a database that is open, by the name that SQLite has found for it.
    pub(super) fn open(db: &Connection) -> io::Result<Self> {
        let path = db.path().ok_or_else(|| io::Error::other("the database has no name"))?;
        let file = File::open(format!("{path}-wal"))?;
        Ok(Self { file, note: PathBuf::from(format!("{path}-refused")) })
    }

    /// Waits until all that was committed is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Notes for the next start that the disk has not taken the log: another sync would seem to do.
    pub(super) fn refused(&self) -> io::Result<()> {
        File::create(&self.note)?.sync_all()
    }

    /// Whether it was noted.
    pub(super) fn was_refused(&self) -> bool {
        self.note.exists()
    }

    /// What was noted has been seen to.
    pub(super) fn taken(&self) -> io::Result<()> {
        if self.was_refused() { fs::remove_file(&self.note) } else { Ok(()) }
    }
}

/// Moves all of the log into the file, whose next begins anew; an error where somebody reads it.
pub(super) fn empty(db: &Connection) -> Result<(), StoreError> {
    let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let busy = db.query_row("pragma wal_checkpoint(truncate)", [], read).map_err(unavailable)?;
    if busy == 0 {
        return Ok(());
    }
    Err(StoreError::unavailable(io::Error::other("another process has the database open")))
}

/// Moves the log into the file. It is then written over from its beginning.
pub(super) struct Checkpointer {
    /// The log's length, told by SQLite after each commit.
    pages: Arc<AtomicI32>,
    /// How many of its pages are in the file.
    moved: Arc<AtomicI32>,
    busy: Arc<AtomicBool>,
    /// The length at which to move all of it.
    next: Cell<i32>,
    /// When the thread beside was last asked.
    asked: Cell<Instant>,
    queue: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Checkpointer {
    /// Watches the log that `db` writes.
    pub(super) fn start(path: &Path, db: &mut Connection) -> io::Result<Self> {
        let beside = reader::connect(path, false).map_err(io::Error::other)?;
        let pages = Arc::new(AtomicI32::new(0));
        let told = pages.clone();
        let hook = move |_: &mut Wal, pages: i32| {
            told.store(pages, Ordering::Relaxed);
            Ok(())
        };
        db.wal_hook(Some(hook)).map_err(io::Error::other)?;
        let (moved, busy) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicBool::new(false)));
        let (queue, waiting) = mpsc::channel();
        let thread = thread::Builder::new().name("bursar-checkpointer".into());
        let (tells, ends) = (moved.clone(), busy.clone());
        let thread = thread.spawn(move || {
            while waiting.recv().is_ok() {
                tells.store(checkpoint(&beside), Ordering::Relaxed);
                ends.store(false, Ordering::Release);
            }
        })?;
        Ok(Self {
            pages,
            moved,
            busy,
            next: Cell::new(PAGES_MANY),
            asked: Cell::new(Instant::now()),
            queue,
            thread,
        })
    }

    /// Called between two batches, with the connection that writes.
    pub(super) fn look(&self, db: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.moved.load(Ordering::Relaxed) {
            // It was written over from its beginning.
            self.moved.store(0, Ordering::Relaxed);
            self.next.set(PAGES_MANY);
        }
        let left = pages - self.moved.load(Ordering::Relaxed);
        let is_long = pages >= self.next.get();
        let is_some = left >= PAGES_SOME && self.asked.get().elapsed() >= REST;
        if !(is_long || is_some) || self.busy.load(Ordering::Acquire) {
            return;
        }
        if is_long && (left <= PAGES_FEW || pages >= PAGES_MOST) {
            self.moved.store(checkpoint(db), Ordering::Relaxed);
            // Where a long read is in the way the log grows on, and is tried again later.
            self.next.set(pages + PAGES_MANY);
        } else if !self.busy.swap(true, Ordering::AcqRel) {
            self.asked.set(Instant::now());
            if self.queue.send(()).is_err() {
                tracing::error!("nobody moves the log into the file");
            }
        }
    }

    /// Ends the thread.
    pub(super) fn end(self) {
        drop(self.queue);
        let _ = self.thread.join();
    }

    /// Ends the thread, moves all that is left and empties the log.
    pub(super) fn close(self, db: &Connection) {
        self.end();
        told(db, "pragma wal_checkpoint(truncate)");
    }
}

/// Waits for no reader. How many of the log's pages are in the file afterwards.
fn checkpoint(db: &Connection) -> i32 {
    told(db, "pragma wal_checkpoint(passive)")
}

fn told(db: &Connection, pragma: &str) -> i32 {
    db.query_row(pragma, [], |row| row.get(2)).unwrap_or_else(|error| {
        tracing::warn!(error = ?error, "the log can't be moved into the file");
        0
    })
}
