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
mod config;
mod counter;
#[cfg(feature = "user")]
mod decode;
mod destination;
mod mint;
mod option;
mod outcome;
mod record;
mod siphash;
mod volume;
mod wire_enum;

pub use address::{ADDRESS_BITS, MAPPED_BITS, mapped};
pub use config::{CONFIG_LEN, Config, Flags};
pub use counter::Counter;
#[cfg(feature = "user")]
pub use decode::DecodeError;
pub use destination::{Destination, Permit};
pub use mint::{mint, verify};
pub use option::{EX_ID, KIND, SEARCH, TAG_OPTION_LEN, decode_tag, encode_tag};
pub use outcome::{TcpState, outcome_of_close};
pub use record::{CONN_RECORD_LEN, ConnRecord, Moment, Note, Opening, Outcome, TagState};
pub use siphash::siphash24;
pub use volume::{Volume, application_bytes};
