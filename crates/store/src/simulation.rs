//! Histories from a seed on SQLite and on the model at once, with crashes, lost and doubled replies.
//!
//! Commands go in several at a time, as they do under load; some commits fail before they are
//! durable, some after, and the caller, who can't tell which, asks again under the same key. At the
//! end both stores must have given the same answers and hold the same balances, and every balance
//! must be what its entries add up to.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ::budget::{
    Budgets, CommandResult, Defaults, EscrowError, Memory, Outcome, Store, StoreError, Upkeep,
    conformance::{self, Hands, History, Step, apply},
};
use futures_util::future::join_all;

use crate::{Moment, OpenError, Options, Sqlite};

/// What a history was made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Commands answered.
    pub commands: u64,
    /// Times that the process died and came back.
    pub restarts: u64,
    /// Commits that failed, before or after they were durable.
    pub faults: u64,
}

/// Counts down to the next fault.
struct Faults {
    armed: AtomicBool,
    next: AtomicU64,
    struck: AtomicU64,
    seed: u64,
}

impl Faults {
    fn strikes(&self, moment: Moment) -> bool {
        let of_commit = matches!(moment, Moment::BeforeCommit | Moment::AfterCommit);
        if !of_commit || !self.armed.load(Ordering::SeqCst) {
            return false;
        }
        let left = self.next.fetch_sub(1, Ordering::SeqCst);
        if left > 1 {
            return false;
        }
        let struck = self.struck.fetch_add(1, Ordering::SeqCst);
        let mut history =
            History::new(self.seed ^ struck ^ u64::from(moment == Moment::AfterCommit));
        self.next.store(3 + history.number(40), Ordering::SeqCst);
        true
    }
}

/// Runs a history of `steps` steps in a fresh file; the error says which step went wrong and how.
pub async fn run(seed: u64, steps: usize, file: &Path) -> Result<Report, String> {
    let start = "2026-10-15T12:00:00Z".parse().map_err(|error| format!("{error}"))?;
    let hands = Hands::at(start);
    let faults = Arc::new(Faults {
        armed: AtomicBool::new(false),
        next: AtomicU64::new(20),
        struck: AtomicU64::new(0),
        seed,
    });
    let clock = hands.clone();
    let model = Memory::new(Defaults::default(), Arc::new(move || clock.now()));
    let open = || -> Result<Sqlite, OpenError> {
        let (clock, faults) = (hands.clone(), faults.clone());
        let options = Options {
            clock: Arc::new(move || clock.now()),
            fault: Some(Arc::new(move |moment| faults.strikes(moment))),
            batch_max: 3,
            // Often enough that crashes fall into the work of indexing.
            index_at_once: 20,
            ..Options::default()
        };
        Sqlite::open(file, options)
    };
    let failed = |error: OpenError| format!("seed {seed}: {error}");
    let mut sqlite = open().map_err(failed)?;
    let mut history = History::new(seed);
    let mut report = Report::default();
    let mut step = 0;
    while step < steps {
        let mut together = Vec::new();
        for _ in 0..=history.number(5) {
            let next = history.step(&hands);
            let alone = matches!(next, Step::Pass(_) | Step::Put(_) | Step::Sweep);
            if alone && !together.is_empty() {
                continue;
            }
            together.push(next);
            if alone {
                break;
            }
        }
        if let [Step::Pass(time)] = together.as_slice() {
            hands.pass(*time);
        }
        // The reply is delivered twice, or the caller asks twice.
        let doubled = history.number(10) == 0;
        for _ in 0..=u8::from(doubled) {
            let sweeps = matches!(together.as_slice(), [Step::Sweep]);
            faults.armed.store(together.len() == 1 && !sweeps, Ordering::SeqCst);
            let place = format!("seed {seed}, step {step}");
            compare(&place, &together, &model, &sqlite, &hands).await?;
        }
        report.commands += together.len() as u64;
        step += together.len();
        if history.number(40) == 0 {
            drop(sqlite);
            sqlite = open().map_err(failed)?;
            report.restarts += 1;
        }
    }
    report.faults = faults.struck.load(Ordering::SeqCst);
    finish(seed, &model, &sqlite, &hands).await?;
    Ok(report)
}

/// Takes the steps on both stores and compares the answers. Several at once are answered by commits
/// that don't fail: which of them came first would otherwise be anybody's guess.
async fn compare(
    place: &str,
    together: &[Step],
    model: &Memory,
    sqlite: &Sqlite,
    hands: &Hands,
) -> Result<(), String> {
    let mut found = join_all(together.iter().map(|step| apply(sqlite, hands, step))).await;
    for (step, found) in together.iter().zip(&mut found) {
        let expected = apply(model, hands, step).await;
        // What has failed is asked again: if it had been committed it answers as before.
        let mut again = false;
        while matches!(found, Some(Err(EscrowError::Store(StoreError::Unavailable(_))))) {
            again = true;
            *found = apply(sqlite, hands, step).await;
        }
        let (left, right) = (facts(&expected, again), facts(found, again));
        if left != right {
            return Err(format!("{place}: {step:?}\n  model:  {left}\n  sqlite: {right}"));
        }
    }
    Ok(())
}

/// An answer as text; without the mark of a replay where the question was repeated.
fn facts(result: &Option<CommandResult>, again: bool) -> String {
    match result {
        Some(Ok(Outcome { reservation, .. })) if again => format!("{reservation:?}"),
        Some(Ok(outcome)) => format!("{:?} {}", outcome.reservation, outcome.replayed),
        other => format!("{other:?}"),
    }
}

async fn finish(seed: u64, model: &Memory, sqlite: &Sqlite, hands: &Hands) -> Result<(), String> {
    let unavailable = |error: StoreError| format!("seed {seed}: {error}");
    for store in [model as &dyn Store, sqlite] {
        let verified = Upkeep::verify(store).await.map_err(unavailable)?;
        if !verified.faults.is_empty() {
            return Err(format!("seed {seed}: the ledger has faults: {:?}", verified.faults));
        }
    }
    let tenant = conformance::tenant();
    let expected = Budgets::status(model, &tenant, hands.now()).await.map_err(unavailable)?;
    let found = Budgets::status(sqlite, &tenant, hands.now()).await.map_err(unavailable)?;
    let accounts = |lines: &[::budget::Line]| -> Vec<_> {
        lines.iter().map(|line| (line.budget.id, line.account.clone())).collect()
    };
    if accounts(&expected) != accounts(&found) {
        return Err(format!("seed {seed}: balances differ:\n{expected:?}\n{found:?}"));
    }
    Ok(())
}
