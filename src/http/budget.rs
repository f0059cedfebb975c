//! Limits the memory that the bodies of all requests take together.

use axum::body::{Body, Bytes, HttpBody};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Bytes that each request may hold.
const EACH: usize = 64 << 10;
/// Bytes that all requests together may hold beyond that: two of the largest forms.
const TOGETHER: usize = 64 << 20;
/// A request of this size frees so much memory when it ends that returning it to the system is worthwhile.
const LARGE: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct Budget {
    used: AtomicUsize,
    /// Set when a large request has ended since the last check.
    large: AtomicBool,
}

/// The memory that one request holds until its response is sent.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    held: AtomicUsize,
    /// Its body is streamed to disk; only the part in memory is charged.
    streams: AtomicBool,
    refused: AtomicBool,
}

impl Budget {
    pub fn open(self: &Arc<Budget>) -> Arc<Charge> {
        let (held, streams, refused) = Default::default();
        Arc::new(Charge { budget: self.clone(), held, streams, refused })
    }

    /// Whether large requests have ended and none is active. Their memory is then free and will not be needed soon.
    pub fn has_left_much(&self) -> bool {
        self.used.load(Ordering::Relaxed) == 0 && self.large.swap(false, Ordering::Relaxed)
    }
}

impl Charge {
    /// Charges bytes that stay in memory. Returns false if the limit is reached.
    pub fn keep(&self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let more = (before + bytes).saturating_sub(EACH) - before.saturating_sub(EACH);
        let fits = more == 0 || self.budget.used.fetch_add(more, Ordering::Relaxed) + more <= TOGETHER;
        if !fits {
            self.refused.store(true, Ordering::Relaxed);
        }
        fits
    }

    /// From now on, incoming bytes are not charged unless `keep` is called.
    pub fn stream(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }

    pub fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether its memory was refused.
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let held = *self.held.get_mut();
        self.budget.used.fetch_sub(held.saturating_sub(EACH), Ordering::Relaxed);
        if held >= LARGE {
            self.budget.large.store(true, Ordering::Relaxed);
        }
    }
}

/// A body whose bytes are charged as they are read.
pub struct Charged {
    pub body: Body,
    pub charge: Arc<Charge>,
}

impl HttpBody for Charged {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into_inner()))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match self.charge.streams() || self.charge.keep(bytes) {
            true => Poll::Ready(Some(Ok(frame))),
            false => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::OutOfMemory).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_are_free_and_large_ones_share_what_there_is() {
        let budget = Arc::new(Budget::default());
        let small: Vec<_> = (0..1_000).map(|_| budget.open()).collect();
        assert!(small.iter().all(|it| it.keep(EACH)));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        let (one, other, late) = (budget.open(), budget.open(), budget.open());
        assert!(one.keep(TOGETHER / 2) && other.keep(TOGETHER / 2));
        assert!(!late.keep(TOGETHER / 2) && late.is_refused() && !one.is_refused());
        drop((one, late));
        assert!(!budget.has_left_much(), "one is still there");
        drop(other);
        assert!(budget.has_left_much() && !budget.has_left_much());
        assert!(budget.open().keep(TOGETHER), "everything was given back");
    }
}
