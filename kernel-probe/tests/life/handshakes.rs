//! Places of handshakes that came to nothing: theirs as long as the client may still answer, others' after that.
//!
//! That is 137 s; instead of waiting, the tests write into the pinned map when the SYNs came.

use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use rustix::time::{ClockId, clock_gettime};
use syntrace_proto::Outcome;

use crate::{
    bpffs::Bpffs,
    cgroup::Cgroup,
    client::{Client, ONE_CONNECTION},
    probe::Start,
    receiver::Receiver,
    turn,
};

/// A place: the request's cookie, when its SYN came in nanoseconds of `CLOCK_BOOTTIME`, and what is known of it.
const PLACE_BYTES: usize = 40;

/// A cookie that no socket has: the kernel counts.
const NOBODYS: u64 = 1 << 55;

#[test]
fn a_handshake_that_came_to_nothing_keeps_its_place_for_137_seconds_and_no_longer() {
    let Some(_turn) = turn() else { return };
    for (age, lost) in [(130, 1), (138, 0)] {
        let (cgroup, bpffs, receiver) = (Cgroup::new(), Bpffs::new(), Receiver::new());
        let mut probe = Start::pinned(&cgroup, &receiver, &bpffs).until("Attached");
        take_all_places(&bpffs, Duration::from_secs(age));
        let port: u16 = Client::start(&cgroup, None, ONE_CONNECTION).told();
        // Its own handshake is known in any case: where there is no room, an older one goes.
        let (_, passive) = receiver.both_ends(port, Outcome::Closed);
        assert!(passive.syn_at_ns > 0, "{age} s: {passive:?}");
        assert!(probe.stop().success());
        assert_eq!(receiver.lost(), lost, "{age} s");
    }
}

/// Writes into each place that a request took it `age` ago.
fn take_all_places(bpffs: &Bpffs, age: Duration) {
    let pins = bpffs.pins();
    let pin = pins.iter().find(|pin| pin.ends_with("HANDSHAKES")).unwrap();
    let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
    let mut places: Array<_, [u8; PLACE_BYTES]> = map.try_into().unwrap();
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
    let syn_at = now.checked_sub(age).unwrap().as_nanos() as u64;
    for at in 0..places.len() {
        let mut place = [0; PLACE_BYTES];
        place[..8].copy_from_slice(&(NOBODYS + u64::from(at)).to_ne_bytes());
        place[8..16].copy_from_slice(&syn_at.to_ne_bytes());
        places.set(at, place, 0).unwrap();
    }
}
