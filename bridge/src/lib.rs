//! The bridge: accepts facts, folds them, answers queries and exports spans.
//!
//! Edges only. `syntrace-core` decides what a fact means for a connection; here is how facts arrive ([`api`],
//! [`ingest`], [`log`]), where they are folded ([`fold`]), what is kept ([`store`]) and how it is shown ([`api`],
//! [`spans`], [`metrics`]).
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
