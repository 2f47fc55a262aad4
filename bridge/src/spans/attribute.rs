//! Names of attributes in this project's own namespace. What each means is in `docs/attributes.md`, which
//! a test compares with this list.

/// Makes constants, and the list of all of them.
macro_rules! attributes {
    ($($name:ident = $text:literal;)*) => {
        $(pub(super) const $name: &str = $text;)*

        #[cfg(test)]
        const ALL: &[&str] = &[$($text),*];
    };
}

attributes! {
    ALIAS = "syntrace.alias";
    BEFORE = "syntrace.before.";
    CAUSE_CODE = "syntrace.cause.code";
    CAUSE_CONFIDENCE = "syntrace.cause.confidence";
    CAUSE_EVIDENCE = "syntrace.cause.evidence";
    CAUSE_PARTY = "syntrace.cause.party";
    CAUSE_SENTENCE = "syntrace.cause.sentence";
    CONNECTION_ID = "syntrace.connection.id";
    COVERAGE = "syntrace.coverage";
    DYE = "syntrace.dye";
    DYE_MARKED = "dye.marked";
    DYE_REASON = "dye.reason";
    DYE_TIMESTAMP = "dye.timestamp";
    BAGGAGE = "baggage.";
    ERRNO = "syntrace.errno";
    INCIDENT_COUNT = "syntrace.incident.count";
    INCIDENT_LISTENER = "syntrace.incident.listener";
    INCIDENT_SHARING = "syntrace.incident.sharing";
    LINK_CONFIDENCE = "syntrace.link.confidence";
    LINK_KIND = "syntrace.link.kind";
    LINK_METHOD = "syntrace.link.method";
    OPENING = "syntrace.opening";
    OUTCOME = "syntrace.outcome";
    REQUEST_ID = "syntrace.request_id";
    RESET_REASON = "syntrace.reset_reason";
    RESPONSE_DETAILS = "syntrace.response_details";
    RESPONSE_FLAGS = "syntrace.response_flags";
    ROLE = "syntrace.role";
    ROUTE = "syntrace.route";
    SERVER_NAME = "syntrace.tls.server_name";
    TCP_BYTES_ACKED = "syntrace.tcp.bytes_acked";
    TCP_BYTES_RECEIVED = "syntrace.tcp.bytes_received";
    TCP_MIN_RTT = "syntrace.tcp.min_rtt_us";
    TCP_RETRANSMITS = "syntrace.tcp.retransmits";
    TCP_SEGMENTS_IN = "syntrace.tcp.segments_in";
    TCP_SEGMENTS_OUT = "syntrace.tcp.segments_out";
    TCP_SRTT = "syntrace.tcp.srtt_us";
    TCP_SYN_ACK_RETRANSMITS = "syntrace.tcp.syn_ack_retransmits";
    TCP_SYN_RETRANSMITS = "syntrace.tcp.syn_retransmits";
    TIME = "syntrace.time.";
    TRACE_ID_SOURCE = "syntrace.trace_id.source";
    UPSTREAM_ATTEMPTS = "syntrace.upstream.attempts";
    UPSTREAM_CLUSTER = "syntrace.upstream.cluster";
    UPSTREAM_FAILURE = "syntrace.upstream.failure";
    UPSTREAM_FIRST_BYTE = "syntrace.upstream.first_byte_ns";
    UPSTREAM_PEER = "syntrace.upstream.peer";
    UPSTREAM_POOL_WAIT = "syntrace.upstream.pool_wait_ns";
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    #[test]
    fn every_attribute_is_documented_and_every_documented_one_is_there() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/attributes.md");
        let page = fs::read_to_string(path).unwrap();
        let (_, table) = page.split_once("| attribute |").unwrap();
        // The page's later tables are of other names.
        let (table, _) = table.split_once("\n\n").unwrap();
        let documented = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented = documented.filter_map(|line| Some(line.split_once('`')?.0));
        let named = documented.map(|name| name.split('<').next().unwrap_or_default());
        let mut documented: Vec<_> = named.collect();
        documented.sort_unstable();
        let mut all = ALL.to_vec();
        all.sort_unstable();
        assert_eq!(documented, all);
    }
}
