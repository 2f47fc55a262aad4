//! What leaves the programs: snapshots and counts.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::bpf_get_current_pid_tgid,
    helpers::generated as helpers,
};
use syntrace_ebpf_common::{ConnRecord, Counter, Flags, Moment};

use crate::maps::{self, COUNTERS, EVENTS, EVENTS_BYTES};

/// Pending bytes at which the reader is woken; below, it comes by its own timer.
const WATERMARK_BYTES: u64 = EVENTS_BYTES as u64 / 16;

/// Sends a snapshot of `record` to user space.
#[inline(always)]
pub(crate) fn emit(record: &mut ConnRecord, moment: Moment, now: u64) {
    record.seen_at = now;
    record.moment = moment as u8;
    if !maps::config().is_some_and(|config| config.orders(Flags::OBSERVE)) {
        return;
    }
    let wakeup = if EVENTS.query(BPF_RB_AVAIL_DATA.into()) >= WATERMARK_BYTES {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    if EVENTS
        .output::<ConnRecord>(&*record, wakeup.into())
        .is_err()
    {
        count(Counter::RingFull);
    }
}

/// Adds one to `counter`.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter.slot()) {
        increment(slot);
    }
}

/// Adds one in one instruction: a program may interrupt another on its CPU.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn increment(slot: *mut u64) {
    // SAFETY: `slot` is the map's value: not null, aligned, alive while the program runs, and
    // written in no other way.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({slot} + 0) += {one}",
            slot = in(reg) slot,
            one = in(reg) 1_u64,
        );
    }
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
fn increment(_slot: *mut u64) {}

/// Nanoseconds of `CLOCK_BOOTTIME`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { helpers::bpf_ktime_get_boot_ns() }
}

/// Notes the current task as the socket's owner.
///
/// Only for hooks that run in the owner's own system call: elsewhere the current task is whoever
/// the softirq interrupted.
#[inline(always)]
pub(crate) fn own(record: &mut ConnRecord) {
    let pid_tgid = bpf_get_current_pid_tgid();
    record.owner_pid = (pid_tgid >> 32) as u32;
    record.owner_tid = pid_tgid as u32;
}
