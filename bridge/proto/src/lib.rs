//! The messages between senders and bridge, as prost structs.
//!
//! The code under `gen/` is generated from `proto/syntrace.proto` and committed; the test
//! `generated` regenerates it. What a message means is written in the `.proto` file; turning
//! messages into the model's types is the business of who reads them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[rustfmt::skip]
#[allow(
    clippy::allow_attributes,
    unreachable_pub,
    clippy::use_self,
    clippy::large_enum_variant,
    clippy::too_long_first_doc_paragraph,
    missing_docs,
    reason = "generated code"
)]
mod r#gen {
    include!("gen/syntrace.v1.rs");
}

pub use r#gen::*;

/// The [`Batch::schema`] that this crate writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// `content-type` of a [`Batch`] on the wire.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// Path of the endpoint that takes batches.
pub const FACTS_PATH: &str = "/v1/facts";
