//! The kinds of load, and how each is put on a listener.

use std::fs;

use anyhow::Context as _;

use crate::{
    client::Orders,
    gateway::Extra,
    world::{Which, World},
};

/// A gRPC message of no bytes: not compressed, length 0 (gRPC over HTTP/2, length-prefixed message).
const EMPTY_MESSAGE: [u8; 5] = [0; 5];
/// Connections at the same time.
pub(crate) const CONNECTIONS: usize = 16;

/// What the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// HTTP/1.1, connections kept.
    Http1,
    /// HTTP/1.1, a connection for each request.
    Churn,
    /// HTTP/2, four streams at a time on each connection.
    Http2,
    /// gRPC, unary calls without a message, one at a time on each connection.
    Grpc,
    /// HTTP/1.1 within TLS, connections kept.
    Tls,
}

impl Load {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Churn => "churn",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tls => "tls",
        }
    }

    /// Returns how many requests make one measurement.
    pub(crate) const fn requests(self) -> usize {
        match self {
            Self::Churn => 2_000,
            Self::Http1 | Self::Http2 | Self::Grpc | Self::Tls => 4_000,
        }
    }

    /// Sends `requests`, as fast as they are answered; every answer has to be a success. Returns how many were
    /// answered in a second.
    pub(crate) fn put(
        self,
        world: &World,
        which: Which,
        extra: Extra,
        requests: usize,
    ) -> anyhow::Result<f64> {
        let address = world.side(which)?.address(extra, self == Self::Tls);
        if self == Self::Churn {
            let orders = Orders {
                address,
                connections: CONNECTIONS,
                requests: requests / CONNECTIONS,
                rate: None,
                churn: true,
                log: None,
            };
            let outcome = world.client(which, &orders)?;
            anyhow::ensure!(outcome.failed == 0, "{outcome:?}");
            return Ok(outcome.answered as f64 / outcome.seconds);
        }
        let message = world.sandbox.directory().join("empty-message");
        fs::write(&message, EMPTY_MESSAGE)?;
        let (message, requests, connections) = (
            message.display().to_string(),
            requests.to_string(),
            CONNECTIONS.to_string(),
        );
        let mut options = vec!["-c", &connections, "-n", &requests];
        let url = match self {
            Self::Http1 | Self::Churn => {
                options.push("--h1");
                format!("http://{address}/hello")
            }
            Self::Http2 => {
                options.extend(["-m", "4"]);
                format!("http://{address}/hello")
            }
            Self::Grpc => {
                options.extend([
                    "-d",
                    &message,
                    "-H",
                    "content-type: application/grpc",
                    "-H",
                    "te: trailers",
                ]);
                format!("http://{address}/demo.Echo/Say")
            }
            Self::Tls => {
                options.push("--h1");
                format!("https://{address}/hello")
            }
        };
        let printed = world.h2load(which, &options, &url)?;
        let expected = format!("{requests} succeeded, 0 failed, 0 errored");
        anyhow::ensure!(printed.contains(&expected), "{printed}");
        per_second(&printed).with_context(|| printed.clone())
    }
}

/// Reads `finished in 310.20ms, 12894.88 req/s, 2.31MB/s`.
fn per_second(printed: &str) -> Option<f64> {
    let line = printed
        .lines()
        .find(|line| line.starts_with("finished in "))?;
    let rate = line.split(", ").find(|part| part.ends_with(" req/s"))?;
    rate.trim_end_matches(" req/s").parse().ok()
}
