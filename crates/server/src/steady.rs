//! A future whose parts wake one another, in one task.
//!
//! What wakes a task while it runs makes the runtime put it at the end of its queue and wake another
//! thread to look there. A connection does so for each call that it passes on, for the two that are
//! driven in its task talk to each other. Here such a wake means: look once more, at once.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

#[cfg(test)]
mod tests;

/// So often in a row it is looked at before others have their turn.
const TURNS_MOST: u32 = 8;

const RESTING: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == RESTING {
            self.task.wake();
        }
    }
}

/// Runs a future that may wake itself while it is polled.
pub(crate) async fn steady<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    poll_fn(|outer| {
        bell.task.register(outer.waker());
        for _ in 0..TURNS_MOST {
            bell.state.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            let rests =
                bell.state.compare_exchange(POLLED, RESTING, Ordering::SeqCst, Ordering::SeqCst);
            if rests.is_ok() {
                return Poll::Pending;
            }
        }
        outer.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
