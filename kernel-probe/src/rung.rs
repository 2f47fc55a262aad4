//! What the probe can see, capability by capability, and the name of the rung that follows.

use std::fmt;

use syntrace_proto::Rung;

/// What the probe may be able to see or do; independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// The life of each connection, from the SYN to its close.
    LifeCycle,
    /// Why the kernel ended a connection.
    CloseReason,
    /// When an accepted socket came to its worker.
    AcceptWait,
    /// The trace id in the SYN.
    Tag,
    /// What never became a socket, and what happened to a segment.
    Incidents,
    /// Connections and listeners that are older than the probe.
    Backfill,
}

/// A capability that is off, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is off.
    pub capability: Capability,
    /// Why, in words.
    pub reason: String,
}

/// Which capabilities are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    missing: Vec<Missing>,
}

// === impl Capability ===

impl Capability {
    /// All capabilities.
    pub const ALL: [Self; 6] = [
        Self::LifeCycle,
        Self::CloseReason,
        Self::AcceptWait,
        Self::Tag,
        Self::Incidents,
        Self::Backfill,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LifeCycle => "life cycle",
            Self::CloseReason => "close reason",
            Self::AcceptWait => "accept wait",
            Self::Tag => "tag",
            Self::Incidents => "incidents",
            Self::Backfill => "backfill",
        })
    }
}

// === impl Ladder ===

impl Ladder {
    /// Returns what this version can do at best.
    #[must_use]
    pub fn of_this_version() -> Self {
        let mut ladder = Self::default();
        ladder.lose(
            Capability::Incidents,
            "this version does not watch for them",
        );
        ladder.lose(
            Capability::Backfill,
            "sockets older than the probe are not followed",
        );
        ladder
    }

    /// Returns what is left when no program can be loaded.
    #[must_use]
    pub fn without_kernel_view(reason: &str) -> Self {
        let mut ladder = Self::default();
        for capability in Capability::ALL {
            ladder.lose(capability, reason);
        }
        ladder
    }

    /// Marks `capability` as off; the first reason stays.
    pub fn lose(&mut self, capability: Capability, reason: &str) {
        if self.reason(capability).is_none() {
            self.missing.push(Missing {
                capability,
                reason: reason.to_owned(),
            });
        }
    }

    /// Returns why `capability` is off; `None` if it is on.
    #[must_use]
    pub fn reason(&self, capability: Capability) -> Option<&str> {
        let missing = self
            .missing
            .iter()
            .find(|missing| missing.capability == capability)?;
        Some(&missing.reason)
    }

    /// Returns the rung's name: `full`, `observe` or `l7-only`.
    ///
    /// `full` is observing and tagging; what else is missing stands beside the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (
            self.reason(Capability::LifeCycle),
            self.reason(Capability::Tag),
        ) {
            (Some(_), _) => "l7-only",
            (None, Some(_)) => "observe",
            (None, None) => "full",
        }
    }

    /// Returns the fact that tells the bridge.
    #[must_use]
    pub fn to_fact(&self) -> Rung {
        let sentence = |missing: &Missing| format!("{}: {}", missing.capability, missing.reason);
        Rung {
            name: self.name().to_owned(),
            missing: self.missing.iter().map(sentence).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_from_the_capabilities() {
        let mut ladder = Ladder::of_this_version();
        assert_eq!(ladder.name(), "full");
        ladder.lose(Capability::Tag, "not ordered");
        assert_eq!(ladder.name(), "observe");
        ladder.lose(Capability::LifeCycle, "not permitted");
        assert_eq!(ladder.name(), "l7-only");
        assert_eq!(
            Ladder::without_kernel_view("not permitted").name(),
            "l7-only"
        );
    }

    #[test]
    fn each_missing_capability_is_one_sentence_with_its_first_reason() {
        let mut ladder = Ladder::default();
        ladder.lose(Capability::Tag, "not ordered");
        ladder.lose(Capability::Tag, "not permitted");
        assert_eq!(ladder.to_fact().missing, ["tag: not ordered"]);
    }
}
