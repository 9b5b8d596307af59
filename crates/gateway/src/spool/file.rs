//! The spool's file: lines are added to it, all of them or none, and read.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::Path,
};

use super::begun::is_record;
use crate::names;

pub(super) struct Writer {
    pub(super) file: Option<File>,
    pub(super) records: usize,
    /// Records in the folders of processes that have ended.
    pub(super) left_behind: usize,
}

impl Writer {
    pub(super) fn waiting(&self) -> usize {
        self.records + self.left_behind
    }

    pub(super) fn tell(&self) {
        metrics::gauge!(names::SPOOL).set(self.waiting() as f64);
    }

    /// Adds a line: all of it, or nothing.
    pub(super) fn append(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
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
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
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

/// A file's records. Bytes that are no text, a torn last line say, must not keep the others from being
/// read.
pub(super) fn lines(path: &Path) -> io::Result<Vec<String>> {
    let text =
        |line: io::Result<Vec<u8>>| line.map(|line| String::from_utf8_lossy(&line).into_owned());
    let lines = BufReader::new(File::open(path)?).split(b'\n').map(text);
    let lines: Vec<String> = lines.collect::<io::Result<_>>()?;
    Ok(lines.into_iter().filter(|line| !line.is_empty()).collect())
}

/// A file's records; none where there is no file.
pub(super) fn lines_if_any(path: &Path) -> io::Result<Vec<String>> {
    match lines(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// How many records of a file wait for the store.
pub(super) fn count(path: &Path) -> io::Result<usize> {
    match File::open(path) {
        Ok(file) => {
            let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
            Ok(lines.filter(|line| is_record(line)).count())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
