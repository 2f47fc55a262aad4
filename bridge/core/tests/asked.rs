//! What is asked of a report, or of a record, by itself.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::fact::{Http, Report, Upstream};
use world::*;

#[test]
fn a_report_is_detailed_if_it_tells_any_part_of_the_request() {
    let bare = served(request(1, from_client(5001), 10.0, 20.0), 6001, 0.0, 0.0);
    let upstream = Upstream {
        pool_wait_ns: None,
        first_byte_ns: None,
        ..bare.upstream.clone().unwrap()
    };
    let with = |upstream: Upstream, details: &str| Report {
        upstream: Some(upstream),
        http: Http {
            response_details: details.into(),
            ..bare.http.clone()
        },
        ..bare.clone()
    };
    let waited = Upstream {
        pool_wait_ns: Some(0),
        ..upstream.clone()
    };
    let answered = Upstream {
        first_byte_ns: Some(0),
        ..upstream.clone()
    };
    assert!(!with(upstream.clone(), "").is_detailed());
    assert!(with(upstream, "via_upstream").is_detailed());
    assert!(with(waited, "").is_detailed());
    assert!(with(answered, "").is_detailed());
    assert!(!request(1, from_client(5001), 10.0, 20.0).is_detailed());
}

#[test]
fn a_report_ends_as_long_after_its_start_as_it_took() {
    let report = request(1, from_client(5001), 10.0, 20.5);
    assert_eq!(report.ended_at(), unix(20.5));
}

#[test]
fn a_connection_is_known_by_its_id_and_by_its_aliases_and_by_no_other() {
    let mut record = tell(vec![accepted(1, 10.0, 50.0)], vec![])
        .connections
        .remove(0);
    record.aliases = vec![trace(0x0a)];
    assert!(record.is_known_as(record.trace_id));
    assert!(record.is_known_as(trace(0x0a)));
    assert!(!record.is_known_as(trace(0x0b)));
}

#[test]
fn a_connection_s_times_are_on_the_wall_clock_if_there_is_one() {
    let mut record = tell(vec![accepted(1, 10.0, 50.0)], vec![])
        .connections
        .remove(0);
    assert_eq!(record.to_unix(boot(12.0)), Some(unix(12.0)));
    record.clock = None;
    assert_eq!(record.to_unix(boot(12.0)), None);
}
