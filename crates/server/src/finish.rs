//! Work that goes on when whoever waited for it has gone.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Runs like the future in it. Dropped before its end, it leaves the rest to the runtime: a caller
/// that hangs up while its call is charged must not keep the charge from being counted.
pub(crate) struct Finish<T: Send + 'static>(Option<Rest<T>>);

type Rest<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send> Finish<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Work that panics or is done is not put back: there is no rest of it.
        let Some(mut rest) = self.0.take() else { return Poll::Pending };
        let polled = rest.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(rest);
        }
        polled
    }
}

impl<T: Send> Drop for Finish<T> {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}
