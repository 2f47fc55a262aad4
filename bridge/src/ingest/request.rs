//! `syntrace.v1.Request` to [`Report`]: what Envoy reports of one request.

use syntrace_core::fact::{Header, Http, Mark, Report, TraceLink, TraceLinkKind, Upstream};
use syntrace_model::{ConnKey, SpanId, TraceId, UnixNanos};
use syntrace_proto as wire;

use super::{Meaningless, id, meaningless, optional_id, text, translate_endpoint};

pub(super) fn translate(from: wire::Request) -> Result<Report, Meaningless> {
    if from.started_at_unix_ns == 0 {
        return Err(meaningless(
            "request.started_at_unix_ns",
            0,
            "the time of its start",
        ));
    }
    let Ok(trace_flags) = u8::try_from(from.trace_flags) else {
        return Err(meaningless(
            "request.trace_flags",
            from.trace_flags,
            "0 to 255",
        ));
    };
    let status = match u16::try_from(from.status) {
        Ok(status @ (0 | 100..=999)) => status,
        _ => {
            return Err(meaningless(
                "request.status",
                from.status,
                "100 to 999, or 0 for none",
            ));
        }
    };
    let downstream = ends(
        [from.local.as_ref(), from.peer.as_ref()],
        ["request.local", "request.peer"],
    )?;
    let direct = ends(
        [from.direct_local.as_ref(), from.direct_peer.as_ref()],
        ["request.direct_local", "request.direct_peer"],
    )?;
    Ok(Report {
        downstream_connection: from.downstream_connection,
        connection_trace_id: optional_id(
            &from.connection_trace_id,
            "request.connection_trace_id",
            "16 bytes, not all zero, or none",
            TraceId::from_slice,
        )?,
        trace_id: id(
            &from.trace_id,
            "request.trace_id",
            "16 bytes, not all zero",
            TraceId::from_slice,
        )?,
        span_id: id(
            &from.span_id,
            "request.span_id",
            "8 bytes, not all zero",
            SpanId::from_slice,
        )?,
        parent_span_id: optional_id(
            &from.parent_span_id,
            "request.parent_span_id",
            "8 bytes, not all zero, or none",
            SpanId::from_slice,
        )?,
        trace_flags,
        tracestate: text(from.tracestate),
        started_at: UnixNanos(from.started_at_unix_ns),
        duration_ns: from.duration_ns,
        downstream,
        direct: direct.or_else(|| downstream.filter(|_| from.direct)),
        tls_handshake_ns: from.tls_handshake_ns,
        links: from.links.iter().map(link).collect::<Result<_, _>>()?,
        http: Http {
            method: text(from.method),
            path: text(from.path),
            authority: text(from.authority),
            protocol: text(from.protocol),
            status,
            grpc: from.grpc,
            grpc_status: from.grpc_status,
            response_flags: from.response_flags,
            response_details: text(from.response_details),
            request_bytes: from.request_bytes,
            response_bytes: from.response_bytes,
            request_id: text(from.request_id),
            dye: text(from.dye),
            baggage: text(from.baggage),
            route: text(from.route),
            mark: from.mark.map(|mark| Mark {
                reason: text(mark.reason),
                at: UnixNanos(mark.at_unix_ns),
            }),
            tcp_session: from.tcp_session,
            server_name: text(from.server_name),
            headers: from.headers.into_iter().map(header).collect(),
            head_ns: from.head_ns,
        },
        upstream: from.upstream.map(upstream).transpose()?.flatten(),
    })
}

/// Envoy names no address of a pipe or an internal listener, and writes port 0 beside an address that
/// it took from a header; neither names a socket, and one end alone joins nothing.
fn ends(
    [local, peer]: [Option<&wire::Endpoint>; 2],
    [local_field, peer_field]: [&'static str; 2],
) -> Result<Option<ConnKey>, Meaningless> {
    let (Some(local), Some(peer)) = (local, peer) else {
        return Ok(None);
    };
    if local.port == 0 || peer.port == 0 {
        return Ok(None);
    }
    Ok(Some(ConnKey {
        local: translate_endpoint(local, local_field)?,
        peer: translate_endpoint(peer, peer_field)?,
    }))
}

fn link(from: &wire::Link) -> Result<TraceLink, Meaningless> {
    Ok(TraceLink {
        trace_id: id(
            &from.trace_id,
            "request.links.trace_id",
            "16 bytes, not all zero",
            TraceId::from_slice,
        )?,
        span_id: id(
            &from.span_id,
            "request.links.span_id",
            "8 bytes, not all zero",
            SpanId::from_slice,
        )?,
        kind: match wire::LinkKind::try_from(from.kind) {
            Ok(wire::LinkKind::Restarted) => TraceLinkKind::Restarted,
            Ok(wire::LinkKind::Rotated) => TraceLinkKind::Rotated,
            Ok(wire::LinkKind::Unspecified) | Err(_) => {
                let expected = "a known kind";
                return Err(meaningless("request.links.kind", from.kind, expected));
            }
        },
    })
}

fn header(from: wire::Header) -> Header {
    Header {
        name: text(from.name),
        value: text(from.value),
        response: from.response,
    }
}

/// An upstream without an address was never dialled by TCP.
fn upstream(from: wire::Upstream) -> Result<Option<Upstream>, Meaningless> {
    let Some(peer) = &from.peer else {
        return Ok(None);
    };
    let local = from.local.as_ref();
    Ok(Some(Upstream {
        peer: translate_endpoint(peer, "request.upstream.peer")?,
        local: local
            .map(|local| translate_endpoint(local, "request.upstream.local"))
            .transpose()?,
        cluster: text(from.cluster),
        pool_wait_ns: from.pool_wait_ns,
        attempts: from.attempts,
        failure: text(from.failure),
        first_byte_ns: from.first_byte_ns,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a report says of the ends: as the proxy names them, and the socket's own.
    fn told(direct: bool, own: Option<u8>, named: Option<u8>) -> [Option<ConnKey>; 2] {
        let end = |last: u8| wire::Endpoint {
            address: vec![192, 0, 2, last],
            port: 80,
        };
        let request = wire::Request {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            started_at_unix_ns: 1,
            local: named.map(end),
            peer: named.map(end),
            direct_local: own.map(end),
            direct_peer: own.map(end),
            direct,
            ..wire::Request::default()
        };
        let report = translate(request).unwrap();
        [report.downstream, report.direct]
    }

    #[test]
    fn the_sockets_own_ends_are_those_that_are_named_only_where_the_report_says_so() {
        let key = |last: u8| {
            let end = syntrace_model::Endpoint::new([192, 0, 2, last].into(), 80);
            Some(ConnKey {
                local: end,
                peer: end,
            })
        };
        assert_eq!(told(true, None, Some(1)), [key(1), key(1)]);
        assert_eq!(told(false, None, Some(1)), [key(1), None]);
        assert_eq!(told(false, Some(2), Some(1)), [key(1), key(2)]);
        // A pipe has no ends.
        assert_eq!(told(true, None, None), [None, None]);
        assert_eq!(told(true, Some(2), Some(1)), [key(1), key(2)]);
    }
}
