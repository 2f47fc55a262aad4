//! Reads on beside an answer that did not wait for the whole body: a sender that still writes reads no
//! answer, and one whose bytes are left unread sees its connection reset.

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

/// Bytes that are read on, and how long: beyond, the connection is closed.
const REST_BYTES_MAX: usize = BODY_BYTES_MAX;
const REST_TIMEOUT: Duration = Duration::from_secs(2);

/// A body that comes back when its reader is done with it.
struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

/// Reads what the answer's maker left of the body.
pub(super) async fn read(request: Request, next: Next) -> Response {
    // Who waits to be asked for the body does not write it.
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
        // Beside the answer: one that waits for a slow sender would keep its place from others. Whatever is
        // still left when the time is over is the connection's end.
        tokio::spawn(timeout(REST_TIMEOUT, read_on(rest)));
    }
    answer
}

async fn read_on(rest: Body) {
    let mut rest = pin!(rest);
    let mut left = REST_BYTES_MAX;
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
            // Nobody waits for it where the answer was given up.
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
