//! What is switched off is off in the kernel, whatever else is ordered; and what was not believed is told.

use std::net::TcpListener;

use rustix::io::Errno;
use syntrace_proto::{Opening, Outcome, TagState};

use crate::{
    cgroup::Cgroup,
    netns::Netns,
    probe::{Start, TAGS},
    receiver::Receiver,
    traffic::{Exchange, closed_with_unread_data, exchange},
    turn,
    waiting::wait_for,
};

const OTHERS_BELIEVED: [&str; 4] = ["--tag-to", "127.0.0.0/8", "--believe-from", "192.0.2.0/24"];

const SMALL: Exchange = Exchange {
    request: 10,
    response: 10,
};

/// One connection under a probe with some orders.
struct Run {
    options_on_the_wire: u64,
    states: [TagState; 2],
    receiver: Receiver,
    _probe: crate::probe::Probe,
}

impl Run {
    fn of(orders: &[&str]) -> Self {
        let (cgroup, netns, receiver) = (Cgroup::new(), Netns::new(), Receiver::new());
        netns.nft("tcp option 253 exists counter");
        let probe = Start::run(&cgroup, &receiver)
            .with(orders)
            .until("Attached");
        let port = cgroup.within(|| {
            netns.within(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                exchange(&listener, SMALL)
            })
        });
        let (active, passive) = receiver.both_ends(port, Outcome::Closed);
        assert_eq!(active.opening(), Opening::Active);
        Self {
            options_on_the_wire: netns.dropped_packets(),
            states: [active, passive].map(|end| end.tag_state()),
            receiver,
            _probe: probe,
        }
    }
}

#[test]
fn tags_that_are_switched_off_are_neither_sent_nor_believed() {
    let Some(_turn) = turn() else { return };
    let on = Run::of(&TAGS);
    assert_eq!(on.options_on_the_wire, 2);
    assert_eq!(on.states, [TagState::Answered, TagState::Believed]);
    for switch in ["tag", "tag,incidents", "close-reason,tag"] {
        let off = Run::of(&[&TAGS[..], &["--without", switch]].concat());
        assert_eq!(off.options_on_the_wire, 0, "{switch}");
        assert_eq!(off.states, [TagState::None; 2], "{switch}");
        let missing = off.receiver.rung().missing;
        let said = "tag: switched off by --without".to_owned();
        assert!(missing.contains(&said), "{missing:?}");
    }
}

#[test]
fn a_close_tells_no_reason_where_that_is_switched_off() {
    let Some(_turn) = turn() else { return };
    for (orders, told) in [
        (&[][..], Errno::CONNRESET.raw_os_error().unsigned_abs()),
        (&["--without", "close-reason"], 0),
    ] {
        let (cgroup, netns, receiver) = (Cgroup::new(), Netns::new(), Receiver::new());
        let _probe = Start::run(&cgroup, &receiver)
            .with(orders)
            .until("Attached");
        cgroup.within(|| {
            netns.within(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                closed_with_unread_data(&listener);
            });
        });
        let errno = wait_for("both ends", || {
            let mut ends = receiver.connections();
            ends.retain(|end| end.closed_at_ns > 0);
            let is_there = |opening| ends.iter().any(|end| end.opening() == opening);
            let both = is_there(Opening::Active) && is_there(Opening::Passive);
            ends.iter().map(|end| end.error).max().filter(|_| both)
        });
        assert_eq!(errno, told, "{orders:?}");
    }
}

#[test]
fn a_tag_that_is_not_believed_is_told_while_the_probe_runs() {
    let Some(_turn) = turn() else { return };
    let run = Run::of(&OTHERS_BELIEVED);
    wait_for("the count", || {
        let counted = run.receiver.latest_rung()?.counted;
        counted
            .iter()
            .any(|count| count.name == "tag_from_foreign_network" && count.count == 1)
            .then_some(())
    });
}
