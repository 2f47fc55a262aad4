//! Limits of time: which one of the proxy's ended a request, and whom the proxy awaited then.
//!
//! A limit says when, not who. Whom the proxy awaited follows from what it had by then: without the whole request,
//! the client; with it and without any of the answer, the service. Where the answer had begun, it may have been
//! either. Whether the time was really theirs is for `crate::phases` to say.

use crate::{fact::Report, flag};

/// One of the proxy's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// From the whole request to the whole answer, or that of one attempt.
    Answer,
    /// Without any data, in either direction.
    Idle,
    /// Of a stream to the service.
    UpstreamDuration,
    /// Of a request, or of a session.
    Duration,
    /// For the client to send the whole request, or its head.
    Request,
}

/// Whom the proxy awaited when a limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Client,
    Service,
    /// The sources do not say.
    Anybody,
}

// === impl Limit ===

impl Limit {
    const FLAGS: u64 =
        flag::UPSTREAM_TIMEOUT | flag::STREAM_IDLE | flag::UPSTREAM_MAX_DURATION | flag::DURATION;

    /// Returns the limit that ended the request, if one did.
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let flags = report.http.response_flags & Self::FLAGS;
        if flags == 0 {
            // These have no flag.
            return match &*report.http.response_details {
                "max_duration_timeout" => Some(Self::Duration),
                "request_overall_timeout" | "request_header_timeout" => Some(Self::Request),
                _ => None,
            };
        }
        Some(if flags & flag::UPSTREAM_TIMEOUT != 0 {
            Self::Answer
        } else if flags & flag::UPSTREAM_MAX_DURATION != 0 {
            Self::UpstreamDuration
        } else if flags & flag::STREAM_IDLE != 0 {
            Self::Idle
        } else {
            Self::Duration
        })
    }

    /// Returns whom the proxy awaited when it ended `report` for this limit.
    ///
    /// Of a limit that runs in both directions, the proxy's own answer says: 504 for a request that was complete, 408
    /// for another. To a gRPC client both are 200, and the first is `UNAVAILABLE`.
    pub(crate) fn awaited(self, report: &Report) -> Awaited {
        const UNAVAILABLE: u32 = 14;
        match (self, report.http.status, report.http.grpc_status) {
            (Self::Answer, ..) | (_, 504, _) | (_, 200, Some(UNAVAILABLE)) => Awaited::Service,
            (Self::Request, ..) | (_, 408, _) => Awaited::Client,
            _ => Awaited::Anybody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{example, fact::Http};

    fn ended(status: u16, response_flags: u64, details: &str) -> Report {
        Report {
            http: Http {
                status,
                response_flags,
                response_details: details.into(),
                ..Http::default()
            },
            ..example::report()
        }
    }

    #[test]
    fn the_limit_is_known_by_its_flag_or_by_the_details() {
        let of = |flags, details| Limit::of(&ended(504, flags, details));
        assert_eq!(of(0, "via_upstream"), None);
        assert_eq!(of(flag::UPSTREAM_TERMINATION, ""), None);
        assert_eq!(of(flag::UPSTREAM_TIMEOUT, "x"), Some(Limit::Answer));
        assert_eq!(of(flag::STREAM_IDLE, ""), Some(Limit::Idle));
        assert_eq!(of(flag::DURATION, ""), Some(Limit::Duration));
        assert_eq!(of(0, "max_duration_timeout"), Some(Limit::Duration));
        assert_eq!(of(0, "request_overall_timeout"), Some(Limit::Request));
        assert_eq!(of(0, "request_header_timeout"), Some(Limit::Request));
        let upstream = flag::UPSTREAM_MAX_DURATION;
        assert_eq!(of(upstream, ""), Some(Limit::UpstreamDuration));
        let attempt = flag::UPSTREAM_TIMEOUT | flag::STREAM_IDLE;
        assert_eq!(of(attempt, ""), Some(Limit::Answer));
    }

    #[test]
    fn who_was_awaited_is_known_by_what_the_proxy_answered() {
        let awaited = |limit: Limit, status| limit.awaited(&ended(status, 0, ""));
        assert_eq!(awaited(Limit::Answer, 200), Awaited::Service);
        assert_eq!(awaited(Limit::Request, 408), Awaited::Client);
        for limit in [Limit::Idle, Limit::Duration, Limit::UpstreamDuration] {
            assert_eq!(awaited(limit, 504), Awaited::Service);
            assert_eq!(awaited(limit, 408), Awaited::Client);
            assert_eq!(awaited(limit, 200), Awaited::Anybody);
            assert_eq!(awaited(limit, 0), Awaited::Anybody);
        }
        let grpc = |grpc_status| {
            let mut report = ended(200, 0, "");
            report.http.grpc_status = Some(grpc_status);
            Limit::Idle.awaited(&report)
        };
        assert_eq!([grpc(14), grpc(2)], [Awaited::Service, Awaited::Anybody]);
    }
}
