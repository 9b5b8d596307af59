//! When a task is woken, and when not.

use std::sync::atomic::AtomicU32;

use super::*;

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ready after so many looks, each of which wakes it; how often it was polled from outside, and
/// its task woken.
fn polls(looks: u32) -> (u32, u32) {
    let mut left = looks;
    let mut future = Box::pin(steady(poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })));
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut polls = 1;
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        polls += 1;
    }
    (polls, woken.0.load(Ordering::SeqCst))
}

#[test]
fn what_wakes_itself_is_looked_at_again_without_its_task_and_lets_others_have_a_turn() {
    assert_eq!(polls(0), (1, 0));
    assert_eq!(polls(7), (1, 0));
    assert_eq!(polls(8), (2, 1));
    assert_eq!(polls(20), (3, 2));
}

#[test]
fn a_wake_from_elsewhere_wakes_the_task_once() {
    let (send, mut receive) = tokio::sync::mpsc::channel::<u8>(4);
    let mut future = Box::pin(steady(async move { receive.recv().await }));
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    std::thread::scope(|scope| {
        scope.spawn(|| send.try_send(7).unwrap());
    });
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(Some(7)));
}
