//! Opens the store that a URL names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use budget::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use crate::{Options, Postgres, Sqlite};

/// An open store.
pub type Opened = Arc<dyn budget::Store>;

/// Why a store can't be opened, backed up or restored.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL names no kind of store.
    #[error("database url {0:?} starts with neither sqlite:// nor postgres://")]
    Url(String),
    /// The URL can't be read, or contradicts itself.
    #[error("database url: {0}")]
    Address(String),
    /// The file or its folder can't be used.
    #[error("database file {path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// The database was made by a newer version of Bursar, or by something else.
    #[error("{0}")]
    Schema(String),
    /// Only SQLite is backed up by Bursar.
    #[error("only an SQLite database is backed up and restored here; use pg_dump for Postgres")]
    NotSqlite,
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    Connect(String),
    /// The server can't be spoken to in the way that the URL asks for.
    #[error("no TLS connection to the database: {0}")]
    Tls(String),
    /// The store has failed while it was being opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens `sqlite:///absolute/path`, `sqlite://relative/path` or `postgres://…`; makes or migrates
/// the schema.
pub async fn open(url: &str, options: Options) -> Result<Opened, OpenError> {
    if let Some(path) = url.strip_prefix("sqlite://") {
        return Ok(Arc::new(Sqlite::open(Path::new(path), options)?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(Postgres::connect(url, options).await?));
    }
    Err(OpenError::Url(without_password(url)))
}

/// Copies an SQLite database, which may be in use, to a new file.
pub async fn backup(url: &str, to: &Path) -> Result<(), OpenError> {
    let from = sqlite_path(url)?;
    let to = to.to_owned();
    blocking(move || crate::sqlite::backup::copy(&from, &to, false)).await
}

/// Puts a backup in the place of an SQLite database. The database must not exist.
pub async fn restore(from: &Path, url: &str) -> Result<(), OpenError> {
    let to = sqlite_path(url)?;
    let from = from.to_owned();
    blocking(move || crate::sqlite::backup::copy(&from, &to, true)).await
}

/// Whether somebody has an SQLite database open. One that is damaged or absent is not in use.
///
/// SQLite gives up its log only when nobody else has the file open; what is in the log is then in
/// the file.
pub async fn in_use(url: &str) -> Result<bool, OpenError> {
    let path = sqlite_path(url)?;
    blocking(move || {
        let give_up = || {
            let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            db.busy_timeout(Duration::ZERO)?;
            db.query_row("pragma journal_mode = delete", [], |row| row.get::<_, String>(0))
        };
        let busy = |error: &rusqlite::Error| {
            let code = error.sqlite_error_code();
            matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
        };
        Ok(give_up().is_err_and(|error| busy(&error)))
    })
    .await
}

fn sqlite_path(url: &str) -> Result<PathBuf, OpenError> {
    url.strip_prefix("sqlite://").map(PathBuf::from).ok_or(OpenError::NotSqlite)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| OpenError::Connect(error.to_string()))?
}

/// A URL that may stand in an error: what is before `@` ends in a name and a password, and what is
/// behind `?` may hold one.
fn without_password(url: &str) -> String {
    let start = url.find("//").map_or(0, |at| at + 2);
    let shown = match url.rfind('@') {
        Some(end) if start < end => format!("{}…{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    };
    shown.split_once('?').map_or(shown.clone(), |(place, _)| format!("{place}?…"))
}
