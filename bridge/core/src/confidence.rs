//! How sure a statement is; a guess is never presented as a fact.

/// How sure a join is, and what is concluded from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Nothing else fits.
    Certain,
    /// Something else could fit only if a source erred.
    Likely,
    /// Several connections fit; the record names the earliest.
    Ambiguous {
        /// How many fit.
        candidates: u32,
    },
}

impl Confidence {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Ambiguous { .. } => "ambiguous",
        }
    }
}
