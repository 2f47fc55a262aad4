//! Offsets of kernel fields that no stable interface has, from the running kernel's BTF.
//!
//! Rust eBPF has no relocations against the kernel's types (CO-RE), so the loader patches these
//! in. A field that is not found turns one capability off, and nothing else.

use std::path::Path;

use btf_rs::{Backend, Btf, Type};

/// The running kernel's types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Byte offsets within a TCP socket, at whose head stands a `struct sock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// `sk_err`: why the kernel ended a connection.
    pub(crate) sk_err: Option<u32>,
    /// `__sk_common.skc_flags`: whether the peer's FIN was received.
    pub(crate) skc_flags: Option<u32>,
    /// `sk_mark`: SO_MARK.
    pub(crate) sk_mark: Option<u32>,
    /// `tcp_clock_cache`: when the kernel began with the segment that it works on.
    pub(crate) tcp_clock_cache: Option<u32>,
    /// `__sk_common.skc_cookie`: the socket's cookie.
    pub(crate) skc_cookie: Option<u32>,
    /// `__sk_common.skc_net`: the socket's network namespace, `struct net`.
    pub(crate) skc_net: Option<u32>,
    /// `net_cookie` in that: its cookie.
    pub(crate) net_cookie: Option<u32>,
}

impl Offsets {
    /// Reads the running kernel's; what is not found is `None`.
    pub(crate) fn read() -> Self {
        // Mapped, where the kernel allows it (since 6.16): parsed whole, it would cost 20 MB.
        let btf = Btf::from_file_with_backend(Path::new(VMLINUX), Backend::Mmap)
            .or_else(|_| Btf::from_file(Path::new(VMLINUX)));
        let btf = match btf {
            Ok(btf) => btf,
            Err(error) => {
                tracing::debug!(%error, path = VMLINUX, "Found no kernel types");
                return Self::default();
            }
        };
        Self {
            sk_err: offset_of(&btf, "sock", "sk_err"),
            skc_flags: offset_of(&btf, "sock_common", "skc_flags"),
            sk_mark: offset_of(&btf, "sock", "sk_mark"),
            tcp_clock_cache: offset_of(&btf, "tcp_sock", "tcp_clock_cache"),
            skc_cookie: offset_of(&btf, "sock_common", "skc_cookie"),
            skc_net: offset_of(&btf, "sock_common", "skc_net"),
            net_cookie: offset_of(&btf, "net", "net_cookie"),
        }
    }
}

impl Offsets {
    /// Returns the offsets by the names that the programs give them; 0 for what was not found.
    pub(crate) fn by_name(&self) -> [(&'static str, u32); 7] {
        [
            ("SK_ERR_OFFSET", self.sk_err),
            ("SKC_FLAGS_OFFSET", self.skc_flags),
            ("SK_MARK_OFFSET", self.sk_mark),
            ("TCP_CLOCK_CACHE_OFFSET", self.tcp_clock_cache),
            ("SKC_COOKIE_OFFSET", self.skc_cookie),
            ("SKC_NET_OFFSET", self.skc_net),
            ("NET_COOKIE_OFFSET", self.net_cookie),
        ]
        .map(|(name, offset)| (name, offset.unwrap_or(0)))
    }
}

/// Returns the offset of `member` in `struct name`, in bytes; members of unnamed structs and
/// unions count as the struct's own.
fn offset_of(btf: &Btf, name: &str, member: &str) -> Option<u32> {
    let types = btf.resolve_types_by_name(name).ok()?;
    types.iter().find_map(|found| {
        if let Type::Struct(found) = found {
            search(btf, &found.members, member)
        } else {
            None
        }
    })
}

fn search(btf: &Btf, members: &[btf_rs::Member], name: &str) -> Option<u32> {
    members.iter().find_map(|member| {
        let at = member.bit_offset() / 8;
        match btf.resolve_name(member) {
            Ok(found) if found == name => Some(at),
            Ok(found) if !found.is_empty() => None,
            _ => match btf.resolve_chained_type(member) {
                Ok(Type::Struct(inner) | Type::Union(inner)) => {
                    search(btf, &inner.members, name).map(|inner| at + inner)
                }
                _ => None,
            },
        }
    })
}
