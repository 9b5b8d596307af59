//! Lines on their way to the disk: what comes while others are written shares the next sync.

use std::{
    io, mem,
    sync::{Arc, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    FILE, Spool,
    begun::is_record,
    record::{Line, Untold},
};

/// Lines that wait for the disk, and who waits for them.
#[derive(Default)]
pub(super) struct Waiting {
    text: Vec<u8>,
    records: usize,
    told: Vec<oneshot::Sender<Result<(), String>>>,
    /// Somebody writes, and takes what has come meanwhile next.
    is_writing: bool,
}

impl Spool {
    /// Keeps records, all of them or none; on disk when this returns. What comes while others are
    /// written shares the next sync.
    pub(crate) async fn keep(self: &Arc<Self>, untold: &[Untold]) -> io::Result<()> {
        let lines = untold.iter().map(|untold| serde_json::to_vec(&Line::from(untold)));
        let lines: Vec<Vec<u8>> = lines.collect::<Result<_, _>>()?;
        let (tell, told) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for line in lines {
                waiting.records += usize::from(is_record(&line));
                waiting.text.extend(line);
                waiting.text.push(b'\n');
            }
            waiting.told.push(tell);
            !mem::replace(&mut waiting.is_writing, true)
        };
        if is_first {
            let turn = Turn { spool: self.clone(), is_over: false };
            drop(tokio::task::spawn_blocking(move || turn.write()));
        }
        told.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}

/// Somebody's turn to write what waits. Where it ends early, nobody waits for it.
struct Turn {
    spool: Arc<Spool>,
    is_over: bool,
}

impl Turn {
    /// Writes until nothing waits.
    fn write(mut self) {
        while let Some(Waiting { text, records, told, .. }) = self.next() {
            let written = {
                let mut writer = self.spool.writer.lock().unwrap_or_else(PoisonError::into_inner);
                let written = writer.append(&self.spool.folder.join(FILE), &text);
                writer.records += if written.is_ok() { records } else { 0 };
                writer.tell();
                written.map_err(|error| error.to_string())
            };
            // Who has gone meanwhile does not hear it.
            told.into_iter().for_each(|told| drop(told.send(written.clone())));
        }
    }

    fn next(&mut self) -> Option<Waiting> {
        let mut waiting = self.spool.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_over = waiting.told.is_empty();
        let next = Waiting { is_writing: !self.is_over, ..Waiting::default() };
        Some(mem::replace(&mut *waiting, next)).filter(|_| !self.is_over)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            let mut waiting = self.spool.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            *waiting = Waiting::default();
        }
    }
}
