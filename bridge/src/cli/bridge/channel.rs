//! The transport to an address: TCP, TLS over TCP, or a Unix socket.

use std::{io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::Address;

/// Either of the three.
pub(super) trait Channel: AsyncRead + AsyncWrite + Unpin + Send {}

impl<C: AsyncRead + AsyncWrite + Unpin + Send> Channel for C {}

/// Connects; `tls` is called where the address requires TLS.
pub(super) async fn open(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
) -> io::Result<Box<dyn Channel>> {
    Ok(match address {
        Address::Tcp(authority) => Box::new(TcpStream::connect(authority).await?),
        Address::Tls(authority) => {
            let config = tls.ok_or(io::ErrorKind::Unsupported)?;
            let name = ServerName::try_from(Address::host(authority).to_owned());
            let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let stream = TcpStream::connect(authority).await?;
            let connector = TlsConnector::from(Arc::clone(config));
            Box::new(connector.connect(name, stream).await?)
        }
        Address::Unix(socket) => Box::new(UnixStream::connect(socket).await?),
    })
}
