//! The words every part shares: trace ids, connection ids, endpoints and the two clocks.
//!
//! Values and their text forms only. No IO, no clock, no serialisation format: the wire is
//! `syntrace-proto`, the JSON is the bridge's.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod b3;
pub mod baggage;
mod connection;
mod endpoint;
mod hex;
mod time;
mod trace;
mod traceparent;
pub mod tracestate;

pub use connection::{BootId, ConnectionId, Opening, Outcome, ParseConnectionIdError};
pub use endpoint::{ConnKey, Endpoint, ParseEndpointError};
pub use time::{BootNanos, ClockSample, UnixNanos};
pub use trace::{ParseIdError, SpanId, TraceId};
pub use traceparent::{ParseTraceparentError, TraceFlags, Traceparent};
