//! Delivers what is in the spool, until a delivery fails; then again after a while.

use std::sync::Arc;

use tokio::task::{JoinSet, spawn_blocking};

use super::{Inner, Phase, pause};
use crate::{
    record::Record,
    spool::{Claim, Spool},
};

/// Lines delivered at the same time; while the service is away, one finds out.
const CHUNK: usize = 16;

pub(super) async fn run(inner: Arc<Inner>, spool: Spool) {
    let mut phase = inner.phase.subscribe();
    let mut claims = Vec::new();
    loop {
        claims.extend(spool.claim().await);
        while let Some(claim) = claims.pop() {
            match deliver(&inner, claim).await {
                Ok(claim) => spool.finish(claim).await,
                Err(claim) => {
                    claims.extend(claim);
                    break;
                }
            }
            inner.show_spool();
        }
        inner.show_spool();
        let closing = phase.wait_for(|phase| *phase > Phase::Open);
        if tokio::time::timeout(pause(&inner.config), closing).await.is_ok() {
            return;
        }
    }
}

/// Delivers a file to its end. An error has the file where there is something left to deliver.
async fn deliver(inner: &Arc<Inner>, mut claim: Claim) -> Result<Claim, Option<Claim>> {
    loop {
        if *inner.phase.borrow() > Phase::Open {
            return Err(Some(claim));
        }
        let most = if inner.is_down() { 1 } else { CHUNK };
        let read = spawn_blocking(move || {
            let read = claim.next(most);
            (claim, read)
        });
        let Ok((back, read)) = read.await else { return Err(None) };
        claim = back;
        let (lines, end) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!("failed to read the spool: {error}");
                return Err(Some(claim));
            }
        };
        if lines.is_empty() {
            return Ok(claim);
        }
        let mut tries = JoinSet::new();
        for line in lines {
            let inner = inner.clone();
            tries.spawn(async move { one(&inner, line).await });
        }
        if !tries.join_all().await.into_iter().all(|is_done| is_done) {
            return Err(Some(claim));
        }
        claim.done(end);
    }
}

/// Whether the line is done with.
async fn one(inner: &Inner, line: String) -> bool {
    if line.is_empty() {
        return true;
    }
    match serde_json::from_str::<Record>(&line) {
        Ok(record) => inner.deliver(&record).await.is_ok(),
        Err(_) => {
            tracing::error!("a line of the spool is no record of usage");
            inner.counters.undelivered.increment(1);
            if let Some(spool) = &inner.spool {
                spool.reject(line);
            }
            true
        }
    }
}
