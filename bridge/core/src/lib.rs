//! The reconciler: gives every connection one trace id from what the kernel and the proxy saw.
//!
//! A fold over facts: [`Reconciler::handle_batch`] takes what senders saw, [`Reconciler::handle_timeout`]
//! lets time pass, [`Reconciler::poll_output`] gives the records that are settled. No IO, no clock,
//! no randomness, no serialisation: the caller brings times in and carries records out.
//!
//! Where to look: what identifies a connection and which join is sound, in [`join`]; who did it,
//! in [`explain`]; what is kept and for how long, in [`Reconciler`].
#![forbid(unsafe_code)]

pub mod answer;
mod assemble;
mod clock;
mod confidence;
pub mod explain;
pub mod fact;
mod identity;
pub mod join;
mod ledger;
mod reconciler;
pub mod record;
mod remembered;
mod sockets;

pub use confidence::Confidence;
pub use ledger::{Coverage, SenderCoverage};
pub use reconciler::{Limits, Output, Reconciler};
