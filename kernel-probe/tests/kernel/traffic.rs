//! Connections over loopback, with both ends in this process.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with},
};

/// Bytes each way.
#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) request: usize,
    pub(crate) response: usize,
}

impl Exchange {
    /// A byte each way.
    pub(crate) const SMALLEST: Self = Self {
        request: 1,
        response: 1,
    };
}

/// Both ends of an established connection; dropping it closes the active one first.
pub(crate) struct Pair {
    active: TcpStream,
    passive: TcpStream,
}

/// Connects, sends a request, answers it, closes in order; returns the listener's port.
pub(crate) fn exchange(listener: &TcpListener, exchange: Exchange) -> u16 {
    let Pair {
        mut active,
        mut passive,
    } = connected(listener);
    active.write_all(&vec![1; exchange.request]).unwrap();
    passive.read_exact(&mut vec![0; exchange.request]).unwrap();
    passive.write_all(&vec![2; exchange.response]).unwrap();
    active.read_exact(&mut vec![0; exchange.response]).unwrap();
    active.shutdown(Shutdown::Write).unwrap();
    assert_eq!(passive.read(&mut [0]).unwrap(), 0);
    drop(passive);
    assert_eq!(active.read(&mut [0]).unwrap(), 0);
    listener.local_addr().unwrap().port()
}

/// Connects; the accepted end is touched as a server would.
pub(crate) fn connected(listener: &TcpListener) -> Pair {
    let active = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Pair::of(active, listener)
}

/// Connects two sockets of `address` to each other. Where the first SYN is lost, the second finds a socket that has
/// sent its own.
pub(crate) fn crossed(address: Ipv4Addr) -> Pair {
    let bound = || {
        let flags = SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddr::from((address, 0))).unwrap();
        TcpStream::from(socket)
    };
    let (active, passive) = (bound(), bound());
    for (own, other) in [(&active, &passive), (&passive, &active)] {
        let under_way = connect(own, &other.local_addr().unwrap()).unwrap_err();
        assert_eq!(under_way, Errno::INPROGRESS);
    }
    for mut end in [&active, &passive] {
        end.set_nonblocking(false).unwrap();
        // Sends nothing, when the handshake is done.
        assert_eq!(end.write(&[]).unwrap(), 0);
    }
    Pair { active, passive }
}

/// Connects, and closes the accepted end before it has read what was sent: an RST.
pub(crate) fn closed_with_unread_data(listener: &TcpListener) {
    let Pair {
        mut active,
        passive,
    } = connected(listener);
    active.write_all(b"unread").unwrap();
    passive.peek(&mut [0]).unwrap();
    drop(passive);
    active.read(&mut [0]).unwrap_err();
}

impl Pair {
    /// Accepts the other end of `active`, which is touched as a server would.
    pub(crate) fn of(active: TcpStream, listener: &TcpListener) -> Self {
        let (passive, _) = listener.accept().unwrap();
        passive.set_nodelay(true).unwrap();
        Self { active, passive }
    }

    /// Returns the ports of both ends.
    pub(crate) fn ports(&self) -> [u16; 2] {
        [&self.active, &self.passive].map(|end| end.local_addr().unwrap().port())
    }

    /// Sends `count` bytes there and back, one at a time.
    pub(crate) fn round_trips(&mut self, count: usize) {
        for _ in 0..count {
            self.active.write_all(b"?").unwrap();
            self.passive.read_exact(&mut [0]).unwrap();
            self.passive.write_all(b"!").unwrap();
            self.active.read_exact(&mut [0]).unwrap();
        }
    }
}
