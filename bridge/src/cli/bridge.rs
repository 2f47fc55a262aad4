//! One question, one answer: HTTP/1.1 over TCP or a Unix socket, with a token where there is one.

use std::{fmt, fs, io, path::PathBuf, str::FromStr, time::Duration};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use jiff::{Timestamp, fmt::rfc2822};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::line::To;

/// How long an answer may take, from the connect on.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where somebody answers HTTP. Text: `http://127.0.0.1:4390`, `127.0.0.1:4390`, `unix:/run/x.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Host and port.
    Tcp(String),
    /// Path of a socket.
    Unix(PathBuf),
}

/// Text that is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST:PORT or unix:/PATH, such as http://127.0.0.1:4390")]
pub(super) struct ParseAddressError;

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The file cannot be read.
    #[error("reading the token in {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds what no header may.
    #[error("the token in {} has characters that no token has", .path.display())]
    Characters {
        /// The file.
        path: PathBuf,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody listens there.
    #[error("{address} does not answer; is it running? `syntrace doctor` looks at the whole chain")]
    Connect {
        /// Who was asked.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke, or spoke no HTTP.
    #[error("{address} ended the conversation")]
    Http {
        /// Who was asked.
        address: Address,
        /// What was wrong.
        source: hyper::Error,
    },
    /// The answer did not come whole, or was too large.
    #[error("{0} gave no whole answer")]
    Body(Address),
    /// The answer did not come.
    #[error("{0} did not answer within {s} s", s = TIMEOUT.as_secs())]
    Late(Address),
    /// The question cannot be put into a request.
    #[error("the question holds what no request may")]
    Question(#[source] hyper::http::Error),
    /// No token, or a wrong one.
    #[error("{0} wants another token: give --token-file, or SYNTRACE_TOKEN_FILE")]
    Unauthorised(Address),
    /// The bridge refused the question.
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
    #[error("{address} answered in a shape that this version does not know")]
    Shape {
        /// Who was asked.
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
}

/// What the bridge says of an error.
#[derive(Deserialize)]
struct Refusal {
    error: Inner,
}

#[derive(Deserialize)]
struct Inner {
    code: String,
    message: String,
}

// === impl Address ===

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (path.starts_with('/'))
                .then(|| Self::Unix(path.into()))
                .ok_or(ParseAddressError);
        }
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        match authority.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() =>
            {
                Ok(Self::Tcp(authority.to_owned()))
            }
            Some(_) | None => Err(ParseAddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

// === impl AskError ===

impl AskError {
    /// Returns whether nothing is known under what was asked for.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

// === impl Bridge ===

impl Bridge {
    /// Makes the asker of the bridge that the command line names.
    pub(super) fn new(to: &To) -> Result<Self, TokenError> {
        let token = match &to.token_file {
            Some(path) => {
                let read = fs::read_to_string(path);
                let text = read.map_err(|source| TokenError::Read {
                    path: path.clone(),
                    source,
                })?;
                let value = format!("Bearer {}", text.trim()).parse();
                let mut value: header::HeaderValue =
                    value.map_err(|_wrong| TokenError::Characters { path: path.clone() })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            address: to.bridge.clone(),
            token,
        })
    }

    /// Makes an asker of somebody else, such as Envoy's admin interface.
    pub(super) fn without_token(address: &Address) -> Self {
        Self {
            address: address.clone(),
            token: None,
        }
    }

    /// Returns who is asked.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, and reads the answer's JSON.
    pub(super) async fn json(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, AskError> {
        let answer = self.get(path, query).await?;
        self.read(&answer.body)
    }

    /// Returns what an answer says, in the shape that is expected of it.
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
        let address = &self.address;
        let connect = |source| AskError::Connect {
            address: address.clone(),
            source,
        };
        let asked = async {
            match address {
                Address::Tcp(authority) => {
                    let stream = TcpStream::connect(authority).await.map_err(connect)?;
                    self.exchange(stream, path, query).await
                }
                Address::Unix(socket) => {
                    let stream = UnixStream::connect(socket).await.map_err(connect)?;
                    self.exchange(stream, path, query).await
                }
            }
        };
        match timeout(TIMEOUT, asked).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(AskError::Late(address.clone())),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answer, AskError> {
        let http = |source| AskError::Http {
            address: self.address.clone(),
            source,
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
        // Its end is seen by whoever waits for the answer.
        let conversation = tokio::spawn(async move { connection.await.unwrap_or_default() });
        let host = match &self.address {
            Address::Tcp(authority) => authority.as_str(),
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::get(target(path, query)).header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(AskError::Question)?;
        let response = sender.send_request(request).await.map_err(http)?;
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
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(AskError::Unauthorised(self.address.clone()))
            }
            status => Err(refused(status, &answer.body)),
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
    fn addresses_are_read_with_and_without_a_scheme() {
        let tcp = Ok(Address::Tcp("127.0.0.1:4390".to_owned()));
        assert_eq!("http://127.0.0.1:4390/".parse(), tcp);
        assert_eq!("127.0.0.1:4390".parse(), tcp);
        assert_eq!(
            "unix:/run/x.sock".parse(),
            Ok(Address::Unix("/run/x.sock".into()))
        );
        for wrong in [
            "",
            "https://host:1",
            "host",
            "http://host",
            "unix:x.sock",
            ":1",
        ] {
            assert_eq!(wrong.parse::<Address>(), Err(ParseAddressError), "{wrong}");
        }
    }

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
