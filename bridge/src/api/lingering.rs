//! Lingering close: drains the body after an early answer, because a sender that is still writing would see a
//! reset instead of the answer.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::{sync::oneshot, time::timeout};

use super::BODY_BYTES_MAX;

/// Bytes that are drained, and for how long: beyond, the connection is closed.
const DRAIN_BYTES_MAX: usize = BODY_BYTES_MAX;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A body that comes back when its reader drops it.
struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

/// Drains what the handler left unread of the body.
pub(super) async fn drain(request: Request, next: Next) -> Response {
    // A sender that waits for `100 Continue` has not written its body.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (back, mut rest) = oneshot::channel();
    let lend = |body| {
        Body::new(Lent {
            body,
            back: Some(back),
        })
    };
    let answer = next.run(request.map(lend)).await;
    if let Ok(rest) = rest.try_recv() {
        // In a task of its own: an answer that waits for a slow sender would keep its place from others. If
        // anything is left when the time is over, the connection is closed.
        tokio::spawn(timeout(DRAIN_TIMEOUT, read_to_end(rest)));
    }
    answer
}

async fn read_to_end(rest: Body) {
    let mut rest = pin!(rest);
    let mut left = DRAIN_BYTES_MAX;
    while let Some(Ok(frame)) = rest.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(fewer) => left = fewer,
            None => return,
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            // Nobody waits for it if the request was cancelled.
            drop(back.send(std::mem::take(&mut self.body)));
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
