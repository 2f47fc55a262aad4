//! The end of a request: what the filter reports of it, and what was true.

use syntrace_core::{
    fact::{Fact, Http, Report, Upstream},
    join::TIGHT_NS,
};
use syntrace_model::{SpanId, TraceId, UnixNanos};

use super::{
    Arrival, Ending, Event, Holdup, MS, Request, Seen, TOLD_ABOVE, US, Way, Worker, is_multiplexed,
    party_of,
};

impl Worker<'_> {
    pub(super) fn done(
        &mut self,
        ask: usize,
        up: Option<usize>,
        ending: Ending,
        failed_by: Option<u64>,
        now: u64,
    ) {
        let down = self.asks[ask].down;
        let report = self.report(ask, up, ending, now);
        let rivals = self
            .failures
            .iter()
            .rev()
            .take_while(|(_, at)| at + 10_000 * MS > now)
            .filter(|(host, at)| *host == self.asks[ask].host && at.abs_diff(now) < 6 * MS)
            .count();
        let known = &self.asks[ask];
        if let Some((mishap, cookie, at)) = known.mishap {
            let hit = (mishap, report.span_id);
            self.truth.mishaps.insert((cookie, at), hit);
        }
        let served_by = up.map(|up| &self.ups[up]);
        let way = match served_by {
            _ if known.hedged.is_some() => known.hedged.unwrap_or(Way::Own),
            _ if known.attempts > 1 => Way::Retried,
            Some(up) if up.ahead => Way::Preconnected,
            Some(up) if is_multiplexed(self.hosts[up.host].manner) => Way::Multiplexed,
            _ => Way::Own,
        };
        let handshake = served_by.and_then(|up| Some((up.syn_at, up.established_at?)));
        // Waiting for the worker to notice the end of a handshake is waiting for it, too.
        let handshake = handshake.filter(|(_, until)| until + TIGHT_NS > known.since);
        let missed_ns = handshake.map(|(from, _)| known.since.saturating_sub(from));
        self.truth.requests.insert(
            report.span_id,
            Request {
                arrival: self.downs[down].coming.arrival,
                ending,
                received_on: self.downs[down].cookie,
                served_by: up.map(|up| self.ups[up].cookie),
                failed_by,
                way,
                missed_ns,
                rivals: rivals as u32,
                earlier: known.earlier.clone(),
                time: known.time,
                before: known.before,
                party: party_of(ending),
            },
        );
        self.proxy.push(Seen {
            at: now,
            fact: Fact::Request(report.into()),
        });
        let known = &mut self.downs[down];
        known.first_end.get_or_insert(now);
        known.running -= 1;
        if known.left > 0 {
            known.left -= 1;
            known.running += 1;
            let pause = self.random.about(15 * MS);
            self.later(now + pause, Event::Ask(down));
        } else if known.running == 0 {
            let hold = self.random.between(40 * US, 20 * MS);
            self.later(now + hold, Event::Close(down));
        }
    }

    pub(super) fn report(
        &mut self,
        ask: usize,
        up: Option<usize>,
        ending: Ending,
        now: u64,
    ) -> Report {
        self.spans += 1;
        let span = (self.place.number << 40) + self.spans;
        // The event loop's time is cached.
        let lag = if self.random.in_million(300) {
            self.random.below(3 * MS)
        } else {
            self.random.below(30 * US)
        };
        let known = &self.asks[ask];
        let down = &self.downs[known.down];
        let host = &self.hosts[known.host];
        let minted = TraceId::new((0xf1_u128 << 120 | u128::from(down.cookie)).to_be_bytes());
        let minted = minted.unwrap();
        let brings_context = down.cookie.is_multiple_of(3);
        let failed = ending != Ending::Answered;
        let duration_ns = now - known.start;
        let detailed = failed
            || down.requests == 1
            || duration_ns > TOLD_ABOVE
            || known.attempts > 1
            || up.is_some_and(|up| self.ups[up].uses == 1);
        let (request_bytes, response_bytes) = match known.holdup {
            _ if !detailed || failed => (0, 0),
            Holdup::Upload => (500_000, 100),
            Holdup::Download | Holdup::AnswerLost => (0, 3_000_000),
            Holdup::None | Holdup::Streaming | Holdup::Busy | Holdup::RequestLost => (100, 5_000),
        };
        let multiplexed = down.coming.arrival == Arrival::Multiplexed;
        let session = down.coming.arrival == Arrival::TcpSession;
        let words = self.spans.is_multiple_of(2);
        let (flags, failure, details) = match ending {
            Ending::Answered if detailed => (0, "", "via_upstream"),
            Ending::Answered => (0, "", ""),
            Ending::Refused if words => (1 << 5, "delayed connect error: 111", ""),
            Ending::Refused => (1 << 5, "delayed connect error: Connection refused", ""),
            Ending::ConnectTimeout => (
                1 << 5,
                "",
                "upstream_reset_before_response_started{connection_timeout}",
            ),
            Ending::Unanswered if words => (1 << 5, "delayed connect error: 110", ""),
            Ending::Unanswered => (1 << 5, "delayed connect error: Connection timed out", ""),
            Ending::Unreachable => (1 << 5, "delayed connect error: No route to host", ""),
            Ending::TlsFailed => (
                1 << 5,
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                "",
            ),
            Ending::ResetAtOnce => (
                1 << 5,
                "delayed connect error: Connection reset by peer",
                "",
            ),
            Ending::ResetBeforeFirstByte => (
                1 << 6,
                "",
                "upstream_reset_before_response_started{connection_termination}",
            ),
            Ending::StreamReset => (
                1 << 4,
                "",
                "upstream_reset_before_response_started{remote_reset}",
            ),
            Ending::ClientGone => (1 << 14, "", "downstream_remote_disconnect"),
            Ending::Cancelled => (1 << 28, "", "http2.remote_reset"),
            Ending::Unserved | Ending::NetworkDead | Ending::NoConnectionInTime => {
                (1 << 2, "", "response_timeout")
            }
            Ending::Idle | Ending::RequestIncomplete => (1 << 16, "", "stream_idle_timeout"),
            Ending::AnsweredItself => (0, "", "direct_response"),
            Ending::CircuitOpen => (
                1 << 7,
                "",
                "upstream_reset_before_response_started{overflow}",
            ),
        };
        let is_grpc = multiplexed && self.spans.is_multiple_of(3);
        let (status, grpc_status) = match local_status(ending) {
            _ if session => (0, None),
            None => (200, is_grpc.then_some(0)),
            // The client is gone, and nobody is told.
            Some(0) => (0, None),
            // To a gRPC client the proxy's own answers are 200, and the call's status is UNKNOWN or UNAVAILABLE.
            Some(408) if is_grpc => (200, Some(2)),
            Some(_) if is_grpc => (200, Some(14)),
            Some(status) => (status, None),
        };
        let waited = match up {
            Some(_) => known.served_at - known.since,
            None => now - known.since,
        };
        let is_given_up = up.is_none() && failed_by_nobody(ending);
        let upstream = Upstream {
            local: up.map(|up| self.ups[up].key.local),
            peer: host.end,
            cluster: "service".into(),
            // Where the proxy gave the wait up, it reports no length of it.
            pool_wait_ns: (!is_given_up).then_some(waited),
            attempts: known.attempts,
            failure: failure.into(),
            first_byte_ns: (!failed).then_some(known.answered),
        };
        let started = known.start - lag;
        Report {
            downstream_connection: down.cookie,
            connection_trace_id: (!brings_context).then_some(minted),
            trace_id: if brings_context {
                TraceId::new((0xcc_u128 << 120 | u128::from(span)).to_be_bytes()).unwrap()
            } else {
                minted
            },
            span_id: SpanId::new(span.to_be_bytes()).unwrap(),
            parent_span_id: None,
            trace_flags: 3,
            tracestate: "".into(),
            started_at: UnixNanos((self.wall)(started)),
            duration_ns,
            downstream: Some(down.coming.named),
            direct: down.coming.direct,
            tls_handshake_ns: None,
            links: Vec::new(),
            http: Http {
                method: if session { "" } else { "GET" }.into(),
                path: "/".into(),
                protocol: if multiplexed { "HTTP/2" } else { "HTTP/1.1" }.into(),
                status,
                grpc: is_grpc,
                grpc_status,
                response_flags: flags,
                response_details: details.into(),
                request_bytes,
                response_bytes,
                head_ns: Some(known.head),
                tcp_session: session,
                ..Http::default()
            },
            // No host was chosen yet.
            upstream: (!matches!(ending, Ending::CircuitOpen | Ending::AnsweredItself))
                .then_some(upstream),
        }
    }
}

/// The status of the proxy's own answer to a request that ended like this; 0 where nobody was left to be answered.
const fn local_status(ending: Ending) -> Option<u16> {
    match ending {
        Ending::Answered => None,
        Ending::ClientGone | Ending::Cancelled => Some(0),
        Ending::RequestIncomplete => Some(408),
        Ending::AnsweredItself => Some(404),
        Ending::Unserved | Ending::NetworkDead | Ending::NoConnectionInTime | Ending::Idle => {
            Some(504)
        }
        Ending::Refused
        | Ending::ConnectTimeout
        | Ending::Unanswered
        | Ending::Unreachable
        | Ending::TlsFailed
        | Ending::ResetBeforeFirstByte
        | Ending::StreamReset
        | Ending::CircuitOpen
        | Ending::ResetAtOnce => Some(503),
    }
}

/// Whether the request ended while it waited for a connection, and no connect had failed.
const fn failed_by_nobody(ending: Ending) -> bool {
    matches!(
        ending,
        Ending::ClientGone | Ending::Cancelled | Ending::NoConnectionInTime
    )
}
