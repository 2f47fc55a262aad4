//! `bpf(2)` itself.

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
};

/// Calls `bpf(2)`; returns the descriptor or the zero that it answers.
pub(crate) fn bpf<A>(command: libc::c_int, attributes: &mut A) -> io::Result<RawFd> {
    // SAFETY: the kernel reads and writes `size_of::<A>()` bytes at `attributes`, which is alive and
    // not aliased. Every `A` of this package is the front of `union bpf_attr`, as its command
    // wants it; what an address in it leads to outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    match RawFd::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn number(fd: RawFd) -> io::Result<u32> {
    u32::try_from(fd).map_err(|_negative| io::ErrorKind::InvalidInput.into())
}
