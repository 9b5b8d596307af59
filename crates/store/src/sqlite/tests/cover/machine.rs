//! A machine whose power can go just before what was committed comes to its disk.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use ::budget::conformance::Hands;
use rusqlite::Connection;

use super::{super::Sqlite, now};
use crate::{Moment, Options};

/// Where the thread that syncs stands: it goes on while there are permits.
#[derive(Default)]
pub(super) struct Gate {
    at: Mutex<Standing>,
    moved: Condvar,
}

#[derive(Default)]
struct Standing {
    is_closed: bool,
    permits: u32,
    arrived: u32,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.at.lock().unwrap()
    }

    fn pass(&self) {
        let mut at = self.lock();
        at.arrived += 1;
        self.moved.notify_all();
        while at.is_closed && at.permits == 0 {
            at = self.moved.wait(at).unwrap();
        }
        at.permits = at.permits.saturating_sub(1);
    }

    pub(super) fn close(&self) {
        *self.lock() = Standing { is_closed: true, ..Standing::default() };
    }

    pub(super) fn open(&self) {
        self.lock().is_closed = false;
        self.moved.notify_all();
    }

    /// Lets one sync be, and waits for the next to be asked for.
    pub(super) fn next(&self) {
        let mut at = self.lock();
        at.permits = 1;
        let until = at.arrived + 1;
        self.moved.notify_all();
        while at.arrived < until {
            at = self.moved.wait(at).unwrap();
        }
    }

    pub(super) fn wait(&self) {
        let mut at = self.lock();
        while at.arrived == 0 {
            at = self.moved.wait(at).unwrap();
        }
    }
}

/// A machine: a file, what of it is on the disk, and what keeps a sync from ending.
pub(super) struct Machine {
    folder: PathBuf,
    starts: u32,
    pub(super) gate: Arc<Gate>,
}

impl Machine {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), starts: 0, gate: Arc::default() }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.db", self.starts))
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join(format!("{}.disk", self.starts))
    }

    /// Starts Bursar, whose clock stands still.
    pub(super) fn open(&self) -> Sqlite {
        self.open_with(|options| options)
    }

    pub(super) fn open_with(&self, change: impl FnOnce(Options) -> Options) -> Sqlite {
        let hands = Hands::at(now());
        let (file, disk, gate) = (self.file(), self.disk(), self.gate.clone());
        let fault = move |moment| {
            match moment {
                Moment::BeforeSync => gate.pass(),
                Moment::AfterSync => copy(&file, &disk),
                Moment::BeforeCommit | Moment::AfterCommit => {}
            }
            false
        };
        let options = Options {
            clock: Arc::new(move || hands.now()),
            boot: Some(format!("start {}", self.starts)),
            fault: Some(Arc::new(fault)),
            index_at_once: 50,
            ..Options::default()
        };
        let store = Sqlite::open(&self.file(), change(options)).unwrap();
        copy(&self.file(), &self.disk());
        store
    }

    /// The power goes, and comes back: what is on the disk is what is left.
    pub(super) fn cut(&mut self) {
        let disk = self.disk();
        self.starts += 1;
        copy(&disk, &self.file());
        // Whatever is done by the one that has lost its power, it does to a file of its own.
        self.gate.open();
        self.gate = Arc::default();
    }

    pub(super) fn covers(&self) -> Vec<i64> {
        let db = Connection::open(self.file()).unwrap();
        let mut found = db.prepare("select amount_nanos from cover order by accounts").unwrap();
        found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// The file and its log.
pub(super) fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        match std::fs::copy(name(from), name(to)) {
            Ok(_) => {}
            // A file that nobody has open has no log.
            Err(error) if error.kind() == ErrorKind::NotFound && end == "-wal" => {
                let _ = std::fs::remove_file(name(to));
            }
            Err(error) => panic!("{}: {error}", name(from).display()),
        }
    }
}
