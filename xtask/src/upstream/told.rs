//! A body that comes in pieces, pauses, breaks off, or never ends.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::journal::Sent;

pub(super) enum Piece {
    Bytes(Bytes),
    Pause(Duration),
    /// The same bytes, for ever or so many times, each after a pause.
    Again {
        bytes: Bytes,
        pause: Duration,
        times: u64,
    },
    /// The connection ends here.
    Cut,
    /// Nothing more, and no end.
    Silence,
}

pub(super) struct Told {
    pieces: VecDeque<Piece>,
    sleep: Option<Pin<Box<Sleep>>>,
    sent: Option<Arc<Sent>>,
}

impl Told {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { pieces: VecDeque::from([Piece::Bytes(bytes)]), sleep: None, sent: None }
    }

    pub(super) fn new(pieces: Vec<Piece>, sent: Arc<Sent>) -> Self {
        Self { pieces: pieces.into(), sleep: None, sent: Some(sent) }
    }

    fn taken(&self, bytes: &Bytes) {
        if let Some(sent) = &self.sent {
            sent.more(bytes.len());
            if self.pieces.is_empty() {
                sent.finish();
            }
        }
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.sleep = None;
            }
            let Some(piece) = self.pieces.pop_front() else { return Poll::Ready(None) };
            let bytes = match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Again { bytes, pause, times } => {
                    if let Some(times) = times.checked_sub(1) {
                        self.pieces.push_front(Piece::Again { bytes: bytes.clone(), pause, times });
                        self.sleep =
                            (!pause.is_zero()).then(|| Box::pin(tokio::time::sleep(pause)));
                    } else {
                        continue;
                    }
                    bytes
                }
                Piece::Pause(pause) => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(pause)));
                    continue;
                }
                Piece::Cut => return Poll::Ready(Some(Err(io::Error::other("cut")))),
                Piece::Silence => {
                    self.pieces.push_front(Piece::Silence);
                    return Poll::Pending;
                }
            };
            self.taken(&bytes);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Known where one piece is all of it: the answer then has a `content-length`.
    fn size_hint(&self) -> SizeHint {
        match self.pieces.front() {
            Some(Piece::Bytes(bytes)) if self.pieces.len() == 1 => {
                SizeHint::with_exact(bytes.len() as u64)
            }
            _ => SizeHint::default(),
        }
    }
}
