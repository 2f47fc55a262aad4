//! Envoy's words for a failed connect, read as the kernel's error.
//!
//! Versions differ: some write the number (`delayed connect error: 111`), others the words (`delayed
//! connect error: Connection refused`); in response code details, blanks are underscores.

use syntrace_model::Outcome;

use crate::fact::Report;

pub(crate) const ECONNRESET: u32 = 104;
pub(crate) const ENETUNREACH: u32 = 101;
pub(crate) const ETIMEDOUT: u32 = 110;
pub(crate) const ECONNREFUSED: u32 = 111;
pub(crate) const EHOSTUNREACH: u32 = 113;

/// The words of `strerror`, which newer versions write.
const WORDS: [(&str, u32); 5] = [
    ("Connection refused", ECONNREFUSED),
    ("No route to host", EHOSTUNREACH),
    ("Network is unreachable", ENETUNREACH),
    ("Connection timed out", ETIMEDOUT),
    ("Connection reset by peer", ECONNRESET),
];

/// How the proxy says that a connect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// By this error of the kernel's.
    Errno(u32),
    /// By the proxy's own connect timeout.
    Timeout,
    /// After the handshake, in TLS.
    Tls,
    /// It does not say.
    Unnamed,
}

// === impl Failure ===

impl Failure {
    /// Reads what the proxy says of a request's last connect.
    pub(crate) fn of(report: &Report) -> Self {
        let text = report
            .upstream
            .as_ref()
            .map_or("", |upstream| &*upstream.failure);
        let named = Self::read(text);
        if named == Self::Unnamed {
            Self::read(&report.http.response_details)
        } else {
            named
        }
    }

    fn read(text: &str) -> Self {
        let text = text.replace('_', " ");
        if let Some(errno) = errno(&text) {
            return Self::Errno(errno);
        }
        let has = |words: &str| text.contains(words);
        if has("TLS error") || has("CERTIFICATE VERIFY FAILED") || has("SSL routines") {
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
        let refused = outcome == Outcome::Refused;
        let unreachable = outcome == Outcome::Unreachable;
        match self {
            Self::Errno(ECONNREFUSED) => refused,
            Self::Errno(ENETUNREACH | EHOSTUNREACH) => unreachable,
            Self::Errno(ETIMEDOUT) => outcome == Outcome::Unanswered,
            Self::Errno(_) => outcome.is_failed_connect() && !refused && !unreachable,
            Self::Timeout => {
                let is_given_up = matches!(outcome, Outcome::Closed | Outcome::ResetLocally);
                outcome == Outcome::Aborted || is_given_up && is_silent
            }
            Self::Tls => !outcome.is_failed_connect(),
            Self::Unnamed => outcome.is_failed_connect(),
        }
    }
}

/// Returns the errno that the text names after `connect ...:`.
fn errno(text: &str) -> Option<u32> {
    let (_, error) = text.split_once("connect")?;
    let (_, error) = error.split_once(':')?;
    let error = error.trim_start();
    let digits = error
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    let named = || WORDS.iter().find(|(words, _)| error.starts_with(words));
    match digits.parse() {
        Ok(errno) => Some(errno),
        Err(_) => named().map(|&(_, errno)| errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_read_from_every_version_s_words() {
        let refused = Failure::Errno(ECONNREFUSED);
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
                "immediate connect error: Network is unreachable",
                Failure::Errno(ENETUNREACH),
            ),
            (
                "upstream_reset_before_response_started{connection_timeout}",
                Failure::Timeout,
            ),
            (
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                Failure::Tls,
            ),
            ("TLS error: Secret is not supplied by SDS", Failure::Tls),
            (
                "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
                Failure::Tls,
            ),
            ("verify error: CERTIFICATE_VERIFY_FAILED", Failure::Tls),
            ("connect timeout", Failure::Timeout),
            ("remote address:10.0.0.111", Failure::Unnamed),
            ("", Failure::Unnamed),
        ];
        for (text, expected) in spellings {
            assert_eq!(Failure::read(text), expected, "{text}");
        }
    }

    #[test]
    fn each_cause_agrees_with_its_own_outcomes_alone() {
        use Outcome::{Aborted, Closed, Refused, ResetByPeer, Unanswered, Unreachable};
        let cases = [
            (Failure::Errno(ECONNREFUSED), vec![Refused]),
            (Failure::Errno(EHOSTUNREACH), vec![Unreachable]),
            (Failure::Errno(ETIMEDOUT), vec![Unanswered]),
            (Failure::Errno(ECONNRESET), vec![Unanswered, Aborted]),
            (Failure::Timeout, vec![Aborted]),
            (Failure::Tls, vec![Closed, ResetByPeer]),
            (
                Failure::Unnamed,
                vec![Refused, Unanswered, Unreachable, Aborted],
            ),
        ];
        let all = [
            Refused,
            Unanswered,
            Unreachable,
            Aborted,
            Closed,
            ResetByPeer,
        ];
        for (failure, agreeing) in cases {
            for outcome in all {
                let expected = agreeing.contains(&outcome);
                let agrees = failure.agrees(outcome, false);
                assert_eq!(agrees, expected, "{failure:?} {outcome:?}");
            }
        }
        let silent = all.map(|outcome| Failure::Timeout.agrees(outcome, true));
        assert_eq!(
            silent,
            all.map(|outcome| [Aborted, Closed].contains(&outcome))
        );
    }
}
