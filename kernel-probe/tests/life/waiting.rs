//! Waits for a condition, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(20);

/// Returns what `found` finds, as soon as it does.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{what} did not come");
        thread::sleep(EVERY);
    }
}
