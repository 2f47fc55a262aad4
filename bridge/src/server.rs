//! The listeners: facts on Unix sockets and protected TCP addresses, queries on a TCP address of their own.
//!
//! [`crate::api`] answers; `connections` bounds how long a connection may keep others waiting.

mod connections;
mod disconnect;
mod facts_socket;
mod idle;
mod protection;
mod rate;
mod stall;
mod tls;
mod tokens;

use std::{future::Future, io, net::SocketAddr, path::PathBuf};

use tokio::{
    net::{TcpListener, TcpSocket, UnixListener},
    sync::watch,
};

pub(crate) use self::idle::Claim;
use self::{
    connections::{BACKLOG, Listener, serve},
    facts_socket::{FactsSocket, Held},
};
pub use self::{
    facts_socket::FactsSocketError,
    protection::{AccessSettings, Protection, ProtectionError, TlsSettings},
    rate::Rate,
    tls::TlsError,
    tokens::{Tokens, TokensError},
};
use crate::{
    api,
    config::{FactsAddress, ReadsAddress, TcpAddress},
};

/// Where to listen, and who is allowed to connect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where facts are accepted.
    pub facts: Vec<FactsAddress>,
    /// Permission bits of the Unix sockets.
    pub facts_mode: u32,
    /// User ids that may connect to the Unix sockets; all that the mode lets, if there are none.
    pub facts_uids: Vec<u32>,
    /// Who may send facts over TCP, and how fast.
    pub facts_access: AccessSettings,
    /// Where queries are answered.
    pub reads: ReadsAddress,
    /// Who may query, and how fast.
    pub reads_access: AccessSettings,
    /// What `tls:` addresses need.
    pub tls: Option<TlsSettings>,
    /// How answers are printed.
    pub shown: api::Shown,
}

/// All listeners, bound and not accepting yet.
#[derive(Debug)]
pub struct Server {
    unix: Vec<Listener>,
    tcp: Vec<Listener>,
    reads: Listener,
    address: SocketAddr,
    protection: Protection,
    shown: api::Shown,
    _held: Vec<Held>,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket for facts.
    #[error(transparent)]
    Facts(#[from] FactsSocketError),
    /// A TCP address.
    #[error("listening on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

// === impl Server ===

impl Server {
    /// Binds all listeners.
    ///
    /// # Errors
    ///
    /// [`BindError`], if another bridge holds a socket, or the system refuses one.
    pub async fn bind(settings: &Settings, protection: Protection) -> Result<Self, BindError> {
        let (mut unix, mut tcp, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for address in &settings.facts {
            match address {
                FactsAddress::Unix(path) => {
                    let (listener, holds) = bind_unix(path.clone(), settings.facts_mode)?;
                    unix.push(Listener::unix(listener, &settings.facts_uids));
                    held.push(holds);
                }
                FactsAddress::Tcp(address) => tcp.push(bind_tcp(*address, &protection)?.0),
            }
        }
        let (reads, address) = bind_tcp(settings.reads.0, &protection)?;
        Ok(Self {
            unix,
            tcp,
            reads,
            address,
            protection,
            shown: settings.shown.clone(),
            _held: held,
        })
    }

    /// Returns the address on which queries are answered.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, then ends the requests in flight.
    pub async fn run(self, state: &api::State, stop: impl Future<Output = ()>) {
        let Protection { facts, reads, .. } = self.protection;
        let (running, stopped) = watch::channel(());
        // The mode and the user ids of a Unix socket are its protection.
        let of_host = facts.clone().without_tokens();
        let unix = self.unix.into_iter().map(|listener| (listener, &of_host));
        let tcp = self.tcp.into_iter().map(|listener| (listener, &facts));
        // Each has a router, and thereby budgets, of its own.
        let of_facts = unix.chain(tcp).map(|(listener, access)| {
            let app = api::facts(state.clone(), access.clone());
            (listener, app)
        });
        let questions = api::reads(state.clone().showing(self.shown), reads);
        let all = of_facts.chain([(self.reads, questions)]);
        let http = &state.metrics().http;
        let serving: Vec<_> = all
            .map(|(listener, app)| {
                let serving = serve(listener, app, http.clone(), stopped.clone());
                tokio::spawn(serving)
            })
            .collect();
        drop(stopped);
        stop.await;
        state.end_followers();
        drop(running);
        for served in serving {
            if let Err(error) = served.await {
                tracing::error!(%error, "Listener failed");
            }
        }
    }
}

fn bind_unix(path: PathBuf, mode: u32) -> Result<(UnixListener, Held), FactsSocketError> {
    Ok(FactsSocket::bind(&path, mode)?.into_parts())
}

fn bind_tcp(at: TcpAddress, protection: &Protection) -> Result<(Listener, SocketAddr), BindError> {
    let failed = |source| BindError::Tcp {
        address: at.address,
        source,
    };
    let listener = listen(at.address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let tls = protection.tls.clone().filter(|_| at.encrypted);
    Ok((Listener::tcp(listener, tls), address))
}

/// As [`TcpListener::bind`], with room in the kernel's queue for as many as are served at the same time: where
/// it is full, a client's handshake takes a second longer.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
