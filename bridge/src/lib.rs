//! The bridge: takes facts in, folds them, answers questions and exports spans.
//!
//! Edges only. What a fact means for a connection is decided in `syntrace-core`; here is how facts
//! arrive ([`api`], [`ingest`], [`log`]), who folds them ([`fold`]), what is kept ([`store`]) and how
//! it is shown ([`api`], [`spans`], [`metrics`]).
#![forbid(unsafe_code)]

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod export;
pub mod flags;
pub mod fold;
pub mod ingest;
pub mod log;
pub mod metrics;
mod moment;
pub mod otlp;
pub mod page;
pub mod pipeline;
pub mod replay;
pub mod server;
pub mod spans;
pub mod store;
mod tls_client;
pub mod view;
