//! Both ends of a socket in the bytes that they need: what says of which family an address is, and what
//! aligns it, would be a tenth of them.

use std::net::{IpAddr, Ipv6Addr};

use syntrace_model::{ConnKey, Endpoint};

/// Both ends of a socket; an IPv4 address as the IPv6 address that means the same (RFC 4291, section
/// 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    addresses: [[u8; 16]; 2],
    ports: [u16; 2],
}

// The local end comes first.
impl From<ConnKey> for Ends {
    fn from(ConnKey { local, peer }: ConnKey) -> Self {
        Self {
            addresses: [local, peer].map(|end| match end.address() {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            }),
            ports: [local, peer].map(Endpoint::port),
        }
    }
}

impl Ends {
    /// Returns both ends.
    pub(super) const fn key(self) -> ConnKey {
        let [local, peer] = self.addresses;
        let [local_port, peer_port] = self.ports;
        ConnKey {
            local: end(local, local_port),
            peer: end(peer, peer_port),
        }
    }

    /// Returns the ports, the local one first.
    pub(super) const fn ports(self) -> [u16; 2] {
        self.ports
    }
}

const fn end(address: [u8; 16], port: u16) -> Endpoint {
    Endpoint::new(IpAddr::V6(Ipv6Addr::from_octets(address)), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_come_back_as_they_were() {
        let ends = ["192.0.2.1:80", "[2001:db8::1]:65535", "[::]:0"];
        let ends = ends.map(|end| end.parse::<Endpoint>().unwrap());
        for local in ends {
            for peer in ends {
                let key = ConnKey { local, peer };
                assert_eq!(Ends::from(key).key(), key);
            }
        }
    }
}
