//! Tags in SYN and SYN-ACK: sent, answered, believed or not, and withdrawn.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use syntrace_proto::{Opening, Outcome, TagState};

use crate::{
    LOOPBACK,
    cgroup::Cgroup,
    netns::Netns,
    probe::Probe,
    receiver::Receiver,
    traffic::{Exchange, exchange},
    turn,
};

#[test]
fn both_ends_of_a_tagged_connection_tell_the_same_story() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = Probe::start(
        &cgroup,
        &receiver,
        &[
            "--host-id",
            "h1",
            "--tag-to",
            LOOPBACK,
            "--believe-from",
            LOOPBACK,
        ],
    );
    let _member = cgroup.join();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = exchange(
        &listener,
        Exchange {
            request: 1000,
            response: 500,
        },
    );
    let (active, passive) = receiver.both_ends(port, Outcome::Closed);
    assert!(probe.stop().success());

    assert_eq!(
        (active.opening(), passive.opening()),
        (Opening::Active, Opening::Passive)
    );
    assert_eq!(active.tag_state(), TagState::Answered);
    assert_eq!(passive.tag_state(), TagState::Believed);
    assert_eq!(active.tag, passive.tag);
    assert_eq!(active.tag, active.minted_id);
    assert_ne!(passive.minted_id, active.minted_id);
    assert_eq!((active.bytes_acked, active.bytes_received), (1000, 500));
    assert_eq!((passive.bytes_acked, passive.bytes_received), (500, 1000));
    assert_eq!(active.local, passive.peer);
    assert_eq!(active.peer, passive.local);
    for end in [&active, &passive] {
        assert_eq!((end.owner_pid, end.error), (std::process::id(), 0));
        assert_eq!(
            (
                end.syn_retransmits,
                end.syn_ack_retransmits,
                end.retransmits
            ),
            (0, 0, 0)
        );
        assert!(
            end.srtt_us > 0 && end.segments_out >= 3 && end.segments_in >= 3,
            "{end:?}"
        );
        assert!(end.syn_at_ns <= end.syn_ack_at_ns && end.syn_ack_at_ns <= end.established_at_ns);
        assert!(end.established_at_ns < end.closed_at_ns);
    }
    assert!(passive.established_at_ns <= passive.accepted_at_ns);
    assert!(passive.accepted_at_ns < passive.closed_at_ns);
    assert_eq!(active.accepted_at_ns, 0);
    receiver.assert_whole_epoch("h1");
}

#[test]
fn a_listener_that_is_older_than_the_probe_answers_tags() {
    let Some(_turn) = turn(&[]) else { return };
    let (cgroup, netns, receiver) = (Cgroup::new(), Netns::new(), Receiver::new());
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = [cgroup.within(bind), cgroup.within(|| netns.within(bind))];
    // Namespaces are found by who is in them.
    let sleeper = || Command::new("sleep").arg("60").spawn().unwrap();
    let members = [
        cgroup.within(sleeper),
        cgroup.within(|| netns.within(sleeper)),
    ];
    let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
    let _probe = Probe::start(&cgroup, &receiver, &orders);
    let ports = [
        cgroup.within(|| exchange(&listeners[0], Exchange::SMALLEST)),
        cgroup.within(|| netns.within(|| exchange(&listeners[1], Exchange::SMALLEST))),
    ];
    let ends = ports.map(|port| receiver.both_ends(port, Outcome::Closed));
    for mut member in members {
        member.kill().unwrap();
        member.wait().unwrap();
    }
    let states = ends.map(|(active, passive)| (active.tag_state(), passive.tag_state()));
    assert_eq!(states, [(TagState::Answered, TagState::Believed); 2]);
}

#[test]
fn nothing_is_tagged_or_believed_that_was_not_ordered() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(&cgroup, &receiver, &[]);
    let _member = cgroup.join();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = exchange(&listener, Exchange::SMALLEST);
    let (active, passive) = receiver.both_ends(port, Outcome::Closed);
    for end in [active, passive] {
        assert_eq!((end.tag_state(), end.tag.len()), (TagState::None, 0));
        assert_eq!(end.minted_id.len(), 16);
        assert_eq!(end.peer.unwrap().address.len(), 16);
    }
}

#[test]
fn a_tag_from_elsewhere_or_under_another_key_is_not_believed() {
    let Some(_turn) = turn(&[]) else { return };
    for believe_from in ["192.0.2.0/24", LOOPBACK] {
        let keys = tempfile::tempdir().unwrap();
        let key = |name: &str, digits: &str| {
            let path = keys.path().join(name);
            fs::write(&path, digits.repeat(16)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (client_key, server_key) = (key("client", "a1"), key("server", "b2"));
        // Each end has a probe of its own: the client's tags, the server's believes or not.
        let (client, server) = (Cgroup::new(), Cgroup::new());
        let (tags, beliefs) = (Receiver::new(), Receiver::new());
        let tag = ["--tag-to", LOOPBACK, "--mesh-key-file", &client_key];
        let believe = [
            "--believe-from",
            believe_from,
            "--mesh-key-file",
            &server_key,
        ];
        let _client = Probe::start(&client, &tags, &tag);
        let _server = Probe::start(&server, &beliefs, &believe);
        let listener = server.within(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let port = client.within(|| exchange(&listener, Exchange::SMALLEST));
        let active = tags.end(port, Opening::Active, Outcome::Closed);
        let passive = beliefs.end(port, Opening::Passive, Outcome::Closed);
        assert_eq!(active.tag_state(), TagState::Sent);
        assert_eq!(passive.tag_state(), TagState::Disbelieved);
        assert_eq!(active.tag, passive.tag);
    }
}

#[test]
fn a_middlebox_that_drops_the_tag_costs_one_retransmission_and_then_none() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(
        &cgroup,
        &receiver,
        &["--tag-to", LOOPBACK, "--believe-from", LOOPBACK],
    );
    let netns = Netns::new();
    netns.nft("tcp option 253 exists counter drop");
    let _member = cgroup.join();
    let port = |netns: &Netns| {
        netns.within(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            exchange(&listener, Exchange::SMALLEST)
        })
    };
    let (first, second) = (port(&netns), port(&netns));

    let (active, passive) = receiver.both_ends(first, Outcome::Closed);
    // The rule has dropped exactly the first SYN: the option was there, and only there.
    assert_eq!(netns.dropped_packets(), 1);
    assert_eq!(
        (active.tag_state(), active.syn_retransmits),
        (TagState::Sent, 1)
    );
    assert_eq!(passive.tag_state(), TagState::None);
    let handshake_ns = active.established_at_ns - active.syn_at_ns;
    assert!(
        (900_000_000..1_500_000_000).contains(&handshake_ns),
        "{handshake_ns}"
    );

    let (active, _) = receiver.both_ends(second, Outcome::Closed);
    assert_eq!(
        (active.tag_state(), active.syn_retransmits),
        (TagState::None, 0)
    );
}

/// What is switched off leaves the tag elsewhere in the header.
#[test]
fn a_tag_is_read_wherever_the_kernels_own_options_leave_it() {
    let Some(_turn) = turn(&["ip"]) else { return };
    for without in [
        &["timestamps"][..],
        &["sack"],
        &["window_scaling"],
        &["timestamps", "sack"],
        &["timestamps", "sack", "window_scaling"],
    ] {
        let (cgroup, netns, receiver) = (Cgroup::new(), Netns::new(), Receiver::new());
        for option in without {
            netns.sysctl(&format!("net.ipv4.tcp_{option}=0"));
        }
        let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
        let _probe = Probe::start(&cgroup, &receiver, &orders);
        let port = cgroup.within(|| {
            netns.within(|| {
                exchange(
                    &TcpListener::bind("127.0.0.1:0").unwrap(),
                    Exchange::SMALLEST,
                )
            })
        });
        let (active, passive) = receiver.both_ends(port, Outcome::Closed);
        let states = (active.tag_state(), passive.tag_state());
        let expected = (TagState::Answered, TagState::Believed);
        assert_eq!(states, expected, "{without:?}");
        assert_eq!(active.tag, passive.tag);
    }
}

/// Both ways to read a tag find the same in what Linux sends, so that nothing tells which was taken. Here one does: the kernel's
/// search goes from option to option by their lengths, and one of them is made to lead past the tag.
#[test]
fn a_tag_is_read_where_linux_puts_it_without_the_kernels_search() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    for flags in ["syn", "syn|ack"] {
        let (cgroup, netns, receiver) = (Cgroup::new(), Netns::new(), Receiver::new());
        // The length and the shift of the window scale, the option before the tag.
        netns.nft(&format!(
            "tcp flags == {flags} counter @th,304,16 set 0x1707"
        ));
        let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
        let _probe = Probe::start(&cgroup, &receiver, &orders);
        let port = cgroup.within(|| {
            netns.within(|| {
                exchange(
                    &TcpListener::bind("127.0.0.1:0").unwrap(),
                    Exchange::SMALLEST,
                )
            })
        });
        let (active, passive) = receiver.both_ends(port, Outcome::Closed);
        assert_eq!(netns.dropped_packets(), 1, "{flags}");
        let states = (active.tag_state(), passive.tag_state());
        let expected = (TagState::Answered, TagState::Believed);
        assert_eq!(states, expected, "{flags}");
        assert_eq!(active.tag, passive.tag);
    }
}

#[test]
fn while_keys_change_a_tag_under_either_is_believed() {
    let Some(_turn) = turn(&[]) else { return };
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str, text: String| {
        let path = keys.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = key("old", "a1".repeat(16));
    let both = key(
        "both",
        format!("{}\n{}\n", "b2".repeat(16), "a1".repeat(16)),
    );
    let (client, server) = (Cgroup::new(), Cgroup::new());
    let (tags, beliefs) = (Receiver::new(), Receiver::new());
    let orders = ["--tag-to", LOOPBACK, "--mesh-key-file", &old];
    let _client = Probe::start(&client, &tags, &orders);
    let orders = ["--believe-from", LOOPBACK, "--mesh-key-file", &both];
    let _server = Probe::start(&server, &beliefs, &orders);
    let listener = server.within(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = client.within(|| exchange(&listener, Exchange::SMALLEST));
    let passive = beliefs.end(port, Opening::Passive, Outcome::Closed);
    assert_eq!(passive.tag_state(), TagState::Believed);
}

#[test]
fn a_firewall_that_answers_the_tag_by_a_reset_costs_one_connection() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    let refused = connects_under("tcp option 253 exists counter reject with tcp reset");
    assert_eq!(refused, [true, false, false]);
}

#[test]
fn a_connect_that_is_given_up_before_its_retransmission_costs_one_connection() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    let failed = connects_under("tcp option 253 exists counter drop");
    assert_eq!(failed, [true, false, false]);
}

/// Connects three times under a rule, each within 250 ms; returns which of them failed.
fn connects_under(rule: &str) -> [bool; 3] {
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
    let _probe = Probe::start(&cgroup, &receiver, &orders);
    let netns = Netns::new();
    netns.nft(rule);
    let _member = cgroup.join();
    netns.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let timeout = Duration::from_millis(250);
        [(); 3].map(|()| TcpStream::connect_timeout(&address, timeout).is_err())
    })
}
