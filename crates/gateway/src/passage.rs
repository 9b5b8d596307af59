//! An answer that passes as it comes: neither metered nor kept, however long it is.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};

use crate::{pool::Answer, reply::BrokenStream};

/// A vendor's answer on its way to the caller.
pub struct Passage {
    /// None once it is over.
    incoming: Option<Answer>,
    idle: Idle,
    /// The call's place among those in flight.
    _place: Option<OwnedSemaphorePermit>,
}

impl Passage {
    /// An answer in which nothing may come for so long.
    pub(crate) fn new(
        incoming: Answer,
        idle_timeout: Duration,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { incoming: Some(incoming), idle: Idle::new(idle_timeout), _place: place }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenStream>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = match Pin::new(incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.heard();
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(BrokenStream::Upstream(error))),
            Poll::Ready(None) => None,
            Poll::Pending if self.idle.is_over(context) => Some(Err(BrokenStream::Idle)),
            Poll::Pending => return Poll::Pending,
        };
        self.incoming = None;
        Poll::Ready(frame)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Tells when nothing has come for too long.
pub(crate) struct Idle {
    limit: Duration,
    heard_at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Idle {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, heard_at: Instant::now(), timer: Box::pin(sleep(limit)) }
    }

    /// Something has come.
    pub(crate) fn heard(&mut self) {
        self.heard_at = Instant::now();
    }

    /// Whether it is too long now; if not, the task is woken when it may be.
    pub(crate) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(context).is_ready() {
            // It is set anew when it fires, for pieces come far more often.
            let until = self.heard_at + self.limit;
            if Instant::now() >= until {
                return true;
            }
            self.timer.as_mut().reset(until);
        }
        false
    }
}
