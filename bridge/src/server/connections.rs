//! Accepts connections and speaks HTTP/1.1 on them, with a timeout for everything that a peer can delay.
//!
//! `axum::serve` sets none of these bounds. One protocol only: there is no phase in which it is detected.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    disconnect::Watched,
    idle::{Idle, Slot},
    protection::Certificates,
    stall::Impatient,
};
use crate::{
    api::{self, HEAD_BYTES_MAX},
    metrics::{Http, Refusal},
};

/// Connections that each listener holds at the same time. When it is full, the oldest one without an
/// authorized request is closed; if there is none, the new one waits.
const CONNECTIONS_MAX: usize = 1_024;

/// Connections that may wait to be accepted.
pub(super) const BACKLOG: u32 = 1_024;

/// How long a TLS handshake or a request's head may take, the idle time before it included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(7);

/// How long a peer may take nothing of an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that are read at once.
const BUFFER_BYTES: usize = HEAD_BYTES_MAX;

/// How long requests in flight may take after the order to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    name: &'static str,
}

enum Socket {
    Unix {
        listener: UnixListener,
        /// Those who may connect; all, if there are none.
        uids: Box<[u32]>,
    },
    Tcp {
        listener: TcpListener,
        tls: Option<Certificates>,
    },
}

enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A byte stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

// === impl Listener ===

impl Listener {
    /// Lets in the processes of these users; all, if there are none.
    pub(super) fn unix(listener: UnixListener, uids: &[u32]) -> Self {
        let uids = uids.into();
        Self {
            socket: Socket::Unix { listener, uids },
            name: "unix",
        }
    }

    /// Speaks TLS if it is given what that needs.
    pub(super) const fn tcp(listener: TcpListener, tls: Option<Certificates>) -> Self {
        let name = if tls.is_some() { "tls" } else { "tcp" };
        Self {
            socket: Socket::Tcp { listener, tls },
            name,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Unix { listener, .. } => Ok(Accepted::Unix(listener.accept().await?.0)),
            Socket::Tcp { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream))
            }
        }
    }

    fn tls(&self) -> Option<TlsAcceptor> {
        match &self.socket {
            Socket::Unix { .. } => None,
            Socket::Tcp { tls, .. } => tls.as_ref().map(Certificates::acceptor),
        }
    }

    /// Returns whether the peer's process, by the kernel's word, is of a user who may connect.
    fn admits(&self, accepted: &Accepted) -> bool {
        match (&self.socket, accepted) {
            (Socket::Unix { uids, .. }, Accepted::Unix(stream)) if !uids.is_empty() => stream
                .peer_cred()
                .is_ok_and(|peer| uids.contains(&peer.uid())),
            _ => true,
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { listener, .. } => listener.fmt(f),
            Self::Tcp { listener, .. } => listener.fmt(f),
        }
    }
}

/// Serves until the other end of `stopped` is gone, then lets the requests in flight end.
pub(super) async fn serve(
    listener: Listener,
    app: Router,
    http: Http,
    mut stopped: watch::Receiver<()>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let idle = Idle::default();
    let graceful = GracefulShutdown::new();
    let name = listener.name;
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The peer is gone already, or there are too many files: the next try tells.
                tracing::debug!(%error, "Did not accept a connection");
                http.refused(name, Refusal::Accept);
                sleep(NO_ROOM_WAIT).await;
                continue;
            }
        };
        if !listener.admits(&accepted) {
            http.refused(name, Refusal::User);
            continue;
        }
        if room.available_permits() == 0 && idle.close_oldest() {
            http.refused(name, Refusal::Room);
        }
        let place = tokio::select! {
            _ = stopped.changed() => break,
            place = Arc::clone(&room).acquire_owned() => place,
        };
        let held = http.connected(name);
        let (slot, closing) = idle.enter();
        let (tls, app, http) = (listener.tls(), app.clone(), http.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _held = (place, held);
            let serving = async {
                match secure(accepted, tls).await {
                    Ok(stream) => speak(stream, app, &slot, watcher).await,
                    Err(error) => {
                        http.refused(name, Refusal::Handshake);
                        tracing::debug!(%error, "TLS handshake failed");
                    }
                }
            };
            tokio::select! {
                () = serving => {}
                Ok(()) = closing => tracing::debug!("Closed an idle connection"),
            }
        });
    }
    drop(listener);
    if timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("Gave up requests that were in flight");
    }
}

async fn secure(accepted: Accepted, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Stream>> {
    match (accepted, tls) {
        (Accepted::Unix(stream), _) => Ok(Box::new(stream)),
        (Accepted::Tcp(stream), None) => Ok(Box::new(stream)),
        (Accepted::Tcp(stream), Some(tls)) => {
            let handshake = timeout(HEAD_TIMEOUT, tls.accept(stream));
            Ok(Box::new(handshake.await.map_err(io::Error::from)??))
        }
    }
}

async fn speak(stream: Box<dyn Stream>, app: Router, slot: &Slot, watcher: Watcher) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .half_close(true)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES);
    let has_no_end = Arc::<AtomicBool>::default();
    let stream = Watched::new(stream, Arc::clone(&has_no_end));
    let stream = TokioIo::new(Impatient::new(stream, WRITE_PATIENCE));
    let app = TowerToHyperService::new(app);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(slot.claim());
        let answer = app.call(request);
        let has_no_end = Arc::clone(&has_no_end);
        async move {
            let answer = answer.await?;
            has_no_end.store(api::is_stream(&answer), Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = builder.serve_connection(stream, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "Connection ended early");
    }
}
