//! Listens: on a Unix socket for facts and questions, on loopback TCP for questions only.
//!
//! Connections are bounded in number, and so is the time that a request's head may take. What is
//! answered is [`crate::api`]'s business.

mod facts_socket;

use std::{future::Future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use self::facts_socket::FactsSocket;
pub use self::facts_socket::FactsSocketError;
use crate::api;

/// Connections that each listener holds at the same time; others wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

/// How long a request's head may take, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long requests in flight may take after the order to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Both listeners, bound and not accepting yet.
#[derive(Debug)]
pub struct Server {
    facts: FactsSocket,
    reads: TcpListener,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket for facts.
    #[error(transparent)]
    Facts(#[from] FactsSocketError),
    /// The address for questions.
    #[error("listening on {address}")]
    Reads {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

// === impl Server ===

impl Server {
    /// Binds both listeners.
    ///
    /// # Errors
    ///
    /// [`BindError`], if another bridge holds the socket, or the system refuses either.
    pub async fn bind(facts: &Path, reads: SocketAddr) -> Result<Self, BindError> {
        let facts = FactsSocket::bind(facts)?;
        let bound = TcpListener::bind(reads).await;
        let reads = bound.map_err(|source| BindError::Reads {
            address: reads,
            source,
        })?;
        Ok(Self { facts, reads })
    }

    /// Returns the address on which questions are answered.
    ///
    /// # Errors
    ///
    /// If `getsockname` fails.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.reads.local_addr()
    }

    /// Serves until `stop` is ready, then ends the requests in flight.
    pub async fn run(self, state: &api::State, stop: impl Future<Output = ()>) {
        let (running, stopped) = watch::channel(());
        let (listener, _held) = self.facts.into_parts();
        let facts = serve(
            listener,
            api::reads_and_facts(state.clone()),
            stopped.clone(),
        );
        let reads = serve(self.reads, api::reads(state.clone()), stopped);
        let stop = async move {
            stop.await;
            drop(running);
        };
        tokio::join!(facts, reads, stop);
    }
}

/// Accepts connections until the other end of `stopped` is gone.
async fn serve<L: Listener>(mut listener: L, app: Router, mut stopped: watch::Receiver<()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, (stream, _)) = tokio::select! {
            _ = stopped.changed() => break,
            accepted = accepted => accepted,
        };
        let service = TowerToHyperService::new(app.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(error = &*error, "Connection ended early");
            }
        });
    }
    drop(listener);
    if timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("Gave up requests that were in flight");
    }
}
