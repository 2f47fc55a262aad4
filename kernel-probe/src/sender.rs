//! Carries batches to the bridge over HTTP/1.1 on its Unix socket, in order, until it keeps them.

use std::{
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use syntrace_proto::{CONTENT_TYPE as PROTOBUF, FACTS_PATH, fact::Body};
use tokio::{
    net::UnixStream,
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{bridge::BridgeAddress, clock, counters::Counters, outbox::Outbox};

/// How long a fact waits for others to share its batch. The batch tells the clock, which is taken to show that all about a
/// failed connect was told if it is less than 250 ms later (`bridge/core/src/gaps.rs`).
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// How long the bridge may take for one batch.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Waits between attempts: doubled from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The longest `Retry-After` that is honoured.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Facts on their way, and the bridge they go to.
pub(crate) struct Sender {
    outbox: Mutex<Outbox>,
    posted: Notify,
    sealed: Notify,
    hurry: Notify,
    counters: Counters,
    path: PathBuf,
}

/// An open connection to the bridge.
type Connection = SendRequest<Full<Bytes>>;

/// What the bridge's answer means for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Kept; send the next.
    Kept,
    /// Never to be taken: as it is, it is wrong.
    Refused(StatusCode),
    /// Send it again, after this long if the bridge named a time.
    Later(Option<Duration>),
}

/// Why a batch did not reach the bridge.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("connecting failed: {0}")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the request is malformed: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("no answer within {} s", ANSWER_WITHIN.as_secs())]
    Unanswered,
}

// === impl Sender ===

impl Sender {
    /// Sends what `outbox` holds to `bridge`, telling what `counters` lost.
    pub(crate) fn new(outbox: Outbox, counters: Counters, bridge: &BridgeAddress) -> Self {
        Self {
            outbox: Mutex::new(outbox),
            posted: Notify::new(),
            sealed: Notify::new(),
            hurry: Notify::new(),
            counters,
            path: bridge.path().to_owned(),
        }
    }

    /// Returns the counts that batches tell.
    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes one fact. Never waits.
    pub(crate) fn post(&self, body: Body) {
        let is_full = self.outbox().push(body);
        if is_full {
            self.seal(false);
        } else {
            self.posted.notify_one();
        }
    }

    /// Seals what is pending; with `goodbye`, for the last time, and waits no longer to deliver.
    pub(crate) fn seal(&self, goodbye: bool) {
        let (clock, losses) = (clock::sample(), self.counters.losses());
        if self.outbox().seal(clock, losses, goodbye) {
            self.sealed.notify_one();
        }
        if goodbye {
            self.hurry.notify_one();
        }
    }

    /// Seals what is pending 100 ms after it was first posted, for ever.
    pub(crate) async fn flush(&self) {
        loop {
            self.posted.notified().await;
            sleep(FLUSH_AFTER).await;
            self.seal(false);
        }
    }

    /// Delivers batches in order, until the goodbye is delivered.
    pub(crate) async fn deliver(&self) {
        let mut connection = None;
        while !self.outbox().is_done() {
            self.deliver_all(&mut connection).await;
            if !self.outbox().is_done() {
                self.sealed.notified().await;
            }
        }
    }

    /// Delivers every batch that is sealed.
    async fn deliver_all(&self, connection: &mut Option<Connection>) {
        let mut wait = FIRST_RETRY;
        let mut is_away = false;
        loop {
            let Some(body) = self.outbox().front() else {
                return;
            };
            let named = match self.try_post(connection, body).await {
                Ok(Answer::Kept) => {
                    self.outbox().delivered();
                    if is_away {
                        tracing::info!("Reached the bridge again");
                    }
                    (wait, is_away) = (FIRST_RETRY, false);
                    continue;
                }
                Ok(Answer::Refused(status)) => {
                    tracing::warn!(%status, "Dropped a batch that the bridge refused");
                    self.outbox().refused();
                    continue;
                }
                Ok(Answer::Later(named)) => {
                    tracing::debug!(?named, "Bridge asked for a later attempt");
                    named
                }
                Err(error) => {
                    if !is_away {
                        tracing::warn!(%error, "Could not reach the bridge, keeping batches");
                    }
                    None
                }
            };
            is_away = true;
            let hurry = self.hurry.notified();
            if timeout(named.unwrap_or(wait), hurry).await.is_err() {
                wait = (wait * 2).min(LAST_RETRY);
            }
        }
    }

    /// Returns facts that are sealed and not delivered.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox().waiting()
    }

    /// Sends one batch; `connection` is empty afterwards unless it can be used again.
    async fn try_post(
        &self,
        connection: &mut Option<Connection>,
        body: Bytes,
    ) -> Result<Answer, PostError> {
        let post = async {
            let mut open = match connection.take().filter(Connection::is_ready) {
                Some(open) => open,
                None => self.connect().await?,
            };
            let request = Request::post(FACTS_PATH)
                .header(HOST, "bridge")
                .header(CONTENT_TYPE, PROTOBUF)
                .body(Full::new(body))?;
            let (head, answer) = open.send_request(request).await?.into_parts();
            // Read to its end, so that the connection is free for the next.
            answer.collect().await?;
            if open.ready().await.is_ok() {
                *connection = Some(open);
            }
            Ok(judge(head.status, &head.headers))
        };
        timeout(ANSWER_WITHIN, post)
            .await
            .unwrap_or(Err(PostError::Unanswered))
    }

    async fn connect(&self) -> Result<Connection, PostError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(PostError::Connect)?;
        let (open, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "Lost the connection to the bridge");
            }
        });
        Ok(open)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers of the 4xx class that speak of the moment, not of the batch.
const AGAIN: [StatusCode; 3] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
];

fn judge(status: StatusCode, headers: &HeaderMap) -> Answer {
    let named = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
    if status.is_success() {
        Answer::Kept
    } else if status.is_client_error() && !AGAIN.contains(&status) {
        Answer::Refused(status)
    } else {
        Answer::Later(named)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_a_wrong_batch_is_given_up() {
        let judge = |status| judge(status, &HeaderMap::new());
        assert_eq!(judge(StatusCode::NO_CONTENT), Answer::Kept);
        let refused = Answer::Refused(StatusCode::BAD_REQUEST);
        assert_eq!(judge(StatusCode::BAD_REQUEST), refused);
        for status in [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            assert_eq!(judge(status), Answer::Later(None), "{status}");
        }
    }

    #[test]
    fn the_bridge_may_name_a_time_within_reason() {
        let judge = |seconds| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(seconds))]);
            judge(StatusCode::SERVICE_UNAVAILABLE, &headers)
        };
        assert_eq!(judge("3"), Answer::Later(Some(Duration::from_secs(3))));
        assert_eq!(judge("86400"), Answer::Later(Some(LONGEST_WAIT)));
        assert_eq!(judge("soon"), Answer::Later(None));
    }
}
