//! What a socket tells of its network namespace.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr,
};

/// `SO_NETNS_COOKIE` of asm-generic/socket.h.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Returns the number that names the network namespace of `socket` until reboot, as
/// `bpf_get_netns_cookie()` does.
///
/// # Kernel
///
/// Linux 5.14.
///
/// # Errors
///
/// Fails if it is no socket, or the kernel does not tell.
pub fn netns_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, and what it wrote to `length`.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            ptr::from_mut(&mut cookie).cast(),
            &raw mut length,
        )
    };
    if answer == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, net::UdpSocket, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn sockets_of_one_namespace_tell_the_same() {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let [first, second] = sockets.map(|socket| netns_cookie(socket.as_fd()).unwrap());
        assert_ne!(first, 0);
        assert_eq!(first, second);
    }

    #[test]
    fn what_is_no_socket_tells_nothing() {
        let nothing = File::open("/dev/null").unwrap();
        assert!(netns_cookie(nothing.as_fd()).is_err());
    }
}
