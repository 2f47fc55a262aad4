//! Fields of the kernel's own structures, by the offsets that the loader found in its types.
//!
//! An offset of 0 means "not found": the verifier sees a constant and drops the read.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    Global, bindings::BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, helpers::generated as helpers,
};
use syntrace_ebpf_common::Config;

use crate::{
    cast::{cast, cast_context},
    context::SockOps,
};

/// Number of `struct tcp_sock` in the kernel's types.
#[unsafe(no_mangle)]
static TCP_SOCK_TYPE: Global<u32> = Global::new(0);

/// Number of `struct tcp_request_sock`.
#[unsafe(no_mangle)]
static TCP_REQUEST_SOCK_TYPE: Global<u32> = Global::new(0);

/// Offset of `sk_err` in `struct sock`, bytes.
#[unsafe(no_mangle)]
static SK_ERR_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_flags` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_FLAGS_OFFSET: Global<u32> = Global::new(0);

/// Offset of `sk_mark` in `struct sock`, bytes.
#[unsafe(no_mangle)]
static SK_MARK_OFFSET: Global<u32> = Global::new(0);

/// Offset of `tcp_clock_cache` in `struct tcp_sock`, bytes.
#[unsafe(no_mangle)]
static TCP_CLOCK_CACHE_OFFSET: Global<u32> = Global::new(0);

/// Offset of `bpf_sock_ops_cb_flags` in `struct tcp_sock`, bytes.
#[unsafe(no_mangle)]
static CB_FLAGS_OFFSET: Global<u32> = Global::new(0);

/// Offset of `icsk_accept_queue.rskq_defer_accept` in `struct inet_connection_sock`, bytes.
#[unsafe(no_mangle)]
static DEFER_ACCEPT_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_cookie` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_COOKIE_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_net` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_NET_OFFSET: Global<u32> = Global::new(0);

/// Offset of `net_cookie` in `struct net`, bytes.
#[unsafe(no_mangle)]
static NET_COOKIE_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_listener` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_LISTENER_OFFSET: Global<u32> = Global::new(0);

/// Offset of `snt_synack` in `struct tcp_request_sock`, bytes.
#[unsafe(no_mangle)]
static SNT_SYNACK_OFFSET: Global<u32> = Global::new(0);

/// Offset of `sk` in `struct bpf_sock_ops_kern`, bytes, plus one: it is the first field.
#[unsafe(no_mangle)]
static SOCK_OPS_SK_OFFSET: Global<u32> = Global::new(0);

/// Offset of `tgid` in `struct task_struct`, bytes.
#[unsafe(no_mangle)]
static TASK_TGID_OFFSET: Global<u32> = Global::new(0);

/// Offset of `pid` in `struct task_struct`, bytes.
#[unsafe(no_mangle)]
static TASK_PID_OFFSET: Global<u32> = Global::new(0);

/// Offset of `cgroups` in `struct task_struct`, bytes.
#[unsafe(no_mangle)]
static TASK_CGROUPS_OFFSET: Global<u32> = Global::new(0);

/// Offset of `dfl_cgrp` in `struct css_set`, bytes: the control group of cgroup v2.
#[unsafe(no_mangle)]
static DEFAULT_CGROUP_OFFSET: Global<u32> = Global::new(0);

/// Offset of `kn` in `struct cgroup`, bytes.
#[unsafe(no_mangle)]
static CGROUP_NODE_OFFSET: Global<u32> = Global::new(0);

/// Offset of `id` in `struct kernfs_node`, bytes.
#[unsafe(no_mangle)]
static NODE_ID_OFFSET: Global<u32> = Global::new(0);

/// `1 << SOCK_DONE` of `enum sock_flags`: set when the peer's FIN was received.
const DONE: u64 = 1 << 1;

/// Nanoseconds of the unit in which the kernel keeps when it answered a SYN.
const MICROSECOND: u64 = 1000;

/// `struct tcp_sock`, of which only what the loader found is read.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    tcp: Fields,
}

/// `struct tcp_request_sock`: a handshake before it has a socket, in the same way.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    request: Fields,
}

/// `struct task_struct`, with the offsets that lead to its control group: all were found.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    task: Fields,
}

/// A structure of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    base: *const c_void,
}

/// Returns the socket as the kernel has it; `None` where it is not a whole one, or the kernel does
/// not tell.
#[inline(always)]
pub(crate) fn socket(sk: *const c_void) -> Option<Socket> {
    if sk.is_null() {
        return None;
    }
    let tcp = Fields::of(sk, TCP_SOCK_TYPE.load())?;
    Some(Socket { tcp })
}

/// Returns the request of a callback whose socket is not a whole one; `None` where the kernel does
/// not tell.
#[inline(always)]
pub(crate) fn request(ops: &SockOps) -> Option<Request> {
    let context = cast_context(ops.as_ptr().cast_const().cast());
    let offset = SOCK_OPS_SK_OFFSET.load();
    if context.is_null() || offset == 0 {
        return None;
    }
    let sk = Fields::at(context).read::<*const c_void>(offset - 1);
    let request = Fields::of(sk, TCP_REQUEST_SOCK_TYPE.load())?;
    Some(Request { request })
}

/// Returns the current task; `None` where this kernel does not tell all of it.
///
/// One call of a helper, where what is read from it would take two.
#[inline(always)]
pub(crate) fn current_task() -> Option<Task> {
    if TASK_TGID_OFFSET.load() == 0
        || TASK_PID_OFFSET.load() == 0
        || TASK_CGROUPS_OFFSET.load() == 0
        || DEFAULT_CGROUP_OFFSET.load() == 0
        || CGROUP_NODE_OFFSET.load() == 0
        || NODE_ID_OFFSET.load() == 0
    {
        return None;
    }
    // SAFETY: the helper takes nothing and cannot fail.
    let base = unsafe { helpers::bpf_get_current_task_btf() };
    let task = Fields {
        base: base.cast_const().cast(),
    };
    Some(Task { task })
}

// === impl Socket ===

impl Socket {
    /// Returns the errno on the socket, 0 for none; `None` where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn error(&self) -> Option<u16> {
        match SK_ERR_OFFSET.load() {
            0 => None,
            offset => Some(self.tcp.read::<i32>(offset) as u16),
        }
    }

    /// Returns whether the peer's FIN was received; false where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn peer_finished(&self) -> bool {
        match SKC_FLAGS_OFFSET.load() {
            0 => false,
            offset => self.tcp.read::<u64>(offset) & DONE != 0,
        }
    }

    /// Returns when the kernel began with the segment that it works on, `CLOCK_BOOTTIME` in
    /// nanoseconds; `None` where this kernel does not tell, or it was before `earliest`.
    ///
    /// The kernel notes it for each segment that arrives, and for the SYN; to read that costs a
    /// tenth of what the clock does. Out of a segment's work it is the time of the last one.
    #[inline(always)]
    pub(crate) fn worked_at(&self, config: &Config, earliest: u64) -> Option<u64> {
        match TCP_CLOCK_CACHE_OFFSET.load() {
            0 => None,
            offset => {
                let noted = self.tcp.read::<u64>(offset);
                let at = noted.wrapping_add(config.boot_offset_ns);
                if noted == 0 || at < earliest {
                    None
                } else {
                    Some(at)
                }
            }
        }
    }

    /// Returns the socket's cookie; `None` while it has none, and where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn cookie(&self) -> Option<u64> {
        self.tcp.cookie()
    }

    /// Returns the cookie of the socket's network namespace; `None` where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> Option<u64> {
        match (SKC_NET_OFFSET.load(), NET_COOKIE_OFFSET.load()) {
            (0, _) | (_, 0) => None,
            (skc_net, net_cookie) => Some(self.tcp.follow(skc_net).read::<u64>(net_cookie)),
        }
    }

    /// Returns SO_MARK; 0 for none, and where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn mark(&self) -> u32 {
        match SK_MARK_OFFSET.load() {
            0 => 0,
            offset => self.tcp.read::<u32>(offset),
        }
    }

    /// Returns whether this listener waits for data before a connection is established for it
    /// (TCP_DEFER_ACCEPT); false where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn defers_accept(&self) -> bool {
        match DEFER_ACCEPT_OFFSET.load() {
            0 => false,
            offset => self.tcp.read::<u8>(offset) != 0,
        }
    }

    /// Returns whether programs are called when this listener's SYN-ACKs are built; false where this
    /// kernel does not tell.
    #[inline(always)]
    pub(crate) fn shows_syn_acks(&self) -> bool {
        match CB_FLAGS_OFFSET.load() {
            0 => false,
            offset => {
                let flags = u32::from(self.tcp.read::<u8>(offset));
                flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG != 0
            }
        }
    }
}

// === impl Request ===

impl Request {
    /// Returns the request's cookie, which its child inherits; `None` while it has none.
    #[inline(always)]
    pub(crate) fn cookie(&self) -> Option<u64> {
        self.request.cookie()
    }

    /// Returns when the kernel first answered the SYN, `CLOCK_BOOTTIME` in nanoseconds, exact to a
    /// microsecond; `None` where it has not, and where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn answered_at(&self, config: &Config) -> Option<u64> {
        match SNT_SYNACK_OFFSET.load() {
            0 => None,
            offset => match self.request.read::<u64>(offset) {
                0 => None,
                at => Some((at * MICROSECOND).wrapping_add(config.boot_offset_ns)),
            },
        }
    }

    /// Returns the listener; `None` where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn listener(&self) -> Option<Socket> {
        match SKC_LISTENER_OFFSET.load() {
            0 => None,
            offset => socket(self.request.read::<*const c_void>(offset)),
        }
    }
}

// === impl Task ===

impl Task {
    /// Returns the number of the process.
    #[inline(always)]
    pub(crate) fn process(&self) -> u32 {
        self.task.read(TASK_TGID_OFFSET.load())
    }

    /// Returns the number of the thread.
    #[inline(always)]
    pub(crate) fn thread(&self) -> u32 {
        self.task.read(TASK_PID_OFFSET.load())
    }

    /// Returns the number of the control group, as `bpf_get_current_cgroup_id` does.
    #[inline(always)]
    pub(crate) fn cgroup_id(&self) -> u64 {
        let groups = self.task.follow(TASK_CGROUPS_OFFSET.load());
        let cgroup = groups.follow(DEFAULT_CGROUP_OFFSET.load());
        let node = cgroup.follow(CGROUP_NODE_OFFSET.load());
        node.read(NODE_ID_OFFSET.load())
    }
}

// === impl Fields ===

impl Fields {
    /// Returns the structure at `base`, which the verifier knows already.
    #[inline(always)]
    pub(crate) const fn at(base: *const c_void) -> Self {
        Self { base }
    }

    /// Returns the structure numbered `number` at `base`; `None` where the kernel does not tell.
    #[inline(always)]
    pub(crate) fn of(base: *const c_void, number: u32) -> Option<Self> {
        let base = cast(base, number);
        (!base.is_null()).then_some(Self { base })
    }

    /// Returns the cookie of a socket or of a request.
    #[inline(always)]
    fn cookie(&self) -> Option<u64> {
        match SKC_COOKIE_OFFSET.load() {
            0 => None,
            offset => match self.read::<u64>(offset) {
                0 => None,
                cookie => Some(cookie),
            },
        }
    }

    /// Returns the structure that a field points to.
    #[inline(always)]
    fn follow(&self, offset: u32) -> Self {
        Self {
            base: self.read(offset),
        }
    }

    #[inline(always)]
    pub(crate) fn read<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the verifier checks that the constant offset lies within the kernel's structure.
        let field = unsafe { self.base.byte_add(offset as usize) };
        // SAFETY: the verifier checks the field's type and size, and makes the load safe to fault.
        unsafe { ptr::read_volatile(field.cast::<T>()) }
    }
}
