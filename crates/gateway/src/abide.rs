//! Work that goes on when nobody waits for it any more.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};
use tokio_util::task::TaskTracker;

/// How often an answer that nobody waits for looks whether the gateway ends.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How much longer it is read then.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Tells work whether somebody still waits for it.
pub(crate) struct Gone {
    /// Nothing is ever sent: it ends when the other end is dropped.
    ends: oneshot::Receiver<Infallible>,
    /// It has ended, and must not be asked again.
    has_ended: bool,
}

impl Gone {
    /// Whether nobody waits any more.
    pub(crate) fn is_gone(&mut self) -> bool {
        let waits = Err(oneshot::error::TryRecvError::Empty);
        self.has_ended = self.has_ended || self.ends.try_recv() != waits;
        self.has_ended
    }

    /// Until nobody waits any more.
    pub(crate) async fn wait(&mut self) {
        if !self.has_ended {
            let _ = (&mut self.ends).await;
            self.has_ended = true;
        }
    }
}

/// Until the gateway has ended for a while: what was seen of an answer by then is charged.
pub(crate) async fn last_words(tasks: &TaskTracker) {
    while !tasks.is_closed() {
        sleep(LOOK_EVERY).await;
    }
    sleep(LAST_WORDS).await;
}

/// Work in the task of whoever waits for it; when he leaves it goes on in a task of its own. It
/// settles what it holds, so that it must not end with its caller's connection.
pub(crate) struct Abiding<F: Future + Send + 'static>
where
    F::Output: Send,
{
    /// None once it has ended, or while it is polled: work that has panicked is not taken up again.
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
    _waits: oneshot::Sender<Infallible>,
}

impl<F: Future + Send + 'static> Abiding<F>
where
    F::Output: Send,
{
    /// Work that is told when nobody waits for it.
    pub(crate) fn new(tasks: TaskTracker, work: impl FnOnce(Gone) -> F) -> Self {
        let (waits, ends) = oneshot::channel();
        let gone = Gone { ends, has_ended: false };
        Self { work: Some(Box::pin(work(gone))), tasks, _waits: waits }
    }
}

impl<F: Future + Send + 'static> Future for Abiding<F>
where
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let result = work.as_mut().poll(context);
        if result.is_pending() {
            self.work = Some(work);
        }
        result
    }
}

impl<F: Future + Send + 'static> Drop for Abiding<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        let (Some(work), Ok(runtime)) = (self.work.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        // What comes of it is dropped, a stream drains itself then.
        runtime.spawn(self.tasks.track_future(async move { drop(work.await) }));
    }
}
