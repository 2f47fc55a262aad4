//! Envoy's response flags, as bits: what each says of who ended a request, and how.
//!
//! Source: Envoy 1.40, the order of `CoreResponseFlag` in `envoy/stream_info/stream_info.h`. All 30 are listed here;
//! a bit above them is an extension's own, and says nothing.
//!
//! Two say nothing of an end: a delay was injected before the request was sent on (`DI`, bit 9), and a cache answered
//! (`RFCF`, bit 20).

/// `LH`: the proxy's health check filter answered, because it is told to fail.
pub(crate) const LOCAL_HEALTH_CHECK: u64 = 1;
/// `UH`: no host of the cluster is healthy.
pub(crate) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
/// `UT`: the request was complete, and its answer was not within the route's or the attempt's limit.
pub(crate) const UPSTREAM_TIMEOUT: u64 = 1 << 2;
/// `LR`: the proxy itself reset the stream to the service. Why, only the details say.
pub(crate) const LOCAL_RESET: u64 = 1 << 3;
/// `UR`: the service reset the stream.
pub(crate) const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
/// `UF`: no connection to the service came about.
pub(crate) const UPSTREAM_CONNECT_FAILURE: u64 = 1 << 5;
/// `UC`: the connection to the service ended. By whom, only the kernel knows.
pub(crate) const UPSTREAM_TERMINATION: u64 = 1 << 6;
/// `UO`: a circuit breaker was open: for the request, or only for a further attempt.
pub(crate) const UPSTREAM_OVERFLOW: u64 = 1 << 7;
/// `NR`: there is no route.
pub(crate) const NO_ROUTE: u64 = 1 << 8;
/// `FI`: the proxy answered with an error that its configuration injects.
pub(crate) const FAULT_INJECTED: u64 = 1 << 10;
/// `RL`: a rate limit was reached.
pub(crate) const RATE_LIMITED: u64 = 1 << 11;
/// `UAEX`: the external authorisation did not permit the request, or could not be asked.
pub(crate) const NOT_AUTHORISED: u64 = 1 << 12;
/// `RLSE`: the rate limit service could not be asked, and the request is refused then.
pub(crate) const RATE_LIMIT_ERROR: u64 = 1 << 13;
/// `DC`: the client's connection ended. The details say so where the proxy closed it.
pub(crate) const DOWNSTREAM_TERMINATION: u64 = 1 << 14;
/// `URX`: no further attempt was allowed. Alone, it says something of a TCP session only: its last connect failed.
pub(crate) const RETRY_LIMIT_EXCEEDED: u64 = 1 << 15;
/// `SI`: nothing moved on the stream for as long as the proxy allows. Whom it awaited, the status says.
pub(crate) const STREAM_IDLE: u64 = 1 << 16;
/// `IH`: the client sent `x-envoy` headers that a strict check refuses.
pub(crate) const INVALID_HEADERS: u64 = 1 << 17;
/// `DPE`: the client broke the protocol.
pub(crate) const DOWNSTREAM_PROTOCOL: u64 = 1 << 18;
/// `UMSDR`: the stream to the service lasted as long as the cluster allows.
pub(crate) const UPSTREAM_MAX_DURATION: u64 = 1 << 19;
/// `NFCF`: the configuration of a filter has not come.
pub(crate) const NO_FILTER_CONFIG: u64 = 1 << 21;
/// `DT`: the request, or the session, lasted as long as the proxy allows.
pub(crate) const DURATION: u64 = 1 << 22;
/// `UPE`: the service broke the protocol.
pub(crate) const UPSTREAM_PROTOCOL: u64 = 1 << 23;
/// `NC`: there is no cluster.
pub(crate) const NO_CLUSTER: u64 = 1 << 24;
/// `OM`: the proxy's overload manager ended the stream.
pub(crate) const OVERLOAD_MANAGER: u64 = 1 << 25;
/// `DF`: the service's name could not be resolved.
pub(crate) const NAME_UNRESOLVED: u64 = 1 << 26;
/// `DO`: the request is of the part that is dropped, because of overload.
pub(crate) const DROP_OVERLOAD: u64 = 1 << 27;
/// `DR`: the client reset the stream, as a cancelled gRPC call does.
pub(crate) const DOWNSTREAM_REMOTE_RESET: u64 = 1 << 28;
/// `UDO`: all requests are dropped, because of overload.
pub(crate) const DROP_ALL: u64 = 1 << 29;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_of_envoy_is_read_but_for_those_that_say_nothing() {
        let client = DOWNSTREAM_TERMINATION
            | INVALID_HEADERS
            | DOWNSTREAM_PROTOCOL
            | DOWNSTREAM_REMOTE_RESET;
        let stopped = LOCAL_HEALTH_CHECK
            | NO_HEALTHY_UPSTREAM
            | UPSTREAM_OVERFLOW
            | NO_ROUTE
            | FAULT_INJECTED
            | RATE_LIMITED
            | NOT_AUTHORISED
            | RATE_LIMIT_ERROR
            | NO_FILTER_CONFIG
            | NO_CLUSTER
            | OVERLOAD_MANAGER
            | NAME_UNRESOLVED
            | DROP_OVERLOAD
            | DROP_ALL;
        let limits = UPSTREAM_TIMEOUT | STREAM_IDLE | UPSTREAM_MAX_DURATION | DURATION;
        let upstream = LOCAL_RESET
            | UPSTREAM_REMOTE_RESET
            | UPSTREAM_CONNECT_FAILURE
            | UPSTREAM_TERMINATION
            | RETRY_LIMIT_EXCEEDED
            | UPSTREAM_PROTOCOL;
        let silent = 1 << 9 | 1 << 20;
        let groups = [client, stopped, limits, upstream, silent];
        assert_eq!(groups.iter().sum::<u64>(), (1 << 30) - 1, "each once");
    }
}
