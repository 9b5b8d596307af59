use std::time::Duration;

use budget::{Overflow, Standing};
use focus::UserId;
use jiff::Timestamp;
use money::Money;

use super::*;

fn refused_by(scope: &Scope) -> EscrowError {
    let zero = Money::ZERO;
    let standing = Standing { settled: zero, counted: zero, limit: zero, would_refuse: true };
    EscrowError::Refused(Box::new(Refusal {
        scope: scope.clone(),
        standing,
        resets_at: Timestamp::UNIX_EPOCH,
        overflow: Overflow::Refuse,
        by_holds: true,
    }))
}

/// A user's own budget is full; the tenant's has room.
#[tokio::test(start_paused = true)]
async fn a_call_that_another_budget_stops_stops_nobody_in_line() {
    let lines = Lines::default();
    let tenant = Scope::tenant(TenantId::parse("acme").unwrap());
    let user = Scope { user: Some(UserId::parse("ann").unwrap()), ..tenant.clone() };
    let start = Instant::now();
    let until = start + Duration::from_secs(2);
    let first = lines.join(&tenant);
    let second = lines.join(&tenant);
    let stopped = first.wait(until, async || Err::<(), _>(refused_by(&user)));
    let served = async {
        let result = second.wait(until, async || Ok(())).await;
        (result, start.elapsed())
    };
    let (stopped, (served, waited)) = tokio::join!(stopped, served);
    assert!(matches!(stopped, Err(EscrowError::Refused(_))));
    assert_eq!(start.elapsed(), Duration::from_secs(2), "it has waited in the user's line");
    assert!(served.is_ok() && waited.is_zero(), "{waited:?}");
    assert_eq!(lines.waiting(), 0);
}
