//! Copies of the file, taken while it is in use.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use crate::OpenError;

/// Copies a database page by page through SQLite's online backup. The target must not exist; it
/// appears whole or not at all. `check` runs the integrity check on the copy before that.
pub(crate) fn copy(from: &Path, to: &Path, check: bool) -> Result<(), OpenError> {
    let at = |path: &Path, cause: String| OpenError::File { path: path.to_owned(), cause };
    let failed = |error: rusqlite::Error| at(from, error.to_string());
    if to.exists() {
        return Err(at(to, "exists already; move it away first".to_owned()));
    }
    let source =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    source.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    let partial = to.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    {
        let mut target =
            Connection::open(&partial).map_err(|error| at(&partial, error.to_string()))?;
        let work = Backup::new(&source, &mut target).map_err(failed)?;
        work.run_to_completion(4_096, Duration::from_millis(1), None).map_err(failed)?;
        drop(work);
        if check {
            let verdict: String = target
                .query_row("pragma integrity_check(1)", [], |row| row.get(0))
                .map_err(failed)?;
            if verdict != "ok" {
                return Err(at(from, format!("the backup is damaged: {verdict}")));
            }
        }
    }
    let file = std::fs::File::open(&partial).map_err(|error| at(&partial, error.to_string()))?;
    file.sync_all().map_err(|error| at(&partial, error.to_string()))?;
    std::fs::rename(&partial, to).map_err(|error| at(to, error.to_string()))?;
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| at(folder, error.to_string()))?;
    }
    Ok(())
}
