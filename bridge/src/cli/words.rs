//! Names of phases and incidents: the same as on the page.

use std::borrow::Cow;

use super::text;

/// What time was spent on, by the API's names.
const PHASES: [(&str, &str); 17] = [
    ("handshake", "handshake"),
    ("accept_wait", "waits to be accepted"),
    ("tls", "TLS handshake"),
    ("open", "open"),
    ("request_wait", "waits for the client's request"),
    ("head", "waits for the rest of its head"),
    ("failed_attempts", "failed attempts"),
    ("backoff", "waits before the next attempt"),
    ("pool_wait", "waits for an upstream connection"),
    ("upstream_handshake", "upstream handshake"),
    ("request_lost", "request retransmitted"),
    ("round_trip", "round trip"),
    ("service", "waits for the service"),
    ("response", "response"),
    ("proxy", "in the proxy"),
    ("session", "session"),
    ("unreported", "not reported"),
];

/// What happened to a connection or to its listener, by the API's names.
const INCIDENTS: [(&str, &str); 5] = [
    ("retransmit", "data was retransmitted"),
    ("zero_window", "the peer's receive window was closed"),
    ("accept_overflow", "the accept queue was full"),
    ("syn_overflow", "the SYN queue was full"),
    ("syn_cookies", "answered with SYN cookies"),
];

/// Returns what a phase is called; a name that is not known, as it is.
pub(super) fn phase(name: &str) -> Cow<'static, str> {
    of(&PHASES, name)
}

/// Returns what an incident is called; a name that is not known, as it is.
pub(super) fn incident(name: &str) -> Cow<'static, str> {
    of(&INCIDENTS, name)
}

fn of(words: &[(&str, &'static str)], name: &str) -> Cow<'static, str> {
    let known = words.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| text::plain(name).into(), |(_, words)| (*words).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_the_same() {
        let page = include_str!("../../page/rows.js").replace('\n', " ");
        let page = page.replace('’', "'");
        for (name, words) in PHASES {
            let said = page
                .split_once(&format!(" {name}: ["))
                .and_then(|(_, rest)| rest.split('"').nth(3));
            assert_eq!(said, Some(words), "{name}");
        }
        for (name, words) in INCIDENTS {
            assert!(page.contains(&format!(" {name}: \"{words}\"")), "{name}");
        }
    }

    #[test]
    fn a_name_of_a_newer_bridge_is_read_as_it_is() {
        assert_eq!(phase("waits_for_godot"), "waits for godot");
    }
}
