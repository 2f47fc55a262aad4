//! The netlink sockets: one to ask, one that is told of every destroyed TCP socket.
//!
//! A netlink socket speaks of the network namespace in which it was made. Nothing here needs a
//! privilege; with CAP_NET_ADMIN answers also tell the sockets' marks.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with,
        sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force},
    },
};

use super::message::{Answer, Answers, States, TcpSocket, dump_request};

/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];

/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY`, as a mask of groups 1 and 3.
const DESTROYED_GROUPS: u32 = 1 << 0 | 1 << 2;

/// The longest datagram of an answer (`NLMSG_GOODSIZE` is at most 8 KiB; dumps use up to 32).
const DATAGRAM_BYTES: usize = 32 << 10;

/// What may wait to be read: about 10,000 destroyed sockets.
const BACKLOG_BYTES: usize = 8 << 20;

/// Why the kernel's table could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiagError {
    /// A call failed.
    #[error("{call} of a sock_diag socket failed: {source}")]
    Call {
        /// The system call.
        call: &'static str,
        /// What it answered.
        source: Errno,
    },
    /// The kernel answered with an error.
    #[error("the kernel refused to list its TCP sockets: {0}")]
    Refused(#[source] io::Error),
}

/// Asks.
#[derive(Debug)]
pub(crate) struct Dump {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// Is told.
#[derive(Debug)]
pub(crate) struct Destroyed {
    socket: OwnedFd,
    /// The kernel's number for the socket.
    port: u32,
    buffer: Vec<u8>,
}

// === impl Dump ===

impl Dump {
    /// Opens a socket in the thread's network namespace.
    ///
    /// # Errors
    ///
    /// [`DiagError::Call`] if netlink is not to be had.
    pub(crate) fn open() -> Result<Self, DiagError> {
        Ok(Self {
            socket: open(SocketFlags::CLOEXEC)?,
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// Returns the number of the network namespace; 0 where this kernel does not tell.
    pub(crate) fn netns_cookie(&self) -> u64 {
        syntrace_cgroup_link::netns_cookie(self.socket.as_fd()).unwrap_or(0)
    }

    /// Returns all TCP sockets in `states`, IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// [`DiagError`] if the kernel does not answer, or refuses.
    pub(crate) fn sockets(&mut self, states: States) -> Result<Vec<TcpSocket>, DiagError> {
        self.ask(states, None)
    }

    /// Returns those of which nothing is kept in `storage`, a map of socket storage.
    ///
    /// # Errors
    ///
    /// [`DiagError`] if the kernel does not answer, or refuses: it wants CAP_BPF.
    pub(crate) fn sockets_without(
        &mut self,
        storage: BorrowedFd<'_>,
        states: States,
    ) -> Result<Vec<TcpSocket>, DiagError> {
        // A descriptor that is borrowed is no negative number.
        let map = u32::try_from(storage.as_raw_fd()).ok();
        let mut sockets = self.ask(states, map)?;
        sockets.retain(|socket| !socket.has_storage);
        Ok(sockets)
    }

    fn ask(&mut self, states: States, storage: Option<u32>) -> Result<Vec<TcpSocket>, DiagError> {
        let mut found = Vec::new();
        for family in FAMILIES {
            let request = dump_request(family, states, storage);
            let kernel = SocketAddrNetlink::new(0, 0);
            sendto(&self.socket, &request, SendFlags::empty(), &kernel).map_err(call("send"))?;
            while self.read_some(&mut found)? {}
        }
        Ok(found)
    }

    /// Reads one datagram; returns whether more are to come.
    fn read_some(&mut self, found: &mut Vec<TcpSocket>) -> Result<bool, DiagError> {
        let (_, length) = recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty())
            .map_err(call("recv"))?;
        for answer in Answers::new(self.buffer.get(..length).unwrap_or_default()) {
            match answer {
                Answer::Socket(socket) => found.push(socket),
                Answer::Done => return Ok(false),
                Answer::Refused(errno) => {
                    return Err(DiagError::Refused(io::Error::from_raw_os_error(errno)));
                }
                Answer::Other => {}
            }
        }
        Ok(length > 0)
    }
}

// === impl Destroyed ===

impl Destroyed {
    /// Opens a socket in the thread's network namespace and joins both groups.
    ///
    /// # Errors
    ///
    /// [`DiagError::Call`] if netlink or the groups are not to be had.
    pub(crate) fn open() -> Result<Self, DiagError> {
        let socket = open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        // Beyond the system's bound only with CAP_NET_ADMIN.
        if set_socket_recv_buffer_size_force(&socket, BACKLOG_BYTES).is_err() {
            set_socket_recv_buffer_size(&socket, BACKLOG_BYTES).map_err(call("setsockopt"))?;
        }
        bind(&socket, &SocketAddrNetlink::new(0, DESTROYED_GROUPS)).map_err(call("bind"))?;
        let name = getsockname(&socket).map_err(call("getsockname"))?;
        let name = SocketAddrNetlink::try_from(name).map_err(call("getsockname"))?;
        Ok(Self {
            socket,
            port: name.pid(),
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// Hands destroyed sockets that wait to be read to `take`, at most `turn` datagrams of them.
    ///
    /// # Errors
    ///
    /// [`DiagError::Call`] if the socket fails. News that found no room are not an error:
    /// [`Destroyed::drops`] counts them.
    pub(crate) fn drain(
        &mut self,
        turn: usize,
        mut take: impl FnMut(TcpSocket),
    ) -> Result<(), DiagError> {
        for _ in 0..turn {
            let length = match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::NOBUFS | Errno::INTR) => continue,
                Err(source) => {
                    return Err(DiagError::Call {
                        call: "recv",
                        source,
                    });
                }
            };
            for answer in Answers::new(self.buffer.get(..length).unwrap_or_default()) {
                if let Answer::Socket(socket) = answer {
                    take(socket);
                }
            }
        }
        Ok(())
    }

    /// Returns how many news found no room since the socket was opened, by `table`: the file
    /// `net/netlink` of a process in its network namespace. 0 if the socket is not there.
    pub(crate) fn drops(&self, table: &str) -> u64 {
        drops_of(self.port, table)
    }
}

/// Reads the column `Drops` of the `NETLINK_SOCK_DIAG` socket numbered `port`.
fn drops_of(port: u32, table: &str) -> u64 {
    const SOCK_DIAG: &str = "4";
    let drops = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, protocol, found, _, _, _, _, _, drops, ..] = fields.as_slice() else {
            return None;
        };
        let is_ours = protocol == SOCK_DIAG && found.parse() == Ok(port);
        is_ours.then(|| drops.parse().ok()).flatten()
    };
    table.lines().find_map(drops).unwrap_or(0)
}

fn open(flags: SocketFlags) -> Result<OwnedFd, DiagError> {
    socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        Some(netlink::SOCK_DIAG),
    )
    .map_err(call("socket"))
}

fn call(call: &'static str) -> impl Fn(Errno) -> DiagError {
    move |source| DiagError::Call { call, source }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sockets = Dump::open().unwrap().sockets(States::LISTENING).unwrap();
        let found = sockets.iter().find(|socket| socket.local_port == port);
        let found = found.unwrap();
        assert!(found.is_ipv4 && found.local.starts_with(&[127, 0, 0, 1]));
        assert!(found.cookie > 0 && found.inode > 0 && found.queue_max > 0);
        assert_eq!(found.queue, 0);
    }

    #[test]
    fn drops_are_those_of_one_socket() {
        let table = "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n\
                     0 0 77 00000005 0 0 0 2 9 3\n\
                     0 4 78 00000005 0 0 0 2 9 2\n\
                     0 4 77 00000005 0 0 0 2 3 1\n";
        assert_eq!(drops_of(77, table), 3);
        assert_eq!(drops_of(79, table), 0);
    }
}
