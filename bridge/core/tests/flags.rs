//! What Envoy's response flags and details say of an end, and of whom; and what they do not say.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence,
    answer::{Cause, Code, Party},
    fact::{Counters, Fact, Incident, IncidentKind, Snapshot},
};
use syntrace_model::{Opening, Outcome};
use world::{
    cut_off::{cause, sent},
    *,
};

const LR: u64 = 1 << 3;
const UO: u64 = 1 << 7;
const UC: u64 = 1 << 6;
const DC: u64 = 1 << 14;
const DR: u64 = 1 << 28;

#[test]
fn each_flag_names_a_party_or_nobody() {
    let cases = [
        // The client.
        (DR, 0, "http2.remote_reset", Party::Client, Code::ClientGone),
        (
            DR,
            200,
            "http2.remote_reset",
            Party::Client,
            Code::ClientGone,
        ),
        (1 << 17, 400, "", Party::Client, Code::ClientProtocol),
        // The proxy closed the client's connection itself.
        (
            DC,
            0,
            "downstream_local_disconnect(http2_ping_timeout)",
            Party::Unknown,
            Code::LocalReset,
        ),
        // The proxy, and why it did so is the service's or its own.
        (
            LR,
            503,
            "upstream_reset_before_response_started{local_reset}",
            Party::Unknown,
            Code::LocalReset,
        ),
        (
            1 << 10,
            503,
            "fault_filter_abort",
            Party::Proxy,
            Code::FaultInjected,
        ),
        (
            1 << 12,
            403,
            "ext_authz_denied",
            Party::Proxy,
            Code::NotAuthorised,
        ),
        (
            1 << 13,
            500,
            "rate_limiter_error",
            Party::Proxy,
            Code::AnsweredByProxy,
        ),
        (
            1,
            503,
            "health_check_failed",
            Party::Proxy,
            Code::AnsweredByProxy,
        ),
        (
            1 << 21,
            500,
            "filter_config_not_found",
            Party::Proxy,
            Code::AnsweredByProxy,
        ),
        (
            1 << 29,
            503,
            "unconditional_drop_overload",
            Party::Proxy,
            Code::Overloaded,
        ),
        (
            1 << 26,
            503,
            "dns_resolution_failure",
            Party::Unknown,
            Code::NameUnresolved,
        ),
        // A circuit breaker that kept the proxy from another attempt only.
        (UO, 503, "via_upstream", Party::Service, Code::ServiceError),
        (
            UO | UC,
            503,
            "upstream_reset_before_response_started{connection_termination}",
            Party::Unknown,
            Code::ResetBeforeFirstByte,
        ),
        (
            UO,
            503,
            "upstream_reset_before_response_started{overflow}",
            Party::Proxy,
            Code::CircuitOpen,
        ),
        // Nothing: a delay, no attempt left, a cache.
        (
            1 << 9,
            500,
            "via_upstream",
            Party::Service,
            Code::ServiceError,
        ),
        (
            1 << 15,
            503,
            "via_upstream",
            Party::Service,
            Code::ServiceError,
        ),
        (
            1 << 20,
            500,
            "via_upstream",
            Party::Service,
            Code::ServiceError,
        ),
    ];
    for (flags, status, details, party, code) in cases {
        let cause = cause(sent(flags, status, details, 31.0));
        let said = (cause.party, cause.code);
        assert_eq!(
            said,
            (party, code),
            "{flags:#x} {details}: {}",
            cause.sentence
        );
    }
}

#[test]
fn an_error_is_the_service_s_only_if_the_proxy_says_that_it_came_from_there() {
    let cases = [
        ("via_upstream", Party::Service, Code::ServiceError),
        (
            "response_payload_too_large",
            Party::Proxy,
            Code::AnswerReplaced,
        ),
        (
            "upstream_reset_after_response_started{x}",
            Party::Unknown,
            Code::Unexplained,
        ),
        ("", Party::Unknown, Code::Unexplained),
    ];
    for (details, party, code) in cases {
        let cause = cause(sent(0, 500, details, 31.0));
        assert_eq!((cause.party, cause.code), (party, code), "{details}");
    }
}

#[test]
fn a_reset_by_the_service_counts_only_on_the_connection_that_surely_carried_the_request() {
    let details = "upstream_reset_before_response_started{connection_termination}";
    let report = sent(UC, 503, details, 31.0);
    let reset = |from| Snapshot {
        outcome: Outcome::ResetByPeer,
        ..socket(2, Opening::Active, to_service(6001), from, 31.0)
    };
    let party = |sockets| {
        let record = told(sockets, report.clone());
        let (_, confidence) = found(record.served_by.as_ref().unwrap()).unwrap();
        (confidence, record.answer.cause.party)
    };
    assert_eq!(party(vec![reset(5.0)]), (CERTAIN, Party::Service));
    // It was opened a little late for the request.
    assert_eq!(party(vec![reset(14.0)]), (LIKELY, Party::Unknown));
    let other = Snapshot {
        netns: 8,
        owner_pid: 9,
        owner_tid: 9,
        ..socket(3, Opening::Active, to_service(6001), 6.0, 31.0)
    };
    let ambiguous = Confidence::Ambiguous { candidates: 2 };
    assert_eq!(party(vec![reset(5.0), other]), (ambiguous, Party::Unknown));
}

/// What is said of a request whose connect nothing answered, and of that connect, where this happened to the
/// listener that it went to in the namespace `netns`.
fn unconnected(netns: u64, kind: IncidentKind, at: f64) -> [Cause; 2] {
    let connect = Snapshot {
        counters: Counters {
            syn_retransmits: 2,
            ..Counters::default()
        },
        ..failed(2, to_service(6001), Outcome::Unanswered, 111.1, 7_111.0)
    };
    let report = unserved(
        request(1, from_client(5001), 111.0, 7_112.0),
        "delayed connect error: 110",
    );
    let dropped = Incident {
        netns,
        local: connect.key.peer,
        peer: None,
        ..incident(99, kind, at)
    };
    let downstream = socket(1, Opening::Passive, from_client(5001), 110.0, 8_000.0);
    let mut reconciler = known(Default::default(), vec![downstream, connect]);
    let facts = vec![Fact::Incident(dropped), clock_after(&report)];
    reconciler.handle_batch(batch(probe(), 4, facts));
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let records = settle(&mut reconciler);
    let mut connections = records.connections.into_iter();
    let connect = connections.find_map(|record| record.answer);
    [
        records.requests[0].answer.cause.clone(),
        connect.unwrap().cause,
    ]
}

#[test]
fn a_syn_that_nothing_answers_is_at_most_likely_the_network_s() {
    for (netns, kind, at) in [
        (GATEWAY + 1, IncidentKind::AcceptOverflow, 1_111.2),
        (GATEWAY, IncidentKind::AcceptOverflow, 100.0),
        (GATEWAY, IncidentKind::AcceptOverflow, 7_200.0),
        (GATEWAY, IncidentKind::SynCookies, 1_111.2),
    ] {
        for cause in unconnected(netns, kind, at) {
            let said = (cause.party, cause.code, cause.confidence);
            assert_eq!(said, (Party::Network, Code::ConnectUnanswered, LIKELY));
        }
    }
}

#[test]
fn a_syn_that_a_full_queue_on_this_host_dropped_is_the_kernel_s() {
    for kind in [IncidentKind::AcceptOverflow, IncidentKind::SynOverflow] {
        let causes = unconnected(GATEWAY, kind, 1_111.2);
        for cause in &causes {
            let said = (cause.party, cause.code, cause.confidence);
            assert_eq!(said, (Party::Kernel, Code::AcceptOverflow, LIKELY));
        }
        assert_eq!(
            causes[0].sentence.to_string(),
            "503: a queue of the listener 198.51.100.2:80 on this host was full; 3 SYNs were not answered within 7.000 s"
        );
    }
}
