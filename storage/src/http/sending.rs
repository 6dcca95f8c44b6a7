//! A payload on its way out, chunk by chunk, nothing copied, held back to the limit.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::meter::Meter;
use crate::pace::Turn;
use crate::payload::Payload;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of one request.
pub(super) struct Sending {
    payload: Payload,
    /// The chunk that is sent, and how much of it was.
    at: (usize, usize),
    left: u64,
    meter: Meter,
    turn: Turn,
    /// Bytes of the next piece that the limit let pass.
    paid: usize,
    /// Waits for the limit of the next so many bytes.
    paying: Option<(usize, Waiting)>,
    progress: Arc<Progress>,
}

/// Tells a slow sender from a stuck one.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Handed over so far.
    pub(super) chunks: AtomicU64,
    /// The next one waits for the limit.
    pub(super) held: AtomicBool,
}

impl Sending {
    /// When the limit lets the first piece pass: until then the service is not asked to wait for it.
    pub(super) async fn begin(payload: Payload, meter: Meter, progress: Arc<Progress>) -> Self {
        let (left, turn) = (payload.len(), Turn::of(payload.len()));
        let mut sending = Sending { payload, at: (0, 0), left, meter, turn, paid: 0, paying: None, progress };
        if let Some(slice) = sending.meter.slice() {
            sending.paid = sending.next(slice);
            sending.meter.sending(turn, sending.paid as u64).await;
        }
        sending
    }

    /// The length of the next piece, of at most `most` bytes.
    fn next(&self, most: usize) -> usize {
        let (number, from) = self.at;
        self.payload.chunks().get(number).map_or(0, |chunk| (chunk.len() - from).min(most))
    }

    /// The next piece, of at most `most` bytes.
    fn piece(&mut self, most: usize) -> Option<Bytes> {
        let (number, from) = self.at;
        let until = from + self.next(most);
        let chunk = self.payload.chunks().get(number)?;
        let piece = chunk.slice(from..until);
        self.at = if until == chunk.len() { (number + 1, 0) } else { (number, until) };
        self.left -= piece.len() as u64;
        self.progress.chunks.fetch_add(1, Ordering::Relaxed);
        Some(piece)
    }

    /// Begins to wait for the next piece.
    fn pay(&mut self, slice: usize) {
        self.turn.left = self.left;
        let (meter, turn, len) = (self.meter.clone(), self.turn, self.next(slice));
        self.paying = Some((len, Box::pin(async move { meter.sending(turn, len as u64).await })));
        self.progress.held.store(true, Ordering::Relaxed);
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some((len, paying)) = &mut self.paying {
            ready!(paying.as_mut().poll(context));
            self.paid = *len;
            self.paying = None;
            self.progress.held.store(false, Ordering::Relaxed);
        }
        match self.meter.slice() {
            _ if self.paid > 0 => {
                let paid = std::mem::take(&mut self.paid);
                Poll::Ready(self.piece(paid).map(|piece| Ok(Frame::data(piece))))
            }
            Some(slice) if self.left > 0 => {
                self.pay(slice);
                self.poll_frame(context)
            }
            _ => Poll::Ready(self.piece(usize::MAX).map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
