//! The words of an answer: how a connect ended, and how long things took.
//!
//! Decides nothing.

use syntrace_model::{Endpoint, Outcome};

use crate::{answer::Ground, fact::Snapshot};

/// Says that the proxy's connect timeout ended a connect.
pub(crate) fn connect_timeout(socket: &Snapshot) -> String {
    let (peer, after, syns) = (socket.key.peer, lived(socket), syns(socket));
    format!(
        "the proxy gave up the connect to the service at {peer} after {after}, {syns} unanswered"
    )
}

/// Says that a listener on this host dropped SYNs of a connect that failed.
pub(crate) fn syn_dropped(socket: &Snapshot) -> String {
    let (peer, after, syns) = (socket.key.peer, lived(socket), syns(socket));
    format!(
        "the queue of the listener {peer}, on this host, was full: {syns} unanswered within {after}"
    )
}

/// Says that a service took a connection, and let the proxy wait for its part of the TLS handshake.
pub(crate) fn unanswered(peer: Endpoint, waited_ns: u64) -> String {
    let waited = millis(waited_ns);
    format!(
        "the service at {peer} took the connection, and did not answer the TLS handshake within {waited}"
    )
}

/// Says that a service took a connection, and reset it before anything was sent.
pub(crate) fn reset_at_once(socket: &Snapshot) -> String {
    let life = socket.established_at.zip(socket.closed_at);
    let after = millis(life.map_or(0, |(from, until)| until.since_ns(from)));
    let peer = socket.key.peer;
    format!("the service at {peer} took the connection, and reset it {after} after the handshake")
}

/// Says that the proxy gave up a connection of which the kernel knows no reason.
pub(crate) fn established_in_vain(peer: Endpoint) -> String {
    format!("the proxy gave up the connection to the service at {peer}, which was established")
}

/// Says how a connect failed; `role` goes before the peer's address, where the peer's role is known.
pub(crate) fn connect(socket: &Snapshot, role: &str) -> String {
    let (after, syns) = (lived(socket), syns(socket));
    let peer = format!("{role}{}", socket.key.peer);
    match socket.outcome {
        Outcome::Refused => format!("{peer} refused the connection, RST {after} after the SYN"),
        Outcome::Unanswered => format!("{peer} did not answer {syns} within {after}"),
        Outcome::Unreachable => format!("{peer} cannot be reached, ICMP said after {after}"),
        Outcome::Aborted => {
            format!("the connect to {peer} was given up after {after}, {syns} unanswered")
        }
        Outcome::Connecting
        | Outcome::Established
        | Outcome::Closed
        | Outcome::ResetByPeer
        | Outcome::ResetLocally
        | Outcome::TimedOut
        | Outcome::Unknown => format!("the connection to {peer} is {}", socket.outcome.name()),
    }
}

/// Writes how long a socket lived, from its SYN on.
fn lived(socket: &Snapshot) -> String {
    let life = socket.syn_at.zip(socket.closed_at);
    millis(life.map_or(0, |(syn_at, closed_at)| closed_at.since_ns(syn_at)))
}

/// Writes how many SYNs a socket sent.
fn syns(socket: &Snapshot) -> String {
    match socket.counters.syn_retransmits {
        0 => "the SYN".to_owned(),
        again => format!("{} SYNs", u64::from(again) + 1),
    }
}

/// Names what the kernel says of a socket, as evidence.
pub(crate) fn of_socket(socket: &Snapshot) -> impl Iterator<Item = Ground> {
    let errno = (socket.errno != 0).then(|| format!("errno={}", socket.errno));
    let reason = &socket.watch.reset_reason;
    let reason = (!reason.is_empty()).then(|| format!("reset_reason={reason}"));
    let syns = socket.counters.syn_retransmits;
    let outcome = format!("outcome={}", socket.outcome.name());
    let named = [
        Some(outcome),
        errno,
        reason,
        Some(format!("syn_retransmits={syns}")),
    ];
    named.into_iter().flatten().map(Ground::from)
}

/// Writes a length of time in milliseconds, to the microsecond below ten.
pub(crate) fn millis(ns: u64) -> String {
    let us = ns.saturating_add(500) / 1_000;
    if us < 10_000 {
        return format!("{}.{:03} ms", us / 1_000, us % 1_000);
    }
    let tenths = ns.saturating_add(50_000) / 100_000;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// Writes what goes before a sentence about a request: its status, where there was a response.
pub(crate) fn status(status: u16) -> String {
    match status {
        0 => String::new(),
        status => format!("{status}: "),
    }
}

/// Writes what goes after a statement; nothing, if there is nothing to say.
pub(crate) fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!(" ({text})")
}

/// Starts a sentence with a capital, unless its first word is written as it is: gRPC.
pub(crate) fn capitalised(mut sentence: String) -> String {
    let is_name = sentence.starts_with("gRPC");
    if let Some(first) = sentence.get_mut(..1)
        && !is_name
    {
        first.make_ascii_uppercase();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_begins_as_it_is_written() {
        let begun = |text: &str| capitalised(text.to_owned());
        assert_eq!(begun("the client went away"), "The client went away");
        assert_eq!(begun("gRPC status 9"), "gRPC status 9");
        assert_eq!(begun("503: the service"), "503: the service");
        assert_eq!(begun(""), "");
    }

    #[test]
    fn lengths_of_time_have_three_digits_or_one_behind_the_point() {
        let written = [0, 499, 7_000, 9_999_400, 9_999_500, 123_456_789, u64::MAX].map(millis);
        let expected = [
            "0.000 ms",
            "0.000 ms",
            "0.007 ms",
            "9.999 ms",
            "10.0 ms",
            "123.5 ms",
            "18446744073709.5 ms",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn what_is_not_said_has_no_brackets() {
        assert_eq!(in_brackets("no_route"), " (no_route)");
        assert_eq!(in_brackets(""), "");
    }

    #[test]
    fn a_connection_that_was_given_up_for_no_known_reason_is_named_by_its_peer() {
        assert_eq!(
            established_in_vain("198.51.100.2:80".parse().unwrap()),
            "the proxy gave up the connection to the service at 198.51.100.2:80, which was established"
        );
    }

    #[test]
    fn a_request_without_a_response_has_no_status_to_begin_with() {
        assert_eq!(status(503), "503: ");
        assert_eq!(status(0), "");
    }
}
