//! Ring-buffer bytes to records: safe, total, each failure named.

use crate::{
    incident::{INCIDENT_LEN, IncidentKind, IncidentRecord},
    record::{CONN_RECORD_LEN, ConnRecord, Moment, Opening, Origin, Outcome, TagState},
    wide::Wide,
};

/// What one ring-buffer record tells; its length says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What is known of one connection.
    Connection(ConnRecord),
    /// What happened to one.
    Incident(IncidentRecord),
}

/// A ring-buffer record that is no [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record has the wrong length: the two sides were built apart.
    #[error("record is {actual} bytes, expected {CONN_RECORD_LEN} or {INCIDENT_LEN}")]
    Length {
        /// Bytes in the record.
        actual: usize,
    },
    /// The record names no [`Opening`].
    #[error("unknown opening {0}, expected 1 or 2")]
    Opening(u8),
    /// The record names no [`Moment`].
    #[error("unknown moment {0}, expected 1 to 5")]
    Moment(u8),
    /// The record names no [`Outcome`].
    #[error("unknown outcome {0}, expected 0 to 10")]
    Outcome(u8),
    /// The record names no [`TagState`].
    #[error("unknown tag state {0}, expected 0 to 4")]
    TagState(u8),
    /// The record names no [`Origin`].
    #[error("unknown origin {0}, expected 0 or 1")]
    Origin(u8),
    /// The record names no [`IncidentKind`].
    #[error("unknown kind of incident {0}, expected 1")]
    IncidentKind(u8),
}

impl Event {
    /// Decodes one ring-buffer record.
    ///
    /// # Errors
    ///
    /// As [`ConnRecord::decode`]; [`DecodeError::IncidentKind`] if an incident names none.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        match IncidentRecord::read(record) {
            Some((incident, [])) => match IncidentKind::from_u8(incident.kind) {
                Some(_) => Ok(Self::Incident(incident)),
                None => Err(DecodeError::IncidentKind(incident.kind)),
            },
            Some(_) | None => ConnRecord::decode(record).map(Self::Connection),
        }
    }
}

impl IncidentRecord {
    /// Reads the fields in layout order; returns what follows them too.
    fn read(rest: &[u8]) -> Option<(Self, &[u8])> {
        let (at, rest) = read_u64(rest)?;
        let (socket_cookie, rest) = read_u64(rest)?;
        let (netns_cookie, rest) = read_u64(rest)?;
        let (local_addr, rest) = read_wide(rest)?;
        let (peer_addr, rest) = read_wide(rest)?;
        let (count, rest) = read_u32(rest)?;
        let (local_port, rest) = read_bytes(rest)?;
        let (peer_port, rest) = read_bytes(rest)?;
        let ([kind], rest) = read_bytes(rest)?;
        let (reserved, rest) = read_bytes(rest)?;
        let record = Self {
            at,
            socket_cookie,
            netns_cookie,
            local_addr,
            peer_addr,
            count,
            local_port,
            peer_port,
            kind,
            reserved,
        };
        Some((record, rest))
    }
}

impl ConnRecord {
    /// Decodes one ring-buffer record.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] unless `record` is [`CONN_RECORD_LEN`] bytes; the others if a
    /// number names no variant of its enum.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let actual = record.len();
        let record = match Self::read(record) {
            Some((record, [])) => record,
            Some(_) | None => return Err(DecodeError::Length { actual }),
        };
        Opening::from_u8(record.opening).ok_or(DecodeError::Opening(record.opening))?;
        Moment::from_u8(record.moment).ok_or(DecodeError::Moment(record.moment))?;
        Outcome::from_u8(record.outcome).ok_or(DecodeError::Outcome(record.outcome))?;
        TagState::from_u8(record.tag_state).ok_or(DecodeError::TagState(record.tag_state))?;
        Origin::from_u8(record.origin).ok_or(DecodeError::Origin(record.origin))?;
        Ok(record)
    }

    /// Reads the fields in layout order; returns what follows them too.
    fn read(rest: &[u8]) -> Option<(Self, &[u8])> {
        let (seen_at, rest) = read_u64(rest)?;
        let (socket_cookie, rest) = read_u64(rest)?;
        let (netns_cookie, rest) = read_u64(rest)?;
        let (syn_at, rest) = read_u64(rest)?;
        let (syn_ack_at, rest) = read_u64(rest)?;
        let (established_at, rest) = read_u64(rest)?;
        let (accepted_at, rest) = read_u64(rest)?;
        let (closed_at, rest) = read_u64(rest)?;
        let (bytes_acked, rest) = read_u64(rest)?;
        let (bytes_received, rest) = read_u64(rest)?;
        let (cgroup_id, rest) = read_u64(rest)?;
        let (tag, rest) = read_wide(rest)?;
        let (local_addr, rest) = read_wide(rest)?;
        let (peer_addr, rest) = read_wide(rest)?;
        let (owner_pid, rest) = read_u32(rest)?;
        let (owner_tid, rest) = read_u32(rest)?;
        let (srtt_us, rest) = read_u32(rest)?;
        let (min_rtt_us, rest) = read_u32(rest)?;
        let (segments_out, rest) = read_u32(rest)?;
        let (segments_in, rest) = read_u32(rest)?;
        let (retransmits, rest) = read_u32(rest)?;
        let (mark, rest) = read_u32(rest)?;
        let (one_in, rest) = read_u32(rest)?;
        let (local_port, rest) = read_bytes(rest)?;
        let (peer_port, rest) = read_bytes(rest)?;
        let (error, rest) = read_bytes(rest)?;
        let (small, rest) = read_bytes(rest)?;
        let (reserved, rest) = read_bytes(rest)?;
        let [
            syn_retransmits,
            syn_ack_retransmits,
            opening,
            moment,
            outcome,
            tag_state,
            origin,
            reset_reason,
            notes,
            accept_deferred,
        ] = small;
        let record = Self {
            seen_at,
            socket_cookie,
            netns_cookie,
            syn_at,
            syn_ack_at,
            established_at,
            accepted_at,
            closed_at,
            bytes_acked,
            bytes_received,
            cgroup_id,
            tag,
            local_addr,
            peer_addr,
            owner_pid,
            owner_tid,
            srtt_us,
            min_rtt_us,
            segments_out,
            segments_in,
            retransmits,
            mark,
            one_in,
            local_port,
            peer_port,
            error: u16::from_ne_bytes(error),
            syn_retransmits,
            syn_ack_retransmits,
            opening,
            moment,
            outcome,
            tag_state,
            origin,
            reset_reason,
            notes,
            accept_deferred,
            reserved,
        };
        Some((record, rest))
    }
}

fn read_bytes<const N: usize>(rest: &[u8]) -> Option<([u8; N], &[u8])> {
    let (bytes, rest) = rest.split_first_chunk()?;
    Some((*bytes, rest))
}

fn read_wide(rest: &[u8]) -> Option<(Wide, &[u8])> {
    let (bytes, rest) = read_bytes(rest)?;
    Some((Wide::from_bytes(bytes), rest))
}

fn read_u64(rest: &[u8]) -> Option<(u64, &[u8])> {
    let (bytes, rest) = read_bytes(rest)?;
    Some((u64::from_ne_bytes(bytes), rest))
}

fn read_u32(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = read_bytes(rest)?;
    Some((u32::from_ne_bytes(bytes), rest))
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn every_byte_lands_in_the_field_of_its_offset() {
        let mut bytes = valid();
        bytes[offset_of!(ConnRecord, seen_at)] = 1;
        bytes[offset_of!(ConnRecord, bytes_received)] = 2;
        bytes[offset_of!(ConnRecord, peer_addr) + 15] = 3;
        bytes[offset_of!(ConnRecord, retransmits)] = 4;
        bytes[offset_of!(ConnRecord, peer_port) + 1] = 5;
        bytes[offset_of!(ConnRecord, error)] = 6;
        bytes[offset_of!(ConnRecord, syn_ack_retransmits)] = 7;
        bytes[offset_of!(ConnRecord, accept_deferred)] = 1;
        let record = ConnRecord::decode(&bytes).unwrap();
        assert_eq!(record.seen_at, u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(
            record.bytes_received,
            u64::from_ne_bytes([2, 0, 0, 0, 0, 0, 0, 0])
        );
        assert_eq!(record.peer_addr.to_bytes()[15], 3);
        assert_eq!(record.retransmits, u32::from_ne_bytes([4, 0, 0, 0]));
        assert_eq!(record.peer_port, [0, 5]);
        assert_eq!(record.error, u16::from_ne_bytes([6, 0]));
        assert_eq!((record.syn_ack_retransmits, record.accept_deferred), (7, 1));
    }

    #[test]
    fn a_record_of_another_length_is_refused() {
        let bytes = valid();
        let length = |actual| Err(DecodeError::Length { actual });
        assert_eq!(ConnRecord::decode(&[]), length(0));
        assert_eq!(
            ConnRecord::decode(&bytes[..CONN_RECORD_LEN - 1]),
            length(CONN_RECORD_LEN - 1)
        );
        let mut longer = [0; CONN_RECORD_LEN + 8];
        longer[..CONN_RECORD_LEN].copy_from_slice(&bytes);
        assert_eq!(ConnRecord::decode(&longer), length(CONN_RECORD_LEN + 8));
    }

    #[test]
    fn a_number_that_names_nothing_is_refused() {
        let cases = [
            (offset_of!(ConnRecord, opening), DecodeError::Opening(99)),
            (offset_of!(ConnRecord, moment), DecodeError::Moment(99)),
            (offset_of!(ConnRecord, outcome), DecodeError::Outcome(99)),
            (offset_of!(ConnRecord, tag_state), DecodeError::TagState(99)),
            (offset_of!(ConnRecord, origin), DecodeError::Origin(99)),
        ];
        for (offset, error) in cases {
            let mut bytes = valid();
            bytes[offset] = 99;
            assert_eq!(ConnRecord::decode(&bytes), Err(error));
        }
    }

    #[test]
    fn the_length_tells_an_incident_from_a_connection() {
        let mut bytes = [0; INCIDENT_LEN];
        bytes[offset_of!(IncidentRecord, kind)] = IncidentKind::Retransmit as u8;
        bytes[offset_of!(IncidentRecord, count)..][..4].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[offset_of!(IncidentRecord, peer_port) + 1] = 9;
        match Event::decode(&bytes) {
            Ok(Event::Incident(incident)) => {
                assert_eq!((incident.count, incident.peer_port), (7, [0, 9]));
            }
            other => panic!("{other:?}"),
        }
        bytes[offset_of!(IncidentRecord, kind)] = 99;
        assert_eq!(Event::decode(&bytes), Err(DecodeError::IncidentKind(99)));
        assert!(matches!(Event::decode(&valid()), Ok(Event::Connection(_))));
    }

    fn valid() -> [u8; CONN_RECORD_LEN] {
        let mut bytes = [0; CONN_RECORD_LEN];
        bytes[offset_of!(ConnRecord, opening)] = Opening::Active as u8;
        bytes[offset_of!(ConnRecord, moment)] = Moment::Closed as u8;
        bytes
    }
}
