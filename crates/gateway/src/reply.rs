//! What the caller gets: a whole answer, a vendor's stream that is metered as it passes, or one
//! that costs nothing.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    abide::last_words,
    ending::Ending,
    passage::{Idle, Passage},
    pool::Answer,
    settle::Tally,
    usage::{StreamReader, UsageChunkFilter},
};

/// Bytes of a stream that go on as one piece, at most about.
const GATHERED_MOST: usize = 16 * 1024;

/// What a call has cost.
pub(crate) const COST: HeaderName = HeaderName::from_static("x-bursar-cost-usd");
/// Of a call that has cost nothing.
pub(crate) const FREE: HeaderValue = HeaderValue::from_static("0");

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
    /// What the vendor sends, as it sends it, metered.
    Stream(Box<Stream>),
    /// The same where nothing is to be metered.
    Passage(Box<Passage>),
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
            Self::Passage(passage) => passage.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(_) => false,
            Self::Passage(passage) => passage.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
            Self::Passage(passage) => passage.size_hint(),
        }
    }
}

/// A vendor's stream.
pub struct Stream {
    /// None once it has ended, or its rest is read elsewhere.
    flow: Option<Flow>,
    /// How it has ended, while what came last is still on its way to the caller.
    over: Option<Option<BrokenStream>>,
    /// Takes out the usage that the caller has not asked for.
    filter: Option<UsageChunkFilter>,
    idle: Idle,
    wants_trailer: bool,
}

/// What is read, and what it is read for.
struct Flow {
    incoming: Answer,
    reader: StreamReader,
    tally: Tally,
    idle_timeout: Duration,
}

impl Stream {
    pub(crate) fn new(
        incoming: Answer,
        reader: StreamReader,
        filter: Option<UsageChunkFilter>,
        tally: Tally,
        wants_trailer: bool,
    ) -> Self {
        let idle_timeout = tally.endpoint().config.idle_timeout;
        Self {
            flow: Some(Flow { incoming, reader, tally, idle_timeout }),
            over: None,
            filter,
            idle: Idle::new(idle_timeout),
            wants_trailer,
        }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenStream>>> {
        loop {
            let Some(flow) = &mut self.flow else { return Poll::Ready(None) };
            if let Some(broken) = self.over.take() {
                return Poll::Ready(self.finish(broken));
            }
            let mut pieces = Pieces::default();
            self.over = flow.gather(context, &mut pieces);
            if !pieces.is_empty() {
                self.idle.heard();
                let data = flow.meter(pieces, self.filter.as_mut());
                if !data.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                continue;
            }
            if self.over.is_some() {
                continue;
            }
            if !self.idle.is_over(context) {
                return Poll::Pending;
            }
            self.over = Some(Some(BrokenStream::Idle));
        }
    }

    /// What is still to be told at the end: bytes that were held back, why it broke off, the cost.
    fn finish(
        &mut self,
        broken: Option<BrokenStream>,
    ) -> Option<Result<Frame<Bytes>, BrokenStream>> {
        if let Some(broken) = broken {
            self.end(Ending::Cut);
            return Some(Err(broken));
        }
        if let Some(mut filter) = self.filter.take() {
            let mut rest = Vec::new();
            filter.end(&mut rest);
            if !rest.is_empty() {
                self.over = Some(None);
                return Some(Ok(Frame::data(rest.into())));
            }
        }
        self.end(Ending::Whole).map(|trailer| Ok(Frame::trailers(trailer)))
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

/// Bytes that follow each other; a single piece is not copied.
#[derive(Default)]
pub(crate) struct Pieces {
    first: Bytes,
    whole: BytesMut,
}

impl Pieces {
    pub(crate) fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.first = data;
            return;
        }
        if self.whole.is_empty() {
            self.whole.reserve(2 * (self.first.len() + data.len()));
            self.whole.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.whole.extend_from_slice(&data);
    }

    pub(crate) fn length(&self) -> usize {
        self.first.len() + self.whole.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length() == 0
    }

    pub(crate) fn whole(self) -> Bytes {
        if self.whole.is_empty() { self.first } else { self.whole.freeze() }
    }
}

impl Drop for Stream {
    /// The caller has hung up: the rest, if there is any, is read for what it costs.
    fn drop(&mut self) {
        if let Some(broken) = self.over.take() {
            self.end(if broken.is_some() { Ending::Cut } else { Ending::Whole });
        } else if let Some(flow) = self.flow.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let tasks = flow.tally.tasks();
            runtime.spawn(tasks.track_future(flow.drain()));
        }
    }
}

impl Flow {
    /// Takes what is here already, to pass it on as one piece: a write for each would cost more
    /// than all else. Nothing waits for what comes later. Tells how the stream is over, if it is.
    fn gather(
        &mut self,
        context: &mut Context<'_>,
        pieces: &mut Pieces,
    ) -> Option<Option<BrokenStream>> {
        while pieces.length() < GATHERED_MOST {
            match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        pieces.push(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Some(Some(BrokenStream::Upstream(error))),
                Poll::Ready(None) => return Some(None),
                Poll::Pending => return None,
            }
        }
        None
    }

    /// Reads what was used, and takes out what the caller has not asked for.
    fn meter(&mut self, pieces: Pieces, filter: Option<&mut UsageChunkFilter>) -> Bytes {
        let data = pieces.whole();
        self.reader.feed(&data);
        let Some(filter) = filter else { return data };
        let mut kept = Vec::with_capacity(data.len());
        filter.feed(&data, &mut kept);
        kept.into()
    }

    async fn drain(mut self) {
        let until = Instant::now() + self.tally.drain();
        let tasks = self.tally.tasks();
        let (incoming, reader) = (&mut self.incoming, &mut self.reader);
        let read = async {
            loop {
                match timeout(self.idle_timeout, incoming.frame()).await {
                    Ok(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            reader.feed(&data);
                        }
                    }
                    Ok(None) => return Ending::Whole,
                    Ok(Some(Err(_))) | Err(_) => return Ending::Cut,
                }
            }
        };
        let ending = tokio::select! {
            ending = read => ending,
            () = sleep_until(until) => Ending::Cut,
            () = last_words(&tasks) => Ending::Cut,
        };
        self.reader.end();
        self.tally.end(ending, self.reader.used(), self.reader.partial());
    }
}
