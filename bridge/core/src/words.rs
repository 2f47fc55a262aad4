//! The words of an answer: how a connect ended, and how long things took.
//!
//! Decides nothing.

use syntrace_model::{BootNanos, Endpoint, Outcome};

use crate::{answer::Ground, fact::Snapshot};

/// Says that the proxy's connect timeout ended a connect.
pub(crate) fn connect_timeout(socket: &Snapshot) -> String {
    let (peer, syns) = (socket.key.peer, unanswered_syns(socket));
    let after = lived(socket, "after");
    format!("the proxy gave up connecting to the service at {peer}{after}; {syns}")
}

/// Says that a listener on this host dropped SYNs of a connect that failed.
pub(crate) fn syn_dropped(socket: &Snapshot) -> String {
    let (peer, syns) = (socket.key.peer, unanswered_syns(socket));
    let within = lived(socket, "within");
    format!("a queue of the listener {peer} on this host was full; {syns}{within}")
}

/// Says that a service's host established a connection, and let the proxy wait for its part of the TLS handshake.
pub(crate) fn unanswered(peer: Endpoint, waited_ns: u64) -> String {
    let waited = duration(waited_ns);
    format!(
        "the service at {peer} completed the TCP handshake, but did not answer the TLS handshake within {waited}"
    )
}

/// Says that a service reset a connection that was established, before anything was sent.
pub(crate) fn reset_at_once(socket: &Snapshot) -> String {
    let life_ns = since_ns(socket.established_at, socket.closed_at);
    let when = life_ns.map_or_else(String::new, |ns| format!("{} ", duration(ns)));
    let peer = socket.key.peer;
    format!("the service at {peer} reset the connection {when}after the TCP handshake")
}

/// Says that the proxy's connect timeout ended a connect that the kernel saw succeed.
pub(crate) fn established_in_vain(peer: Endpoint) -> String {
    format!(
        "the proxy reports that the connect to the service at {peer} timed out, but the kernel saw it established"
    )
}

/// Says how a connect failed; `role` goes before the peer's address, where the peer's role is known.
pub(crate) fn connect(socket: &Snapshot, role: &str) -> String {
    let peer = format!("{role}{}", socket.key.peer);
    match socket.outcome {
        Outcome::Refused => {
            let life_ns = since_ns(socket.syn_at, socket.closed_at);
            let when = life_ns.map_or_else(String::new, |ns| {
                format!(", RST {} after the SYN", duration(ns))
            });
            format!("{peer} refused the connection{when}")
        }
        Outcome::Unanswered => {
            let (syns, within) = (syns(socket), lived(socket, "within"));
            format!("{peer} did not answer {syns}{within}")
        }
        Outcome::Unreachable => {
            let after = lived(socket, "after");
            format!("{peer} is unreachable; an ICMP error ended the connect{after}")
        }
        Outcome::Aborted => {
            let (after, syns) = (lived(socket, "after"), unanswered_syns(socket));
            format!("the connect to {peer} was given up{after}; {syns}")
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

/// Writes how long a socket lived, from its SYN on, behind a preposition; nothing, if the SYN was not observed.
fn lived(socket: &Snapshot, preposition: &str) -> String {
    let life_ns = since_ns(socket.syn_at, socket.closed_at);
    life_ns.map_or_else(String::new, |ns| format!(" {preposition} {}", duration(ns)))
}

/// Returns how long it was from one moment to another, if both are known.
fn since_ns(from: Option<BootNanos>, until: Option<BootNanos>) -> Option<u64> {
    from.zip(until).map(|(from, until)| until.since_ns(from))
}

/// Writes how many SYNs a socket sent.
fn syns(socket: &Snapshot) -> String {
    match socket.counters.syn_retransmits {
        0 => "the SYN".to_owned(),
        again => format!("{} SYNs", u64::from(again) + 1),
    }
}

/// Says that nothing answered the SYNs that a socket sent.
fn unanswered_syns(socket: &Snapshot) -> String {
    let is_one = socket.counters.syn_retransmits == 0;
    let were = if is_one { "was" } else { "were" };
    format!("{} {were} not answered", syns(socket))
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

/// Writes a length of time: in milliseconds, from a second on in seconds; three digits after the point below ten of
/// them, then one.
pub(crate) fn duration(ns: u64) -> String {
    // What would be rounded up to 1000.0 ms is a second.
    let (unit_ns, unit) = match ns {
        ..999_950_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let rounded = |part_ns: u64| ns.saturating_add(part_ns / 2) / part_ns;
    let thousandths = rounded(unit_ns / 1_000);
    if thousandths < 10_000 {
        return format!("{}.{:03} {unit}", thousandths / 1_000, thousandths % 1_000);
    }
    let tenths = rounded(unit_ns / 10);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
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
    fn lengths_of_time_have_their_unit_and_three_digits_or_one_after_the_point() {
        for (ns, written) in [
            (0, "0.000 ms"),
            (499, "0.000 ms"),
            (7_000, "0.007 ms"),
            (9_999_400, "9.999 ms"),
            (9_999_500, "10.0 ms"),
            (123_456_789, "123.5 ms"),
            (999_949_999, "999.9 ms"),
            (999_950_000, "1.000 s"),
            (1_028_249_000, "1.028 s"),
            (9_999_499_999, "9.999 s"),
            (9_999_500_000, "10.0 s"),
            (127_050_000_000, "127.1 s"),
            (u64::MAX, "18446744073.7 s"),
        ] {
            assert_eq!(duration(ns), written);
        }
    }

    #[test]
    fn what_is_not_said_has_no_brackets() {
        assert_eq!(in_brackets("no_route"), " (no_route)");
        assert_eq!(in_brackets(""), "");
    }

    #[test]
    fn a_connect_that_timed_out_for_the_proxy_alone_is_named_by_its_peer() {
        assert_eq!(
            established_in_vain("198.51.100.2:80".parse().unwrap()),
            "the proxy reports that the connect to the service at 198.51.100.2:80 timed out, but the kernel saw it established"
        );
    }

    #[test]
    fn a_request_without_a_response_has_no_status_to_begin_with() {
        assert_eq!(status(503), "503: ");
        assert_eq!(status(0), "");
    }
}
