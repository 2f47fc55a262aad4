//! Both ends of a socket, its 4-tuple, in 36 bytes: address families and padding would take a tenth more. Equal
//! where the ends are, so sockets are found by it.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv6Addr},
};

use syntrace_model::{ConnKey, Endpoint, Opening};

use crate::index::Index;

/// What makes an IPv4 address an IPv6 address: ::ffff:0:0.
const MAPPED: u128 = 0xffff_0000_0000;

/// Both ends of a socket; an IPv4 address as the IPv6 address that means the same (RFC 4291, section
/// 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuple {
    addresses: [[u8; 16]; 2],
    ports: [u16; 2],
}

/// A tuple to look up, and the hash it is found under: hashed once, and used for each lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashedTuple {
    pub(super) tuple: Tuple,
    pub(super) hash: u32,
}

/// The far end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FarEnd {
    address: [u8; 16],
    port: u16,
}

impl HashedTuple {
    /// Returns the hash; it is even.
    pub(crate) const fn hash(self) -> u32 {
        self.hash
    }
}

// The local end comes first.
impl From<ConnKey> for Tuple {
    fn from(ConnKey { local, peer }: ConnKey) -> Self {
        Self {
            addresses: [local, peer].map(octets),
            ports: [local, peer].map(Endpoint::port),
        }
    }
}

impl From<Endpoint> for FarEnd {
    fn from(end: Endpoint) -> Self {
        Self {
            address: octets(end),
            port: end.port(),
        }
    }
}

impl Hash for FarEnd {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.address));
        state.write_u16(self.port);
    }
}

impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [local, peer] = self.addresses.map(u128::from_ne_bytes);
        state.write_u128(local);
        state.write_u128(peer);
        let [local, peer] = self.ports.map(u32::from);
        state.write_u32(local << 16 | peer);
    }
}

impl Tuple {
    /// Returns the hash of what finds a socket: of an accepted one the far end, because the other may have
    /// been rewritten; of a dialled one both.
    pub(super) fn found_by(self, index: &Index, opening: Opening) -> u32 {
        match opening {
            Opening::Passive => index.hash(self.peer()),
            Opening::Active => index.hash(self),
        }
    }

    /// Returns the far end.
    pub(super) const fn peer(&self) -> FarEnd {
        let ([_, address], [_, port]) = (self.addresses, self.ports);
        FarEnd { address, port }
    }

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

const fn octets(end: Endpoint) -> [u8; 16] {
    match end.address() {
        IpAddr::V4(address) => (MAPPED | address.to_bits() as u128).to_be_bytes(),
        IpAddr::V6(address) => address.octets(),
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
                assert_eq!(Tuple::from(key).key(), key);
                assert_eq!(Tuple::from(key).peer(), FarEnd::from(peer));
            }
        }
    }
}
