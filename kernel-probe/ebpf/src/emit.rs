//! What leaves the programs: snapshots, incidents and counts.

use aya_ebpf::{
    helpers::generated as helpers,
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid},
};
use syntrace_ebpf_common::{
    Config, ConnRecord, Counter, Flags, IncidentKind, IncidentRecord, Moment, Note,
};

use crate::{
    atomic, kernel,
    maps::{COUNTERS, EVENTS},
};

/// The kernel wakes the reader of the ring for a record before which all was read, and only then.
///
/// To be woken for each would cost more than all else: the reader waits a while for others.
const WAKE_FOR_THE_FIRST: u64 = 0;

/// Sends a snapshot of `record` to user space.
#[inline(always)]
pub(crate) fn emit(config: &Config, record: &mut ConnRecord, moment: Moment, now: u64) {
    record.seen_at = now;
    record.moment = moment as u8;
    // A socket that had only its SYN tagged has no name, should others be ordered meanwhile.
    if !config.orders(Flags::OBSERVE) || !record.is_named() {
        return;
    }
    if record.has(Note::UNSAMPLED) {
        if matches!(moment, Moment::Closed) {
            count(Counter::SampledOut);
        }
        return;
    }
    let sent = EVENTS.output::<ConnRecord>(&*record, WAKE_FOR_THE_FIRST);
    if sent.is_err() {
        count(Counter::RingFull);
    }
}

/// Sends an incident of the connection to user space.
#[inline(always)]
pub(crate) fn tell(record: &ConnRecord, kind: IncidentKind, times: u32, now: u64) {
    let incident = IncidentRecord {
        at: now,
        socket_cookie: record.socket_cookie,
        netns_cookie: record.netns_cookie,
        local_addr: record.local_addr,
        peer_addr: record.peer_addr,
        count: times,
        local_port: record.local_port,
        peer_port: record.peer_port,
        kind: kind as u8,
        reserved: [0; 7],
    };
    let sent = EVENTS.output::<IncidentRecord>(&incident, WAKE_FOR_THE_FIRST);
    if sent.is_err() {
        count(Counter::RingFull);
    }
}

/// Adds one to `counter`: seldom, so apart from the callers' code.
#[cold]
#[inline(never)]
pub(crate) fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter.slot()) {
        atomic::increment(slot);
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { helpers::bpf_ktime_get_boot_ns() }
}

/// The processor that runs the program.
#[inline(always)]
pub(crate) fn processor() -> u32 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { helpers::bpf_get_smp_processor_id() }
}

/// Notes the current task as the socket's owner.
///
/// Only for hooks that run in the owner's own system call: elsewhere the current task is whoever
/// the softirq interrupted.
#[inline(always)]
pub(crate) fn own(record: &mut ConnRecord) {
    if let Some(task) = kernel::current_task() {
        record.owner_pid = task.process();
        record.owner_tid = task.thread();
        record.cgroup_id = task.cgroup_id();
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    record.owner_pid = (pid_tgid >> 32) as u32;
    record.owner_tid = pid_tgid as u32;
    // SAFETY: the helper takes nothing and cannot fail.
    record.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
}
