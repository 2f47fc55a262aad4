//! Authorization, rate limits and concurrency limits: all are checked before a request's body is read.
//!
//! Requests with a valid token and requests without have separate budgets, so that strangers cannot crowd out
//! authorized clients, and guessing tokens is limited. Each listener has its own.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ApiError;
use crate::server::{Claim, Rate, Tokens};

/// Answers to those of one kind that are made or being sent at the same time.
const ANSWERS_MAX: usize = 128;

/// Bytes of a request's head. Beyond twice as many, nothing is read of it.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;

/// What the endpoints of one kind require of requests. Clones have the same tokens.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Option<Arc<RwLock<Tokens>>>,
    rate: u32,
}

/// Lets in those who come to one listener.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Budgets>);

#[derive(Debug)]
struct Budgets {
    access: Access,
    known: Budget,
    strangers: Budget,
}

/// How fast, and how much at a time.
#[derive(Debug)]
struct Budget {
    rate: Rate,
    places: Arc<Semaphore>,
}

/// Marks an authorized request.
#[derive(Clone, Copy, Debug)]
struct Known;

/// A body that gives its place back when it was sent, or given up.
struct Placed {
    body: Body,
    _place: OwnedSemaphorePermit,
}

// === impl Access ===

impl Access {
    /// Asks for one of the tokens, if there are any, and for at most `rate` requests a second.
    #[must_use]
    pub fn new(tokens: Option<Tokens>, rate: u32) -> Self {
        Self {
            tokens: tokens.map(|tokens| Arc::new(RwLock::new(tokens))),
            rate,
        }
    }

    /// Asks for nothing.
    #[must_use]
    pub fn open() -> Self {
        Self::new(None, u32::MAX)
    }

    /// Asks for no token, where the listener knows its peers.
    #[must_use]
    pub fn without_tokens(self) -> Self {
        Self {
            tokens: None,
            ..self
        }
    }

    /// Requires these tokens from now on, if it requires any.
    pub(crate) fn renew(&self, tokens: Option<Tokens>) {
        if let Some((held, tokens)) = self.tokens.as_ref().zip(tokens) {
            *held.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        self.tokens.as_ref().is_none_or(|tokens| {
            let tokens = tokens.read().unwrap_or_else(PoisonError::into_inner);
            tokens.admit(headers)
        })
    }
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(access: Access) -> Self {
        let budget = || Budget {
            rate: Rate::per_second(access.rate),
            places: Arc::new(Semaphore::new(ANSWERS_MAX)),
        };
        let (known, strangers) = (budget(), budget());
        Self(Arc::new(Budgets {
            access,
            known,
            strangers,
        }))
    }
}

// === impl Budget ===

impl Budget {
    fn take(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if !self.rate.try_take() {
            return Err(ApiError::TooFast);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_full| ApiError::TooManyAnswers)
    }
}

/// Refuses a head that is larger than any may be.
pub(super) async fn bound_head(request: Request, next: Next) -> Result<Response, ApiError> {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    if target + headers.sum::<usize>() > HEAD_BYTES_MAX {
        return Err(ApiError::HeadTooLarge);
    }
    Ok(next.run(request).await)
}

/// Applies the limits of rate and concurrency; marks authorized requests.
pub(super) async fn limit(
    State(Gate(gate)): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let place = if gate.access.admits(request.headers()) {
        request.extensions_mut().insert(Known);
        if let Some(claim) = request.extensions().get::<Claim>() {
            claim.keep();
        }
        gate.known.take()
    } else {
        gate.strangers.take()
    }?;
    let answer = next.run(request).await;
    let place = |body| {
        Body::new(Placed {
            body,
            _place: place,
        })
    };
    Ok(answer.map(place))
}

/// Refuses requests that [`limit`] did not authorize.
pub(super) async fn know(request: Request, next: Next) -> Result<Response, ApiError> {
    match request.extensions().get() {
        Some(Known) => Ok(next.run(request).await),
        None => Err(ApiError::Unauthorised),
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
