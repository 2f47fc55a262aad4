//! A connection that requests claim under two numbers or two ids, or under none; and a request that comes twice.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, LiveConnection, Reconciler,
    fact::{Fact, Report, SenderId},
    record::{IdSource, Missing},
};
use syntrace_model::{ConnectionId, Opening};
use world::*;

/// A request on the proxy's connection with this number, that says which id the filter minted.
fn minted(n: u64, number: u64, id: u8, from: f64, until: f64) -> Report {
    Report {
        downstream_connection: number,
        connection_trace_id: Some(trace(id)),
        ..request(n, from_client(5001), from, until)
    }
}

#[test]
fn of_two_ids_that_a_filter_claims_the_one_of_the_earliest_request_is_the_connection_s() {
    let reports = vec![
        minted(1, 4, 0xa1, 20.0, 30.0),
        minted(2, 4, 0xb2, 25.0, 35.0),
        minted(3, 4, 0xb2, 15.0, 40.0),
        minted(4, 4, 0xb2, 45.0, 50.0),
        minted(5, 4, 0xb2, 46.0, 50.0),
        minted(6, 4, 0xc3, 47.0, 50.0),
    ];
    let told = tell(vec![accepted(1, 10.0, 90.0)], reports);
    let record = &told.connections[0];
    assert_eq!(record.trace_id, trace(0xb2));
    assert_eq!(record.trace_id_source, IdSource::Filter);
    let mut aliases = vec![trace(0xa1), trace(0xc3), kernel_id(1)];
    aliases.sort_unstable();
    assert_eq!(record.aliases, aliases);
}

#[test]
fn a_connection_with_more_ids_than_an_honest_filter_mints_keeps_the_earliest_of_all() {
    let claim = |n: u8| {
        minted(
            n.into(),
            4,
            0xa0 + n,
            20.0 + f64::from(n),
            30.0 + f64::from(n),
        )
    };
    let told = tell(vec![accepted(1, 10.0, 90.0)], (1..=9).map(claim).collect());
    let record = &told.connections[0];
    assert_eq!(record.trace_id, trace(0xa1));
    assert_eq!(record.aliases.len(), 4);
}

#[test]
fn a_socket_keeps_the_number_that_it_was_first_known_under() {
    let first = |n, number, from| Fact::Request(minted(n, number, 0xa1, from, from + 5.0).into());
    let mut reconciler = known(Limits::default(), vec![accepted(1, 10.0, 90.0)]);
    reconciler.handle_batch(batch(filter(), 0, vec![first(1, 4, 20.0)]));
    let other_run = SenderId {
        epoch: 9,
        ..filter()
    };
    reconciler.handle_batch(batch(other_run, 0, vec![first(2, 5, 40.0)]));
    reconciler.handle_batch(batch(
        filter(),
        1,
        vec![first(3, 6, 60.0), first(4, 4, 80.0)],
    ));
    let told = settle(&mut reconciler);
    let joins: Vec<_> = told
        .requests
        .iter()
        .map(|record| found(&record.received_on))
        .collect();
    let other = Err(Missing::NumberDiffers);
    assert_eq!(
        joins,
        [Ok((1, CERTAIN)), Ok((1, CERTAIN)), other, Ok((1, CERTAIN))]
    );
}

#[test]
fn a_request_that_names_no_address_stands_with_the_socket_that_has_its_number() {
    let nameless = Report {
        downstream: None,
        direct: None,
        ..minted(2, 4, 0xa1, 40.0, 50.0)
    };
    let before = Report {
        downstream: None,
        direct: None,
        ..minted(3, 4, 0xa1, 12.0, 15.0)
    };
    let other = Report {
        downstream: None,
        direct: None,
        ..minted(4, 5, 0xc3, 60.0, 70.0)
    };
    let reports = vec![before, minted(1, 4, 0xa1, 20.0, 30.0), nameless, other];
    let told = tell(vec![accepted(1, 10.0, 90.0)], reports);
    assert_eq!(
        found(&told.requests[1].received_on),
        Err(Missing::NoAddress)
    );
    let of = |n: usize| -> Vec<_> {
        let requests = told.connections[n].requests.iter();
        requests.map(|request| request.span_id).collect()
    };
    assert_eq!(told.connections.len(), 2);
    assert_eq!(of(0), [span(3), span(1), span(2)]);
    assert_eq!(of(1), [span(4)]);
}

#[test]
fn a_connection_that_only_the_proxy_saw_is_found_by_its_first_request() {
    let report = Report {
        downstream: None,
        direct: None,
        trace_id: trace(0x77),
        ..minted(1, 4, 0xa1, 20.0, 30.0)
    };
    let of_none = Report {
        connection_trace_id: None,
        ..report
    };
    let mut reconciler = known(Limits::default(), vec![]);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(of_none.into())]));
    reconciler.handle_timeout(boot(5_000.0));
    let known = reconciler.connections_known_as(trace(0x77));
    assert!(matches!(
        known[..],
        [ConnectionId::Proxy { connection: 4, .. }]
    ));
}

#[test]
fn a_connection_that_only_the_proxy_saw_stands_among_the_newest_where_its_first_request_began() {
    let nameless = |n, from, until| Report {
        downstream: None,
        direct: None,
        ..minted(n, 4, 0xa1, from, until)
    };
    let open = established(&accepted(1, 500.0, 90_000.0));
    let mut reconciler = known(Limits::default(), vec![open]);
    // The first to begin is the last to settle.
    let reports = [nameless(1, 10.0, 1_500.0), nameless(2, 1_000.0, 1_010.0)];
    reconciler.handle_batch(batch(filter(), 0, requests_of(reports.into())));
    reconciler.handle_timeout(boot(5_000.0));
    let newest: Vec<_> = reconciler
        .connections_newest(None)
        .map(LiveConnection::id)
        .collect();
    assert!(matches!(
        newest[..],
        [
            ConnectionId::Socket { cookie: 1, .. },
            ConnectionId::Proxy { connection: 4, .. }
        ]
    ));
}

#[test]
fn a_request_that_is_told_again_after_it_settled_stands_once_in_its_connection_s_record() {
    let open_end = established(&socket(
        1,
        Opening::Passive,
        from_client(5001),
        10.0,
        90_000.0,
    ));
    let report = || Fact::Request(minted(1, 4, 0xa1, 20.0, 30.0).into());
    let mut reconciler = known(Limits::default(), vec![open_end]);
    reconciler.handle_batch(batch(filter(), 0, vec![report()]));
    reconciler.handle_timeout(boot(5_000.0));
    reconciler.handle_batch(batch(filter(), 1, vec![report()]));
    reconciler.handle_timeout(boot(10_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 2);
    reconciler.drain();
    let told = settle(&mut reconciler);
    assert_eq!(told.connections[0].requests.len(), 1);
}

#[test]
fn a_record_lists_the_newest_requests_and_counts_the_others() {
    let limits = Limits {
        requests_per_connection: 2,
        ..Limits::default()
    };
    let listed = |n: u64| {
        let mut reconciler = Reconciler::new(limits);
        let mut kernel = preamble();
        kernel.push(Fact::Connection(accepted(1, 10.0, 90.0)));
        reconciler.handle_batch(batch(probe(), 0, kernel));
        let report = |n: u64| minted(n, 4, 0xa1, 10.0 + n as f64, 11.0 + n as f64);
        let reports = (1..=n).map(|n| Fact::Request(report(n).into())).collect();
        reconciler.handle_batch(batch(filter(), 0, reports));
        let record = settle(&mut reconciler).connections.remove(0);
        let first = record.requests[0].span_id;
        (first, record.requests.len(), record.requests_evicted)
    };
    assert_eq!(listed(2), (span(1), 2, 0));
    assert_eq!(listed(3), (span(2), 2, 1));
    assert_eq!(listed(5), (span(4), 2, 3));
}

#[test]
fn a_record_counts_the_requests_that_were_left_out_before_its_socket_was_known() {
    let limits = Limits {
        requests_per_connection: 1,
        ..Limits::default()
    };
    let nameless = |n, from| Report {
        downstream: None,
        direct: None,
        ..minted(n, 4, 0xa1, from, from + 1.0)
    };
    let reports = vec![
        nameless(1, 12.0),
        nameless(2, 14.0),
        minted(3, 4, 0xa1, 20.0, 30.0),
    ];
    let mut reconciler = known(limits, vec![accepted(1, 10.0, 90.0)]);
    reconciler.handle_batch(batch(filter(), 0, requests_of(reports)));
    let told = settle(&mut reconciler);
    let [record] = &told.connections[..] else {
        panic!("one connection");
    };
    assert_eq!(record.requests.len(), 1);
    assert_eq!(record.requests_evicted, 2);
}

/// Two reports with one span id that begin and end so, told by one sender.
fn with_one_span(reports: [(f64, f64); 2]) -> Reconciler {
    let mut reconciler = known(Limits::default(), vec![]);
    let reports = reports.map(|(from, until)| {
        let report = request(1, from_client(5001), from, until);
        Fact::Request(report.into())
    });
    reconciler.handle_batch(batch(filter(), 0, reports.into()));
    reconciler
}

#[test]
fn of_two_reports_with_one_span_the_first_to_begin_stays_in_any_order() {
    let [one, other] = [(1_011.0, 1_020.0), (1_012.0, 1_020.0)];
    let mut reconciler = with_one_span([one, other]);
    let told = settle(&mut reconciler);
    let counted = reconciler.coverage().contradictions.into_iter();
    assert_eq!(counted.collect::<Vec<_>>(), [("span_id_repeated", 1)]);
    assert_eq!(told, settle(&mut with_one_span([other, one])));
    let [record] = &told.requests[..] else {
        panic!("one request");
    };
    assert_eq!(record.coverage.contradictions, ["span_id_repeated"]);
    assert_eq!(record.report.started_at, unix(1_011.0));
}

#[test]
fn of_two_reports_with_one_span_the_one_that_stays_settles_when_it_is_due() {
    let mut reconciler = with_one_span([(1_012.0, 1_020.0), (1_011.0, 30_000.0)]);
    reconciler.handle_timeout(boot(10_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 0);
    reconciler.handle_timeout(boot(40_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 1);
}
