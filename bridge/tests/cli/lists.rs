//! Lists that are longer than what is listed, or than a page: nothing is left out without a word.

use jiff::{Timestamp, tz::TimeZone};
use syntrace_proto::{Batch, fact::Body};

use crate::{bridge::Running, command::run, support::facts};

/// Requests of the minute, the oldest of which are the slow ones.
const REQUESTS: u64 = 2_010;
const SLOW: u64 = 10;

#[test]
fn the_slowest_of_a_minute_are_those_of_all_its_requests() {
    let (bridge, minute) = after_a_busy_minute();
    let found = find(&bridge, &["p99", &minute]);
    assert_eq!(found.listed, 21);
    assert_eq!(found.slow, SLOW);
    assert_eq!(found.first_slow, SLOW, "the slowest come first");
    assert_eq!(found.said, "");
    let found = find(&bridge, &["p99.9", &minute]);
    assert_eq!((found.listed, found.slow), (3, 3));
    let found = find(&bridge, &["p50", &minute, "--limit", "5"]);
    assert_eq!((found.listed, found.slow), (5, 5));
    assert!(
        found
            .said
            .contains("2010 requests match; these are 5 of the slowest 1005"),
        "{}",
        found.said
    );
    let found = find(&bridge, &["p0", &minute, "--all"]);
    assert_eq!((found.listed, found.slow), (REQUESTS, SLOW));
    assert_eq!(found.said, "");
}

#[test]
fn a_list_that_is_cut_says_so_and_may_be_had_whole() {
    let (bridge, minute) = after_a_busy_minute();
    let found = find(&bridge, &["200", &minute]);
    assert_eq!(found.listed, 100);
    assert!(
        found
            .said
            .contains("2010 requests match; these are the newest 100; --limit N"),
        "{}",
        found.said
    );
    let found = find(&bridge, &["200", &minute, "--limit", "1500"]);
    assert_eq!(found.listed, 1_500);
    let found = find(&bridge, &["200", &minute, "--all"]);
    assert_eq!((found.listed, found.slow), (REQUESTS, SLOW));
    assert_eq!(found.said, "");
    let found = find(&bridge, &["200", "--limit", "7"]);
    assert_eq!(found.listed, 7);
    assert!(
        found
            .said
            .contains("these are the newest 7, and more may match"),
        "{}",
        found.said
    );
}

#[test]
fn connections_of_a_network_are_listed_beyond_a_hundred_if_that_is_asked_for() {
    let bridge = Running::start(&[]);
    let connections = (0..250).map(|n| {
        let mut connection = facts::downstream(1);
        connection.socket_cookie = 1_000 + n;
        connection.minted_id = (n + 1).to_be_bytes().repeat(2);
        connection.tag = Vec::new();
        connection.tag_state = 0;
        connection.peer = Some(facts::end(facts::CLIENT, 2_000 + u32::try_from(n).unwrap()));
        Body::Connection(connection)
    });
    let mut batch = facts::batch(connections.collect());
    batch.sender.as_mut().unwrap().name = "probe/network/0".to_owned();
    bridge.post(&batch);
    bridge.wait_until_settled("connections", 250);
    let found = find(&bridge, &["0.0.0.0/0"]);
    assert_eq!(found.listed, 100);
    assert!(
        found
            .said
            .contains("these are the newest 100, and more may match"),
        "{}",
        found.said
    );
    let found = find(&bridge, &["0.0.0.0/0", "--all"]);
    assert_eq!((found.listed, found.said.as_str()), (250, ""));
}

#[test]
fn what_looks_like_a_time_and_is_none_is_a_wrong_command_line() {
    let bridge = Running::start(&[]);
    let address = format!("http://{}", bridge.address());
    let said = run(&["--bridge", &address, "find", "503", "99:99"]);
    assert_eq!(said.code, Some(64), "{}", said.out);
    assert!(
        said.err.contains("99:99 is not a time of day"),
        "{}",
        said.err
    );
}

struct Found {
    listed: u64,
    slow: u64,
    /// How many of the slow ones come before all others.
    first_slow: u64,
    said: String,
}

fn find(bridge: &Running, words: &[&str]) -> Found {
    let address = format!("http://{}", bridge.address());
    let said = run(&[&["--bridge", &address, "--json", "find"], words].concat());
    assert_eq!(said.code, Some(0), "{words:?}: {} {}", said.out, said.err);
    let records = said.out.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["duration_ns"] == 90_000_000
    });
    let are_slow: Vec<bool> = records.collect();
    let count = |are_slow: &[bool]| are_slow.iter().filter(|slow| **slow).count() as u64;
    let first = are_slow.iter().take_while(|slow| **slow).count() as u64;
    Found {
        listed: are_slow.len() as u64,
        slow: count(&are_slow),
        first_slow: first,
        said: said.err,
    }
}

/// A bridge that was told of the requests of one minute; and how that is asked for.
fn after_a_busy_minute() -> (Running, String) {
    let bridge = Running::start(&[]);
    let began_ns = facts::served_request().started_at_unix_ns;
    for first in [0, REQUESTS / 2] {
        bridge.post(&requests(began_ns, first, REQUESTS / 2));
    }
    bridge.wait_until_settled("requests", REQUESTS);
    let began_at = Timestamp::from_nanosecond(began_ns.into()).unwrap();
    let minute = began_at.to_zoned(TimeZone::UTC);
    (bridge, minute.strftime("%Y-%m-%d %H:%M").to_string())
}

fn requests(began_ns: u64, first: u64, count: u64) -> Batch {
    let of_minute = (first..first + count).map(|n| {
        let mut request = facts::served_request();
        request.downstream_connection = 1_000 + n;
        request.span_id = (n + 1).to_be_bytes().to_vec();
        request.request_id = String::new();
        request.upstream = None;
        request.started_at_unix_ns = began_ns + n * 1_000_000;
        request.duration_ns = if n < SLOW { 90_000_000 } else { 20_000_000 };
        Body::Request(request)
    });
    let mut batch = facts::batch(of_minute.collect());
    batch.first_seq = first;
    batch.sender.as_mut().unwrap().name = "filter/minute/0".to_owned();
    batch
}
