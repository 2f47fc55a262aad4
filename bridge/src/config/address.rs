//! Values of settings that are more than a number or a name, read from text.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where facts are accepted. Text: `unix:/run/syntrace/bridge.sock`, `tcp:127.0.0.1:4391`,
/// `tls:192.0.2.1:4391`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactsAddress {
    /// A Unix socket at an absolute path.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(TcpAddress),
}

/// Where a TCP listener is bound. Text: `127.0.0.1:4390`, or `tls:127.0.0.1:4390`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpAddress {
    /// Address and port; port 0 chooses a free one.
    pub address: SocketAddr,
    /// Whether it is TLS only.
    pub encrypted: bool,
}

/// Where queries are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadsAddress(pub TcpAddress);

/// Permission bits of a socket. Text: octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(pub u32);

/// Base URL of a collector; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(String);

/// Text that is never printed, not in an error either.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

/// Text that is not what the setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a [`FactsAddress`].
    #[error(
        "expected the path of a Unix socket or an address, such as unix:/run/syntrace/bridge.sock, \
         tcp:127.0.0.1:4391 or tls:192.0.2.1:4391"
    )]
    Facts,
    /// Not an address and a port.
    #[error("expected an address and a port, such as 127.0.0.1:4390 or tls:192.0.2.1:4390")]
    Address,
    /// Not a [`SocketMode`].
    #[error("expected permission bits in octal, such as 660")]
    Mode,
    /// Not a [`CollectorUrl`].
    #[error("expected an http:// or https:// URL, such as http://127.0.0.1:4318")]
    Collector,
}

impl FactsAddress {
    /// Returns the TCP address, if it is one.
    #[must_use]
    pub const fn tcp(&self) -> Option<TcpAddress> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(address) => Some(*address),
        }
    }
}

impl CollectorUrl {
    /// Returns the URL, if there is one.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }
}

// === impl Display ===

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.encrypted { "tls:" } else { "" };
        write!(f, "{scheme}{}", self.address)
    }
}

impl fmt::Display for ReadsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

// === impl FromStr ===

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for FactsAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (scheme, rest) = text.split_once(':').ok_or(ParseError::Facts)?;
        let tcp = |encrypted| {
            let address = rest.parse().map_err(|_wrong| ParseError::Facts)?;
            Ok(Self::Tcp(TcpAddress { address, encrypted }))
        };
        match scheme {
            "unix" if Path::new(rest).is_absolute() => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" => tcp(false),
            "tls" => tcp(true),
            _ => Err(ParseError::Facts),
        }
    }
}

impl FromStr for ReadsAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (encrypted, address) = match text.strip_prefix("tls:") {
            Some(address) => (true, address),
            None => (false, text),
        };
        let address = address.parse().map_err(|_wrong| ParseError::Address)?;
        Ok(Self(TcpAddress { address, encrypted }))
    }
}

impl FromStr for SocketMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            Ok(_) | Err(_) => Err(ParseError::Mode),
        }
    }
}

impl FromStr for CollectorUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let schemes = ["http://", "https://"];
        let host = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        if text.is_empty() || host.is_some_and(|host| !host.is_empty()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::Collector)
        }
    }
}
