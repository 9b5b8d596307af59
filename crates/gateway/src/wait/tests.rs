use std::time::Duration;

use budget::{Overflow, Standing};
use focus::{ModelName, UserId};
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

fn call(user: Option<&str>) -> Attribution {
    let (tenant, model) = (TenantId::parse("acme").unwrap(), ModelName::parse("m").unwrap());
    let user = user.map(|user| UserId::parse(user).unwrap());
    Attribution { tenant, model, user, report_type: None }
}

/// A user's own budget is full; the tenant's has room.
#[tokio::test(start_paused = true)]
async fn a_call_that_another_budget_stops_stops_nobody_in_line() {
    let lines = Lines::default();
    let tenant = Scope::tenant(TenantId::parse("acme").unwrap());
    let user = Scope { user: Some(UserId::parse("ann").unwrap()), ..tenant.clone() };
    let start = Instant::now();
    let until = start + Duration::from_secs(2);
    let ann = call(Some("ann"));
    let first = lines.join(&tenant, &ann);
    let second = lines.join(&tenant, &call(None));
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

/// A line that was there before is no way past those who came earlier.
#[tokio::test(start_paused = true)]
async fn who_came_later_in_another_line_does_not_take_what_others_wait_for() {
    let lines = Lines::default();
    let tenant = Scope::tenant(TenantId::parse("acme").unwrap());
    let model = Scope::model(tenant.tenant.clone(), ModelName::parse("m").unwrap());
    let start = Instant::now();
    let until = start + Duration::from_secs(2);
    let oldest = lines.join(&model, &call(None));
    let large = lines.join(&tenant, &call(None));
    let small = lines.behind(&call(None)).expect("a line");
    assert!(Arc::ptr_eq(&small.line, &oldest.line));
    drop(oldest);
    // What it needs is free after a second; the small one would fit at any time.
    let is_free = || start.elapsed() >= Duration::from_secs(1);
    let large = async {
        let attempt = async || if is_free() { Ok(()) } else { Err(refused_by(&tenant)) };
        (large.wait(until, attempt).await, start.elapsed())
    };
    let small = async {
        let result = small.wait(until, async || Ok(())).await;
        (result, start.elapsed())
    };
    let ((large, first), (small, second)) = tokio::join!(large, small);
    assert!(large.is_ok() && small.is_ok());
    assert!(first >= Duration::from_secs(1) && first <= second, "{first:?} {second:?}");
    assert!(second < Duration::from_millis(1_100), "{second:?}");
    assert_eq!(lines.waiting(), 0);
}
