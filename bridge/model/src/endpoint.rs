//! Addresses as both views spell them, made equal where they mean the same.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    str,
};

/// An address and a port; an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) is IPv4.
///
/// Text: `192.0.2.1:80`, `[2001:db8::1]:80`, as Envoy writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    address: IpAddr,
    port: u16,
}

/// Both ends of a socket, as its own host sees them. Not an identity: ports are reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey {
    /// This host's end.
    pub local: Endpoint,
    /// The far end.
    pub peer: Endpoint,
}

/// Text that is not an address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an IP address and a port, such as 192.0.2.1:80 or [2001:db8::1]:80")]
pub struct ParseEndpointError;

// === impl Endpoint ===

impl Endpoint {
    /// Returns the end at `address`, in canonical form, and `port`.
    #[must_use]
    pub const fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address: address.to_canonical(),
            port,
        }
    }

    /// Returns the address; never an IPv4-mapped one.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Returns the port, in host order.
    #[must_use]
    pub const fn port(self) -> u16 {
        self.port
    }
}

impl str::FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, ParseEndpointError> {
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self::new(address.ip(), address.port())),
            Err(_) => Err(ParseEndpointError),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl ConnKey ===

impl ConnKey {
    /// Returns the same connection as the far end sees it.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self {
            local: self.peer,
            peer: self.local,
        }
    }
}

impl fmt::Debug for ConnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local, self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_equals_the_ipv4_address() {
        let mapped: Endpoint = "[::ffff:192.0.2.1]:80".parse().unwrap();
        assert_eq!(mapped, "192.0.2.1:80".parse().unwrap());
    }

    #[test]
    fn an_address_without_a_port_is_refused() {
        assert_eq!("192.0.2.1".parse::<Endpoint>(), Err(ParseEndpointError));
        assert_eq!(
            "2001:db8::1:80".parse::<Endpoint>(),
            Err(ParseEndpointError)
        );
    }
}
