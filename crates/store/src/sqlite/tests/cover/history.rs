//! Whenever the power goes, every call that was made counts.

use std::path::Path;

use ::budget::{
    Budgets, Escrow, EscrowError, Key, Outcome, Release, Settle, Upkeep, conformance::History,
};
use focus::{Attribution, ModelName, Scope, TenantId};
use futures_util::{FutureExt, future::join_all};
use money::Money;

use super::{super::Sqlite, Machine, call, limit, nanos, now, quote_of, reserve};
use crate::Options;

/// What a history has spent, whether or not its machine remembers.
#[derive(Default)]
struct Spent {
    held: Vec<(Key, Attribution, Money)>,
    charged: Vec<(Attribution, Money)>,
    /// Calls that were made and whose holds may be lost.
    lost: Vec<(Attribution, Money)>,
}

impl Spent {
    fn in_scope(&self, scope: &Scope) -> Money {
        let held = self.held.iter().map(|(_, call, amount)| (call, amount));
        let others = self.charged.iter().chain(&self.lost).map(|(call, amount)| (call, amount));
        let inside = held.chain(others).filter(|(call, _)| scope.covers(call));
        nanos(inside.map(|(_, amount)| amount.nanos()).sum())
    }

    /// Every budget counts all that was spent, and no more than its limit.
    async fn expect_covered(&self, store: &Sqlite, place: &str) {
        for tenant in ["acme", "brite"] {
            let tenant = TenantId::parse(tenant).unwrap();
            for line in store.status(&tenant, now()).await.unwrap() {
                let counted = line.account.counted().unwrap();
                let spent = self.in_scope(&line.budget.scope);
                let what = format!("{place}, {}: {counted} of {spent}", line.budget.scope);
                assert!(spent <= counted, "{what}");
                assert!(counted <= line.budget.limit, "{what}");
            }
        }
        let faults = store.verify().await.unwrap().faults;
        assert_eq!(faults, Vec::<String>::new(), "{place}");
    }
}

/// Calls like those of a gateway, on a machine whose power goes again and again just before a sync.
async fn history(seed: u64, folder: &Path) -> usize {
    let mut machine = Machine::new(folder);
    let mut random = History::new(seed);
    let mut spent = Spent::default();
    let mut number = 0;
    let mut lost = 0;
    let percent = [1, 10, 100][usize::try_from(seed % 3).unwrap()];
    for round in 0..10 {
        let place = format!("seed {seed}, round {round}");
        let store = machine.open_with(|options| Options { cover_percent: percent, ..options });
        spent.expect_covered(&store, &place).await;
        if round == 0 {
            for (tenant, model, dollars) in
                [("acme", None, 2), ("acme", Some("m"), 1), ("brite", None, 3)]
            {
                let tenant = TenantId::parse(tenant).unwrap();
                let model = model.map(|model| ModelName::parse(model).unwrap());
                let scope = Scope { model, ..Scope::tenant(tenant) };
                limit(&store, scope, Money::from_dollars(dollars)).await;
            }
        }
        let mut next = |random: &mut History| {
            number += 1;
            let tenant = ["acme", "brite"][usize::try_from(random.number(2)).unwrap()];
            let model = ["m", "n"][usize::try_from(random.number(2)).unwrap()];
            let user = (random.number(2) == 0).then_some("ada");
            let amount = nanos(1_000_000 + i128::from(random.number(9_000_000)));
            reserve(number, &call(tenant, model, user), amount)
        };
        for _ in 0..random.number(20) {
            let many: Vec<_> = (0..=random.number(4)).map(|_| next(&mut random)).collect();
            let results = join_all(many.iter().map(|one| store.reserve(one.clone()))).await;
            for (one, result) in many.into_iter().zip(results) {
                if result.is_ok() {
                    spent.held.push((one.key, one.call, one.estimate.amount.unwrap()));
                }
            }
            while spent.held.len() > 5 {
                let at = usize::try_from(random.number(5)).unwrap();
                let (key, call, amount) = spent.held.swap_remove(at);
                if random.number(3) == 0 {
                    // Lost holds of the rounds before are not known any more.
                    let _ = store.release(Release { key }).await;
                } else {
                    let cost = nanos(amount.nanos() / 2);
                    let (actual, named) = (quote_of(cost), Some(call.clone()));
                    store.settle(Settle { key, call: named, actual }).await.unwrap();
                    spent.charged.push((call, cost));
                }
            }
        }
        while store.writer.is_at_work() {
            tokio::task::yield_now().await;
        }
        // One may be committed by whoever asks, the others share a commit.
        machine.gate.close();
        let first = next(&mut random);
        let others: Vec<_> = (0..random.number(5)).map(|_| next(&mut random)).collect();
        let mut asked: Vec<_> = std::iter::once(&first)
            .chain(&others)
            .map(|one| Box::pin(store.reserve(one.clone())))
            .collect();
        let mut made = vec![None; asked.len()];
        poll_all(&mut asked, &mut made);
        tokio::task::yield_now().await;
        machine.gate.wait();
        // Where the first was not committed by itself, they may all be in one commit.
        if made[0].is_some() && !others.is_empty() && random.number(3) > 0 {
            machine.gate.next();
            poll_all(&mut asked, &mut made);
        }
        for (one, made) in std::iter::once(first).chain(others).zip(made) {
            if made == Some(true) {
                lost += 1;
                spent.lost.push((one.call, one.estimate.amount.unwrap()));
            }
        }
        drop(asked);
        machine.cut();
        drop(store);
    }
    lost
}

/// Polls what is not answered; notes whether it was granted.
fn poll_all<F>(asked: &mut [std::pin::Pin<Box<F>>], made: &mut [Option<bool>])
where
    F: Future<Output = Result<Outcome, EscrowError>> + ?Sized,
{
    for (asked, made) in asked.iter_mut().zip(made) {
        if made.is_none() {
            *made = asked.as_mut().now_or_never().map(|result| result.is_ok());
        }
    }
}

#[tokio::test]
async fn whenever_the_power_goes_every_call_that_was_made_counts_and_no_limit_is_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let mut early = 0;
    for seed in 0..6 {
        let folder = folder.path().join(seed.to_string());
        std::fs::create_dir(&folder).unwrap();
        early += history(seed, &folder).await;
    }
    assert!(early > 30, "{early}");
}
