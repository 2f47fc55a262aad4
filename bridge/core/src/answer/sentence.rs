//! The sentence of an answer: kept as numbers where those are all there is to it, and written out when it is read.
//!
//! Most requests complete, and nobody reads the sentence of most of those.

use std::fmt;

use super::Party;
use crate::words::duration;

/// One plain sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// Nothing failed, and nothing took long.
    Completed {
        /// How long it took, nanoseconds.
        total_ns: u64,
        /// Where most of that went.
        most: Most,
    },
    /// Whatever else happened, in words.
    Words(Box<str>),
}

/// Where most of the time of a request went that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// One party took most of it.
    Of {
        /// Which.
        party: Party,
        /// How much, nanoseconds.
        ns: u64,
    },
    /// Its parts were not reported.
    Unreported,
    /// Most of it is not accounted for.
    Unaccounted {
        /// How much, nanoseconds.
        ns: u64,
    },
    /// The evidence does not show which party took most of it.
    Doubtful,
}

/// A fact that an answer rests on, as `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The status of the response; 0 if there was none.
    Status(u16),
    /// Any other, in words.
    Words(Box<str>),
}

// === impl Sentence ===

impl Sentence {
    /// Returns whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Words(words) if words.is_empty())
    }
}

impl<T: Into<Box<str>>> From<T> for Sentence {
    fn from(words: T) -> Self {
        Self::Words(words.into())
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, most) = match self {
            Self::Completed { total_ns, most } => (duration(*total_ns), *most),
            Self::Words(words) => return f.write_str(words),
        };
        write!(f, "Completed in {total}; ")?;
        match most {
            Most::Of { party, ns } => {
                write!(f, "the {} took {} of it", party.name(), duration(ns))
            }
            Most::Unreported => f.write_str("how it was spent was not reported"),
            Most::Unaccounted { ns } => {
                write!(f, "{} of it is not accounted for", duration(ns))
            }
            Most::Doubtful => f.write_str("the evidence does not show which party took most of it"),
        }
    }
}

// === impl Ground ===

impl<T: Into<Box<str>>> From<T> for Ground {
    fn from(words: T) -> Self {
        Self::Words(words.into())
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status={status}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_completed_says_where_most_of_its_time_went() {
        let most = [
            Most::Of {
                party: Party::Service,
                ns: 700_000,
            },
            Most::Unreported,
            Most::Unaccounted { ns: 12_345_678 },
            Most::Doubtful,
        ];
        let written = most.map(|most| {
            let total_ns = 1_000_000;
            Sentence::Completed { total_ns, most }.to_string()
        });
        let expected = [
            "Completed in 1.000 ms; the service took 0.700 ms of it",
            "Completed in 1.000 ms; how it was spent was not reported",
            "Completed in 1.000 ms; 12.3 ms of it is not accounted for",
            "Completed in 1.000 ms; the evidence does not show which party took most of it",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn words_are_said_as_they_are() {
        let gone = Sentence::from("The client went away");
        assert_eq!(gone.to_string(), "The client went away");
        assert!(!gone.is_empty() && Sentence::from("").is_empty());
        let grounds = [Ground::Status(0), Ground::Status(503), "errno=111".into()];
        let written = grounds.map(|ground| ground.to_string());
        assert_eq!(written, ["status=0", "status=503", "errno=111"]);
    }
}
