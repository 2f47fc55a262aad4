//! One end of a socket of the kernel's table, in one form: IPv4 is v4-mapped.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use syntrace_ebpf_common::mapped;
use syntrace_proto::Endpoint;

use crate::diag::TcpSocket;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Local {
    address: [u8; 16],
    port: u16,
}

/// Returns this host's end.
pub(crate) fn local(socket: &TcpSocket) -> Local {
    Local::new(socket.is_ipv4, socket.local, socket.local_port)
}

/// Returns the far end.
pub(crate) fn peer(socket: &TcpSocket) -> Local {
    Local::new(socket.is_ipv4, socket.peer, socket.peer_port)
}

// === impl Local ===

impl Local {
    /// No end of a single socket: a whole network namespace.
    pub(crate) const NONE: Self = Self {
        address: [0; 16],
        port: 0,
    };

    fn new(is_ipv4: bool, address: [u8; 16], port: u16) -> Self {
        let [a, b, c, d, ..] = address;
        let address = if is_ipv4 {
            // A listener at 0.0.0.0 and one at [::] take the same connections here.
            if [a, b, c, d] == [0; 4] {
                [0; 16]
            } else {
                mapped([a, b, c, d])
            }
        } else {
            address
        };
        Self { address, port }
    }

    /// Returns the end at all addresses of this port.
    pub(crate) const fn any(self) -> Self {
        Self {
            address: [0; 16],
            port: self.port,
        }
    }

    /// Returns the wire's form, in which an IPv4 address has 4 bytes.
    pub(crate) fn to_fact(self) -> Endpoint {
        let address = match self.address().ip() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        Endpoint {
            address,
            port: self.port.into(),
        }
    }

    fn address(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.address).to_canonical(), self.port)
    }
}
