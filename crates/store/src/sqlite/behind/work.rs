//! One generation of rows on its way to its places, some with each commit.

use std::{io, sync::mpsc, thread};

use ::budget::StoreError;
use rusqlite::Connection;

use super::place::{AT_ONCE, Task};

/// What is left to do, in the order of the places.
pub(super) type Tasks = Box<dyn Iterator<Item = Task> + Send>;

/// Of the commands in which it has to be done, it is done in four of five: one generation is in its
/// places before the next is full, and no commit does more of it than it must.
const HASTE: (usize, usize) = (5, 4);

/// Rows that are being put in their places.
pub(super) struct Work {
    stage: Stage,
    /// So many tasks in so many commands.
    pace: (usize, usize),
    /// What commits have not done of it.
    owed: usize,
    /// The open transaction does the last of it.
    pub(super) is_done: bool,
}

enum Stage {
    /// A thread of its own brings them in order: no commit waits for that.
    Sorting(mpsc::Receiver<Tasks>),
    Sorted(Tasks),
}

impl Work {
    /// So many tasks, to be done before so many commands have come.
    pub(super) fn begin(
        tasks: usize,
        commands: usize,
        sort: impl FnOnce() -> Tasks + Send + 'static,
    ) -> Result<Self, StoreError> {
        let pace = (HASTE.0.saturating_mul(tasks), HASTE.1.saturating_mul(commands.max(1)));
        let (sorted, stage) = mpsc::channel();
        let thread = thread::Builder::new().name("bursar-sorter".into());
        // Nobody waits for it any more when everything was forgotten meanwhile.
        thread.spawn(move || drop(sorted.send(sort()))).map_err(StoreError::unavailable)?;
        Ok(Self { stage: Stage::Sorting(stage), pace, owed: 0, is_done: false })
    }

    /// Does some of it in the transaction that is open.
    pub(super) fn step(&mut self, db: &Connection, commands: usize) -> Result<(), StoreError> {
        self.owed = self.owed.saturating_add(commands.saturating_mul(self.pace.0));
        let many = self.owed / self.pace.1;
        self.owed %= self.pace.1;
        let Some(tasks) = self.tasks()? else { return Ok(()) };
        // Those of one kind follow each other.
        let mut some: Vec<Task> = Vec::with_capacity(AT_ONCE);
        for _ in 0..many {
            let Some(task) = tasks.next() else {
                self.is_done = true;
                break;
            };
            if some.len() == AT_ONCE || some.first().is_some_and(|first| !first.is_like(&task)) {
                Task::run(&some, db)?;
                some.clear();
            }
            some.push(task);
        }
        Task::run(&some, db)
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
