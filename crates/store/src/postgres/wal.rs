//! How much WAL a server has archived.

use std::time::Duration;

use super::{pool::describe, tls::Target};
use crate::OpenError;

/// For connecting, and for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const ARCHIVED: &str = "
    select archived_count * pg_size_bytes(current_setting('wal_segment_size'))
    from pg_stat_archiver";

/// Bytes of WAL that a server has archived since its statistics were last reset: the files that
/// `archive_command` or `archive_library` took, times the size of a segment.
///
/// An upper bound: `pg_stat_archiver.archived_count` counts each file once, and the few that are no
/// whole segment (a timeline's history, a backup's label, the last of a timeline) are counted as
/// one. A segment that was switched before it was full is archived at its full size. A server that
/// archives nothing has 0. Any role may ask
/// (<https://www.postgresql.org/docs/15/monitoring-stats.html#MONITORING-PG-STAT-ARCHIVER-VIEW>).
pub async fn wal_archived(url: &str) -> Result<u64, OpenError> {
    let target = Target::parse(url)?;
    let asked = async {
        let connected = target.config.connect(target.connector()?).await;
        let (client, connection) = connected.map_err(|error| target.explain(&error))?;
        let connection = tokio::spawn(connection);
        let row = client.query_one(ARCHIVED, &[]).await;
        let bytes = row.and_then(|row| row.try_get::<_, i64>(0));
        connection.abort();
        let bytes = bytes.map_err(|error| OpenError::Connect(describe(&error)))?;
        let odd = |_| OpenError::Connect(format!("the server has archived {bytes} bytes"));
        u64::try_from(bytes).map_err(odd)
    };
    let late = || OpenError::Connect(format!("no answer in {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
}
