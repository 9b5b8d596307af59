//! `[collect]`: storage that is measured now and then, for `/metrics`.

use std::{path::PathBuf, time::Duration};

/// What is measured, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collect {
    /// From the end of one look at ClickHouse and Postgres to the next.
    pub every: Duration,
    /// Buckets of S3, all where none is named; `None` measures none.
    pub buckets: Option<Vec<String>>,
    /// From the end of one look at the buckets to the next.
    pub buckets_every: Duration,
    /// A ClickHouse.
    pub clickhouse: Clickhouse,
    /// The address of a Postgres server that archives its WAL.
    pub postgres_wal: Option<String>,
}

/// How a ClickHouse is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clickhouse {
    /// Its HTTP interface; without one it is not asked.
    pub url: Option<http::Uri>,
    /// Who asks.
    pub user: String,
    /// The file of the password, read at each look: it may be changed while the service runs.
    pub password_file: Option<PathBuf>,
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5 * 60),
            buckets: None,
            buckets_every: Duration::from_secs(60 * 60),
            clickhouse: Clickhouse { url: None, user: "default".to_owned(), password_file: None },
            postgres_wal: None,
        }
    }
}
