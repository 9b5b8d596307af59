//! Brings the file's schema to this version's.

use std::ops::Range;

use rusqlite::{Connection, TransactionBehavior};

use crate::OpenError;

/// The schema's steps; the file's `user_version` says how many it has taken.
const STEPS: [&str; 10] = [
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_tail.sql"),
    include_str!("migrations/0003_arrival.sql"),
    include_str!("migrations/0004_keys.sql"),
    include_str!("migrations/0005_opened.sql"),
    include_str!("migrations/0006_overflow.sql"),
    include_str!("migrations/0007_cloud_budgets.sql"),
    include_str!("migrations/0008_deliveries.sql"),
    include_str!("migrations/0009_cover.sql"),
    include_str!("migrations/0010_batches.sql"),
];

/// Marks a file as Bursar's: the ASCII letters "Burs".
const APPLICATION_ID: i64 = 0x4275_7273;

pub(super) fn run(db: &mut Connection) -> Result<(), OpenError> {
    let schema = |error: rusqlite::Error| OpenError::Schema(format!("schema: {error}"));
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(schema)?;
    let pragma = |name: &str| step.query_row(&format!("pragma {name}"), [], |row| row.get(0));
    let version: i64 = pragma("user_version").map_err(schema)?;
    let application: i64 = pragma("application_id").map_err(schema)?;
    let tables: i64 = step
        .query_row("select count(*) from sqlite_schema", [], |row| row.get(0))
        .map_err(schema)?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::Schema(
            "the file holds tables of another program; name another file in database.url".into(),
        ));
    }
    let taken = usize::try_from(version).unwrap_or(usize::MAX);
    if taken > STEPS.len() {
        return Err(OpenError::Schema(format!(
            "the file has schema version {version}, this program knows {}: use a newer Bursar",
            STEPS.len()
        )));
    }
    take(&step, taken..STEPS.len()).map_err(schema)?;
    step.commit().map_err(schema)
}

/// Takes steps.
pub(super) fn take(db: &Connection, steps: Range<usize>) -> rusqlite::Result<()> {
    let last = i64::try_from(steps.end).unwrap_or(i64::MAX);
    for sql in &STEPS[steps] {
        db.execute_batch(sql)?;
    }
    db.pragma_update(None, "user_version", last)?;
    db.pragma_update(None, "application_id", APPLICATION_ID)
}
