//! Copies of the file, taken while it is in use.

use std::{fs, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup};

use crate::{OpenError, options};

/// Copies a database page by page through SQLite's online backup. The target must not exist; it
/// appears whole or not at all. `check` runs the integrity check on the copy before that.
pub(crate) fn copy(from: &Path, to: &Path, check: bool) -> Result<(), OpenError> {
    if to.exists() {
        return Err(at(to, "exists already; move it away first"));
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = Path::new(&name);
    let _ = fs::remove_file(partial);
    let written = write(from, partial, check);
    let done = written.and_then(|()| fs::rename(partial, to).map_err(|error| at(to, error)));
    if done.is_err() {
        let _ = fs::remove_file(partial);
    }
    done?;
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| at(folder, error))?;
    }
    Ok(())
}

fn at(path: &Path, cause: impl ToString) -> OpenError {
    OpenError::File { path: path.to_owned(), cause: cause.to_string() }
}

/// Writes the copy, down to the disk.
fn write(from: &Path, to: &Path, check: bool) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| {
        // Who reads can't find the disk full.
        let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        at(if is_full { to } else { from }, error)
    };
    let source =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    source.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    let mut target = Connection::open(to).map_err(|error| at(to, error))?;
    // One state of the file, to its last page: the copy would begin anew with every commit.
    source.execute_batch("begin; select count(*) from sqlite_schema").map_err(failed)?;
    let work = Backup::new(&source, &mut target).map_err(failed)?;
    work.run_to_completion(4_096, Duration::from_millis(1), None).map_err(failed)?;
    drop(work);
    // The log grows while somebody reads an old state.
    drop(source);
    if check {
        let sql = "pragma integrity_check(1)";
        let verdict: String = target.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
        if verdict != "ok" {
            return Err(at(from, format!("the backup is damaged: {verdict}")));
        }
    }
    // Of what was committed since the machine has started nothing is missing in a copy.
    let has_covers = target.table_exists(None, "cover").map_err(|error| at(to, error))?;
    if let Some(boot) = options::boot().filter(|_| has_covers) {
        let sql = "delete from cover where boot = ?1";
        target.execute(sql, [boot]).map_err(|error| at(to, error))?;
    }
    target.close().map_err(|(_, error)| at(to, error))?;
    let synced = fs::File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| at(to, error))
}
