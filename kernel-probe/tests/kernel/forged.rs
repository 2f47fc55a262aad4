//! Tags that somebody made up, or overheard: on the wire, in handshakes of raw sockets.

use std::{collections::BTreeMap, fs, net::TcpListener, process::Command};

use syntrace_proto::{Connection, Opening, Outcome, TagState};

use crate::{
    LOOPBACK,
    cgroup::Cgroup,
    netns::Netns,
    probe::Probe,
    receiver::{self, Receiver},
    traffic::{Exchange, exchange},
    turn,
};

/// Makes the handshakes.
const FORGED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/forged.py");

/// A neighbour in the believed network, and somebody elsewhere.
const NEAR: &str = "127.0.0.2";
const FAR: &str = "192.0.2.1";

/// The tag's kind of option.
const KIND: u8 = 253;

/// The port of the first.
const FIRST_PORT: u16 = 20_000;

/// One that is tried: what it is, from where, its option, what becomes of it, who counts it.
type Forged = (&'static str, &'static str, Vec<u8>, TagState, &'static str);

#[test]
fn a_forged_tag_is_never_believed_and_always_counted() {
    let Some(_turn) = turn(&["ip", "nft", "python3"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, "a1".repeat(16)).unwrap();
    let key = key.to_str().unwrap();
    let (client, server) = (Cgroup::new(), Cgroup::new());
    let (tags, beliefs) = (Receiver::new(), Receiver::new());
    let tag = ["--tag-to", LOOPBACK, "--mesh-key-file", key];
    let believe = ["--believe-from", LOOPBACK, "--mesh-key-file", key];
    let _client = Probe::start(&client, &tags, &tag);
    let probe = Probe::start(&server, &beliefs, &believe);
    let netns = Netns::new();
    netns.address(FAR);
    netns.nft("tcp flags & rst == rst drop");
    let listener = netns.within(|| server.within(|| TcpListener::bind("127.0.0.1:0").unwrap()));
    let port = client.within(|| netns.within(|| exchange(&listener, Exchange::SMALLEST)));
    // One that is genuine, and believed: to be overheard.
    let genuine = beliefs.end(port, Opening::Passive, Outcome::Closed);
    assert_eq!(genuine.tag_state(), TagState::Believed);

    let forged = forged(&genuine.tag);
    let answers = handshakes(&netns, port, &forged);
    let told = beliefs.settled(
        |batches| forged_ends(receiver::connections(batches)),
        |told| told.len() == forged.len(),
    );
    assert_eq!(told.len(), forged.len());
    let mut counted = BTreeMap::<_, u64>::new();
    for (at, (what, _, option, state, counter)) in forged.iter().enumerate() {
        let end = &told[&(u32::from(FIRST_PORT) + at as u32)];
        assert_eq!(end.tag_state(), *state, "{what}");
        // What it says is kept where it was a tag at all; never as the connection's id.
        let kept = if *state == TagState::None {
            &[]
        } else {
            &option[4..]
        };
        assert_eq!(end.tag, kept, "{what}");
        assert_ne!(end.minted_id[..], option[4.min(option.len())..], "{what}");
        assert!(!answers[at].contains(&KIND), "{what}: {:?}", answers[at]);
        *counted.entry((*counter).to_owned()).or_default() += 1;
    }
    assert_eq!(probe.counted(), counted);
}

/// Returns what is tried, where `genuine` was believed before.
fn forged(genuine: &[u8]) -> Vec<Forged> {
    let option = |head: [u8; 4], id: &[u8]| [&head[..], id].concat();
    let tag = |id: &[u8]| option([253, 20, b'S', b'Y'], id);
    let changed = |at: usize| {
        let mut id = genuine.to_vec();
        id[at] ^= 1;
        tag(&id)
    };
    let malformed = |length: u8, bytes: usize| option([253, length, b'S', b'Y'], &vec![7; bytes]);
    use TagState::{Disbelieved, None};
    vec![
        (
            "a changed id",
            NEAR,
            changed(0),
            Disbelieved,
            "tag_mac_invalid",
        ),
        (
            "a changed MAC",
            NEAR,
            changed(15),
            Disbelieved,
            "tag_mac_invalid",
        ),
        (
            "an id out of the air",
            NEAR,
            tag(&[7; 16]),
            Disbelieved,
            "tag_mac_invalid",
        ),
        ("a replay", NEAR, tag(genuine), Disbelieved, "tag_replayed"),
        (
            "a replay from elsewhere",
            FAR,
            tag(genuine),
            Disbelieved,
            "tag_from_foreign_network",
        ),
        (
            "made up elsewhere",
            FAR,
            tag(&[8; 16]),
            Disbelieved,
            "tag_from_foreign_network",
        ),
        ("no id", NEAR, malformed(4, 0), None, "tag_malformed"),
        (
            "a byte too few",
            NEAR,
            malformed(19, 15),
            None,
            "tag_malformed",
        ),
        (
            "a byte too many",
            NEAR,
            malformed(21, 17),
            None,
            "tag_malformed",
        ),
        (
            "a word too many",
            NEAR,
            malformed(24, 20),
            None,
            "tag_malformed",
        ),
        ("all zero", NEAR, tag(&[0; 16]), None, "tag_malformed"),
        (
            "another experiment",
            NEAR,
            option([253, 20, b'S', b'X'], genuine),
            None,
            "tag_of_other_experiment",
        ),
    ]
}

/// Makes a handshake for each; returns the kinds of the options that answered it.
fn handshakes(netns: &Netns, port: u16, forged: &[Forged]) -> Vec<Vec<u8>> {
    let each = (FIRST_PORT..)
        .zip(forged)
        .map(|(own, (_, from, option, ..))| {
            // To whole words, by padding before it.
            let padding = vec![1; option.len().next_multiple_of(4) - option.len()];
            let digits: String = [&padding, &option[..]]
                .concat()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            (from, own, digits)
        });
    let arguments = serde_json::to_string(&each.collect::<Vec<_>>()).unwrap();
    let output = Command::new("ip")
        .args(["netns", "exec", netns.name(), "python3", FORGED])
        .args([&port.to_string(), &arguments])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the accepted ends of what was tried, by the peer's port.
fn forged_ends<'a>(all: impl Iterator<Item = &'a Connection>) -> BTreeMap<u32, Connection> {
    let ends = all.filter(|end| end.opening() == Opening::Passive);
    ends.map(|end| (end.peer.as_ref().unwrap().port, end.clone()))
        .filter(|(port, _)| (FIRST_PORT..FIRST_PORT + 100).contains(&(*port as u16)))
        .collect()
}
