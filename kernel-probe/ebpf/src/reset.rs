//! Why this host sent an RST, in the kernel's words.
//!
//! A host-wide tracepoint, which leaves at once where the socket is not followed. The RST may
//! leave before the socket closes or just after it: then the last snapshot is told again.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use syntrace_ebpf_common::{Moment, Outcome};

use crate::{
    emit::{emit, now},
    live, maps,
};

/// `tcp_send_reset`: an RST is about to leave, for a socket or for none.
#[inline(always)]
pub(crate) fn sent(ctx: &BtfTracePointContext) {
    let Some(config) = maps::config() else {
        return;
    };
    let sk: *mut c_void = ctx.arg(0);
    let Some(live) = live::find_placed(config, sk) else {
        return;
    };
    let reason: u32 = ctx.arg(2);
    let record = &mut live.record;
    record.reset_reason = reason.saturating_add(1) as u8;
    if record.outcome == Outcome::ResetLocally as u8 {
        emit(config, record, Moment::Closed, now());
        live::close(live);
    }
}
