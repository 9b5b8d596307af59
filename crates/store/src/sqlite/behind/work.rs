//! One generation of rows on its way to its places, some with each commit.

use std::{io, sync::mpsc, thread};

use ::budget::StoreError;
use rusqlite::Connection;

use super::place::Task;

/// What is left to do, in the order of the places.
pub(super) type Tasks = Box<dyn Iterator<Item = Task> + Send>;

/// Rows that are being put in their places.
pub(super) struct Work {
    stage: Stage,
    /// So many tasks for each command of a commit.
    pace: usize,
    /// The open transaction does the last of it.
    pub(super) is_done: bool,
}

enum Stage {
    /// A thread of its own brings them in order: no commit waits for that.
    Sorting(mpsc::Receiver<Tasks>),
    Sorted(Tasks),
}

impl Work {
    pub(super) fn begin(
        pace: usize,
        sort: impl FnOnce() -> Tasks + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (sorted, stage) = mpsc::channel();
        let thread = thread::Builder::new().name("bursar-sorter".into());
        // Nobody waits for it any more when everything was forgotten meanwhile.
        thread.spawn(move || drop(sorted.send(sort()))).map_err(StoreError::unavailable)?;
        Ok(Self { stage: Stage::Sorting(stage), pace, is_done: false })
    }

    /// Does some of it in the transaction that is open.
    pub(super) fn step(&mut self, db: &Connection, commands: usize) -> Result<(), StoreError> {
        let most = commands.saturating_mul(self.pace);
        let Some(tasks) = self.tasks()? else { return Ok(()) };
        for _ in 0..most {
            let Some(task) = tasks.next() else {
                self.is_done = true;
                break;
            };
            task.run(db)?;
        }
        Ok(())
    }

    /// What is left, once it is sorted.
    fn tasks(&mut self) -> Result<Option<&mut Tasks>, StoreError> {
        if let Stage::Sorting(sorted) = &self.stage {
            match sorted.try_recv() {
                Ok(tasks) => self.stage = Stage::Sorted(tasks),
                Err(mpsc::TryRecvError::Empty) => return Ok(None),
                Err(mpsc::TryRecvError::Disconnected) => {
                    return Err(StoreError::unavailable(io::Error::other("sorting has failed")));
                }
            }
        }
        match &mut self.stage {
            Stage::Sorting(_) => Ok(None),
            Stage::Sorted(tasks) => Ok(Some(tasks)),
        }
    }
}
