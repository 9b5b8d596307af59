//! Spooled records are given to the store.

use std::{io, time::Duration};

use budget::{Escrow, EscrowError, Release, VendorBatches};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{pass::Item, record::Line, unavailable};

/// How long the store may take to be told of one: longer than a tenant's row may be locked.
const TELL_TIMEOUT: Duration = Duration::from_secs(15);

/// What has become of a record.
pub(super) enum Told {
    /// The ledger has it.
    Taken,
    /// The ledger will never have it.
    Refused(String),
    /// It is not whole: the store was not asked.
    Torn,
}

/// Gives the store some records, together.
pub(super) async fn tell_all(
    escrow: &dyn Escrow,
    batches: &dyn VendorBatches,
    items: &[Item],
) -> Vec<Result<Told, EscrowError>> {
    let told = items.iter().map(|item| async {
        let told = timeout(TELL_TIMEOUT, tell(escrow, batches, item.line.clone())).await;
        told.unwrap_or_else(|_| Err(unavailable(io::Error::other("the store says nothing"))))
    });
    join_all(told).await
}

/// Gives the store one record.
async fn tell(
    escrow: &dyn Escrow,
    batches: &dyn VendorBatches,
    line: Option<Line>,
) -> Result<Told, EscrowError> {
    let result = match line {
        Some(Line::Release { release: key, .. }) => match escrow.release(Release { key }).await {
            // It has never been made, or what has become of it is known already.
            Err(EscrowError::NotFound(_) | EscrowError::State { .. }) => return Ok(Told::Taken),
            result => result,
        },
        Some(Line::Charge(record) | Line::Begun { begun: record }) => match record.into_settle() {
            Some(settle) => escrow.settle(settle).await,
            None => return Ok(Told::Torn),
        },
        Some(Line::Batch { batch }) => {
            // One that it has already stays as it is.
            let put = batches.put_batch(batch).await;
            return put.map(|()| Told::Taken).map_err(EscrowError::Store);
        }
        None => return Ok(Told::Torn),
    };
    match result {
        Ok(_) => Ok(Told::Taken),
        Err(error @ EscrowError::Store(_)) => Err(error),
        Err(error) => Ok(Told::Refused(error.to_string())),
    }
}
