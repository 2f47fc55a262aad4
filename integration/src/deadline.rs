//! Waits for a condition, never for a length of time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::interrupt;

/// How long to wait between two looks; short beside everything that is waited for.
const INTERVAL: Duration = Duration::from_millis(5);

/// What one look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// The condition holds; the wait returns this.
    Done(T),
    /// Not yet; the text says what was seen instead.
    NotYet(String),
}

/// Looks until `look` is [`Look::Done`].
///
/// # Errors
///
/// Fails when `deadline` is over, with what was seen last; at once when `look` fails; and when the
/// process was interrupted (Ctrl-C).
pub fn wait<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> anyhow::Result<Look<T>>,
) -> anyhow::Result<T> {
    wait_uninterrupted(what, deadline, || {
        interrupt::check()?;
        look()
    })
}

/// As [`wait`], but also after Ctrl-C: for what must be taken down in order.
///
/// # Errors
///
/// As [`wait`], except for the interruption.
pub fn wait_uninterrupted<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> anyhow::Result<Look<T>>,
) -> anyhow::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        match look().with_context(|| format!("waiting for {what}"))? {
            Look::Done(found) => return Ok(found),
            Look::NotYet(seen) if Instant::now() >= end => {
                bail!("{what}: not within {deadline:?}; last seen: {seen}")
            }
            Look::NotYet(_) => thread::sleep(INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_returned() {
        let mut looks = 0;
        let found = wait("three looks", Duration::from_secs(5), || {
            looks += 1;
            Ok(if looks == 3 {
                Look::Done(looks)
            } else {
                Look::NotYet(looks.to_string())
            })
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn the_error_says_what_was_seen_last() {
        let error = wait::<()>("rain", Duration::ZERO, || {
            Ok(Look::NotYet("sun".to_owned()))
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "rain: not within 0ns; last seen: sun"
        );
    }
}
