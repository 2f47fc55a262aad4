//! The kernel's records to the wire's messages, field by field. Decides nothing.

use syntrace_ebpf_common::{
    ConnRecord, Event, IncidentKind, IncidentRecord, Opening, Origin, Outcome, TagState, Wide,
    mapped, mint_untagged,
};
use syntrace_proto::{self as proto, fact::Body};

use crate::{host::Host, reset_reasons::ResetReasons};

/// Returns the fact that `event` of `host` tells, whose kernel has these `reasons` for an RST.
pub(crate) fn event(event: &Event, host: &Host, reasons: &ResetReasons) -> Body {
    match event {
        Event::Connection(record) => Body::Connection(connection(record, host, reasons)),
        Event::Incident(record) => Body::Incident(incident(record, host)),
    }
}

fn incident(record: &IncidentRecord, host: &Host) -> proto::Incident {
    let kind = match IncidentKind::from_u8(record.kind) {
        Some(IncidentKind::Retransmit) => proto::IncidentKind::Retransmit,
        None => proto::IncidentKind::Unspecified,
    };
    proto::Incident {
        at_ns: record.at,
        boot_id: host.boot_id.to_vec(),
        socket_cookie: record.socket_cookie,
        netns_cookie: record.netns_cookie,
        local: Some(endpoint(record.local_addr, record.local_port)),
        peer: Some(endpoint(record.peer_addr, record.peer_port)),
        kind: kind.into(),
        count: record.count,
        queue: 0,
        queue_max: 0,
    }
}

fn connection(record: &ConnRecord, host: &Host, reasons: &ResetReasons) -> proto::Connection {
    proto::Connection {
        seen_at_ns: record.seen_at,
        boot_id: host.boot_id.to_vec(),
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
        minted_id: minted(record, host).to_vec(),
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
        origin: origin(record.origin).into(),
        one_in: record.one_in,
        // The hook runs within the call itself.
        accepted_exactly: record.accepted_at != 0,
        accept_deferred: record.accept_deferred != 0,
        reset_reason: reasons.name(record.reset_reason),
        mark: record.mark,
        cgroup_id: record.cgroup_id,
    }
}

/// Returns the id that the kernel view gives the connection: its own tag, where it sent one.
fn minted(record: &ConnRecord, host: &Host) -> [u8; 16] {
    match TagState::from_u8(record.tag_state) {
        Some(TagState::Sent | TagState::Answered) => record.tag.to_bytes(),
        Some(TagState::None | TagState::Believed | TagState::Disbelieved) | None => {
            mint_untagged(Wide::from_bytes(host.key), record.socket_cookie).to_bytes()
        }
    }
}

fn origin(origin: u8) -> proto::Origin {
    match Origin::from_u8(origin) {
        Some(Origin::Backfilled) => proto::Origin::Backfilled,
        Some(Origin::Watched) | None => proto::Origin::Watched,
    }
}

/// An address that is v4-mapped crosses as 4 bytes.
fn endpoint(address: Wide, port: [u8; 2]) -> proto::Endpoint {
    let address = address.to_bytes();
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
fn id(id: Wide) -> Vec<u8> {
    if id.is_zero() {
        Vec::new()
    } else {
        id.to_bytes().to_vec()
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
            local_addr: Wide::from_bytes(mapped([127, 0, 0, 1])),
            local_port: [0x1f, 0x90],
            peer_addr: Wide::from_bytes([0x20; 16]),
            reset_reason: 16,
            ..ConnRecord::EMPTY
        };
        let connection = connection(&record, &HOST, &ResetReasons::default());
        let local = connection.local.unwrap();
        assert_eq!((local.address, local.port), (vec![127, 0, 0, 1], 8080));
        assert_eq!(connection.peer.unwrap().address, [0x20; 16]);
        assert!(connection.tag.is_empty());
        assert_eq!(connection.boot_id, [9; 16]);
        assert_eq!(connection.reset_reason, "15");
    }

    #[test]
    fn a_connection_is_named_by_the_tag_that_it_sent_and_never_by_one_that_it_received() {
        let named = |tag_state: TagState| {
            let record = ConnRecord {
                socket_cookie: 5,
                tag: Wide::from_bytes([7; 16]),
                tag_state: tag_state as u8,
                ..ConnRecord::EMPTY
            };
            connection(&record, &HOST, &ResetReasons::default()).minted_id
        };
        assert_eq!(named(TagState::Sent), [7; 16]);
        assert_eq!(named(TagState::Answered), [7; 16]);
        let untagged = mint_untagged(Wide::from_bytes(HOST.key), 5).to_bytes();
        assert_eq!(named(TagState::Believed), untagged);
        assert_eq!(named(TagState::None), untagged);
    }

    const HOST: Host = Host {
        boot_id: [9; 16],
        key: [1; 16],
    };
}
