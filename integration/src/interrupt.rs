//! Turns Ctrl-C, SIGTERM and SIGHUP into an error of the wait that is under way, so that every guard is
//! dropped and removes what it made. A second signal ends the process at once.

use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};

/// The ways in which one is asked to end.
const SIGNALS: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// Set by the first signal; empty until [`install`].
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The process was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Takes over the signals; doing it twice is harmless.
///
/// # Errors
///
/// Fails if the kernel refuses a signal handler.
pub fn install() -> io::Result<()> {
    if INTERRUPTED.get().is_some() {
        return Ok(());
    }
    let flag = Arc::clone(INTERRUPTED.get_or_init(Arc::default));
    for signal in SIGNALS {
        // In this order: the first signal finds the flag unset and only sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&flag))?;
        flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(())
}

/// Fails once a signal has come.
///
/// # Errors
///
/// [`Interrupted`] after the first signal.
pub fn check() -> Result<(), Interrupted> {
    match INTERRUPTED.get() {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(Interrupted),
        Some(_) | None => Ok(()),
    }
}

/// Blocks until a signal has come.
///
/// # Errors
///
/// Fails if the kernel refuses a signal handler.
pub fn wait() -> io::Result<()> {
    let (mut woken, waker) = UnixStream::pair()?;
    for signal in SIGNALS {
        pipe::register(signal, waker.try_clone()?)?;
    }
    // The pipe is there: a signal from now on wakes us, and one before shows in the flag.
    if check().is_ok() {
        woken.read_exact(&mut [0])?;
    }
    Ok(())
}
