//! All maps, and the raw calls on those for which aya has no safe wrapper.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    btf_maps::SkStorage,
    helpers::generated as helpers,
    macros::{btf_map, map},
    maps::{Array, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie::Key},
};
use syntrace_ebpf_common::{ADDRESS_BITS, Config, ConnRecord, Counter, Destination};

/// Room of [`EVENTS`]: a page-multiple power of two; about 83,000 snapshots.
pub(crate) const EVENTS_BYTES: u32 = 16 << 20;

/// Snapshots for user space, oldest first.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

/// [`Counter`]s, one slot each.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// What user space orders; slot 0.
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// What is known of each connection, for as long as its socket lives.
#[btf_map]
static SOCKETS: SkStorage<ConnRecord> = SkStorage::new();

/// What is known of each passive handshake under way, by the request's cookie, which the child
/// inherits. A SYN flood evicts the oldest: then a handshake is "not observed".
#[map]
pub(crate) static HANDSHAKES: LruHashMap<u64, ConnRecord> = LruHashMap::with_max_entries(16_384, 0);

/// Destinations to which a tagged SYN has left.
#[map]
pub(crate) static DESTINATIONS: LruHashMap<[u8; 16], Destination> =
    LruHashMap::with_max_entries(16_384, 0);

/// Tags that were believed: each is believed once.
#[map]
pub(crate) static BORNE: LruHashMap<[u8; 16], u8> = LruHashMap::with_max_entries(65_536, 0);

/// Networks to which SYNs are tagged.
#[map]
static TAG_TO: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(1024, 0);

/// Networks whose tags are believed.
#[map]
static BELIEVE_FROM: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(1024, 0);

/// Returns the orders.
#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    CONFIG.get(0)
}

/// Returns whether SYNs to `address` are to be tagged.
#[inline(always)]
pub(crate) fn is_tagged(address: [u8; 16]) -> bool {
    TAG_TO.get(Key::new(ADDRESS_BITS, address)).is_some()
}

/// Returns whether tags from `address` are to be believed.
#[inline(always)]
pub(crate) fn is_believed(address: [u8; 16]) -> bool {
    BELIEVE_FROM.get(Key::new(ADDRESS_BITS, address)).is_some()
}

/// Returns what is kept with the socket `sk`; `None` where nothing is, or `sk` is null.
#[inline(always)]
pub(crate) fn stored(sk: *mut c_void) -> Option<&'static mut ConnRecord> {
    storage(sk, ptr::null_mut(), 0)
}

/// Returns what is kept with the socket `sk`, beginning with `initial`, or with nothing known.
#[inline(always)]
pub(crate) fn store(
    sk: *mut c_void,
    initial: Option<&ConnRecord>,
) -> Option<&'static mut ConnRecord> {
    let initial = initial.map_or(ptr::null_mut(), |initial| ptr::from_ref(initial).cast_mut());
    storage(sk, initial.cast(), BPF_SK_STORAGE_GET_F_CREATE.into())
}

/// Returns what is kept with the socket `sk`, with nothing known, whatever was kept before.
#[inline(always)]
pub(crate) fn renew(sk: *mut c_void) -> Option<&'static mut ConnRecord> {
    let record = store(sk, None)?;
    if record.opening == 0 {
        // The map's values begin as zeros.
        return Some(record);
    }
    let map = ptr::from_ref(&SOCKETS).cast_mut().cast();
    // SAFETY: the map is of this type, and `sk` is the context's socket: not null, or there were
    // no record. The old record is not used any more.
    unsafe { helpers::bpf_sk_storage_delete(map, sk) };
    store(sk, None)
}

#[inline(always)]
fn storage(sk: *mut c_void, initial: *mut c_void, flags: u64) -> Option<&'static mut ConnRecord> {
    if sk.is_null() {
        return None;
    }
    let map = ptr::from_ref(&SOCKETS).cast_mut().cast();
    // SAFETY: the map is of this type, `sk` is the context's socket and not null, and `initial`
    // is null or a whole record, which the helper only reads.
    let record = unsafe { helpers::bpf_sk_storage_get(map, sk, initial, flags) };
    // SAFETY: the helper returns null or the map's value: aligned, and alive while the program
    // runs. Every caller's hook runs with the socket locked, so that no other refers to it.
    unsafe { record.cast::<ConnRecord>().as_mut() }
}
