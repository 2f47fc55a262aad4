//! Counts settled records: who made requests fail, how long things took, what was lost on the wire. Where an example
//! helps, the counters carry the trace id of the last as an exemplar.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        exemplar::{CounterWithExemplar, HistogramWithExemplars},
        family::Family,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use syntrace_core::{
    Output,
    answer::{Answer, Code, Party},
    record::{ConnectionRecord, Join, PhaseKind, RequestRecord},
};

use super::bounded::{Label, Words};
use crate::spans;

/// Clusters, and labels of traffic, that have series of their own.
const WORDS_MAX: usize = 100;

/// Upper bounds of durations of requests, seconds: the conventions' for `http.server.request.duration`.
const REQUEST_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Upper bounds of waits for connections, seconds: a SYN is sent again after 1, 3 and 7.
const WAIT_BUCKETS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 0.9, 1.5, 3.5, 7.5,
];

type MakeRequestHistogram = fn() -> HistogramWithExemplars<Trace>;
type MakeWaitHistogram = fn() -> Histogram;

/// The counters; clones count together.
#[derive(Clone, Debug)]
pub(super) struct Records {
    clusters: Words,
    dyes: Words,
    requests: Family<RequestLabels, CounterWithExemplar<Trace>>,
    durations: Family<Cluster, HistogramWithExemplars<Trace>, MakeRequestHistogram>,
    seconds: Family<Whose, Counter<f64, AtomicU64>>,
    dyed: Family<Dyed, Counter>,
    marked: Family<Marked, Counter>,
    joins: Family<Joined, Counter>,
    connections: Family<Outcome, Counter>,
    failed_connections: Family<Cause, CounterWithExemplar<Trace>>,
    handshakes: Family<Role, Histogram, MakeWaitHistogram>,
    accept_waits: Family<Role, Histogram, MakeWaitHistogram>,
    retransmits: Family<Retransmit, Counter>,
    incidents: Family<Kind, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trace {
    trace_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    party: &'static str,
    code: &'static str,
    cluster: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cluster {
    cluster: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Whose {
    party: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dyed {
    dye: Label,
    failed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Marked {
    reason: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Joined {
    link: &'static str,
    method: &'static str,
    confidence: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    party: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Role {
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Retransmit {
    role: &'static str,
    segment: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

// === impl Records ===

impl Default for Records {
    fn default() -> Self {
        let wait: MakeWaitHistogram = || Histogram::new(WAIT_BUCKETS);
        let request: MakeRequestHistogram =
            || HistogramWithExemplars::new(REQUEST_BUCKETS.into_iter());
        Self {
            clusters: Words::new(WORDS_MAX),
            dyes: Words::new(WORDS_MAX),
            requests: Family::default(),
            durations: Family::new_with_constructor(request),
            seconds: Family::default(),
            dyed: Family::default(),
            marked: Family::default(),
            joins: Family::default(),
            connections: Family::default(),
            failed_connections: Family::default(),
            handshakes: Family::new_with_constructor(wait),
            accept_waits: Family::new_with_constructor(wait),
            retransmits: Family::default(),
            incidents: Family::default(),
        }
    }
}

impl Records {
    /// Counts a settled record.
    pub(super) fn settled(&self, output: &Output) {
        match output {
            Output::Request(request) => self.request(request),
            Output::Connection(connection) => self.connection(connection),
        }
    }

    fn request(&self, record: &RequestRecord) {
        let report = &*record.report;
        let upstream = report.upstream.as_ref();
        let cluster = self
            .clusters
            .label(upstream.map_or("", |upstream| &*upstream.cluster));
        let trace = || Trace {
            trace_id: report.trace_id.to_string(),
        };
        let cause = &record.answer.cause;
        let labels = RequestLabels {
            party: cause.party.name(),
            code: cause.code.name(),
            cluster: cluster.clone(),
        };
        // What went well needs no example.
        let exemplar = (cause.code != Code::Completed).then(trace);
        self.requests
            .get_or_create(&labels)
            .inc_by(1, exemplar, None);
        self.durations.get_or_create(&Cluster { cluster }).observe(
            seconds(record.duration_ns()),
            Some(trace()),
            None,
        );
        for party in Party::ALL {
            let time_ns = record.answer.time.of(party);
            if time_ns > 0 {
                let labels = Whose {
                    party: party.name(),
                };
                self.seconds.get_or_create(&labels).inc_by(seconds(time_ns));
            }
        }
        if !report.http.dye.is_empty() {
            let failed = spans::is_error(report);
            let dye = self.dyes.label(&report.http.dye);
            self.dyed.get_or_create(&Dyed { dye, failed }).inc();
        }
        if let Some(mark) = &report.http.mark {
            let reason = self.dyes.label(&mark.reason);
            self.marked.get_or_create(&Marked { reason }).inc();
        }
        self.joined("received_on", Some(&record.received_on));
        self.joined("served_by", record.served_by.as_ref());
        self.joined("opened", record.opened.as_ref());
    }

    fn connection(&self, record: &ConnectionRecord) {
        let role = record.role.map_or("unknown", |role| role.name());
        let socket = record.socket.as_ref();
        let outcome = socket.map_or("not_observed", |socket| socket.outcome.name());
        self.connections.get_or_create(&Outcome { outcome }).inc();
        if let Some(answer) = &record.answer {
            let trace_id = record.trace_id.to_string();
            let failed = self.failed_connections.get_or_create(&cause(answer));
            failed.inc_by(1, Some(Trace { trace_id }), None);
        }
        for phase in &record.phases {
            let waits = if phase.kind == PhaseKind::Handshake {
                &self.handshakes
            } else if phase.kind == PhaseKind::AcceptWait {
                &self.accept_waits
            } else {
                continue;
            };
            let wait = waits.get_or_create(&Role { role });
            wait.observe(seconds(phase.duration_ns));
        }
        if let Some(socket) = socket {
            let counters = &socket.counters;
            for (segment, count) in [
                ("syn", counters.syn_retransmits),
                ("syn_ack", counters.syn_ack_retransmits),
                ("data", counters.retransmits),
            ] {
                let labels = Retransmit { role, segment };
                self.retransmits.get_or_create(&labels).inc_by(count.into());
            }
        }
        for incident in &record.incidents {
            let kind = incident.kind.name();
            self.incidents
                .get_or_create(&Kind { kind })
                .inc_by(incident.count.into());
        }
    }

    fn joined(&self, link: &'static str, join: Option<&Join>) {
        let (method, confidence) = match join {
            Some(Join::To {
                method, confidence, ..
            }) => (method.name(), confidence.name()),
            Some(Join::Missing(missing)) => ("none", missing.name()),
            None => return,
        };
        let labels = Joined {
            link,
            method,
            confidence,
        };
        self.joins.get_or_create(&labels).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let seconds = || Unit::Seconds;
        registry.register(
            "requests",
            "Settled requests, by who made them fail or take their time, and by cluster",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "How long clients waited for settled requests, by cluster",
            seconds(),
            self.durations.clone(),
        );
        registry.register_with_unit(
            "request_time",
            "Time that clients waited for settled requests, by the party that took it",
            seconds(),
            self.seconds.clone(),
        );
        registry.register(
            "dyed_requests",
            "Settled requests with a label on the traffic, by label and whether they failed",
            self.dyed.clone(),
        );
        registry.register(
            "marked_requests",
            "Settled requests that a circuit breaker or a limit stopped, by reason",
            self.marked.clone(),
        );
        registry.register(
            "joins",
            "Settled requests, by how they were assigned to connections",
            self.joins.clone(),
        );
        registry.register(
            "connections",
            "Settled connections, by outcome",
            self.connections.clone(),
        );
        registry.register(
            "connections_failed",
            "Settled connections that were never established, by cause",
            self.failed_connections.clone(),
        );
        registry.register_with_unit(
            "handshake",
            "From the SYN to the end of the handshake, of settled connections",
            seconds(),
            self.handshakes.clone(),
        );
        registry.register_with_unit(
            "accept_wait",
            "From the end of the handshake until a worker had the socket; an upper bound where that is not known exactly",
            seconds(),
            self.accept_waits.clone(),
        );
        registry.register(
            "retransmits",
            "Segments that settled connections sent again",
            self.retransmits.clone(),
        );
        registry.register(
            "incidents",
            "What happened to settled connections and their listeners, by kind",
            self.incidents.clone(),
        );
    }
}

fn cause(answer: &Answer) -> Cause {
    Cause {
        party: answer.cause.party.name(),
        code: answer.cause.code.name(),
    }
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}
