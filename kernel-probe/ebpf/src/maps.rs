//! All maps, and the raw calls on those for which aya has no safe wrapper.
//!
//! What is looked up for each connection is an array: a lookup there costs a tenth of a hash
//! map's, and creating a socket's own storage costs more than all else that is done for it
//! (docs/decisions/0008).

use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::{btf_map, map},
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use syntrace_ebpf_common::{Config, Counter, LIVE_PLACES, Networks, PLACES, REPLAY_WORDS, Wide};

use crate::{handshake::Handshake, live::Live, tag::Answer};

/// Room of [`EVENTS`]: a page-multiple power of two; about 167,000 snapshots, which is a
/// second of as many connections as two processors make.
const EVENTS_BYTES: u32 = 32 << 20;

/// Handshakes under way; a power of two.
pub(crate) const HANDSHAKE_PLACES: u32 = 1 << 14;

/// Room of [`OLDER`].
const OLDER_LISTENERS: u32 = 1 << 12;

/// Snapshots and incidents for user space, oldest first.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

/// [`Counter`]s, one slot each.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// What user space orders; slot 0.
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// What is known of each socket that is followed, at the place that follows from its address.
#[map]
pub(crate) static LIVE: Array<Live> = Array::with_max_entries(LIVE_PLACES, 0);

/// The same for sockets whose place was taken.
#[btf_map]
pub(crate) static LIVE_BESIDE: SkStorage<Live> = SkStorage::new();

/// What is known of each passive handshake under way, at a place that follows from the request's
/// cookie, which the child inherits.
#[map]
pub(crate) static HANDSHAKES: Array<Handshake> = Array::with_max_entries(HANDSHAKE_PLACES, 0);

/// The tag that answers, from the reservation to the writing of one SYN-ACK; slot 0.
#[map]
pub(crate) static ANSWER: PerCpuArray<Answer> = PerCpuArray::with_max_entries(1, 0);

/// Destinations to which a tagged SYN has left, one word each.
#[map]
pub(crate) static DESTINATIONS: Array<u64> = Array::with_max_entries(PLACES, 0);

/// Tags that were believed.
#[map]
pub(crate) static BORNE: Array<u64> = Array::with_max_entries(REPLAY_WORDS, 0);

/// Networks to which SYNs are tagged; slot 0.
#[map]
static TAG_TO: Array<Networks> = Array::with_max_entries(1, 0);

/// Networks whose tags are believed; slot 0.
#[map]
static BELIEVE_FROM: Array<Networks> = Array::with_max_entries(1, 0);

/// Listeners that are older than the programs, by their cookies: 0 until their callbacks are switched
/// on. Filled for one visit, and not kept for a successor.
#[map]
pub(crate) static OLDER: HashMap<u64, u32> =
    HashMap::with_max_entries(OLDER_LISTENERS, BPF_F_NO_PREALLOC);

/// Returns the orders.
#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    CONFIG.get(0)
}

/// Returns whether SYNs to `address` are to be tagged.
#[inline(always)]
pub(crate) fn is_tagged(address: Wide) -> bool {
    TAG_TO.get(0).is_some_and(|networks| networks.have(address))
}

/// Returns whether tags from `address` are to be believed.
#[inline(always)]
pub(crate) fn is_believed(address: Wide) -> bool {
    BELIEVE_FROM
        .get(0)
        .is_some_and(|networks| networks.have(address))
}
