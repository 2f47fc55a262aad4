//! Real clients, and what they say that they did: the word against which the bridge's is held.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    paths,
    process::{Process, Program},
    sandbox::{CLIENT, GATEWAY, Sandbox},
};

/// More than any client needs, retransmissions and a busy machine included.
const DEADLINE: Duration = Duration::from_secs(60);

/// What curl writes for each transfer; the path is cut out of the URL afterwards.
const CURL_REPORT: &str = r#"{"local":"%{local_ip}:%{local_port}","path":"%{url}","method":"%{method}","status":%{http_code}}\n"#;

/// One request, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Exchange {
    /// The client's end of the connection.
    pub local: SocketAddr,
    /// HTTP's method.
    pub method: String,
    /// The path, without scheme and authority.
    pub path: String,
    /// HTTP's status.
    pub status: u16,
    /// gRPC's status; `None` for plain HTTP.
    #[serde(default)]
    pub grpc_status: Option<u32>,
}

/// One request of [`many`] clients, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Timed {
    /// The client's end of the connection.
    pub local: SocketAddr,
    /// The path, which no other request has.
    pub path: String,
    /// HTTP's status.
    pub status: u16,
    /// From before the request was sent until the whole answer was there.
    pub duration_ns: u64,
}

/// One connect that carried no request, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Connect {
    /// The client's end.
    pub local: SocketAddr,
    /// The gateway answered the SYN by RST.
    pub refused: bool,
}

/// HTTP's version, as curl is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1 with keep-alive.
    Http1,
    /// HTTP/2 without TLS and without an upgrade; one path, because curl before 7.89 fails to reuse the connection.
    Http2,
}

/// A curl that is under way.
#[derive(Debug)]
pub struct Curl {
    process: Process,
    origin: String,
}

impl Curl {
    /// Starts fetching `paths` from the gateway's `port` by one curl, which uses one connection.
    ///
    /// # Errors
    ///
    /// Fails if curl cannot be started.
    pub fn start(
        sandbox: &Sandbox,
        port: u16,
        version: Version,
        headers: &[&str],
        paths: &[&str],
    ) -> anyhow::Result<Self> {
        let gateway = SocketAddr::from((GATEWAY, port));
        let version = match version {
            Version::Http1 => "--http1.1",
            Version::Http2 => "--http2-prior-knowledge",
        };
        let headers = headers.iter().flat_map(|header| ["-H", header]);
        let options: Vec<_> = [version].into_iter().chain(headers).collect();
        let curl = Program::new("curl", &sandbox.watched, "curl").inside(&sandbox.client);
        Self::run(sandbox, curl, gateway, &options, paths)
    }

    /// Starts fetching `paths` by `curl`, which is to be run as it says, from whoever is at `address`.
    ///
    /// # Errors
    ///
    /// Fails if curl cannot be started.
    pub fn run(
        sandbox: &Sandbox,
        curl: Program,
        address: SocketAddr,
        options: &[&str],
        paths: &[&str],
    ) -> anyhow::Result<Self> {
        let origin = format!("http://{address}");
        let urls = paths.iter().flat_map(|path| {
            [
                "-o".to_owned(),
                "/dev/null".to_owned(),
                format!("{origin}{path}"),
            ]
        });
        let process = curl
            .args(["-q", "-sS", "--noproxy", "*", "--max-time", "50"])
            .args(["-w", CURL_REPORT])
            .args(options)
            .args(urls)
            .start(sandbox.directory())?;
        Ok(Self { process, origin })
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// Fails if a request gets no answer at all; a status such as 503 is an answer.
    pub fn finish(mut self) -> anyhow::Result<Vec<Exchange>> {
        let mut exchanges: Vec<Exchange> = parse_lines(&self.process.finish(DEADLINE)?)?;
        for exchange in &mut exchanges {
            exchange.path = exchange
                .path
                .strip_prefix(&self.origin)
                .unwrap_or(&exchange.path)
                .to_owned();
        }
        Ok(exchanges)
    }
}

/// Fetches `paths` from the gateway's `port` by one curl, which uses one connection.
///
/// # Errors
///
/// As [`Curl::finish`].
pub fn curl(
    sandbox: &Sandbox,
    port: u16,
    version: Version,
    paths: &[&str],
) -> anyhow::Result<Vec<Exchange>> {
    Curl::start(sandbox, port, version, &[], paths)?.finish()
}

/// Calls every method of the gRPC service through the gateway, over one connection.
///
/// # Errors
///
/// Fails if the client fails; a call's own status is its answer.
pub fn grpc(sandbox: &Sandbox, port: u16) -> anyhow::Result<Vec<Exchange>> {
    let printed = Program::new("client-grpc", &sandbox.watched, paths::python()?)
        .inside(&sandbox.client)
        .args([paths::own("clients/grpc_echo.py")])
        .args([GATEWAY.to_string(), port.to_string()])
        .start(sandbox.directory())?
        .finish(DEADLINE)?;
    parse_lines(&printed)
}

/// Lets `clients` send `requests` each over a connection of their own, after pauses of up to `pause` seconds.
///
/// # Errors
///
/// Fails if a request gets no answer at all; a status such as 503 is an answer.
pub fn many(
    sandbox: &Sandbox,
    port: u16,
    clients: usize,
    requests: usize,
    pause: f64,
) -> anyhow::Result<Vec<Timed>> {
    let printed = Program::new("client-many", &sandbox.watched, paths::python()?)
        .inside(&sandbox.client)
        .args([paths::own("clients/many.py")])
        .args([GATEWAY.to_string(), port.to_string()])
        .args([
            clients.to_string(),
            requests.to_string(),
            pause.to_string(),
            "1".to_owned(),
        ])
        .start(sandbox.directory())?
        .finish(DEADLINE)?;
    parse_lines(&printed)
}

/// Connects to the gateway's `port`, sends nothing and closes.
///
/// # Errors
///
/// Fails if the client fails; a refused connect is an answer.
pub fn connect(sandbox: &Sandbox, port: u16) -> anyhow::Result<Connect> {
    let printed = Program::new("client-connect", &sandbox.watched, paths::python()?)
        .inside(&sandbox.client)
        .args([paths::own("clients/connect.py")])
        .args([CLIENT.to_string(), GATEWAY.to_string(), port.to_string()])
        .start(sandbox.directory())?
        .finish(DEADLINE)?;
    serde_json::from_str(&printed)
        .with_context(|| format!("reading what the client printed: {printed}"))
}

fn parse_lines<T: DeserializeOwned>(printed: &str) -> anyhow::Result<Vec<T>> {
    let parse = |line| {
        serde_json::from_str(line)
            .with_context(|| format!("reading what the client printed: {line}"))
    };
    printed.lines().map(parse).collect()
}
