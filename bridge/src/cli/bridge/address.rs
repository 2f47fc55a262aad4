//! The address of an HTTP server, as it is written on the command line.

use std::{fmt, path::PathBuf, str::FromStr};

/// Text: `http://127.0.0.1:4390`, `127.0.0.1:4390`, `https://gateway:4390`, `unix:/run/x.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Address {
    /// Host and port.
    Tcp(String),
    /// Host and port, with TLS.
    Tls(String),
    /// Path of a socket.
    Unix(PathBuf),
}

/// Text that is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected http://HOST:PORT, https://HOST:PORT or unix:/PATH, such as http://127.0.0.1:4390"
)]
pub(in crate::cli) struct ParseAddressError;

impl Address {
    /// Returns the host without its port, as a certificate names it.
    pub(super) fn host(authority: &str) -> &str {
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        inner.unwrap_or(host)
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (path.starts_with('/'))
                .then(|| Self::Unix(path.into()))
                .ok_or(ParseAddressError);
        }
        let (tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").unwrap_or(text)),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        match authority.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() =>
            {
                let kind = if tls { Self::Tls } else { Self::Tcp };
                Ok(kind(authority.to_owned()))
            }
            Some(_) | None => Err(ParseAddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Tls(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_scheme() {
        let tcp = Ok(Address::Tcp("127.0.0.1:4390".to_owned()));
        assert_eq!("http://127.0.0.1:4390/".parse(), tcp);
        assert_eq!("127.0.0.1:4390".parse(), tcp);
        let tls = Ok(Address::Tls("gateway:4390".to_owned()));
        assert_eq!("https://gateway:4390".parse(), tls);
        let unix = Ok(Address::Unix("/run/x.sock".into()));
        assert_eq!("unix:/run/x.sock".parse(), unix);
        for wrong in [
            "",
            "host",
            "http://host",
            "https://host",
            "unix:x.sock",
            ":1",
        ] {
            assert_eq!(wrong.parse::<Address>(), Err(ParseAddressError), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_named_without_port_and_brackets() {
        assert_eq!(Address::host("gateway:1"), "gateway");
        assert_eq!(Address::host("[2001:db8::1]:1"), "2001:db8::1");
    }
}
