//! One request, one answer or a stream of them: HTTP/1.1 over TCP, TLS or a Unix socket, with a token
//! where there is one.

mod address;
mod channel;
mod stream;
mod token;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use jiff::{Timestamp, fmt::rfc2822};
use rustls::ClientConfig;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

pub(super) use self::{
    address::Address,
    stream::{Follow, Told},
};
use super::line::To;
use crate::tls_client::{self, Files, TlsError};

/// How long an answer may take, from the connect on.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Files of the command line that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The token's file cannot be read.
    #[error("reading the token in {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The token's file holds what no header may.
    #[error("the token in {} has characters that no token may have", .path.display())]
    Characters {
        /// The file.
        path: PathBuf,
    },
    /// No certificate or key where one should be.
    #[error("reading the certificates for TLS")]
    Tls(#[from] TlsError),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody listens there.
    #[error("{address} does not answer; is it running? `syntrace doctor` looks at the whole chain")]
    Connect {
        /// The server's address.
        address: Address,
        /// The system's error.
        source: io::Error,
    },
    /// The connection broke, or spoke no HTTP.
    #[error("{address} closed the connection, or does not speak HTTP")]
    Http {
        /// The server's address.
        address: Address,
        /// What was wrong.
        source: hyper::Error,
    },
    /// The answer did not come whole, or was too large.
    #[error("{0} sent an incomplete answer, or one that is too large")]
    Body(Address),
    /// The answer did not come.
    #[error("{0} did not answer within {s} s", s = TIMEOUT.as_secs())]
    Late(Address),
    /// The query cannot be made a request.
    #[error("the query has characters that no HTTP request may have")]
    Question(#[source] hyper::http::Error),
    /// No token, or a wrong one.
    #[error(
        "{0} does not accept this token, or needs one: set --token-file or SYNTRACE_TOKEN_FILE"
    )]
    Unauthorised(Address),
    /// The bridge refused the query.
    #[error("{message} ({code})")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The bridge's stable code.
        code: String,
        /// The bridge's sentence.
        message: String,
    },
    /// The answer has another shape than this version knows.
    #[error("{address} gave an answer that this version cannot read")]
    Shape {
        /// The server's address.
        address: Address,
        /// What was expected.
        source: serde_json::Error,
    },
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// The answerer's clock, to the second.
    pub(super) date: Option<Timestamp>,
}

/// Asks one bridge.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    address: Address,
    token: Option<header::HeaderValue>,
    /// Present where the address requires TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// An error as the bridge reports it.
#[derive(Deserialize)]
struct Refusal {
    error: Inner,
}

#[derive(Deserialize)]
struct Inner {
    code: String,
    message: String,
}

// === impl AskError ===

impl AskError {
    /// Returns whether nothing is known under the requested name.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Returns whether the requested record may be one that is being rebuilt.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "rebuilding")
    }

    /// Returns whether a retry may be answered.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Http { .. } | Self::Body(_) | Self::Late(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Question(_) | Self::Unauthorised(_) | Self::Shape { .. } => false,
        }
    }
}

// === impl Bridge ===

impl Bridge {
    /// Makes the asker of the bridge that the command line names.
    pub(super) fn new(to: &To) -> Result<Self, SetupError> {
        let client = to.cert.as_deref().zip(to.key.as_deref());
        let files = Files {
            signers: to.ca.as_deref(),
            client,
        };
        let tls = matches!(to.bridge, Address::Tls(_)).then(|| tls_client::config(files, true));
        Ok(Self {
            address: to.bridge.clone(),
            token: to.token_file.as_deref().map(token::header).transpose()?,
            tls: tls.transpose()?.map(Arc::new),
        })
    }

    /// Makes an asker of somebody else, such as Envoy's admin interface.
    pub(super) fn without_token(address: &Address) -> Result<Self, SetupError> {
        let to = To {
            bridge: address.clone(),
            token_file: None,
            ca: None,
            cert: None,
            key: None,
        };
        Self::new(&to)
    }

    /// Returns the server's address.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, and reads the answer's JSON.
    pub(super) async fn json(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, AskError> {
        let answer = self.get(path, query).await?;
        self.read(&answer.body)
    }

    /// Parses an answer as the expected type.
    pub(super) fn shape<T: DeserializeOwned>(&self, value: &Value) -> Result<T, AskError> {
        T::deserialize(value).map_err(|source| self.strange(source))
    }

    /// Says that the answer has another shape than was expected.
    pub(super) fn strange(&self, source: serde_json::Error) -> AskError {
        AskError::Shape {
            address: self.address.clone(),
            source,
        }
    }

    /// Asks, and returns the answer as it came.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, AskError> {
        let asked = async {
            let question = Request::get(target(path, query));
            let (response, conversation) = self.exchange(question).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_broken| AskError::Body(self.address.clone()))?;
            conversation.abort();
            let answer = Answer {
                body: body.to_bytes(),
                date: head.headers.get(header::DATE).and_then(date),
            };
            match head.status {
                status if status.is_success() => Ok(answer),
                // It says of itself that it is not ready: that is its answer.
                StatusCode::SERVICE_UNAVAILABLE if path == "/readyz" => Ok(answer),
                status => Err(self.refused(status, &answer.body)),
            }
        };
        self.in_time(asked).await
    }

    /// Follows records as they settle: those after the one that came as `last`, or those
    /// from now on.
    pub(super) async fn follow(
        &self,
        path: &str,
        query: &[(&str, &str)],
        last: Option<&str>,
    ) -> Result<Follow, AskError> {
        let asked = async {
            let mut question =
                Request::get(target(path, query)).header(header::ACCEPT, "text/event-stream");
            if let Some(last) = last {
                question = question.header("last-event-id", last);
            }
            let (response, conversation) = self.exchange(question).await?;
            if response.status().is_success() {
                return Ok(Follow::new(response.into_body(), conversation));
            }
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_broken| AskError::Body(self.address.clone()))?;
            Err(self.refused(head.status, &body.to_bytes()))
        };
        self.in_time(asked).await
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, AskError> {
        match timeout(TIMEOUT, asked).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(AskError::Late(self.address.clone())),
        }
    }

    async fn exchange(
        &self,
        question: hyper::http::request::Builder,
    ) -> Result<(Response<Incoming>, JoinHandle<()>), AskError> {
        let http = |source| AskError::Http {
            address: self.address.clone(),
            source,
        };
        let channel = channel::open(&self.address, self.tls.as_ref()).await;
        let channel = channel.map_err(|source| AskError::Connect {
            address: self.address.clone(),
            source,
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(channel))
            .await
            .map_err(http)?;
        // Whoever waits for the answer sees its end.
        let conversation = tokio::spawn(async move { connection.await.unwrap_or_default() });
        let host = match &self.address {
            Address::Tcp(authority) | Address::Tls(authority) => authority.as_str(),
            Address::Unix(_) => "localhost",
        };
        let mut question = question.header(header::HOST, host);
        if let Some(token) = &self.token {
            question = question.header(header::AUTHORIZATION, token);
        }
        let question = question
            .body(Empty::<Bytes>::new())
            .map_err(AskError::Question)?;
        let response = sender.send_request(question).await.map_err(http)?;
        Ok((response, conversation))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> AskError {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                AskError::Unauthorised(self.address.clone())
            }
            status => refused(status, body),
        }
    }

    fn read(&self, body: &[u8]) -> Result<Value, AskError> {
        serde_json::from_slice(body).map_err(|source| self.strange(source))
    }
}

fn refused(status: StatusCode, body: &[u8]) -> AskError {
    match serde_json::from_slice(body) {
        Ok(Refusal {
            error: Inner { code, message },
        }) => AskError::Refused {
            status,
            code,
            message,
        },
        Err(_) => AskError::Refused {
            status,
            code: "no_code".to_owned(),
            message: format!("the answer was {status}"),
        },
    }
}

fn date(value: &header::HeaderValue) -> Option<Timestamp> {
    let zoned = rfc2822::parse(value.to_str().ok()?).ok()?;
    Some(zoned.timestamp())
}

/// Puts a path and its query together; `%` where RFC 3986 wants it.
fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (n, (name, value)) in query.iter().enumerate() {
        target.push(if n == 0 { '?' } else { '&' });
        target.push_str(&encode(name));
        target.push('=');
        target.push_str(&encode(value));
    }
    target
}

/// Writes what is not unreserved as `%XX`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_cannot_change_the_question() {
        assert_eq!(
            target(
                "/v1/requests",
                &[("status", "503"), ("dye", "a=b&limit=1\r\n")]
            ),
            "/v1/requests?status=503&dye=a%3Db%26limit%3D1%0D%0A"
        );
    }
}
