//! Turns the wire's messages into facts: the only place that knows the wire's and Envoy's vocabulary.
//!
//! A batch that cannot be decoded is refused as a whole. Of a batch with an invalid fact the others are accepted;
//! under its number stands that it was refused, and for which field. Nothing is guessed and nothing is folded here.

mod connection;
mod incident;
mod request;

use std::net::IpAddr;

use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use syntrace_core::fact::{Batch, Fact, Rung, Sampling, SenderId};
use syntrace_model::{BootId, BootNanos, ClockSample, Endpoint, UnixNanos};
use syntrace_proto as wire;

/// Facts that one batch may hold. An encoded fact of two bytes takes hundreds once it is decoded.
pub const FACTS_MAX: usize = 16_384;

/// Causes of loss that one batch may name.
const LOSSES_MAX: usize = 64;

/// Bytes of a text that are kept.
const TEXT_MAX: usize = 4_096;

/// Field number of `Batch.facts`.
const FACTS_TAG: u32 = 4;

/// What a name of something counted is.
const NAME_EXPECTED: &str = "1 to 64 of a-z, 0-9 and _";

/// The rungs of the ladder.
const RUNGS: [&str; 4] = ["full", "observe", "poll", "l7-only"];

/// A body that is no batch of facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The bytes are no `syntrace.v1.Batch`.
    #[error("expected a syntrace.v1.Batch")]
    Undecodable(#[source] DecodeError),
    /// The sender is newer than this bridge.
    #[error("batch.schema is {found}, expected at most {}", wire::SCHEMA)]
    NewerSchema {
        /// The schema of the batch.
        found: u32,
    },
    /// The batch is too large to be decoded safely.
    #[error("the batch holds {found} facts, expected at most {FACTS_MAX}")]
    TooManyFacts {
        /// Facts in the batch.
        found: usize,
    },
    /// A field of the batch is invalid.
    #[error("batch.{field} is {found}, expected {expected}")]
    Batch {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: Box<str>,
        /// What it may hold.
        expected: &'static str,
    },
}

/// A field of a fact without meaning.
#[derive(Debug)]
struct Meaningless {
    field: &'static str,
    found: Box<str>,
    expected: &'static str,
}

// === impl IngestError ===

/// Reads one batch.
///
/// # Errors
///
/// [`IngestError`] names what is wrong; then nothing of the batch is accepted.
pub fn decode(encoded: &[u8]) -> Result<Batch, IngestError> {
    let parts = split(encoded).map_err(IngestError::Undecodable)?;
    let found = parts.found;
    if found > FACTS_MAX {
        return Err(IngestError::TooManyFacts { found });
    }
    let batch = wire::Batch::decode(&*parts.rest).map_err(IngestError::Undecodable)?;
    let mut batch = translate(batch, found)?;
    let facts = parts.facts.into_iter().enumerate();
    batch.facts = facts
        .map(|(index, fact)| match translate_fact(fact) {
            Ok(fact) => fact,
            Err(Meaningless {
                field,
                found,
                expected,
            }) => {
                tracing::debug!(index, field, found, expected, "Refused fact");
                Fact::Refused(field)
            }
        })
        .collect();
    Ok(batch)
}

/// A batch whose facts are not decoded.
struct Parts<'a> {
    /// At most [`FACTS_MAX`] of them.
    facts: Vec<&'a [u8]>,
    /// How many there are.
    found: usize,
    /// The encoded batch without them.
    rest: Vec<u8>,
}

/// Takes the facts out of a batch.
fn split(encoded: &[u8]) -> Result<Parts<'_>, DecodeError> {
    let mut parts = Parts {
        facts: Vec::new(),
        found: 0,
        rest: Vec::new(),
    };
    let mut left = encoded;
    while !left.is_empty() {
        let field = left;
        let (tag, wire_type) = decode_key(&mut left)?;
        let mut value = left;
        skip_field(wire_type, tag, &mut left, DecodeContext::default())?;
        if tag == FACTS_TAG && wire_type == WireType::LengthDelimited {
            // What was skipped is the length and so many bytes.
            decode_varint(&mut value)?;
            let length = value.len() - left.len();
            parts.found += 1;
            if parts.found <= FACTS_MAX {
                parts.facts.extend(value.split_off(..length));
            }
        } else {
            let length = field.len() - left.len();
            parts.rest.extend(field.iter().take(length));
        }
    }
    Ok(parts)
}

fn translate(batch: wire::Batch, facts: usize) -> Result<Batch, IngestError> {
    match batch.schema {
        0 => return Err(refused("schema", 0, "1 or more")),
        found if found > wire::SCHEMA => return Err(IngestError::NewerSchema { found }),
        _ => {}
    }
    let sender = batch
        .sender
        .ok_or_else(|| refused("sender", "absent", "a sender"))?;
    if sender.name.is_empty() || sender.name.len() > 255 {
        let length = format!("{} bytes", sender.name.len());
        return Err(refused("sender.name", length, "1 to 255 bytes"));
    }
    if batch.first_seq.checked_add(facts as u64).is_none() {
        return Err(refused(
            "first_seq",
            batch.first_seq,
            "room for the facts' numbers",
        ));
    }
    if batch.losses.len() > LOSSES_MAX {
        return Err(refused("losses", batch.losses.len(), "at most 64 causes"));
    }
    if let Some(loss) = batch.losses.iter().find(|loss| !is_name(&loss.cause)) {
        return Err(refused(
            "losses.cause",
            format!("{:?}", loss.cause),
            NAME_EXPECTED,
        ));
    }
    Ok(Batch {
        facts: Vec::new(),
        sender: SenderId {
            name: sender.name.into(),
            epoch: sender.epoch,
        },
        first_seq: batch.first_seq,
        losses: batch
            .losses
            .into_iter()
            .map(|loss| (loss.cause.into(), loss.count))
            .collect(),
        goodbye: batch.goodbye,
    })
}

fn translate_fact(encoded: &[u8]) -> Result<Fact, Meaningless> {
    use wire::fact::Body;
    let fact = wire::Fact::decode(encoded)
        .map_err(|error| meaningless("fact", error, "a syntrace.v1.Fact"))?;
    match fact.body {
        Some(Body::Clock(clock)) => Ok(Fact::Clock(translate_clock(clock)?)),
        Some(Body::Connection(connection)) => {
            Ok(Fact::Connection(connection::translate(connection)?))
        }
        Some(Body::Request(request)) => Ok(Fact::Request(request::translate(request)?.into())),
        Some(Body::Rung(rung)) => Ok(Fact::Rung(translate_rung(rung)?)),
        Some(Body::Incident(incident)) => Ok(Fact::Incident(incident::translate(incident)?)),
        Some(Body::Sampling(sampling)) => Ok(Fact::Sampling(translate_sampling(sampling)?)),
        None => Err(meaningless(
            "body",
            "absent",
            "a clock, connection, request, rung, incident or sampling",
        )),
    }
}

fn translate_clock(clock: wire::Clock) -> Result<ClockSample, Meaningless> {
    if clock.boot_ns == 0 || clock.unix_ns == 0 {
        return Err(meaningless("clock", 0, "the time of both clocks"));
    }
    Ok(ClockSample {
        boot: BootNanos(clock.boot_ns),
        unix: UnixNanos(clock.unix_ns),
    })
}

fn translate_sampling(sampling: wire::Sampling) -> Result<Sampling, Meaningless> {
    if sampling.boot_ns == 0 {
        return Err(meaningless("sampling.boot", 0, "a time"));
    }
    if sampling.one_in == 0 {
        return Err(meaningless("sampling.one_in", 0, "at least 1"));
    }
    Ok(Sampling {
        at: BootNanos(sampling.boot_ns),
        one_in: sampling.one_in,
    })
}

fn translate_rung(rung: wire::Rung) -> Result<Rung, Meaningless> {
    if !RUNGS.contains(&rung.name.as_str()) {
        let found = format!("{:?}", rung.name);
        return Err(meaningless(
            "rung.name",
            found,
            "full, observe, poll or l7-only",
        ));
    }
    if rung.missing.len() > LOSSES_MAX {
        return Err(meaningless(
            "rung.missing",
            rung.missing.len(),
            "at most 64 sentences",
        ));
    }
    if rung.counted.len() > LOSSES_MAX {
        return Err(meaningless(
            "rung.counted",
            rung.counted.len(),
            "at most 64 names",
        ));
    }
    if let Some(count) = rung.counted.iter().find(|count| !is_name(&count.name)) {
        let found = format!("{:?}", count.name);
        return Err(meaningless("rung.counted", found, NAME_EXPECTED));
    }
    let counted = rung.counted.into_iter();
    Ok(Rung {
        name: rung.name.into(),
        missing: rung.missing.into_iter().map(text).collect(),
        counted: counted
            .map(|count| (count.name.into(), count.count))
            .collect(),
        sockets_map_id: (rung.sockets_map_id != 0).then_some(rung.sockets_map_id),
    })
}

fn boot_id(bytes: &[u8], field: &'static str) -> Result<BootId, Meaningless> {
    match <[u8; 16]>::try_from(bytes) {
        Ok(id) => Ok(BootId(id)),
        Err(_) => Err(meaningless(
            field,
            format!("{} bytes", bytes.len()),
            "16 bytes",
        )),
    }
}

fn translate_endpoint(
    endpoint: &wire::Endpoint,
    field: &'static str,
) -> Result<Endpoint, Meaningless> {
    let address: IpAddr = if let Ok(v4) = <[u8; 4]>::try_from(endpoint.address.as_slice()) {
        v4.into()
    } else if let Ok(v6) = <[u8; 16]>::try_from(endpoint.address.as_slice()) {
        v6.into()
    } else {
        let found = format!("an address of {} bytes", endpoint.address.len());
        return Err(meaningless(field, found, "4 or 16 bytes"));
    };
    match u16::try_from(endpoint.port) {
        Ok(port) => Ok(Endpoint::new(address, port)),
        Err(_) => Err(meaningless(
            field,
            format!("port {}", endpoint.port),
            "a port of 0 to 65535",
        )),
    }
}

/// Reads an id that `make` may refuse; empty bytes are no id.
fn optional_id<T>(
    bytes: &[u8],
    field: &'static str,
    expected: &'static str,
    make: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, Meaningless> {
    if bytes.is_empty() {
        return Ok(None);
    }
    id(bytes, field, expected, make).map(Some)
}

fn id<T>(
    bytes: &[u8],
    field: &'static str,
    expected: &'static str,
    make: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Meaningless> {
    make(bytes).ok_or_else(|| {
        let zero = !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0);
        let found = format!("{}{} bytes", bytes.len(), if zero { " zero" } else { "" });
        meaningless(field, found, expected)
    })
}

/// Keeps a text; cuts one that is longer than any that people read.
fn text(text: String) -> Box<str> {
    let end = text.floor_char_boundary(TEXT_MAX);
    text.get(..end).unwrap_or_default().into()
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn meaningless(field: &'static str, found: impl ToString, expected: &'static str) -> Meaningless {
    Meaningless {
        field,
        found: found.to_string().into(),
        expected,
    }
}

fn refused(field: &'static str, found: impl ToString, expected: &'static str) -> IngestError {
    IngestError::Batch {
        field,
        found: found.to_string().into(),
        expected,
    }
}
