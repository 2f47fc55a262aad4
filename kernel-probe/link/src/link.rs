//! Links between programs and cgroups: made, pinned, and given another program.
//!
//! aya pins no link of a `setsockopt` program and exchanges the program of none on a cgroup.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use crate::call::{bpf, number, owned};

/// `enum bpf_cmd` of linux/bpf.h.
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;

/// A program attached to a cgroup; dropping it detaches the program, unless it is pinned.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
}

/// Where in a cgroup a program runs (`enum bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// `BPF_CGROUP_SOCK_OPS`.
    SockOps = 3,
    /// `BPF_CGROUP_INET4_GETPEERNAME`.
    GetPeerName4 = 29,
    /// `BPF_CGROUP_INET6_GETPEERNAME`.
    GetPeerName6 = 30,
}

/// `union bpf_attr` for `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
struct Object {
    /// The path's address; the kernel's field has 64 bits on every machine.
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct Create {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// `union bpf_attr` for `BPF_LINK_UPDATE`.
#[repr(C)]
struct Update {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

// === impl Link ===

impl Link {
    /// Attaches `program` to `cgroup`, beside the programs of others.
    ///
    /// # Kernel
    ///
    /// Linux 5.7, cgroup v2; CAP_BPF and CAP_NET_ADMIN.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the program there.
    pub fn new(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, hook: Hook) -> io::Result<Self> {
        let fd = bpf(
            BPF_LINK_CREATE,
            &mut Create {
                prog_fd: number(program.as_raw_fd())?,
                target_fd: number(cgroup.as_raw_fd())?,
                attach_type: hook as u32,
                flags: 0,
            },
        )?;
        Ok(Self { fd: owned(fd) })
    }

    /// Opens the link that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// Fails if there is nothing pinned, or it may not be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let fd = bpf(
            BPF_OBJ_GET,
            &mut Object {
                pathname: path.as_ptr() as u64,
                bpf_fd: 0,
                file_flags: 0,
            },
        )?;
        Ok(Self { fd: owned(fd) })
    }

    /// Keeps the link until the file `path` of a bpffs is removed.
    ///
    /// # Errors
    ///
    /// Fails if `path` exists, or is in no bpffs.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        bpf(
            BPF_OBJ_PIN,
            &mut Object {
                pathname: path.as_ptr() as u64,
                bpf_fd: number(self.fd.as_raw_fd())?,
                file_flags: 0,
            },
        )
        .map(|_zero| ())
    }

    /// Puts `program` in the place of the link's.
    ///
    /// The kernel exchanges them at once: each event is seen by the old one or by the new one,
    /// never by both or none.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses `program` there.
    pub fn replace(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        bpf(
            BPF_LINK_UPDATE,
            &mut Update {
                link_fd: number(self.fd.as_raw_fd())?,
                new_prog_fd: number(program.as_raw_fd())?,
                flags: 0,
                old_prog_fd: 0,
            },
        )
        .map(|_zero| ())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_is_no_link_and_no_program_is_refused() {
        let nothing = std::fs::File::open("/dev/null").unwrap();
        let fd = nothing.as_fd();
        assert!(Link::open(Path::new("/dev/null")).is_err());
        assert!(Link::open(Path::new("/nowhere")).is_err());
        assert!(Link::new(fd, fd, Hook::SockOps).is_err());
    }
}
