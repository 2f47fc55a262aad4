//! Many connections with a request each, as one filter would tell of them.

use syntrace_bridge::clock;
use syntrace_proto::{Batch, Clock, Rung, Sender, fact::Body};

use super::facts::{self, BOOT_NS, CLIENT, GATEWAY};

/// Number of the first fact after [`opening`].
pub const OPENING: u64 = 2;

/// What the probe sees, and both clocks.
pub fn opening() -> Batch {
    let rung = Rung {
        name: "full".to_owned(),
        ..Rung::default()
    };
    let mut batch = facts::batch(vec![Body::Rung(rung), Body::Clock(clock_now())]);
    batch.sender = Some(sender(0));
    batch
}

/// `count` connections and a request on each; their facts have the numbers from `first_seq` on.
pub fn batch(first_seq: u64, count: u64) -> Batch {
    let mut batch = batch_of(0, first_seq / 2, count);
    batch.first_seq = first_seq;
    batch
}

/// The `sent`th batch of one sender: what [`opening`] says, then `count` connections, each with a request.
///
/// So whatever comes first settles at once, and is joined.
pub fn whole_batch(filter: u64, sent: u64, count: u64) -> Batch {
    let mut batch = batch_of(filter, sent * count, count);
    batch.facts.splice(..0, opening().facts);
    batch.first_seq = sent * batch.facts.len() as u64;
    batch
}

/// Names the `n`th connection of one sender, and its request.
pub const fn name(filter: u64, n: u64) -> u64 {
    (filter + 1) << 32 | n
}

/// `count` connections of one sender, the first of them the `first`, and a request on each.
pub fn batch_of(filter: u64, first: u64, count: u64) -> Batch {
    // They ended just before: nothing of them is late.
    let now = clock::sample();
    let began_ns = now.boot.0 - 100_000_000;
    let bodies = (first..first + count).flat_map(|n| {
        let at_ns = began_ns - BOOT_NS + n % 1_000 * 10_000;
        let name = name(filter, n);
        let port = 1_024 + u32::try_from(n % 60_000).unwrap();
        let mut connection = facts::downstream(1);
        connection.socket_cookie = name;
        connection.netns_cookie = 4_711 + filter;
        connection.local = Some(facts::end(GATEWAY, 8_080 + u32::try_from(filter).unwrap()));
        connection.peer = Some(facts::end(CLIENT, port));
        connection.tag = Vec::new();
        connection.tag_state = 0;
        connection.minted_id = [name.to_be_bytes(), name.to_be_bytes()].concat();
        for at in [
            &mut connection.seen_at_ns,
            &mut connection.syn_at_ns,
            &mut connection.syn_ack_at_ns,
            &mut connection.established_at_ns,
            &mut connection.accepted_at_ns,
            &mut connection.closed_at_ns,
        ] {
            *at += at_ns;
        }
        let mut request = facts::served_request();
        request.downstream_connection = name;
        request.connection_trace_id = Vec::new();
        request.trace_id = [[0xa0; 8], name.to_be_bytes()].concat();
        request.span_id = name.to_be_bytes().to_vec();
        request.request_id = format!("request-{name}");
        request.local = connection.local.clone();
        request.peer = connection.peer.clone();
        request.started_at_unix_ns = now.unix.0 - 100_000_000 + n % 1_000 * 10_000 + 1_500_000;
        [Body::Connection(connection), Body::Request(request)]
    });
    let mut batch = facts::batch(bodies.collect());
    batch.sender = Some(sender(filter));
    batch
}

/// Facts that become no record.
pub fn rungs(first_seq: u64, count: u64) -> Batch {
    let rung = || {
        Body::Rung(Rung {
            name: "full".to_owned(),
            missing: vec!["a sentence that takes up some room".to_owned(); 4],
            ..Rung::default()
        })
    };
    let mut batch = facts::batch((0..count).map(|_| rung()).collect());
    batch.first_seq = first_seq;
    batch.sender = Some(sender(0));
    batch
}

fn sender(filter: u64) -> Sender {
    Sender {
        name: format!("filter/traffic/{filter}"),
        epoch: 0xf + filter,
        host_id: String::new(),
    }
}

fn clock_now() -> Clock {
    let now = clock::sample();
    Clock {
        boot_ns: now.boot.0,
        unix_ns: now.unix.0,
    }
}
