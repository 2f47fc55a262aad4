//! Labels whose values senders choose: so many of them get a series of their own, the rest share one.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// The series that all others share. No word of a sender reads like this: it would be `_other_`.
const OTHER: &str = "_other";

/// Bytes of a word beyond which it is cut.
const WORD_BYTES_MAX: usize = 120;

/// A label's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Label(Arc<str>);

/// The words that have a series; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Words {
    known: Arc<RwLock<HashSet<Arc<str>>>>,
    most: usize,
    other: Label,
}

impl Words {
    /// Gives the first `most` words a series.
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: Arc::default(),
            most,
            other: Label(OTHER.into()),
        }
    }

    /// Returns the label of a word.
    pub(super) fn label(&self, word: &str) -> Label {
        let word = &*printable(word);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.get(word) {
                return Label(Arc::clone(known));
            }
            if known.len() >= self.most {
                return self.other.clone();
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.most {
            return self.other.clone();
        }
        let word: Arc<str> = word.into();
        known.insert(Arc::clone(&word));
        Label(word)
    }
}

/// Returns the word as it may stand in any output: short, and without control characters.
fn printable(word: &str) -> std::borrow::Cow<'_, str> {
    let fine = word.len() <= WORD_BYTES_MAX && !word.chars().any(char::is_control) && word != OTHER;
    if fine {
        return word.into();
    }
    let shown = word
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter });
    let mut bytes = 0;
    let mut shown: String = shown
        .take_while(|letter| {
            bytes += letter.len_utf8();
            bytes <= WORD_BYTES_MAX
        })
        .collect();
    if shown == OTHER {
        shown.push('_');
    }
    shown.into()
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        (&*self.0).encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_all_words_share_a_series() {
        let words = Words::new(2);
        let shown = ["a", "b", "c", "a", "d"].map(|word| words.label(word).0);
        assert_eq!(
            shown.map(|word| word.to_string()),
            ["a", "b", OTHER, "a", OTHER]
        );
    }

    #[test]
    fn a_word_is_printable_short_and_no_word_of_ours() {
        let words = Words::new(10);
        let shown = |word: &str| words.label(word).0.to_string();
        assert_eq!(shown("\u{1b}[31m\nx"), "?[31m?x");
        assert_eq!(shown(&"\u{e9}".repeat(1_000)).len(), WORD_BYTES_MAX);
        assert_eq!(shown(OTHER), "_other_");
    }

    #[test]
    fn a_million_words_take_no_more_than_the_first() {
        let words = Words::new(100);
        for n in 0..1_000_000 {
            words.label(&n.to_string());
        }
        assert_eq!(words.known.read().unwrap().len(), 100);
    }
}
