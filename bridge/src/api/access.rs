//! Who may ask, how fast, and how much at the same time: before anything is read of a request's body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ApiError;
use crate::server::{Rate, Tokens};

/// Answers that are made or being sent at the same time.
const ANSWERS_MAX: usize = 128;

/// What the endpoints of one kind ask of those who come.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Option<Arc<Tokens>>,
    rate: Arc<Rate>,
    places: Arc<Semaphore>,
}

/// A body that gives its place back when it was sent, or given up.
struct Placed {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl Access {
    /// Asks for one of the tokens, if there are any, and for at most `rate` requests a second.
    #[must_use]
    pub fn new(tokens: Option<Tokens>, rate: u32) -> Self {
        Self {
            tokens: tokens.map(Arc::new),
            rate: Arc::new(Rate::per_second(rate)),
            places: Arc::new(Semaphore::new(ANSWERS_MAX)),
        }
    }

    /// Asks for nothing.
    #[must_use]
    pub fn open() -> Self {
        Self::new(None, u32::MAX)
    }

    /// Asks for no token, where the listener knows its peers; the rate stays shared.
    #[must_use]
    pub fn without_tokens(self) -> Self {
        Self {
            tokens: None,
            ..self
        }
    }
}

/// Refuses what comes too fast, or too much at a time.
pub(super) async fn limit(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !access.rate.try_take() {
        return Err(ApiError::TooFast);
    }
    let place = Arc::clone(&access.places).try_acquire_owned();
    let place = place.map_err(|_full| ApiError::TooManyAnswers)?;
    let answer = next.run(request).await;
    let place = |body| {
        Body::new(Placed {
            body,
            _place: place,
        })
    };
    Ok(answer.map(place))
}

/// Refuses those without a token, where tokens are asked for.
pub(super) async fn know(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let known = |tokens: &Arc<Tokens>| tokens.admit(request.headers());
    if access.tokens.as_ref().is_none_or(known) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::Unauthorised)
    }
}

impl HttpBody for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
