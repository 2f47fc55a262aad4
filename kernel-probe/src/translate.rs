//! The kernel's record to the wire's message, field by field. Decides nothing.

use syntrace_ebpf_common::{ConnRecord, Opening, Outcome, TagState, mapped};
use syntrace_proto as proto;

/// Returns the fact that `record`, of the boot `boot_id`, tells.
pub(crate) fn connection(record: &ConnRecord, boot_id: [u8; 16]) -> proto::Connection {
    proto::Connection {
        seen_at_ns: record.seen_at,
        boot_id: boot_id.to_vec(),
        socket_cookie: record.socket_cookie,
        netns_cookie: record.netns_cookie,
        local: Some(endpoint(record.local_addr, record.local_port)),
        peer: Some(endpoint(record.peer_addr, record.peer_port)),
        opening: opening(record.opening).into(),
        outcome: outcome(record.outcome).into(),
        syn_at_ns: record.syn_at,
        syn_ack_at_ns: record.syn_ack_at,
        established_at_ns: record.established_at,
        accepted_at_ns: record.accepted_at,
        closed_at_ns: record.closed_at,
        minted_id: id(record.minted),
        tag: id(record.tag),
        tag_state: tag_state(record.tag_state).into(),
        error: record.error.into(),
        owner_pid: record.owner_pid,
        owner_tid: record.owner_tid,
        syn_retransmits: record.syn_retransmits.into(),
        syn_ack_retransmits: record.syn_ack_retransmits.into(),
        retransmits: record.retransmits,
        srtt_us: record.srtt_us,
        min_rtt_us: record.min_rtt_us,
        bytes_acked: record.bytes_acked,
        bytes_received: record.bytes_received,
        segments_out: record.segments_out,
        segments_in: record.segments_in,
        ..proto::Connection::default()
    }
}

/// An address that is v4-mapped crosses as 4 bytes.
fn endpoint(address: [u8; 16], port: [u8; 2]) -> proto::Endpoint {
    let [.., a, b, c, d] = address;
    let ipv4 = [a, b, c, d];
    let address = if address == mapped(ipv4) {
        ipv4.to_vec()
    } else {
        address.to_vec()
    };
    proto::Endpoint {
        address,
        port: u16::from_be_bytes(port).into(),
    }
}

/// An id that is all zero is none.
fn id(id: [u8; 16]) -> Vec<u8> {
    if id == [0; 16] {
        Vec::new()
    } else {
        id.to_vec()
    }
}

fn opening(opening: u8) -> proto::Opening {
    match Opening::from_u8(opening) {
        Some(Opening::Active) => proto::Opening::Active,
        Some(Opening::Passive) => proto::Opening::Passive,
        None => proto::Opening::Unspecified,
    }
}

fn outcome(outcome: u8) -> proto::Outcome {
    match Outcome::from_u8(outcome) {
        Some(Outcome::Connecting) => proto::Outcome::Connecting,
        Some(Outcome::Established) => proto::Outcome::Established,
        Some(Outcome::Refused) => proto::Outcome::Refused,
        Some(Outcome::Unanswered) => proto::Outcome::Unanswered,
        Some(Outcome::Unreachable) => proto::Outcome::Unreachable,
        Some(Outcome::Aborted) => proto::Outcome::Aborted,
        Some(Outcome::Closed) => proto::Outcome::Closed,
        Some(Outcome::ResetByPeer) => proto::Outcome::ResetByPeer,
        Some(Outcome::ResetLocally) => proto::Outcome::ResetLocally,
        Some(Outcome::TimedOut) => proto::Outcome::TimedOut,
        Some(Outcome::Unknown) => proto::Outcome::Unknown,
        None => proto::Outcome::Unspecified,
    }
}

fn tag_state(tag_state: u8) -> proto::TagState {
    match TagState::from_u8(tag_state) {
        Some(TagState::Sent) => proto::TagState::Sent,
        Some(TagState::Answered) => proto::TagState::Answered,
        Some(TagState::Believed) => proto::TagState::Believed,
        Some(TagState::Disbelieved) => proto::TagState::Disbelieved,
        Some(TagState::None) | None => proto::TagState::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_record_has_its_name_on_the_wire() {
        for number in 1..=10 {
            assert_eq!(i32::from(outcome(number)), i32::from(number));
        }
        assert_eq!(outcome(0), proto::Outcome::Unknown);
        for number in 0..=4 {
            assert_eq!(i32::from(tag_state(number)), i32::from(number));
        }
        for number in 0..=2 {
            assert_eq!(i32::from(opening(number)), i32::from(number));
        }
    }

    #[test]
    fn addresses_ports_and_ids_take_the_wire_form() {
        let record = ConnRecord {
            local_addr: mapped([127, 0, 0, 1]),
            local_port: [0x1f, 0x90],
            peer_addr: [0x20; 16],
            minted: [7; 16],
            ..ConnRecord::EMPTY
        };
        let connection = connection(&record, [9; 16]);
        let local = connection.local.unwrap();
        assert_eq!((local.address, local.port), (vec![127, 0, 0, 1], 8080));
        assert_eq!(connection.peer.unwrap().address, [0x20; 16]);
        assert_eq!(connection.minted_id, [7; 16]);
        assert_eq!(connection.tag, []);
        assert_eq!(connection.boot_id, [9; 16]);
    }
}
