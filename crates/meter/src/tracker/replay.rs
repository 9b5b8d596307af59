//! Delivers what is in the spool, until the service is away; then again after a while. A line that
//! can't be delivered holds none up: it is left, and written behind what comes.

use std::{collections::VecDeque, sync::Arc};

use tokio::task::{JoinSet, spawn_blocking};

use super::{Inner, Phase, pause};
use crate::{
    client::RemoteError,
    record::Record,
    remote::Delivered,
    spool::{Claim, Line, Spool},
};

/// Lines delivered at the same time; while the service is away, one finds out.
const CHUNK: usize = 16;
/// So many failures in a row are not about the lines.
const FAILURES_MOST: usize = 16;

/// What has become of a file.
enum End {
    /// Each line is done with, or left.
    Read(Claim),
    /// The disk does not give it.
    Unreadable(Claim),
    /// The service is away, or this process ends.
    Away(Claim),
    /// Its reader has panicked.
    Lost,
}

pub(super) async fn run(inner: Arc<Inner>, spool: Spool) {
    let mut phase = inner.phase.subscribe();
    let mut claims = VecDeque::new();
    let mut is_away = false;
    loop {
        // A claim is an open file: while those there are can't be delivered, no more are claimed.
        if !is_away {
            claims.extend(spool.claim().await);
        }
        is_away = round(&inner, &spool, &mut claims).await;
        inner.show_spool();
        let closing = phase.wait_for(|phase| *phase > Phase::Open);
        if tokio::time::timeout(pause(&inner.config), closing).await.is_ok() {
            return;
        }
    }
}

/// Delivers what is claimed. True when it has stopped before the end.
async fn round(inner: &Arc<Inner>, spool: &Spool, claims: &mut VecDeque<Claim>) -> bool {
    let mut failures = 0;
    for _ in 0..claims.len() {
        let Some(claim) = claims.pop_front() else { break };
        match deliver(inner, claim, &mut failures).await {
            End::Read(claim) => claims.extend(spool.finish(claim).await),
            End::Unreadable(claim) => claims.push_back(claim),
            End::Away(claim) => {
                claims.push_front(claim);
                return true;
            }
            End::Lost => {}
        }
        inner.show_spool();
    }
    false
}

/// Delivers a file to its end, unless the service is away.
async fn deliver(inner: &Arc<Inner>, mut claim: Claim, failures: &mut usize) -> End {
    loop {
        if *inner.phase.borrow() > Phase::Open {
            return End::Away(claim);
        }
        let most = if inner.is_down() { 1 } else { CHUNK };
        let read = spawn_blocking(move || {
            let read = claim.next(most);
            (claim, read)
        });
        let Ok((back, read)) = read.await else { return End::Lost };
        claim = back;
        let lines = match read {
            Ok(lines) => lines,
            Err(error) => {
                tracing::error!("failed to read the spool: {error}");
                return End::Unreadable(claim);
            }
        };
        let Some(end) = lines.last().map(|line| line.place.end) else { return End::Read(claim) };
        let is_away = chunk(inner, lines, &mut claim, failures).await;
        claim.done(end);
        if is_away || *failures >= FAILURES_MOST {
            return End::Away(claim);
        }
    }
}

/// Tries lines at the same time. True when the service is away.
async fn chunk(
    inner: &Arc<Inner>,
    lines: Vec<Line>,
    claim: &mut Claim,
    failures: &mut usize,
) -> bool {
    let mut tries = JoinSet::new();
    for Line { text, place } in lines {
        let inner = inner.clone();
        tries.spawn(async move { (place, one(&inner, text).await) });
    }
    let (mut failed, mut is_answered, mut is_away) = (0, false, false);
    for (place, answer) in tries.join_all().await {
        is_answered |= answer.is_ok();
        match answer {
            Ok(Delivered::Done) => {}
            Ok(Delivered::Early) => claim.leave(place),
            Err(error) => {
                is_away |= error.is_everybodys();
                failed += 1;
                claim.leave(place);
            }
        }
    }
    *failures = if is_answered { 0 } else { *failures + failed };
    is_away
}

/// What the service says to a line.
async fn one(inner: &Inner, line: String) -> Result<Delivered, RemoteError> {
    if line.is_empty() {
        return Ok(Delivered::Done);
    }
    let Ok(record) = serde_json::from_str::<Record>(&line) else {
        tracing::error!("a line of the spool is no record of usage");
        inner.counters.undelivered.increment(1);
        if let Some(spool) = &inner.spool {
            spool.reject(line);
        }
        return Ok(Delivered::Done);
    };
    let answer = inner.deliver(&record).await;
    match &answer {
        // It may be this record's own trouble: others are tried all the same.
        Err(error) if !error.is_everybodys() => {
            let id = record.request_id();
            tracing::warn!(%id, "failed to deliver usage, which is left for later: {error}");
        }
        answer => inner.note(answer),
    }
    answer
}

#[cfg(test)]
mod tests;
