//! The words of an answer: how a connect is told, and how long things took.
//!
//! Decides nothing.

use std::fmt;

use syntrace_model::{Endpoint, Outcome};

use crate::fact::Snapshot;

/// A few words without a place of their own in memory: every record has a sentence and evidence, and
/// most of both are numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Short {
    text: [u8; 32],
    len: usize,
}

// === impl Short ===

impl Short {
    /// Returns the words.
    pub(crate) fn as_str(&self) -> &str {
        let written = self.text.get(..self.len);
        let text = written.and_then(|written| str::from_utf8(written).ok());
        text.unwrap_or_default()
    }

    /// Adds words, as far as there is room.
    fn push(&mut self, words: &[u8]) {
        for (place, &byte) in self.text.iter_mut().skip(self.len).zip(words) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Adds a number with at least so many digits.
    fn push_number(&mut self, mut number: u64, digits: usize) {
        let mut written = [b'0'; 20];
        let mut first = written.len();
        for place in written.iter_mut().rev() {
            if number == 0 && first + digits <= 20 {
                break;
            }
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            first -= 1;
        }
        self.push(written.get(first..).unwrap_or_default());
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says that the proxy's connect timeout ended a connect.
pub(crate) fn connect_timeout(socket: &Snapshot) -> String {
    let (peer, after, syns) = (socket.key.peer, lived(socket), syns(socket));
    format!(
        "the proxy gave up the connect to the service at {peer} after {after}, {syns} unanswered"
    )
}

/// Says that a service took a connection, and let the proxy wait for its part of the TLS handshake.
pub(crate) fn unanswered(peer: Endpoint, waited_ns: u64) -> String {
    let waited = millis(waited_ns);
    format!(
        "the service at {peer} took the connection, and did not answer the TLS handshake within {waited}"
    )
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
fn lived(socket: &Snapshot) -> Short {
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
pub(crate) fn of_socket(socket: &Snapshot) -> Vec<Box<str>> {
    let mut named: Vec<Box<str>> = vec![format!("outcome={}", socket.outcome.name()).into()];
    if socket.errno != 0 {
        named.push(format!("errno={}", socket.errno).into());
    }
    if !socket.watch.reset_reason.is_empty() {
        named.push(format!("reset_reason={}", socket.watch.reset_reason).into());
    }
    let syns = socket.counters.syn_retransmits;
    named.push(format!("syn_retransmits={syns}").into());
    named
}

/// Writes a length of time in milliseconds, to the microsecond below ten.
pub(crate) fn millis(ns: u64) -> Short {
    let us = ns.saturating_add(500) / 1_000;
    let mut text = Short::default();
    if us < 10_000 {
        text.push_number(us / 1_000, 1);
        text.push(b".");
        text.push_number(us % 1_000, 3);
    } else {
        let tenths = ns.saturating_add(50_000) / 100_000;
        text.push_number(tenths / 10, 1);
        text.push(b".");
        text.push_number(tenths % 10, 1);
    }
    text.push(b" ms");
    text
}

/// Names the status, as evidence.
pub(crate) fn status_told(status: u16) -> Box<str> {
    let mut text = Short::default();
    text.push(b"status=");
    text.push_number(status.into(), 1);
    text.as_str().into()
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

/// Begins a sentence with a capital, unless its first word is written as it is: gRPC.
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
        let written = [0, 499, 7_000, 9_999_400, 9_999_500, 123_456_789, u64::MAX]
            .map(|ns| millis(ns).to_string());
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
        assert_eq!(&*status_told(0), "status=0");
        assert_eq!(&*status_told(200), "status=200");
    }

    #[test]
    fn a_request_without_a_response_has_no_status_to_begin_with() {
        assert_eq!(status(503), "503: ");
        assert_eq!(status(0), "");
    }
}
