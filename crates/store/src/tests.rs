//! The conformance suite on each store, and random histories on two at once.

use std::sync::Arc;

use ::budget::{
    Defaults, Memory, Store,
    conformance::{self, Hands, History, Step, apply},
};

use crate::{Options, Sqlite};

fn model(hands: &Hands) -> Memory {
    let hands = hands.clone();
    Memory::new(Defaults::default(), Arc::new(move || hands.now()))
}

fn options(hands: &Hands) -> Options {
    let hands = hands.clone();
    Options { clock: Arc::new(move || hands.now()), ..Options::default() }
}

#[tokio::test]
async fn the_model_conforms() {
    conformance::run(|hands| async move { Arc::new(model(&hands)) as Arc<dyn Store> })
        .await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    conformance::run(|hands| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.path().join(format!("{number}.db"));
        async move { Arc::new(Sqlite::open(&path, options(&hands)).unwrap()) as Arc<dyn Store> }
    })
    .await;
}

async fn agree(seed: u64, steps: usize) {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::at("2026-10-15T12:00:00Z".parse().unwrap());
    let model = model(&hands);
    let path = folder.path().join("history.db");
    let mut sqlite = Sqlite::open(&path, options(&hands)).unwrap();
    let mut history = History::new(seed);
    for number in 0..steps {
        let step = history.step(&hands);
        if let Step::Pass(time) = &step {
            hands.pass(*time);
        }
        let expected = apply(&model, &hands, &step).await;
        let found = apply(&sqlite, &hands, &step).await;
        let text = |result| format!("{result:?}");
        assert_eq!(text(&expected), text(&found), "seed {seed}, step {number}: {step:?}");
        if history.number(40) == 0 {
            // The process dies and comes back.
            drop(sqlite);
            sqlite = Sqlite::open(&path, options(&hands)).unwrap();
        }
    }
    for store in [&model as &dyn Store, &sqlite] {
        let verified = ::budget::Upkeep::verify(store).await.unwrap();
        assert_eq!(verified.faults, Vec::<String>::new(), "seed {seed}");
    }
    let tenant = conformance::tenant();
    let lines = |lines: Vec<::budget::Line>| {
        lines.into_iter().map(|line| (line.budget.id, line.account)).collect::<Vec<_>>()
    };
    let expected = ::budget::Budgets::status(&model, &tenant, hands.now()).await.unwrap();
    let found = ::budget::Budgets::status(&sqlite, &tenant, hands.now()).await.unwrap();
    assert_eq!(lines(expected), lines(found), "seed {seed}");
}

#[tokio::test]
async fn random_histories_agree_with_the_model() {
    for seed in 0..40 {
        agree(seed, 300).await;
    }
}
