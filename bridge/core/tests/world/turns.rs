//! Senders that report in turn, each at its time.

use syntrace_core::{
    Confidence, Limits, Reconciler,
    fact::{Batch, Fact, Origin, SenderId, Snapshot, Watch},
    record::Missing,
};
use syntrace_model::ClockSample;

use super::{
    accepted, batch, boot, established, filter, found, from_client, kernel_id, preamble, probe,
    request, settle, unix,
};

/// The client's connection while it is open.
pub fn open() -> Snapshot {
    established(&accepted(1, 10.0, 90.0))
}

/// What a probe reports that did not see the handshake, at a moment in milliseconds.
pub fn backfilled(seen_at: f64) -> Snapshot {
    Snapshot {
        seen_at: boot(seen_at),
        syn_at: None,
        syn_ack_at: None,
        established_at: None,
        minted: kernel_id(0x99),
        watch: Watch {
            origin: Origin::Backfilled,
            ..Watch::default()
        },
        ..open()
    }
}

/// Both clocks, as they are read at a moment in milliseconds.
pub fn clock_at(at: f64) -> Fact {
    Fact::Clock(ClockSample {
        boot: boot(at),
        unix: unix(at),
    })
}

/// One run of a sender.
pub fn sender(name: &str, epoch: u64) -> SenderId {
    SenderId {
        name: name.into(),
        epoch,
    }
}

/// The first of them is this sender's `n`th fact, after two that it begins with, which come with the 0th.
pub fn of_sockets(from: SenderId, n: u64, sockets: Vec<Snapshot>) -> Batch {
    let rung = || preamble().remove(0);
    let first = if n == 0 { vec![rung(), rung()] } else { vec![] };
    let first_seq = if n == 0 { 0 } else { 2 + n };
    let sockets = sockets.into_iter().map(Fact::Connection);
    batch(from, first_seq, first.into_iter().chain(sockets).collect())
}

/// Lets senders report, each at its time in milliseconds; the first probe has reported its rung and the clock.
pub fn in_turn(turns: Vec<(f64, Batch)>) -> Reconciler {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    for (at, batch) in turns {
        reconciler.handle_timeout(boot(at));
        reconciler.handle_batch(batch);
    }
    reconciler
}

/// How a request from 60 to 70 ms is joined after these turns.
pub fn joined(turns: Vec<(f64, Batch)>) -> Result<(u64, Confidence), Missing> {
    let mut reconciler = in_turn(turns);
    let report = request(1, from_client(5001), 60.0, 70.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    found(&settle(&mut reconciler).requests[0].received_on)
}
