//! What the eBPF programs and user space share: records, the tag, and every decision.
//!
//! The programs only hook and call helpers; what can be decided without the kernel is decided
//! here, as pure functions over values. No IO, no clock, no kernel helper.
//!
//! Addresses and ports are in network byte order, as the kernel holds them. Everything else is
//! native-endian: a record never leaves its host.
#![no_std]
#![forbid(unsafe_code)]

mod address;
mod call;
mod config;
mod counter;
#[cfg(feature = "user")]
mod decode;
mod destination;
mod incident;
mod mint;
mod networks;
mod option;
mod outcome;
mod place;
mod record;
mod replay;
mod siphash;
mod volume;
mod wide;
mod wire_enum;

pub use address::{MAPPED_BITS, mapped};
pub use call::{ANSWER_ZERO, CAST, CAST_CONTEXT, KERNEL_CALL, to as call_to};
pub use config::{CONFIG_LEN, Config, Flags};
pub use counter::Counter;
#[cfg(feature = "user")]
pub use decode::{DecodeError, Event};
pub use destination::{Destination, PLACES, Permit};
pub use incident::{INCIDENT_LEN, IncidentKind, IncidentRecord, Repeats};
pub use mint::{TagOrigin, mint_tag, mint_untagged, tick, verify};
pub use networks::{MAX_NETWORKS, NETWORKS_LEN, Networks};
pub use option::{
    ASK, EX_ID, KIND, OptionWords, SEARCH, Stranger, TAG_HEAD, TAG_OPTION_LEN, TCP_HEADER_LEN,
    decode_tag, encode_tag, stranger,
};
pub use outcome::{TcpState, outcome_of_close};
pub use place::{LIVE_PLACES, Tenant, is_forgotten};
pub use record::{
    CONN_RECORD_LEN, ConnRecord, Moment, Note, Opening, Origin, Outcome, TagState, cookie_of_name,
    name_attempt,
};
pub use replay::{Borne, REPLAY_WORDS};
pub use siphash::{siphash13, siphash24};
pub use volume::{Volume, application_bytes};
pub use wide::Wide;
