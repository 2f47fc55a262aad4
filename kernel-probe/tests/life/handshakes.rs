//! Places of handshakes that came to nothing: theirs as long as the client may still answer, others' after that.
//!
//! That is 137 s; instead of waiting, the tests write into the pinned map when the SYNs came.

use std::time::Duration;

use crate::{bpffs::Bpffs, clock::boot_time, site::Site, turn};

/// A place: the request's cookie, when its SYN came in nanoseconds of `CLOCK_BOOTTIME`, and what is known of it.
const PLACE_BYTES: usize = 40;

/// A cookie that no socket has: the kernel counts.
const NOBODYS: u64 = 1 << 55;

#[test]
fn a_handshake_that_came_to_nothing_keeps_its_place_for_137_seconds_and_no_longer() {
    let Some(_turn) = turn() else { return };
    for (age, lost) in [(130, 1), (138, 0)] {
        let site = Site::new();
        let mut probe = site.start().until("Attached");
        take_all_places(&site.bpffs, Duration::from_secs(age));
        // Its own handshake is known in any case: where there is no room, an older one goes.
        let (_, passive) = site.one_connection();
        assert!(passive.syn_at_ns > 0, "{age} s: {passive:?}");
        assert!(probe.stop().success());
        assert_eq!(site.receiver.lost(), lost, "{age} s");
    }
}

/// Writes into each place that a request took it `age` ago.
fn take_all_places(bpffs: &Bpffs, age: Duration) {
    let mut places = bpffs.array::<[u8; PLACE_BYTES]>("HANDSHAKES");
    let syn_at = boot_time().checked_sub(age).unwrap().as_nanos() as u64;
    for at in 0..places.len() {
        let mut place = [0; PLACE_BYTES];
        place[..8].copy_from_slice(&(NOBODYS + u64::from(at)).to_ne_bytes());
        place[8..16].copy_from_slice(&syn_at.to_ne_bytes());
        places.set(at, place, 0).unwrap();
    }
}
