//! What the probe can see, capability by capability, and the name of the rung that follows.

use std::{fmt, str::FromStr};

use syntrace_proto::{Count, Rung};

/// What the probe may be able to see or do; independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// The life of each connection, from the SYN to its close.
    LifeCycle,
    /// Why the kernel ended a connection.
    CloseReason,
    /// Why this host sent an RST.
    ResetReason,
    /// When an accepted socket came to its worker.
    AcceptWait,
    /// The trace id in the SYN.
    Tag,
    /// When segments were sent again.
    Incidents,
    /// Connections and listeners that are older than the probe.
    Backfill,
    /// The queues of listeners, and what never became a socket.
    Listeners,
    /// Connections without hooks, by `sock_diag`.
    Poll,
    /// State that outlives the process, for its successor.
    TakeOver,
}

/// Why a capability is off that the operator does not want.
const SWITCHED_OFF: &str = "switched off by --without";

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
    /// The kernel's id of the map that holds the sockets which the programs follow; 0 without programs.
    pub sockets_map_id: u32,
}

// === impl Capability ===

impl Capability {
    /// All capabilities.
    pub const ALL: [Self; 10] = [
        Self::LifeCycle,
        Self::CloseReason,
        Self::ResetReason,
        Self::AcceptWait,
        Self::Tag,
        Self::Incidents,
        Self::Backfill,
        Self::Listeners,
        Self::Poll,
        Self::TakeOver,
    ];

    /// Returns what nobody knows, or what is not done, where it is off.
    #[must_use]
    pub const fn loss(self) -> &'static str {
        match self {
            Self::LifeCycle => "the moments at which connections begin, are established and end",
            Self::CloseReason => {
                "whether a connection was refused, unreachable, reset or timed out: its outcome is unknown"
            }
            Self::ResetReason => "why this host sent an RST",
            Self::AcceptWait => {
                "how long a connection waited to be accepted, and which thread accepted it"
            }
            Self::Tag => "the same id at both ends: no SYN is tagged, and no tag is believed",
            Self::Incidents => "when segments were retransmitted",
            Self::Backfill => "connections that are older than the probe",
            Self::Listeners => "full accept queues, full SYN queues, and SYN cookies",
            Self::Poll => "connections that no hook sees",
            Self::TakeOver => {
                "what happens between a crash or a take-over and the next probe's start"
            }
        }
    }

    /// What needs eBPF programs.
    const HOOKED: [Self; 7] = [
        Self::LifeCycle,
        Self::CloseReason,
        Self::ResetReason,
        Self::AcceptWait,
        Self::Tag,
        Self::Incidents,
        Self::TakeOver,
    ];
}

/// A name that is no capability's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a capability such as life-cycle or accept-wait")]
pub struct ParseCapabilityError;

/// The words of the name, joined by hyphens.
impl FromStr for Capability {
    type Err = ParseCapabilityError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_named = |capability: &Self| capability.to_string().replace(' ', "-") == name;
        Self::ALL
            .into_iter()
            .find(is_named)
            .ok_or(ParseCapabilityError)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LifeCycle => "life cycle",
            Self::CloseReason => "close reason",
            Self::ResetReason => "reset reason",
            Self::AcceptWait => "accept wait",
            Self::Tag => "tag",
            Self::Incidents => "incidents",
            Self::Backfill => "backfill",
            Self::Listeners => "listeners",
            Self::Poll => "poll",
            Self::TakeOver => "take over",
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
            Capability::Backfill,
            "sockets older than the probe are not followed",
        );
        ladder
    }

    /// Returns what is left when no program can be loaded.
    #[must_use]
    pub fn without_hooks(reason: &str) -> Self {
        let mut ladder = Self::default();
        ladder.lose_hooks(reason);
        ladder
    }

    /// Marks everything that needs programs as off.
    pub fn lose_hooks(&mut self, reason: &str) {
        for capability in Capability::HOOKED {
            self.lose(capability, reason);
        }
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

    /// Marks `capability` as off for as long as this lasts; the latest reason counts, unless it was
    /// switched off.
    pub fn suspend(&mut self, capability: Capability, reason: &str) {
        self.regain(capability);
        self.lose(capability, reason);
    }

    /// Marks `capability` as on again, unless it was switched off.
    pub fn regain(&mut self, capability: Capability) {
        self.missing
            .retain(|missing| missing.capability != capability || missing.reason == SWITCHED_OFF);
    }

    /// Marks `capability` as off for ever, by order.
    pub fn switch_off(&mut self, capability: Capability) {
        self.regain(capability);
        self.lose(capability, SWITCHED_OFF);
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

    /// Returns the rung's name: `full`, `observe`, `poll` or `l7-only`.
    ///
    /// `full` is observing and tagging; what else is missing stands beside the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let has = |capability| self.reason(capability).is_none();
        if has(Capability::LifeCycle) && has(Capability::Tag) {
            "full"
        } else if has(Capability::LifeCycle) {
            "observe"
        } else if has(Capability::Poll) {
            "poll"
        } else {
            "l7-only"
        }
    }

    /// Returns the fact that tells the bridge, with what was `counted` meanwhile.
    #[must_use]
    pub fn to_fact(&self, counted: Vec<Count>) -> Rung {
        let sentence = |missing: &Missing| format!("{}: {}", missing.capability, missing.reason);
        Rung {
            name: self.name().to_owned(),
            missing: self.missing.iter().map(sentence).collect(),
            counted,
            // Of sockets that a probe does not observe it tells no end.
            sockets_map_id: match self.reason(Capability::LifeCycle) {
                None => self.sockets_map_id,
                Some(_) => 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_from_the_capabilities() {
        let mut ladder = Ladder::default();
        assert_eq!(ladder.name(), "full");
        ladder.lose(Capability::Tag, "not ordered");
        assert_eq!(ladder.name(), "observe");
        ladder.lose(Capability::LifeCycle, "not permitted");
        assert_eq!(ladder.name(), "poll");
        ladder.lose(Capability::Poll, "not permitted");
        assert_eq!(ladder.name(), "l7-only");
        ladder.regain(Capability::Poll);
        assert_eq!(ladder.name(), "poll");
    }

    #[test]
    fn what_is_switched_off_stays_off() {
        let mut ladder = Ladder::default();
        ladder.lose(Capability::Listeners, "not permitted");
        ladder.switch_off(Capability::Listeners);
        ladder.regain(Capability::Listeners);
        assert_eq!(ladder.reason(Capability::Listeners), Some(SWITCHED_OFF));
    }

    #[test]
    fn what_comes_and_goes_is_told_with_its_latest_reason() {
        let mut ladder = Ladder::default();
        ladder.suspend(Capability::Listeners, "process 7 is not to be entered");
        ladder.suspend(Capability::Listeners, "process 8 is not to be entered");
        let reason = ladder.reason(Capability::Listeners);
        assert_eq!(reason, Some("process 8 is not to be entered"));
        ladder.switch_off(Capability::Listeners);
        ladder.suspend(Capability::Listeners, "process 9 is not to be entered");
        assert_eq!(ladder.reason(Capability::Listeners), Some(SWITCHED_OFF));
    }

    #[test]
    fn without_hooks_there_is_still_the_table_of_sockets() {
        let ladder = Ladder::without_hooks("not permitted");
        assert_eq!(ladder.name(), "poll");
        assert_eq!(ladder.reason(Capability::Listeners), None);
    }

    #[test]
    fn each_missing_capability_is_one_sentence_with_its_first_reason() {
        let mut ladder = Ladder::default();
        ladder.lose(Capability::Tag, "not ordered");
        ladder.lose(Capability::Tag, "not permitted");
        assert_eq!(ladder.to_fact(Vec::new()).missing, ["tag: not ordered"]);
    }
}
