//! The lake: charges of every provider in columns, and every total of them provable.
//!
//! Owns charges as Parquet, the log that says which of them count, what may come in, and what may
//! be asked. The only crate that names arrow, Parquet, `DataFusion` and object stores; none of
//! their types leaves it. Knows nothing of who asks. Invariant: amounts are decimal from the
//! source's last digit to the answer; a reader sees one version of the lake, and a version never
//! changes.

mod aggregate;
mod bill;
mod charges;
mod commit;
mod compact;
mod condition;
mod convert;
mod costs;
mod csv;
mod dialect;
mod diff;
mod engine;
#[cfg(test)]
mod examples;
mod export;
mod fault;
mod findings;
mod functions;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod import;
mod ingest;
mod instant;
mod lake;
mod limit;
mod manifest;
mod nested;
mod odd;
mod parquet;
mod partition;
mod plan;
mod publish;
mod quarantine;
mod query;
mod rates;
mod reconcile;
mod release;
mod report;
mod schema;
mod source;
mod sql;
mod storage;
mod stretch;
mod tags;
#[cfg(test)]
mod testing;
mod upgrade;
mod validate;

pub use commit::LogError;
pub use compact::{CompactError, Compacted, Swept};
pub use export::Format;
pub use findings::{Finding, Tally};
pub use import::{Ingested, OnInvalid, Options};
pub use ingest::{IngestError, OnProgress, Progress};
pub use lake::{Answer, Lake, LakeOptions, Step};
pub use limit::Limits;
pub use manifest::{DataFile, Dataset, Import, Operation, Quarantine, Sums};
pub use partition::WriteError;
pub use quarantine::{Kept, Reason};
pub use query::QueryError;
pub use reconcile::read_invoice;
pub use report::ReportError;
pub use source::{Skipped, SourceError};
pub use storage::StorageError;
