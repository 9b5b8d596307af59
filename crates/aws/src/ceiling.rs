//! How many paid calls may be made in a day.
//!
//! Owns a file with a day and a count. Every process that shares the file shares the count; a call
//! is written down, and synced, before it is made, so that no crash forgets one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use thiserror::Error;

use crate::names;

/// A ceiling on paid calls by UTC day, kept in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    path: PathBuf,
    most: u32,
}

/// Why no paid call may be made.
#[derive(Debug, Error)]
pub enum CeilingError {
    /// As many as there may be were made.
    #[error(
        "{most} paid calls were made on {day} (UTC), as many as aws.calls_most allows: set a \
         higher one (BURSAR_AWS_CALLS_MOST), or wait for the next day"
    )]
    Reached {
        /// The ceiling.
        most: u32,
        /// The day.
        day: Date,
    },
    /// The count can't be read or written; without it no call is made.
    #[error("the count of paid calls in {path} can't be kept: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Ceiling {
    /// At most so many calls a day, counted in a file that is made when it is missing.
    pub fn new(path: &Path, most: u32) -> Self {
        Self { path: path.to_owned(), most }
    }

    /// Counts a call that is about to be made; how many of the day have been made with it.
    pub fn take(&self, now: Timestamp) -> Result<u32, CeilingError> {
        let day = now.to_zoned(TimeZone::UTC).date();
        let made = self.count(day).map_err(|cause| self.fault(cause))?;
        metrics::gauge!(names::PAID_MOST).set(self.most);
        match made {
            Some(made) => {
                metrics::gauge!(names::PAID).set(made);
                Ok(made)
            }
            None => {
                metrics::gauge!(names::PAID).set(self.most);
                Err(CeilingError::Reached { most: self.most, day })
            }
        }
    }

    /// Calls that were made on the day of an instant.
    pub fn made(&self, now: Timestamp) -> Result<u32, CeilingError> {
        let day = now.to_zoned(TimeZone::UTC).date();
        let read = self.open().and_then(|mut file| read(&mut file));
        let read = read.map_err(|cause| self.fault(cause))?;
        Ok(read.filter(|(of, _)| *of == day).map_or(0, |(_, made)| made))
    }

    fn fault(&self, cause: io::Error) -> CeilingError {
        CeilingError::File { path: self.path.clone(), cause }
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&self.path)?;
        // Others wait for the moment that one needs.
        file.lock()?;
        Ok(file)
    }

    /// One more of the day; nothing when there may be none.
    fn count(&self, day: Date) -> io::Result<Option<u32>> {
        let mut file = self.open()?;
        // A clock that steps back must not give a day's calls anew: the later day counts.
        let (day, made) = match read(&mut file)? {
            Some((known, made)) if known >= day => (known, made),
            _ => (day, 0),
        };
        if made >= self.most {
            return Ok(None);
        }
        let made = made + 1;
        let text = format!("{day} {made:010}\n");
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()?;
        Ok(Some(made))
    }
}

/// The day and its count; nothing in a new file.
fn read(file: &mut File) -> io::Result<Option<(Date, u32)>> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(1_000).read_to_string(&mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.trim().split_once(' ');
    let parts = parts.and_then(|(day, made)| Some((day.parse().ok()?, made.parse().ok()?)));
    let wrong = || io::Error::other("it holds no day and count; delete it to begin anew");
    parts.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
