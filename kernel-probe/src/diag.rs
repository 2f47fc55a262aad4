//! `sock_diag`: the kernel's table of TCP sockets, asked for and told of, without any eBPF.
//!
//! Netlink messages are encoded and decoded here; what they mean is for others.

mod message;
mod socket;

pub(crate) use message::{States, TcpInfo, TcpSocket};
pub(crate) use socket::{Destroyed, DiagError, Dump};
