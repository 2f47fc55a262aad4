//! Prints what happens to connections, for a person at a terminal: no bridge, nothing pinned.

mod line;
mod missing;

use std::{cell::RefCell, io, io::Write, pin::pin};

use syntrace_proto::fact::Body;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::{clock, host::Host, observer::Observer, run::RunError, settings::Settings};
use line::Lines;

/// Prints a line for each connection that opens, fails or ends, and for each incident of a
/// listener, until SIGTERM, SIGINT, or until nobody reads `out` any more; then a summary.
///
/// # Errors
///
/// [`RunError`] if nothing can be watched at all.
pub async fn watch(settings: Settings, out: impl Write) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let host = Host::new().map_err(RunError::Host)?;
    let (mut observer, counters) =
        Observer::begin(settings, host, false).map_err(RunError::Hooks)?;
    observer.open().map_err(RunError::Hooks)?;
    let printer = Printer::new(out);
    let take = |body| printer.print(&body);
    {
        let mut follow = pin!(observer.follow(&counters, &take));
        tokio::select! {
            () = &mut follow => {}
            () = printer.ended.notified() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    observer.end(&counters, &take);
    printer.sum_up();
    for loss in counters.losses() {
        tracing::warn!(cause = loss.cause, count = loss.count, "Lost connections");
    }
    Ok(())
}

/// Lines on their way out.
struct Printer<W> {
    out: RefCell<W>,
    lines: RefCell<Lines>,
    /// Nobody reads any more.
    ended: Notify,
}

// === impl Printer ===

impl<W: Write> Printer<W> {
    fn new(out: W) -> Self {
        Self {
            out: RefCell::new(out),
            lines: RefCell::new(Lines::new(clock::sample().boot_ns)),
            ended: Notify::new(),
        }
    }

    fn print(&self, body: &Body) {
        let lines = self.lines.borrow_mut().of(body);
        for line in lines {
            self.write(&line);
        }
    }

    fn sum_up(&self) {
        let line = self.lines.borrow().summary();
        self.write(&line);
    }

    fn write(&self, line: &str) {
        let mut out = self.out.borrow_mut();
        let written: io::Result<()> = writeln!(out, "{line}").and_then(|()| out.flush());
        if written.is_err() {
            self.ended.notify_one();
        }
    }
}
