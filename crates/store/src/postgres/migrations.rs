//! Brings the database's schema to this version's: at connect, under a lock, each step once.

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::OpenError;

/// The schema's steps. A released step never changes; a change is a further step.
pub(super) const STEPS: [(i32, &str, &str); 13] = [
    (1, "ledger", include_str!("migrations/0001_ledger.sql")),
    (2, "budgets", include_str!("migrations/0002_budgets.sql")),
    (3, "usage", include_str!("migrations/0003_usage.sql")),
    (4, "shown", include_str!("migrations/0004_shown.sql")),
    (5, "reports", include_str!("migrations/0005_reports.sql")),
    (6, "names", include_str!("migrations/0006_names.sql")),
    (7, "opened", include_str!("migrations/0007_opened.sql")),
    (8, "overflow", include_str!("migrations/0008_overflow.sql")),
    (9, "cloud_budgets", include_str!("migrations/0009_cloud_budgets.sql")),
    (10, "deliveries", include_str!("migrations/0010_deliveries.sql")),
    (11, "batches", include_str!("migrations/0011_batches.sql")),
    (12, "set", include_str!("migrations/0012_set.sql")),
    (13, "since", include_str!("migrations/0013_since.sql")),
];

/// The advisory lock under which one replica at a time migrates: the ASCII letters "Burs".
const LOCK: i64 = 0x4275_7273;

const RECORD: &str = "
create table if not exists bursar_migration (
    version integer constraint bursar_migration_pkey primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
)";

pub(super) async fn run(db: &mut Client) -> Result<(), OpenError> {
    let failed = |error: tokio_postgres::Error| {
        OpenError::Schema(format!("schema: {}", super::describe(&error)))
    };
    let step = db.transaction().await.map_err(failed)?;
    step.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let encoding = step.query_one("show server_encoding", &[]).await.map_err(failed)?;
    let encoding: String = encoding.try_get(0).map_err(failed)?;
    if encoding != "UTF8" {
        return Err(OpenError::Schema(format!(
            "the database is encoded in {encoding}; make one with encoding 'UTF8'"
        )));
    }
    step.batch_execute(RECORD).await.map_err(failed)?;
    let taken = "select version, name, sha256 from bursar_migration order by version";
    let taken = step.query(taken, &[]).await.map_err(failed)?;
    let mut found = Vec::with_capacity(taken.len());
    for row in &taken {
        let version: i32 = row.try_get(0).map_err(failed)?;
        let name: String = row.try_get(1).map_err(failed)?;
        let sha256: String = row.try_get(2).map_err(failed)?;
        found.push((version, name, sha256));
    }
    for sql in pending(&found).map_err(OpenError::Schema)? {
        let (version, name, sql) = sql;
        step.batch_execute(sql).await.map_err(failed)?;
        let record = "insert into bursar_migration (version, name, sha256) values ($1, $2, $3)";
        step.execute(record, &[&version, &name, &sum(sql)]).await.map_err(failed)?;
    }
    step.commit().await.map_err(failed)
}

/// The steps that a database has yet to take; why it can't be used, when it has taken others.
fn pending(
    taken: &[(i32, String, String)],
) -> Result<&'static [(i32, &'static str, &'static str)], String> {
    for (place, (version, name, sha256)) in taken.iter().enumerate() {
        let Some((known, _, sql)) = STEPS.get(place) else {
            return Err(format!(
                "the database has migration {version} ({name}), this program knows {}: \
                 use a newer Bursar",
                STEPS.len()
            ));
        };
        if known != version || *sha256 != sum(sql) {
            return Err(format!(
                "migration {version} ({name}) of the database is not the one of this program: \
                 it was made by another build of Bursar"
            ));
        }
    }
    Ok(STEPS.get(taken.len()..).unwrap_or_default())
}

fn sum(sql: &str) -> String {
    Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
