//! Handles the rest of a request's body when its response is ready. A small rest is read and dropped, so that the
//! connection can be used again. Otherwise the response announces that the connection closes.

use axum::body::{Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// The most bytes read to keep the connection usable.
const LITTLE: usize = 256 << 10;
/// How long to wait for the rest. The client has already sent the head of its request.
const SOON: Duration = Duration::from_millis(500);

/// How much of a body has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reading {
    /// Not read yet.
    Untouched,
    /// Partly read.
    Begun,
    /// A read is waiting for more data.
    Waiting,
    /// Read to the end.
    Ended,
    /// It ended early, or is not a valid body.
    Broken,
}

#[derive(Debug)]
struct Progress(AtomicU8);

/// A body that returns when its reader drops it.
pub struct Lent<B> {
    /// None once it has been returned.
    body: Option<B>,
    back: Option<oneshot::Sender<B>>,
    progress: Arc<Progress>,
}

/// Receives the body when its reader is done.
pub struct BodyDrain<B> {
    back: oneshot::Receiver<B>,
    progress: Arc<Progress>,
}

/// Lends a body.
pub fn lend<B: HttpBody>(body: B) -> (Lent<B>, BodyDrain<B>) {
    let begun = if body.is_end_stream() { Reading::Ended } else { Reading::Untouched };
    let progress = Arc::new(Progress(AtomicU8::new(begun as u8)));
    let (give, back) = oneshot::channel();
    (Lent { body: Some(body), back: Some(give), progress: progress.clone() }, BodyDrain { back, progress })
}

impl Progress {
    fn set(&self, reading: Reading) {
        self.0.store(reading as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Reading {
        let number = self.0.load(Ordering::Relaxed);
        let all = [Reading::Untouched, Reading::Begun, Reading::Waiting, Reading::Ended];
        all.into_iter().find(|it| *it as u8 == number).unwrap_or(Reading::Broken)
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let it = self.get_mut();
        let Some(body) = &mut it.body else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        it.progress.set(match &polled {
            Poll::Pending => Reading::Waiting,
            Poll::Ready(None) => Reading::Ended,
            Poll::Ready(Some(Ok(_))) if body.is_end_stream() => Reading::Ended,
            Poll::Ready(Some(Ok(_))) => Reading::Begun,
            Poll::Ready(Some(Err(_))) => Reading::Broken,
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // The receiver may be gone.
            let _ = back.send(body);
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> BodyDrain<B> {
    pub fn reading(&self) -> Reading {
        self.progress.get()
    }

    /// Reads the rest of the body if it is small and arrives soon. Returns false if more data will follow; the
    /// connection can then take no further request. A client that waits for `100 Continue` (`asks`) will not send a
    /// body any more.
    pub async fn settle(mut self, asks: bool) -> bool {
        match self.reading() {
            Reading::Ended => return true,
            Reading::Broken => return false,
            Reading::Untouched if asks => return false,
            _ => {}
        }
        // Not returned yet: the body is still being read while the response is sent.
        let Ok(mut body) = self.back.try_recv() else { return true };
        if body.size_hint().lower() > LITTLE as u64 {
            return false;
        }
        let rest = async {
            let mut taken = 0;
            while !body.is_end_stream() {
                match body.frame().await {
                    Some(Ok(frame)) => taken += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return false,
                    None => return true,
                }
                if taken > LITTLE {
                    return false;
                }
            }
            true
        };
        timeout(SOON, rest).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures_util::stream;
    use std::{convert::Infallible, io};

    fn pieces(count: usize, size: usize) -> Body {
        let piece = Bytes::from(vec![b'x'; size]);
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, Infallible>(piece.clone()))))
    }

    #[tokio::test]
    async fn a_little_that_comes_at_once_is_taken_and_nothing_else() {
        let cut = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::other("cut"))]));
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        for (body, asks, done, what) in [
            (Body::empty(), true, true, "none"),
            (Body::from("abc"), false, true, "little"),
            (Body::from("abc"), true, false, "a client that waits to be asked"),
            (Body::from(vec![0; LITTLE + 1]), false, false, "much, as said beforehand"),
            (pieces(4, 1 << 10), false, true, "little, of no said length"),
            (pieces(5, LITTLE / 4), false, false, "much, of no said length"),
            (cut, false, false, "cut off"),
            (never, false, false, "one that never comes"),
        ] {
            let (lent, drain) = lend(body);
            drop(lent);
            assert_eq!(drain.settle(asks).await, done, "{what}");
        }
    }

    #[tokio::test]
    async fn what_was_read_to_its_end_or_still_is_being_read_is_done() {
        let (lent, drain) = lend(pieces(2, 10));
        assert_eq!(drain.reading(), Reading::Untouched);
        assert_eq!(lent.collect().await.unwrap().to_bytes().len(), 20);
        assert_eq!(drain.reading(), Reading::Ended);
        assert!(drain.settle(true).await);
        let (_lent, drain) = lend(pieces(2, 10));
        assert!(drain.settle(false).await);
    }
}
