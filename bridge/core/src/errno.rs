//! Envoy's words for a failed connect, read as what became of the socket.
//!
//! Whether a connect failed the request at all, the response flags say: `UF`; of a TCP session also `URX` with a
//! failure text, where it was the proxy that closed the last connection, in TLS for instance. A request that was
//! waiting for a connection when something else ended it (its client left, a timeout, a circuit breaker) was
//! failed by none of the connects that ended meanwhile, whether its own or another's; a failure text is then an
//! earlier attempt's.
//!
//! Versions differ: some write the error's number (`delayed connect error: 111`), others the words of `strerror`
//! (`delayed connect error: Connection refused`); in response code details, blanks are underscores. What the error
//! makes of the socket is the kernel's doing, as the probe reads it too:
//!
//! - While the SYN is unanswered, an RST is ECONNREFUSED, and ICMP has its own errors.
//! - ECONNRESET and EPIPE are an RST after the handshake, before the worker looked at the socket.
//! - Another error is of this host: it ended the connect, and so do errors that are not known here. A name that is
//!   not known may hide what it means: what it finds is no more than likely.
//! - `immediate connect error` is an error of the system call `connect`, and `failed to bind` one of `bind`: no
//!   port, no route, no permission. No SYN was sent, so no connect failed.
//!
//! No error at all, and no timeout, is the service's FIN in the TLS handshake; older versions of Envoy name no
//! error of a refused connect either.

use syntrace_model::Outcome;

use crate::{fact::Report, flag};

/// What a connection ends with that the kernel ends by an error: its number in `asm-generic/errno.h`, its words.
const ERRORS: [(u32, &str, Outcome); 12] = [
    (13, "Permission denied", Outcome::Unreachable),
    (32, "Broken pipe", Outcome::ResetByPeer),
    (64, "Machine is not on the network", Outcome::Unreachable),
    (71, "Protocol error", Outcome::Unreachable),
    (92, "Protocol not available", Outcome::Unreachable),
    (95, "Operation not supported", Outcome::Unreachable),
    (101, "Network is unreachable", Outcome::Unreachable),
    (104, "Connection reset by peer", Outcome::ResetByPeer),
    (110, "Connection timed out", Outcome::Unanswered),
    (111, "Connection refused", Outcome::Refused),
    (112, "Host is down", Outcome::Unreachable),
    (113, "No route to host", Outcome::Unreachable),
];

/// How the proxy says that a connect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// By an error of the kernel's, which ends a socket like this.
    Ended(Outcome),
    /// By an error that is not known here.
    Other,
    /// Before anything was sent.
    NotDialled,
    /// By the proxy's own connect timeout.
    Timeout,
    /// After the handshake, in TLS.
    Tls,
    /// It does not say.
    Unnamed,
}

// === impl Failure ===

impl Failure {
    /// Reads what the proxy says of a request's last connect; `None` if it does not say that a connect failed the
    /// request.
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let text = report
            .upstream
            .as_ref()
            .map_or("", |upstream| &*upstream.failure);
        let has = |flag: u64| report.http.response_flags & flag != 0;
        let is_session_s =
            report.http.tcp_session && has(flag::RETRY_LIMIT_EXCEEDED) && !text.is_empty();
        if !has(flag::UPSTREAM_CONNECT_FAILURE) && !is_session_s {
            return None;
        }
        let named = Self::read(text);
        Some(if named == Self::Unnamed {
            Self::read(&report.http.response_details)
        } else {
            named
        })
    }

    fn read(text: &str) -> Self {
        let text = text.replace('_', " ");
        let has = |words: &str| text.contains(words);
        if let Some((before, error)) = text.split_once("connect error:") {
            return if before.ends_with("immediate ") {
                Self::NotDialled
            } else {
                outcome(error.trim_start()).map_or(Self::Other, Self::Ended)
            };
        }
        if has("failed to bind to") || has("socket creation failure") {
            Self::NotDialled
        } else if has("TLS error") || has("CERTIFICATE VERIFY FAILED") || has("SSL routines") {
            Self::Tls
        } else if has("connection timeout") || has("connect timeout") {
            Self::Timeout
        } else {
            Self::Unnamed
        }
    }

    /// Returns whether a connect that ended like this may be the one; `is_silent` says that it was established
    /// and the peer never sent a byte: the proxy's connect timeout ends that too, if TLS is to follow.
    pub(crate) fn agrees(self, outcome: Outcome, is_silent: bool) -> bool {
        match self {
            Self::Ended(ended) => outcome == ended,
            Self::Other => outcome == Outcome::Aborted,
            Self::NotDialled => false,
            Self::Timeout => {
                let is_given_up = matches!(outcome, Outcome::Closed | Outcome::ResetLocally);
                outcome == Outcome::Aborted || is_given_up && is_silent
            }
            Self::Tls => !outcome.is_failed_connect(),
            Self::Unnamed => true,
        }
    }

    /// Returns whether it was the proxy that closed the connection, if that was established: then the kernel
    /// reports its end when the peer has acknowledged the FIN.
    pub(crate) const fn is_closed_by_proxy(self) -> bool {
        matches!(self, Self::Timeout | Self::Tls | Self::Unnamed)
    }
}

/// Returns how the error at the beginning of a text ends a socket, if that is known.
fn outcome(error: &str) -> Option<Outcome> {
    let digits = error.split(|c: char| !c.is_ascii_digit()).next();
    let number: Option<u32> = digits.and_then(|digits| digits.parse().ok());
    let mut known = ERRORS.iter();
    let known = known.find(|(errno, words, _)| match number {
        Some(number) => number == *errno,
        None => error.starts_with(words),
    });
    known.map(|&(_, _, outcome)| outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_read_from_every_version_s_words() {
        let refused = Failure::Ended(Outcome::Refused);
        let spellings = [
            ("delayed connect error: 111", refused),
            ("delayed connect error: Connection refused", refused),
            (
                "upstream_reset_before_response_started{connection_failure,delayed_connect_error:_111}",
                refused,
            ),
            (
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
                refused,
            ),
            (
                "delayed_connect_error:_Connection_reset_by_peer",
                Failure::Ended(Outcome::ResetByPeer),
            ),
            (
                "delayed connect error: 32",
                Failure::Ended(Outcome::ResetByPeer),
            ),
            (
                "delayed connect error: 110",
                Failure::Ended(Outcome::Unanswered),
            ),
            (
                "delayed connect error: Permission denied|remote address:10.0.0.111:80",
                Failure::Ended(Outcome::Unreachable),
            ),
            ("delayed connect error: 11", Failure::Other),
            ("delayed connect error: Software caused", Failure::Other),
            ("delayed connect error: ", Failure::Other),
            (
                "immediate connect error: Network is unreachable",
                Failure::NotDialled,
            ),
            ("immediate connect error: 99", Failure::NotDialled),
            (
                "upstream_reset_before_response_started{remote_connection_failure|immediate_connect_error:_Network_is_unreachable|remote_address:224.0.0.1:80}",
                Failure::NotDialled,
            ),
            (
                "failed_to_bind_to_203.0.113.77:0:_Cannot_assign_requested_address",
                Failure::NotDialled,
            ),
            ("socket creation failure", Failure::NotDialled),
            (
                "upstream_reset_before_response_started{connection_timeout}",
                Failure::Timeout,
            ),
            (
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                Failure::Tls,
            ),
            (
                "TLS_error:|33554536:system_library:OPENSSL_internal:Connection_reset_by_peer:TLS_error_end",
                Failure::Tls,
            ),
            ("TLS error: Secret is not supplied by SDS", Failure::Tls),
            (
                "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
                Failure::Tls,
            ),
            ("verify error: CERTIFICATE_VERIFY_FAILED", Failure::Tls),
            ("connect timeout", Failure::Timeout),
            (
                "upstream_reset_before_response_started{remote_connection_failure}",
                Failure::Unnamed,
            ),
            ("remote address:10.0.0.111", Failure::Unnamed),
            ("", Failure::Unnamed),
        ];
        for (text, expected) in spellings {
            assert_eq!(Failure::read(text), expected, "{text}");
        }
    }

    #[test]
    fn each_cause_agrees_with_its_own_outcomes_alone() {
        use Outcome::{
            Aborted, Closed, Refused, ResetByPeer, ResetLocally, Unanswered, Unreachable,
        };
        let all = [
            Refused,
            Unanswered,
            Unreachable,
            Aborted,
            Closed,
            ResetByPeer,
            ResetLocally,
        ];
        let cases = [
            (Failure::Ended(Refused), vec![Refused]),
            (Failure::Ended(Unreachable), vec![Unreachable]),
            (Failure::Ended(Unanswered), vec![Unanswered]),
            (Failure::Ended(ResetByPeer), vec![ResetByPeer]),
            (Failure::Other, vec![Aborted]),
            (Failure::NotDialled, vec![]),
            (Failure::Timeout, vec![Aborted]),
            (Failure::Tls, vec![Closed, ResetByPeer, ResetLocally]),
            (Failure::Unnamed, all.to_vec()),
        ];
        for (failure, agreeing) in cases {
            for outcome in all {
                let expected = agreeing.contains(&outcome);
                let agrees = failure.agrees(outcome, false);
                assert_eq!(agrees, expected, "{failure:?} {outcome:?}");
            }
        }
        let silent = all.map(|outcome| Failure::Timeout.agrees(outcome, true));
        let given_up = [Aborted, Closed, ResetLocally];
        assert_eq!(silent, all.map(|outcome| given_up.contains(&outcome)));
    }
}
