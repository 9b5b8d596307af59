//! What the caller gets: a whole answer, or a vendor's stream that is metered as it passes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, timeout};

use crate::{
    ending::Ending,
    settle::Tally,
    usage::{StreamReader, UsageChunkFilter},
};

/// What a call has cost.
pub(crate) const COST: HeaderName = HeaderName::from_static("x-bursar-cost-usd");

/// Why a stream broke off.
#[derive(Debug, thiserror::Error)]
pub enum BrokenStream {
    /// The vendor's connection failed.
    #[error("the upstream's answer broke off")]
    Upstream(#[source] hyper::Error),
    /// The vendor said nothing for too long.
    #[error("the upstream has sent nothing for too long")]
    Idle,
}

/// The body of an answer.
pub enum Reply {
    /// All of it.
    Whole(Full<Bytes>),
    /// What the vendor sends, as it sends it.
    Stream(Box<Stream>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BrokenStream;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenStream>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Stream(stream) => stream.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A vendor's stream.
pub struct Stream {
    /// None once it has ended, or its rest is read elsewhere.
    flow: Option<Flow>,
    /// Takes out the usage that the caller has not asked for.
    filter: Option<UsageChunkFilter>,
    /// Fires when nothing may have come for too long.
    idle: Pin<Box<Sleep>>,
    heard_at: Instant,
    wants_trailer: bool,
}

/// What is read, and what it is read for.
struct Flow {
    incoming: Incoming,
    reader: StreamReader,
    tally: Tally,
    idle_timeout: Duration,
}

impl Stream {
    pub(crate) fn new(
        incoming: Incoming,
        reader: StreamReader,
        filter: Option<UsageChunkFilter>,
        tally: Tally,
        wants_trailer: bool,
    ) -> Self {
        let idle_timeout = tally.endpoint().config.idle_timeout;
        Self {
            flow: Some(Flow { incoming, reader, tally, idle_timeout }),
            filter,
            idle: Box::pin(tokio::time::sleep(idle_timeout)),
            heard_at: Instant::now(),
            wants_trailer,
        }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenStream>>> {
        loop {
            let Some(flow) = &mut self.flow else { return Poll::Ready(None) };
            let frame = match Pin::new(&mut flow.incoming).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending if self.idle.as_mut().poll(context).is_pending() => {
                    return Poll::Pending;
                }
                Poll::Pending => {
                    // It is set anew when it fires, for pieces come far more often.
                    let until = self.heard_at + flow.idle_timeout;
                    if Instant::now() < until {
                        self.idle.as_mut().reset(until);
                        continue;
                    }
                    self.end(Ending::Cut);
                    return Poll::Ready(Some(Err(BrokenStream::Idle)));
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    self.heard_at = Instant::now();
                    let Ok(data) = frame.into_data() else { continue };
                    flow.reader.feed(&data);
                    let data = match &mut self.filter {
                        Some(filter) => {
                            let mut kept = Vec::with_capacity(data.len());
                            filter.feed(&data, &mut kept);
                            kept.into()
                        }
                        None => data,
                    };
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => {
                    self.end(Ending::Cut);
                    return Poll::Ready(Some(Err(BrokenStream::Upstream(error))));
                }
                None => {
                    if let Some(mut filter) = self.filter.take() {
                        let mut rest = Vec::new();
                        filter.end(&mut rest);
                        if !rest.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                        }
                    }
                    let trailer = self.end(Ending::Whole);
                    return Poll::Ready(trailer.map(|trailer| Ok(Frame::trailers(trailer))));
                }
            }
        }
    }

    /// Settles; the cost, for callers that take it as a trailer.
    fn end(&mut self, ending: Ending) -> Option<HeaderMap> {
        let Flow { mut reader, tally, .. } = self.flow.take()?;
        reader.end();
        let cost = tally.end(ending, reader.used(), reader.partial());
        let value = HeaderValue::from_str(&cost?.to_string()).ok()?;
        self.wants_trailer.then(|| HeaderMap::from_iter([(COST, value)]))
    }
}

impl Drop for Stream {
    /// The caller has hung up: the rest is read for what it costs.
    fn drop(&mut self) {
        if let (Some(flow), Ok(runtime)) = (self.flow.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(flow.drain());
        }
    }
}

impl Flow {
    async fn drain(mut self) {
        let until = Instant::now() + self.tally.drain();
        let mut ending = Ending::Cut;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match timeout(left.min(self.idle_timeout), self.incoming.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.reader.feed(&data);
                    }
                }
                Ok(None) => {
                    ending = Ending::Whole;
                    break;
                }
                Ok(Some(Err(_))) | Err(_) => break,
            }
        }
        self.reader.end();
        self.tally.end(ending, self.reader.used(), self.reader.partial());
    }
}
