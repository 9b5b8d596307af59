use std::{
    cell::{Cell, RefCell},
    future::{pending, ready},
    time::Duration,
};

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
    assert_eq!(small.scope, oldest.scope);
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

fn tenant() -> Scope {
    Scope::tenant(TenantId::parse("acme").unwrap())
}

fn model() -> Scope {
    Scope::model(tenant().tenant, ModelName::parse("m").unwrap())
}

/// Calls that are refused as they are told to, and then until what they need is free.
struct Served {
    start: Instant,
    free_at: Duration,
    order: RefCell<Vec<u32>>,
}

impl Served {
    fn new(free_at: Duration) -> Self {
        Self { start: Instant::now(), free_at, order: RefCell::default() }
    }

    /// Waits: each of `refusals` refuses it once, and the last until all is free.
    async fn wait(&self, number: u32, place: Place<'_>, refusals: impl Into<Vec<Scope>>) {
        let refusals = refusals.into();
        let mut left = refusals.as_slice();
        let attempt = || {
            let by = match left {
                [first, rest @ ..] if !rest.is_empty() => {
                    left = rest;
                    Some(first)
                }
                last => last.first().filter(|_| self.start.elapsed() < self.free_at),
            };
            let answer = by.map_or(Ok(()), |by| Err(refused_by(by)));
            // A store takes its time, in which others come into the line.
            let answered = Instant::now() + Duration::from_millis(2);
            async move { timeout_at(answered, pending()).await.unwrap_or(answer) }
        };
        let until = self.start + Duration::from_secs(2);
        place.wait(until, attempt).await.expect("it is served");
        self.order.borrow_mut().push(number);
    }

    fn check(&self, order: &[u32]) {
        let waited = self.start.elapsed();
        assert_eq!(*self.order.borrow(), order);
        assert!(waited >= self.free_at, "{waited:?}");
        assert!(waited < self.free_at + Duration::from_millis(100), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_into_a_line_is_before_those_who_came_later() {
    let (lines, served) = (Lines::default(), Served::new(Duration::from_secs(1)));
    let [first, second, third] = [(); 3].map(|()| lines.join(&tenant(), &call(None)));
    tokio::join!(
        served.wait(1, first, [model(), tenant()]),
        served.wait(2, second, [tenant()]),
        served.wait(3, third, [tenant()]),
    );
    served.check(&[1, 2, 3]);
    assert_eq!(lines.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_change_lines_do_not_wait_for_each_other() {
    let (lines, served) = (Lines::default(), Served::new(Duration::from_secs(1)));
    let [first, second, third] = [(); 3].map(|()| lines.join(&tenant(), &call(None)));
    tokio::join!(
        served.wait(1, first, [model(), tenant()]),
        served.wait(2, second, [model()]),
        served.wait(3, third, [tenant()]),
    );
    served.check(&[1, 2, 3]);
    assert_eq!(lines.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_given_up_in_the_middle_of_an_attempt_lets_the_next_try_at_once() {
    let lines = Lines::default();
    let start = Instant::now();
    let until = start + Duration::from_secs(2);
    let [first, second] = [(); 2].map(|()| lines.join(&tenant(), &call(None)));
    let half = start + Duration::from_millis(510);
    let given_up = timeout_at(half, first.wait(until, pending::<Result<(), _>>));
    let served = async {
        let result = second.wait(until, async || Ok(())).await;
        (result, start.elapsed())
    };
    let (given_up, (served, waited)) = tokio::join!(given_up, served);
    assert!(given_up.is_err() && served.is_ok());
    // The clock has steps of a millisecond.
    assert!((510..=511).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(lines.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_a_line_one_tries_at_a_time() {
    let lines = Lines::default();
    let start = Instant::now();
    let until = start + Duration::from_secs(2);
    let user = Scope { user: Some(UserId::parse("ann").unwrap()), ..tenant() };
    let first = lines.join(&tenant(), &call(Some("ann")));
    let second = lines.join(&tenant(), &call(None));
    let tries = RefCell::default();
    let first = first.wait(until, || {
        let mut tries: std::cell::RefMut<'_, Vec<Duration>> = tries.borrow_mut();
        tries.push(start.elapsed());
        // It comes back while the second one tries.
        ready(match tries.len() {
            1 => Err(refused_by(&user)),
            2 => Err(refused_by(&tenant())),
            _ => Ok(()),
        })
    });
    let long = Duration::from_millis(110);
    let second = second.wait(until, async || {
        let _ = timeout_at(Instant::now() + long, pending::<()>()).await;
        Err::<(), _>(refused_by(&tenant()))
    });
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_err());
    let tries = tries.into_inner();
    assert_eq!(tries.len(), 3, "{tries:?}");
    assert!(tries[1] < long && (110..=111).contains(&tries[2].as_millis()), "{tries:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_freed_is_tried_for_by_who_comes_next_and_not_by_all() {
    const CALLS: usize = 300;
    let lines = Lines::default();
    let until = Instant::now() + Duration::from_secs(30);
    let (room, tries, order) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
    let calls = (0..CALLS).map(|number| {
        let place = lines.join(&tenant(), &call(None));
        let attempt = || {
            tries.set(tries.get() + 1);
            let is_free = room.get() > 0;
            room.set(room.get() - usize::from(is_free));
            ready(if is_free { Ok(()) } else { Err(refused_by(&tenant())) })
        };
        let order = &order;
        async move {
            place.wait(until, attempt).await.expect("it is served");
            order.borrow_mut().push(number);
        }
    });
    let settles = async {
        let mut settles = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..CALLS {
            settles.tick().await;
            room.set(room.get() + 1);
            lines.freed(&tenant().tenant);
        }
    };
    tokio::join!(futures_util::future::join_all(calls), settles);
    assert!(order.into_inner().is_sorted());
    assert!(tries.get() <= 2 * CALLS + 1, "{}", tries.get());
}
