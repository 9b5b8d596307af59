//! Tells the ledger how calls have ended, beside them: one task for all, for a task of each call's
//! own costs more than what it does.

#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, pin::Pin};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, error::SendError},
};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Does what it is given, all at once.
pub(crate) struct Clerk(mpsc::UnboundedSender<Work>);

impl Clerk {
    /// One who works until nobody has anything more for him. What he is given is bounded by the
    /// calls that are admitted.
    pub(crate) fn start(runtime: &Handle) -> Self {
        let (give, given) = mpsc::unbounded_channel();
        runtime.spawn(work(given));
        Self(give)
    }

    /// Has this done; false where the runtime has ended.
    pub(crate) fn give(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let Err(SendError(work)) = self.0.send(Box::pin(work)) else { return true };
        // He is gone; a runtime that ends with him takes nothing more, and says so at once.
        let Ok(runtime) = Handle::try_current() else { return false };
        runtime.spawn(work).now_or_never().is_none_or(|done| done.is_ok())
    }
}

async fn work(mut given: mpsc::UnboundedReceiver<Work>) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            work = given.recv() => match work {
                Some(work) => open.push(AssertUnwindSafe(work).catch_unwind()),
                None => break,
            },
            // What has panicked has said so; it ends no other's work.
            Some(_) = open.next() => {}
        }
    }
    while open.next().await.is_some() {}
}
