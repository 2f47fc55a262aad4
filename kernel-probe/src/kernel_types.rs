//! What the programs are told of the running kernel's types (BTF): where fields lie that no stable
//! interface has, and the numbers of structures and functions.
//!
//! Rust eBPF has no relocations against the kernel's types (CO-RE), so the loader patches these
//! in. A field that is not found turns one capability off, and nothing else.

use std::path::Path;

use btf_rs::{Backend, Btf, Type};
use syntrace_ebpf_common::{ANSWER_ZERO, CAST, CAST_CONTEXT, call_to};

use crate::reset_reasons::ResetReasons;

/// The running kernel's types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why nothing is found where there is no such file, and what helps.
pub(crate) const UNREADABLE: &str = "the kernel's types (/sys/kernel/btf/vmlinux) cannot be read: that \
     takes a kernel built with CONFIG_DEBUG_INFO_BTF, and sysfs (mount -t sysfs sysfs /sys)";

/// Why a close cannot tell its reason though there is such a file.
const NO_ERRORS: &str = "the kernel's types (/sys/kernel/btf/vmlinux) lack `sk_err`, `bpf_rdonly_cast` or \
     `bpf_cast_to_kern_ctx`: that takes a newer kernel";

/// The offset without which no close tells its reason.
const SK_ERR: &str = "SK_ERR_OFFSET";

/// Fields within a TCP socket, at whose head stands a `struct sock`, within a task, and what they lead
/// to: the name of the offset in the programs, and the way from structure to structure.
const FIELDS: [(&str, Way); 21] = [
    (SK_ERR, &[("sock", "sk_err")]),
    ("SKC_FLAGS_OFFSET", &[("sock_common", "skc_flags")]),
    ("SK_MARK_OFFSET", &[("sock", "sk_mark")]),
    ("TCP_CLOCK_CACHE_OFFSET", &[("tcp_sock", "tcp_clock_cache")]),
    ("CB_FLAGS_OFFSET", &[("tcp_sock", "bpf_sock_ops_cb_flags")]),
    (
        "DEFER_ACCEPT_OFFSET",
        &[
            ("inet_connection_sock", "icsk_accept_queue"),
            ("request_sock_queue", "rskq_defer_accept"),
        ],
    ),
    ("SKC_COOKIE_OFFSET", &[("sock_common", "skc_cookie")]),
    ("SKC_NET_OFFSET", &[("sock_common", "skc_net")]),
    ("NET_COOKIE_OFFSET", &[("net", "net_cookie")]),
    ("SKC_LISTENER_OFFSET", &[("sock_common", "skc_listener")]),
    ("SNT_SYNACK_OFFSET", &[("tcp_request_sock", "snt_synack")]),
    (SOCK_OPS_SK, &[("bpf_sock_ops_kern", "sk")]),
    ("SKB_OFFSET", &[("bpf_sock_ops_kern", "skb")]),
    ("SYN_SKB_OFFSET", &[("bpf_sock_ops_kern", "syn_skb")]),
    ("SKB_DATA_OFFSET", &[("sk_buff", "data")]),
    ("TASK_TGID_OFFSET", &[("task_struct", "tgid")]),
    ("TASK_PID_OFFSET", &[("task_struct", "pid")]),
    ("TASK_CGROUPS_OFFSET", &[("task_struct", "cgroups")]),
    ("DEFAULT_CGROUP_OFFSET", &[("css_set", "dfl_cgrp")]),
    ("CGROUP_NODE_OFFSET", &[("cgroup", "kn")]),
    ("NODE_ID_OFFSET", &[("kernfs_node", "id")]),
];

/// The one field that may be the first of its structure: the programs know it by one more.
const SOCK_OPS_SK: &str = "SOCK_OPS_SK_OFFSET";

/// Fields, each with its structure: the next one's is the field before it.
type Way = &'static [(&'static str, &'static str)];

/// Structures: the name of the number in the programs, and theirs.
const TYPES: [(&str, &str); 4] = [
    ("TCP_SOCK_TYPE", "tcp_sock"),
    ("TCP_REQUEST_SOCK_TYPE", "tcp_request_sock"),
    ("SK_BUFF_TYPE", "sk_buff"),
    ("IN6_ADDR_TYPE", "in6_addr"),
];

/// Functions: the call in the programs, and its name.
const FUNCTIONS: [(u64, &str); 2] = [
    (CAST, "bpf_rdonly_cast"),
    (CAST_CONTEXT, "bpf_cast_to_kern_ctx"),
];

/// Numbers that the programs are told; 0 for what was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelTypes {
    globals: Vec<(&'static str, u32)>,
    /// Calls as they stand in the programs, and what is to stand there.
    calls: [(u64, u64); FUNCTIONS.len()],
    /// Names that the programs are not told.
    reset_reasons: ResetReasons,
    /// Why nothing was found, where nothing was.
    unknown: Option<String>,
}

// === impl KernelTypes ===

impl KernelTypes {
    /// Nothing was found, or is to be used, and `why`.
    pub(crate) fn unknown(why: String) -> Self {
        let globals = FIELDS.iter().map(|&(global, _)| global);
        let globals = globals.chain(TYPES.map(|(global, _)| global));
        Self {
            globals: globals.map(|global| (global, 0)).collect(),
            calls: FUNCTIONS.map(|(call, _)| (call, ANSWER_ZERO)),
            reset_reasons: ResetReasons::default(),
            unknown: Some(why),
        }
    }

    /// Reads the running kernel's.
    pub(crate) fn read() -> Self {
        // Mapped, where the kernel allows it (since 6.16): parsed whole, it would cost 20 MB.
        let btf = Btf::from_file_with_backend(Path::new(VMLINUX), Backend::Mmap)
            .or_else(|_| Btf::from_file(Path::new(VMLINUX)));
        let btf = match btf {
            Ok(btf) => btf,
            Err(error) => {
                tracing::debug!(%error, path = VMLINUX, "Found no kernel types");
                return Self::unknown(UNREADABLE.to_owned());
            }
        };
        let field = |&(global, way): &(&'static str, Way)| {
            let offset = |&(name, member): &(_, _)| offset_of(&btf, name, member);
            let offset = way.iter().map(offset).sum::<Option<u32>>();
            let first = u32::from(global == SOCK_OPS_SK);
            (global, offset.map_or(0, |offset| offset + first))
        };
        let structure = |(global, name)| {
            let is_structure = |kind: &Type| matches!(kind, Type::Struct(_));
            (global, number(&btf, name, is_structure).unwrap_or(0))
        };
        let function = |(call, name)| {
            let number = number(&btf, name, |kind| matches!(kind, Type::Func(_)));
            (call, number.map_or(ANSWER_ZERO, call_to))
        };
        let globals = FIELDS.iter().map(field);
        Self {
            globals: globals.chain(TYPES.map(structure)).collect(),
            calls: FUNCTIONS.map(function),
            reset_reasons: ResetReasons::of(&btf),
            unknown: None,
        }
    }

    /// Returns the numbers by the names that the programs give them.
    pub(crate) fn globals(&self) -> &[(&'static str, u32)] {
        &self.globals
    }

    /// Returns what the kernel calls its reasons for an RST.
    pub(crate) const fn reset_reasons(&self) -> &ResetReasons {
        &self.reset_reasons
    }

    /// Lets no close tell its reason.
    pub(crate) fn without_errors(mut self) -> Self {
        self.globals.retain(|&(global, _)| global != SK_ERR);
        self.globals.push((SK_ERR, 0));
        self
    }

    /// Returns whether anything was found.
    pub(crate) const fn are_known(&self) -> bool {
        self.unknown.is_none()
    }

    /// Returns why no close can tell its reason; `None` where each can.
    pub(crate) fn lack_errors(&self) -> Option<&str> {
        let is_known = |&(global, number): &(&str, u32)| global == SK_ERR && number != 0;
        let are_called = self.calls.iter().all(|(_, put)| *put != ANSWER_ZERO);
        match &self.unknown {
            Some(why) => Some(why),
            None if are_called && self.globals.iter().any(is_known) => None,
            None => Some(NO_ERRORS),
        }
    }

    /// Returns `object` with the calls of kernel functions that it is to make.
    pub(crate) fn resolve(&self, object: &[u8]) -> Vec<u8> {
        let mut resolved = object.to_vec();
        // Instructions lie at multiples of their length.
        for word in resolved.chunks_exact_mut(size_of::<u64>()) {
            let found = self
                .calls
                .iter()
                .find(|(call, _)| *word == call.to_le_bytes());
            if let Some((_, put)) = found {
                word.copy_from_slice(&put.to_le_bytes());
            }
        }
        resolved
    }
}

/// Returns the number of what is called `name`, and of the right kind.
fn number(btf: &Btf, name: &str, is_meant: impl Fn(&Type) -> bool) -> Option<u32> {
    let numbers = btf.resolve_ids_by_name(name).ok()?;
    let is_found = |number: &u32| {
        btf.resolve_type_by_id(*number)
            .is_ok_and(|kind| is_meant(&kind))
    };
    numbers.into_iter().find(is_found)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_resolved_and_nothing_else() {
        let unknown = unknown();
        let known = KernelTypes {
            calls: [(CAST, call_to(7)), (CAST_CONTEXT, call_to(8))],
            ..unknown.clone()
        };
        let object = [CAST, 1, CAST_CONTEXT, call_to(9)]
            .map(u64::to_le_bytes)
            .concat();
        let words = |words: [u64; 4]| words.map(u64::to_le_bytes).concat();
        assert_eq!(
            known.resolve(&object),
            words([call_to(7), 1, call_to(8), call_to(9)])
        );
        assert_eq!(
            unknown.resolve(&object),
            words([ANSWER_ZERO, 1, ANSWER_ZERO, call_to(9)])
        );
    }

    #[test]
    fn what_no_close_can_tell_is_said_with_what_is_missing() {
        assert_eq!(unknown().lack_errors(), Some("not there"));
        let calls = [(CAST, call_to(7)), (CAST_CONTEXT, call_to(8))];
        let known = KernelTypes {
            globals: vec![(SK_ERR, 4)],
            calls,
            reset_reasons: ResetReasons::default(),
            unknown: None,
        };
        assert_eq!(known.lack_errors(), None);
        assert_eq!(
            known.clone().without_errors().lack_errors(),
            Some(NO_ERRORS)
        );
        let uncalled = KernelTypes {
            calls: [(CAST, call_to(7)), (CAST_CONTEXT, ANSWER_ZERO)],
            ..known
        };
        assert_eq!(uncalled.lack_errors(), Some(NO_ERRORS));
    }

    fn unknown() -> KernelTypes {
        KernelTypes::unknown("not there".to_owned())
    }
}
