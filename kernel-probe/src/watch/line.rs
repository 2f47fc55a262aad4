//! Facts as lines that a person understands. Pure: facts in, text out.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use syntrace_proto::{
    Connection, Endpoint, Incident, IncidentKind, Opening, Origin, Outcome, Rung, fact::Body,
};

use super::missing::by_reason;

/// What was printed so far, as far as later lines depend on it.
#[derive(Debug)]
pub(super) struct Lines {
    began_at_ns: u64,
    rung: Option<Rung>,
    /// How many connections ended, by outcome.
    ended: BTreeMap<&'static str, u64>,
    /// Accepted connections that were printed already, until they end.
    n_printed_waits: u64,
    longest_wait_ns: u64,
}

// === impl Lines ===

impl Lines {
    /// Counts time from boot time `began_at_ns`.
    pub(super) const fn new(began_at_ns: u64) -> Self {
        Self {
            began_at_ns,
            rung: None,
            ended: BTreeMap::new(),
            n_printed_waits: 0,
            longest_wait_ns: 0,
        }
    }

    /// Returns the lines that `body` is worth.
    pub(super) fn of(&mut self, body: &Body) -> Vec<String> {
        match body {
            Body::Rung(rung) => self.rung(rung),
            Body::Connection(connection) => self.connection(connection).into_iter().collect(),
            Body::Incident(incident) => incident_line(incident)
                .map(|line| self.timed(incident.at_ns, &line))
                .into_iter()
                .collect(),
            Body::Clock(_) | Body::Request(_) | Body::Sampling(_) => Vec::new(),
        }
    }

    /// Returns what happened altogether.
    pub(super) fn summary(&self) -> String {
        let total: u64 = self.ended.values().sum();
        let ended = if total == 1 {
            "connection"
        } else {
            "connections"
        };
        let mut line = format!("{total} {ended} ended");
        for (at, (outcome, count)) in self.ended.iter().enumerate() {
            let mark = if at == 0 { ":" } else { "," };
            append(&mut line, format_args!("{mark} {count} {outcome}"));
        }
        if self.n_printed_waits > 0 {
            let longest = length(self.longest_wait_ns);
            append(
                &mut line,
                format_args!("; the longest wait to be accepted was at most {longest}"),
            );
        }
        line
    }

    /// What can be seen is printed at the beginning and when it changes.
    fn rung(&mut self, rung: &Rung) -> Vec<String> {
        let seen = Rung {
            counted: Vec::new(),
            ..rung.clone()
        };
        if self.rung.as_ref() == Some(&seen) {
            return Vec::new();
        }
        self.rung = Some(seen);
        let missing = by_reason(&rung.missing).into_iter();
        let missing = missing.map(|line| format!("  not seen: {line}"));
        [format!("watching, rung `{}`", rung.name)]
            .into_iter()
            .chain(missing)
            .collect()
    }

    fn connection(&mut self, connection: &Connection) -> Option<String> {
        if connection.closed_at_ns != 0 {
            // It was told before: that why this host reset it became known is no other end.
            if !connection.reset_reason.is_empty()
                && connection.seen_at_ns > connection.closed_at_ns
            {
                return None;
            }
            let name = outcome_name(connection.outcome());
            *self.ended.entry(name).or_default() += 1;
            let line = format!("{} {}", ends(connection), end(connection));
            return Some(self.timed(connection.closed_at_ns, &line));
        }
        if connection.origin() != Origin::Watched {
            let state = if connection.outcome() == Outcome::Connecting {
                "is connecting"
            } else {
                "is open"
            };
            let line = format!("{} {state}", ends(connection));
            return Some(self.timed(connection.seen_at_ns, &line));
        }
        let wait_ns = accept_wait_ns(connection)?;
        self.n_printed_waits += 1;
        self.longest_wait_ns = self.longest_wait_ns.max(wait_ns);
        let line = format!(
            "{} waited {}{} to be accepted",
            ends(connection),
            if connection.accepted_exactly {
                ""
            } else {
                "at most "
            },
            length(wait_ns)
        );
        Some(self.timed(connection.accepted_at_ns, &line))
    }

    fn timed(&self, at_ns: u64, line: &str) -> String {
        let since = at_ns.saturating_sub(self.began_at_ns);
        format!("{:>9.3} s  {line}", since as f64 / 1e9)
    }
}

/// Names both ends: who was connected to, or who was accepted where.
fn ends(connection: &Connection) -> String {
    let (local, peer) = (
        address(connection.local.as_ref()),
        address(connection.peer.as_ref()),
    );
    match connection.opening() {
        Opening::Active | Opening::Unspecified => format!("to {peer}"),
        Opening::Passive => format!("from {peer} at {local}"),
    }
}

/// Says how a connection ended.
fn end(connection: &Connection) -> String {
    let mut line = String::from(match connection.outcome() {
        Outcome::Refused => "was refused",
        Outcome::Unanswered => "was not answered",
        Outcome::Unreachable => "was unreachable",
        Outcome::Aborted => "was given up before it was answered",
        Outcome::Closed => "closed",
        Outcome::ResetByPeer => "was reset by the peer",
        Outcome::ResetLocally => "was reset here",
        Outcome::TimedOut => "timed out",
        Outcome::Unknown | Outcome::Unspecified | Outcome::Connecting | Outcome::Established => {
            "ended, with unknown outcome"
        }
    });
    let life_ns = span(connection.syn_at_ns, connection.closed_at_ns);
    if let Some(life_ns) = life_ns {
        append(&mut line, format_args!(" after {}", length(life_ns)));
    }
    let mut retransmitted = |count, what: &str| match count {
        0 => {}
        1 => append(&mut line, format_args!(", 1 {what} retransmitted")),
        _ => append(&mut line, format_args!(", {count} {what}s retransmitted")),
    };
    retransmitted(connection.syn_retransmits, "SYN");
    retransmitted(connection.syn_ack_retransmits, "SYN-ACK");
    retransmitted(connection.retransmits, "segment");
    if let Some(handshake_ns) = span(connection.syn_at_ns, connection.established_at_ns) {
        append(
            &mut line,
            format_args!(", handshake {}", length(handshake_ns)),
        );
    }
    if connection.bytes_acked > 0 || connection.bytes_received > 0 {
        append(
            &mut line,
            format_args!(
                ", {} bytes out, {} in",
                connection.bytes_acked, connection.bytes_received
            ),
        );
    }
    if connection.mark != 0 {
        append(&mut line, format_args!(", mark {:#x}", connection.mark));
    }
    line
}

fn incident_line(incident: &Incident) -> Option<String> {
    let local = address(incident.local.as_ref());
    let (count, queue, max) = (incident.count, incident.queue, incident.queue_max);
    match incident.kind() {
        IncidentKind::AcceptOverflow => Some(format!(
            "listener {local} dropped {count} segments: its accept queue was full ({queue} waiting, limit {max})"
        )),
        IncidentKind::SynOverflow => Some(format!(
            "listener {local} dropped {count} SYNs: its SYN queue was full"
        )),
        IncidentKind::SynCookies => Some(format!(
            "listener {local} answered {count} SYNs with SYN cookies"
        )),
        IncidentKind::ZeroWindow => {
            let peer = address(incident.peer.as_ref());
            Some(format!(
                "to {peer} waits: the peer's receive window is closed"
            ))
        }
        // The connection's end tells how many.
        IncidentKind::Retransmit | IncidentKind::Unspecified => None,
    }
}

const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "refused",
        Outcome::Unanswered => "unanswered",
        Outcome::Unreachable => "unreachable",
        Outcome::Aborted => "aborted",
        Outcome::Closed => "closed",
        Outcome::ResetByPeer => "reset by peer",
        Outcome::ResetLocally => "reset locally",
        Outcome::TimedOut => "timed out",
        Outcome::Unknown | Outcome::Unspecified | Outcome::Connecting | Outcome::Established => {
            "unknown"
        }
    }
}

/// From the final ACK until the owner had the socket, in the snapshot that first tells.
fn accept_wait_ns(connection: &Connection) -> Option<u64> {
    let is_passive = connection.opening() == Opening::Passive;
    span(connection.established_at_ns, connection.accepted_at_ns)
        .filter(|_| is_passive && connection.seen_at_ns == connection.accepted_at_ns)
}

/// Nanoseconds between two moments; `None` unless both were observed.
const fn span(from_ns: u64, to_ns: u64) -> Option<u64> {
    if from_ns == 0 || to_ns == 0 {
        None
    } else {
        Some(to_ns.saturating_sub(from_ns))
    }
}

/// Writes a length of time, as the bridge does.
fn length(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    match ms {
        ..10.0 => format!("{ms:.3} ms"),
        ..1_000.0 => format!("{ms:.1} ms"),
        ..10_000.0 => format!("{:.3} s", ms / 1e3),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

fn address(endpoint: Option<&Endpoint>) -> String {
    let known = endpoint.and_then(|endpoint| {
        let bytes = endpoint.address.as_slice();
        let ip = <[u8; 4]>::try_from(bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
            .ok()?;
        Some(SocketAddr::new(ip, u16::try_from(endpoint.port).ok()?))
    });
    known.map_or_else(|| "?".to_owned(), |address| address.to_string())
}

/// Text grows without failing.
fn append(line: &mut String, what: std::fmt::Arguments<'_>) {
    // `String` takes everything.
    if line.write_fmt(what).is_err() {
        line.push('?');
    }
}

#[cfg(test)]
mod tests {
    use syntrace_proto::Count;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_refused_connect_says_whom_and_how_soon() {
        let refused = Connection {
            outcome: Outcome::Refused.into(),
            syn_at_ns: 10 * MS,
            closed_at_ns: 10 * MS + 25_000,
            ..connection(Opening::Active)
        };
        let mut lines = Lines::new(0);
        assert_eq!(
            lines.of(&Body::Connection(refused)),
            ["    0.010 s  to 192.0.2.2:9000 was refused after 0.025 ms"]
        );
        assert_eq!(lines.summary(), "1 connection ended: 1 refused");
    }

    #[test]
    fn an_end_is_told_once_though_its_reason_follows() {
        let end = Connection {
            outcome: Outcome::ResetLocally.into(),
            seen_at_ns: 5 * MS,
            closed_at_ns: 5 * MS,
            ..connection(Opening::Passive)
        };
        let explained = Connection {
            seen_at_ns: 5 * MS + 1,
            reset_reason: "tcp_state".to_owned(),
            ..end.clone()
        };
        let mut lines = Lines::new(0);
        assert_eq!(lines.of(&Body::Connection(end)).len(), 1);
        assert_eq!(lines.of(&Body::Connection(explained)), [""; 0]);
        assert_eq!(lines.summary(), "1 connection ended: 1 reset locally");
    }

    #[test]
    fn an_accept_wait_is_told_once() {
        let accepted = Connection {
            established_at_ns: 2 * MS,
            accepted_at_ns: 5 * MS,
            seen_at_ns: 5 * MS,
            ..connection(Opening::Passive)
        };
        let later = Connection {
            seen_at_ns: 6 * MS,
            ..accepted.clone()
        };
        let mut lines = Lines::new(0);
        assert_eq!(
            lines.of(&Body::Connection(accepted)),
            [
                "    0.005 s  from 192.0.2.2:9000 at 10.0.0.1:80 waited at most 3.000 ms to be accepted"
            ]
        );
        assert_eq!(lines.of(&Body::Connection(later)), [""; 0]);
    }

    #[test]
    fn what_can_be_seen_is_told_when_it_changes() {
        let rung = Rung {
            name: "poll".to_owned(),
            missing: vec!["tag: not permitted".to_owned()],
            ..Rung::default()
        };
        let mut lines = Lines::new(0);
        assert_eq!(
            lines.of(&Body::Rung(rung.clone())),
            ["watching, rung `poll`", "  not seen: tag: not permitted"]
        );
        let counted = vec![Count {
            name: "tag_withheld".to_owned(),
            count: 1,
        }];
        let rung = Rung { counted, ..rung };
        assert_eq!(lines.of(&Body::Rung(rung)), [""; 0]);
    }

    #[test]
    fn a_full_accept_queue_is_told_with_its_length() {
        let incident = Incident {
            kind: IncidentKind::AcceptOverflow.into(),
            local: connection(Opening::Passive).local,
            count: 3,
            queue: 129,
            queue_max: 128,
            ..Incident::default()
        };
        assert_eq!(
            Lines::new(0).of(&Body::Incident(incident)),
            [
                "    0.000 s  listener 10.0.0.1:80 dropped 3 segments: its accept queue was full (129 waiting, limit 128)"
            ]
        );
    }

    fn connection(opening: Opening) -> Connection {
        let endpoint = |address: [u8; 4], port| {
            Some(Endpoint {
                address: address.to_vec(),
                port,
            })
        };
        Connection {
            opening: opening.into(),
            local: endpoint([10, 0, 0, 1], 80),
            peer: endpoint([192, 0, 2, 2], 9000),
            ..Connection::default()
        }
    }
}
