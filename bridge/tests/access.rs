//! Who is let in, over real sockets: by token, by certificate, by user; and how fast.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{body::Body, http::Request};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use support::facts;
use syntrace_bridge::{
    api::Shown,
    otlp::{self, SendError},
    pipeline::{Pipeline, Settings as Kept},
    server::{AccessSettings, Protection, ProtectionError, Server, Settings, TlsSettings},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::oneshot,
};
use tokio_rustls::TlsConnector;

const TOKEN: &str = "a-token-of-more-than-sixteen-bytes";

/// A bridge that listens.
struct Running {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

#[tokio::test]
async fn questions_need_a_token_where_there_are_tokens_but_health_and_description_do_not() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.reads_access.token_file = Some(place.tokens());
    let bridge = start(&settings).await;
    for (path, token, status) in [
        ("/v1/causes", None, 401),
        ("/v1/causes", Some("another-token-of-sixteen-bytes"), 401),
        ("/v1/causes", Some(TOKEN), 200),
        ("/metrics", None, 401),
        ("/metrics", Some(TOKEN), 200),
        ("/livez", None, 200),
        ("/readyz", None, 200),
        ("/openapi.json", None, 200),
        ("/docs", None, 200),
        ("/", None, 200),
        ("/nowhere", None, 404),
    ] {
        let stream = TcpStream::connect(bridge.address).await.unwrap();
        assert_eq!(
            ask(stream, get(path, token)).await,
            status,
            "{path} {token:?}"
        );
    }
}

#[tokio::test]
async fn facts_over_tcp_need_a_token_and_over_the_socket_of_the_host_do_not() {
    let place = Place::new();
    let free = free_address().await;
    let mut settings = place.settings();
    settings.facts.push(format!("tcp:{free}").parse().unwrap());
    settings.facts_access.token_file = Some(place.tokens());
    let _bridge = start(&settings).await;
    for (token, status) in [(None, 401), (Some(TOKEN), 204)] {
        let stream = TcpStream::connect(free).await.unwrap();
        assert_eq!(ask(stream, batch(token)).await, status);
    }
    let stream = UnixStream::connect(place.socket()).await.unwrap();
    assert_eq!(ask(stream, batch(None)).await, 204);
}

#[tokio::test]
async fn questions_are_not_answered_where_facts_are_taken_nor_facts_taken_where_questions_are() {
    let place = Place::new();
    let bridge = start(&place.settings()).await;
    let stream = UnixStream::connect(place.socket()).await.unwrap();
    assert_eq!(ask(stream, get("/v1/causes", None)).await, 404);
    let stream = UnixStream::connect(place.socket()).await.unwrap();
    assert_eq!(ask(stream, get("/readyz", None)).await, 200);
    let stream = TcpStream::connect(bridge.address).await.unwrap();
    assert_eq!(ask(stream, batch(None)).await, 404);
}

#[tokio::test]
async fn a_process_of_a_user_who_is_not_named_is_not_served() {
    let place = Place::new();
    let own = rustix::process::getuid().as_raw();
    let mut settings = place.settings();
    settings.facts_uids = vec![own];
    let bridge = start(&settings).await;
    let stream = UnixStream::connect(place.socket()).await.unwrap();
    assert_eq!(ask(stream, batch(None)).await, 204);
    drop(bridge);

    let other = Place::new();
    let mut settings = other.settings();
    settings.facts_uids = vec![own.wrapping_add(1)];
    let _bridge = start(&settings).await;
    let stream = UnixStream::connect(other.socket()).await.unwrap();
    assert!(try_ask(stream, batch(None)).await.is_err());
}

#[tokio::test]
async fn the_socket_has_the_mode_that_was_ordered() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    let mut settings = place.settings();
    settings.facts_mode = 0o600;
    let _bridge = start(&settings).await;
    let mode = fs::metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_comes_too_fast_is_asked_to_come_again() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.reads_access.rate = 5;
    let bridge = start(&settings).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let stream = TcpStream::connect(bridge.address).await.unwrap();
        statuses.push(ask(stream, get("/v1/causes", None)).await);
    }
    assert_eq!(statuses.first(), Some(&200));
    assert!(statuses.contains(&429));
}

#[tokio::test]
async fn a_tls_address_asks_for_a_certificate_of_those_who_sign_clients() {
    let place = Place::new();
    let signer = place.signer("signer");
    let stranger = place.signer("stranger");
    place.certificate(&signer, "server");
    place.certificate(&signer, "client");
    place.certificate(&stranger, "other");
    let mut settings = place.settings();
    settings.reads = "tls:127.0.0.1:0".parse().unwrap();
    settings.tls = Some(TlsSettings {
        certificate: place.path("server.pem"),
        key: place.path("server.key"),
        client_ca: Some(place.path("signer.pem")),
    });
    let bridge = start(&settings).await;
    let asked = |client: Option<&'static str>| place.ask_by_tls(bridge.address, client);
    assert_eq!(asked(Some("client")).await, Some(200));
    assert_eq!(asked(Some("other")).await, None);
    assert_eq!(asked(None).await, None);
    let plain = TcpStream::connect(bridge.address).await.unwrap();
    assert!(try_ask(plain, get("/livez", None)).await.is_err());
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_the_bridge_runs() {
    let place = Place::new();
    let old = place.signer("old");
    let new = place.signer("signer");
    place.certificate(&old, "server");
    let mut settings = place.settings();
    settings.reads = "tls:127.0.0.1:0".parse().unwrap();
    settings.tls = Some(TlsSettings {
        certificate: place.path("server.pem"),
        key: place.path("server.key"),
        client_ca: None,
    });
    let protection = Protection::load(&settings).unwrap();
    let bridge = start_with(&settings, protection.clone()).await;
    assert_eq!(place.ask_by_tls(bridge.address, None).await, None);
    place.certificate(&new, "server");
    protection.renew(&settings).unwrap();
    assert_eq!(place.ask_by_tls(bridge.address, None).await, Some(200));
    fs::write(place.path("server.key"), "no key").unwrap();
    assert!(protection.renew(&settings).is_err());
    assert_eq!(place.ask_by_tls(bridge.address, None).await, Some(200));
}

/// The listener stands for a collector: that it knows no such path shows that the handshake was done.
#[tokio::test]
async fn spans_go_by_tls_to_a_collector_whose_signer_is_known_and_with_the_client_s_certificate() {
    let place = Place::new();
    let signer = place.signer("signer");
    place.certificate(&signer, "server");
    place.certificate(&signer, "client");
    let mut settings = place.settings();
    settings.reads = "tls:127.0.0.1:0".parse().unwrap();
    settings.tls = Some(TlsSettings {
        certificate: place.path("server.pem"),
        key: place.path("server.key"),
        client_ca: Some(place.path("signer.pem")),
    });
    let bridge = start(&settings).await;
    let base = format!("https://localhost:{}", bridge.address.port());
    let mut to = otlp::Settings::of_base(&base, otlp::Protocol::HttpProtobuf);
    to.certificate = Some(place.path("signer.pem"));
    to.client = Some((place.path("client.pem"), place.path("client.key")));
    let reached = otlp::Client::new(&to).unwrap().send(Vec::new()).await;
    assert!(
        matches!(&reached, Err(SendError::Never { reason }) if reason.contains("404")),
        "{reached:?}"
    );
    to.client = None;
    let unknown = otlp::Client::new(&to).unwrap().send(Vec::new()).await;
    assert!(
        matches!(unknown, Err(SendError::Later { .. })),
        "{unknown:?}"
    );
    to.certificate = Some(place.path("nowhere"));
    assert!(otlp::Client::new(&to).is_err());
}

#[tokio::test]
async fn files_that_protect_nothing_are_a_wrong_setting() {
    let place = Place::new();
    fs::write(place.path("short"), "hush").unwrap();
    let mut settings = place.settings();
    for name in ["short", "nowhere"] {
        settings.reads_access.token_file = Some(place.path(name));
        let error = Protection::load(&settings).unwrap_err();
        assert!(matches!(error, ProtectionError::Tokens { .. }));
        assert!(!error.to_string().contains("hush"));
    }
    settings.reads_access.token_file = None;
    settings.tls = Some(TlsSettings {
        certificate: place.path("short"),
        key: place.path("short"),
        client_ca: None,
    });
    let error = Protection::load(&settings).unwrap_err();
    assert!(matches!(error, ProtectionError::Tls(_)));
}

/// A directory with what the settings name.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("facts.sock")
    }

    fn tokens(&self) -> PathBuf {
        let path = self.path("tokens");
        fs::write(&path, format!("{TOKEN}\n")).unwrap();
        path
    }

    fn settings(&self) -> Settings {
        let access = AccessSettings {
            token_file: None,
            rate: 1_000,
        };
        Settings {
            facts: vec![format!("unix:{}", self.socket().display()).parse().unwrap()],
            facts_mode: 0o660,
            facts_uids: Vec::new(),
            facts_access: access.clone(),
            reads: "127.0.0.1:0".parse().unwrap(),
            reads_access: access,
            tls: None,
            shown: Shown::default(),
        }
    }

    fn signer(&self, name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let signer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(self.path(&format!("{name}.pem")), signer.pem()).unwrap();
        signer
    }

    fn certificate(&self, signer: &CertifiedIssuer<'static, KeyPair>, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, signer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Asks with a client's certificate, or without one; `None` if it is not let in.
    async fn ask_by_tls(&self, address: SocketAddr, client: Option<&str>) -> Option<u16> {
        let mut signers = RootCertStore::empty();
        signers.add(read(&self.path("signer.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(signers);
        let config = match client {
            Some(name) => {
                let chain = vec![read(&self.path(&format!("{name}.pem")))];
                let key = self.path(&format!("{name}.key"));
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.ok()?;
        try_ask(stream, get("/livez", None)).await.ok()
    }
}

fn read(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

async fn start(settings: &Settings) -> Running {
    start_with(settings, Protection::load(settings).unwrap()).await
}

async fn start_with(settings: &Settings, protection: Protection) -> Running {
    let server = Server::bind(settings, protection).await.unwrap();
    let address = server.address();
    let pipeline = Pipeline::start(&Kept::default()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let stopped = async {
            // It is dropped, never sent.
            drop(stopped.await);
        };
        server.run(pipeline.state(), stopped).await;
    });
    Running {
        address,
        _stop: stop,
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn get(path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path).header("host", "bridge");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::empty()).unwrap()
}

fn batch(token: Option<&str>) -> Request<Body> {
    let mut request = support::facts_request(facts::story().encode_to_vec());
    request
        .headers_mut()
        .insert("host", "bridge".parse().unwrap());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    request
}

async fn ask<S>(stream: S, request: Request<Body>) -> u16
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    try_ask(stream, request).await.unwrap()
}

async fn try_ask<S>(stream: S, request: Request<Body>) -> hyper::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    Ok(answer.status().as_u16())
}
