//! Requests that were stopped on purpose: by a circuit breaker, a limit, or overload.

use crate::wire::{self, Message, request};

/// Envoy's response flags (`CoreResponseFlag`, as bits) that mean it, and the reason they stand for.
///
/// The first that is set counts: one request, one mark, however often it was tried.
const REASONS: [(u64, &str); 3] = [
    // UO: a circuit breaker of the cluster was open.
    (1 << 7, "CIRCUIT_OPEN"),
    // RL: a rate limit was exceeded.
    (1 << 11, "THRESHOLD_EXCEEDED"),
    // OM, DO, UDO: the overload manager, or the service, asked for less.
    (1 << 25 | 1 << 27 | 1 << 29, "OVERLOADED"),
];

/// Returns why a request with these flags was stopped, if it was.
fn reason(flags: u64) -> Option<&'static str> {
    let (_, reason) = REASONS.into_iter().find(|(bits, _)| flags & bits != 0)?;
    Some(reason)
}

/// Writes the mark of a request that ended `at_unix_ns` with these flags, if it has one.
pub(crate) fn write(report: &mut Message, flags: u64, at_unix_ns: u64) {
    if let Some(reason) = reason(flags) {
        let mut mark = Message::default();
        mark.bytes(wire::mark::REASON, reason.as_bytes());
        mark.fixed64(wire::mark::AT_UNIX_NS, at_unix_ns);
        report.message(request::MARK, &mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_stopped_on_purpose_is_marked() {
        assert_eq!(reason(0x80), Some("CIRCUIT_OPEN"));
        assert_eq!(reason(0x800), Some("THRESHOLD_EXCEEDED"));
        assert_eq!(reason(0x200_0000), Some("OVERLOADED"));
        assert_eq!(reason(0x8000 | 0x80), Some("CIRCUIT_OPEN"));
        for flags in [0, 0x2, 0x4, 0x10, 0x20, 0x4000, 0x8000] {
            assert_eq!(reason(flags), None, "{flags:#x}");
        }
    }
}
