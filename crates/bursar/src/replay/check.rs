//! The check: what was accepted is what the ledger holds, to the nano-dollar.

use focus::TenantId;

use super::{LedgerView, drive::Tally};

/// Compares a tenant's tally with the ledger before and after; each fault is a sentence.
///
/// `limited`: limits were set for this run, so that none may be passed by a nano-dollar.
pub fn faults(
    tenant: &TenantId,
    tally: &Tally,
    before: &LedgerView,
    after: &LedgerView,
    limited: bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    if before.recorded.checked_add(tally.fresh) != Some(after.recorded) {
        faults.push(format!(
            "{tenant}: {} USD were recorded before and {} accepted, but {} are recorded now",
            before.recorded, tally.fresh, after.recorded
        ));
    }
    for account in &after.accounts {
        if account.settled != account.recorded {
            faults.push(format!(
                "{tenant}: the account for {} has settled {} USD, its records say {}",
                account.model, account.settled, account.recorded
            ));
        }
        if limited && account.model == "*" && account.counted > account.limit {
            faults.push(format!(
                "{tenant}: {} USD count against the limit of {}",
                account.counted, account.limit
            ));
        }
    }
    faults
}
