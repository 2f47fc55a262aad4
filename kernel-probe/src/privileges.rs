//! What the process may do, and giving up what it needs no more.

use std::{fmt, io};

use rustix::{
    process::Pid,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};

/// A privilege could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("{call} failed: {source}")]
pub(crate) struct PrivilegesError {
    /// The system call.
    call: &'static str,
    /// What the kernel answered.
    source: io::Error,
}

/// Capabilities of a process; shown by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held(CapabilitySet);

// === impl Held ===

impl Held {
    /// None.
    pub(crate) const NOTHING: Self = Self(CapabilitySet::empty());

    /// What looking at other processes' files and at the sockets' marks takes.
    pub(crate) const FOR_POLLING: Self =
        Self(CapabilitySet::NET_ADMIN.union(CapabilitySet::SYS_PTRACE));

    /// What entering the network namespace of another process takes.
    pub(crate) const TO_ENTER: Self =
        Self(CapabilitySet::SYS_PTRACE.union(CapabilitySet::SYS_ADMIN));

    /// The same, where sockets are opened there that tell marks.
    pub(crate) const TO_POLL_INSIDE: Self = Self(Self::FOR_POLLING.0.union(Self::TO_ENTER.0));

    /// Returns those that programs need and this process lacks; `None` if it lacks none.
    pub(crate) fn lacking_for_hooks() -> Option<Self> {
        let held = capabilities(None).ok()?.effective;
        let needed = CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON;
        // The kernel takes it for both.
        let implied = if held.contains(CapabilitySet::SYS_ADMIN) {
            CapabilitySet::BPF | CapabilitySet::PERFMON
        } else {
            CapabilitySet::empty()
        };
        Self::lacking(needed, held | implied)
    }

    /// Returns those of [`Self::TO_ENTER`] that this process lacks; `None` if it lacks none.
    pub(crate) fn lacking_to_enter() -> Option<Self> {
        let held = capabilities(None).ok()?.effective;
        Self::lacking(Self::TO_ENTER.0, held)
    }

    fn lacking(needed: CapabilitySet, held: CapabilitySet) -> Option<Self> {
        let lacking = needed.difference(held);
        (!lacking.is_empty()).then_some(Self(lacking))
    }

    /// Returns whether there are none.
    pub(crate) const fn is_nothing(self) -> bool {
        self.0.is_empty()
    }

    /// Returns those that are in effect in this thread, or in the thread `pid`.
    ///
    /// # Errors
    ///
    /// Fails if it is gone.
    pub(crate) fn of(pid: Option<Pid>) -> io::Result<Self> {
        Ok(Self(capabilities(pid)?.effective))
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = || CapabilitySet::all().iter_names();
        let names = |is_held: bool| {
            let names = known().filter(move |(_, known)| self.0.contains(*known) == is_held);
            let names = names.map(|(name, _)| format!("CAP_{name}"));
            names.collect::<Vec<_>>()
        };
        let (held, missing) = (names(true), names(false));
        match (held.len(), missing.len()) {
            (0, _) => f.write_str("none"),
            (_, 0) => f.write_str("all"),
            (held, missing_few) if missing_few < held => {
                write!(f, "all but {}", missing.join(" "))
            }
            _ => f.write_str(&held.join(" ")),
        }
    }
}

/// Gives up, for this thread and for ever, every capability that is not `needed`; returns what is
/// left. No program that is started later gains any.
///
/// Other threads keep theirs: capabilities belong to threads.
///
/// # Errors
///
/// [`PrivilegesError`] names the call that the kernel refused.
pub(crate) fn give_up_all_but(needed: Held) -> Result<Held, PrivilegesError> {
    let failed = |call| {
        move |error: rustix::io::Errno| PrivilegesError {
            call,
            source: error.into(),
        }
    };
    set_no_new_privs(true).map_err(failed("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    let held = capabilities(None).map_err(failed("capget"))?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        let known = CapabilitySet::all().iter_names();
        for (_, surplus) in known.filter(|(_, known)| !needed.0.contains(*known)) {
            remove_capability_from_bounding_set(surplus)
                .map_err(failed("prctl(PR_CAPBSET_DROP)"))?;
        }
    }
    let left = held.permitted.intersection(needed.0);
    let sets = CapabilitySets {
        effective: held.effective.intersection(left),
        permitted: left,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(failed("capset"))?;
    Ok(Held(sets.effective))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_given_up_is_gone_for_this_thread() {
        // A thread of its own: the other tests keep what they have.
        let left = thread::spawn(|| {
            let left = give_up_all_but(Held::NOTHING).unwrap();
            (left, Held::of(None).unwrap())
        });
        assert_eq!(left.join().unwrap(), (Held::NOTHING, Held::NOTHING));
    }

    #[test]
    fn capabilities_are_shown_by_name() {
        assert_eq!(Held::NOTHING.to_string(), "none");
        assert_eq!(Held(CapabilitySet::all()).to_string(), "all");
        let most = Held(CapabilitySet::all().difference(CapabilitySet::BPF));
        assert_eq!(most.to_string(), "all but CAP_BPF");
        let two = Held(CapabilitySet::NET_ADMIN | CapabilitySet::BPF);
        assert_eq!(two.to_string(), "CAP_NET_ADMIN CAP_BPF");
    }
}
