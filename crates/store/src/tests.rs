//! The conformance suite on each store, and random histories on two at once.

use std::sync::Arc;

use ::budget::{
    Defaults, Memory, Store,
    conformance::{self, Hands},
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
    conformance::run(|hands| async move { Arc::new(model(&hands)) as Arc<dyn Store> }).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    sqlite_conforms_with(|options| options).await;
}

#[tokio::test]
async fn sqlite_conforms_while_it_indexes_and_when_all_is_indexed() {
    for index_at_once in [1, 4] {
        sqlite_conforms_with(|options| Options { index_at_once, ..options }).await;
    }
}

async fn sqlite_conforms_with(change: impl Fn(Options) -> Options) {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    conformance::run(|hands| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.path().join(format!("{number}.db"));
        let options = change(options(&hands));
        async move { Arc::new(Sqlite::open(&path, options).unwrap()) as Arc<dyn Store> }
    })
    .await;
}

#[tokio::test]
async fn random_histories_agree_with_the_model() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..40 {
        let file = folder.path().join(format!("{seed}.db"));
        let report = crate::simulation::run(seed, 300, &file).await.unwrap();
        assert!(report.faults > 0 && report.commands > 0, "{report:?}");
    }
}
