//! The reconciler: gives every connection one trace id from what the kernel and the proxy saw.
//!
//! A fold over facts: [`Reconciler::handle_batch`] takes what senders saw, [`Reconciler::handle_timeout`]
//! lets time pass, [`Reconciler::poll_output`] gives the records that are settled. No IO, no clock,
//! no randomness, no serialisation: the caller brings times in and carries records out.
//!
//! Where to look: what identifies a connection and which join is sound, in [`join`]; who did it,
//! in [`explain`]; what a sound record is, in [`audit`]; what is kept and for how long, in [`Reconciler`].
#![forbid(unsafe_code)]

pub mod answer;
mod assemble;
pub mod audit;
mod calendar;
mod charge;
pub mod checkpoint;
mod clock;
mod confidence;
mod due;
mod errno;
mod evidence;
#[cfg(test)]
mod example;
pub mod explain;
pub mod fact;
mod failure;
mod flag;
mod gaps;
mod gateway;
mod identity;
mod index;
pub mod join;
mod ledger;
mod limit;
mod limits;
mod live;
mod phases;
mod prefetch;
mod probes;
mod reconciler;
pub mod record;
mod remembered;
mod requests;
mod slab;
mod sockets;
mod words;

pub use confidence::Confidence;
pub use ledger::{Coverage, SenderCoverage};
pub use limits::Limits;
pub use live::{LiveConnection, LiveRequest};
pub use reconciler::{Output, Reconciler};
pub use sockets::Socket;
