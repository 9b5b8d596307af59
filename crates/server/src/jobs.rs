//! What goes on beside requests: time-outs, upkeep, new prices. A job that fails is logged and
//! comes again; it never ends before the service does.

use std::{panic::AssertUnwindSafe, time::Duration};

use budget::{EscrowError, Page, Quote, Reservation, ReservationFilter, Settle, State, StoreError};
use futures_util::FutureExt;
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::Offset,
};
use money::{Money, PriceBook, PriceError, Rounding};
use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

use crate::{cloud_budget, clouds, metrics::Job, service::Shared};

const SWEEP_EVERY: Duration = Duration::from_secs(1);
const PRICES_EVERY: Duration = Duration::from_secs(1);
const MAINTAIN_EVERY: Duration = Duration::from_secs(10);
/// A look at the lake's version; it is read where that has changed.
const CLOUDS_EVERY: Duration = Duration::from_secs(5);
const TIDY_EVERY: Duration = Duration::from_secs(5);
const CLOUD_BUDGETS_EVERY: Duration = Duration::from_secs(5);
/// Unpriced calls that are read at a time.
const PAGE: usize = 500;

/// Starts them all. They end when `stopped` says so.
pub(crate) fn spawn(state: Shared, revision: u64, stopped: watch::Receiver<bool>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    let shared = state.clone();
    jobs.spawn(every(SWEEP_EVERY, stopped.clone(), move || sweep(shared.clone())));
    let shared = state.clone();
    jobs.spawn(every(MAINTAIN_EVERY, stopped.clone(), move || maintain(shared.clone())));
    let shared = state.clone();
    jobs.spawn(every(TIDY_EVERY, stopped.clone(), move || tidy(shared.clone())));
    let shared = state.clone();
    let watch = move || cloud_budget::watch(shared.clone());
    jobs.spawn(every(CLOUD_BUDGETS_EVERY, stopped.clone(), watch));
    let shared = state.clone();
    jobs.spawn(every(CLOUDS_EVERY, stopped.clone(), move || clouds::look(shared.clone())));
    jobs.spawn(watch_prices(state, revision, stopped));
    jobs
}

async fn every<F>(period: Duration, mut stopped: watch::Receiver<bool>, mut job: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = told(&mut stopped) => return,
            _ = ticks.tick() => {}
        }
        survive(job()).await;
    }
}

/// Runs one turn of a job; nothing when it panicked.
async fn survive<T>(turn: impl Future<Output = T>) -> Option<T> {
    let outcome = AssertUnwindSafe(turn).catch_unwind().await;
    outcome.inspect_err(|_| tracing::error!("a job panicked and will be repeated")).ok()
}

/// Returns once the service stops, or whoever would say so is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

pub(crate) fn failed(state: &Shared, job: Job, error: &dyn std::error::Error) {
    state.metrics.failed(job);
    let job = job.as_str();
    tracing::warn!(cause = error.source(), "job {job} failed and will be repeated: {error}");
}

async fn sweep(state: Shared) {
    match state.store.sweep(state.now()).await {
        Ok(0) => {}
        Ok(count) => tracing::debug!(count, "reservations expired or resolved"),
        Err(error) => failed(&state, Job::Sweep, &error),
    }
}

async fn maintain(state: Shared) {
    if let Err(error) = state.store.maintain(state.now()).await {
        failed(&state, Job::Maintain, &error);
    }
}

async fn tidy(state: Shared) {
    state.metrics.tidy();
    state.auth.tidy();
}

/// Reads imported prices; the revision that they are of, or an older one.
pub(crate) async fn load_prices(state: &Shared) -> Result<u64, StoreError> {
    let revision = state.store.prices_revision().await?;
    state.prices.reload(&*state.store).await?;
    Ok(revision)
}

async fn watch_prices(state: Shared, mut known: u64, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(PRICES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Prices may have come while no service ran, and others come into force at midnight.
    let mut looked_on = None;
    loop {
        tokio::select! {
            () = told(&mut stopped) => return,
            _ = ticks.tick() => {}
        }
        let today = day(state.now());
        match survive(refresh(&state, known, looked_on != Some(today))).await {
            Some(Ok(revision)) => (known, looked_on) = (revision, Some(today)),
            Some(Err(error)) => failed(&state, Job::Prices, &error),
            None => {}
        }
    }
}

async fn refresh(state: &Shared, known: u64, is_due: bool) -> Result<u64, EscrowError> {
    let revision = state.store.prices_revision().await?;
    if revision != known {
        load_prices(state).await?;
    }
    if revision != known || is_due {
        charge_unpriced(state).await?;
    }
    Ok(revision)
}

fn day(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

/// The charge of a call that was kept as unpriced: at the price of its day; where the model had none
/// before a later day, at that first one, once it is in force.
fn late_charge(
    book: &PriceBook,
    kept: &Reservation,
    actual: &Quote,
    now: Timestamp,
) -> Result<Money, PriceError> {
    let charge = |at| {
        let model = kept.call.model.as_str();
        book.charge(model, &actual.usage, actual.tier, at, Rounding::HalfEven)
    };
    match charge(kept.created_at) {
        Err(PriceError::NotYet { from, .. }) if from <= day(now) => charge(midnight(from)),
        result => result,
    }
}

/// The first instant of a UTC day.
fn midnight(day: Date) -> Timestamp {
    Offset::UTC.to_timestamp(day.to_datetime(Time::midnight())).unwrap_or(Timestamp::MAX)
}

/// Charges calls whose model had no price when they were tracked and has one now.
pub(crate) async fn charge_unpriced(state: &Shared) -> Result<(), EscrowError> {
    let shelf = state.prices.get();
    let mut filter = ReservationFilter {
        state: Some(State::Unpriced),
        page: Page { after: None, limit: PAGE },
        ..ReservationFilter::default()
    };
    let mut charged = 0_u64;
    loop {
        let calls = state.store.reservations(filter.clone()).await?;
        let Some(last) = calls.last() else { break };
        filter.page.after = Some((last.created_at, last.key));
        let is_last = calls.len() < PAGE;
        for reservation in calls {
            let Some(mut actual) = reservation.actual else { continue };
            let cost = late_charge(&shelf.book, &reservation, &actual, state.now());
            let Ok(cost) = cost else { continue };
            actual.amount = Some(cost);
            let settle = Settle { key: reservation.key, call: Some(reservation.call), actual };
            match state.settle(settle).await {
                Ok(_) => charged += 1,
                Err(EscrowError::Store(error)) => return Err(error.into()),
                // One call's fault must not keep the others from being charged.
                Err(error) => failed(state, Job::Prices, &error),
            }
        }
        if is_last {
            break;
        }
    }
    if charged > 0 {
        tracing::info!(charged, "calls without a price have one now and were charged");
    }
    Ok(())
}
